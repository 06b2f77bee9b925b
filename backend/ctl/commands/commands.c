#include "ctl/commands/commands.h"

#include "ctl/help.h"
#include "ctl/new-domain/new_domain.h"
#include "log/alloc.h"

#include <stdlib.h>
#include <string.h>

static const weir_ctl_command_t commands[] = {
    {"events tail", "", 0, 0, "count follow type aggregate json", true, weir_ctl_events_tail,
     "the newest events of the outbox",
     "AT is PARTITION/POSITION; the position is - until the relay has taken the event.\n"
     "--json prints one object a line, with data.\n\n"
     "  weirctl events tail -n 5\n"
     "  weirctl events tail -f --type TYPE --json | jq .data\n"},
    {"events show", "ID|PARTITION/POSITION", 1, 1, "json", true, weir_ctl_events_show,
     "an event, and what became of it in each group",
     "  weirctl events show 3/17\n"
     "  weirctl events show 0192d0a1-7c1e-7d3a-9a55-0f6b3a1f2e11\n"},
    {"events replay", "", 0, 0, "group new from partition yes json", true, weir_ctl_events_replay,
     "let a group handle what the outbox has, from there on",
     "For a new group, after its workers have started, or before them with --new: they take\n"
     "history from PostgreSQL and then go on with what comes. A group that nobody runs holds\n"
     "up trimming and retention: without --new an unknown name is refused. Nothing is\n"
     "skipped: where the group has not come that far it stays. For events that the group has\n"
     "handled already, its effects happen again, which needs --yes. The outbox keeps events\n"
     "for outbox_keep (configuration).\n\n"
     "  weirctl events replay --group reports --new --from 0\n"
     "  weirctl events replay --group reports --from 2026-01-31T12:00:00Z --yes\n"},
    {"groups", "", 0, 0, "interval json", true, weir_ctl_groups,
     "consumer groups: how far they are behind, how fast they go",
     "LAG: events that the relay has given a position and the group has not handled, and\n"
     "those that wait in partitions that stand still (weirctl relay). PENDING: failed ones\n"
     "that wait for their next attempt. OLDEST S: the age of the first one that is not\n"
     "handled, in seconds. DEAD: its dead letters. FULL: partitions whose stream this group\n"
     "keeps full, because stream_limit events lie before it. Other events without a\n"
     "position, which no LAG counts, are told below. Exit code 1 when a stream is full, a\n"
     "partition stands still, or events have waited for the relay for 10 seconds.\n\n"
     "  weirctl groups\n"
     "  weirctl groups --interval 10s --json | jq '.[] | select(.lag > 1000)'\n"},
    {"groups pause", "NAME", 0, 1, "all json", true, weir_ctl_groups_pause,
     "let a group's workers take no more events",
     "Within a second; what they have taken they finish. Events wait in the streams, and\n"
     "when a stream has stream_limit entries, in the outbox: then other groups wait, too.\n\n"
     "  weirctl groups pause reports\n"
     "  weirctl groups pause --all\n"},
    {"groups resume", "NAME", 0, 1, "all json", true, weir_ctl_groups_resume, "let it go on",
     "  weirctl groups resume reports\n"},
    {"groups delete", "NAME", 1, 1, "yes json", true, weir_ctl_groups_delete,
     "forget a group that is gone for good",
     "Its place in the log, its failed events and its dead letters; from then on nothing\n"
     "waits for it. A group that a worker runs is refused. With events that it has not\n"
     "handled, or dead letters, it needs --yes. What it has handled is forgotten, too: a\n"
     "worker that runs it later begins where the slowest of the others stands, and handles\n"
     "again what the group had handled from there on.\n\n"
     "  weirctl groups delete reports\n"},
    {"dead list", "", 0, 0, "group count json", true, weir_ctl_dead_list,
     "dead letters, the newest first",
     "  weirctl dead list --group reports\n"
     "  weirctl dead list -n 1000 --json\n"},
    {"dead show", "GROUP PARTITION/POSITION", 2, 2, "json", true, weir_ctl_dead_show,
     "a dead letter: why, and the event", "  weirctl dead show reports 3/17\n"},
    {"dead replay", "GROUP PARTITION/POSITION | GROUP --all", 1, 2, "all json", true,
     weir_ctl_dead_replay, "let the group handle them again, after what caused it was mended",
     "The event goes through the outbox again for this group only, with its id, behind what\n"
     "its aggregate has meanwhile. If it fails again it is a dead letter again.\n\n"
     "  weirctl dead replay reports 3/17\n"
     "  weirctl dead replay reports --all\n"},
    {"dead drop", "GROUP PARTITION/POSITION | GROUP --all", 1, 2, "all json", true,
     weir_ctl_dead_drop, "forget them",
     "The outbox keeps the events themselves, as history.\n\n"
     "  weirctl dead drop reports 3/17\n"},
    {"outbox", "", 0, 0, "json", true, weir_ctl_outbox,
     "what waits for the relay, and where Redis' streams are",
     "WAITING: events without a position. HANDLED: the position up to which all groups have\n"
     "come, SLOWEST GROUP the one that is last. STATE: behind means that Redis lacks what\n"
     "some group has not handled, ahead that it has what the database does not know. Exit\n"
     "code 3 when Redis is away; the rest is printed still.\n\n"
     "  weirctl outbox --json | jq .waiting\n"},
    {"relay", "", 0, 0, "json", true, weir_ctl_relay,
     "who may publish, and which partitions stand still",
     "HALTED: ahead when the stream had events that the database does not know, superseded\n"
     "when Redis knows a later term than the database. UNKNOWN: how many such events the\n"
     "stream has. Exit code 1 when a partition stands still.\n\n"
     "  weirctl relay\n"},
    {"relay rebase", "", 0, 0, "json", true, weir_ctl_relay_rebase,
     "let events flow again after a standby was promoted or a backup was restored",
     "Make sure first that nothing uses the other database any more. The streams of the\n"
     "partitions that stand still are deleted, and the relay fills them again from the\n"
     "outbox with what some group has not handled. What is in the database is not changed,\n"
     "so each event that it has keeps its effects; events that only the streams had are\n"
     "gone, as their transactions are. Relays of before are refused for ever. What handlers\n"
     "did elsewhere for events that are gone is not known any more: see what commands the\n"
     "domain has.\n\n"
     "  weirctl relay rebase\n"},
};

