# What subrequests ask of upstreams is counted as well: once for each server that was tried, by the
# route of the subrequest, and in what routes cost.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Families;
use Scene;
use Test::More;
use Weir::Processes;

start_upstream(sub {
    my ($path) = @_;
    return answer('200 OK', ['Content-Type: text/html'],
        '<!--#include virtual="/part/1" --> <!--#include virtual="/part/2" -->') if $path =~ /page/;
    return answer('403 Forbidden', [], 'no') if $path =~ /auth/;
    return answer('200 OK', [], "of $path");
});
my $dead = free_port();

start_edge(<<"HTTP", <<'SERVER');
    upstream tried { server 127.0.0.1:$dead; server UPSTREAM backup; }
HTTP
    location /page     { ssi on; proxy_pass http://UPSTREAM; }
    location /part/    { proxy_pass http://tried; }
    location /guarded  { auth_request /auth; proxy_pass http://UPSTREAM; }
    location = /auth   { internal; proxy_pass http://UPSTREAM; }
    location /mirrored { mirror /copy; proxy_pass http://UPSTREAM; }
    location = /copy   { internal; proxy_pass http://UPSTREAM; }
    location = /metrics { weir_metrics; }
SERVER

my $families;
sub counted { $families = families(text => get('/metrics')->{content}) }

sub tries {
    my ($route, %labels) = @_;
    return total($families, 'http_client_request_duration_seconds_count', http_route => $route,
        %labels) // 0;
}

is get('/page')->{content}, 'of /part/1 of /part/2', 'a page of two parts';
counted();
is tries('/page'), 1, 'the page';
is tries('/part/', http_response_status_code => 200), 2, 'its parts';
cmp_ok tries('/part/', error_type => '_OTHER'), '>=', 1, '... and the server that was tried before';
is total($families, 'http_server_request_duration_seconds_count', http_route => '/part/') // 0, 0,
    'no part is a request of a client';

is get('/guarded')->{status}, 403, 'a subrequest that forbids';
counted();
is tries('= /auth', http_response_status_code => 403), 1, '... is counted';
is tries('/guarded'), 0, '... and nothing else was asked';

is get('/mirrored')->{content}, 'of /mirrored', 'a mirrored request';
until_true('the copy was counted', sub { counted(); tries('= /copy') == 1 });
is tries('/mirrored'), 1, '... and the request once';

done_testing();
