# Processes that a test starts and waits for, and of which it leaves none behind,
# and the folder where they live.
package Weir::Processes;
use strict;
use warnings;

use Exporter 'import';
use File::Temp 'tempdir';
use Test::More;
use Weir::Base qw(free_port listens slurp spew wait_for);

our @EXPORT = qw(
    distribution_nginx free_port in_world listens load_modules log_lines scheme slurp spawn
    spawn_nginx spit stop temp_paths until_true %pid $dir
);

our $dir = tempdir(CLEANUP => $ENV{KEEP} ? 0 : 1);
our %pid;
my $test = $$;

chmod 0755, $dir; # nginx's workers are another user than root

END {
    my $status = $?;
    if ($$ == $test) {
        kill 'CONT', values %pid;
        Weir::Redis::redis_check() if defined &Weir::Redis::redis_check;
        stop($_, 'TERM') for keys %pid;
        $? = $status;
    }
}

sub spit { return spew(@_) }

# Whether the test runs in one of those worlds (t/worlds/README.md), and the scheme that nginx is
# asked by there.
sub in_world {
    my $world = $ENV{WEIR_WORLD} // '';
    scalar grep { $_ eq $world } @_;
}
sub scheme { in_world('tls', 'http2') ? 'https' : 'http' }

# The lines of a log that match, from a position on.
sub log_lines {
    my ($log, $pattern, $from) = @_;
    grep { $_ =~ $pattern } split /\n/, substr slurp($log), $from // 0;
}

# Returns the condition's value as soon as it is true. If it stays false for a minute, the test ends
# and shows the ends of nginx's logs.
sub until_true {
    my ($what, $condition) = @_;
    my $result = eval { wait_for("this: $what", $condition, 60, 0.02) };
    return $result if $result;
    my $error = $@;
    for my $log (glob "$dir/logs/error.log $dir/*/logs/error.log") {
        diag grep { !/client closed/ } map { "$_\n" } split /\n/, substr slurp($log), -4000;
    }
    die $error;
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
    # A world has programs beside nginx (t/worlds). None of them, and no daemon, is a child to wait
    # for.
    my @translators = map { split ' ', slurp($_) } glob "$dir/{,*/}nginx.conf.translators.$child";
    eval { wait_for("the end of $name", sub { !kill 0, $child, @translators }, 10) };
}

# nginx with its folder: nginx.conf and logs/ in it.
sub spawn_nginx {
    my ($name, $root) = @_;
    my @files = ('-e', "$root/logs/error.log", '-p', $root, '-c', "$root/nginx.conf");
    spawn($name, [$ENV{TEST_NGINX_BINARY}, @files]);
}

# Whether the nginx under test takes the modules of the distribution as they are: it is not another
# one, nor under Valgrind.
sub distribution_nginx {
    !$ENV{WEIR_NGINX} && `'$ENV{TEST_NGINX_BINARY}' -v 2>&1` eq `/usr/sbin/nginx -v 2>&1`;
}

# Lines of a configuration: the modules under test.
sub load_modules {
    join '', map { "load_module $_;\n" } split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
}

# Directives for http {} that let nginx write nowhere else than in its folder.
sub temp_paths {
    my $root = shift;
    join '', map { "    ${_}_temp_path $root/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
}

1;
