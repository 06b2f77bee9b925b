/* An entry of the stream weir:revoked; see revoked_message.h. */

#include "auth/revoked/revoked_message.h"

/* Digits of a time: beyond the year 9999 there are twelve. */
#define DIGITS_MAX 12

static bool read_time(weir_str_t text, int64_t *time)
{
    *time = 0;
    if (text.len == 0 || text.len > DIGITS_MAX)
        return false;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *time = *time * 10 + (text.data[i] - '0');
    }

    return true;
}

/* The value of that name; false if there is more than one, or an empty one. */
static bool find(const weir_str_t *texts, size_t n, const char *name, weir_str_t *value)
{
    *value = (weir_str_t){NULL, 0};

    for (size_t i = 0; i + 1 < n; i += 2) {
        if (!weir_str_eq(texts[i], weir_str(name)))
            continue;
        if (value->data != NULL || texts[i + 1].len == 0)
            return false;
        *value = texts[i + 1];
    }

    return true;
}

const char *weir_revoked_message_read(const weir_str_t *texts, size_t n,
                                      weir_revoked_message_t *message)
{
    weir_str_t jti, sub, exp, before, time;

    if (!find(texts, n, "iss", &message->issuer) || !find(texts, n, "jti", &jti) ||
        !find(texts, n, "sub", &sub) || !find(texts, n, "exp", &exp) ||
        !find(texts, n, "before", &before))
        return "a field is empty, or there twice";
    if (message->issuer.data == NULL)
        return "it has no iss";
    if ((jti.data != NULL) == (sub.data != NULL))
        return "it has not one of jti and sub";
    if ((jti.data != NULL ? before : exp).data != NULL)
        return "exp is for jti, and before for sub";

    message->kind = jti.data != NULL ? WEIR_REVOKED_ID : WEIR_REVOKED_SUBJECT;
    message->name = jti.data != NULL ? jti : sub;
    message->time = -1;

    time = jti.data != NULL ? exp : before;
    if (time.data != NULL && !read_time(time, &message->time))
        return "a time is not a number of seconds";

    return NULL;
}

void weir_revoked_message_times(const weir_revoked_message_t *message, int64_t added, int64_t now,
                                int64_t keep, int64_t leeway, int64_t *before, int64_t *until)
{
    int64_t time = message->time, latest = added + leeway;

    if (message->kind == WEIR_REVOKED_SUBJECT) {
        *before = time < 0 ? added : time < latest ? time : latest;
        *until = *before + keep + leeway;
        return;
    }

    /* the IDs of a stream may be of any time */
    latest = (added > now ? added : now) + leeway + keep;
    *before = INT64_MAX;
    *until = (time < 0 ? added + keep : time < latest ? time : latest) + leeway;
}
