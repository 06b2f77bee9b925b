# The module in the distribution's nginx, beside every other module that is
# enabled there: reload under requests, and the upgrade of the running binary.
use strict;
use warnings;

use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::Bin/../lib";
use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Processes 'distribution_nginx';

plan skip_all => 'takes the binary as the distribution has it' if $ENV{WEIR_NGINX};

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/logs";
symlink "/usr/share/nginx/modules", "$dir/modules";  # the paths there are relative

sub until_true {
    my ($what, $condition) = @_;
    for (1 .. 400) {
        return 1 if $condition->();
        sleep 0.05;
    }
    die("waited in vain until $what");
}

sub slurp { open my $in, '<', $_[0] or return ''; local $/; scalar <$in> }
sub master { slurp("$dir/pid") =~ /(\d+)/ ? $1 : 0 }

END {
    my $status = $?;
    kill 'TERM', grep { $_ } master(), slurp("$dir/pid.oldbin") =~ /(\d+)/;
    $? = $status;
}

my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')->sockport;
my $temp = join '', map { "${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
my @own = grep { !/probe/ } split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $others = distribution_nginx() && -d '/etc/nginx/modules-enabled'
    ? 'include /etc/nginx/modules-enabled/*.conf;' : '';

open my $conf, '>', "$dir/nginx.conf" or die $!;
print $conf <<"EOF";
pid $dir/pid;
error_log $dir/logs/error.log notice;
worker_processes auto;
$others
load_module @own;
events {}
http {
    $temp
    access_log off;
    weir_api shop { media_type application/vnd.shop; versions 1 2; }
    weir_breaker_zone upstreams 1m;
    weir_redis main redis://127.0.0.1;
    weir_cache_zone answers 1m;
    server {
        listen 127.0.0.1:$port;
        default_type application/json;
        location / {
            weir_version shop;
            weir_breaker zone=upstreams;
            proxy_pass http://127.0.0.1:$port/upstream;
        }
        location /cached {
            weir_version shop;
            weir_cache answers;
            proxy_pass http://127.0.0.1:$port/fresh;
        }
        location /upstream { return 200 fine; }
        location /fresh { expires 1h; return 200 \$request_id; }
    }
}
EOF
close $conf;
my @nginx =
    ($ENV{TEST_NGINX_BINARY}, '-e', "$dir/logs/error.log", '-p', $dir, '-c', "$dir/nginx.conf");
is system(@nginx), 0, 'nginx starts with every module that is enabled';
my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
my (%type, %cached);

sub request {
    my $answer = $http->get("http://127.0.0.1:$port/");
    my $type = $answer->{headers}{'content-type'} // '';
    $type = $answer->{content} if !$answer->{success};
    $type{"$answer->{status} $type"}++;
    $answer = $http->get("http://127.0.0.1:$port/cached");
    $cached{"$answer->{status} $answer->{content}"}++;
}

until_true('nginx listens', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") });
request(); # a reload that comes before the first workers has no old ones
for (1 .. 3) {
    my $before = () = slurp("$dir/logs/error.log") =~ /exited with code 0/g;
    kill 'HUP', master();
    until_true('old workers have left', sub {
        request();
        my $now = () = slurp("$dir/logs/error.log") =~ /exited with code 0/g;
        $now > $before;
    });
}
is_deeply [keys %type], ['200 application/vnd.shop.v2+json'], 'no request noticed three reloads';
is keys %cached, 1, 'and what is cached outlived them';
%cached = ();

my $old = master();
kill 'USR2', $old;
until_true('the new binary runs', sub { request(); master() && master() != $old });
kill 'QUIT', $old;
until_true('the old one has left', sub { request(); !kill 0, $old });
request() for 1 .. 20;
is_deeply [keys %type], ['200 application/vnd.shop.v2+json'], 'nor the upgrade of the binary';
is_deeply [grep { !/^200 [0-9a-f]{32}\z/ } keys %cached], [], 'what is cached is whole';
cmp_ok scalar(keys %cached), '<=', 2, 'and was fetched once more, for the new memory';
unlike slurp("$dir/logs/error.log"), qr/\[(alert|emerg|crit)\]|signal 11|exited on signal/,
    'the log has no alert';

done_testing;
