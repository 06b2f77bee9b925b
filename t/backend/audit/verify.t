# Nothing in the audit log can be changed unseen: some hundred random changes of its tables, as a
# superuser would make them who knows how the log works, and each is found; and proofs.
#
# WEIR_AUDIT_ROUNDS and WEIR_AUDIT_SEED set the number of changes, and repeat a run.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Cwd ();
use Test::More;
use Weir::Stack::Audit;
use Weir::Base qw(slurp spew);
use Weir::Stack qw(wait_for);

my $ROUNDS = $ENV{WEIR_AUDIT_ROUNDS} // 300;
my $SEED = $ENV{WEIR_AUDIT_SEED} // time;
my $HEADS = 6;

my $a = Weir::Stack::Audit->new;
my $s = $a->stack;

# A log with some heads, and records behind the last one; two partitions, as at the end of a month.
$s->start_backend('relay');
for my $n (1 .. $HEADS) {
    $a->put("change.$n", 30 + 7 * $n);
    $s->psql("INSERT INTO audit_records (partition, operation, object, outcome, subject, actor,"
            . " address, detail) SELECT 202501, 'old', 'thing:' || n, 'done', 'someone', 'test',"
            . " CASE WHEN n > 3 THEN '127.0.0.1' END, '' FROM generate_series(1, 6) n")
        if $n % 2;
    $a->wait_signed;
}
is +($a->verify)[0], '', 'nothing is wrong at first';
$s->stop_backend('relay');
my $file = slurp($a->{heads});

# --- the attacker's tools ---------------------------------------------------------------------

