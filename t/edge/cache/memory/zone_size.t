# The least size of a weir_cache_zone that a message names is the least that starts.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";
use POSIX ();
use Test::More;
use Weir::Edge::Nginx 'configuration_said';
use Weir::Processes;

mkdir "$dir/logs";
my $modules = load_modules();
my $temp = temp_paths($dir);
my $page = POSIX::sysconf(POSIX::_SC_PAGESIZE()) / 1024;

# The output of nginx -t for a zone of that size; '' if it is accepted.
sub refusal {
    my ($workers, $size) = @_;
    spit("$dir/nginx.conf", <<"EOF");
pid $dir/pid;
error_log $dir/logs/error.log notice;
worker_processes $workers;
$modules
events {}
http {
    $temp
    access_log off;
    weir_cache_zone api $size;
    server { listen unix:$dir/socket; }
}
EOF
    my $said = configuration_said($dir);
    return $? ? $said : '';
}

sub least { my ($kib) = $_[0] =~ /at least (\d+)k/ or die("no least size in: $_[0]"); return $kib }

for my $workers (1, 3, 16) {
    my $said = refusal($workers, 8 * $page . 'k');
    my $size = 8 * $page . 'k';
    my $small = qr/"weir_cache_zone" "api" of $size is too small/;
    like $said, qr/$small: with "worker_processes" $workers it must/,
        "a zone that is too small for $workers worker processes is refused with what is wrong";
    my $least = least($said);
    is least(refusal($workers, $least - $page . 'k')), $least,
        'one page less than the least size has the same message';
    is refusal($workers, "${least}k"), '', "the least size, ${least}k, is enough";
    is refusal($workers, $least + $_ . 'k'), '', "$_ KiB more is enough, too"
        for $page / 2, 2 * $page, 10 * $page;
}

my $said = refusal(1, '1k');
my $must = qr/it must be like 64m or 512k, and at least \d+k with one worker process/;
like $said, qr/invalid size "1k" in "weir_cache_zone"; $must/,
    'a size that no zone can have is refused where it is written';
is refusal(1, least($said) . 'k'), '', 'with the size that it names nginx starts';

done_testing;
