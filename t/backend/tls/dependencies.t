# PostgreSQL, Redis, the mail server and the payment gateway by TLS with certificates on both sides:
# an authority that did not sign, a name that is another's, an expired certificate and none. Each is
# a clear error, loses no event, and ends when the files are replaced, without a restart.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Temp qw(tempdir);
use Test::More;
use Weir::Base qw(free_port listens wait_for);
use Weir::Tls::Certificates;
use Weir::Events;
use Weir::Payments;
use Weir::Redis qw(redis_server redis_users redis_watch);
use Weir::Stack;

my $folder = tempdir('/tmp/weir-tls.XXXXXX', CLEANUP => 1);
chmod 0755, $folder;
my $pki = Weir::Tls::Certificates->new("$folder/pki");
$pki->authority($_) for qw(ca stranger);
$pki->issue('server', ip => ['127.0.0.1'], use => 'serverAuth');
$pki->issue('weir', cn => 'weir', uri => ['spiffe://weir.test/backend']);
$pki->issue('late', cn => 'weir', ago => 9, days => -1);
$pki->issue('foreign', cn => 'weir', ca => 'stranger');
$pki->issue('other', cn => 'other');

# PostgreSQL reads its key only if no one else can; so does libpq.
sub private {
    my ($file) = @_;
    chmod 0600, $file;
    return $file;
}
$pki->put('pg.key' => \'server.key');
Weir::Stack::Postgres::hand_over(private($pki->file('pg.key')));
$pki->put(hba => "local all all trust\nhostssl all all 127.0.0.1/32 cert\n");

local $ENV{PGPORT} = free_port();
my $s = Weir::Stack->new(redis => 0, roles => 0, postgres_settings => [
    'listen_addresses=127.0.0.1', "port=$ENV{PGPORT}", 'ssl=on',
    'ssl_cert_file=' . $pki->file('server.crt'), 'ssl_key_file=' . $pki->file('pg.key'),
    'ssl_ca_file=' . $pki->file('ca.crt'), 'hba_file=' . $pki->file('hba')]);
my $e = Weir::Events->new($s);

# --- the servers -----------------------------------------------------------------------------

my $tls_port = free_port();
sub start_redis {
    $s->start_process('redis', [redis_server(), '--port', $s->{redis_port}, '--tls-port', $tls_port,
        '--bind', '127.0.0.1', '--dir', $folder, '--save', '', '--appendonly', 'no',
        '--tls-cert-file', $pki->file('server.crt'), '--tls-key-file', $pki->file('server.key'),
        '--tls-ca-cert-file', $pki->file('ca.crt'), '--tls-auth-clients', 'yes',
        redis_users($s->dir)]);
    $s->wait_started('redis' => sub { $s->redis('ping') =~ /PONG/ });
    redis_watch($s->{redis_port});
}
start_redis();

sub start_smtp {
    my ($how) = @_;
    $s->start_process('smtp', ['/usr/bin/python3', "$FindBin::Bin/../../lib/smtp-tls.py",
        $s->{smtp_port}, "$s->{dir}/mail", $how, map { $pki->file($_) }
            qw(server.crt server.key ca.crt)]);
    $s->wait_started('smtp' => sub { listens($s->{smtp_port}) });
}
start_smtp('starttls');

