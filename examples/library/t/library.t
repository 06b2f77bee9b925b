# The library's API and its events, on a stack of its own: members, books, one copy for one loan,
# fines.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../t/lib";

use JSON::PP ();
use Test::More;
use Weir::Api qw(at_once raw_request status_of);
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(
    domain => 'examples/library',
    sessions => [qw(members books loans)],
    conf => { fine_per_day => 30 },
);
$s->start_backend('all');

sub post {
    my ($path, $body, $status, %headers) = @_;
    my $answer = $s->post($path, $body, \%headers);
    is $answer->{status}, $status, "POST $path: $status" or diag $answer->{content};
    return $answer->{json};
}

sub get {
    my ($path, $status) = @_;
    my $answer = $s->get($path);
    is $answer->{status}, $status, "GET $path: $status" or diag $answer->{content};
    return $answer->{json};
}

my $ann = post('/members', { name => 'Ann', email => 'ann@example.org' }, 201);
my $ben = post('/members', { name => 'Ben', email => 'ben@example.org' }, 201);
my $book =
    post('/books', { title => 'Walden', author => 'Thoreau', kind => 'novel', copies => 1 }, 201);

subtest 'members' => sub {
    is_deeply get("/members/$ann->{id}", 200), $ann, 'is shown as it was made';
    is $ann->{fines}, 0, 'owes nothing';
    like post('/members', { name => 'Other', email => 'ANN@example.org' }, 409)->{detail},
        qr/is taken/, 'an e-mail once';
    get('/members/01900000-0000-7000-8000-000000000000', 404);
    is_deeply post('/members', { email => 'x' }, 422)->{errors},
        [
        { pointer => '/name', detail => 'is required' },
        { pointer => '/email', detail => 'must be an address of the form name@example.com' }],
        'what is wrong is named';
};

subtest 'books' => sub {
    is_deeply post('/books', { title => 'x', kind => 'film', copies => 0 }, 422)->{errors},
        [
        { pointer => '/kind', detail => 'must be novel, reference or children' },
        { pointer => '/copies', detail => 'must be an integer from 1 to 100' }],
        'what is wrong is named';
    my $answer = $s->get('/books');
    is_deeply $answer->{json}{books}, [$book], 'the list has it';
    is $answer->{headers}{'cache-tag'}, 'books', 'and a tag';
    is $s->get('/books', { 'If-None-Match' => $answer->{headers}{etag} })->{status}, 304,
        'what is known is not sent again';
};

my $loan;
subtest 'one copy, one loan' => sub {
    $loan = post('/loans', { memberId => $ann->{id}, bookId => $book->{id}, days => 14 }, 201);
    is $loan->{copy}, 1, 'the copy';
    is $loan->{late}, JSON::PP::false, 'not late';
    ok !exists $loan->{returnedAt}, 'not returned';
    is get('/books', 200)->{books}[0]{free}, 0, 'none is free';
    like post('/loans', { memberId => $ben->{id}, bookId => $book->{id}, days => 14 }, 409)
        ->{detail},
        qr/All copies/, 'no other member gets it';
    my $none = '01900000-0000-7000-8000-000000000000';
    is_deeply post('/loans', { memberId => $none, bookId => $book->{id}, days => 1 }, 422)
        ->{errors},
        [{ pointer => '/memberId', detail => 'is no member' }], 'nor somebody who is no member';
    is_deeply post('/loans', { memberId => $ann->{id}, bookId => $none, days => 61 }, 422)
        ->{errors},
        [{ pointer => '/days', detail => 'must be an integer from 1 to 60' }], 'nor for too long';
    is_deeply post('/loans', { memberId => $ann->{id}, bookId => $none, days => 60 }, 422)
        ->{errors},
        [{ pointer => '/bookId', detail => 'is no book' }], 'nor what there is not';
};

subtest 'many at once for few copies' => sub {
    my $few = post('/books', { title => 'Emma', kind => 'novel', copies => 3 }, 201);
    my %ends;
    $ends{ status_of($_) }++ for at_once(
        $s,
        map {
            raw_request('POST', '/loans',
                { memberId => $ann->{id}, bookId => $few->{id}, days => 1 })
        } 1 .. 12);
    is_deeply \%ends, { 201 => 3, 409 => 9 }, 'three get one, nine are refused';
    is $s->psql("SELECT count(DISTINCT copy) FROM loans WHERE book_id = '$few->{id}'"), 3,
        'three copies';
};

