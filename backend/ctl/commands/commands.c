#include "ctl/commands/commands.h"

#include "ctl/commands/keys.h"
#include "ctl/edge/edge.h"
#include "ctl/help.h"
#include "ctl/new-domain/new_domain.h"
#include "ctl/redis/users.h"
#include "log/alloc.h"

#include <stdlib.h>
#include <string.h>

static const weir_ctl_command_t commands[] = {
    {"events tail", "", 0, 0, "count follow type aggregate json", WEIR_CTL_NEEDS_DATABASE,
     weir_ctl_events_tail, "the newest events of the outbox",
     "AT is PARTITION/POSITION; the position is - until the relay has taken the event.\n"
     "--json prints one object a line, with data.\n\n"
     "  weirctl events tail -n 5\n"
     "  weirctl events tail -f --type TYPE --json | jq .data\n"},
    {"events show", "ID|PARTITION/POSITION", 1, 1, "json", WEIR_CTL_NEEDS_DATABASE,
     weir_ctl_events_show, "an event, and its state in each group",
     "  weirctl events show 3/17\n"
     "  weirctl events show 0192d0a1-7c1e-7d3a-9a55-0f6b3a1f2e11\n"},
    {"events replay", "", 0, 0, "group new from partition yes json", WEIR_CTL_NEEDS_DATABASE,
     weir_ctl_events_replay, "let a group handle the outbox from a position on",
     "For a new group: after its workers have started, or before with --new. The group reads\n"
     "history from PostgreSQL, and then continues with new events. A group without workers\n"
     "blocks trimming and retention, so an unknown name is refused without --new. No event is\n"
     "skipped: a group that has not reached the position stays where it is. The effects of\n"
     "events that the group has already handled are repeated, which needs --yes. The outbox\n"
     "keeps events for outbox_keep (configuration).\n\n"
     "  weirctl events replay --group reports --new --from 0\n"
     "  weirctl events replay --group reports --from 2026-01-31T12:00:00Z --yes\n"},
    {"groups", "", 0, 0, "interval json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_groups,
     "consumer groups: how far they are behind, how fast they go",
     "LAG: events with a position that the group has not handled, and events that wait in\n"
     "halted partitions (weirctl relay). PENDING: failed events that wait for a retry.\n"
     "OLDEST S: the age in seconds of the oldest event that is not handled. DEAD: dead\n"
     "letters. FULL: partitions whose stream this group keeps full, because it has not\n"
     "handled stream_limit events. Other events without a position, which no LAG counts, are\n"
     "reported below the table. Exit code 1 when a stream is full, a partition is halted, or\n"
     "events have waited for the relay for 10 seconds.\n\n"
     "  weirctl groups\n"
     "  weirctl groups --interval 10s --json | jq '.[] | select(.lag > 1000)'\n"},
    {"groups pause", "NAME", 0, 1, "all json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_groups_pause,
     "stop a group's workers from taking events",
     "Takes effect within a second; the workers finish the events that they have taken.\n"
     "Events wait in the streams, and when a stream has stream_limit entries, in the outbox:\n"
     "then other groups wait, too.\n\n"
     "  weirctl groups pause reports\n"
     "  weirctl groups pause --all\n"},
    {"groups resume", "NAME", 0, 1, "all json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_groups_resume,
     "resume a paused group", "  weirctl groups resume reports\n"},
    {"groups delete", "NAME", 1, 1, "yes json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_groups_delete,
     "delete the state of a group that is no longer used",
     "Deletes its positions, its failed events and its dead letters; trimming no longer waits\n"
     "for it. A group that a worker runs is refused. A group with unhandled events or dead\n"
     "letters needs --yes. The record of handled events is deleted, too: a worker that runs\n"
     "the group later begins at the position of the slowest other group, and handles the\n"
     "events after it again.\n\n"
     "  weirctl groups delete reports\n"},
    {"dead list", "", 0, 0, "group count json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_dead_list,
     "dead letters, the newest first",
     "  weirctl dead list --group reports\n"
     "  weirctl dead list -n 1000 --json\n"},
    {"dead show", "GROUP PARTITION/POSITION", 2, 2, "json", WEIR_CTL_NEEDS_DATABASE,
     weir_ctl_dead_show, "a dead letter: the reason, and the event",
     "  weirctl dead show reports 3/17\n"},
    {"dead replay", "GROUP PARTITION/POSITION | GROUP --all", 1, 2, "all json",
     WEIR_CTL_NEEDS_DATABASE, weir_ctl_dead_replay,
     "handle dead letters again, after the cause was fixed",
     "Writes the event to the outbox again for this group only, with its id, after newer\n"
     "events of its aggregate. If it fails again, it becomes a dead letter again.\n\n"
     "  weirctl dead replay reports 3/17\n"
     "  weirctl dead replay reports --all\n"},
    {"dead drop", "GROUP PARTITION/POSITION | GROUP --all", 1, 2, "all json",
     WEIR_CTL_NEEDS_DATABASE, weir_ctl_dead_drop, "delete dead letters",
     "The outbox keeps the events themselves, as history.\n\n"
     "  weirctl dead drop reports 3/17\n"},
    {"outbox", "", 0, 0, "json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_outbox,
     "events that wait for the relay, and the state of the streams",
     "WAITING: events without a position. HANDLED: the position up to which all groups have\n"
     "handled the events. SLOWEST GROUP: the group that is last. STATE: behind means that\n"
     "Redis lacks events that not all groups have handled; ahead means that it has events\n"
     "that the database does not have. Exit code 3 when Redis is away; the other columns are\n"
     "still printed.\n\n"
     "  weirctl outbox --json | jq .waiting\n"},
    {"relay", "", 0, 0, "json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_relay,
     "the active relay, and the halted partitions",
     "HALTED: ahead when the stream had events that the database does not have, superseded\n"
     "when Redis has a later term than the database. UNKNOWN: how many such events the\n"
     "stream has. Exit code 1 when a partition is halted.\n\n"
     "  weirctl relay\n"},
    {"relay rebase", "", 0, 0, "json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_relay_rebase,
     "continue after a promotion or a restored backup",
     "First make sure that nothing uses the other database any more. The command deletes the\n"
     "streams of halted partitions, and the relay fills them again from the outbox with the\n"
     "events that not all groups have handled. The database is not changed, so its events\n"
     "keep their effects; events that only the streams had are lost with their transactions.\n"
     "Earlier relays are refused from then on. The database has no record of what handlers\n"
     "did outside of it for lost events: see the commands of the domain.\n\n"
     "  weirctl relay rebase\n"},
    {"breaker list", "", 0, 0, "all zone edge json", WEIR_CTL_NEEDS_CONFIGURATION,
     weir_ctl_breaker_list, "circuit breakers of the edges that are not closed",
     "Of edges whose weir_breaker_zone has redis=: what they have told last, from the last\n"
     "10,000 entries of the stream weir:breaker. --all shows those that are closed again, too.\n"
     "weir_status of an edge has all of its breakers, with their numbers.\n\n"
     "  weirctl breaker list\n"
     "  weirctl breaker list --all --json | jq '.[] | select(.reason != null)'\n"},
    {"breaker open", "KEY", 1, 1, "for fleet edge zone json", WEIR_CTL_MAY_USE_DATABASE,
     weir_ctl_breaker_open, "let edges refuse the requests of a breaker for a while",
     "KEY is that of weir_breaker, or the upstream's name and port. Without --fleet only the\n"
     "edges of this machine obey, by its host name. Edges whose weir_breaker_zone has redis=\n"
     "obey within milliseconds, and probe the upstream when the time is over. The order is in\n"
     "the audit log.\n\n"
     "  weirctl breaker open payments --for 10m --fleet\n"},
    {"breaker close", "KEY", 1, 1, "for fleet edge zone json", WEIR_CTL_MAY_USE_DATABASE,
     weir_ctl_breaker_close, "keep a breaker of edges closed for a while, whatever fails",
     "  weirctl breaker close payments --for 2m --fleet\n"},
    {"breaker auto", "KEY", 1, 1, "fleet edge zone json", WEIR_CTL_MAY_USE_DATABASE,
     weir_ctl_breaker_auto, "end what open or close has ordered",
     "A breaker that was kept open is probed next.\n\n"
     "  weirctl breaker auto payments --fleet\n"},
    {"audit list", "", 0, 0, "operation object subject count json", WEIR_CTL_NEEDS_DATABASE,
     weir_ctl_audit_list, "records of the audit log, the newest first",
     "SEALED is PARTITION/POSITION in the chain of the record's month; - until it is sealed, "
     "which\n"
     "takes about a second.\n\n"
     "  weirctl audit list -n 5\n"
     "  weirctl audit list --operation user.delete --json\n"},
    {"audit show", "ID", 1, 1, "json", WEIR_CTL_NEEDS_DATABASE, weir_ctl_audit_show,
     "a record, and its seal", "  weirctl audit show 17\n"},
    {"audit verify", "", 0, 0, "key heads oldest json", WEIR_CTL_NEEDS_DATABASE,
     weir_ctl_audit_verify, "compare all records with their seals, and these with the signed heads",
     "Heads are read from the database, the file and Redis. FINDING: changed, removed (a record "
     "or\n"
     "its seal), chain and end (hashes that do not follow), not what was signed, cut off, "
     "unsealed\n"
     "(no process seals, or a record was put in beside it), backdated; and of heads: signature,\n"
     "head changed, head removed, head damaged. Exit code 1 when something was found. Months "
     "before\n"
     "--oldest may be missing as a whole.\n\n"
     "  weirctl audit verify\n"
     "  weirctl audit verify --key audit-public.pem --heads /mnt/other/audit-heads.jsonl\n"},
    {"audit prove", "ID", 1, 1, "", WEIR_CTL_NEEDS_DATABASE, weir_ctl_audit_prove,
     "print a proof that a record is in the log",
     "JSON for \"audit check\": the record, its place, the hashes of its tree (RFC 9162) and the\n"
     "newest signed head.\n\n"
     "  weirctl audit prove 17 >proof.json\n"},
    {"audit key", "", 0, 0, "key json", WEIR_CTL_NEEDS_CONFIGURATION, weir_ctl_audit_key,
     "print the public key in PEM",
     "Who has it can check proofs and heads, and sign none.\n\n"
     "  weirctl audit key >audit-public.pem\n"},
    {"audit check", "PROOF", 1, 1, "key json", WEIR_CTL_NEEDS_NOTHING, weir_ctl_audit_check,
     "check a proof of the audit log, with nothing but the public key",
     "PROOF is a file, or - for standard input. Needs no configuration, no database and no "
     "network.\n"
     "Exit code 1 when it proves nothing.\n\n"
     "  weirctl audit check proof.json --key audit-public.pem\n"},
};

