/*
 * The users that Redis should have (ACL): one for each kind of process, with the commands and keys
 * that it uses and nothing else. The table in users.c is the one place that has these rights;
 * "weirctl redis users" prints it, and the tests run with it.
 */
#ifndef WEIR_CTL_USERS_H
#define WEIR_CTL_USERS_H

#include "ctl/ctl.h"

#include <stdbool.h>
#include <stddef.h>

/* The name of a user, in the order of the table; NULL behind the last one. */
const char *weir_ctl_users_name(size_t index);

/*
 * The user's rules as words, from "resetchannels" on, without passwords; quoted: selectors are in
 * double quotes, as redis-cli needs them, and an ACL file must not have them. To be freed.
 */
char *weir_ctl_users_rules(size_t index, bool quoted);

/*
 * The passwords in the file as rules, " #<SHA-256>" each. A line is a password, so that a user can
 * have an old and a new one. To be freed; NULL with a message if there is no password, or the file
 * cannot be read; *missing says that there is no file.
 */
char *weir_ctl_users_passwords(const char *file, bool *missing, char *error, size_t size);

/* --- users_print.c --------------------------------------------------------- */

/* The command "weirctl redis users". */
weir_ctl_exit_t weir_ctl_users_print(weir_ctl_t *ctl);

#endif
