# The module beside Lua in nginx, as in OpenResty: the values that Lua sees in each phase of a
# request, and the order of Lua's access checks and responses from the cache.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use HTTP::Tiny;
use Test::More;
use Weir::Processes;
use Weir::Upstream;

my $modules = '/usr/lib/nginx/modules';
my @lua = map { "$modules/$_.so" } qw(ndk_http_module ngx_http_lua_module);
plan skip_all => "there is no $lua[1]: install libnginx-mod-http-lua" if !-e $lua[1];
plan skip_all => 'takes the binary as the distribution has it' if !distribution_nginx();

my ($weir) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
my ($port, $root);

start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('500 Internal Server Error', [], '') if $path =~ m{^/failing};
    my ($seen) = $request =~ /^X-Seen: (.*?)\r$/mi;
    return answer('200 OK',
        ['Cache-Control: max-age=600', 'Content-Type: application/json', 'X-From: upstream'],
        "$n [" . ($seen // '') . ']');
});

sub start_edge {
    my ($name, @order) = @_;
    my $upstream = upstream();
    $root = "$dir/$name";
    $port = free_port();
    mkdir $_ for $root, "$root/logs";
    my $load = join '', map { "load_module $_;\n" } @order;
    my $temp = temp_paths($root);
    spit("$root/nginx.conf", <<"CONF");
daemon off;
pid $root/pid;
error_log $root/logs/error.log notice;
worker_processes 1;
$load
events {}
http {
$temp
    access_log off;
    weir_breaker_zone breakers 1m;
    weir_cache_zone hits 1m;
    weir_api shop {
        media_type application/vnd.shop;
        header     API-Version;
        versions   1 2 3;
        default    2;
        deprecated 1 since=2026-01-01 sunset=2999-01-01;
    }
    lua_shared_dict count 64k;
    server {
        listen 127.0.0.1:$port;

        location / {
            weir_version shop;
            weir_breaker zone=breakers key=\$uri failures=2 open=1h;
            weir_cache   hits;
            rewrite_by_lua_block {
                if ngx.var.arg_want then ngx.req.set_header("API-Version", ngx.var.arg_want) end
            }
            access_by_lua_block {
                ngx.sleep(0)  -- the request comes back to the phase later
                ngx.shared.count:incr(ngx.var.uri, 1, 0)
                if ngx.var.http_x_key == "wrong" then return ngx.exit(403) end
                local seen = { ngx.var.weir_version, ngx.var.weir_media_type,
                    ngx.var.weir_version_status, ngx.var.weir_breaker_state }
                ngx.req.set_header("X-Seen", table.concat(seen, " "))
            }
            header_filter_by_lua_block {
                ngx.header.content_length = nil  -- the body grows
                ngx.header["X-Status"] = ngx.var.weir_cache_status
                ngx.header["X-Request"] = ngx.var.request_id
                ngx.header["X-From"] = (ngx.header["X-From"] or "") .. " and Lua"
            }
            body_filter_by_lua_block {
                if ngx.arg[2] then ngx.arg[1] = ngx.arg[1] .. " Lua" end
            }
            log_by_lua_block {
                ngx.log(ngx.NOTICE, "at the end ", ngx.var.uri, " ", ngx.status, " ",
                    ngx.var.weir_version, " ", ngx.var.weir_cache_status, " ",
                    ngx.var.weir_breaker_state, ";")
            }
            proxy_http_version 1.1;
            proxy_pass http://$upstream;
        }
        location /set {
            weir_version shop;
            set_by_lua_block \$early { return ngx.var.weir_version }
            return 200 \$early;
        }
        location /read-before {
            weir_version shop;
            set \$early \$weir_version;
            rewrite_by_lua_block { ngx.req.set_header("API-Version", "3") }
            content_by_lua_block { ngx.print(ngx.var.early, " ", ngx.var.weir_version) }
        }
        location /content {
            weir_version shop;
            weir_cache   hits;
            content_by_lua_block {
                ngx.header.content_type = "application/json"
                ngx.header.cache_control = "max-age=600"
                ngx.print(ngx.var.weir_version, " ", (ngx.shared.count:incr("content", 1, 0)))
            }
        }
        location /capture {
            content_by_lua_block {
                local answer = ngx.location.capture("/parts" .. ngx.var.uri)
                ngx.print(answer.status, " ", answer.body)
            }
        }
        location /count {
            content_by_lua_block { ngx.print(ngx.shared.count:get(ngx.var.arg_of) or 0) }
        }
    }
}
CONF
    spawn_nginx($name, $root);
    until_true('the edge listens', sub { listens($port) });
}