subtest 'the same key, the same loan' => sub {
    my $other = post('/books', { title => 'Persuasion', kind => 'novel', copies => 2 }, 201);
    my $body = { memberId => $ben->{id}, bookId => $other->{id}, days => 1 };
    my $first = post('/loans', $body, 201, 'Idempotency-Key' => '"loan-1"');
    is_deeply post('/loans', $body, 201, 'Idempotency-Key' => '"loan-1"'), $first,
        'is not lent twice';
    is $s->psql("SELECT count(*) FROM loans WHERE book_id = '$other->{id}'"), 1, 'one loan';
};

subtest 'late' => sub {
    my ($code, $rows) = ($s->weirctl('loans', 'overdue', '--json'))[0, 1];
    is $code, 0, 'nothing is overdue';
    $s->psql("UPDATE loans SET due_at = now() - interval '25 hours' WHERE id = '$loan->{id}'");
    ($code, $rows) = ($s->weirctl('loans', 'overdue', '--json'))[0, 1];
    is $code, 1, 'something is';
    is(JSON::PP->new->decode($rows)->[0]{title}, 'Walden', 'which');

    my $before = $s->redis('XLEN', 'weir:invalidate');
    my $returned = post("/loans/$loan->{id}/return", undef, 200);
    is $returned->{late}, JSON::PP::true, 'late';
    ok $returned->{returnedAt}, 'returned';
    is_deeply post("/loans/$loan->{id}/return", undef, 200), $returned, 'again: the same answer';
    post('/loans/01900000-0000-7000-8000-000000000000/return', undef, 404);

    wait_for('the fine' => sub { get("/members/$ann->{id}", 200)->{fines} == 60 });
    is $s->psql("SELECT count(*) FROM outbox WHERE type = 'FineDue'"), 1, 'one event';
    is $s->psql('SELECT count(*) FROM fines'), 1, 'and one fine, for two days that have begun';
    wait_for('a message to the edges' => sub { $s->redis('XLEN', 'weir:invalidate') > $before });
    is get('/books', 200)->{books}[-1]{free}, 1, 'the copy is free';
    post('/loans', { memberId => $ben->{id}, bookId => $book->{id}, days => 1 }, 201);
};

subtest 'the description of the API' => sub {
    my $document = get('/openapi.json', 200);
    is $document->{info}{title}, 'Library', 'its title';
    is_deeply [sort keys %{ $document->{paths} }],
        ['/books', '/loans', '/loans/{id}/return', '/members', '/members/{id}', '/openapi.json'],
        'its paths';
    is_deeply $document->{components}{schemas}{Book}{properties}{kind}{enum},
        [qw(novel reference children)], 'an enum';
    ok $document->{paths}{'/books'}{get}{responses}{200}{content}
        {'application/vnd.library.v1+json'}, 'its media type';
};

subtest 'its keys of the configuration' => sub {
    my ($status, $output) =
        $s->run_command($s->{binary}, '-c', $s->write_conf(fine_per_day => 10001), '-t');
    is $status, 1, 'are checked';
    like $output, qr/key "fine_per_day", value "10001": must be a number of cents from 0 to 10000/,
        'are named';
    ($status, $output) =
        $s->run_command($s->{binary}, '-c', $s->write_conf(groups => 'fine'), '-t');
    like $output, qr/no group "fine"; the groups are all, fines, invalidation$/, 'its groups';
    ($status, $output) =
        $s->run_command($s->{binary}, '-c', $s->write_conf(smtp => 'smtp://127.0.0.1:25'), '-t');
    like $output, qr/key "smtp" is unknown/, 'another domain\'s are unknown';
};

subtest 'where events come from' => sub {
    # What a group has not handled stays in the stream.
    is(($s->weirctl('groups', 'pause', '--all'))[0], 0, 'groups pause');
    wait_for('the worker to know it' => sub { $s->logged('all', 'group is paused') == 2 });
    my $new = post('/members', { name => 'Cy', email => 'cy@example.org' }, 201);
    my $event = qr{"source":"weir/library","type":"MemberJoined","subject":"member:$new->{id}"};
    wait_for('the event' => sub {
        my @streams = split /\n/, $s->redis('KEYS', 'weir:events:*');
        return grep { $s->redis('XRANGE', $_, '-', '+') =~ $event } @streams;
    });
    pass 'from the library';
};

is $s->stop_backend('all'), 0, 'stops';

done_testing;
