# A client's conditions that the edge evaluates: on a stored response, on one that the upstream
# has replaced, and on one that cannot be stored; in each case as on a hit.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

my $body = join '', 'a' .. 'zz';
my ($old, $new) = ('Wed, 01 Jan 2020 00:00:00 GMT', 'Fri, 01 Jan 2021 00:00:00 GMT');

# The second answer of a path is another representation than the first; a path
# says how long the answers are fresh, and whether their tags are weak.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($fresh) = $path =~ m{^/(\w+)};
    my ($tag, $date) = $path =~ /replaced/ && $n > 1 ? ('"new"', $new) : ('"old"', $old);
    $tag = "W/$tag" if $path =~ /weak/;
    my @fields = ({ stale => 'Cache-Control: max-age=0', fresh => 'Cache-Control: max-age=600',
        private => 'Cache-Control: no-store' }->{$fresh},
        "ETag: $tag");
    push @fields, "Last-Modified: $date" if $path !~ /undated/;
    return "HTTP/1.1 304 Not Modified\r\n" . join('', map { "$_\r\n" } @fields) . "\r\n"
        if $request =~ /^If-None-Match: \Q$tag\E\r/mi;
    my $answer = answer('200 OK', \@fields, $body);
    $answer =~ s/\r\n\r\n\K.*//s if $request =~ /^HEAD/;
    return $answer;
});
start_edge('weir_cache_zone z 1m;', <<'SERVER');
    weir_cache z;
    location / { proxy_pass http://UPSTREAM; }
    location /private/unbuffered { proxy_buffering off; proxy_pass http://UPSTREAM; }
SERVER

# --- each of the conditions, on each kind of answer ---

my @conditions = (
    ['If-None-Match, the same tag', { 'If-None-Match' => 'TAG' }, 304],
    ['If-None-Match, a list', { 'If-None-Match' => '"x", TAG' }, 304],
    ['If-None-Match, another tag', { 'If-None-Match' => '"x"' }, 200],
    ['If-Modified-Since, the same date', { 'If-Modified-Since' => 'DATE' }, 304],
    ['If-Modified-Since, a later date', { 'If-Modified-Since' => 'Sat, 01 Jan 2022 00:00:00 GMT' },
        304],
    ['If-Modified-Since, an earlier date',
        { 'If-Modified-Since' => 'Tue, 01 Jan 2019 00:00:00 GMT' }, 200],
    ['If-None-Match, the same tag, before an earlier date',
        { 'If-None-Match' => 'TAG', 'If-Modified-Since' => 'Tue, 01 Jan 2019 00:00:00 GMT' }, 304],
    ['If-None-Match, another tag, before a later date',
        { 'If-None-Match' => '"x"', 'If-Modified-Since' => 'Sat, 01 Jan 2022 00:00:00 GMT' }, 200],
    ['If-Match, the same tag', { 'If-Match' => 'TAG' }, 200],
    ['If-Match, another tag', { 'If-Match' => '"x"' }, 412],
    ['If-Unmodified-Since, an earlier date',
        { 'If-Unmodified-Since' => 'Tue, 01 Jan 2019 00:00:00 GMT' }, 412],
);
my $n = 0;
for my $kind ('fresh', 'stale', 'stale/replaced', 'private') {
    my ($tag, $date) = $kind =~ /replaced/ ? ('"new"', $new) : ('"old"', $old);
    for my $method ('GET', 'HEAD') {
        for my $c (@conditions) {
            my ($name, $headers, $status) = @$c;
            my $path = "/$kind/" . ++$n;
            # a HEAD without a stored response is answered by the upstream
            next if $kind eq 'private' && $method eq 'HEAD';
            get($path) if $kind ne 'private';
            my $r = request($method, $path,
                { map { $_ => $headers->{$_} =~ s/TAG/$tag/r =~ s/DATE/$date/r } keys %$headers });
            is "$r->{status}", $status, "$method of $kind: $name";
        }
    }
}

# --- If-Range compares strongly ---

for my $kind ('fresh', 'stale', 'private', 'private/unbuffered') {
    for (['/weak', 'W/"old"', 200], ['/weak', '"old"', 200], ['', 'W/"old"', 200], ['', '"x"', 200],
        ['', '"old"', 206]) {
        my ($weak, $tag, $status) = @$_;
        my $path = "/$kind$weak/if-range/" . ++$n;
        get($path) if $kind !~ /private/;
        my $r = get($path, { Range => 'bytes=2-5', 'If-Range' => $tag });
        is "$r->{status} $r->{content}", $status == 206 ? '206 ' . substr $body, 2, 4 : "200 $body",
            "$kind$weak, If-Range: $tag";
    }
}

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
