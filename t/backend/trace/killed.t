# kill -9 of a worker in the middle of an attempt: the trace has that attempt, and the one of the
# worker that takes over.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(slurp spew wait_for);
use Weir::Backend::Spans qw(named);
use Weir::Stack;

my $TRACE = 'c' x 32;

my $s = Weir::Stack->new(conf => { groups => 'email', smtp_timeout => '60s' });
my $c = Weir::Backend::Spans->new($s);
my $taken = $s->start_smtp_moody;
$s->start_backend($_, conf => { $c->conf, service_name => $_ }) for qw(relay worker);
$s->start_backend('api', conf => { $c->conf });

my $r = $s->post('/signup', { email => 'slow@example.com', displayName => 'A' },
    { traceparent => "00-$TRACE-00f067aa0ba902b7-01" });
is $r->{status}, 201, 'a signup';
wait_for('the worker to hold the event' => sub { named('receive weir:events', $c->spans) });
$s->kill_backend('worker');
spew("$taken.mood", '250 ok');
$s->start_backend('worker', name => 'second', conf => { $c->conf, service_name => 'second' });
wait_for('the second attempt' => sub { named('process weir:events', $c->spans) });

my %service;
for my $request ($c->requests) {
    for my $span (grep { $_->{trace} eq $TRACE } @{ $request->{spans} }) {
        push @{ $service{ $span->{name} } }, $request->{resource}{'service.name'};
    }
}
is_deeply $service{'receive weir:events'}, ['worker', 'second'], 'both workers had the event';
is_deeply $service{'process weir:events'}, ['second'], 'the second one has finished it';
is slurp($taken), "slow\@example.com\n", 'with one mail';
my ($server) = named('POST /signup', $c->spans);
is_deeply [map { $_->{parent} } named('receive weir:events', $c->spans)],
    [($server->{id}) x 2], 'both are children of the request';

done_testing;
