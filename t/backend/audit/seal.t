# Sealing and signing: every record that commits gets one seal, in whatever order they commit,
# whichever process is killed; and heads reach the database, the file and Redis.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Stack::Audit;
use Weir::Base qw(slurp spew);
use Weir::Stack qw(wait_for);

# One seal for each record, and no gap among the positions.
sub is_whole {
    my ($a, $count, $name) = @_;
    is $a->stack->psql(<<'SQL'), "$count|$count|$count|0", $name;
SELECT (SELECT count(*) FROM audit_records), (SELECT count(*) FROM audit_seals),
       (SELECT sum(m.n) FROM (SELECT max(position) + 1 AS n FROM audit_seals GROUP BY partition) m),
       (SELECT count(*) FROM audit_seals s
        WHERE NOT EXISTS (SELECT FROM audit_records r
                          WHERE r.id = s.id AND r.partition = s.partition))
SQL
}

sub start {
    my ($a, $name, %conf) = @_;
    return $a->stack->start_backend('relay', name => $name, conf => \%conf);
}

sub sealer_is {
    my ($a, $name) = @_;
    wait_for("$name to seal" => sub {
        $a->stack->logged($name, 'audit records are sealed by this process');
    });
}

subtest 'records are sealed, signed and exported' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    $a->put('before.start', 1234);
    start($a, 'relay');
    $a->wait_signed;
    is_whole($a, 1234, 'what was there before');
    $a->put('after.start', 3);
    $a->wait_signed;
    is_whole($a, 1237, 'and what comes later');
    is +($a->verify)[0], '', 'nothing is wrong';
    my (undef, $answer) = $a->verify;
    is "$answer->{records} $answer->{signed}", '1237 1237', 'all of it is signed';
    is $s->stop_backend('relay'), 0, 'it stops';
};

subtest 'a transaction that commits late holds nothing up' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    start($a, 'relay');
    $a->put('early');
    $a->wait_sealed;
    my $late = $s->session("BEGIN; SELECT audit_put(NULL, NULL, 'late', 'thing:late', 'done');");
    my $undone = $s->session("BEGIN; SELECT audit_put(NULL, NULL, 'undone', 'thing:0', 'done');");
    for my $n (1 .. 4) {
        $a->put("meanwhile.$n", 600);
        $a->wait_sealed;
    }
    my ($floor) = $s->psql('SELECT floor FROM audit_floor');
    cmp_ok $floor, '<',
        $s->psql("SELECT min(id) FROM audit_records WHERE operation = 'meanwhile.1'"),
        'the floor stays below it';
    print $late "COMMIT;\n";
    close $late;
    wait_for('the late one' => sub {
        $s->psql("SELECT count(*) FROM audit_records WHERE operation = 'late'") == 1;
    });
    print $undone "ROLLBACK;\n";
    close $undone;
    $a->wait_sealed;
    is_whole($a, 2402, 'each record is sealed, and the one that was rolled back is not there');
    is $s->psql('SELECT r.operation FROM audit_seals s JOIN audit_records r USING (id, partition)'
            . ' ORDER BY s.position DESC LIMIT 1'), 'late', 'the late one has the last place';

    # Then the floor rises, so that a look does not grow with the log.
    wait_for('the floor to rise' => sub {
        $a->put('more');
        $a->wait_sealed;
        $s->psql('SELECT floor FROM audit_floor') > $floor + 2400;
    });
    $a->wait_signed;
    is +($a->verify)[0], '', 'nothing is wrong';
};

subtest 'ids of transactions that begin again' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    start($a, 'relay');
    $a->put('one');
    $a->wait_sealed;
    # As in a database that was restored into a new cluster.
    $s->psql("UPDATE audit_floor SET next_xid = '9223372036854775807'");
    my $before = $s->psql('SELECT floor FROM audit_floor');
    wait_for('the floor to rise again' => sub {
        $a->put('two');
        $a->wait_sealed;
        $s->psql('SELECT floor FROM audit_floor') > $before;
    });
    pass 'do not stop the floor';
};

