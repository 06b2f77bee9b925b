# Combinations of directives with an unexpected meaning: nginx -t refuses them or warns, with
# names, values, file and line, and accepts correct ones silently.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../../lib";
use Test::More;
use Weir::Edge::Nginx 'configuration_said';
use Weir::Processes;

mkdir "$dir/logs";
my ($module) = grep { /ngx_http_weir_module/ } split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $zones = 'weir_cache_zone z 1m; weir_cache_zone shared 1m redis=r;'
    . ' weir_redis r redis://127.0.0.1:1; weir_breaker_zone b 1m;';
my $pass = 'proxy_pass http://127.0.0.1:1;';

# The output of nginx -t; the location's block begins in line 11, the server's in line 9.
sub say_of {
    my ($http, $server, $location) = @_;
    my $temp = temp_paths($dir) =~ s/\n/ /gr;
    spit("$dir/nginx.conf", <<"CONF");
pid $dir/pid;
error_log $dir/logs/error.log;
load_module $module;
events {}
http {
$temp
proxy_cache_path $dir/own keys_zone=own:1m; fastcgi_cache_path $dir/fast keys_zone=fast:1m;
$zones $http
server {
listen 127.0.0.1:1; $server
location /x { $location }
}
}
CONF
    my @said = split /\n/, configuration_said($dir);
    return join "\n", grep { /\[\w+\]/ && !/the "user" directive/ } @said;
}

my $conf = quotemeta "$dir/nginx.conf";

sub refused {
    my ($name, $what, $http, $server, $location, $line) = @_;
    like say_of($http, $server, $location),
        qr/^[^\n]*\[emerg\] [^\n]*\Q$what\E[^\n]* in $conf:@{[$line || 11]}$/, "refused: $name";
}
sub warned {
    my ($name, $what, $http, $server, $location, $line) = @_;
    like say_of($http, $server, $location),
        qr/^[^\n]*\[warn\] [^\n]*\Q$what\E[^\n]* in $conf:@{[$line || 11]}$/, "warned: $name";
}
sub silent { my ($name, @conf) = @_; is say_of(@conf), '', "right: $name" }

# --- what is asked of the upstream depends on more than the key ---

for my $p ('proxy_pass http://$host', 'proxy_pass http://127.0.0.1:1/$arg_a', 'fastcgi_pass $host',
    'grpc_pass grpc://$host', 'uwsgi_pass $host', 'scgi_pass $host') {
    silent("$p, whose value is part of the key", '', '', "weir_cache z; $p;");
    silent("$p with a key", '', '', "weir_cache z; weir_cache_key \"\$host \$request_uri\"; $p;");
}
silent('... inherited', 'weir_cache z;', '', 'proxy_pass http://$host;');
silent('memcached_pass', '', 'set $memcached_key $uri;',
    'weir_cache z; memcached_pass 127.0.0.1:1;');
refused('a *_pass that has no value yet', '"weir_cache" needs a "weir_cache_key" for location "/x":'
    . ' variable "$upstream_addr" of its *_pass has no value yet', '', '',
    'weir_cache z; proxy_pass http://127.0.0.1:1/$upstream_addr;');
refused('... by an if', '"weir_cache" needs a "weir_cache_key"', '', '',
    "weir_cache z; $pass if (\$arg_a) { proxy_pass http://\$upstream_addr; }");

# --- two caches ---

my $both = '"weir_cache" and nginx\'s own cache are both on in location "/x"';
refused('proxy_cache beside it', $both, '', '', "weir_cache z; proxy_cache own; $pass");
refused('proxy_cache around it', $both, 'proxy_cache own;', '', "weir_cache z; $pass");
refused('fastcgi_cache beside it', $both, '', '',
    'weir_cache z; fastcgi_cache fast; fastcgi_cache_key $uri; fastcgi_pass 127.0.0.1:1;');
silent('proxy_cache off', 'proxy_cache own;', '', "weir_cache z; proxy_cache off; $pass");

# --- no effect ---

warned('no *_pass', '"weir_cache" has no effect in location "/x", which has no *_pass', '', '',
    'weir_cache z; root /;');
