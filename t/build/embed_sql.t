# embed-sql.sh: what is compiled into the program is what the files have, byte by byte.
use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin '$Bin';
use lib "$Bin/../lib";
use Test::More;
use Weir::Base qw(output_of spew);

my $root = "$Bin/../..";
my $dir = tempdir('/tmp/weir-t.XXXXXX', CLEANUP => 1);
my $sql = "$dir/owner_2/sql";
mkdir $_ for "$dir/owner_2", $sql, "$sql/functions", "$sql/functions/deep";

sub embed {
    my ($folder) = @_;
    return output_of("$root/scripts/build/embed-sql.sh", $folder);
}

my %files = (
    '010_b.sql' =>
        "SELECT E'\\n\\\\', \"a\", '??(', '%s', '\t', '\x{c3}\x{a4}';\r\n\n\n-- it's /* \n",
    '001_a.sql' => 'no line break at its end',
    '011_empty.sql' => '',
    'functions/z.sql' => "z\n",
    'functions/deep/y-1.sql' => "\\\n",
);
spew("$sql/$_", $files{$_}) for keys %files;
spew("$sql/.010_b.sql.swp", 'nonsense');
spew("$sql/functions/readme.txt", 'nonsense');

subtest 'every file, in order' => sub {
    my ($status, $c) = embed($sql);
    is $status, 0, 'is made' or diag $c;
    spew("$dir/sql.c", $c);
    spew("$dir/main.c", <<'C');
#include "db/migrate.h"
#include <stdio.h>
extern const weir_sql_line_t weir_sql_owner_2;
static void show(const weir_sql_file_t *f)
{
    for (; f->path != NULL; f++)
        printf("%s%c%s%c", f->path, 0, f->text, 0);
}
int main(void)
{
    printf("%s%c%s%c", weir_sql_owner_2.name, 0, weir_sql_owner_2.folder, 0);
    show(weir_sql_owner_2.migrations);
    show(weir_sql_owner_2.functions);
    return 0;
}
C
    my @cc = ('cc', '-std=gnu11', '-Wall', '-Wextra', '-Werror', "-I$root/backend");
    ($status, my $said) = output_of(@cc, '-o', "$dir/main", "$dir/main.c", "$dir/sql.c");
    is $status, 0, 'compiles' or diag $said;
    my @said = split /\0/, (output_of("$dir/main"))[1], -1;
    pop @said;
    my @files =
        ('001_a.sql', '010_b.sql', '011_empty.sql', 'functions/deep/y-1.sql', 'functions/z.sql');
    # The last line of a file gets an end if it has none.
    my @texts = map { ("$sql/$_", $files{$_} =~ s/([^\n])\z/$1\n/r) } @files;
    is_deeply \@said, ['owner_2', $sql, @texts], 'has all of it';
};

subtest 'what cannot be' => sub {
    for (['012_nul.sql', "\0", qr/012_nul\.sql: there is a NUL byte/],
        ["012_it's.sql", '', qr/012_it's\.sql: a file's name must have only/])
    {
        my ($name, $text, $message) = @$_;
        spew("$sql/$name", $text);
        my ($status, $said) = embed($sql);
        is $status, 1, "$name is refused";
        like $said, $message, 'by its name';
        unlink "$sql/$name";
    }
    for ("$dir/nowhere/sql", "$dir/Owner/sql", "$sql/functions") {
        my ($status) = embed($_);
        is $status, 1, "the folder $_ is refused";
    }
};

done_testing;
