# Traces beside Lua, as in OpenResty: the context of a request is one and the same in all phases and
# after ngx.exec, and what Lua asks upstreams is a part of the request.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Processes;

my @lua = map { "/usr/lib/nginx/modules/$_.so" } qw(ndk_http_module ngx_http_lua_module);
plan skip_all => "there is no $lua[1]: install libnginx-mod-http-lua" if !-e $lua[1];
plan skip_all => 'takes the binary as the distribution has it' if !distribution_nginx();

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($name) = $path =~ m{^/(\w+)};
    spit("$dir/received-$name-$n", $request);
    return answer('200 OK', ['Cache-Control: max-age=600'], "answer of $name");
});
start_traced(<<'HTTP', <<'SERVER', main => join '', map { "load_module $_;\n" } @lua);
    weir_cache_zone memory 1m;
    weir_trace on;
HTTP
    set $ids '';
    location / { proxy_pass http://UPSTREAM; }
    location /phases {
        rewrite_by_lua_block { ngx.var.ids = ngx.var.weir_trace_id .. " " .. ngx.var.weir_span_id }
        access_by_lua_block {
            ngx.sleep(0.001)
            ngx.var.ids = ngx.var.ids .. " " .. ngx.var.weir_trace_id .. " " .. ngx.var.weir_span_id
        }
        header_filter_by_lua_block {
            ngx.header["X-Ids"] = ngx.var.ids .. " " .. ngx.var.weir_trace_id .. " "
                .. ngx.var.weir_span_id
        }
        proxy_pass http://UPSTREAM;
    }
    location /exec {
        weir_cache memory;
        content_by_lua_block {
            ngx.header["X-Ids"] = ngx.var.weir_trace_id .. " " .. ngx.var.weir_span_id
            ngx.exec("/target")
        }
    }
    location /target {
        weir_cache memory;
        header_filter_by_lua_block {
            ngx.header["X-Ids"] = ngx.var.weir_trace_id .. " " .. ngx.var.weir_span_id
        }
        proxy_pass http://UPSTREAM;
    }
    location /capture {
        content_by_lua_block {
            local one, two = ngx.location.capture_multi({ { "/one" }, { "/two",
                { method = ngx.HTTP_POST, body = "x" } } })
            ngx.header["X-Ids"] = ngx.var.weir_trace_id .. " " .. ngx.var.weir_span_id
            ngx.print(one.body, ", ", two.body)
        }
    }
    location /checked {
        access_by_lua_block {
            if ngx.location.capture("/check").status ~= 200 then return ngx.exit(403) end
        }
        proxy_pass http://UPSTREAM;
    }
    location /refused {
        access_by_lua_block { return ngx.exit(403) }
        proxy_pass http://UPSTREAM;
    }
    location /fails {
        content_by_lua_block { error("on purpose") }
    }
SERVER

# The server span and the client spans, which have sent their ids to the upstreams named.
sub check {
    my ($what, $path, $status, @names) = @_;
    my ($response, @spans) = traced($what, sub {
        get($path, { traceparent => '00-' . id('a', 16) . '-' . id('b', 8) . '-01' })
    });
    is $response->{status}, $status, "$what: the response";
    my $server = server_span(@spans);
    is $server->{attributes}{'http.response.status_code'}, $status, '... and its status';
    is $server->{attributes}{'url.path'}, $path, '... and path';
    my @clients = grep { $_->{kind} == 3 } @spans;
    my %received = map { my $name = $_;
        my $n = () = glob "$dir/received-$name-*";
        my @parents = lines_of('traceparent', slurp("$dir/received-$name-$n"));
        is scalar(@parents), 1, "... /$name got one context";
        fields($parents[0])->{id} => $name } @names;
    is_deeply [sort map { $received{ $_->{id} } // 'none' } @clients], [sort @names],
        '... the upstreams got the ids of the client spans';
    is scalar(grep { $_->{parent} ne $server->{id} || $_->{trace} ne $server->{trace} } @clients),
        0, '... which are within the request';
    my %ids = map { $_ => 1 } ($response->{headers}{'x-ids'} // '') =~ /(\w{32} \w{16})/g;
    is_deeply [keys %ids], ["$server->{trace} $server->{id}"], '... Lua sees the ids of its span'
        if $response->{headers}{'x-ids'};
    return ($response, $server, @clients);
}

my ($response) = check('all phases', '/phases', 200, 'phases');
is scalar(my @ids = split ' ', $response->{headers}{'x-ids'}), 6, '... in each of them';
check('ngx.exec', '/exec', 200, 'target');
my ($again, $server, @clients) = check('ngx.exec to a hit', '/exec', 200);
is $server->{attributes}{'weir.cache.status'}, 'HIT', '... is one';
($again, $server, @clients) = check('subrequests', '/capture', 200, 'one', 'two');
is $again->{content}, 'answer of one, answer of two', '... have their answers';
is_deeply [sort map { $_->{name} } @clients], ['GET', 'POST'], '... by their own methods';
check('a subrequest before', '/checked', 200, 'check', 'checked');
check('a refusal', '/refused', 403);
check('an error in Lua', '/fails', 500);

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
