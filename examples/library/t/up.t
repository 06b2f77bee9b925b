# ./weir up --domain examples/library: the library behind the edge, which keeps the list of books
# until one is lent.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../t/lib";

use Test::More;
use Weir::Base qw(wait_for);
use Weir::Operator;

my $text = up('--domain', 'examples/library');
pass 'up starts the stack';
like $text, qr{Weir is up with the domain examples/library: $edge},
    'up names the domain and the address';

my ($code, $status) = weir('status');
is $code, 0, 'all services are up';
unlike $status, qr/smtp|payments/, 'without those that only another domain needs';
is((weir('ctl', 'loans', 'overdue'))[0], 0, 'weirctl knows its commands');

my $ann = { name => 'Ann', email => 'ann@example.org' };
my $member = ask('POST', '/members', $ann)->{json}{id};
my $book = ask('POST', '/books', { title => 'Walden', kind => 'novel', copies => 2 });
is $book->{headers}{'content-type'}, 'application/vnd.library.v1+json', 'its media type';
wait_for('the list, kept by the edge' => sub { is_hit(get('/books')) });
is get('/books')->{json}{books}[0]{free}, 2, 'two copies are free';
my $loan = { memberId => $member, bookId => $book->{json}{id}, days => 7 };
is ask('POST', '/loans', $loan)->{status}, 201, 'one is lent';
is get('/books')->{json}{books}[0]{free}, 1, 'and the list says so at once';

($code, $text) = weir('up', '--domain', 'backend/shop');
is $code, 1, 'a stack with its data refuses another domain';
like $text, qr/this stack has the data of the domain examples\/library/, 'and says why';

done_testing;
