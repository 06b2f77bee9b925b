/* weirctl redis users: the users of Redis, as its ACL file or as commands. */
#include "ctl/redis/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_wanted(const weir_ctl_t *ctl, const char *name)
{
    return ctl->args.n_words == 0 || strcmp(ctl->args.words[0], name) == 0;
}

/* Prints a user; true unless it has no file of passwords. */
static bool print_user(const weir_ctl_t *ctl, size_t index)
{
    const char *name = weir_ctl_users_name(index), *folder = ctl->args.passwords;
    char file[4096], error[4352], *passwords = NULL, *rules;
    bool missing = false;

    if (folder != NULL) {
        if (snprintf(file, sizeof(file), "%s/%s", folder, name) >= (int)sizeof(file))
            exit(weir_ctl_fail(WEIR_CTL_USAGE, "--passwords: the name is too long"));
        passwords = weir_ctl_users_passwords(file, &missing, error, sizeof(error));
        if (missing && ctl->args.n_words == 0)
            return false;
        if (passwords == NULL)
            exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s", error));
    }
    rules = weir_ctl_users_rules(index, ctl->args.commands);
    printf("%s %s%s on%s %s\n", ctl->args.commands ? "ACL SETUSER" : "user", name,
           ctl->args.commands ? " reset" : "", passwords != NULL ? passwords : "", rules);
    free(passwords);
    free(rules);

    return true;
}

/*
 * Redis gives an ACL file without the default user one that may do everything. One that is off can
 * have all rights, and must: with them Redis does again what its append-only file says, and leaves
 * out the transactions that the default user may not do.
 */
static void print_default(const weir_ctl_t *ctl)
{
    if (!ctl->args.commands && ctl->args.n_words == 0)
        puts(ctl->args.keep_default ? "user default on nopass ~* &* +@all"
                                    : "user default off resetpass ~* &* +@all");
}

weir_ctl_exit_t weir_ctl_users_print(weir_ctl_t *ctl)
{
    size_t known = 0, printed = 0;

    for (size_t i = 0; weir_ctl_users_name(i) != NULL; i++)
        known += is_wanted(ctl, weir_ctl_users_name(i));
    if (known == 0)
        return weir_ctl_fail(WEIR_CTL_USAGE,
                             "there is no user \"%s\"; \"weirctl redis users\" prints all",
                             ctl->args.words[0]);
    print_default(ctl);
    for (size_t i = 0; weir_ctl_users_name(i) != NULL; i++)
        printed += is_wanted(ctl, weir_ctl_users_name(i)) && print_user(ctl, i);

    return printed > 0 ? WEIR_CTL_OK
                       : weir_ctl_fail(WEIR_CTL_USAGE, "%s has no file with the name of a user",
                                       ctl->args.passwords);
}
