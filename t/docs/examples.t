# The commands of README.md do what it says, and nginx takes each configuration of the documents
# (in a block marked as nginx).
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use Test::More;
use Weir::Docs qw($root markdown slurp);
use Weir::Processes qw(free_port listens spit temp_paths until_true $dir);

# --- the README's "Try it" works to the letter, but for the ports ----------------------------

my ($try) = slurp('README.md') =~ /^## Try it\n(.*?)^## /ms;
my %port = map { $_ => free_port() } 18079 .. 18081;
my $ports = sub { my $text = shift; $text =~ s/\b(18079|1808[01])\b/$port{$1}/g; $text };
spit("$dir/conf/try.conf", $ports->(slurp('conf/try.conf'))) if mkdir "$dir/conf";
symlink "$root/build", "$dir/module";
mkdir "$dir/build";
symlink "$root/build/ngx_http_weir_module.so", "$dir/build/ngx_http_weir_module.so";

my @steps; # [command, output]
for (split /\n/, $try) {
    if (/^    \$ (.*)/) { push @steps, [$1, ''] }
    # The command goes on
    elsif (/^     +(.*)/ && @steps && $steps[-1][1] eq '') { $steps[-1][0] .= "\n$1" }
    elsif (/^    (.*)/ && @steps)                          { $steps[-1][1] .= "$1\n" }
}
cmp_ok scalar(@steps), '>=', 8, 'README: "Try it" has its commands';
for my $step (@steps) {
    my ($command, $expected) = @$step;
    $command =~ s{\./weir build && }{}; # has been built
    open my $out, '-|', 'sh', '-c', "cd $dir && { " . $ports->($command) . "\n} 2>$dir/errors"
        or die $!;
    my $said = do { local $/; <$out> }
        // '';
    close $out;
    $said =~ s/\r//g;
    s/\bttl=(?:59\d|600)\b/ttl=N/, s/ +$//mg for $said, $expected;
    is $said, $expected, "README: $step->[0]" or diag `cat $dir/errors`;
    if ($command =~ /^redis-server|^nginx/) {
        until_true('it listens' => sub { listens($port{ $command =~ /^nginx/ ? 18080 : 18079 }) });
    }
}


# --- the configurations of the documents are accepted ----------------------------------------

my %file = map { $_ => "$dir/own.$_" } qw(crt key secret jwks pem);
system(   "openssl req -x509 -newkey rsa:2048 -nodes -keyout $file{key} -out $file{crt}"
        . " -subj /CN=api.example 2>/dev/null") == 0
    or die 'openssl failed';
spit($file{secret}, 'x' x 32 . "\n");
spit($file{jwks}, '{"keys":[{"kty":"OKP","crv":"Ed25519",'
        . '"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}');
system("openssl genpkey -quiet -algorithm ed25519 -out $file{pem}") == 0 or die 'openssl failed';
chmod 0600, @file{qw(secret pem)};

# tested(NAME, TEXT): what nginx -t says of TEXT in http {}, with files and addresses of this
# machine.
sub tested {
    my ($name, $text) = @_;
    $text =~ s{/etc/nginx/[\w.-]+\.(crt|key|secret|jwks|pem)}{$file{$1}}g;
    $text =~ s{/etc/weir/redis/weir-edge\b}{$file{secret}}g;
    $text =~ s{\bredis\.internal\b}{127.0.0.1}g;
    $text =~ s{\blisten (?:80|443)\b}{'listen 127.0.0.1:' . free_port()}ge;
    spit("$dir/own.conf",
              "load_module $root/build/ngx_http_weir_module.so;\npid $dir/own.pid;\nevents"
            . " {}\nhttp {\n"
            . temp_paths($dir)
            . "$text}\n");
    my $said = `"$ENV{TEST_NGINX_BINARY}" -t -p $dir -e /dev/null -c $dir/own.conf 2>&1`;
    is $?, 0, "$name: nginx takes the configuration" or diag $said;
    unlike $said, qr/\[(?:warn|error|emerg)\](?!.*"listen \.\.\. http2" directive is deprecated)/,
        '... without a warning';
}

my $configurations = 0;
for my $path (markdown()) {
    my $n = 0;
    for my $text (slurp($path) =~ /^```nginx\n(.*?)^```$/msg) {
        tested("$path, configuration " . ++$n, $text);
    }
    $configurations += $n;
}
cmp_ok $configurations, '>=', 2, 'the configurations are found';

done_testing;
