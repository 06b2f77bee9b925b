# A Weir::Stack in which all parts prove who they are, as those of ./weir up do: mutual TLS to
# PostgreSQL, Redis, mail server, gateway and backend, and an edge in front of the api that signs
# who calls. Requests go through the edge, with an operator's token.
#
#     my $stack = Weir::Stack::Secure->new;   # and on as with Weir::Stack
package Weir::Stack::Secure;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Weir::Base qw(free_port listens spew output_of);
use Weir::Stack;
use Weir::Stack::Postgres;

our @ISA = ('Weir::Stack');

my $ROOT = abs_path(dirname(__FILE__) . '/../../../..');

sub new {
    my ($class, %option) = @_;
    my $self = Weir::Stack::new($class, %option);
    $self->_start_edge;
    return $self;
}

# --- keys -----------------------------------------------------------------------------------------

# Made before the first server starts.
sub _make_keys {
    my ($self) = @_;
    return if $self->{keys};
    $self->{keys} = "$self->{dir}/keys";
    my ($code, $text) =
        output_of(dirname($self->{binary}) . '/weirctl', 'keys', 'init', '--folder', $self->{keys});
    die "weirctl keys init: $text\n" if $code != 0;
    Weir::Stack::Postgres::hand_over("$self->{keys}/postgres/tls.key");
    ($self->{pg_port}, $self->{edge_port}) = (free_port(), free_port());
    $ENV{PGPORT} = $self->{pg_port};
    my $api = "$self->{keys}/api";
    $self->{conf} = {
        (map { ("${_}_ca" => "$api/ca.crt", "${_}_certificate" => "$api/tls.crt",
            "${_}_key" => "$api/tls.key") } qw(redis smtp payments)),
        tls_certificate => "$api/tls.crt", tls_key => "$api/tls.key",
        tls_client_ca => "$api/ca.crt", tls_allowed_names => 'spiffe://weir.internal/edge',
        identity_jwks => "$self->{keys}/identity/jwks.json", identity_audience => 'shop',
        %{ $self->{conf} },
    };
}

# --- servers --------------------------------------------------------------------------------------

sub start_postgres {
    my ($self) = @_;
    $self->_make_keys;
    my $keys = "$self->{keys}/postgres";
    $self->{postgres_settings} = ['listen_addresses=127.0.0.1', "port=$self->{pg_port}", 'ssl=on',
        "ssl_cert_file=$keys/tls.crt", "ssl_key_file=$keys/tls.key", "ssl_ca_file=$keys/ca.crt"];
    $self->SUPER::start_postgres;
    my $data = "$self->{dir}/pg/data";
    return if $self->{is_certified}++;
    spew("$data/pg_hba.conf", "local all all trust\n"
        . "hostssl weir all 127.0.0.1/32 cert map=certificates\n");
    spew("$data/pg_ident.conf", join '', "certificates api weir\n",
        "certificates ctl user_operator\n",
        map { "certificates $_ user_$_\n" } qw(api relay worker));
    Weir::Stack::Postgres::hand_over(map { "$data/$_.conf" } qw(pg_hba pg_ident));
    $self->psql_as('postgres', 'postgres', 'SELECT pg_reload_conf()');
}

sub redis_listen {
    my ($self) = @_;
    $self->_make_keys;
    my $keys = "$self->{keys}/redis";
    return ('--port', 0, '--tls-port', $self->{redis_port}, '--tls-cert-file', "$keys/tls.crt",
        '--tls-key-file', "$keys/tls.key", '--tls-ca-cert-file', "$keys/ca.crt",
        '--tls-auth-clients', 'yes');
}

sub redis_address { my ($self) = @_; return "$self->{dir}/redis/redis.sock" }
sub redis_at { my ($self) = @_; return ('-s', $self->redis_address) }

sub redis_url {
    my ($self, $port) = @_;
    return 'rediss://127.0.0.1:' . ($port // $self->{redis_port}) . '/0';
}

sub smtp_url {
    my ($self, $path) = @_;
    return "smtps://127.0.0.1:$self->{smtp_port}" . ($path // '');
}
sub smtp_keys { my ($self) = @_; return "$self->{keys}/smtp" }

# port: of a link to the server.
sub database {
    my ($self, $port) = @_;
    $port //= $self->{pg_port};
    my $api = "$self->{keys}/api";
    return "host=postgres.weir.internal hostaddr=127.0.0.1 port=$port dbname=weir user=weir"
        . " sslmode=verify-full sslrootcert=$api/ca.crt sslcert=$api/tls.crt sslkey=$api/tls.key";
}

# Each role with its own certificate.
sub databases {
    my ($self, $database) = @_;
    my %of = $self->SUPER::databases($database);
    for my $key (keys %of) {
        my ($name) = $key =~ /^database_(\w+)$/;
        $of{$key} =~ s{\Q$self->{keys}\E/api/}{$self->{keys}/$name/}g;
    }
    return %of;
}

# weirctl asks Redis by its socket.
sub weirctl {
    my ($self, @arguments) = @_;
    local $ENV{WEIR_REDIS} = "unix:$self->{dir}/redis/redis.sock";
    return $self->SUPER::weirctl(@arguments);
}

# --- the edge -------------------------------------------------------------------------------------

sub _start_edge {
    my ($self) = @_;
    my ($dir, $keys) = ("$self->{dir}/edge", $self->{keys});
    my $module = abs_path(dirname($self->{binary}) . '/ngx_http_weir_module.so');
    my $user = $> == 0 ? 'user root;' : '';
    mkdir $dir or die "$dir: $!\n";
    spew("$dir/nginx.conf", <<"CONF");
load_module $module;
$user
daemon off;
worker_processes 2;
pid $dir/pid;
error_log $dir/error.log notice;
events {}
http {
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    access_log off;
    weir_jwt_issuer test { issuer https://issuer.weir.example; audience weir-demo;
        jwks $keys/issuer/jwks.json; }
    map '' \$edge_pair { default \$realpath_root; }
    upstream api { server 127.0.0.1:$self->{port} max_fails=0; keepalive 8; }
    server {
        listen 127.0.0.1:$self->{edge_port};
        root $keys/edge;
        weir_jwt test optional;
        weir_identity key=$keys/identity/key.pem audience=shop;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_read_timeout 60s;
        proxy_ssl_certificate \$edge_pair/tls.crt;
        proxy_ssl_certificate_key \$edge_pair/tls.key;
        proxy_ssl_trusted_certificate $keys/edge/ca.crt;
        proxy_ssl_verify on;
        proxy_ssl_name api.weir.internal;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_session_reuse off;
        location / { proxy_pass https://api; }
    }
}
CONF
    my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';
    $self->start_process('edge',
        [$nginx, '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf"]);
    $self->wait_started('edge' => sub { listens($self->{edge_port}) });
}

sub url { my ($self, $path) = @_; return "http://127.0.0.1:$self->{edge_port}$path" }

sub authorization {
    my ($self) = @_;
    $self->{token} //= do {
        my $script = 'identity=1 keys=$0 domain=backend/shop; . scripts/stack/identity.sh;'
            . ' client_token operator shop:admin 86400';
        my ($code, $text) = output_of('bash', '-c', "cd $ROOT && $script", $self->{keys});
        die "no token: $text\n" if $code != 0;
        $text =~ s/\s+//r;
    };
    return (Authorization => "Bearer $self->{token}");
}

1;
