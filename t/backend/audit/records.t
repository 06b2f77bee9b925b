# The records of the audit log: which operations write one, in their own transaction, with which
# fields; and that none can be changed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Payments;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(
    conf => { retry_base => '20ms', retry_max => '50ms', retry_attempts => '2, payments=20' });
my $p = Weir::Payments->new($s);
$p->start;
$s->start_smtp;
$s->start_backend('api');
$s->start_backend('relay');
$s->start_backend('worker');

my $USER = (getpwuid $<)[0];
my $TRACE = '0af7651916cd43dd8448eb211c80319c';
my $PRODUCT = '01900000-0000-7000-8000-00000000a0d1';

# Records of an operation, a line for each.
sub records {
    my ($operation, $columns) = @_;
    $columns //= 'object, outcome, subject, actor, address';
    return $s->psql("SELECT $columns FROM audit_records WHERE operation = '$operation'"
            . ' ORDER BY id');
}

sub put {
    my ($price, %header) = @_;
    my %headers = ('Content-Type' => 'application/json', %header);
    my $content = qq({"name":"Bolt","price":$price,"currency":"EUR"});
    return $s->request('PUT', "/products/$PRODUCT", { content => $content, headers => \%headers })
        ->{status};
}

sub signup {
    my ($n) = @_;
    return $s->post('/signup', { email => "user$n\@example.org", displayName => "User $n" })
        ->{json}{id};
}

subtest 'a price' => sub {
    is put(100, traceparent => "00-$TRACE-00f067aa0ba902b7-01"), 201, 'a new product';
    is put(200), 200, 'another price';
    is put(200), 200, 'the same again';
    is records('product.put', 'object, outcome, subject, actor, address, detail'),
        "product:$PRODUCT|created|anonymous|weir-products|127.0.0.1|"
        . qq({"price": 100, "currency": "EUR"}\n)
        . "product:$PRODUCT|changed|anonymous|weir-products|127.0.0.1|"
        . '{"price": 200, "currency": "EUR"}', 'a record for each change';
    is records('product.put', 'trace_id') =~ s/\n.*//sr, $TRACE, 'and its trace';
    is $s->psql("SELECT bool_and(r.at BETWEEN now() - interval '1 minute' AND now())"
            . ' FROM audit_records r'), 't', 'and its time';
};

subtest 'a deletion' => sub {
    my $user = signup(1);
    is $s->request('DELETE', "/users/$user")->{status}, 202, 'is accepted';
    $s->request('DELETE', "/users/$user");
    $s->request('DELETE', "/users/$PRODUCT");
    is records('user.delete'), "user:$user|accepted|anonymous|weir-deletion|127.0.0.1",
        'once; requests that change nothing write nothing';
    wait_for('the deletion' => sub {
        $s->psql("SELECT anonymised_at IS NOT NULL FROM deletions WHERE user_id = '$user'") eq 't';
    });
    is $s->psql(q{SELECT count(*) FROM audit_records r WHERE r::text ~ 'example|User 1'}), 0,
        'what is personal is not in the log';
};

subtest 'a command that fails writes nothing' => sub {
    my $before = $s->psql('SELECT count(*) FROM audit_records');
    my $refused = $s->psql(<<"SQL");
DO \$\$
BEGIN
    PERFORM products_put(ARRAY['$PRODUCT'::uuid], ARRAY['Bolt'], ARRAY[300::bigint], ARRAY['EUR'],
                         ARRAY[gen_random_uuid()], ARRAY[NULL::text], ARRAY[NULL::text]);
    RAISE EXCEPTION 'no';
EXCEPTION WHEN raise_exception THEN
    NULL;
END
\$\$
SQL
    is $s->psql('SELECT count(*) FROM audit_records'), $before, 'with it its record is gone';
};

subtest 'a refund' => sub {
    my $payment = '01900000-0000-7000-8000-00000000a0d2';
    $s->psql('INSERT INTO payments (id, order_id, user_id, amount, currency)'
            . " VALUES ('$payment', '$payment', '$payment', 500, 'EUR')");
    my $step = sub {
        my ($news) = @_;
        return $s->psql("SELECT payment_step('$payment', '$news', 'ch_audit', 500, 'EUR', NULL,"
                . " true, '00-$TRACE-00f067aa0ba902b7-01')");
    };
    $step->('failed');
    is $step->('succeeded'), 'applied', 'money that was taken for a failed payment';
    is $step->('refunded'),  'applied', 'goes back';
    is $step->('refunded'), 'repeated', 'once';
    is records('payment.refund', "object, outcome, subject, detail::jsonb->>'amount', trace_id"),
        "payment:$payment|requested|system|500|$TRACE\n"
        . "payment:$payment|refunded|system|500|$TRACE", 'and both are recorded';
};

