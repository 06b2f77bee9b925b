# A receiver of spans (weirctl trace receive), and spans to send to it.
#
#     my $r = Weir::Backend::Traces->new(dir => $dir, limit => 1);    # MiB; started
#     $r->post(request(span(name => 'a')));                  # OTLP in JSON
#     $r->get("/traces/$ID");                                # decoded, or undef
#
# Spans are of the trace $ID and have growing ids, unless said otherwise.
package Weir::Backend::Traces;
use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use IPC::Open2;
use JSON::PP;
use Weir::Base qw(free_port slurp wait_for);

our @EXPORT_OK = qw(encoded request span $CTL $ID);

our $ID  = '4bf92f3577b34da6a3ce929d0e0e4736';
my $build = $ENV{WEIR_BUILD} // 'build';
our $CTL = ($ENV{WEIR_BACKEND_BINARY} // "$build/weir-backend") =~ s/weir-backend$/weirctl/r;

my $json = JSON::PP->new->utf8->canonical;
my $next = 0;

# A span in OTLP's JSON, of one second from 2026 on.
sub span {
    my (%with) = @_;
    return {
        traceId           => $ID,
        spanId            => sprintf('%016x', ++$next),
        name              => 'a span',
        kind              => 1,
        startTimeUnixNano => '1767225600000000000',
        endTimeUnixNano   => '1767225601000000000',
        %with
    };
}

sub attribute { return { key => $_[0], value => { stringValue => $_[1] } } }

# A request of the service "shop" with these spans.
sub request {
    my (@spans) = @_;
    return { resourceSpans => [ {
        resource   => { attributes => [ attribute('service.name', 'shop') ] },
        scopeSpans => [ { scope => { name => 'test' }, spans => [@spans] } ] } ] };
}

# The request in protobuf, as Google's library encodes it by OpenTelemetry's schema.
sub encoded {
    my ($request) = @_;
    my $pid = open2(my $out, my $in, '/usr/bin/python3', 't/lib/otlp.py', 'encode');
    binmode $_ for $out, $in;
    print $in $json->encode($request);
    close $in;
    local $/;
    my $bytes = <$out>;
    waitpid $pid, 0;
    die("otlp.py: $?") if $?;
    return $bytes;
}

sub new {
    my ($class, %with) = @_;
    my $self = bless { file => "$with{dir}/spans.jsonl", log => "$with{dir}/log",
        port => free_port(), limit => $with{limit}, owner => $$,
        http => HTTP::Tiny->new(timeout => 60, keep_alive => 0) }, $class;
    $self->start;
    return $self;
}

sub start {
    my ($self) = @_;
    my @limit = $self->{limit} ? ('--limit', $self->{limit}) : ();
    $self->{pid} = fork // die $!;
    if (!$self->{pid}) {
        open STDERR, '>>', $self->{log} or die $!;
        exec $CTL, 'trace', 'receive', '--listen', "127.0.0.1:$self->{port}", '--file',
            $self->{file}, @limit or die $!;
    }
    wait_for('the receiver' => sub { $self->ask('GET', '/health')->{status} != 599 });
}

# Ends it; returns its status.
sub stop {
    my ($self, $signal) = @_;
    kill $signal // 'TERM', $self->{pid};
    waitpid $self->{pid}, 0;
    $self->{pid} = undef;
    return $?;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    $self->stop if $self->{pid} && $self->{owner} == $$;
}

sub ask {
    my ($self, $method, $path, %option) = @_;
    return $self->{http}->request($method, "http://127.0.0.1:$self->{port}$path", \%option);
}

# Sends bytes of that type, or a request as JSON; returns HTTP::Tiny's response.
sub post {
    my ($self, $body, $type, %headers) = @_;
    return $self->ask('POST', '/v1/traces', content => ref $body ? $json->encode($body) : $body,
        headers => { 'Content-Type' => $type // 'application/json', %headers });
}

# The decoded answer, undef if its status is not 200.
sub get {
    my ($self, $path) = @_;
    my $r = $self->ask('GET', $path);
    return $r->{status} == 200 ? $json->decode($r->{content}) : undef;
}

# The names of the trace's spans.
sub names {
    my ($self, $id) = @_;
    my $trace = $self->get('/traces/' . ($id // $ID)) // return;
    return map { $_->{name} } map { @{ $_->{spans} } } map { @{ $_->{scopeSpans} } }
        @{ $trace->{resourceSpans} };
}

1;
