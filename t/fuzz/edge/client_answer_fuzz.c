// needs: ngx_module/client/answer.c common/trace/partial.c
// needs: common/text/http_date.c
/*
 * A server's answers: any bytes, whole and in pieces, which must not make a difference; then the
 * body as each kind of message.
 */
#include "budget.h"
#include "common/trace/partial.h"
#include "client/answer.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An answer is read byte by byte, and its body twice more. */
static const budget_t budget = {4000, 20, 300000, 4};

#define MAX 65536

static weir_answer_t whole, pieces;
static char body_whole[MAX], body_pieces[MAX];

/* The bytes in pieces of n; each is an allocation of its own. *used is how many were taken. */
static weir_answer_result_t feed(weir_answer_t *a, const uint8_t *data, size_t size, size_t n,
                                 size_t *used)
{
    weir_answer_result_t result = WEIR_ANSWER_MORE;
    size_t piece, taken;

    weir_answer_init(a, a == &whole ? body_whole : body_pieces, MAX);
    for (*used = 0; *used < size && result == WEIR_ANSWER_MORE; *used += taken) {
        piece = size - *used < n ? size - *used : n;
        char *exact = malloc(piece);

        assert(exact != NULL);
        memcpy(exact, data + *used, piece);
        result = weir_answer_feed(a, exact, piece, &taken);
        assert(taken <= piece && (result != WEIR_ANSWER_MORE || taken == piece));
        free(exact);
    }

    return result == WEIR_ANSWER_MORE ? weir_answer_finish(a) : result;
}

static void check_body(const char *body, size_t len)
{
    char *exact = malloc(len ? len : 1);
    weir_partial_t partial;

    assert(exact != NULL);
    memcpy(exact, body, len);
    for (int json = 0; json < 2; json++) {
        bool ok =
            (json ? weir_partial_json : weir_partial_protobuf)((weir_str_t){exact, len}, &partial);

        assert(ok || (partial.rejected == 0 && partial.message[0] == '\0'));
        assert(memchr(partial.message, '\0', sizeof(partial.message)) != NULL);
        for (const char *p = partial.message; *p != '\0'; p++)
            assert(*p >= 0x20 && *p < 0x7f);
    }
    free(exact);
}

static void run(const uint8_t *data, size_t size)
{
    size_t used;

    if (feed(&whole, data, size, size ? size : 1, &used) == WEIR_ANSWER_DONE) {
        assert(whole.status >= 200 && whole.status <= 599);
        assert(whole.body_len <= MAX && used <= MAX);
        assert(weir_answer_retry_after(&whole, 1795564800) >= -1);
        assert(weir_answer_freshness(&whole) >= -1);
        check_body(whole.body, whole.body_len);
    } else {
        assert(whole.fault != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_answer_result_t result;
    size_t used, used_whole;

    budget_check(run, data, size, &budget);

    /* the first byte says how long the pieces are */
    result = feed(&whole, data, size, size ? size : 1, &used_whole);
    assert(feed(&pieces, data, size, size ? 1 + data[0] % 16 : 1, &used) == result);
    if (result == WEIR_ANSWER_DONE) {
        assert(used == used_whole && pieces.status == whole.status);
        assert(pieces.keep_alive == whole.keep_alive && pieces.type == whole.type);
        assert(pieces.body_len == whole.body_len);
        assert(weir_answer_freshness(&pieces) == weir_answer_freshness(&whole));
        assert(memcmp(pieces.body, whole.body, whole.body_len) == 0);
    }

    check_body((const char *)data, size);

    return 0;
}
