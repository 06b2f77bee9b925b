# Runs t/unit/backend/db/db_test.c, the pipelined session and its batches, against a private
# PostgreSQL.
use strict;
use warnings;

use File::Basename qw(dirname);
use FindBin;
use lib "$FindBin::Bin/../../lib";

use Weir::Stack;

my $stack = Weir::Stack->new(redis => 0, migrate => 0);
$stack->psql(
    'CREATE TABLE plain (a int); CREATE TABLE late (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
              INSERT INTO late VALUES (1)');
$ENV{WEIR_TEST_DATABASE} = $stack->database;
my $status = system dirname($stack->{binary}) . '/unit/db_test';
undef $stack;
exit($status == 0 ? 0 : 1);
