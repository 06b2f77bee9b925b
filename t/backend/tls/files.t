# Changed certificates, keys and authorities are in use a second later, without a restart; wrong
# ones are not, and are logged once. When certificates expire is a metric, and soon a warning.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Time::Local qw(timegm);
use Weir::Base qw(free_port output_of wait_for);
use Weir::Tls::Certificates;
use Weir::Stack;
use Weir::Tls::Client qw(curl tls_connect tls_request);

my $s = Weir::Stack->new(postgres => 0, redis => 0);
my $pki = Weir::Tls::Certificates->new($s->dir . '/pki');
my $operators = free_port();

$pki->authority($_) for qw(ca next);
$pki->issue('first', ip => ['127.0.0.1']);
$pki->issue('second', ip => ['127.0.0.1'], days => 3);
$pki->issue('third', ip => ['127.0.0.1'], ca => 'next', days => 60);
$pki->issue('soon', ip => ['127.0.0.1'], ago => 30, days => 3);
$pki->issue('expired', ip => ['127.0.0.1'], ago => 30, days => -1);
$pki->issue('early', ip => ['127.0.0.1'], ago => -1);
$pki->issue('edge', uri => ['spiffe://weir.test/edge']);
$pki->issue('edge-next', uri => ['spiffe://weir.test/edge'], ca => 'next');

$pki->put('s.crt' => \'first.crt', 's.key' => \'first.key', 'clients.crt' => \'ca.crt');
my %conf = (
    database => 'host=/nowhere',
    tls_certificate => $pki->file('s.crt'),
    tls_key => $pki->file('s.key'),
    tls_client_ca => $pki->file('clients.crt'),
    tls_allowed_names => 'spiffe://weir.test/edge',
    tls_metrics => 'off',
    metrics_listen => "127.0.0.1:$operators",
    listen => "127.0.0.1:$s->{port}",
);

# --- faults at the start --------------------------------------------------------------------

