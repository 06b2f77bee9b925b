# /livez and /readyz of every role while PostgreSQL, its schema and Redis come and go.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(free_port wait_for);
use Weir::Backend::Metrics;
use Weir::Stack;

my $s = Weir::Stack->new(redis => 0, migrate => 0);
my %m = map { $_ => Weir::Backend::Metrics->new(free_port()) } qw(api relay worker);
my %api = (listen => "127.0.0.1:$s->{port}");
for my $role (sort keys %m) {
    my $listen = "127.0.0.1:$m{$role}{port}";
    my %conf = (metrics_listen => $listen, $role eq 'api' ? %api : ());
    $s->start_backend($role, conf => \%conf);
}

# Waits until the role is not ready for that reason, and checks the document.
sub not_ready {
    my ($role, $why) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r;
    wait_for("$role: $why" => sub {
        $r = $m{$role}->get('/readyz');
        return $r->{status} == 503 && ($r->{json}{detail} // '') =~ $why;
    });
    is $r->{headers}{'content-type'}, 'application/problem+json', "$role: a problem document";
    unlike $r->{content}, qr/$s->{redis_port}|\Q$s->{dir}\E|user=/, 'without an address';
    is $m{$role}->get('/livez')->{status}, 200, 'and the process lives';
}

sub ready {
    my ($role) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for("$role to be ready" => sub { $m{$role}->get('/readyz')->{status} == 200 });
    is $m{$role}->get('/readyz')->{json}{status}, 'ready', "$role is ready";
}

subtest 'a database without a schema' => sub {
    not_ready($_, qr/no schema of this version; run: weir-backend -c FILE migrate/)
        for sort keys %m;
};

subtest 'no Redis' => sub {
    $s->migrate;
    ready('api'); # it needs none
    not_ready($_, qr/^Redis cannot be reached\.$/) for qw(relay worker);
    $s->start_redis;
    ready($_) for sort keys %m;
    $s->kill_redis;
    not_ready($_, qr/^Redis cannot be reached\.$/) for qw(relay worker);
    ready('api');
    $s->start_redis;
    ready($_) for sort keys %m;
};

subtest 'a migration is missing, and a later one is there' => sub {
    my $of = "FROM schema_migrations WHERE line = 'events'";
    my ($newest, $name) = split /\|/, $s->psql("SELECT version, name $of ORDER BY 1 DESC LIMIT 1");
    $s->psql("DELETE $of AND version = $newest");
    not_ready($_, qr/lacks migrations, such as number $newest of events/) for sort keys %m;
    $s->psql('INSERT INTO schema_migrations (line, version, name)'
            . " VALUES ('events', $newest, '$name'), ('events', 999, '999_later.sql')");
    ready($_) for sort keys %m;
};

subtest 'PostgreSQL hangs, is gone, and comes again' => sub {
    $s->freeze_postgres;
    not_ready('api', qr/^PostgreSQL does not answer\.$/);
    is $m{api}->get('/metrics')->{status}, 200, 'a scrape asks it nothing';
    $s->thaw_postgres;
    ready($_) for sort keys %m;
    $s->stop_postgres;
    not_ready($_, qr/^PostgreSQL cannot be reached\.$/) for sort keys %m;
    is $m{relay}->get('/metrics')->{status}, 200, 'nor does one now';
    $s->start_postgres;
    ready($_) for sort keys %m;
};

subtest 'sessions that PostgreSQL refuses' => sub {
    # The session of the check is open; those of the api are closed and cannot come again.
    my $as_admin = sub { $s->psql_as('postgres', 'weir', $_[0]) };
    $as_admin->('ALTER ROLE user_api CONNECTION LIMIT 0');
    $as_admin->("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            . " WHERE application_name = 'weir-commands'");
    not_ready('api', qr/^Only \d+ of \d+ sessions to PostgreSQL are open\.$/);
    $as_admin->('ALTER ROLE user_api CONNECTION LIMIT -1');
    ready('api');
};

subtest 'other paths and methods' => sub {
    is $m{api}->get('/users/x')->{status}, 404, 'it serves nothing for clients';
    is $s->get('/metrics')->{status}, 404, 'and the api serves no metrics';
    my $r = HTTP::Tiny->new->post("http://127.0.0.1:$m{api}{port}/readyz");
    is $r->{status}, 405, 'POST';
};

subtest 'a stop' => sub {
    is $s->stop_backend($_), 0, "$_ stops" for sort keys %m;
    my @requests = map { $s->logged($_, 'request') } sort keys %m;
    is scalar(grep { $_->{status} != 404 && $_->{path} =~ /readyz|livez|metrics/ } @requests), 0,
        'probes are not in the log';
};

done_testing;
