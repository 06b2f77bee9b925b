# What an operator does with ./weir, on a stack of its own: a new folder below /tmp, free ports.
# The stack is stopped, and its folder removed, when the test ends.
#
#     up();                                # ./weir up; dies when it fails
#     my ($code, $text) = weir('status');  # any other command
#     my $r = ask('POST', '/signup', { email => 'a@example.com', displayName => 'A' });
#     $r = ask('GET', '/users/ID', undef, Authorization => undef);  # without a token
#     $r = get('/products');               # through the edge, with the decoded body in json
package Weir::Operator;
use strict;
use warnings;

use Exporter 'import';
use File::Temp 'tempdir';
use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Weir::Base qw(free_ports output_of slurp wait_for);

our @EXPORT = qw(ask comes_true curl get is_hit token up weir $edge $port $run);

# The services' own users must be able to enter their folders.
my $dir = tempdir('/tmp/weir-up.XXXXXX', CLEANUP => 1);
chmod 0755, $dir;

our $run  = $ENV{WEIR_RUN}  = "$dir/run";
our $port = $ENV{WEIR_PORT} = free_ports(10); # of the edge; other services have the next ones
our $edge = "http://127.0.0.1:$port";

my $test = $$;
my $http = HTTP::Tiny->new(timeout => 20);

END {
    my $result = $?;
    weir('down') if $$ == $test && -d $run;
    $? = $result;
}

# Runs ./weir with these arguments; returns its exit code and what it printed.
sub weir { return output_of('./weir', @_) }

# Runs ./weir up with these arguments and returns what it printed.
sub up {
    my ($code, $text) = weir('up', @_);
    return $text if $code == 0;
    diag $text;
    die("./weir up failed: $code");
}

# What curl prints with an operator's token and certificate; an argument that begins with "/" is a
# path of the edge.
sub curl {
    my ($code, $text) = weir('curl', '-s', '-m', 20, @_);
    return $text;
}

# A token of the stack for that subject with these scopes, by default of an operator; undef if the
# stack has none. It is made once.
my %token;

sub token {
    my @of = @_ == 2 ? ('--sub', $_[0], '--scope', $_[1]) : ();
    return if !-s "$run/keys/issuer/kid" || (slurp("$run/with-identity") !~ /1/);
    my $kid = slurp("$run/keys/issuer/kid");
    return $token{"$kid @of"} //= do {
        my ($code, $text) = weir('token', @of);
        $code == 0 or die("./weir token failed: $text");
        chomp $text;
        $text;
    };
}

# What anybody may ask for is asked for without a token, as the cache has it.
my $PUBLIC = qr{\A/(?:signup|products|webhooks/|openapi|health|books|\.well-known/)};

# A request through the edge, with JSON for its body unless that is undef. Returns HTTP::Tiny's
# response, with the decoded body in json. It has an operator's token where the stack wants one,
# unless there is an Authorization among the headers.
sub ask {
    my ($method, $path, $content, %headers) = @_;
    if (!exists $headers{Authorization} && ($method ne 'GET' || $path !~ $PUBLIC)) {
        my $token = $path =~ m{\A/(?:signup|webhooks/)} ? undef : token();
        $headers{Authorization} = "Bearer $token" if $token;
    }
    delete $headers{Authorization} if !defined $headers{Authorization};
    my %option = (headers => \%headers);
    if (defined $content) {
        $headers{'Content-Type'} = 'application/json';
        $option{content} = ref $content ? encode_json($content) : $content;
    }
    my $r = $http->request($method, $edge . $path, \%option);
    $r->{json} = eval { decode_json($r->{content}) };
    return $r;
}

sub get {
    my ($path, %headers) = @_;
    return ask('GET', $path, undef, %headers);
}

# Whether the code returns something true within that many seconds.
sub comes_true {
    my ($seconds, $code) = @_;
    my $result = eval { wait_for('it', $code, $seconds) };
    diag $@ if !$result && $@ !~ /^waited in vain/;
    return $result;
}

# Whether the cache has answered.
sub is_hit {
    my ($r) = @_;
    return ($r->{headers}{'cache-status'} // '') =~ /hit/;
}

1;
