#include "ctl/commands/commands.h"

#include "ctl/spans/receive.h"

#include <stdlib.h>

#define LIMIT_MIB 64
#define FILE_ENVIRONMENT "WEIR_TRACES_FILE"

/* The file of spans; exits with a message if none is named. */
static const char *file_of(const weir_ctl_args_t *args)
{
    const char *file = args->file != NULL ? args->file : getenv(FILE_ENVIRONMENT);

    if (file == NULL || *file == '\0')
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "name the file of spans: --file, or " FILE_ENVIRONMENT));

    return file;
}

weir_ctl_exit_t weir_ctl_trace_receive(weir_ctl_t *ctl)
{
    const char *listen = ctl->args.listen != NULL ? ctl->args.listen : "127.0.0.1:4318";
    size_t mib = ctl->args.limit > 0 ? (size_t)ctl->args.limit : LIMIT_MIB;
    char error[512];

    if (!weir_spans_receive(listen, file_of(&ctl->args), mib * 1024 * 1024, error, sizeof(error)))
        return weir_ctl_fail(WEIR_CTL_USAGE, "%s", error);

    return WEIR_CTL_OK;
}