subtest 'operators' => sub {
    $s->ctl_json(qw(groups pause analytics));
    $s->ctl_json(qw(groups pause analytics));
    $s->ctl_json(qw(groups resume analytics));
    $s->ctl_json(qw(groups resume --all));
    my $who = "os:$USER|weirctl|";
    is records('group.pause'), "group:analytics|paused|$who", 'a pause, once';
    is records('group.resume'), "group:analytics|resumed|$who", 'its end';

    $s->psql('INSERT INTO dead_letters (group_name, partition, position, attempts, error, event_id,'
            . " type, aggregate, data) SELECT 'email', 3, 100 + n, 8, 'e',"
            . " ('01900000-0000-7000-8000-00000000d00' || n)::uuid, 'UserCreated', 'user:x', '{}'"
            . ' FROM generate_series(1, 3) n');
    $s->ctl_json(qw(dead drop email 3/101));
    $s->ctl_json(qw(dead drop email --all));
    is records('dead.drop', 'object, outcome, subject, actor, detail'),
        join("\n",
        map { "dead:email 3/10$_|done|os:$USER|weirctl|{\"type\": \"UserCreated\", \"event\": "
                . "\"01900000-0000-7000-8000-00000000d00$_\"}" } 1 .. 3),
        'dead letters, each with its event';
    is records('dead.replay'), '', 'none was replayed';

    $s->ctl_json(qw(flag set new_checkout on));
    my ($status) = $s->weirctl(qw(flag set new_checkout {}));
    is $status, 2, 'a flag that is none is refused';
    $s->ctl_json(qw(flag delete new_checkout));
    is records('flag.set'), "flag:new_checkout|done|$who", 'a flag is set';
    is records('flag.set', "detail::jsonb->>'flag'") =~ /"defaultVariant": ?"on"/, 1,
        '... with its definition';
    is records('flag.delete'), "flag:new_checkout|done|$who", '... and deleted';
    $s->ctl_json(qw(events replay --group reports --new --from 0));
    is records('group.replay'), "group:reports|set back|$who", 'a replay';
    $s->ctl_json(qw(groups delete reports --yes));
    is records('group.delete'), "group:reports|deleted|$who", 'and a group that is deleted';
};

# Whether that role is refused, and what it is told.
sub is_refused {
    my ($role, $sql, $why) = @_;
    return ok eval {
        $s->psql_as($role, 'weir', <<"SQL");
DO \$\$
BEGIN
    $sql;
    RAISE EXCEPTION 'it was done';
EXCEPTION WHEN insufficient_privilege THEN
    ASSERT SQLERRM ~ '$why';
END
\$\$
SQL
        1;
    }, "$role: $sql";
}

subtest 'nothing in it can be changed' => sub {
    $s->psql("INSERT INTO audit_heads VALUES (999, 'h', 'k', 's')");
    wait_for('seals' => sub { $s->psql('SELECT count(*) FROM audit_seals') > 0 });
    my %change = (records => "subject = 'x'", seals => "leaf = ''", heads => "key = ''");
    my ($partition) = $s->psql('SELECT max(partition) FROM audit_records');
    for my $table (map { "audit_$_" } qw(records seals heads), "records_$partition",
        "seals_$partition")
    {
        my ($kind) = $table =~ /audit_([a-z]+)/;
        for my $sql ("DELETE FROM $table", "TRUNCATE $table", "UPDATE $table SET $change{$kind}") {
            is_refused('weir',     $sql, 'permission denied');
            is_refused('postgres', $sql, 'append-only');
        }
    }
    for my $table (split /\n/,
        $s->psql(q{SELECT relname FROM pg_class WHERE relkind = 'r'}
                . q{ AND relname ~ '^audit_(records|seals)_' ORDER BY 1}))
    {
        is_refused('weir',     "DELETE FROM $table", 'permission denied');
        is_refused('postgres', "TRUNCATE $table",    'append-only');
    }
};

subtest 'list and show' => sub {
    my $rows = $s->ctl_json(qw(audit list --operation user.delete));
    is scalar @$rows, 1, 'by operation';
    is scalar @{ $s->ctl_json(qw(audit list --subject), "os:$USER", '-n', 3) }, 3, 'by subject';
    is scalar @{ $s->ctl_json(qw(audit list --object), "product:$PRODUCT") }, 2, 'by object';
    my $all = $s->ctl_json(qw(audit list));
    ok $all->[0]{id} > $all->[1]{id}, 'the newest first';
    is $s->ctl_json(qw(audit show), $rows->[0]{id})->{operation}, 'user.delete', 'one of them';
    my ($status, undef, $err) = $s->weirctl(qw(audit show 123456789));
    is $status, 1, 'one that is not there';
    like $err, qr/there is no audit record 123456789/, 'is said to be none';
    ($status, undef, $err) = $s->weirctl(qw(audit show abc));
    is $status, 2, 'no id';
    like $err, qr/"abc" must be the id of a record/, 'is refused';
};

done_testing;