sub get {
    my ($path, %headers) = @_;
    $http->get("http://127.0.0.1:$port$path", { headers => \%headers });
}

# How often Lua was asked about a path.
sub admitted { get("/count?of=$_[0]")->{content} }

# Lua's log lines for a path, after that number of requests: Lua logs after the response.
sub at_the_end {
    my ($path, $number) = @_;
    my @lines;
    until_true("$number requests for $path are logged", sub {
        @lines = map { /at the end (.*?);/ } log_lines("$root/logs/error.log",
            qr/at the end \Q$path\E /);
        @lines >= $number;
    });
    return @lines;
}

for my $order (['lua-first', @lua, $weir], ['weir-first', $weir, @lua]) {
    my ($name) = @$order;
    start_edge(@$order);

    # --- what access_by_lua sees ---

    like get("/$name/default")->{content}, qr{\[2 application/vnd\.shop\.v2\+json current closed\]},
        "$name: access_by_lua sees the default version, its type and status, and the state of"
        . ' the breaker';
    like get("/$name/asked", Accept => 'application/vnd.shop.v1+json')->{content},
        qr{\[1 application/vnd\.shop\.v1\+json deprecated closed\]},
        'and the version that the client asks for';
    like get("/$name/rewritten?want=3")->{content},
        qr{\[3 application/vnd\.shop\.v3\+json current closed\]},
        'and the one that rewrite_by_lua has asked for';
    is get('/set', 'API-Version' => 'v3')->{content}, '3', 'set_by_lua sees it too';
    is get('/read-before')->{content}, '2 2', 'a version that was read before stays';

    my $refused = get("/$name/refused", Accept => 'application/vnd.shop.v9+json');
    is $refused->{status}, 406, 'what is not offered is refused';
    is admitted("/$name/refused"), 0, 'before access_by_lua is asked';

    # --- the cache ---

    my $path = "/$name/cached";
    my $miss = get($path);
    my $hit = get($path);
    is "$miss->{headers}{'x-status'} $hit->{headers}{'x-status'}", 'MISS HIT',
        'header_filter_by_lua sees what the cache made of a request';
    is asked($path), 1, 'a hit does not reach the upstream';
    is $hit->{content}, '1 [2 application/vnd.shop.v2+json current closed] Lua',
        'what body_filter_by_lua does is done to a hit, once';
    is $hit->{headers}{'x-from'}, 'upstream and Lua', 'and what header_filter_by_lua does';
    isnt $hit->{headers}{'x-request'}, $miss->{headers}{'x-request'},
        'with the variables of its own request';
    is $hit->{headers}{'content-type'}, 'application/vnd.shop.v2+json',
        'and the type of its version';

    is get($path, 'X-Key' => 'wrong')->{status}, 403,
        'access_by_lua can refuse what is in the cache';
    is admitted($path), 3, 'for it is asked before each hit';

    my @logged = at_the_end($path, 3);
    is_deeply [@logged[0, 1]], ["$path 200 2 MISS closed", "$path 200 2 HIT closed"],
        'log_by_lua sees all of it';

    # --- the breaker ---

    $path = "/$name/failing";
    $path =~ s{^/(.*)/failing}{/failing/$1};
    is_deeply [map { get($path)->{status} } 1 .. 3], [500, 500, 503],
        'the breaker opens after two failures';
    like +(at_the_end($path, 3))[-1], qr/ 503 2 \S* ?open$/, 'log_by_lua sees it open';
    is asked($path), 2, 'and a refused request has not reached the upstream';

    # --- Lua makes the answer ---

    my $made = get('/content', Accept => 'application/vnd.shop.v1+json');
    is $made->{content}, '1 1', 'content_by_lua sees the version';
    is $made->{headers}{'content-type'}, 'application/vnd.shop.v1+json',
        'its answer has the type of the version';
    is $made->{headers}{deprecation}, '@1767225600', 'and says that it is deprecated';

    is get('/content', Accept => 'application/vnd.shop.v1+json')->{content}, '1 2',
        'and it is made again each time';
    is_deeply [map { get("/capture/$name")->{content} } 1 .. 2], [map { "200 $_ [] Lua" } 1 .. 2],
        'what ngx.location.capture asks for passes the cache by, as every subrequest';

    stop($name, 'TERM');
    my @errors = log_lines("$root/logs/error.log", qr/\[(?:error|crit|alert|emerg)\]|signal 11/);
    is scalar(grep { /weir_breaker "\S+" of zone "breakers" is open/ } @errors), 1,
        'the log says which breaker opened';
    is_deeply [grep { !/weir_breaker "\S+" of zone "breakers" is open/ } @errors], [],
        'and has no other error';
}

done_testing;
