# One version, the same in every program, in the module and in CHANGELOG.md.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use Test::More;
use Weir::Base qw(output_of slurp);

my $root = "$Bin/../..";
sub output { return join ' ', output_of(@_) }

my ($version) = slurp("$root/common/version.h") =~ /WEIR_VERSION "(\d+\.\d+\.\d+)"/;
ok $version, 'common/version.h has it';
is output("$root/build/weirctl", 'version'), "0 weirctl $version\n", 'weirctl version';
is output("$root/build/weirctl", '--version'), "0 weirctl $version\n", 'weirctl --version';
is output("$root/build/$_", '--version'), "0 $_ $version\n", "$_ --version"
    for qw(weir-backend weir-payments-sim);
is output("$root/weir", 'version'), "0 weir $version\n", './weir version';
like slurp("$root/build/ngx_http_weir_module.so"), qr/Weir \Q$version\E\0/, 'the module';
like slurp("$root/CHANGELOG.md"), qr/^## \Q$version\E\b/m, 'CHANGELOG.md';
my $folders = 'common,ngx_module/*,ngx_module/*/*,backend,backend/*,backend/*/*';
my @sources = glob "$root/{$folders}/*.[ch]";
my @others = grep { !m{common/version\.h\z} } @sources;
my @written = grep { slurp($_) =~ /#define WEIR_VERSION "/ } @others;
is "@written", '', 'it is written in one place';

done_testing;
