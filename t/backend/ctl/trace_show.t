# weirctl trace show and list: trees, what is special about a span, and text that is not to be
# trusted.
use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Encode 'decode';
use File::Temp 'tempdir';
use JSON::PP;
use Test::More;
use Weir::Base qw(output_of slurp spew);
use Weir::Backend::Traces qw(request span $CTL $ID);

my $dir  = tempdir(CLEANUP => 1);
my $file = "$dir/spans.jsonl";
my $json = JSON::PP->new->utf8->canonical;
delete @ENV{qw(LC_ALL LC_CTYPE LANG COLUMNS)};

sub ms { my ($from, $to) = @_; return (startTimeUnixNano => 1767225600000000000 + $from * 1000000,
    endTimeUnixNano => 1767225600000000000 + $to * 1000000) }

sub attributes {
    my (@pairs) = @_;
    my @list;
    while (my ($key, $value) = splice @pairs, 0, 2) {
        push @list, { key => $key,
            value => { $value =~ /^\d+$/ ? (intValue => $value) : (stringValue => $value) } };
    }
    return (attributes => \@list);
}

sub ctl { my ($code, $text) = output_of($CTL, 'trace', @_); return ($code, decode('UTF-8', $text)) }

# The file has these spans, a request in each line.
sub file_of { spew($file, join '', map { $json->encode(request($_)) . "\n" } @_) }

