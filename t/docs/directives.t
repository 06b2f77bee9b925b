# docs/reference/directives.md describes every directive that the module has, in the contexts that
# it has them in, and no other.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use Test::More;
use Weir::Docs qw(files slurp);

my %context;
for my $file (files(qr/\.c$/, 'ngx_module')) {
    my $text = slurp($file);
    while ($text =~
        /ngx_string\("(weir_\w+)"\),\s*((?:NGX_HTTP_\w+_CONF\s*\|\s*)*)(?:NGX_CONF|NGX_HTTP)/g)
    {
        my ($name, $flags) = ($1, $2);
        $context{$name} = join ', ',
            grep { defined }
            map  { $flags =~ /NGX_HTTP_$_->[0]_CONF/ ? $_->[1] : undef } ['MAIN', 'http'],
            ['SRV', 'server'], ['LOC', 'location'], ['LIF', 'if in location'];
    }
}
cmp_ok scalar(keys %context), '>=', 20, 'directives are found in the sources';

my $docs = slurp('docs/reference/directives.md');
my %documented;
while ($docs =~
    /^## (weir_\w+)\n\n    Syntax:   (.*?)\n    Default:  [^\n]*\n    Context:  ([^\n]*)\n/msg)
{
    $documented{$1} = $3;
    like $2, qr/^\Q$1\E\b.*[;}]\z/s, "$1: its syntax begins with its name and is complete";
}
is_deeply \%documented, \%context,
    'docs/reference/directives.md has each directive, in its contexts';

done_testing;
