#include "ctl/commands/commands.h"

#include "api/schema/schema.h"

weir_ctl_exit_t weir_ctl_schema_check(weir_ctl_t *ctl)
{
    const char *const *files = ctl->args.words;

    switch (weir_schema_check(files[0], files[1], stdout)) {
    case WEIR_SCHEMA_COMPATIBLE:
        return WEIR_CTL_OK;
    case WEIR_SCHEMA_REFUSED:
        return WEIR_CTL_REFUSED;
    default:
        return WEIR_CTL_USAGE;
    }
}
