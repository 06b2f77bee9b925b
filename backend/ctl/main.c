/*
 * weirctl: reads the command line, connects to the database if the command needs it, and runs the
 * command.
 */
#include "common/output.h"
#include "ctl/arguments.h"
#include "ctl/commands/commands.h"
#include "ctl/help.h"
#include "db/settings.h"
#include "log/alloc.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* With the rights of weirctl. False: error says why. */
static bool open_database(weir_ctl_t *ctl, const char *timeout, char *error, size_t size)
{
    static const char *const keys[] = {
        "dbname", "client_encoding", "application_name", "connect_timeout", "options", "password",
        NULL};
    const char *values[] = {NULL, "UTF8", "weirctl", timeout, NULL, NULL, NULL};
    char *options, *password;

    ctl->database = weir_settings_database(&ctl->settings, WEIR_SETTINGS_CTL);
    weir_db_password_file(ctl->settings.database, ctl->settings.database_password_file);
    if (!weir_db_password(ctl->database, &password, error, size))
        return false;

    options = weir_db_options(ctl->database, "-c statement_timeout=60s");
    values[0] = ctl->database;
    values[4] = options;
    values[5] = password;
    ctl->db = PQconnectdbParams(keys, values, 1);
    free(options);
    weir_db_password_forget(password);
    if (PQstatus(ctl->db) == CONNECTION_OK)
        return weir_db_settings_apply(ctl->db, error, size);
    snprintf(error, size, "%s", PQerrorMessage(ctl->db));

    return false;
}

static void connect_database(weir_ctl_t *ctl)
{
    char error[1280];

    if (!open_database(ctl, "5", error, sizeof(error)))
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", error));
}

/* Connects if that is possible now; otherwise says that nothing is recorded. */
static void try_to_connect(weir_ctl_t *ctl)
{
    char error[1280];

    if (*ctl->settings.database == '\0' || open_database(ctl, "2", error, sizeof(error)))
        return;
    weir_ctl_fail(WEIR_CTL_OK, "nothing is recorded in the audit log: PostgreSQL: %s", error);
    PQfinish(ctl->db);
    ctl->db = NULL;
}

/* The same with the settings of the file, which need not be there. */
static void try_database(weir_ctl_t *ctl, const char *file)
{
    char error[1280];

    if (access(file, F_OK) != 0)
        return;
    if (!weir_settings_read_partly(&ctl->settings, &weir_domain, file, error, sizeof(error))) {
        weir_ctl_fail(WEIR_CTL_OK, "nothing is recorded in the audit log: %s", error);
        return;
    }
    try_to_connect(ctl);
}

/* Operators of edges alone have no database: what needs none does not ask for its key. */
static bool read_settings(weir_settings_t *settings, weir_ctl_needs_t needs, const char *file,
                          char *error, size_t size)
{
    return needs == WEIR_CTL_NEEDS_DATABASE
               ? weir_settings_read(settings, &weir_domain, file, error, size)
               : weir_settings_read_partly(settings, &weir_domain, file, error, size);
}

int main(int argc, char **argv)
{
    static weir_ctl_t ctl = {
        .args = {.partition = -1, .count = 20, .interval = 1000, .wait = -1, .overlap = -1}};
    static weir_ctl_commands_t commands;
    static weir_ctl_given_t given;
    const weir_ctl_command_t *command;
    weir_ctl_exit_t code;
    char error[1024];
    int used;

    weir_alloc_libraries();
    weir_log_init(WEIR_LOG_FATAL, "weirctl");
    weir_output_check_at_exit("weirctl", WEIR_CTL_AWAY);
    commands = weir_ctl_commands(&weir_domain_commands);
    ctl.commands = &commands;
    weir_ctl_read_arguments(&ctl.args, &given, argc, argv);
    if (given.version)
        return (int)weir_ctl_version(&ctl);
    if (given.n_words == 0) {
        weir_ctl_usage(&ctl, given.help ? stdout : stderr);
        return given.help ? WEIR_CTL_OK : WEIR_CTL_USAGE;
    }

    command = weir_ctl_find_command(ctl.commands, given.words, given.n_words, &used);
    if (command == NULL)
        return weir_ctl_no_command(&ctl, given.words, given.n_words);
    if (given.help) {
        weir_ctl_describe(command);
        return WEIR_CTL_OK;
    }

    weir_ctl_check_arguments(command, &ctl.args, &given, used);
    if (command->needs != WEIR_CTL_NEEDS_NOTHING) {
        const char *file = given.conf != NULL ? given.conf : getenv(WEIR_CTL_CONF_ENVIRONMENT);

        if (command->needs == WEIR_CTL_USES_DATABASE)
            try_database(&ctl, file != NULL ? file : WEIR_CTL_CONF_DEFAULT);
        else if (!read_settings(&ctl.settings, command->needs,
                                file != NULL ? file : WEIR_CTL_CONF_DEFAULT, error, sizeof(error)))
            return weir_ctl_fail(WEIR_CTL_USAGE, "%s%s", error,
                                 file == NULL ? "; -c FILE or " WEIR_CTL_CONF_ENVIRONMENT
                                                " names another configuration"
                                              : "");
    }
    if (command->needs == WEIR_CTL_NEEDS_DATABASE ||
        (command->needs == WEIR_CTL_MAY_USE_DATABASE && ctl.settings.database[0] != '\0')) {
        connect_database(&ctl);
    } else if (command->needs == WEIR_CTL_TRIES_DATABASE) {
        try_to_connect(&ctl);
    }

    code = command->run(&ctl);
    if (ctl.db != NULL)
        PQfinish(ctl.db);
    if (command->needs != WEIR_CTL_NEEDS_NOTHING)
        weir_settings_free(&ctl.settings);

    return code;
}
