# What weirctl new-domain lays down builds and passes its own test as it is.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Weir::Base qw(output_of);

my $root = abs_path(dirname(__FILE__) . '/../..');
chdir $root or die "$root: $!";

my $name = "orchard$$";
my $dir = tempdir('/tmp/weir-domain.XXXXXX', CLEANUP => 1);
my $folder = "$dir/$name";
END {
    my $status = $?;
    remove_tree("build/domains/$name", map { "build/$_$dir" } '', 'obj/', 'obj/build/') if $dir;
    $? = $status;
}

sub new_domain { return output_of('build/weirctl', 'new-domain', @_) }

my ($code, $text) = new_domain($folder);
is $code, 0, 'lays it down' or diag $text;
like $text, qr/make DOMAIN=\Q$folder\E/, 'and says how to go on';
is((output_of('grep', '-r', '@NAME@', $folder))[0], 1, 'no placeholder is left');

($code, $text) = new_domain($folder);
is "$code $text", "1 weirctl: $folder: File exists\n", 'what is there is not touched';
for (
    ["$dir/Orchard", qr/the name must begin with a lower-case letter/],
    ["$dir/1a", qr/the name must/], ["$dir/a-b", qr/the name must/],
    ["$dir/" . 'a' x 33, qr/at most 32/], ["$dir/", qr/the name must/],
    ["$dir/events", qr/is the name of a part of Weir/])
{
    my ($wrong, $why) = @$_;
    ($code, $text) = new_domain($wrong);
    is $code, 2, "$wrong is refused";
    like $text, $why, 'with the reason';
}
is((new_domain("$dir/no/where"))[0], 1, 'a folder in none is refused');

($code, $text) = output_of('make', '-s', 'backend', "DOMAIN=$folder");
is $code, 0, 'builds' or do { diag $text; done_testing; exit };
is $text, '', 'without any output';
($code, $text) = output_of('prove', '--exec', 'scripts/test/prove-exec.sh', "$folder/t/$name.t");
is $code, 0, 'and passes its test' or diag $text;

done_testing;
