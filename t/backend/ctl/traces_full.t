# weirctl trace receive on a full disk: exporters are told to come again, and nothing is lost or cut
# in the middle.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;

# In a mount namespace of its own: nothing is left mounted, however this ends.
BEGIN {
    if ($> != 0) {
        plan skip_all => 'small file systems are mounted by root only';
    } elsif (!$ENV{WEIR_TEST_UNSHARED}) {
        plan skip_all => 'this system allows no mount'
            if system('unshare -m mount -t tmpfs none /mnt 2>/dev/null') != 0;
        $ENV{WEIR_TEST_UNSHARED} = 1;
        exec 'unshare', '-m', $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!";
    }
    delete $ENV{WEIR_TEST_UNSHARED};
}

use File::Temp 'tempdir';
use JSON::PP;
use Weir::Base qw(slurp);
use Weir::Backend::Traces qw(request span);

my $dir = tempdir(CLEANUP => 1);
system('mount', '-t', 'tmpfs', '-o', 'size=256k', 'none', $dir) == 0 or die 'mount';
END { system('umount', '-l', $dir) if $dir }

# The log has room.
my $r = Weir::Backend::Traces->new(dir => $dir, limit => 1);
is $r->post(request(span(name => 'before')))->{status}, 200, 'there is room';

# More than there is room for, in one request.
my $many = request(map { span(name => 'y' x 500) } 1 .. 600);
my $answer = $r->post($many);
is $answer->{status}, 503, 'the disk is full';
is $answer->{headers}{'retry-after'}, 5, 'the exporter is asked to wait';
is $r->ask('GET', '/health')->{status}, 503, 'the receiver says that it is not well';
is_deeply [ $r->names ], ['before'], 'nothing of the request is there';
like slurp($r->{file}), qr/\n\z/, 'and no half of a line';

system('mount', '-o', 'remount,size=4m', $dir) == 0 or die 'remount';
is $r->post($many)->{status}, 200, 'with room again, the same request is taken';
is scalar(() = $r->names), 601, 'all is there';
is $r->ask('GET', '/health')->{status}, 200, 'the receiver is well';
my @log = map { decode_json($_) } split /\n/, slurp($r->{log});
is_deeply [ map { $_->{level} } @log ], [qw(info error info)], 'the log says both once';

done_testing;