silent('*_pass within', '', '', "weir_cache z; if (\$arg_a) { $pass }");
silent('PURGE alone', '', '', 'weir_cache z; weir_cache_purge on; return 405;');
silent('inherited by files', 'weir_cache z;', '', 'root /;');
for my $d ('weir_cache_purge on', 'weir_cache_key $uri', 'weir_cache_valid 10m',
    'weir_cache_use_stale error', 'weir_cache_bypass $arg_a', 'weir_cache_no_store $arg_a',
    'weir_cache_tags $uri', 'weir_cache_ignore_headers Vary', 'weir_cache_max_size 1k',
    'weir_cache_min_uses 2', 'weir_cache_keep 1m', 'weir_cache_heuristic 10%',
    'weir_cache_staleness 1s', 'weir_cache_request_control obey')
{
    my ($name) = $d =~ /(\S+)/;
    warned("$d without weir_cache",
        "\"$name\" has no effect in location \"/x\", where \"weir_cache\" is not on,", '', '',
        "$d; $pass");
    silent("$d around it", "$d;", '', $pass);
    silent("$d with a location in it that has", '', '',
        "$d; location /x/y { weir_cache z; $pass }");
}
warned('purge where it is off', '"weir_cache_purge" has no effect in location "/x"',
    'weir_cache z;', '', "weir_cache off; weir_cache_purge on; $pass");
warned('weir_breaker without *_pass',
    '"weir_breaker" has no effect in location "/x", which has no *_pass,', '', '',
    'weir_breaker zone=b; root /;');

warned('use_stale breaker',
    '"weir_cache_use_stale breaker" has no effect in location "/x", which has no "weir_breaker"',
    '', '', "weir_cache z; weir_cache_use_stale breaker; $pass");
warned('who shares what without tokens',
    '"weir_cache_authorized" has no effect in location "/x", where "weir_jwt" is not on', '', '',
    "weir_cache z; weir_cache_authorized shared; $pass");
warned('use_stale breaker around it', '"weir_cache_use_stale breaker" has no effect:'
    . ' no location with "weir_cache" has a "weir_breaker"',
    'weir_cache z; weir_cache_use_stale error breaker;', '', $pass);
silent('use_stale breaker with one', '', '',
    "weir_cache z; weir_cache_use_stale breaker; weir_breaker zone=b; $pass");
silent('use_stale breaker with one around it', 'weir_cache z; weir_cache_use_stale breaker;',
    'weir_breaker zone=b;', $pass);

my $room = '"weir_cache_max_size" of 104857600 bytes is too large: without redis= a response can'
    . ' take at most an eighth of "weir_cache_zone" "z", which is 131072 bytes';
warned('max_size', $room, '', '', "weir_cache z; weir_cache_max_size 100m; $pass");
warned('max_size around it', $room, 'weir_cache_max_size 100m;', '', "weir_cache z; $pass");
silent('max_size with Redis', '', '', "weir_cache shared; weir_cache_max_size 100m; $pass");
silent('max_size that fits', '', '', "weir_cache z; weir_cache_max_size 128k; $pass");

warned('weir_cache_bypass without its $',
    '"cookie_a" in "weir_cache_bypass" has no variable: it holds for every request', '', '',
    "weir_cache z; weir_cache_bypass cookie_a; $pass");
silent('weir_cache_bypass 0', '', '', "weir_cache z; weir_cache_bypass 0; $pass");

# --- read as something else ---

for ('200', '200 404', '404', '599') {
    my ($last) = /(\d+)$/;
    refused("weir_cache_valid $_", "invalid time \"$last\" in \"weir_cache_valid\"; it looks like"
        . " a status, so it must have a unit, like ${last}s, or a time must follow it",
        '', '', "weir_cache z; weir_cache_valid $_; $pass");
}
silent("weir_cache_valid $_", '', '', "weir_cache z; weir_cache_valid $_; $pass")
    for '200s', '200 404s', '60', '200 0', '3600', 'any 1m';
refused('a name with a colon', 'invalid name "CDN-Cache-Control:" in "weir_cache_control_headers"',
    '', '', "weir_cache z; weir_cache_control_headers CDN-Cache-Control:; $pass");
refused('weir_cache_get_body yes',
    'invalid value "yes" in "weir_cache_get_body"; it takes refuse, bypass', '', '',
    "weir_cache z; weir_cache_get_body yes; $pass");

done_testing;