static const weir_ctl_command_t about_itself[] = {
    {"schema check", "OLD NEW", 2, 2, "", false, weir_ctl_schema_check,
     "can clients of OLD live with NEW? both are OpenAPI documents",
     "A line for each difference, then the verdict. Exit code 1 when a field, a path or an\n"
     "answer is gone, renamed or retyped; 2 when a document cannot be read.\n\n"
     "  curl -s 127.0.0.1:8080/openapi.json?version=2 >new.json\n"
     "  weirctl schema check old.json new.json\n"},
    {"new-domain", "FOLDER", 1, 1, "", false, weir_ctl_new_domain,
     "lay down the folder of a new domain, with one endpoint of each kind and its test",
     "The folder must not be there; its name is the domain's. What it holds builds and\n"
     "passes its test as it is.\n\n"
     "  weirctl new-domain ../orchard\n"
     "  make DOMAIN=../orchard && ./weir test --domain ../orchard\n"},
    {"completion bash", "", 0, 0, "", false, weir_ctl_completion, "the completion for bash",
     "  eval \"$(weirctl completion bash)\"\n"},
    {"version", "", 0, 0, "", false, weir_ctl_version, "weirctl's version; --version is the same",
     ""},
    {"help", "[COMMAND]", 0, 2, "", false, weir_ctl_help, "this text, or a command's", ""},
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