subtest 'writers while sealers are killed' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    start($a, 'one');
    sealer_is($a, 'one');
    start($a, 'two');
    wait_for('the other to wait' => sub {
        $s->logged('two', qr/another process seals audit records/);
    });
    my @writers = map {
        $s->start_process("writer$_", [
            Weir::Stack::Postgres::programs() . '/psql', '-XAtq', '-h', $s->pg, '-U', 'weir', '-d',
            'weir', '-c',
            "DO \$\$ BEGIN FOR i IN 1 .. 2000 LOOP PERFORM audit_put(NULL, NULL, 'w$_',"
                . " 'thing:' || i, 'done'); IF i % 7 = 0 THEN ROLLBACK;"
                . " ELSE COMMIT; END IF; END LOOP; END \$\$",
        ]);
        "writer$_";
    } 1 .. 3;
    my ($active, $waiting, $kills) = ('one', 'two', 0);
    while (grep { !$s->has_ended($_) } @writers) {
        $s->kill_backend($active);
        $kills++;
        sealer_is($a, $waiting);
        ($active, $waiting) = ($waiting, "next$kills");
        start($a, $waiting);
    }
    is $s->has_ended($_), 1, "$_ has ended" for @writers;
    cmp_ok $kills, '>=', 1, "sealers were killed, $kills";
    $a->wait_signed;
    is_whole($a, $s->psql('SELECT count(*) FROM audit_records'), 'each record has one seal');
    cmp_ok $s->psql('SELECT count(*) FROM audit_records'), '>', 5000, 'of thousands';
    is +($a->verify)[0], '', 'nothing is wrong';
};

subtest 'a sealer that has lost the lock without knowing' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    $a->put('one', 3);
    my $month = $s->psql('SELECT max(partition) FROM audit_records');
    my $arguments = sub {
        my ($before, $size) = @_;
        my $none = q{ARRAY['\x00'::bytea]};
        return "ARRAY[(SELECT min(id) FROM audit_records)], ARRAY[$month],"
            . " ARRAY[$before]::bigint[],"
            . " $none, $none, ARRAY[$month], ARRAY[$before]::bigint[], ARRAY[$size]::bigint[],"
            . " $none, $none, '3'::xid8, false";
    };
    $s->psql('SELECT audit_seal(' . $arguments->(0, 1) . ')');
    for my $sizes ([0, 1], [2, 3]) {
        ok !eval { $s->psql('SELECT audit_seal(' . $arguments->(@$sizes) . ')'); 1 },
            "is refused: $sizes->[0]";
    }
    is $s->psql('SELECT count(*) FROM audit_seals'), 1, 'and has sealed nothing';
};

subtest 'PostgreSQL is killed' => sub {
    my $a = Weir::Stack::Audit->new(postgres_settings => ['fsync=on']);
    my $s = $a->stack;
    start($a, 'relay');
    $a->put('before', 100);
    $a->wait_signed;
    $a->put('at', 700);
    $s->kill_postgres;
    $s->start_postgres;
    $a->put('after', 100);
    $a->wait_signed;
    is_whole($a, 900, 'nothing is lost');
    is +($a->verify)[0], '', 'nothing is wrong';
};

subtest 'Redis is emptied, and away' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    start($a, 'relay');
    for my $n (1 .. 3) {
        $a->put("one.$n");
        $a->wait_signed;
    }
    $s->redis('FLUSHALL');
    $a->put('two');
    $a->wait_signed; # compares all numbers
    cmp_ok scalar(my @heads = $a->in_redis), '>=', 4, 'an emptied stream is filled again';
    $s->kill_redis;
    $a->put('three');
    wait_for('a head without Redis' => sub { $a->signed eq $a->sealed });
    $s->start_redis;
    $a->wait_signed;
    pass 'a new Redis gets all heads';
    is +($a->verify)[0], '', 'nothing is wrong';
};

subtest 'the file is moved away, damaged, and a folder' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    start($a, 'relay');
    $a->put('one');
    $a->wait_signed;
    rename $a->{heads}, "$a->{heads}.1" or die $!;
    $a->put('two');
    $a->wait_signed;
    is slurp($a->{heads}) =~ s/\A(\Q${\ slurp("$a->{heads}.1")}\E).*/$1/sr,
        slurp("$a->{heads}.1"), 'a file that was moved away is written again';

    # A line that was not written to its end, as by a full disk and a crash.
    my $good = slurp($a->{heads});
    spew($a->{heads}, $good . '{"head":"weir-audit-head/1');
    $a->put('three');
    $a->wait_signed;
    is substr(slurp($a->{heads}), 0, length $good), $good, 'an incomplete line is replaced';

    unlink $a->{heads};
    mkdir $a->{heads} or die $!;
    $a->put('four');
    wait_for('the log' => sub {
        $s->logged('relay', qr/heads of the audit log cannot be exported|file of the audit log/);
    });
    rmdir $a->{heads};
    $a->wait_signed;
    pass 'a folder in its place is said, and what waited comes';
    is +($a->verify)[0], '', 'nothing is wrong';
};

