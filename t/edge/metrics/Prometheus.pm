# A Prometheus (Debian's package) that scrapes one address each second, with storage of exemplars.
package Prometheus;
use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use JSON::PP 'decode_json';
use Test::More;
use Weir::Processes;

our @EXPORT = qw(has_prometheus promtool prometheus_asked start_prometheus);

my $port;

sub has_prometheus { return -x '/usr/bin/prometheus' }

# Starts it; target is host:port, path that of the metrics.
sub start_prometheus {
    my ($target, $path) = @_;
    $port = free_port();
    spit("$dir/prometheus.yml", <<"YAML");
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: weir
    metrics_path: $path
    static_configs: [ { targets: ["$target"] } ]
YAML
    spawn('prometheus', ['/usr/bin/prometheus', "--config.file=$dir/prometheus.yml",
        "--storage.tsdb.path=$dir/prometheus", "--web.listen-address=127.0.0.1:$port",
        '--enable-feature=exemplar-storage', '--log.level=error']);
    until_true('Prometheus listens', sub { listens($port) });
    return;
}

# What its API has for a query: the member data of api/v1/NAME, or undef while it has no answer.
sub prometheus_asked {
    my ($name, %query) = @_;
    my $http = HTTP::Tiny->new(timeout => 20);
    my $form = $http->www_form_urlencode(\%query);
    my $answer = $http->get("http://127.0.0.1:$port/api/v1/$name?$form");
    return $answer->{success} ? decode_json($answer->{content})->{data} : undef;
}

# What "promtool check metrics" has to say about a document in the text format.
sub promtool {
    my ($document) = @_;
    spit("$dir/metrics.txt", $document);
    return scalar qx(/usr/bin/promtool check metrics < $dir/metrics.txt 2>&1);
}

1;
