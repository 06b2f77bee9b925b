# Certificates for tests, by openssl: authorities, and certificates below them with SPIFFE IDs, DNS
# names, addresses and any validity.
#
#     my $pki = Weir::Tls::Certificates->new($dir);
#     $pki->authority('ca');                                   # DIR/ca.crt, DIR/ca.key
#     $pki->issue('edge', ca => 'ca', uri => ['spiffe://weir.test/edge'], dns => ['edge.test']);
#     $pki->put("all.crt" => $pki->text("ca.crt") . $pki->text("new.crt"));  # by rename
#
# issue() takes also: ip => […], days => N (2), ago => N (days since it became valid, 0), use =>
# 'clientAuth' (default: client and server), extension => 'lines'.
package Weir::Tls::Certificates;

use strict;
use warnings;

use POSIX qw(strftime);
use Weir::Base qw(slurp spew);

sub new {
    my ($class, $dir) = @_;
    mkdir $dir;
    chmod 0755, $dir;
    return bless { dir => $dir, serial => 1 }, $class;
}

sub file { my ($self, $name) = @_; return "$self->{dir}/$name" }

sub _openssl {
    my ($self, @arguments) = @_;
    my $log = $self->file('openssl.log');
    my @redirected = ('/bin/sh', '-c', 'log=$1; shift; exec openssl "$@" >"$log" 2>&1', 'sh');
    system(@redirected, $log, @arguments) == 0
        or die "openssl @arguments: " . slurp($log) . "\n";
}

sub _time { my ($days) = @_; return strftime('%Y%m%d%H%M%SZ', gmtime(time + $days * 86400)) }

sub _key {
    my ($self, $name) = @_;
    $self->_openssl(qw(ecparam -genkey -noout -name prime256v1 -out), $self->file("$name.key"));
    chmod 0644, $self->file("$name.key"); # servers of other users read it
}

# One that signs itself.
sub authority {
    my ($self, $name, %option) = @_;
    $self->_key($name);
    my $config = $self->file("$name.conf");
    spew($config, <<"END");
[req]
distinguished_name = dn
prompt = no
x509_extensions = v3
[dn]
CN = $name
[v3]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
END
    $self->_openssl('req', '-x509', '-new', '-config', $config, '-key', $self->file("$name.key"),
        '-days', $option{days} // 30, '-out', $self->file("$name.crt"));
}

# DIR/NAME.crt and DIR/NAME.key.
sub issue {
    my ($self, $name, %option) = @_;
    my $ca = $option{ca} // 'ca';
    my @names = (
        (map {"URI:$_"} @{ $option{uri} // [] }),
        (map {"DNS:$_"} @{ $option{dns} // [] }),
        (map {"IP:$_"} @{ $option{ip}   // [] }));
    my $san = @names ? 'subjectAltName = ' . join(',', @names) : '';
    my $use = $option{use} // 'clientAuth,serverAuth';
    my $cn = $option{cn} // $name;
    my ($config, $index, $serial) = map { $self->file("$name.$_") } 'conf', 'index', 'serial';
    $self->_key($name);
    spew($index, '');
    spew($serial, sprintf "%04X\n", $self->{serial}++);
    spew($config, <<"END");
[req]
distinguished_name = dn
prompt = no
[dn]
CN = $cn
[ca]
default_ca = here
[here]
database = $index
serial = $serial
new_certs_dir = $self->{dir}
default_md = sha256
policy = any
email_in_dn = no
unique_subject = no
x509_extensions = v3
[any]
commonName = supplied
[v3]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = $use
$san
END
    my ($request, $new) = map { $self->file("$name.$_") } 'csr', 'new';
    $self->_openssl('req', '-new', '-config', $config, '-key', $self->file("$name.key"),
        '-out', $request);
    my $ago = $option{ago} // 1 / 24;
    $self->_openssl('ca', '-batch', '-notext', '-config', $config, '-in', $request,
        '-cert', $self->file("$ca.crt"), '-keyfile', $self->file("$ca.key"),
        '-startdate', _time(-$ago), '-enddate', _time($option{days} // 2), '-out', $new);
    rename $new, $self->file("$name.crt") or die "$name.crt: $!\n";
}

# Writes each file by rename: NAME => text, or the name of a file whose text it gets as \'NAME'.
sub put {
    my ($self, %files) = @_;
    for my $name (sort keys %files) {
        my $text = ref $files{$name} ? slurp($self->file(${ $files{$name} })) : $files{$name};
        spew($self->file("$name.put"), $text);
        chmod 0644, $self->file("$name.put");
        rename $self->file("$name.put"), $self->file($name) or die "$name: $!\n";
    }
}

sub text { my ($self, $name) = @_; return slurp($self->file($name)) }

1;
