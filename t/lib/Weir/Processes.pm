# Processes that a test starts and waits for, and of which it leaves none behind,
# and the folder where they live.
package Weir::Processes;
use strict;
use warnings;

use Exporter 'import';
use File::Temp 'tempdir';
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';

our @EXPORT = qw(distribution_nginx free_port in_world listens load_modules log_lines scheme slurp spawn spawn_nginx spit stop temp_paths until_true %pid $dir);

our $dir = tempdir(CLEANUP => $ENV{KEEP} ? 0 : 1);
our %pid;
my $test = $$;

chmod 0755, $dir;    # nginx's workers are another user than root

END {
    my $status = $?;
    if ($$ == $test) {
        kill 'CONT', values %pid;
        stop($_, 'TERM') for keys %pid;
        $? = $status;
    }
}

sub free_port { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')->sockport }
sub listens { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$_[0]") }
sub slurp { open my $in, '<', $_[0] or return ''; local $/; scalar <$in> }
sub spit { open my $out, '>', "$_[0].new" or die $!; print $out $_[1]; close $out; rename "$_[0].new", $_[0] or die $! }

# Whether the test runs in one of those worlds (t/worlds/README.md), and the scheme that nginx is asked by there.
sub in_world { my $world = $ENV{WEIR_WORLD} // ''; scalar grep { $_ eq $world } @_ }
sub scheme { in_world('tls', 'http2') ? 'https' : 'http' }

# The lines of a log that match, from a position on.
sub log_lines { my ($log, $pattern, $from) = @_; grep { $_ =~ $pattern } split /\n/, substr slurp($log), $from // 0 }

# Returns the condition's value as soon as it is true; the test ends if it stays false for a
# minute.
sub until_true {
    my ($what, $condition) = @_;
    for (1 .. 3000) {
        my $result = $condition->();
        return $result if $result;
        sleep 0.02;
    }
    diag join "\n", grep { !/client closed/ } split /\n/, substr slurp($_), -4000 for glob "$dir/logs/error.log $dir/*/logs/error.log";
    die("waited in vain until $what");
}

# A command, or a sub that does not return.
sub spawn {
    my ($name, $what) = @_;
    my $child = fork // die $!;
    if (!$child) {
        ref $what eq 'CODE' and $what->();
        open STDOUT, '>', '/dev/null';
        exec @$what;
    }
    return $pid{$name} = $child;
}

sub stop {
    my ($name, $signal) = @_;
    my $child = delete $pid{$name} or return;
    kill $signal, $child;
    waitpid $child, 0;
    my @translators = map { split ' ', slurp($_) } glob "$dir/{,*/}nginx.conf.translators.$child";    # of a world
    for (1 .. 200) { last if !kill 0, $child, @translators; sleep 0.05 }    # a daemon is nobody's child
}

# nginx with its folder: nginx.conf and logs/ in it.
sub spawn_nginx {
    my ($name, $root) = @_;
    spawn($name, [$ENV{TEST_NGINX_BINARY}, '-e', "$root/logs/error.log", '-p', $root, '-c', "$root/nginx.conf"]);
}

# Whether the nginx under test takes the modules of the distribution as they are: it is not another one, nor under Valgrind.
sub distribution_nginx { !$ENV{WEIR_NGINX} && `'$ENV{TEST_NGINX_BINARY}' -v 2>&1` eq `/usr/sbin/nginx -v 2>&1` }

# Directives for http {} that let nginx write nowhere else than in its folder.
# Lines of a configuration.
sub load_modules { join '', map { "load_module $_;\n" } split ' ', $ENV{TEST_NGINX_LOAD_MODULES} }
sub temp_paths { my $root = shift; join '', map { "    ${_}_temp_path $root/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi) }

1;
