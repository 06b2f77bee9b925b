# The lists of docs/reference/ have all that the sources have, and nothing else.
use strict;
use warnings;
use utf8;

use FindBin '$Bin';
use lib "$Bin/../lib";
use Test::More;
use Weir::Docs qw($root calls files literals pattern slurp);

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);

# same(DOCUMENTED, FOUND, NAME): both are hashes; what only one of them has is said.
sub same {
    my ($documented, $found, $name) = @_;
    my @missing = grep { !$documented->{$_} } sort keys %$found;
    my @extra = grep { !$found->{$_} } sort keys %$documented;
    ok !@missing && !@extra, $name
        or diag join "\n", (map { "not documented: $_" } @missing),
        (map { "not in the sources: $_" } @extra);
}

# The first cells of the table rows in the section HEADING of TEXT, without `.
sub cells {
    my ($text, $heading) = @_;
    my ($section) = $text =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms or die "no section $heading";
    return map { s/`//gr } $section =~ /^\| (`[^|]*?) \|/mg;
}

my @edge = files(qr/\.[ch]$/, 'ngx_module');
my @backend = files(qr/\.[ch]$/, 'backend');


# --- log messages -----------------------------------------------------------------------

my (%logged, %described, %quiet, %listed);
for my $file (@edge, @backend) {
    my $text = slurp($file);
    for my $how (['ngx_log_error', 3], ['ngx_conf_log_error', 3], ['weir_log', 2]) {
        my ($function, $message) = @$how;
        for my $call (calls($text, $function)) {
            my $level = $call->[0];
            if ($level =~ /_(INFO|NOTICE)$/) {
                my @texts = literals($call->[$message]);
                ok scalar(@texts), "$file: $function has a message";
                $quiet{ pattern($_) =~ s/ $/ …/r } = lc $1 for @texts; # the version
            }
            next if $level !~ /_(WARN|ERR|ERROR|CRIT|ALERT|EMERG|FATAL)\b|^level$/;
            my $name = { WARN => 'warn', ERR => 'error', ERROR => 'error', EMERG => 'emerg',
                FATAL => 'fatal' }->{ $1 // '' };
            my @texts = literals($call->[$message]);
            if (my ($variable) = $call->[$message] =~ /^(\w+)$/) { # what is put into it
                @texts = $text =~
                    /\b$variable(?:\[\w*\])? = "([^"]+)"|snprintf\($variable,[^"]*"([^"]+)"/g;
                @texts = grep { defined } @texts;
            }
            ok scalar(@texts), "$file: $function has a message";
            $logged{ pattern($_) } = $name // '' for @texts;
        }
    }
}
my $log = slurp('docs/reference/log-messages.md');
while ($log =~ /^- \*\*(\w+)\*\* `([^`]+)`/mg) {
    my ($level, $text) = ($1, pattern($2));
    if ($level =~ /^(?:info|notice)$/) { $listed{$text} = $level; next }
    ok !$described{$text}, "described once: $text" if $described{$text};
    $described{$text} = $level;
}
cmp_ok scalar(keys %logged), '>=', 100, 'log messages are found in the sources';
same(\%described, { map { $_ => 1 } keys %logged },
    'docs/reference/log-messages.md has each message at warn and above');
cmp_ok scalar(keys %quiet), '>=', 30, 'messages at info and notice are found, too';
same(\%listed, \%quiet, '... and are described, too');
is $listed{$_}, $quiet{$_}, "its level: $_" for sort grep { $listed{$_} } keys %quiet;
for my $text (sort grep { $logged{$_} && $described{$_} } keys %logged) {
    is $described{$text}, $logged{$text}, "its level: $text" if $described{$text} ne $logged{$text};
}

my %reason;
for my $file (files(qr/\.c$/, 'ngx_module/redis')) {
    my $code = slurp($file);
    $reason{$_} = 1 for map { literals($_->[1]) } calls($code, 'ngx_http_weir_redis_close');
    $reason{$_} = 1 for $code =~ /redis->fault = "(.*?)"/g;
}
my ($reasons) = $log =~ /(^  \| reason \|.*?)\n\n/ms;
cmp_ok scalar(keys %reason), '>=', 10, 'reasons for a lost Redis are found';
same({ map { $_ => 1 } grep { !/…/ } map { /`([^`]+)`/g } $reasons =~ /^  \| (`[^|]*) \|/mg },
    \%reason, '... and why a Redis is down');


# --- weir_status ------------------------------------------------------------------------

my $status = slurp('docs/reference/status.md');
my %found;
for my $file (files(qr/\.c$/, 'ngx_module/metrics')) {
    my $text = slurp($file);
    $text =~ s/sizeof\("[^;]*;//g;
    $found{$_} = 1 for $text =~ /\\"(\w+)\\":/g;
}
my ($names) = slurp('ngx_module/cache/serve/ngx_http_weir_cache_answer.c') =~
    /ngx_http_weir_cache_reasons\[\w+\] = \{(.*?)\};/s;
my @why = $names =~ /ngx_string\("([\w-]+)"\)/g;
is scalar(@why), 7, 'the reasons for asking the upstream are found';
$found{$_} = 1 for @why;
my %field = map { s/.*\.//r => 1 } map { split /, / } map { cells($status, $_) } 'Top level',
    'The exporter', 'An issuer', 'A cache zone', 'A breaker zone', 'A limit zone', 'A route';
cmp_ok scalar(keys %found), '>=', 40, 'fields of weir_status are found in the sources';
same(\%field, \%found, 'docs/reference/status.md has each field');

my ($causes) = slurp('ngx_module/metrics/series/ngx_http_weir_series_cause.c') =~
    /ngx_http_weir_series_causes\[\w+\] = \{(.*?)\};/s;
same({ map { $_ => 1 } cells($status, 'Causes') },
    { map { $_ => 1 } $causes =~ /ngx_string\("(\w+)"\)/g }, '... and each cause of the tail');


# --- weir_metrics -----------------------------------------------------------------------

my %metric;
my %ending = (COUNTER => '_total', GAUGE => '', INFO => '_info', HISTOGRAM => '');
for my $file (files(qr/\.c$/, 'ngx_module/metrics')) {
    my $table_row = qr/"((?:weir|http)_\w+)", (?:NULL|"(\w+)"),\s+WEIR_METRIC_(\w+),/;
    my $text = slurp($file);
    while ($text =~ /$table_row/g) {
        my ($name, $unit, $type) = ($1, $2, $3);
        $metric{"$name$ending{$type}"} = 1;
        like $name, qr/_$unit$/, "$name ends with its unit" if $unit;
    }
}
cmp_ok scalar(keys %metric), '>=', 30, 'metrics are found in the sources';
my $metrics = slurp('docs/reference/metrics.md');
my @described = map { cells($metrics, $_) } 'All edges', 'The exporter', 'Tokens', 'Requests',
    'What requests use', 'Cache zones', 'Breakers', 'Limits';
# Tables of labels are in the same sections.
my $label = qr/^weir_(?:version|cache_status)$/;
@described = grep { /^(?:weir|http_\w+_duration)_/ && !/$label/ } @described;
same({ map { $_ => 1 } @described }, \%metric, 'docs/reference/metrics.md has each metric');


# The backend's are in one table of the sources.
my %of_backend;
{
    my $text = slurp('backend/metrics/families.c');
    my $table_row = qr/\{\{"(\w+)", (?:NULL|"(\w+)"),\s*WEIR_METRIC_(\w+),/;
    while ($text =~ /$table_row/g) {
        my ($name, $unit, $type) = ($1, $2, $3);
        $of_backend{ $name . ($ending{$type} // '') } = 1;
        like $name, qr/_$unit$/, "$name ends with its unit" if $unit;
    }
}
cmp_ok scalar(keys %of_backend), '>=', 35, 'metrics of the backend are found in the sources';
my $its_metrics = slurp('docs/reference/backend-metrics.md');
my @sections = ('Processes', 'TLS', 'Requests', 'Identities', 'Database', 'Cost', 'Audit log',
    'Outbox and relay', 'Consumer groups', 'Traces');
same({ map { $_ => 1 } map { cells($its_metrics, $_) } @sections }, \%of_backend,
    'docs/reference/backend-metrics.md has each metric');


# --- variables --------------------------------------------------------------------------

my $variables = slurp('docs/reference/variables.md');
my %variable;
my $in_a_table = qr/\{ ngx_string\("(weir_\w+)"\), NULL,/;
my $alone = qr/static ngx_str_t  (?:\w+_)?name = ngx_string\("(weir_\w+)"\)/;
for my $file (@edge) {
    my $text = slurp($file);
    $variable{$_} = 1 for $text =~ /$in_a_table/g, $text =~ /$alone/g;
}
cmp_ok scalar(keys %variable), '>=', 5, 'variables are found in the sources';
same({ map { s/NAME$//r => 1 } $variables =~ /^\| `\$(weir_\w+)` \| [^|]*(?:;|\w)[^|]* \|$/mg },
    {%variable}, 'docs/reference/variables.md has each variable');

my ($values) = slurp('ngx_module/cache/request/ngx_http_weir_cache_module.c') =~
    /^ngx_http_weir_cache_status_name\([^;{]*\)\s*\{(.*?)^\}/ms;
same({ map { s/NAME$//r => 1 } $variables =~ /^\| `([A-Z]+)` \|/mg },
    { map { $_ => 1 } $values =~ /ngx_string\("([A-Z]+)"\)/g },
    '... and each value of $weir_cache_status');

my ($late) = slurp('ngx_module/http/ngx_http_weir_variables.c') =~
    /^ngx_http_weir_is_late\(.*?\)\n\{(.*?)^\}/ms;
my ($section) = $variables =~ /^## Variables that have no value yet\n(.*?)(?=^## |\z)/ms;
my @patterns = map { my $p = quotemeta; $p =~ s/\\…/\\w*/gr } $section =~ /`\$([\w…]+)`/g;
push @patterns, 'upstream_\w+'; # "and others that nginx has for the upstream"
my @unsaid = grep {
    my $name = $_;
    !grep { $name =~ /^$_$/ } @patterns
} $late =~ /ngx_string\("(\w+)"\)/g;
is_deeply \@unsaid, [], '... and each that has no value before the upstream is asked';


# --- headers ----------------------------------------------------------------------------

my $headers = slurp('docs/reference/headers.md');
my %header;
for my $file (@edge) {
    my $text = slurp($file);
    $text =~ s{/\*.*?\*/}{}sg;
    $header{$_} = 1
        for grep { /^[A-Z][\w-]*[a-z]/ }
        $text =~ /ngx_string\("((?:[A-Z][A-Za-z]*)(?:-[A-Z][A-Za-z]*)*)"\)/g;
}
cmp_ok scalar(keys %header), '>=', 30, 'header fields are found in the sources';
my %row =
    map { $_ => 1 } map { split /, / } map { cells($headers, $_) } 'Requests, from the client',
    'Responses, from the upstream', 'Responses, to the client';
my @unknown = grep { !$row{$_} } sort keys %header;
is_deeply \@unknown, [], 'docs/reference/headers.md has each field that the edge reads or adds';

# Fields that the edge adds; two are made without ngx_http_weir_add_header().
my %added = ('Vary' => 1, 'Weir-Position' => 1);
for my $file (@edge) {
    my $text = slurp($file);
    my %name = $text =~ /ngx_str_t\s+(\w+)\s*=\s*ngx_string\("([^"]+)"\)/g;
    $added{$_} = 1
        for grep { defined }
        map { $name{ $_->[1] =~ s/^&//r } } calls("$text;", 'ngx_http_weir_add_header');
    while ($text =~ /ngx_http_weir_add_header\(r,\s*&(\w+),/g) {
        $added{ $name{$1} } = 1 if $name{$1};
    }
    # of tables of fields with constant values
    $added{$_} = 1 for $text =~ /\{ ngx_string\("([A-Z][\w-]+)"\),\s*ngx_string\(/g;
}
cmp_ok scalar(keys %added), '>=', 7, 'fields that the edge adds are found';
same({ map { $_ => 1 } map { split /, / } cells($headers, 'Responses, to the client') }, \%added,
    '... each field that it adds');

my %part = map { $_ => 1 } cells($headers, 'Cache-Status');
same({ map { /^fwd=(.*)/ ? ($1 => 1) : () } map { split /, / } keys %part },
    { map { $_ => 1 } @why }, '... each reason of Cache-Status');
my %detail = (memory => 1, redis => 1);
for my $file (@edge) {
    my $text = slurp($file);
    $detail{$_} = 1
        for $text =~ /\b(?:outdated|detail) = "([\w-]+)"/g,
        $text =~ /\? "(soft-invalidated|stale-if-error)"/g;
}
cmp_ok scalar(keys %detail), '>=', 7, 'details of Cache-Status are found';
same({ map { /^detail=(.*)/ ? ($1 => 1) : () } keys %part }, \%detail,
    '... and each of its details');

my %title;
for my $file (@edge) { $title{$_} = 1 for slurp($file) =~ /problem(?:\.|->)title = "([^"]+)"/g }
my ($problems) = $headers =~ /^## Problem documents\n(.*?)(?=^## |\z)/ms;
same({ map { $_ => 1 } $problems =~ /^\| \d+ \| `([^`]+)` \|/mg }, \%title,
    '... and each problem document');


# --- keys in Redis ----------------------------------------------------------------------

my %key;
for my $file (@edge, @backend, glob 'common/*/*/*.h') {
    my $text = slurp($file);
    $text =~ s{/\*.*?\*/}{}sg;
    $text =~ s/"weir:%s:%V:\{"//g;
    $key{$_} = 1 for map { s/[:{].*//r } $text =~ /"weir:([a-z][^"]*)"/g;
    $key{$_} = 1 for map { literals($_->[1]) } calls("$text;", 'ngx_http_weir_cache_key_in_redis');
    $key{$_} = 1 for $text =~ /ngx_http_weir_cache_key_in_redis\(ctx, "(\w+)"/g;
}
my $keys = slurp('docs/reference/redis-keys.md');
cmp_ok scalar(keys %key), '>=', 8, 'keys in Redis are found in the sources';
same({ map { s/[:{].*//r => 1 } $keys =~ /^### `weir:([^`]+)`/mg }, \%key,
    'docs/reference/redis-keys.md has each key');

# The guide has the edge's rights as weirctl prints them, and all users.
my $users = slurp('docs/guides/access/redis-users.md');
my ($rule) = $users =~ /^ +(ACL SETUSER weir-edge .*?)\n\n/ms or die 'no rights of an edge';
my $printed = `cd $root && build/weirctl redis users --commands`;
is $rule =~ s/ >password//r =~ s/\s*\\\n\s*/ /gr, ($printed =~ /^(ACL SETUSER weir-edge .*)$/m)[0],
    'docs/guides/access/redis-users.md has the rights of an edge';
my ($table) = $users =~ /\A(.*?)^## /ms;
same({ map { $_ => 1 } $table =~ /^\| `([\w-]+)` \|/mg },
    { map { $_ => 1 } $printed =~ /^ACL SETUSER (\S+)/mg }, '... and the users');
for my $name (grep { !/^(?:dead|events|fence|audit)$/ } keys %key) {
    like $rule, qr/~weir:$name\b/, "... an edge's rights have weir:$name";
}


# --- exit codes -------------------------------------------------------------------------

my $exits = slurp('docs/reference/exit-codes.md');
my ($enum) = slurp('backend/ctl/ctl.h') =~ /(WEIR_CTL_OK = 0.*?)\}/s;
my %code = map { $_ => 1 } $enum =~ /= (\d)/g;
my ($ctl) = $exits =~ /^## weirctl\n(.*?)^## /ms;
is scalar(keys %code), 4, 'exit codes of weirctl are found';
same({ map { $_ => 1 } $ctl =~ /^\| (\d) \|/mg }, \%code,
    'docs/reference/exit-codes.md has those of weirctl');


# What the programs do with wrong arguments, a wrong file, and a stack that is not up.
# ended(COMMAND...): the exit code.
sub ended { my $code = system("cd $root && @_ >/dev/null 2>&1"); return $code >> 8 }

my %exit = (
    'weir-backend' => {
        2 => 'build/weir-backend', 1 => 'build/weir-backend -c /nonexistent -t',
        0 => 'build/weir-backend --version' },
    'weirctl' => { 2 => 'build/weirctl nonsense', 0 => 'build/weirctl version' },
    'weir-payments-sim' =>
        { 2 => 'build/weir-payments-sim', 1 => 'build/weir-payments-sim -l 8084',
        0 => 'build/weir-payments-sim --version' },
    './weir' => {
        2 => './weir nonsense', 3 => 'WEIR_RUN=/nonexistent ./weir status', 0 => './weir version' },
);
for my $program (sort keys %exit) {
    my ($table) = $exits =~ /^## \Q$program\E\n(.*?)(?=^## |\z)/ms
        or die "no exit codes of $program";
    my %said = map { $_ => 1 } $table =~ /^\| (\d) \|/mg;
    for my $code (sort keys %{ $exit{$program} }) {
        ok $said{$code}, "docs/reference/exit-codes.md: $program has $code";
        is ended($exit{$program}{$code}), $code, "... $exit{$program}{$code}";
    }
}

done_testing;