# What is printed behind the head, without blanks at ends of lines.
sub shown {
    my ($code, $text) = ctl('show', $ID, '--file', $file, @_);
    is $code, 0, 'it is shown';
    return join "\n", map { s/\s+$//r } split /\n/, $text =~ s/^.*?\n\n//rs;
}

my @spans = (
    span(spanId => '0' x 15 . '3', parentSpanId => '0' x 15 . '1', name => 'GET', kind => 3,
        ms(20, 100), attributes('http.response.status_code', 200, 'http.request.resend_count', 1)),
    span(spanId => '0' x 15 . '1', name => 'GET /x', kind => 2, ms(0, 100),
        attributes('http.response.status_code', 200, 'url.path', '/x/1'),
        events => [ { name => 'weir.cache.stale' } ]),
    span(spanId => '0' x 15 . '2', parentSpanId => '0' x 15 . '1', name => 'GET', kind => 3,
        ms(0, 20), attributes('error.type', 'timeout'), status => { code => 2 }),
    span(spanId => '0' x 15 . '4', parentSpanId => '0' x 15 . '3', name => 'process', kind => 5,
        ms(50, 75), links => [ {}, {} ],
        attributes('messaging.consumer.group.name', 'email', 'weir.attempt', 3)),
    span(spanId => '0' x 15 . '5', parentSpanId => 'a' x 16, name => 'lost', ms(100, 100)),
);

subtest 'a tree in ASCII' => sub {
    file_of(@spans);
    local $ENV{COLUMNS} = 80;
    is shown(), <<'END' =~ s/\n\z//r, 'with tries, errors, events, links';
shop  GET /x 200 /x/1, weir.cache.stale      100.0 ms  =========================
shop  |-GET, ERROR timeout                   20.00 ms  =====
shop  `-GET 200, try 2                       80.00 ms       ====================
shop    `-process email, attempt 3, 2 lin~   25.00 ms              =======
shop  lost, its parent aaaaaaaaaaaaaaaa i~   0.000 ms                          =
END
    local $ENV{COLUMNS} = 200;
    like shown(), qr/lost, its parent a{16} is not here/, 'a missing parent is named';
    local $ENV{COLUMNS} = 5;
    like shown(), qr/^shop  GET /, 'a narrow terminal gets the least width';
};

subtest 'a terminal with UTF-8' => sub {
    plan skip_all => 'there is no script(1)' if system('script --version >/dev/null 2>&1');
    my ($code, $text) = output_of('script', '-qec',
        "stty cols 80; LC_ALL=C.UTF-8 $CTL trace show $ID --file $file", "$dir/typescript");
    is $code, 0, 'it is shown';
    $text = decode('UTF-8', $text);
    like $text, qr/shop  ├─GET, ERROR timeout +20\.00 ms  █{5}\r/, 'branches and bars';
    like $text, qr/shop  lost, its parent a{16} i… /, 'and what is cut';
    is length((split /\r?\n/, $text)[2]), 80, 'within the columns';
    ($code, $text) = output_of('script', '-qec',
        "stty cols 80; LC_ALL=C $CTL trace show $ID --file $file", "$dir/typescript");
    like $text, qr/shop  \|-GET, ERROR timeout +20\.00 ms  =====/, 'in another locale ASCII';
};

subtest 'text of others' => sub {
    my $hostile = "a\e[2Jb\x{9b}2Jc\nd\x{202e}e\x{2028}f\x{feff}g\0h";
    file_of(span(name => $hostile, status => { code => 2, message => "m\e]0;x\a" },
        attributes('messaging.consumer.group.name', "g\x{9b}", 'url.path', "/\r\x{200f}")));
    local $ENV{COLUMNS} = 150;
    for my $mode ([], ['list']) {
        my ($code, $text) =
            @$mode ? ctl('list', '--file', $file) : ctl('show', $ID, '--file', $file);
        unlike $text, qr/[\x00-\x09\x0b-\x1f\x7f-\x9f\x{202e}\x{2028}\x{200f}\x{feff}]/,
            "no control character: @$mode";
        like $text, qr/a\?\[2Jb\?2Jc\?d\?e\?f\?g/, 'but what can be read';
    }
    my ($code, $text) = output_of($CTL, 'trace', 'show', $ID, '--file', $file, '--json');
    is $json->decode($text)->{resourceSpans}[0]{scopeSpans}[0]{spans}[0]{name}, $hostile,
        'JSON has it whole';
};

subtest 'odd spans' => sub {
    file_of(span(spanId => 'a' x 16, parentSpanId => 'b' x 16, name => 'a'),
        span(spanId => 'b' x 16, parentSpanId => 'a' x 16, name => 'b'),
        span(spanId => 'c' x 16, parentSpanId => 'c' x 16, name => 'c'),
        span(spanId => 'd' x 16, name => 7, startTimeUnixNano => -1, endTimeUnixNano => 'x',
            attributes => {}, events => 'x', links => [ 1, 2 ], status => []));
    open my $out, '>>', $file or die $!;
    print $out "no JSON\n[]\n{}\n\n";
    close $out;
    my @lines = split /\n/, shown();
    is @lines, 4, 'each span is there once';
    file_of(map { span(spanId => sprintf('%016x', $_ + 1),
        parentSpanId => sprintf('%016x', $_), name => "depth $_") } 1 .. 5000);
    local $ENV{COLUMNS} = 150;
    like shown(), qr/depth 5000/, 'a very deep tree';
};

subtest 'files of a collector have many spans a line' => sub {
    spew($file, $json->encode(request(@spans, span(traceId => 'e' x 32, name => 'other'))) . "\n");
    my @lines = split /\n/, shown();
    is @lines, 5, 'all of the trace, nothing else';
    my ($code, $text) = ctl('list', '--file', $file, '--json');
    is_deeply [ map { $_->{trace_id} } @{ $json->decode($text) } ], [ $ID, 'e' x 32 ], 'two traces';
};

subtest 'exit codes' => sub {
    is((ctl('show', 'f' x 32, '--file', $file))[0], 1, 'no such trace');
    is((ctl('show', 'f' x 31, '--file', $file))[0], 2, 'no id');
    is((ctl('show', $ID, '--file', "$dir/none"))[0], 1, 'no file, no trace');
    is((ctl('show', $ID))[0], 2, 'no file is named');
    is((ctl('show', $ID, '--file', $dir))[0], 3, 'a folder cannot be read');
    is((ctl('show', $ID, '--url', 'http://127.0.0.1:1'))[0], 3, 'no receiver');
    my ($code, $text) = ctl('list', '--file', "$dir/none");
    is $code, 0, 'an empty list is no error';
    is $text, "There is no trace.\n", 'but says so';
};

subtest 'from a receiver' => sub {
    my $r   = Weir::Backend::Traces->new(dir => tempdir(CLEANUP => 1));
    my @url = ('--url', "http://127.0.0.1:$r->{port}");
    $r->post(request(@spans));
    file_of(@spans);
    my ($code, $text) = ctl('show', $ID, @url);
    is $text, (ctl('show', $ID, '--file', $file))[1], 'the same as from a file';
    like((ctl('list', @url, '--errors'))[1], qr/$ID .* 100\.0 +5 +1 +shop +GET \/x/, 'the list');
    is((ctl('show', 'f' x 32, @url))[0], 1, 'no such trace');
};

done_testing;
