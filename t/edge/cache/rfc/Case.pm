# Cases of RFC 9111 and its neighbours, as tables: what a client sends, what the
# upstream would answer, and what must come of it.
#
#     must 'a cache MUST NOT ...', stored('Cache-Control: no-store'), forwarded();
#     optional 'a cache MAY ...', stored('Cache-Control: max-age=60'), hit();
#     run();
#
# A case is a name, in the RFC's words, and its requests in their order, each a
# hash made by one of the functions below:
#
#     method path send content    the request: "path" is added to the case's own,
#                                 "send" are header lines
#     status answer body          what the upstream answers to it if it is asked:
#                                 status line, header lines, body
#     not_modified                ... header lines of the 304 that it sends
#                                 instead when the request has a condition
#     endless                     ... it does not say how long the body is
#     close                       ... it closes the connection without a word
#     interim                     ... responses before the final one, as text
#     later                       seconds of the lifetimes in the tables pass
#                                 before it is sent
#     want                        hit: the upstream is not asked; forwarded: it is,
#                                 and its answer is the client's; validated: it is
#                                 asked by a conditional request for the stored
#                                 response, and that is the client's; any
#     code                        status of the client's answer, without it that
#                                 which the upstream sends; undef: any
#     has lacks                   header lines, or patterns, that it has; names
#     content_is                  its body; undef: any
#     age                         the least Age that it has
#     asks asks_not               header lines of the upstream's request; names
#
# Every case has a key of its own and is played in each of the modes, in one
# nginx with nothing configured but the cache, proxy_pass and, as clients' directives are
# advisory and ignored by default, weir_cache_request_control obey.  All cases of a file
# go on side by side: the first request of each, the second, ... so that time
# passes for all of them at once.
#
# What is optional by the RFC and not done has "lacking" with the reason in the
# place of its first request: it counts as not passed and is no failure.
#
# WEIR_RFC_PEER=proxy_cache plays the cases against nginx's own cache, where
# nothing is a failure.  WEIR_RFC_COUNTS names a file that gets the numbers.
package Case;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use lib dirname(__FILE__) . '/..';
use IO::Socket::INET;
use Scene;
use Test::More;
use Time::HiRes 'sleep';

our @EXPORT = qw(forwarded hit http_date in_world lacking later must optional refused request_with
    run scheme stored validated with);

# Seconds that pass for "later".  Lifetimes in the tables are of one second when
# they shall be over then, and of an hour when they shall not.
use constant LATER => 2.2;

my @cases;

sub must     { push @cases, { kind => 'MUST', case_of(@_) } }
sub optional { push @cases, { kind => 'optional', case_of(@_) } }

sub case_of {
    my ($name, @steps) = @_;
    my $lacking = ref $steps[0] ? undef : shift @steps;
    return (name => $name, steps => \@steps, lacking => $lacking);
}

# The reason why an optional case does not pass.
sub lacking { $_[0] }

# A request with a condition on the answer: header lines come first, then pairs
# whose keys are in lower case.
sub split_lines {
    my @lines;
    push @lines, shift while @_ && $_[0] =~ /^[\w-]+:/;
    return (\@lines, @_);
}

# The upstream's answer has the header lines.
sub stored {
    my ($lines, %more) = split_lines(@_);
    return { want => 'forwarded', answer => $lines, %more };
}
sub forwarded {
    my ($lines, %more) = split_lines(@_);
    return { want => 'forwarded', answer => $lines, %more };
}

# The 304 has the header lines.
sub validated {
    my ($lines, %more) = split_lines(@_);
    return { want => 'validated', not_modified => $lines, %more };
}

# The request has the header lines.
sub hit {
    my ($lines, %more) = split_lines(@_);
    return { want => 'hit', send => $lines, %more };
}
sub request_with {
    my ($lines, %more) = split_lines(@_);
    return { want => 'forwarded', send => $lines, %more };
}

