/*
 * An entry of the stream weir:revoked: pairs of names and values.
 *
 *     iss ISSUER jti ID [exp SECONDS]
 *     iss ISSUER sub SUBJECT [before SECONDS]
 *
 * exp is that of the token, before the time up to which its tokens were issued, both in seconds
 * since the epoch. Other names are ignored.
 */
#ifndef WEIR_REVOKED_MESSAGE_H
#define WEIR_REVOKED_MESSAGE_H

#include "auth/revoked/revoked.h"

typedef struct {
    weir_revoked_kind_t kind;
    weir_str_t issuer;
    weir_str_t name; /* jti or sub */
    int64_t time;    /* exp or before; -1: none */
} weir_revoked_message_t;

/*
 * Reads n texts, names and values in turn, which must live as long as the message. Returns NULL, or
 * a constant text that says what is wrong.
 */
const char *weir_revoked_message_read(const weir_str_t *texts, size_t n,
                                      weir_revoked_message_t *message);

/*
 * What the entry of the table says, in seconds: it holds for tokens that were issued up to before,
 * and is kept until then. added is when the message was; a time that is not given is that one, and
 * a later one is not believed beyond leeway, by which clocks may differ. keep is the longest life
 * of a token: one that is issued now cannot be accepted for longer.
 */
void weir_revoked_message_times(const weir_revoked_message_t *message, int64_t added, int64_t now,
                                int64_t keep, int64_t leeway, int64_t *before, int64_t *until);

#endif
