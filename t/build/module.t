# How the module is built: for another nginx it is built again, and nginx's configure says which
# library it lacks before anything is compiled.
use strict;
use warnings;

use File::Basename 'dirname';
use File::Path qw(make_path remove_tree);
use File::Temp;
use FindBin '$Bin';
use Test::More;

my $root = "$Bin/../..";
my $src = $ENV{NGX_SRC} || '/usr/share/nginx/src';
my $build = "build/without-library-$$";

is system("make -s -q -C '$root' module NGX_SRC='$src'"), 0,
    'what is built for this nginx is not built again';
isnt system("make -s -q -C '$root' module NGX_SRC=/another/nginx"), 0, 'for another nginx it is';

# A header that is found first and can't be compiled is like one that is not there.
sub configured_without {
    my ($header) = @_;
    my $fake = File::Temp->newdir;
    make_path(dirname("$fake/$header"));
    open my $out, '>', "$fake/$header" or die "$header: $!";
    print {$out} "#error \"no $header\"\n";
    close $out;
    return scalar `'$root/scripts/build/module.sh' '$src' '$build' '-I$fake' '' 2>&1`;
}

for (['hiredis/hiredis.h', 'hiredis', 'libhiredis-dev'], ['xxhash.h', 'xxhash.h', 'libxxhash-dev'])
{
    my ($header, $library, $package) = @$_;
    my $said = configured_without($header);
    isnt $?, 0, "without $header there is no module";
    like $said, qr/\berror: the Weir module needs \Q$library\E/, "$library is named";
    like $said, qr/\b\Q$package\E\b/, 'and the package that has it';
    my @objects = glob "$root/$build/nginx/objs/addon/*/*.o";
    is "@objects", '', 'nothing was compiled';
}

remove_tree("$root/$build");
done_testing;