static const weir_ctl_command_t about_itself[] = {
    {"keys init", "", 0, 0, "folder days reload json", WEIR_CTL_USES_DATABASE, weir_ctl_keys_init,
     "make the keys and certificates that are missing, renew what ends soon",
     "Makes a private authority, certificates of a stack's services (DIR/NAME/tls.crt, tls.key,\n"
     "ca.crt), the edge's key of weir_identity (DIR/identity), a key for tokens of clients\n"
     "(DIR/issuer) and the secret of webhooks (DIR/webhook). Certificates with less than half of\n"
     "their life left are issued again, and old keys dropped whose time has passed: run it once\n"
     "a day. Each folder is replaced as a whole. The authority's key is in DIR/ca.\n\n"
     "  weirctl keys init --folder /etc/weir/keys\n"},
    {"keys rotate", "all|ca|identity|issuer|webhook|certificates|NAME", 1, 1,
     "folder days wait overlap reload file json", WEIR_CTL_USES_DATABASE, weir_ctl_keys_rotate,
     "replace keys, with no request refused",
     "First the next key is published, and --reload is run; after --wait, when all have read it,\n"
     "it signs, and the old one is accepted for --overlap. With ca, all certificates are issued\n"
     "again. NAME and certificates: new ones of the same authority. webhook: give the secret in\n"
     "DIR/webhook/secret to the sender, or the sender's own by --file. What was interrupted goes\n"
     "on by the same command. The command of --reload gets the names of what was changed in\n"
     "WEIR_KEYS_CHANGED.\n\n"
     "  weirctl keys rotate ca --folder /etc/weir/keys --reload 'nginx -s reload'\n"},
    {"keys list", "", 0, 0, "folder json", WEIR_CTL_NEEDS_NOTHING, weir_ctl_keys_list,
     "the keys and certificates: their states, and when they end",
     "STATE: current (signs), next (published), old (accepted until UNTIL); certificate, old\n"
     "authority (it must be issued again), expired. No private key is printed.\n\n"
     "  weirctl keys list --folder /etc/weir/keys\n"},
    {"keys revoke", "ca|identity|issuer|webhook [ID]", 1, 2, "folder days reload json",
     WEIR_CTL_USES_DATABASE, weir_ctl_keys_revoke, "end a key at once, without an overlap",
     "Without ID the current key, in whose place another one signs. What it has signed is\n"
     "refused as soon as all have read the change. With ca, all certificates are issued again.\n\n"
     "  weirctl keys revoke issuer --folder /etc/weir/keys\n"},
    {"flag list", "", 0, 0, "json", WEIR_CTL_NEEDS_CONFIGURATION, weir_ctl_flag_list,
     "feature flags, as edges with weir_flags read them", "  weirctl flag list\n"},
    {"flag get", "NAME [KEY]", 1, 2, "json", WEIR_CTL_NEEDS_CONFIGURATION, weir_ctl_flag_get,
     "the definition of a flag, or the variant that a key has",
     "With KEY the flag is evaluated as edges do, but without other attributes.\n\n"
     "  weirctl flag get new_checkout\n"
     "  weirctl flag get new_checkout user-1234567\n"},
    {"flag set", "NAME on|off|PERCENT%|JSON|FILE", 2, 2, "json", WEIR_CTL_MAY_USE_DATABASE,
     weir_ctl_flag_set, "set a flag, in all edges and at once",
     "A percentage is that of the keys for which the flag is on. JSON, or what is in FILE (- is\n"
     "the standard input), is the definition of a flag as flagd has it; a wrong one is refused.\n"
     "The change is in the audit log, if the configuration names a database.\n\n"
     "  weirctl flag set new_checkout 10%\n"
     "  weirctl flag set new_checkout new_checkout.json\n"},
    {"flag delete", "NAME", 1, 1, "json", WEIR_CTL_MAY_USE_DATABASE, weir_ctl_flag_delete,
     "delete a flag: default= of weir_flag counts", "  weirctl flag delete new_checkout\n"},
    {"revoke jti", "ISSUER ID", 2, 2, "exp json", WEIR_CTL_TRIES_DATABASE, weir_ctl_revoke_jti,
     "let the edges refuse the token with that jti",
     "ISSUER is iss of the token, such as https://login.example.com. Edges with\n"
     "weir_jwt_revocation refuse the token within a second. Without --exp they keep that for as\n"
     "long as any token lives (keep). Prints the entry that was added to weir:revoked. It is in\n"
     "the audit log, if the configuration names a database that answers.\n\n"
     "  weirctl revoke jti https://login.example.com 5f1c9d0e-2f0c-4b0e-8a2c-6f4f0d8c2b11\n"},
    {"revoke sub", "ISSUER SUBJECT", 2, 2, "before json", WEIR_CTL_TRIES_DATABASE,
     weir_ctl_revoke_sub, "let the edges refuse the tokens of a subject that were issued up to now",
     "Tokens that are issued afterwards are accepted: first take from the subject the means to\n"
     "get some.\n\n"
     "  weirctl revoke sub https://login.example.com user-1234567\n"},
    {"redis users", "[USER]", 0, 1, "passwords commands keep-default", WEIR_CTL_NEEDS_NOTHING,
     weir_ctl_users_print, "users for Redis, each with the rights that its process needs",
     "Prints an ACL file for Redis 7 or later, or with --commands \"ACL SETUSER ...\" for\n"
     "redis-cli. Only digests (SHA-256) of passwords are printed. A file in FOLDER has a\n"
     "password in each line, all valid; users without a file are left out. Without --passwords\n"
     "nobody can log in as these users. The ACL file turns the default user off: add a user for\n"
     "administration.\n\n"
     "  weirctl redis users\n"
     "  weirctl redis users --passwords /etc/weir/redis >/etc/redis/users.acl\n"},
    {"top", "", 0, 0, "url backend window interval once json", WEIR_CTL_NEEDS_NOTHING, weir_ctl_top,
     "percentiles of routes and upstreams, why they are slow, and what the backend waits for",
     "URL is that of weir_status of an edge (or WEIR_STATUS_URL in the environment), BACKEND\n"
     "that of the metrics of a backend process (or WEIR_METRICS_URL); either may be missing.\n"
     "The edge's percentiles are those of the window. The backend's are of what it has done\n"
     "since the last look, at first of all since its start: of a batch (a request waits for\n"
     "it), a statement (its commit included), a commit (of that, the disk), a handler (an\n"
     "attempt of a group). On a terminal 1, 2 and 3 choose the window, and q ends it. --json\n"
     "prints an object a line. Exit code 3\n"
     "when one does not answer.\n\n"
     "  weirctl top --url http://127.0.0.1/weir-status --backend http://127.0.0.1:9102/metrics\n"
     "  weirctl top --once --json | jq '.edge.routes'\n"},
    {"trace list", "", 0, 0, "slow errors count file url json", WEIR_CTL_NEEDS_NOTHING,
     weir_ctl_trace_list, "traces of a file of spans, the newest first",
     "MS: how long the first span took; as long as that is missing, the whole trace. SPANS:\n"
     "those received so far. SERVICE and NAME are those of the first span.\n\n"
     "  weirctl trace list --file spans.jsonl --slow -n 5\n"
     "  weirctl trace list --url http://127.0.0.1:4318 --errors\n"},
    {"trace show", "ID", 1, 1, "file url json", WEIR_CTL_NEEDS_NOTHING, weir_ctl_trace_show,
     "a trace as a tree of its spans",
     "A line for each span: service, name, status, number of the try, errors, events, links,\n"
     "duration, and when it was. A span whose parent has not arrived begins a tree of its own,\n"
     "and says so. --json prints OTLP. The file is one of \"weirctl trace receive\", or of the\n"
     "file exporter of an OpenTelemetry Collector.\n\n"
     "  weirctl trace show 4bf92f3577b34da6a3ce929d0e0e4736 --file spans.jsonl\n"},
    {"trace receive", "", 0, 0, "listen file limit tls allow", WEIR_CTL_NEEDS_NOTHING,
     weir_ctl_trace_receive, "receive spans (OTLP/HTTP), and keep the newest in a file",
     "For a machine without a collector: exporters send to http://ADDRESS:PORT/v1/traces. The\n"
     "file has a line of JSON for each span; at half of the limit it becomes FILE.1, in the\n"
     "place of the one before. GET /traces/ID answers with a trace, GET /traces with the\n"
     "newest ones. Everyone who reaches the address can read all spans, unless --tls asks for\n"
     "certificates of these names (docs/guides/tls.md). Ends at SIGTERM.\n\n"
     "  weirctl trace receive --file spans.jsonl\n"},
    {"schema check", "OLD NEW", 2, 2, "", WEIR_CTL_NEEDS_NOTHING, weir_ctl_schema_check,
     "check that clients of OLD can use NEW (OpenAPI)",
     "A line for each difference, then the verdict. Exit code 1 when a field, a path or an\n"
     "answer is gone, renamed or retyped; 2 when a document cannot be read.\n\n"
     "  curl -s 127.0.0.1:8080/openapi.json?version=2 >new.json\n"
     "  weirctl schema check old.json new.json\n"},
    {"jwks", "FILE|URL|-", 1, 1, "json", WEIR_CTL_NEEDS_NOTHING, weir_ctl_jwks,
     "the keys of a JWK Set, and whether the edge takes them",
     "ACCEPTED: yes; left out, for keys of a type or use that the edge does not know; or no,\n"
     "which refuses the whole set. FOR: the algorithms, or the reason. Of a URL, redirects are\n"
     "not followed, as by the edge. Exit code 1 when the edge refuses the set, 2 when a file\n"
     "cannot be read, 3 when the URL does not answer with 200.\n\n"
     "  weirctl jwks https://login.example.com/keys\n"
     "  curl --cacert ca.crt https://login.internal/keys | weirctl jwks -\n"},
    {"new-domain", "FOLDER", 1, 1, "", WEIR_CTL_NEEDS_NOTHING, weir_ctl_new_domain,
     "create the folder of a new domain, with its test",
     "The folder must not be there; its name is the domain's. What it holds builds and\n"
     "passes its test as it is.\n\n"
     "  weirctl new-domain ../orchard\n"
     "  make DOMAIN=../orchard && ./weir test --domain ../orchard\n"},
    {"completion bash", "", 0, 0, "", WEIR_CTL_NEEDS_NOTHING, weir_ctl_completion,
     "print the completion for bash", "  eval \"$(weirctl completion bash)\"\n"},
    {"version", "", 0, 0, "", WEIR_CTL_NEEDS_NOTHING, weir_ctl_version,
     "print the version; --version is the same", ""},
    {"help", "[COMMAND]", 0, 2, "", WEIR_CTL_NEEDS_NOTHING, weir_ctl_help,
     "print this text, or the help of a command", ""},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

weir_ctl_commands_t weir_ctl_commands(const weir_ctl_commands_t *of_domain)
{
    size_t count = COUNT(commands) + of_domain->count + COUNT(about_itself);
    weir_ctl_command_t *all = weir_alloc_array(count, sizeof(*all));

    memcpy(all, commands, sizeof(commands));
    if (of_domain->count > 0)
        memcpy(all + COUNT(commands), of_domain->all, of_domain->count * sizeof(*all));
    memcpy(all + COUNT(commands) + of_domain->count, about_itself, sizeof(about_itself));

    return (weir_ctl_commands_t){all, count};
}
