# A content handler that asks no upstream itself but leads to another location
# (Lua's ngx.exec), while the client's conditions are the cache's business.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../../lib";
use HTTP::Tiny;
use Test::More;
use Weir::Edge::Nginx 'start_nginx';
use Weir::Processes;
use Weir::Upstream;

my @lua = map { "/usr/lib/nginx/modules/$_.so" } qw(ndk_http_module ngx_http_lua_module);
plan skip_all => "there is no $lua[1]: install libnginx-mod-http-lua" if !-e $lua[1];
plan skip_all => 'takes the binary as the distribution has it' if !distribution_nginx();

start_upstream(sub {
    answer('200 OK', ['Cache-Control: max-age=600', 'ETag: "1"'], "body of $_[0]");
});

my ($weir) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my ($port, $upstream) = (free_port(), upstream());
start_nginx($dir, $port, modules => [@lua, $weir], http => <<"HTTP");
    weir_cache_zone z 1m;
    server {
        listen 127.0.0.1:$port;
        location /led/    { weir_cache z; content_by_lua_block { ngx.exec(ngx.var.uri:sub(5)) } }
        location /named   { weir_cache z; content_by_lua_block { ngx.exec("\@named") } }
        location /says    { weir_cache z; content_by_lua_block { ngx.say("said") } }
        location /waits {
            weir_cache z;
            content_by_lua_block {
                ngx.sleep(0.01)
                ngx.exec("/cached/waits")
            }
        }
        location /cached/ { weir_cache z; proxy_pass http://$upstream; }
        location /plain/  { proxy_pass http://$upstream; }
        location \@named  { weir_cache z; proxy_pass http://$upstream; }
    }
HTTP

my $http = HTTP::Tiny->new(timeout => 5, keep_alive => 0);

for (['/led/cached/a', '/cached/a', 'body of /cached/a', 1],
    ['/led/plain/a', '/plain/a', 'body of /plain/a', 2],
    ['/named', '/named', 'body of /named', 1],
    ['/waits', '/cached/waits', 'body of /cached/waits', 1], ['/says', undef, "said\n"]) {
    my ($path, $asked, $body, $times) = @$_;
    my %condition = (headers => { 'If-None-Match' => '"2"' });
    my $first = $http->get("http://127.0.0.1:$port$path", \%condition);
    is $first->{content}, $body, "$path with a condition that is not met";
    next if !$asked;
    my $next = $http->get("http://127.0.0.1:$port$path", \%condition);
    is $next->{content}, $body, '... and again';
    is asked($asked), $times, "... the upstream is asked $times times";
}

is scalar(log_lines("$dir/logs/error.log", qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