# Answered by the cache itself with the status.
sub refused { my ($code, @rest) = @_; my ($lines, %more) = split_lines(@rest);
    return { want => 'refused', code => $code, send => $lines, %more } }

sub later { my $step = shift; return { %$step, later => 1 } }
sub with  { my ($step, %more) = @_; return { %$step, %more } }

# --- the upstream ---

sub body_of { "body of $_[0]\n" }

sub status_text {
    my ($step) = @_;
    my $status = $step->{status} // '200 OK';
    return $status =~ / / ? $status : "$status Status";
}

# The upstream: answers, and records its requests under the case's path.
sub script {
    my %seen;
    return sub {
        my ($path, $request) = @_;
        if ($path =~ m{^/seen(/.*)}) {
            return answer('200 OK', [], join "\0", @{ $seen{$1} // [] });
        }
        my ($own, $n) = $path =~ m{^(/\w+/\w+/(\d+))} or return answer('404 Not Found', [], '');
        my ($k) = $request =~ /^Step: (\d+)/mi or return answer('400 Bad Request', [], '');
        push @{ $seen{$own} }, $request;
        my $step = $cases[$n]{steps}[$k];
        return '' if $step->{close};

        my $conditional = $request =~ /^If-(?:None-Match|Modified-Since):/mi;
        if ($step->{not_modified} && $conditional) {
            return join '',
                map { "$_\r\n" } 'HTTP/1.1 304 Not Modified', fixed($step->{not_modified},
                    $own), '';
        }
        my $response = answer(status_text($step),
            ["X-Step: $k", fixed($step->{answer} // [], $own)], $step->{body} // body_of($own));
        # a case's own takes its place; nginx from 1.23 on takes one only
        $response =~ s/^Content-Length: \d+\r\n(?=.*^Content-Length:)//msi;
        $response =~ s/\r\n\r\n.*/\r\n\r\n/s if $request =~ /^HEAD /;
        if (status_text($step) =~ /^(?:204|304)/) {
            $response =~ s/\r\n\r\n.*/\r\n\r\n/s;
            $response =~ s/^Content-Length:.*\r\n//mi;
        }
        $response =~ s/^Content-Length:.*\r\n//mi if $step->{endless};
        return ($step->{interim} // '') . $response;
    };
}

# Times and paths are known only when a case is played: {+60} in a header line is
# a date so many seconds from now, {self} the path of the case.
sub fixed {
    my ($lines, $own) = @_;
    return map { s/\{([+-]\d+)\}/http_date($1)/ger =~ s/\{self\}/$own/gr } @$lines;
}

# --- the client ---

# One request on its own connection, header lines as they are.
sub exchange {
    my ($method, $path, $lines, $content) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge())
        or die "no edge: $!";
    my @lines = @$lines;
    push @lines, 'Content-Length: ' . length $content if defined $content;
    unshift @lines, 'Host: 127.0.0.1' if !grep { /^Host:/i } @lines;
    print $socket "$method $path HTTP/1.1\r\n", (map { "$_\r\n" } @lines),
        "Connection: close\r\n\r\n", $content // '';
    my $bytes = do { local $/; <$socket> } // '';

    my @interim;
    push @interim, $1 while $bytes =~ s/\AHTTP\/1\.1 (1\d\d)[^\n]*\n(?:[^\r\n]+\r\n)*\r\n//;
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my ($status, @fields) = split /\r\n/, $head // '';
    my ($code) = ($status // '') =~ /^HTTP\/1\.1 (\d+)/;
    if (grep { /^Transfer-Encoding: chunked/i } @fields) {
        my $plain = '';
        while ($body =~ s/\A([0-9a-f]+)\r\n//i && hex $1) {
            $plain .= substr $body, 0, hex $1;
            substr($body, 0, 2 + hex $1) = '';
        }
        $body = $plain;
    }
    return { code => $code // 0, fields => \@fields, body => $body // '', interim => \@interim };
}

sub values_of {
    my ($fields, $name) = @_;
    return map { /^\Q$name\E:[ \t]*(.*?)[ \t]*$/i ? $1 : () } @$fields;
}

# --- the judgement ---

# The faults of the response to a step, in words; empty if there are none.
sub wrong {
    my ($step, $k, $own, $answer, $asked) = @_;
    my @wrong;
    my ($from) = values_of($answer->{fields}, 'X-Step');
    my $want = $step->{want};
    my ($status) = status_text($step) =~ /^(\d+)/;
    my $code = exists $step->{code} ? $step->{code} // $answer->{code} : $status;
    my $conditional = @$asked && $asked->[-1] =~ /^If-(?:None-Match|Modified-Since):/mi;

    push @wrong, "the upstream was asked" if ($want eq 'hit' || $want eq 'refused') && @$asked;
    push @wrong, "the upstream was not asked"
        if ($want eq 'forwarded' || $want eq 'validated') && !@$asked;
    push @wrong, "the answer is that to request " . ($from // 'none') . ", not $k"
        if $want eq 'forwarded' && !$step->{close} && $code != 304 && ($from // -1) != $k;
    push @wrong, "the answer is not a stored one"
        if $want =~ /^(?:hit|validated)$/ && defined $from && $from == $k;
    push @wrong, "the upstream was not asked conditionally"
        if $want eq 'validated' && @$asked && !$conditional;
    push @wrong, "status $answer->{code}, not $code" if $answer->{code} != $code && !$step->{close};

    my $bodyless = $code == 204 || $code == 304 || ($step->{method} // '') eq 'HEAD';
    my $content = exists $step->{content_is} ? $step->{content_is}
        : ($want =~ /^(?:hit|validated)$/ && !$bodyless ? body_of($own) : undef);
    push @wrong, "the body is \"$answer->{body}\""
        if defined $content && $answer->{body} ne $content;

    for (@{ $step->{has} // [] }) {
        if (ref) {
            my $pattern = $_;
            push @wrong, "no header line matches $pattern"
                if !grep { $_ =~ $pattern } @{ $answer->{fields} };
            next;
        }
        my ($line) = fixed([$_], $own);
        my ($name, $value) = split /:\s*/, $line, 2;
        my @values = values_of($answer->{fields}, $name);
        push @wrong, "$name is \"@values\", not \"$value\"" if join(', ', @values) ne $value;
    }
    for my $name (@{ $step->{lacks} // [] }) {
        my @values = values_of($answer->{fields}, $name);
        push @wrong, "there is $name: @values" if @values;
    }
    if (defined $step->{age}) {
        my @age = values_of($answer->{fields}, 'Age');
        push @wrong, "Age is \"@age\", not at least $step->{age}"
            if @age != 1 || $age[0] !~ /^\d+$/ || $age[0] < $step->{age};
    }
    if (my @lines = @{ $step->{asks} // [] }) {
        my $request = $asked->[-1] // '';
        for (fixed(\@lines, $own)) {
            my ($name, $value) = split /:\s*/, $_, 2;
            my @values = values_of([split /\r\n/, $request], $name);
            push @wrong, "the upstream was asked with $name: @values, not $value"
                if join(', ', @values) ne $value;
        }
    }
    for my $name (@{ $step->{asks_not} // [] }) {
        push @wrong, "the upstream was asked with $name" if ($asked->[-1] // '') =~ /^\Q$name\E:/mi;
    }
    if (my $codes = $step->{interim_codes}) {
        push @wrong, "interim responses @{ $answer->{interim} }, not @$codes"
            if "@{ $answer->{interim} }" ne "@$codes";
    }
    return join '; ', @wrong;
}

# --- playing ---

my %peers = (
    weir => {
        modes => ['l1', 'both', 'redis'],
        http => 'weir_cache_request_control obey; weir_cache_get_body bypass;'
            . ' weir_cache_zone l1 4m; weir_cache_zone both 4m redis=main;'
            . ' weir_cache_zone redis 1m redis=main;',
        locations => { l1 => 'weir_cache l1;', both => 'weir_cache both;',
            redis => 'weir_cache redis l1=off;' },
    },
    proxy_cache => {
        modes => ['proxy_cache'],
        http => "proxy_cache_path $dir/proxy_cache keys_zone=peer:4m;",
        locations => { proxy_cache => 'proxy_cache peer; proxy_cache_revalidate on;' },
    },
);

sub run {
    my $peer = $peers{ $ENV{WEIR_RFC_PEER} // 'weir' }
        or die 'WEIR_RFC_PEER must be one of ' . join ', ', sort keys %peers;
    my @modes = @{ $peer->{modes} };
    my ($token) = $dir =~ /(\w+)$/;

    start_upstream(script());
    start_edge($peer->{http}, join '', 'location /seen/ { proxy_pass http://UPSTREAM; }',
        map { "location /$_/ { $peer->{locations}{$_} proxy_pass http://UPSTREAM; }" } @modes);

    my @plays = map {
        my $mode = $_;
        map { { mode => $mode, case => $cases[$_], own => "/$mode/$token/$_",
            asked => 0 } } 0 .. $#cases;
    } @modes;
    my ($most) = sort { $b <=> $a } map { scalar @{ $_->{steps} } } @cases;

    for my $k (0 .. $most - 1) {
        my @round = grep { $_->{case}{steps}[$k] && !$_->{wrong} } @plays;
        play($_, $k) for grep { !$_->{case}{steps}[$k]{later} } @round;
        my @later = grep { $_->{case}{steps}[$k]{later} } @round;
        sleep LATER if @later;
        play($_, $k) for @later;
    }
    report(\@plays, \@modes);
}

sub play {
    my ($play, $k) = @_;
    my $step = $play->{case}{steps}[$k];
    my $own = $play->{own};
    my $path = $own . ($step->{path} // '');
    my $answer = exchange($step->{method} // 'GET', $path,
        [fixed($step->{send} // [], $own), "Step: $k"], $step->{content});
    my @seen = split /\0/, exchange('GET', "/seen$own", [])->{body};
    my @asked = @seen[$play->{asked} .. $#seen];
    $play->{asked} = @seen;
    my $wrong = wrong($step, $k, $own, $answer, \@asked);
    $play->{wrong} = 'request ' . ($k + 1) . ": $wrong" if $wrong;
}

sub report {
    my ($plays, $modes) = @_;
    my %passed;
    for my $play (@$plays) {
        my ($kind, $mode, $lacking) = ($play->{case}{kind}, $play->{mode}, $play->{case}{lacking});
        my $name = "$kind ($mode): $play->{case}{name}";
        $passed{$mode}{$kind}++ if !$play->{wrong};
        if ($ENV{WEIR_RFC_PEER} && $ENV{WEIR_RFC_PEER} ne 'weir') {
            pass($name . ($play->{wrong} ? " # does not: $play->{wrong}" : ''));
            diag("does not: $name: $play->{wrong}") if $play->{wrong} && $ENV{WEIR_RFC_VERBOSE};
        } elsif ($lacking) {
            local $TODO = $lacking;
            ok(!$play->{wrong}, $name);
        } else {
            ok(!$play->{wrong}, $name) or diag("  $play->{wrong}");
        }
    }
    my %all;
    $all{ $_->{kind} }++ for @cases;
    for my $mode (@$modes) {
        my $line = join ', ',
            map { sprintf '%s %d of %d', $_, $passed{$mode}{$_} // 0,
                $all{$_} // 0 } 'MUST', 'optional';
        note "$mode: $line";
        next if !$ENV{WEIR_RFC_COUNTS};
        open my $counts, '>>', $ENV{WEIR_RFC_COUNTS} or die "$ENV{WEIR_RFC_COUNTS}: $!";
        print $counts join("\t", $0 =~ m{([^/]+)$}, $mode,
            map { ($passed{$mode}{$_} // 0, $all{$_} // 0) } 'MUST', 'optional'),
            "\n";
    }
    done_testing;
}

1;
