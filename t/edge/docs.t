# docs/directives.md tells of every directive and variable that the module has, in
# the contexts that it has them in, and of no other.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use Test::More;
use Weir::Processes qw(free_port listens spit temp_paths until_true $dir);

my $root = "$Bin/../..";
sub slurp { open my $in, '<', $_[0] or die "$_[0]: $!"; local $/; scalar <$in> }

my (%context, %variable);
for my $file (glob "$root/ngx_module/*/*.c") {
    my $text = slurp($file);
    while ($text =~ /ngx_string\("(weir_\w+)"\),\s*((?:NGX_HTTP_\w+_CONF\s*\|\s*)*)(?:NGX_CONF|NGX_HTTP)/g) {
        my ($name, $flags) = ($1, $2);
        $context{$name} = join ', ', grep { defined } map { $flags =~ /NGX_HTTP_$_->[0]_CONF/ ? $_->[1] : undef }
            ['MAIN', 'http'], ['SRV', 'server'], ['LOC', 'location'];
    }
    while ($text =~ /\{ ngx_string\("(weir_\w+)"\), NULL,|static ngx_str_t  name = ngx_string\("(weir_\w+)"\)/g) {
        $variable{$1 // $2} = 1;
    }
}
cmp_ok scalar(keys %context), '>=', 20, 'directives are found in the sources';
cmp_ok scalar(keys %variable), '>=', 5, 'variables too';

my $docs = slurp("$root/docs/directives.md");
my %documented;
while ($docs =~ /^## (weir_\w+)\n\n    Syntax:   (.*?)\n    Default:  [^\n]*\n    Context:  ([^\n]*)\n/msg) {
    $documented{$1} = $3;
    like $2, qr/^\Q$1\E\b.*[;}]\z/s, "$1: its syntax begins with its name and is complete";
}
is_deeply \%documented, \%context, 'docs/directives.md has each directive, in its contexts';

my %named = map { $_ => 1 } $docs =~ /^\| `\$(weir_\w+)` \|/mg;
is_deeply \%named, \%variable, 'and each variable';


# --- the README's "Try it" works to the letter, but for the ports ----------------------------

my ($try) = slurp("$root/README.md") =~ /^## Try it\n(.*?)^## /ms;
my %port = map { $_ => free_port() } 18079 .. 18081;
my $ports = sub { my $text = shift; $text =~ s/\b(18079|1808[01])\b/$port{$1}/g; $text };
spit("$dir/conf/try.conf", $ports->(slurp("$root/conf/try.conf"))) if mkdir "$dir/conf";
symlink "$root/build", "$dir/module";
mkdir "$dir/build";
symlink "$root/build/ngx_http_weir_module.so", "$dir/build/ngx_http_weir_module.so";

my @steps;    # [command, output]
for (split /\n/, $try) {
    if (/^    \$ (.*)/) { push @steps, [$1, ''] }
    elsif (/^    (.*)/ && @steps) { $steps[-1][1] .= "$1\n" }
}
cmp_ok scalar(@steps), '>=', 8, 'README: "Try it" has its commands';
for my $step (@steps) {
    my ($command, $expected) = @$step;
    $command =~ s{\./weir build && }{};    # has been built
    open my $out, '-|', 'sh', '-c', "cd $dir && { " . $ports->($command) . "\n} 2>$dir/errors" or die $!;
    my $said = do { local $/; <$out> } // '';
    close $out;
    $said =~ s/\r//g;
    s/\bttl=(?:59\d|600)\b/ttl=N/, s/ +$//mg for $said, $expected;
    is $said, $expected, "README: $step->[0]" or diag slurp("$dir/errors");
    if ($command =~ /^redis-server|^nginx/) {
        until_true('it listens', sub { listens($port{$command =~ /^nginx/ ? 18080 : 18079}) });
    }
}


# --- the configuration of docs/own-api.md is accepted ----------------------------------------

my ($own) = slurp("$root/docs/own-api.md") =~ /^```nginx\n(.*?)^```$/ms;
my %file = (crt => "$dir/own.crt", key => "$dir/own.key", secret => "$dir/own.secret");
system("openssl req -x509 -newkey rsa:2048 -nodes -keyout $file{key} -out $file{crt} -subj /CN=api.example 2>/dev/null") == 0
    or die 'openssl failed';
spit($file{secret}, 'x' x 32 . "\n");
chmod 0600, $file{secret};
$own =~ s{/etc/nginx/[\w.-]+\.(crt|key|secret)}{$file{$1}}g;
$own =~ s{redis\.internal}{127.0.0.1};
$own =~ s{listen 443 }{'listen 127.0.0.1:' . free_port() . ' '}e;
spit("$dir/own.conf", "load_module $root/build/ngx_http_weir_module.so;\npid $dir/own.pid;\nevents {}\nhttp {\n" . temp_paths($dir) . "$own}\n");
my $said = `"$ENV{TEST_NGINX_BINARY}" -t -p $dir -e /dev/null -c $dir/own.conf 2>&1`;
is $?, 0, 'docs/own-api.md: nginx takes the configuration' or diag $said;
unlike $said, qr/\[(?:warn|error|emerg)\](?!.*"listen \.\.\. http2" directive is deprecated)/, 'without a warning';

done_testing;
