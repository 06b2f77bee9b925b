#include "ctl/commands/commands.h"

#include "ctl/fetch.h"
#include "ctl/spans/draw.h"
#include "ctl/spans/find.h"
#include "ctl/spans/receive.h"
#include "ctl/spans/summary.h"
#include "ctl/terminal.h"
#include "log/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MIB 64
#define FILE_ENVIRONMENT "WEIR_TRACES_FILE"

/* The file of spans; exits with a message if none is named. */
static const char *file_of(const weir_ctl_args_t *args)
{
    const char *file = args->file != NULL ? args->file : getenv(FILE_ENVIRONMENT);

    if (file == NULL || *file == '\0')
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "name the file of spans: --file, or " FILE_ENVIRONMENT
                                           " in the environment"));

    return file;
}

weir_ctl_exit_t weir_ctl_trace_receive(weir_ctl_t *ctl)
{
    const char *listen = ctl->args.listen != NULL ? ctl->args.listen : "127.0.0.1:4318";
    size_t mib = ctl->args.limit > 0 ? (size_t)ctl->args.limit : LIMIT_MIB;
    const char *folder = ctl->args.tls;
    weir_tls_settings_t tls = {.use = "traces", .is_server = true, .names = ctl->args.allow};
    char error[512];
    bool ok;

    if ((folder == NULL) != (tls.names == NULL))
        return weir_ctl_fail(WEIR_CTL_USAGE, "--tls and --allow must be given together");
    if (folder != NULL) {
        tls.certificate = weir_alloc_format("%s/tls.crt", folder);
        tls.key = weir_alloc_format("%s/tls.key", folder);
        tls.ca = weir_alloc_format("%s/ca.crt", folder);
    }
    ok = weir_spans_receive(listen, file_of(&ctl->args), mib * 1024 * 1024,
                            folder != NULL ? &tls : NULL, error, sizeof(error));
    free((char *)tls.certificate);
    free((char *)tls.key);
    free((char *)tls.ca);

    return ok ? WEIR_CTL_OK : weir_ctl_fail(WEIR_CTL_USAGE, "%s", error);
}

/* The traces of the receiver at the URL, as weir_spans_summary_list() makes them; NULL: error. */
static json_t *fetch_list(const weir_ctl_args_t *args, char *error, size_t size)
{
    char *url = weir_alloc_format("%s/traces?limit=%d%s%s", args->url, args->count,
                                  args->slow ? "&sort=slow" : "", args->errors ? "&errors=1" : "");
    json_t *answer = weir_ctl_fetch_json(url, NULL, error, size);
    json_t *list = json_incref(json_object_get(answer, "traces"));

    if (answer != NULL && list == NULL)
        snprintf(error, size, "%s: there is no receiver of spans", url);
    json_decref(answer);
    free(url);

    return list;
}

weir_ctl_exit_t weir_ctl_trace_list(weir_ctl_t *ctl)
{
    const weir_ctl_args_t *args = &ctl->args;
    const weir_spans_choice_t choice = {args->slow, args->errors, (size_t)args->count};
    weir_spans_summary_t *summary;
    char error[512];
    json_t *list = NULL;

    if (args->url != NULL) {
        list = fetch_list(args, error, sizeof(error));
    } else {
        summary = weir_spans_summary_new(file_of(args));
        if (weir_spans_summary_read(summary, error, sizeof(error)))
            list = weir_spans_summary_list(summary, &choice);
        weir_spans_summary_free(summary);
    }
    if (list == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "%s", error);
    weir_ctl_print_rows(ctl, list, "There is no trace.");
    json_decref(list);

    return WEIR_CTL_OK;
}

/* NULL with a message: error; a document without spans: there is no such trace. */
static json_t *find_trace(const weir_ctl_args_t *args, const char *id, char *error, size_t size)
{
    json_t *document;
    long status;
    char *url;

    if (args->url == NULL)
        return weir_spans_find(file_of(args), id, error, size);
    url = weir_alloc_format("%s/traces/%s", args->url, id);
    document = weir_ctl_fetch_json(url, &status, error, size);
    free(url);

    return document == NULL && status == 404 ? weir_alloc_check(json_object()) : document;
}

weir_ctl_exit_t weir_ctl_trace_show(weir_ctl_t *ctl)
{
    const char *given = ctl->args.words[0];
    char id[WEIR_SPANS_ID_LEN + 1], error[512];
    json_t *document;

    if (!weir_spans_read_id(weir_str(given), id))
        return weir_ctl_fail(WEIR_CTL_USAGE,
                             "\"%s\" is no id of a trace: it has 32 hexadecimal "
                             "digits",
                             given);
    document = find_trace(&ctl->args, id, error, sizeof(error));
    if (document == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "%s", error);
    if (json_array_size(json_object_get(document, "resourceSpans")) == 0) {
        json_decref(document);
        return weir_ctl_fail(WEIR_CTL_REFUSED, "there is no span of the trace %s", id);
    }
    if (ctl->args.json)
        weir_ctl_print_object(ctl, document);
    else
        weir_spans_draw(document, weir_ctl_columns(), !weir_ctl_takes_utf8());
    json_decref(document);

    return WEIR_CTL_OK;
}
