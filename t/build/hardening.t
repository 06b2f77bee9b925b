# What is built has Debian's hardening: read from the objects themselves, so that no flag can be
# lost on the way.
use strict;
use warnings;

use FindBin '$Bin';
use Test::More;

my $build = "$Bin/../../build";

sub readelf {
    my ($options, $file) = @_;
    open my $out, '-|', "LC_ALL=C readelf -W $options $file 2>/dev/null" or die "readelf: $!";
    local $/;
    return scalar <$out>;
}

# The command line of each compilation unit, as gcc wrote it into the debugging information.
sub producers {
    my ($file) = @_;
    open my $out, '-|', "LC_ALL=C readelf -W --debug-dump=info --dwarf-depth=1 $file 2>/dev/null"
        or die "readelf: $!";
    return grep { !/GNU AS/ } map { /DW_AT_producer.*?: (GNU .*)/ ? $1 : () } <$out>;
}

my $machine = `\${CC:-cc} -dumpmachine`;
my @flags = qw(-fstack-protector-strong -fstack-clash-protection);
push @flags, '-fcf-protection'              if $machine =~ /^x86_64/;
push @flags, '-mbranch-protection=standard' if $machine =~ /^aarch64/;

for my $name (qw(ngx_http_weir_module.so weir-backend weirctl weir-payments-sim)) {
    my $file = "$build/$name";
    ok -f $file, "$name is built" or next;
    my $shared = $name =~ /\.so\z/;

    my $dynamic = readelf('-d', $file);
    like $dynamic, qr/\(FLAGS\).*BIND_NOW|\(BIND_NOW\)/, "$name: symbols are bound at start";
    like $dynamic, qr/\(FLAGS_1\).*\bPIE\b/, "$name: is position independent" if !$shared;
    unlike $dynamic, qr/TEXTREL/, "$name: its text is never written";

    my $segments = readelf('-hl', $file);
    like $segments, qr/Type:\s+DYN/, "$name: may be loaded anywhere";
    like $segments, qr/GNU_RELRO/, "$name: relocations are read-only once done";
    like $segments, qr/GNU_STACK\s.*\sRW\s/, "$name: the stack is not executable";

    my $symbols = readelf('--dyn-syms', $file);
    like $symbols, qr/UND __stack_chk_fail\b/, "$name: the stack is checked";
    my %checked = map { $_ => 1 } $symbols =~ /UND __(\w+)_chk\b/g;
    cmp_ok scalar(keys %checked), '>=', 1, "$name: the C library's calls are checked (FORTIFY)";
    # FORTIFY replaces these in any case; others only where the destination's size is known.
    my @plain = $symbols =~ /UND (v?(?:f|as)?printf)\b/g;
    is "@plain", '', "$name: none is called past FORTIFY";

    my @units = producers($file);
    cmp_ok scalar(@units), '>=', 5, "$name: its compilation units are found";
    for my $flag (@flags, $shared ? '-fPIC' : '-fPIE') {
        is scalar(grep { !/\Q$flag\E\b/ } @units), 0, "$name: each was compiled with $flag";
    }
    like readelf('-n', $file), qr/Build ID: [0-9a-f]{40}/, "$name: has a build ID";
}

done_testing;
