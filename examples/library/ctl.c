/*
 * The library's commands of weirctl.
 */
#include "ctl/cli.h"

static weir_ctl_exit_t overdue(weir_ctl_t *ctl)
{
    json_t *rows = weir_ctl_rows(
        ctl,
        "SELECT l.id AS loan, b.title, l.copy, m.name AS member, rfc3339(l.due_at) AS due_at"
        " FROM loans l JOIN books b ON b.id = l.book_id JOIN members m ON m.id = l.member_id"
        " WHERE l.returned_at IS NULL AND l.due_at < now() ORDER BY l.due_at, l.id",
        0, NULL);
    bool any = json_array_size(rows) > 0;

    weir_ctl_print_rows(ctl, rows, "Nothing is overdue.");
    json_decref(rows);

    return any ? WEIR_CTL_REFUSED : WEIR_CTL_OK;
}

static const weir_ctl_command_t commands[] = {
    {"loans overdue", "", 0, 0, "json", WEIR_CTL_NEEDS_DATABASE, overdue,
     "what is out longer than agreed",
     "The longest first. Exit code 1 when there is something.\n\n"
     "  weirctl loans overdue --json\n"},
};

const weir_ctl_commands_t weir_domain_commands = {commands, sizeof(commands) / sizeof(commands[0])};