subtest 'what is wrong at the start is refused, with its key and value' => sub {
    $pki->put(garbage => 'x', 'cut.crt' => substr($pki->text('first.crt'), 0, 300));
    $pki->_openssl('ec', '-aes128', '-passout', 'pass:x', '-in', $pki->file('first.key'),
        '-out', $pki->file('locked.key'));
    my @wrong = (
        [tls_certificate => '/nowhere.crt', qr{/nowhere\.crt: No such file}],
        [tls_certificate => '/dev/null', qr{/dev/null: it is no regular file}],
        [tls_certificate => $pki->file('garbage'), qr{no start line}],
        [tls_certificate => $pki->file('cut.crt'), qr{bad|end line}],
        [tls_certificate => '', qr{must be given with .*: all of them, or none}],
        [tls_key => $pki->file('second.key'), qr{key values mismatch}],
        [tls_key => $pki->file('locked.key'), qr{has a passphrase}],
        [tls_key => '', qr{all of them, or none}],
        [tls_client_ca => $pki->file('garbage'), qr{garbage: }],
        [tls_client_ca => '', qr{all of them, or none}],
        [tls_allowed_names => '', qr{all of them, or none}],
        [tls_allowed_names => '*.weir.test', qr{"\*\.weir\.test" must be spiffe://DOMAIN/PATH}],
        [tls_allowed_names => 'a.b spiffe://a', qr{"spiffe://a" is no SPIFFE ID}],
        [tls_metrics_names => 'spiffe://A/*', qr{"spiffe://A/\*"}],
        [tls_metrics => 'maybe', qr{must be off or on}],
        [redis_ca => $pki->file('garbage'), qr{garbage: }],
        [redis_key => $pki->file('first.key'), qr{redis_certificate and redis_key}],
        [smtp_starttls => 'on', qr{must be off or required}],
        [smtp_ca => '/nowhere', qr{/nowhere: No such file}],
        [payments_key => $pki->file('first.key'), qr{payments_certificate and payments_key}],
    );
    local $s->{conf} = { %conf, redis => 'rediss://127.0.0.1:1' };
    for my $case (@wrong) {
        my ($key, $value, $why) = @$case;
        local $s->{conf}{$key} = $value;
        my ($status, $output) = $s->run_backend('-t');
        is $status, 1, "$key = $value";
        like $output, qr/key "\Q$key\E|key "\w+"/, 'names a key' or diag $output;
        like $output, $why, 'and the reason';
    }
    is +($s->run_backend('-t'))[0], 0, 'and it is fine without these';
};

# --- changes -----------------------------------------------------------------------------------

$s->start_backend('api', conf => \%conf);

sub metric {
    my ($series) = @_;
    my $r = $s->request_at("http://127.0.0.1:$operators/metrics");
    my ($value) = $r =~ /^\Q$series\E (\S+)$/m;
    return defined $value ? $value + 0 : undef;
}

sub Weir::Stack::request_at {
    my ($self, $url) = @_;
    return HTTP::Tiny->new(timeout => 30)->get($url)->{content};
}

# When the certificate of the file expires, in seconds since 1970.
sub expiry {
    my ($name) = @_;
    my ($status, $out) =
        output_of(qw(openssl x509 -noout -enddate -dateopt iso_8601 -in), $pki->file("$name.crt"));
    my ($y, $m, $d, $h, $i, $sec) = $out =~ /(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)Z/
        or die "no date in $out\n";
    return timegm($sec, $i, $h, $d, $m - 1, $y);
}

my $expiry = 'weir_tls_certificate_expiry_seconds{use="listen",kind=';
sub reloads { return metric("weir_tls_reloads_total{use=\"listen\",result=\"$_[0]\"}") }
sub status {
    my ($name, @options) = @_;
    return curl($pki, $name, "https://127.0.0.1:$s->{port}/health", @options)->{status};
}
sub trusting { return ('--cacert', $pki->file("$_[0].crt")) }

# Changes files, and waits until they are in use.
sub change {
    my (%files) = @_;
    my $n = reloads('ok') + 1;
    $pki->put(%files);
    wait_for('the change' => sub { reloads('ok') == $n });
}

subtest 'at first' => sub {
    is status('edge'), 200, 'the certificate is in use';
    is metric("$expiry\"certificate\"}"), expiry('first'), 'its end is a metric';
    is metric("$expiry\"authority\"}"), expiry('ca'), 'and that of the authority';
    is reloads('ok'), 0, 'nothing has changed';
};

subtest 'another certificate' => sub {
    my @kept = map { tls_connect($pki, 'edge', $s->{port}) } 1 .. 2;
    like tls_request($_, '/health'), qr/200 OK(?!.*Connection: close)/s, 'a kept connection'
        for @kept;
    change('s.crt' => \'second.crt', 's.key' => \'second.key');
    is metric("$expiry\"certificate\"}"), expiry('second'), 'the metric is the new one\'s';
    like tls_request($kept[0], '/health'), qr/200 OK.*Connection: close/s,
        'a kept connection gets its answer, and is closed after it';
    is sysread($kept[0], my $more, 1), 0, 'by an orderly end';
    my $c = tls_connect($pki, 'edge', $s->{port});
    like tls_request($c, '/health'), qr/200 OK(?!.*Connection: close)/s, 'new ones are kept';
    like tls_request($kept[1], '/health'), qr/Connection: close/, 'the other one is closed, too';
};

subtest 'a client whose certificate ends' => sub {
    my $end = time + 8;
    $pki->issue('brief', uri => ['spiffe://weir.test/edge'], days => 8 / 86400);
    my $c = tls_connect($pki, 'brief', $s->{port});
    like tls_request($c, '/health'), qr/200 OK(?!.*Connection: close)/s, 'is answered';
    wait_for('its end' => sub { time > $end + 2 });
    like tls_request($c, '/health'), qr/200 OK.*Connection: close/s,
        'a kept connection ends at its next answer';
    is sysread($c, my $more, 1), 0, 'in order';
    is status('brief'), 0, 'and there is no new one';
};

subtest 'files that do not fit' => sub {
    my $failed = reloads('failed');
    $pki->put('s.crt' => \'first.crt');
    wait_for('the fault to be counted' => sub { reloads('failed') == $failed + 1 });
    is status('edge'), 200, 'the old pair is in use';
    is metric("$expiry\"certificate\"}"), expiry('second'), 'as the metric says';
    my $fault = 'changed certificates cannot be used, the old ones stay in use';
    my @lines = $s->logged('api', $fault);
    is scalar(@lines), 1, 'one line';
    like $lines[0]{error}, qr{s\.key: key values mismatch}, 'says why';
    $pki->put('s.crt' => 'x');
    wait_for('another fault' => sub { reloads('failed') == $failed + 2 });
    is scalar(my @two = $s->logged('api', $fault)), 2, 'is another line';
    unlink $pki->file('s.crt');
    wait_for('a third fault' => sub { reloads('failed') == $failed + 3 });
    is status('edge'), 200, 'still the old pair';
    $pki->put('s.crt' => \'expired.crt', 's.key' => \'expired.key');
    wait_for('an expired one' => sub { reloads('failed') == $failed + 4 });
    is status('edge'), 200, 'it does not replace a valid one';
    $pki->put('s.crt' => \'early.crt', 's.key' => \'early.key');
    wait_for('one that is not valid yet' => sub { reloads('failed') == $failed + 5 });
    is status('edge'), 200, '... neither';
    like +($s->logged('api', $fault))[-1]{error}, qr{s\.crt: the certificate is not valid yet},
        '... as the log says';
    $pki->issue('seconds', ip => ['127.0.0.1'], ago => -3 / 86400);
    change('s.crt' => \'seconds.crt', 's.key' => \'seconds.key');
    is status('edge'), 200, 'it is taken when it is';
    change('s.crt' => \'first.crt', 's.key' => \'first.key');
    is status('edge'), 200, 'a pair that fits is used again';
};

subtest 'other authorities' => sub {
    is status('edge-next'), 0, 'a client of another authority is refused';
    change('clients.crt' => $pki->text('ca.crt') . $pki->text('next.crt'));
    is status($_), 200, "both are let in: $_" for qw(edge edge-next);
    my $kept = tls_connect($pki, 'edge', $s->{port});
    like tls_request($kept, '/health'), qr/200 OK(?!.*Connection: close)/s, 'a connection';
    change('s.crt' => \'third.crt', 's.key' => \'third.key');
    is status('edge-next', trusting('next')), 200, 'the listener has one of the new authority';
    change('clients.crt' => \'next.crt');
    is status('edge', trusting('next')), 0, 'the old authority counts no more';
    is status('edge-next', trusting('next')), 200, 'the new one does';
    like tls_request($kept, '/health'), qr/200 OK.*Connection: close/s,
        'a connection of the old authority ends at its next answer';
};

subtest 'a change by a symbolic link, as of a volume of Kubernetes' => sub {
    my $failed = reloads('failed');
    mkdir $pki->file($_) for qw(v1 v2);
    $pki->put('v1/crt' => \'third.crt', 'v1/key' => \'third.key', 'v2/crt' => \'soon.crt',
        'v2/key' => \'soon.key');
    symlink 'v1', $pki->file('data');
    for my $end (qw(crt key)) {
        my $n = reloads('ok');
        symlink "data/$end", $pki->file("link.$end");
        rename $pki->file("link.$end"), $pki->file("s.$end");
        wait_for("the link s.$end" => sub { reloads('ok') > $n });
    }
    symlink 'v2', $pki->file('data.new');
    rename $pki->file('data.new'), $pki->file('data');
    my $end = expiry('soon');
    wait_for('the new pair' => sub { metric("$expiry\"certificate\"}") == $end });
    is status('edge-next', trusting('ca')), 200, 'both files have changed at once';
    is reloads('failed'), $failed, 'without a fault';
};

subtest 'a certificate that expires soon' => sub {
    my @lines;
    wait_for('the warning' => sub { @lines = $s->logged('api', 'a certificate expires soon') });
    is scalar(@lines), 1, 'is warned of once';
    is_deeply [@{ $lines[0] }{qw(level use kind file)}],
        ['warn', 'listen', 'certificate', $pki->file('s.crt')], 'with its file';
    like $lines[0]{expires}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, 'and its end';
};

is $s->stop_backend('api'), 0, 'it stops cleanly';

done_testing;
