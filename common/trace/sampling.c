#include "common/trace/sampling.h"

#include "common/text/hex.h"

#include <assert.h>

#define DIGITS 14   /* of 56 bits */
#define PRECISION 4 /* digits of th after its leading f */

uint64_t weir_sampling_threshold(double ratio)
{
    uint64_t threshold, unit;
    int shift = 4 * (DIGITS - PRECISION);

    assert(ratio >= 0 && ratio <= 1);
    threshold = WEIR_SAMPLING_NEVER - (uint64_t)(ratio * (double)WEIR_SAMPLING_NEVER);
    if (threshold == WEIR_SAMPLING_NEVER)
        return threshold;

    /* Each leading f is one digit more, so that small ratios are precise, too. */
    for (int digit = DIGITS - 1; digit >= 0 && shift > 0; digit--) {
        if ((threshold >> (4 * digit) & 15) != 15)
            break;
        shift -= 4;
    }
    if (shift <= 0)
        return threshold;

    unit = UINT64_C(1) << shift;
    threshold = (threshold + unit / 2) / unit * unit;

    return threshold < WEIR_SAMPLING_NEVER ? threshold : WEIR_SAMPLING_NEVER - unit;
}

/* Takes the next sub-member, "key:value", off the value. */
static bool next(weir_str_t *ot, weir_str_t *member)
{
    const char *semicolon;

    if (ot->len == 0)
        return false;

    semicolon = memchr(ot->data, ';', ot->len);
    member->data = ot->data;
    member->len = semicolon != NULL ? (size_t)(semicolon - ot->data) : ot->len;
    ot->data += member->len;
    ot->len -= member->len;
    if (semicolon != NULL) {
        ot->data++;
        ot->len--;
    }

    return true;
}

static bool has_key(weir_str_t member, const char *key)
{
    return member.len >= 3 && memcmp(member.data, key, 3) == 0;
}

static bool read_rv(weir_str_t member, uint64_t *rv)
{
    int digit;

    if (member.len != 3 + DIGITS || !has_key(member, "rv:"))
        return false;

    *rv = 0;
    for (size_t i = 3; i < member.len; i++) {
        digit = weir_unhex(member.data[i], 0);
        if (digit < 0)
            return false;
        *rv = *rv << 4 | (uint64_t)digit;
    }

    return true;
}

uint64_t weir_sampling_randomness(const uint8_t trace_id[WEIR_TRACE_ID_LEN], weir_str_t ot)
{
    weir_str_t member;
    uint64_t randomness;

    while (next(&ot, &member)) {
        if (read_rv(member, &randomness))
            return randomness;
    }

    memcpy(&randomness, trace_id + WEIR_TRACE_ID_LEN - sizeof(randomness), sizeof(randomness));

    return weir_sampling_randomness_of(randomness);
}

/* "th:" and the threshold's digits without the zeros at its end, but for one. */
static size_t put_threshold(uint64_t threshold, char *out)
{
    size_t n = DIGITS;

    memcpy(out, "th:", 3);
    for (size_t i = 0; i < DIGITS; i++)
        out[3 + i] = "0123456789abcdef"[threshold >> (4 * (DIGITS - 1 - i)) & 15];
    while (n > 1 && out[3 + n - 1] == '0')
        n--;

    return 3 + n;
}

/* Appends the sub-members other than th; of all, or rv only. -1: no room. */
static int put_others(weir_str_t ot, bool all, char *out, size_t *len)
{
    weir_str_t member;
    uint64_t rv;

    while (next(&ot, &member)) {
        if (member.len == 0 || has_key(member, "th:") || (!all && !read_rv(member, &rv)))
            continue;
        if (*len + 1 + member.len > WEIR_TRACESTATE_VALUE)
            return -1;
        if (*len > 0)
            out[(*len)++] = ';';
        memcpy(out + *len, member.data, member.len);
        *len += member.len;
    }

    return 0;
}

size_t weir_sampling_member(weir_str_t ot, uint64_t threshold, char out[WEIR_TRACESTATE_VALUE])
{
    size_t own = threshold < WEIR_SAMPLING_NEVER ? put_threshold(threshold, out) : 0;
    size_t len = own;

    if (put_others(ot, true, out, &len) == 0)
        return len;

    len = own;
    (void)put_others(ot, false, out, &len);

    return len;
}
