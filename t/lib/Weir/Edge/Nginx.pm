# What tests of the edge share: the nginx under test, its certificate, what it answers and logs.
package Weir::Edge::Nginx;
use strict;
use warnings;

use Exporter 'import';
use Weir::Processes;

our @EXPORT_OK = qw(cache_status configuration_said http2_directives make_certificate nginx_version
    start_nginx);

# The version of the nginx under test as one number: 1.29.4 is 1029004.
sub nginx_version {
    my ($major, $minor, $patch) = `$ENV{TEST_NGINX_BINARY} -v 2>&1` =~ m{nginx/(\d+)\.(\d+)\.(\d+)}
        or die 'nginx tells no version';
    return $major * 1_000_000 + $minor * 1000 + $patch;
}

# How a server says that it speaks HTTP/2: a parameter of "listen", and a directive.
sub http2_directives {
    return nginx_version() >= 1_026_000 ? ('', 'http2 on;') : ('http2', '');
}

# A key and a certificate for NAME, signed by itself: the files "key" and "certificate".
sub make_certificate {
    my ($name) = @_;
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$name"
        . " -keyout $dir/key -out $dir/certificate 2>$dir/openssl.log") == 0
        or die slurp("$dir/openssl.log");
    return;
}

# Writes nginx.conf into the folder, starts nginx with it and returns when it listens at the port.
# http: directives of that level; modules: the files to load, without it those under test.
sub start_nginx {
    my ($root, $port, %conf) = @_;
    my $temp = temp_paths($root);
    my @modules = @{ $conf{modules} // [split ' ', $ENV{TEST_NGINX_LOAD_MODULES}] };
    my $modules = join '', map { "load_module $_;\n" } @modules;
    mkdir $_ for $root, "$root/logs";
    spit("$root/nginx.conf", <<"CONF");
daemon off;
pid $root/pid;
error_log $root/logs/error.log notice;
worker_processes 1;
$modules
events {}
http {
$temp
    access_log off;
    $conf{http}
}
CONF
    spawn_nginx('edge', $root);
    until_true('the edge listens', sub { listens($port) });
    return;
}

# What "nginx -t" says of the folder's nginx.conf; $? is its exit status.
sub configuration_said {
    my ($root) = @_;
    return scalar `'$ENV{TEST_NGINX_BINARY}' -t -e '$root/logs/refused.log' -p '$root' \\
        -c '$root/nginx.conf' 2>&1`;
}

# The Cache-Status of this cache, without those of other caches before it.
sub cache_status {
    my ($response) = @_;
    my $status = $response->{headers}{'cache-status'};
    return ref $status ? $status->[-1] : $status // '';
}

1;
