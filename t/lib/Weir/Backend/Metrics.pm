# What tests of the backend's listener for operators share: its answers, and its metrics, read by
# Prometheus' own parsers (prometheus.py).
#
#     my $m = Weir::Backend::Metrics->new($port);
#     $m->get('/readyz')->{status};
#     my $families = $m->scrape('openmetrics');       # checked: the parser takes the text
#     value($families, 'weir_relay_active');          # undef: there is no such sample
#     $m->wait_for_value('weir_group_dead_letters', sub { $_ == 1 }, group => 'email');
package Weir::Backend::Metrics;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Open2;
use JSON::PP ();
use Weir::Base qw(wait_for);

our @EXPORT_OK = qw(parse value);

my $READER = abs_path(dirname(__FILE__) . '/../../prometheus.py');
my $json = JSON::PP->new->utf8->canonical;

sub new {
    my ($class, $port) = @_;
    return bless { port => $port }, $class;
}

sub get {
    my ($self, $path, %headers) = @_;
    my $http = HTTP::Tiny->new(timeout => $Weir::Base::DEADLINE, max_redirect => 0);
    my $r = $http->get("http://127.0.0.1:$self->{port}$path", { headers => \%headers });
    $r->{json} = eval { $json->decode($r->{content}) }
        if ($r->{headers}{'content-type'} // '') =~ /json/;
    return $r;
}

# The families that Prometheus' library reads from a document; dies when it refuses the document.
sub parse {
    my ($format, $document) = @_;
    my $pid = open2(my $out, my $in, '/usr/bin/python3', $READER, $format);
    print $in $document;
    close $in;
    my $text = do { local $/; <$out> };
    waitpid $pid, 0;
    die "Prometheus' library refuses the format $format:\n$document\n" if $?;
    return $json->decode($text);
}

sub scrape {
    my ($self, $format) = @_;
    my %accept = $format eq 'openmetrics' ? (Accept => 'application/openmetrics-text') : ();
    my $r = $self->get('/metrics', %accept);
    die "/metrics: $r->{status}\n$r->{content}\n" if $r->{status} != 200;
    return parse($format, $r->{content});
}

# The value of the sample with that name and exactly these labels, or undef.
sub value {
    my ($families, $name, %labels) = @_;
    my $wanted = $json->encode(\%labels);
    for my $sample (map { @{ $_->{samples} } } values %$families) {
        my ($is, $has, $value) = @$sample;
        return $value if $is eq $name && $json->encode($has) eq $wanted;
    }
    return undef;
}

# Waits until the sample exists and the check is true for it, in $_; returns it.
sub wait_for_value {
    my ($self, $name, $check, %labels) = @_;
    my $value;
    wait_for("$name " . $json->encode(\%labels) => sub {
        local $_ = $value = value($self->scrape('text'), $name, %labels);
        return defined && $check->();
    });
    return $value;
}

1;