my $p = Weir::Payments->new($s);
$p->start;
my $gateway = free_port();
my $root = "$folder/nginx";
mkdir $_ for $root, "$root/logs";
$pki->put('nginx.conf' => <<"END");
daemon off;
pid $root/pid;
error_log $root/logs/error.log info;
events {}
http {
    client_body_temp_path $root/body; proxy_temp_path $root/proxy; fastcgi_temp_path $root/fastcgi;
    uwsgi_temp_path $root/uwsgi; scgi_temp_path $root/scgi;
    access_log off;
    server {
        listen 127.0.0.1:$gateway ssl;
        ssl_certificate @{[$pki->file('server.crt')]};
        ssl_certificate_key @{[$pki->file('server.key')]};
        ssl_client_certificate @{[$pki->file('ca.crt')]};
        ssl_verify_client on;
        location / { proxy_pass http://127.0.0.1:$p->{port}; }
    }
}
END
my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';
$s->start_process('nginx',
    [$nginx, '-e', "$root/logs/error.log", '-p', $root, '-c', $pki->file('nginx.conf')]);
$s->wait_started('nginx' => sub { listens($gateway) });

# --- the backend: files of its own for each dependency, db.crt, db.key, db.ca and so on --------

my @USES = qw(db redis smtp payments);
sub give {
    my ($use, $name, $ca) = @_;
    $pki->put("$use.ca" => \"$ca.crt", "$use.crt" => \"$name.crt");
    $pki->put("$use.key.new" => \"$name.key");
    private($pki->file("$use.key.new"));
    rename $pki->file("$use.key.new"), $pki->file("$use.key") or die "$use.key: $!\n";
}
give($_, 'weir', 'ca') for @USES;

my $login = "host=127.0.0.1 port=$ENV{PGPORT} dbname=weir user=weir sslmode=verify-full";
my @files = map { "$_->[0]=" . $pki->file("db.$_->[1]") } [sslrootcert => 'ca'], [sslcert => 'crt'],
    [sslkey => 'key'];
my %all = (
    database => join(' ', $login, @files),
    redis => "rediss://127.0.0.1:$tls_port/0",
    smtp => "smtp://127.0.0.1:$s->{smtp_port}",
    smtp_starttls => 'required',
    payments_url => "https://127.0.0.1:$gateway",
    retry_base => '50ms', retry_max => '500ms',
    map { ("${_}_ca" => $pki->file("$_.ca"), "${_}_certificate" => $pki->file("$_.crt"),
        "${_}_key" => $pki->file("$_.key")) } qw(redis smtp payments),
);
sub start { my (%more) = @_; return $s->start_backend('all', conf => { %all, %more }) }

sub dead { return $s->psql('SELECT count(*) FROM dead_letters') }

# Waits until the log of this run has the pattern.
my $seen = 0;
sub wait_logged {
    my ($pattern) = @_;
    my $found = sub { substr($s->log_of('all'), $seen) =~ $pattern };
    eval { wait_for("$pattern in the log" => $found); 1 }
        or die "$@" . substr $s->log_of('all'), $seen;
    return;
}
sub restart {
    my (%more) = @_;
    $s->stop_backend('all');
    $seen = length $s->log_of('all');
    return start(%more);
}

subtest 'everything by TLS, with certificates on both sides' => sub {
    start();
    $e->create(20);
    $e->wait_handled;
    wait_for('the mails' => sub { $s->mails == 20 });
    my $order = $p->checkout;
    is $p->wait_status($order, 'PAID SUCCEEDED'), 'PAID SUCCEEDED', 'a payment';
    is $s->psql('SELECT bool_and(ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)'
        . " WHERE usename = 'weir' AND client_addr IS NOT NULL"), 't', 'all sessions have TLS';
    like $s->redis('client', 'list'), qr/name=relay/, 'the relay has its connection to Redis';
    is dead(), 0, 'nothing died';
};

# Names of the fault, the files, and what the log says.
my $refused = qr/certificate is refused|certificate verify failed|certificate problem/i;
my @faults = (
    ['an authority that did not sign the server', 'weir', 'stranger', $refused],
    ['our certificate is of another authority', 'foreign', 'ca', qr/unknown.ca/i],
    ['our certificate has expired', 'late', 'ca', qr/expired/i],
);

subtest 'Redis' => sub {
    for my $fault (@faults) {
        my ($what, $name, $ca, $says) = @$fault;
        give('redis', $name, $ca);
        restart();
        my $mails = $s->mails;
        $e->create(3);
        wait_logged(qr/Redis connection lost[^\n]*$says/);
        pass $what;
        give('redis', 'weir', 'ca');
        $e->wait_handled;
        wait_for('the mails' => sub { $s->mails == $mails + 3 });
        is dead(), 0, 'no event is lost';
    }
    restart(redis => "rediss://localhost:$tls_port/0");
    wait_logged(qr/Redis connection lost[^\n]*hostname mismatch/i);
    pass 'a server whose certificate has another name';
    restart(redis_certificate => undef, redis_key => undef);
    wait_logged(qr/Redis connection lost[^\n]*certificate required/i);
    pass 'no certificate of ours';
    my $first = $s->pid('redis');
    restart();
    $s->kill_redis;
    start_redis();
    $e->create(3);
    $e->wait_handled;
    is dead(), 0, 'a server that was killed and has come back';
};

subtest 'weirctl, to Redis' => sub {
    my $run = sub {
        my ($more, @command) = @_;
        local $s->{conf} = { %all, %$more };
        return $s->weirctl(@command);
    };
    my ($status, $out, $err) = $run->({}, 'outbox');
    is $status, 0, 'its streams' or diag $err;
    unlike $out, qr/unknown/, '... are known';
    my @revoke = qw(revoke sub https://login.example eve);
    ($status, $out) = $run->({}, @revoke);
    like "$status $out", qr/^0 stream +weir:revoked\n/, 'a revocation';
    for my $fault (@faults) {
        my ($what, $name, $ca, $says) = @$fault;
        give('redis', $name, $ca);
        ($status, $out, $err) = $run->({}, @revoke);
        is $status, 3, $what;
        like $err, qr/^weirctl: Redis: TLS: [^\n]*$says/, '... is said';
    }
    give('redis', 'weir', 'ca');
    ($status, $out, $err) = $run->({ redis => "rediss://localhost:$tls_port/0" }, @revoke);
    like "$status $err", qr/^3 weirctl: Redis: TLS: [^\n]*hostname mismatch/i, 'another name';
    ($status, $out, $err) =
        $run->({ redis_certificate => undef, redis_key => undef }, @revoke);
    like "$status $err", qr/^3 weirctl: Redis: [^\n]*certificate required/i, 'no certificate';
    ($status, $out, $err) = $run->({ redis_ca => '/nowhere' }, @revoke);
    like "$status $err", qr{^3 weirctl: Redis: [^\n]*/nowhere}, 'no file of authorities';
    $s->freeze('redis');
    ($status, $out, $err) = $run->({}, @revoke);
    $s->thaw('redis');
    like "$status $err", qr/^3 weirctl: Redis: no answer within 2 s/, 'a silent server';
};

subtest 'PostgreSQL' => sub {
    for my $fault (@faults) {
        my ($what, $name, $ca, $says) = @$fault;
        restart();
        give('db', $name, $ca);
        $s->stop_postgres;
        $s->start_postgres;
        wait_logged(qr/$says/);
        pass $what;
        $e->create(3);
        give('db', 'weir', 'ca');
        $e->wait_handled;
        is dead(), 0, 'no event is lost, and the files are read for each session';
    }
    my ($status, $output) = $s->run_command($s->{binary}, '-c',
        $s->write_conf(%all, database => "$all{database} user=other"), 'migrate');
    is $status, 1, 'another user';
    like $output, qr/certificate authentication failed/, 'the server compares it with the name';
    ($status, $output) = $s->run_command($s->{binary}, '-c',
        $s->write_conf(%all, database => $all{database} =~ s/127\.0\.0\.1/localhost/r), 'migrate');
    like $output, qr/does not match host name "localhost"/, 'a server of another name';
    ($status, $output) = $s->run_command($s->{binary}, '-c',
        $s->write_conf(%all, database => "$login $files[0] sslcert=/nowhere"), 'migrate');
    like $output, qr/client certificate|requires a valid/, 'no certificate of ours';
};

subtest 'the mail server' => sub {
    for my $how (qw(starttls smtps)) {
        my $url = ($how eq 'smtps' ? 'smtps' : 'smtp') . "://127.0.0.1:$s->{smtp_port}";
        $s->stop_smtp;
        start_smtp($how);
        for my $fault (@faults) {
            my ($what, $name, $ca) = @$fault;
            give('smtp', $name, $ca);
            restart(smtp => $url);
            my $mails = $s->mails;
            $e->create(2);
            wait_for('the fault' => sub {
                $s->psql("SELECT string_agg(error, ' ') FROM retries") =~ /SMTP: \S/;
            });
            note $s->psql('SELECT error FROM retries LIMIT 1');
            is $s->mails, $mails, "$how: $what" or diag $s->psql('SELECT error FROM retries');
            give('smtp', 'weir', 'ca');
            $e->wait_handled;
            wait_for('the mails' => sub { $s->mails == $mails + 2 });
            is dead(), 0, 'no mail is lost';
        }
    }
    $s->stop_smtp;
    $s->start_smtp; # one without TLS
    restart();
    my $mails = $s->mails;
    $e->create(1);
    wait_for('the fault' => sub { $s->psql('SELECT error FROM retries') =~ /SMTP: .*(?:TLS|SSL)/ });
    is $s->mails, $mails, 'no mail is sent without TLS where it is required';
    $s->stop_smtp;
    start_smtp('starttls');
    $e->wait_handled;
    is $s->mails, $mails + 1, 'but when there is';
};

subtest 'the gateway' => sub {
    for my $fault (@faults) {
        my ($what, $name, $ca) = @$fault;
        give('payments', $name, $ca);
        restart();
        my $order = $p->checkout;
        wait_for('the fault' => sub {
            $s->psql('SELECT error FROM retries') =~ /certificate|SSL|TLS|alert|400/i
        });
        is scalar(grep { !defined $p->charge_of($_) } $order), 1, $what
            or diag $s->psql('SELECT error FROM retries');
        give('payments', 'weir', 'ca');
        is $p->wait_status($order, 'PAID SUCCEEDED'), 'PAID SUCCEEDED', 'is charged once it fits';
    }
    $p->is_all_well('one charge for each order');
};

is $s->stop_backend('all'), 0, 'it stops cleanly';

done_testing;
