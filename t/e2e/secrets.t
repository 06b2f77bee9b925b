# ./weir up writes secrets into files that their user alone may read, and gives none to a program as
# an argument, which everybody on the machine may read.
use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename 'dirname';
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Weir::Base qw(slurp);

my $root = abs_path(dirname(__FILE__) . '/../..');
my $dir = tempdir('/tmp/weir-secrets.XXXXXX', CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/$_" or die $! for qw(bin run);

# Every program that the scripts may call with a text of theirs notes its arguments first.
my @programs = qw(
    awk base64 cat chmod chown cksum cut dirname grep head install mkdir mv od printf psql redis-cli
    sed sha256sum sort tee tr
);
symlink "$dir/note", "$dir/bin/$_" or die "$_: $!" for @programs;
open my $note, '>', "$dir/note" or die $!;
print $note <<"END";
#!/bin/bash
name=\${0##*/}
printf '%s' "\$name" >>$dir/arguments
printf ' %q' "\$@" >>$dir/arguments
echo >>$dir/arguments
[ -x "/usr/bin/\$name" ] && exec "/usr/bin/\$name" "\$@"
exec "/bin/\$name" "\$@"
END
close $note or die $!;
chmod 0755, "$dir/note";

# PATH is set behind the scripts' own choice of programs. redis-cli finds no server; its arguments
# are what counts.
my $script = <<'END';
. scripts/stack/services.sh
choose_places
mkdir -p "$home" "$run/logs"
PATH=$0/bin:$PATH
configure_keys
mkdir -p "$home/postgres"
pg_bin() { echo "$0/bin"; }
as_superuser() { "$(pg_bin)/psql" "$@" >"$run/sql"; chmod 600 "$run/sql"; }
configure_postgres
configure_redis
configure_backend
configure_nginx
roles_set_passwords | as_superuser
for service in postgres redis backend payments nginx; do fingerprint_of "$service"; done
redis_cli=redis-cli stack_redis_cli PING
stack_psql -c "SELECT 1"
true
END
my $said = do {
    local $ENV{WEIR_RUN} = "$dir/run";
    open my $sh, '-|', "cd '$root' && exec bash -c '$script' '$dir' 2>&1" or die $!;
    local $/;
    <$sh>;
};

my ($password) = slurp("$dir/run/redis-password") =~ /^(\w{20,})$/;
my ($webhook) = slurp("$dir/run/keys/webhook/secret") =~ /^whsec_(\S{20,})$/;
my %of_user = map { $_ => slurp("$dir/run/redis-users/$_") =~ s/\n\z//r }
    qw(weir-edge weir-backend weir-ctl);
my $arguments = slurp("$dir/arguments");
ok $password && $webhook, 'there are secrets' or diag $said;
like $of_user{$_}, qr/^\w{48}$/, "... one for the Redis user $_" for sort keys %of_user;
like $arguments, qr/^sed /m, 'programs were called';
my %of = map { /:([^:]+):([^:]+)$/ ? ($1 => $2) : () }
    map { split /\n/, slurp($_) } "$dir/run/postgres-passwords", glob "$dir/run/database/*";
is join(' ', sort keys %of),
    'postgres stack_api stack_operator stack_relay stack_worker weir',
    'and a password for each user';
unlike $arguments, qr/\Q$_->[1]\E/, "no argument has $_->[0]"
    for ["Redis' password", $password], ['what webhooks are signed with', $webhook],
    (map { ["the password of PostgreSQL's user $_", $of{$_}] } sort keys %of),
    map { ["the password of $_", $of_user{$_}] } sort keys %of_user;
like $arguments, qr/^psql .*weir/m, 'psql was called, too';

my $secrets = join '|', map { quotemeta } $password, $webhook, values %of, values %of_user;
my %has = map { $_ => 1 }
    grep { -f && slurp($_) =~ /$secrets/ } glob "$dir/run/* $dir/run/*/* $dir/run/*/*/*";
unlike slurp("$dir/run/weir-backend.conf"), qr/\Q$of{$_}\E/, "the configuration has not that of $_"
    for sort keys %of;
cmp_ok scalar(keys %has), '>=', 5, 'files have them';
is join(' ', grep { (stat)[2] & 077 } sort keys %has), '', 'their users alone may read these files';
my $users = "$dir/run/redis-users";
my $login = "user=weir-edge password_file=\Q$users\E/weir-edge";
like slurp("$dir/run/edge.conf"),
    qr{^\s*weir_redis main rediss://127\.0\.0\.1:\d+ $login ssl_}m,
    'nginx gets the file of its password';
like slurp("$dir/run/weir-backend.conf"),
    qr{^redis_user = weir-backend\nredis_password_file = \Q$users\E/weir-backend$}m,
    '... and so does the backend';
my $acl = slurp("$dir/run/redis-users.acl");
like $acl, qr/^user default off/m, 'the default user of Redis is off';
like $acl, qr/^user $_ on #\w{64} /m, "... and there is $_, by a digest"
    for qw(weir-edge weir-backend weir-ctl admin);
ok !$has{"$dir/run/redis-users.acl"}, '... and no password is in its file';
unlike slurp("$dir/run/edge.conf"), qr/\@[A-Z]+\@/, 'and all else that it needs';

done_testing;