subtest 'keys' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    my $other = $s->dir . '/other.pem';
    my %wrong = (
        '/nowhere/key' => qr/No such file/,
        $s->dir => qr/is not a file/,
        Weir::Stack::Audit::make_key($s->dir . '/rsa.pem', qw(-algorithm RSA)) =>
            qr/Ed25519 or P-256/,
    );
    Weir::Stack::Audit::make_key($other);
    chmod 0644, $other;
    $wrong{$other} = qr/has the mode 644: others can use the key; chmod 600/;
    for my $file (sort keys %wrong) {
        my $conf = $s->write_conf(audit_key => $file);
        for my $arguments (['-t'], ['relay']) {
            my ($status, $output) =
                $s->run_command($s->{binary}, '-c', $conf, @$arguments);
            is $status, 1, "@$arguments with $file ends";
            like $output, qr/audit_key.*$wrong{$file}/, 'and says why';
        }
    }
    my ($status, $output) = $s->run_command($s->{binary}, '-c', $s->write_conf(audit_key => ''),
        '-t');
    is $status, 1, 'heads without a key';
    like $output, qr/audit_heads.*needs audit_key/, 'are refused';

    start($a, 'without', audit_key => '', audit_heads => '');
    $a->put('one', 5);
    $a->wait_sealed;
    is_whole($a, 5, 'without a key records are sealed');
    $s->stop_backend('without');
    is $s->psql('SELECT count(*) FROM audit_heads'), 0, 'and no head is signed';

    start($a, 'ed25519');
    $a->wait_signed;
    my (undef, $old) = $s->weirctl(qw(audit key));
    $s->stop_backend('ed25519');
    unlink $a->{key};
    Weir::Stack::Audit::make_key($a->{key},
        qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-256));
    start($a, 'p256');
    $a->put('two');
    $a->wait_signed;
    is scalar($s->logged('p256', 'an earlier head of the audit log has another key')) > 0, 1,
        'a new key is said';
    is +($a->verify)[0], '', 'and vouches for the heads before';
    spew("$a->{heads}.pem", $old);
    is +($a->verify('--key', "$a->{heads}.pem"))[0], 'signature',
        'whose key does not vouch for it';
};

subtest 'an old month is dropped' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    $s->psql("SELECT audit_add_partition('202501', 'FOR VALUES IN (202501)')");
    $s->psql("INSERT INTO audit_records (partition, operation, object, outcome, subject, actor)"
            . " VALUES (202501, 'old', 'thing:1', 'done', 'someone', 'test')");
    start($a, 'relay');
    $a->put('new');
    $a->wait_signed;
    $s->psql("ALTER TABLE audit_records DETACH PARTITION audit_records_202501;"
            . " ALTER TABLE audit_seals DETACH PARTITION audit_seals_202501;"
            . ' DROP TABLE audit_records_202501, audit_seals_202501;'
            . ' DELETE FROM audit_chains WHERE partition = 202501');
    $a->put('newer');
    $a->wait_sealed;
    my ($month) = $s->psql('SELECT max(partition) FROM audit_seals');
    wait_for('the next head' => sub { $a->signed =~ /$month=2/ });
    is scalar(my @said = $s->logged('relay', qr/a month of the audit log is not there/)), 1,
        'it is said once, and heads are signed as before';
    is +($a->verify)[0], 'cut off', 'it is found';
    is +($a->verify('--oldest', $month))[0], '', 'unless it is expected';
    is +($a->verify('--oldest', 202501))[0], 'cut off', 'which is said exactly';
};

subtest 'a database that was set back' => sub {
    my $a = Weir::Stack::Audit->new;
    my $s = $a->stack;
    start($a, 'relay');
    $a->put('one', 10);
    $a->wait_signed;
    $s->stop_backend('relay');
    $s->psql_as('postgres', 'postgres', 'CREATE DATABASE backup OWNER weir TEMPLATE weir');
    start($a, 'relay');
    $a->put('two', 10);
    $a->wait_signed;
    $s->stop_backend('relay');
    $s->psql_as('postgres', 'postgres', $_)
        for 'DROP DATABASE weir', 'CREATE DATABASE weir OWNER weir TEMPLATE backup';
    is +($a->verify)[0], 'cut off, head removed', 'is found';

    my $heads = $s->psql('SELECT count(*) FROM audit_heads');
    start($a, 'again');
    $a->put('three');
    wait_for('the log' => sub { $s->logged('again', qr/is not the continuation of its signed/) });
    $a->wait_sealed;
    is $s->psql('SELECT count(*) FROM audit_heads'), $heads, 'no head is signed';
    rename $a->{heads}, "$a->{heads}.1" or die $!;
    $s->redis('DEL', 'weir:audit:heads');
    $a->wait_signed;
    pass 'until the operator has moved the heads away';
    is +($a->verify)[0], '', 'then nothing is wrong';
    is +($a->verify('--heads', "$a->{heads}.1"))[0] =~ /cut off|head removed|head changed/, 1,
        'except with the heads of before';
};

done_testing;