$s->psql_as('postgres', 'weir', <<'SQL');
CREATE FUNCTION attack_part(value text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(int4send(octet_length(b)) || b, '\xffffffff') FROM convert_to(value, 'UTF8') b
$$;
-- The hash of a record, as common/audit/record.h describes it.
CREATE FUNCTION attack_leaf(r audit_records) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256('\x00'::bytea || 'weir-audit-1'::bytea || attack_part(r.partition::text)
                  || attack_part(r.id::text)
                  || attack_part((extract(epoch FROM r.at) * 1000000)::bigint::text)
                  || attack_part(r.operation) || attack_part(r.object) || attack_part(r.outcome)
                  || attack_part(r.subject) || attack_part(r.actor) || attack_part(r.address)
                  || attack_part(r.trace_id) || attack_part(r.detail))
$$;
-- Makes seals and the end of a chain consistent with its records, in the order of positions.
CREATE FUNCTION attack_again(p int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    made bytea := decode(repeat('00', 32), 'hex');
    n    bigint := 0;
    s    audit_seals;
    hash bytea;
BEGIN
    CREATE TEMP TABLE again AS SELECT * FROM audit_seals WHERE partition = p;
    DELETE FROM audit_seals WHERE partition = p;
    FOR s IN SELECT * FROM again ORDER BY position LOOP
        SELECT attack_leaf(r) INTO hash FROM audit_records r WHERE r.id = s.id AND r.partition = p;
        made := sha256('\x02'::bytea || made || coalesce(hash, s.leaf));
        INSERT INTO audit_seals VALUES (p, n, s.id, coalesce(hash, s.leaf), made);
        n := n + 1;
    END LOOP;
    DROP TABLE again;
    UPDATE audit_chains c SET size = n, link = made WHERE c.partition = p;
END
$$;
CREATE TABLE kept_records AS SELECT * FROM audit_records;
CREATE TABLE kept_seals AS SELECT * FROM audit_seals;
CREATE TABLE kept_heads AS SELECT * FROM audit_heads;
CREATE TABLE kept_chains AS SELECT * FROM audit_chains;
SQL

is $s->psql('SELECT count(*) FROM audit_seals s JOIN audit_records r USING (id, partition)'
        . ' WHERE s.leaf <> attack_leaf(r)'), 0, 'the hashes are what is written about them';

my $RESTORE = join '; ',
    map { "TRUNCATE audit_$_; INSERT INTO audit_$_ SELECT * FROM kept_$_" }
    qw(records seals heads chains);

srand $SEED;
my ($MONTH) = $s->psql('SELECT max(partition) FROM audit_records');
my %COUNT = map { split /\|/ }
    split /\n/, $s->psql('SELECT partition, count(*) FROM audit_records GROUP BY partition');
my %IDS;
push @{ $IDS{ (split /\|/)[0] } }, (split /\|/)[1]
    for split /\n/, $s->psql('SELECT partition, id FROM audit_seals ORDER BY partition, position');

sub any { return $_[int rand @_] }
sub any_partition { return any($MONTH, $MONTH, $MONTH, 202501) }

sub field {
    my $n = int rand 100000;
    return any("at = at + interval '1 us' * ($n + 1)", "at = at - interval '40 days'",
        "operation = operation || '$n'", "object = 'thing:x$n'", "outcome = 'refused$n'",
        "subject = 'nobody$n'", "actor = coalesce(actor, '') || ' '",
        "address = coalesce(address || '1', '10.0.0.1')",
        "trace_id = coalesce(trace_id, '') || '0'",
        q{detail = CASE WHEN detail IS NULL THEN '' ELSE detail || ' ' END},
        "detail = CASE WHEN detail IS NULL THEN 'x' END");
}

# A row at the end is signed, too, so each of these contradicts a head, or a seal.
my %attack = (
    change => sub {
        my $p = any_partition();
        my $set = field();
        return "UPDATE audit_records SET $set WHERE partition = $p AND id = " . any(@{ $IDS{$p} });
    },
    'change, with new hashes' => sub {
        my $p = any_partition();
        my $set = field();
        return "UPDATE audit_records SET $set WHERE partition = $p AND id = "
            . any(@{ $IDS{$p} }) . "; SELECT attack_again($p)";
    },
    'change of an id' => sub {
        my $p = any_partition();
        my $id = any(@{ $IDS{$p} });
        return "UPDATE audit_records SET id = id + 100000 WHERE id = $id;"
            . " UPDATE audit_seals SET id = id + 100000 WHERE id = $id";
    },
    remove => sub {
        return 'DELETE FROM audit_records WHERE id = ' . any(@{ $IDS{ any_partition() } });
    },
    'remove a seal' => sub {
        return 'DELETE FROM audit_seals WHERE id = ' . any(@{ $IDS{ any_partition() } });
    },
    'remove both' => sub {
        my $id = any(@{ $IDS{ any_partition() } });
        return "DELETE FROM audit_records WHERE id = $id; DELETE FROM audit_seals WHERE id = $id";
    },
    'remove both, with new positions and hashes' => sub {
        my $p = any_partition();
        my $id = any(@{ $IDS{$p} });
        return "DELETE FROM audit_records WHERE id = $id; DELETE FROM audit_seals WHERE id = $id;"
            . " SELECT attack_again($p)";
    },
    reorder => sub {
        my $p = any_partition();
        my $i = int rand($COUNT{$p} - 1);
        my ($x, $y) = @{ $IDS{$p} }[ $i, $i + 1 + int rand($COUNT{$p} - 1 - $i) ];
        my $again = any('', "; SELECT attack_again($p)");
        return "UPDATE audit_seals SET id = -1 WHERE id = $x; UPDATE audit_seals SET id = $x"
            . " WHERE id = $y; UPDATE audit_seals SET id = $y WHERE id = -1$again";
    },
    insert => sub {
        my $p = any_partition();
        my $at = int rand $COUNT{$p};
        return 'INSERT INTO audit_records (id, partition, at, operation, object, outcome, subject,'
            . " actor) SELECT 100000, $p, max(at), 'thing.change', 'thing:1', 'done', 'me', 'me'"
            . " FROM audit_records WHERE partition = $p;"
            . ' UPDATE audit_seals SET position = -position - 1'
            . " WHERE partition = $p AND position >= $at;"
            . " UPDATE audit_seals SET position = -position WHERE position < 0;"
            . " INSERT INTO audit_seals VALUES ($p, $at, 100000, '', ''); SELECT attack_again($p)";
    },
    'insert without a seal' => sub {
        my $p = any_partition();
        return 'INSERT INTO audit_records (id, partition, at, operation, object, outcome, subject,'
            . " actor) VALUES (" . (100000 + int rand 1000) . ", $p, now() - interval '"
            . (61 + int rand 100000)
            . " s', 'thing.change', 'thing:1', 'done', 'me', 'me')";
    },
    'cut off' => sub {
        my $p = any_partition();
        my $from = int rand $COUNT{$p};
        my $heads = any('', "; DELETE FROM audit_heads WHERE number > " . int rand $HEADS);
        my $again = $from == 0 ? "DELETE FROM audit_chains WHERE partition = $p"
            : "SELECT attack_again($p)";
        return 'DELETE FROM audit_records r USING audit_seals s WHERE r.id = s.id'
            . " AND s.partition = $p AND s.position >= $from;"
            . " DELETE FROM audit_seals WHERE partition = $p AND position >= $from; $again$heads";
    },
    empty => sub {
        return join '; ', map { "TRUNCATE audit_$_" } any([qw(records seals heads chains)],
            [qw(records)], [qw(seals)], [qw(records seals chains)], [qw(heads)])->@*;
    },
    'change a head' => sub {
        my $set = any("signature = translate(signature, '0123456789abcdef', '123456789abcdef0')",
            "signature = '00'", "key = reverse(key)", "key = key || ' '",
            "head = replace(head, 'time 1', 'time 2')", "number = number + 1000",
            "head = head || ' '",
            "head = regexp_replace(head, 'chain ([0-9]+) [0-9]+', 'chain \\1 1')",
            "head = translate(head, '0123456789', '1234567890')");
        return "UPDATE audit_heads SET $set WHERE number = " . (1 + int rand $HEADS);
    },
    'remove heads' => sub {
        return 'DELETE FROM audit_heads WHERE number '
            . any('=', '>=', '<=') . ' ' . (1 + int rand $HEADS);
    },
    'change the end' => sub {
        my $p = any_partition();
        return "UPDATE audit_chains SET "
            . any('size = size + 1', "link = sha256(link)") . " WHERE partition = $p";
    },
);

# --- attacks ----------------------------------------------------------------------------------

subtest 'a thousand changes' => sub {
    my (%found, %missed);
    my @kinds = sort keys %attack;
    for my $round (1 .. $ROUNDS) {
        my $kind = $kinds[$round % @kinds];
        my $sql = $attack{$kind}->();
        $a->tamper("$RESTORE; $sql");
        my ($what) = $a->verify;
        if ($what eq '') {
            $missed{$kind}++;
            diag("round $round of seed $SEED, $kind: $sql");
        }
        $found{$kind}{$what}++;
    }
    is join(', ', sort keys %missed), '', "all of $ROUNDS changes were found";
    for my $kind (@kinds) {
        note sprintf '%-44s %s', $kind,
            join '; ', map { "$_ ($found{$kind}{$_})" } sort keys %{ $found{$kind} };
    }
    $a->tamper($RESTORE);
    is +($a->verify)[0], '', 'and nothing else is said to be wrong';
};

subtest 'the database and one of the other places' => sub {
    my $cut = 'DELETE FROM audit_records r USING audit_seals s WHERE r.id = s.id AND r.partition ='
        . " s.partition AND s.partition = $MONTH AND s.position >= 37;"
        . " DELETE FROM audit_seals WHERE partition = $MONTH AND position >= 37;"
        . " SELECT attack_again($MONTH);"
        . ' DELETE FROM audit_heads WHERE number > 1';
    my ($first) = $file =~ /\A(.*\n)/;
    my @heads = split /\n/, $file;

    $a->tamper($cut);
    spew($a->{heads}, $first);
    like +($a->verify)[0], qr/cut off.*head removed/,
        'the file is cut off, too: Redis has the heads';
    spew($a->{heads}, $file);
    $s->redis('DEL', 'weir:audit:heads');
    like +($a->verify)[0], qr/cut off.*head removed/, 'Redis is cut off, too: the file has them';
    spew($a->{heads}, $first);
    my ($status, undef, $err) = $s->weirctl(qw(audit verify --heads /dev/null));
    like $err, qr/no head is outside of the database: a cut-off end cannot be seen/,
        'without other places that is said';
    $a->tamper($RESTORE);
    spew($a->{heads}, $file);
    is +($a->verify)[0], '', 'a Redis that was emptied is nothing wrong';

    spew($a->{heads}, join "\n", @heads[ 0 .. 2 ], $heads[3] =~ s/time 1/time 2/r,
        @heads[ 4 .. $#heads ], '');
    like +($a->verify)[0], qr/head changed/, 'a head of the file that was changed';
    spew($a->{heads}, join "\n", @heads, 'no head', '');
    is +($a->verify)[0], 'head damaged', 'a line that is none';
    spew($a->{heads}, "$file\{");
    is +($a->verify)[0], '', 'a line that is being written';
    spew($a->{heads}, $file);
    $s->redis(qw(XADD weir:audit:heads 1-0 head nonsense));
    is +($a->verify)[0], 'head damaged', 'an entry of Redis that is none';
    $s->redis('DEL', 'weir:audit:heads');
};

subtest 'an altered table' => sub {
    $a->tamper('ALTER TABLE audit_seals ALTER COLUMN position TYPE numeric');
    like +($a->verify)[0], qr/changed/, 'positions of another type';
    $a->tamper('ALTER TABLE audit_seals ALTER COLUMN position TYPE bigint');
    is +($a->verify)[0], '', '... and of the right one again';
};

# --- proofs -----------------------------------------------------------------------------------

subtest 'proofs' => sub {
    my $dir = $s->dir;
    my (undef, $public) = $s->weirctl(qw(audit key));
    spew("$dir/public.pem", $public);
    like $public, qr/\A-----BEGIN PUBLIC KEY-----\n/, 'the public key';
    my $check = sub {
        my $weirctl = Cwd::abs_path($s->{binary}) =~ s/weir-backend$/weirctl/r;
        my @command = ($weirctl, 'audit', 'check', @_);
        # without database and configuration
        return $s->run_command('/usr/bin/env', '-i', @command);
    };
    for my $p ($MONTH, 202501) {
        for my $id (@{ $IDS{$p} }[ 0, 1, 2, int($COUNT{$p} / 2), -1 ]) {
            my ($status, $proof, $err) = $s->weirctl('audit', 'prove', $id);
            is $status, 0, "a proof of $id" or diag $err;
            spew("$dir/proof.json", $proof);
            my ($result, $said) = $check->("$dir/proof.json", '--key', "$dir/public.pem");
            is $result, 0, 'holds' or diag $said;
            like $said, qr/^id +$id\npath|^id +$id$/m, 'and says of what';

            spew("$dir/proof.json", $proof =~ s/"object":"thing:/"object":"thing:1/r);
            ($result, $said) = $check->("$dir/proof.json", '--key', "$dir/public.pem");
            is $result, 1, 'of no other record';
            like $said, qr/not what was sealed at this position/, 'and says so';
        }
    }

    my ($status, undef, $err) = $s->weirctl(qw(audit prove 99999));
    is $status, 1, 'none of a record that is not there';
    my $id = $IDS{$MONTH}[3];
    $a->tamper("UPDATE audit_records SET subject = 'x' WHERE id = $id");
    ($status, my $out, $err) = $s->weirctl(qw(audit prove), $id);
    is "$status $out", '1 ', 'and none of one that was changed';
    like $err, qr/run weirctl audit verify/, 'but what to do';
    $a->tamper($RESTORE);

    my ($result, $said) = $check->('/nowhere', '--key', "$dir/public.pem");
    is $result, 2, 'a file that is not there';
    ($result, $said) = $check->('/nowhere');
    is $result, 2, 'no key';
    like $said, qr/--key FILE/, 'is asked for';
    spew("$dir/empty", '');
    ($result, $said) = $check->("$dir/empty", '--key', "$dir/public.pem");
    is $result, 1, 'an empty file';
    like $said, qr/not a proof/, 'proves nothing';
};

done_testing;
