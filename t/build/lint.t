# What `make lint` says of a copy of the project: nothing; and of one that was made worse: what is.
use strict;
use warnings;

use File::Path 'make_path';
use File::Temp 'tempdir';
use FindBin '$Bin';
use Test::More;

my $root = "$Bin/../..";
my $copy = tempdir('/tmp/weir-lint.XXXXXX', CLEANUP => 1);
my @parts = qw(.clang-format .gitignore Makefile config lint common backend ngx_module);
delete $ENV{MAKEFLAGS};
$ENV{PYTHONDONTWRITEBYTECODE} = 1;

sub run {
    my (@command) = @_;
    system(@command) == 0 or die "@command: $?";
    return;
}

run('make', '-s', '-C', $root, 'module', 'backend');
make_path("$copy/build/nginx");
run('cp', '-a', map({ "$root/$_" } @parts), $copy);
run('cp', '-a', "$root/build/obj", "$copy/build");
run('cp', '-a', "$root/build/nginx/objs", "$copy/build/nginx");
run('git', 'init', '-q', $copy);

sub read_file {
    my ($name) = @_;
    open my $in, '<', "$copy/$name" or die "$name: $!";
    local $/;
    return scalar <$in>;
}

sub write_file {
    my ($name, $text) = @_;
    open my $out, '>', "$copy/$name" or die "$name: $!";
    print {$out} $text;
    close $out or die "$name: $!";
    return;
}

# Lines of the list about what was not copied would not be needed in the copy.
my $copied = qr/^\w\S* (?:lint|common|backend|ngx_module)\b/;
write_file('lint/exceptions', join '', grep { /$copied/ } split /^/, read_file('lint/exceptions'));

# The exit code of a check, and what it says.
sub said {
    my ($check) = @_;
    my $text = `cd '$copy' && lint/$check.py 2>&1`;
    return ($? >> 8) . "\n$text";
}

sub finds_nothing {
    my ($check, $what) = @_;
    is said($check), "0\n", $what;
    return;
}

sub finds {
    my ($check, $pattern, $what) = @_;
    like said($check), qr/\A1\n(?:.*\n)*?$pattern/, $what;
    return;
}

# Makes the objects of C files again.
sub compile {
    my (@names) = @_;
    for my $name (grep { /[.]c\z/ } @names) {
        my $object = "build/obj/$name";
        $object = "build/nginx/objs/addon/$1" if $name =~ m{^ngx_module/(.*)};
        $object =~ s/[.]c\z/.o/;
        my @folders = map { ('-I', $_) } $copy, "$copy/ngx_module", "$copy/backend";
        run('cc', '-c', '-w', '-D_GNU_SOURCE', @folders, '-o', "$copy/$object", "$copy/$name");
    }
    return;
}

