# weir_problem_pages: nginx's own error pages are problem documents, in every protocol; responses
# of operators and upstreams are not changed.
use strict;
use warnings;

use FindBin '$Bin';
use IO::Socket::INET;
use lib "$Bin/cache", "$Bin/../lib";
use JSON::PP;
use Scene;
use Test::More;
use Weir::Edge::Nginx qw(http2_directives make_certificate);
use Weir::Processes;

start_upstream(sub {
    answer('404 Not Found', ['Content-Type: text/html'], "<html>\r\n<head><title>404 theirs");
});

my $tls = free_port();
my ($listen, $on) = http2_directives();
make_certificate('a.test');
mkdir "$dir/html";
spit("$dir/page.html", "<html>\r\n<head><title>404 a file</title></head>");
spit("$dir/users", 'u:x');
# Takes connections and says nothing.
my $silent = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1:0') or die $!;
my $hanging = $silent->sockport;

my $page = '<html><h1>ours</h1></html>';
my $server = <<"SERVER";
        root $dir/html; client_max_body_size 10; large_client_header_buffers 2 1k;
        add_header X-Always yes always;
        location /off { weir_problem_pages off; }
        location /file { alias $dir/page.html; }
        location /allow { add_header Allow "GET, HEAD" always; return 405; }
        location /late { proxy_read_timeout 100ms; proxy_pass http://127.0.0.1:$hanging; }
        location /nothing { return 444; }
        location /leaves { access_log $dir/leaves.log; proxy_pass http://127.0.0.1:$hanging; }
        location /down { proxy_pass http://127.0.0.1:1; }
        location /theirs { proxy_pass http://UPSTREAM; }
        location /auth { auth_basic realm; auth_basic_user_file $dir/users; }
        location /deny { deny all; }
        location /limit { limit_req zone=one; try_files /none =403; }
        location /teapot { return 418; }
        location /law { return 451; }
        location /text { default_type text/html; return 404 "$page"; }
        location /own {
            error_page 404 /page;
            error_page 403 \@named;
            location /own/403 {
                deny all;
            }
        }
        location /page { alias $dir/page.html; default_type text/html; }
        location \@named { default_type text/html; return 403 "$page"; }
        location /lost { error_page 403 /nowhere; deny all; }
SERVER
start_edge(<<"HTTP", $server);
    weir_problem_pages on;
    limit_req_zone \$uri zone=one:1m rate=1r/m;
    server {
        listen 127.0.0.1:$tls ssl $listen;
        $on ssl_certificate $dir/certificate;
        ssl_certificate_key $dir/key;
        $server
    }
HTTP

sub curl {
    my ($url, @args) = @_;
    open my $out, '-|', 'curl', '-ski', '--max-time', 20, @args, $url or die "curl: $!";
    local $/;
    my ($head, $body) = split /\r\n\r\n/, scalar(<$out>) // '', 2;
    my ($status) = ($head // '') =~ m{^HTTP/\S+ (\d+)};
    my %field = map { /^([\w-]+): (.*?)\r?$/ ? (lc $1, $2) : () } split /\n/, $head // '';
    return { status => $status, field => \%field, body => $body // '' };
}

sub is_problem {
    my ($r, $status, $title, $name, $detail) = @_;
    my $json = eval { decode_json($r->{body}) };
    is_deeply [$r->{status}, $r->{field}{'content-type'}, $r->{field}{'content-length'}, $json],
        [$status, 'application/problem+json', length $r->{body},
         { type => 'about:blank', title => $title, status => $status,
             $detail ? (detail => $detail) : () }],
         $name;
}

my $plain = port_of_edge();
for (['HTTP/1.1', "http://127.0.0.1:$plain", '--http1.1'],
    ['TLS', "https://127.0.0.1:$tls", '--http1.1'],
     ['HTTP/2', "https://127.0.0.1:$tls", '--http2']) {
    my ($world, $base, @as) = @$_;
    my $ask = sub { curl($base . shift, @as, @_) };

    my $r = $ask->('/none');
    is_problem($r, 404, 'Not Found', "$world: 404 of a file that is not there");
    is $r->{field}{'x-always'}, 'yes', "$world: add_header always is sent with it";
    is_problem($ask->('/none', '-X', 'POST', '-d', 'x'), 404, 'Not Found', "$world: 404 of a POST");
    is_problem($ask->('/none', '-d', 'x' x 100), 413, 'Request Entity Too Large', "$world: 413");
    is_problem($ask->('/down'), 502, 'Bad Gateway', "$world: 502");
    is_problem($ask->('/late'), 504, 'Gateway Time-out', "$world: 504");
    is_problem($ask->('/file', '-d', 'x'), 405, 'Not Allowed', "$world: 405 of a file");
    $r = $ask->('/allow', '-X', 'DELETE');
    is_problem($r, 405, 'Not Allowed', "$world: 405");
    is $r->{field}{allow}, 'GET, HEAD', "$world: with Allow";
    is $ask->('/nothing')->{status}, undef, "$world: 444 has no answer at all";
    is_problem($ask->('/deny'), 403, 'Forbidden', "$world: 403");
    $r = $ask->('/auth');
    is_problem($r, 401, 'Authorization Required', "$world: 401");
    is $r->{field}{'www-authenticate'}, 'Basic realm="realm"', "$world: with WWW-Authenticate";
    is_problem($ask->('/law'), 451, 'Unavailable For Legal Reasons',
        "$world: a status that nginx has no page for");
    is_problem($ask->('/teapot'), 418, 'Client Error', "$world: one that has no name");
    is_problem($ask->('/lost'), 404, 'Not Found', "$world: an error_page that is not there");
    # over HTTP/2 nginx closes the connection instead
    is_problem($ask->('/none', '-H', 'X-Long: ' . 'x' x 3000), 400, 'Bad Request',
        "$world: a field too long, before a location is known",
        'Request Header Or Cookie Too Large')
        if $world ne 'HTTP/2';

    $r = $ask->('/none', '-I');
    is_deeply [$r->{status}, $r->{field}{'content-type'}, $r->{body}],
        [404, 'application/problem+json', ''], "$world: HEAD has no body";
    is $ask->('/off')->{field}{'content-type'}, 'text/html', "$world: off is as nginx is";
    is $ask->('/theirs')->{body}, "<html>\r\n<head><title>404 theirs",
        "$world: the upstream's own is left alone";
    is $ask->('/text')->{body}, $page, "$world: so is the text of return";
    is $ask->('/own/none')->{body}, "<html>\r\n<head><title>404 a file</title></head>",
        "$world: a file of error_page wins";
    is $ask->('/own/403')->{body}, $page, "$world: and a named location of error_page";
}

# --- the bare connection ---

sub raw {
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$plain") or die $!;
    print $s @_;
    local $/;
    return scalar <$s>;
}
like raw("GET / HTTP/9.9\r\n\r\n"),
    qr{^HTTP/1.1 505 .*problem\+json.*"title":"HTTP Version Not Supported"}s,
    '505 for a version of HTTP';
my $bad_request = '{"type":"about:blank","title":"Bad Request","status":400}';
like raw("\x01\x02\r\n\r\n"),
    qr{^HTTP/1.1 400 .*problem\+json.*\r\n\r\n\Q$bad_request\E\n\z}s,
    'what is no request';
like raw('GET /' . 'x' x 3000 . " HTTP/1.1\r\n\r\n"),
    qr{^HTTP/1.1 414 .*problem\+json.*"status":414}s, '414 for a long URI';
my @answers = raw("GET /none HTTP/1.1\r\nHost: a\r\n\r\n" x 2
    . "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") =~ /("status":404\})/g;
is scalar(@answers), 3, 'pipelined requests get one each, and the connection is kept';
my $leaving = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$plain") or die $!;
print $leaving "GET /leaves HTTP/1.1\r\nHost: a\r\n\r\n";
close $leaving;
until_true('a client that left is logged', sub {
    (slurp("$dir/leaves.log") // '') =~ m{"GET /leaves HTTP/1.1" 499 0 };
});
curl("http://127.0.0.1:$plain/limit");
is_problem(curl("http://127.0.0.1:$plain/limit"), 503, 'Service Temporarily Unavailable',
    'limit_req');

is scalar(logged(qr/\[(alert|emerg|crit)\]/)), 0, 'the log has no error';
done_testing;
