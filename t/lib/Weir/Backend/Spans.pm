# The spans that a backend sends to a collector (collector.py, whose decoder is Google's).
#
#     my $c = Weir::Backend::Spans->new($stack);                  # a collector
#     $stack->start_backend('all', conf => { $c->conf });
#     my @spans = $c->trace($id, 9);                     # waits for that many of the trace
#     my ($server) = named('POST /signup', @spans);
#     tree(@spans);                                      # "server: POST /signup\n  internal: …"
#     signup_tree();                                     # that of a signup
#     early(@spans);                                     # those that begin before their parent
package Weir::Backend::Spans;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use JSON::PP ();
use Weir::Base qw(free_port listens slurp spew wait_for);

our @EXPORT_OK = qw(early named signup_tree tree);

my $PROGRAM = abs_path(dirname(__FILE__) . '/../../collector.py');
my @KINDS = qw(unspecified internal server client producer consumer);
my $json = JSON::PP->new->utf8->canonical;

sub new {
    my ($class, $stack) = @_;
    my $self = bless { stack => $stack, port => free_port(), dir => $stack->dir . '/collector' },
        $class;
    mkdir $self->{dir};
    $self->start;
    return $self;
}

sub start {
    my ($self) = @_;
    my $s = $self->{stack};
    $s->start_process('collector', ['/usr/bin/python3', $PROGRAM, $self->{dir}, $self->{port}]);
    $s->wait_started('collector' => sub { listens($self->{port}) });
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}/v1/traces" }
sub conf { my ($self) = @_; return (traces_endpoint => $self->url) }

# How the next requests are answered: collector.py says what may be in each.
sub behave {
    my ($self, @answers) = @_;
    unlink "$self->{dir}/behaviour";
    spew("$self->{dir}/behaviour", $json->encode(\@answers)) if @answers;
}

# The requests that have come. Those that could not be decoded have an error.
sub requests {
    my ($self) = @_;
    return map { eval { $json->decode($_) } // () } split /\n/, slurp("$self->{dir}/requests");
}

sub spans { my ($self) = @_; return map { @{ $_->{spans} // [] } } $self->requests }

# The spans of a trace, when there are that many, in the order of their beginnings.
sub trace {
    my ($self, $id, $count) = @_;
    my @spans;
    eval {
        wait_for("$count spans" => sub {
            @spans = grep { $_->{trace} eq $id } $self->spans;
            return @spans >= $count;
        });
        1;
    } or die "$@there are " . scalar(@spans) . ":\n" . tree(@spans);
    return sort { $a->{start} <=> $b->{start} || $a->{end} <=> $b->{end} } @spans;
}

sub named {
    my ($name, @spans) = @_;
    return grep { ref $name ? $_->{name} =~ $name : $_->{name} eq $name } @spans;
}

# The spans as a tree of lines "kind: name", sorted, with two blanks for each level. A span whose
# parent is not among them is a root.
sub tree {
    my (@spans) = @_;
    my %known = map { $_->{id} => 1 } @spans;
    my %children;
    push @{ $children{ $known{ $_->{parent} } ? $_->{parent} : '' } }, $_ for @spans;
    my $show;
    $show = sub {
        my ($id, $level) = @_;
        my @texts = map {
            '  ' x $level . "$KINDS[$_->{kind}]: $_->{name}\n" . $show->($_->{id}, $level + 1)
        } @{ $children{$id} // [] };
        return join '', sort @texts;
    };
    return $show->('', 0);
}

# The tree of a signup, until the mail is sent; before it, the spans of those that passed it on.
sub signup_tree {
    my @before = @_;
    my $level = 0;
    my $tree = join '', map { '  ' x $level++ . "$_\n" } @before;
    return $tree . <<'TREE' =~ s/^/'  ' x $level/gemr;
server: POST /signup
  client: receive weir:events
  consumer: process weir:events
    client: SELECT consume
  consumer: process weir:events
    client: SELECT consume
  consumer: process weir:events
    client: SELECT consume
  consumer: process weir:events
    client: SELECT consume
    client: SMTP
    internal: batch mail_recipients
      client: SELECT mail_recipients
  internal: batch signup
    client: SELECT signup
  internal: outbox
  producer: send weir:events
TREE
}

# The spans that end before they begin, or begin before their parent. What is asynchronous begins
# later, and may end later. nginx gives the duration of a try in milliseconds, so a span within one
# may be that much too early.
sub early {
    my (@spans) = @_;
    my %by_id = map { $_->{id} => $_ } @spans;
    return map { "$_->{name}: $_->{start} to $_->{end}" } grep {
        my $parent = $by_id{ $_->{parent} };
        my $slack = $parent && ($parent->{attributes}{'server.address'} // '') ne ''
            && $parent->{kind} == 3 ? 2_000_000 : 0;
        $_->{end} < $_->{start} || $parent && $_->{start} < $parent->{start} - $slack
    } @spans;
}

1;
