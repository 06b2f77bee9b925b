# A POST's response that is stored for later GETs remains valid after the invalidation by the POST
# itself, on its own edge; not after another invalidation while the POST is in progress, and not
# on other edges.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use POSIX ();
use Test::More;
use Time::HiRes 'sleep';

my $rounds = $ENV{WEIR_RACE_ROUNDS} // 100;

# The upstream's response is in a file; a POST reads it, and then waits for its X-Delay, or until
# there is a file go-NAME.
start_redis();
start_upstream(sub {
    my ($path, $request) = @_;
    my ($method, $name) = $request =~ m{^(\w+) /(\w+)} or return answer('404 Not Found', [], '');
    my $value = slurp("$dir/data-$name");
    my @fields = ('Cache-Control: max-age=600', "Cache-Tag: $name");
    return answer('200 OK', \@fields, "GET $value") if $method ne 'POST';

    open my $read, '>>', "$dir/read-$name" or die $!;    # another POST may do so too
    sleep $1 if $request =~ /^X-Delay: ([\d.]+)/mi;
    if ($request =~ /^X-Wait:/mi) { sleep 0.005 until -e "$dir/go-$name" }
    push @fields, "Weir-Invalidate: $name other" if $request =~ /^X-Tags:/mi;
    push @fields, 'Location: /elsewhere' if $request =~ /^X-Location:/mi;
    return answer('200 OK', [@fields, "Content-Location: $path"], "POST $value");
});
my ($http, $server) = ('weir_cache_zone main 4m redis=main;', <<'SERVER');
    weir_cache main;
    location / { weir_cache_purge on; proxy_pass http://UPSTREAM; }
    location /alone { weir_cache main; weir_cache_invalidate off; proxy_pass http://UPSTREAM; }
SERVER
start_edge($_, $http, $server, workers => 2) for 'left', 'right';

sub content { get(@_)->{content} }
sub post { my ($edge, $path, %headers) = @_; return request($edge, 'POST', $path, \%headers, 'x') }

sub in_background {
    my ($code) = @_;
    my $child = fork // die $!;
    if (!$child) { $code->(); POSIX::_exit(0) }
    return $child;
}

# Every edge has applied all that was in the stream.
sub all_hear {
    spit("$dir/data-sentinel", my $value = rand);
    invalidate(tags => 'sentinel');
    for my $edge ('left', 'right') {
        until_true("$edge hears", sub { content($edge, '/sentinel') eq "GET $value" });
    }
}
spit("$dir/data-sentinel", '');
all_hear();

# --- what it outlives ---

for (['alone1'], ['key'], ['tags', 'X-Tags' => 1], ['location', 'X-Tags' => 1, 'X-Location' => 1]) {
    my ($name, %headers) = @$_;
    spit("$dir/data-$name", 'old');
    is content($_, "/$name"), 'GET old', "$name: $_ has stored a response" for 'left', 'right';

    spit("$dir/data-$name", 'new');
    my $r = post('left', "/$name", %headers);
    is cache_status($r), 'Weir; fwd=method; fwd-status=200; stored',
        '... a POST goes to the upstream and is stored';
    is content('left', "/$name"), 'POST new', '... and answers a GET of its edge';
    all_hear();
    is content('left', "/$name"), 'POST new', '... also when its own messages have come back';
    is content('right', "/$name"), 'GET new', '... another edge asks for itself'
        if $name ne 'alone1';
}

# --- what it does not ---

my %kinds = (
    'a tag' => sub { invalidate(tags => $_[0]) },
    'its key' => sub { invalidate(keys => 'http127.0.0.1/' . $_[0]) },
    'a prefix' => sub { invalidate(prefix => 'http127.0.0.1/' . $_[0]) },
    'all' => sub { invalidate(all => 1) },
    'softly a tag' => sub { invalidate(tags => $_[0], soft => 1) },
    'by PURGE there' => sub { request('left', 'PURGE', "/$_[0]") },
    'by PURGE of another edge' => sub { request('right', 'PURGE', '/', { 'Cache-Tag' => $_[0] }) },
    'by another POST' => sub { post('left', "/$_[0]") },
    'by another POST of another edge' => sub { post('right', "/$_[0]") },
);
my $n = 0;
for my $kind (sort keys %kinds) {
    my $name = 'race' . $n++;
    spit("$dir/data-$name", 'old');
    my $child = in_background(sub { post('left', "/$name", 'X-Wait' => 1, 'X-Tags' => 1) });
    until_true("the POST of $name has read", sub { -e "$dir/read-$name" });

    spit("$dir/data-$name", 'new');
    $kinds{$kind}->($name);
    all_hear();
    spit("$dir/go-$name", '');
    waitpid $child, 0;

    is content('left', "/$name"), 'GET new',
        "what was invalidated meanwhile ($kind) is not hidden by a POST's response";
    is content('right', "/$name"), 'GET new', '... on no edge';
}

# ... at any time
srand 4711;
my @left_behind;
for my $i (1 .. $rounds) {
    my $name = "random$i";
    spit("$dir/data-$name", 'old');
    my $edge = $i % 3 ? 'left' : 'right';
    my $delay = sprintf '%.4f', rand 0.012;
    my $child = in_background(sub {
        post($edge, "/$name", 'X-Delay' => $delay, 'X-Tags' => $i % 2);
    });
    sleep rand 0.012;
    spit("$dir/data-$name", 'new');
    $i % 4 ? invalidate(tags => $name) : post('left', "/$name");
    waitpid $child, 0;
    for my $of ('left', 'right') {
        my $tries = 0;
        until_true("$of has the new value of $name", sub {
            return 1 if content($of, "/$name") =~ / new$/;
            return $tries++ > 300 && push @left_behind, "$name on $of";
        });
    }
    push @left_behind, grep { content($_, "/$name") !~ / new$/ } 'left', 'right' for 1 .. 2;
}
is "@left_behind", '', "no old answer of a POST came back in $rounds rounds";

done_testing;