# Runs the code while files have something more at their end; those that did not exist are made.
sub with_added {
    my ($added, $code) = @_;
    my %before = map { $_ => -e "$copy/$_" ? read_file($_) : undef } keys %$added;
    write_file($_, ($before{$_} // '') . $added->{$_}) for keys %$added;
    compile(keys %$added);
    $code->();
    for my $name (keys %before) {
        defined $before{$name} ? write_file($name, $before{$name}) : unlink "$copy/$name";
    }
    compile(grep { defined $before{$_} } keys %before);
    return;
}

# A function that calls another.
sub call { "void $_[0](void); void $_[1](void); void $_[1](void) { $_[0](); }\n" }

my $url = 'backend/redis/url.c';

subtest 'the project as it is' => sub {
    finds_nothing($_, "$_ finds nothing") for qw(layers headers limits);
};

subtest 'layers' => sub {
    with_added({ $url => call('weir_relay_stop', 'up') }, sub {
        finds('layers', qr{\Q$url\E: weir_relay_stop of \S+relay\.c runs up: backend/redis },
            'a call from the runtime to the engine: symbol, from and to are named');
    });
    my $core = 'ngx_module/version/rfc3339.c';
    with_added({ $core => call('ngx_http_weir_cache_zone_lock', 'up') }, sub {
        finds('layers', qr{\Q$core\E: ngx_http_weir_cache_zone_lock of \S+ runs up},
            'a call in the module');
    });
    with_added({ $url => call('weir_db_free', 'across') }, sub {
        finds('layers', qr{\Q$url\E: weir_db_free of \S+ stands beside},
            'a call to a room of the same line');
    });
    with_added({ 'backend/log/clock.h' => qq{#include "events/events.h"\n} }, sub {
        finds('layers', qr{backend/log/clock\.h: #include "events/events\.h" of \S+ runs up},
            'an include, which leaves no symbol');
    });
    with_added({ 'backend/elsewhere.h' => '' }, sub {
        finds('layers', qr{backend/elsewhere\.h: lint/layers has no room for it},
            'a file without a room');
    });
    with_added({ 'backend/redis/new.c' => '' }, sub {
        unlink "$copy/build/obj/backend/redis/new.o";
        finds('layers', qr{lint: not built: build/obj/backend/redis/new\.o},
            'a file without an object');
        compile('backend/redis/new.c');
    });
};

subtest 'circles' => sub {
    my $circle = "circle backend/redis/reader.c $url";
    my %both = ($url => call('there', 'back'), 'backend/redis/reader.c' => call('back', 'there'));
    with_added(\%both, sub {
        finds(
            'layers',
            qr{a circle of calls: \Q$circle\E\n +\S+reader\.c calls \S+url\.c: back\n},
            'a circle in a room');
        with_added({ 'lint/exceptions' => "$circle\n" }, sub {
            finds_nothing('layers', 'one that the list knows');
        });
        with_added({ 'lint/exceptions' => "$circle backend/redis/redis.c\n" }, sub {
            finds('layers', qr{lint/exceptions: a circle is smaller now: \Q$circle\E\n},
                'of one that was larger the rest is named');
        });
    });
    with_added({ 'lint/exceptions' => "$circle\n" }, sub {
        finds('layers', qr{lint/exceptions: "\Q$circle\E" is no longer needed},
            'a line of the list without a circle');
    });
};

subtest 'headers' => sub {
    with_added({ 'backend/redis/url.h' => 'int weir_redis_free(int);' }, sub {
        finds('headers', qr{\S+url\.h declares weir_redis_free\(\), which \S+redis\.c defines},
            'a header that declares what another file defines');
    });
    my @names = map { "weir_listen_$_" } 1 .. 31;
    my %door = (
        'backend/http/listen.c' => join('', map { "int $_(int x) { return x; }\n" } @names),
        'backend/http/http.h' => join('', map { "int $_(int);\n" } @names),
    );
    with_added(\%door, sub {
        finds('headers', qr{backend/http/http\.h declares \d+ names, more than 30},
            'a door for everything');
    });
};

subtest 'limits' => sub {
    for my $lines (70, 71) {
        with_added({ $url => "void f(void)\n{\n" . "    (void)0;\n" x ($lines - 2) . "}\n" }, sub {
            $lines == 70
                ? finds_nothing('limits', 'a function of 70 lines')
                : finds('limits', qr{\Q$url\E:\d+: f\(\) has 71 lines, more than 70}, 'of 71');
        });
    }
    with_added({ $url => '/*' . 'x' x 97 . "*/\n" }, sub {
        finds('limits', qr{\Q$url\E:\d+: more than 100 columns, as 1}, 'a line of 101 columns');
        with_added({ 'lint/exceptions' => "columns $url 1\n" }, sub {
            finds_nothing('limits', 'one that the list knows');
        });
    });
    with_added({ $url => "/* \xc3\xa9" . 'x' x 93 . " */\n" }, sub {
        finds_nothing('limits', 'a line of 100 columns and more bytes');
    });
    with_added({ 'backend/new.md' => 'word ' x 21 . "\n" }, sub {
        finds('limits', qr{backend/new\.md:1: more than 100 columns, as 1}, 'a line of a document');
    });
    my $unbroken = '| ' . 'word ' x 21 . "|\n[a]: http://" . 'x' x 100 . "\n";
    with_added({ 'backend/new.md' => $unbroken }, sub {
        finds_nothing('limits', 'a table and an address, which cannot be wrapped');
    });
    with_added({ map { ("backend/redis/new$_.h" => '') } 1 .. 16 }, sub {
        finds('limits', qr{backend/redis/ has \d+ files, more than 16}, 'a full folder');
    });
    with_added({ 'lint/exceptions' => "columns $url 3\n" }, sub {
        finds('limits', qr{lint/exceptions: "columns \Q$url\E" is no longer needed},
            'a line of the list that is not needed');
    });
};

subtest 'style' => sub {
    plan skip_all => 'there is no clang-format' if system('clang-format --version >/dev/null 2>&1');
    finds_nothing('style', 'the project as it is');
    with_added({ $url => "int f( int x );\n" }, sub {
        finds('style', qr{\Q$url\E:\d+: not as \.clang-format has it},
            'what clang-format would change');
    });
    my $glue = 'ngx_module/redis/ngx_http_weir_redis.h';
    my %faults = (
        "\tint x;\n" => 'a tab',
        "int x; \n" => 'a blank at the end of the line',
        "\n\nint\nf(void)\n{\n}\n\nint x;\n" => 'two empty lines come after a function',
        "\n\nint f(void)\n{\n}\n\n\n#define X\n" => 'a function begins with its name',
    );
    for my $text (sort keys %faults) {
        with_added({ $glue => $text }, sub {
            finds('style', qr{\Q$glue\E: not nginx's style\n +line \d+: \Q$faults{$text}\E},
                "in the glue: $faults{$text}");
        });
    }
};

done_testing;
