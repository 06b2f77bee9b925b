// needs: ngx_module/cache/policy/rules.c ngx_module/cache/policy/cache_control.c
#include "cache/policy/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MAX WEIR_CACHE_SECONDS_MAX
#define NOW 1000000
#define NONE WEIR_DATE_ABSENT
#define BAD WEIR_DATE_INVALID

static weir_cache_control_t cc;

static weir_cache_control_t *parse(const char *line)
{
    weir_cache_control_init(&cc);
    weir_cache_control_parse(&cc, (weir_str_t){line, strlen(line)});
    return &cc;
}

/* A 200 that arrived at once, with that Cache-Control. */
static weir_cache_response_t response(const char *line)
{
    return (weir_cache_response_t){.status = 200,
                                   .cc = parse(line),
                                   .expires = NONE,
                                   .date = NOW,
                                   .age = -1,
                                   .valid = -1,
                                   .request_time = NOW,
                                   .response_time = NOW};
}

static void assert_reason(const char *what, const weir_cache_response_t *r, const char *reason)
{
    weir_cache_freshness_t f;
    const char *got = weir_cache_refuses_storing(r, &f);

    if (reason == NULL ? got != NULL : got == NULL || strcmp(got, reason) != 0)
        fail_msg("%s: %s, not %s", what, got ? got : "stored", reason ? reason : "stored");
}

static void cache_control_decides(void **state)
{
    static const struct {
        const char *line, *reason;
    } rows[] = {
        {"max-age=1", NULL},
        {"max-age=60, public, must-revalidate, proxy-revalidate, no-transform, immutable", NULL},
        {"max-age=60, unknown", NULL},
        {"s-maxage=1", NULL},
        {"max-age=0, s-maxage=1", NULL},
        {"max-age=60, no-cache=\"A\", private=\"B\"", NULL},
        {"max-age=60, no-store, must-understand", NULL},
        {"max-age=60, only-if-cached, min-fresh=90", NULL}, /* of requests: without meaning here */
        {"", "no lifetime"},
        {"public, immutable", "no lifetime"},
        {"max-age=0", "expired"},
        {"max-age=60, s-maxage=0", "expired"},
        {"max-age=60, s-maxage=x", "expired"},
        {"max-age=60, no-store", "no-store"},
        {"max-age=60, private", "private"},
        {"max-age=60, no-cache", "no-cache"},
        {"max-age=60, no-store, private, must-understand", "private"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_response_t r = response(rows[i].line);

        assert_reason(rows[i].line, &r, rows[i].reason);
    }
}

static void statuses_decide(void **state)
{
    static const struct {
        int status;
        const char *plain, *understood;
    } rows[] = {
        {0, "status", "status"},
        {100, "status", "status"},
        {101, "status", "status"},
        {103, "status", "status"},
        {200, NULL, NULL},
        {201, NULL, "status not understood"},
        {203, NULL, NULL},
        {204, NULL, NULL},
        {206, "status", "status"},
        {226, NULL, "status not understood"},
        {300, NULL, NULL},
        {301, NULL, NULL},
        {302, NULL, NULL},
        {304, "status", "status"},
        {308, NULL, NULL},
        {404, NULL, NULL},
        {410, NULL, NULL},
        {418, NULL, "status not understood"},
        {500, NULL, NULL},
        {503, NULL, NULL},
        {599, NULL, "status not understood"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char what[32];
        weir_cache_response_t r = response("max-age=60");

        snprintf(what, sizeof(what), "%d", rows[i].status);
        r.status = rows[i].status;
        assert_reason(what, &r, rows[i].plain);
        r.cc = parse("max-age=60, no-store, must-understand");
        assert_reason(what, &r, rows[i].understood);
    }
}

static void statuses_about_one_request_need_a_name(void **state)
{
    static const int about[] = {400, 406, 408, 411, 412, 413, 415, 416,
                                417, 421, 422, 425, 426, 428, 429, 431};
    static const int about_client[] = {401, 407, 511};
    static const int others[] = {200, 203, 301, 403, 404, 405, 410, 414, 451, 500, 503};

    (void)state;
    for (size_t i = 0; i < sizeof(about) / sizeof(about[0]); i++) {
        weir_cache_response_t r = response("max-age=60");

        r.status = about[i];
        assert_reason("about one request", &r, "status");
        r.valid = 60;
        assert_reason("weir_cache_valid any", &r, "status");
        r.named = true;
        assert_reason("named", &r, NULL);
        assert_true(weir_cache_is_about_request(about[i]));
    }

    for (size_t i = 0; i < sizeof(about_client) / sizeof(about_client[0]); i++) {
        weir_cache_response_t r = response("max-age=60");

        r.status = about_client[i];
        r.valid = 60;
        assert_reason("asks one client to authenticate", &r, "status");
        r.named = true;
        assert_reason("named", &r, NULL);
    }

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(weir_cache_is_about_request(others[i]));
        assert_false(weir_cache_is_about_client(others[i]));
    }
}

static void requests_and_other_fields_decide(void **state)
{
    weir_cache_response_t r = response("max-age=60");

    (void)state;
    r.request_no_store = true;
    assert_reason("request no-store", &r, "request no-store");

    r = response("max-age=60");
    r.set_cookie = true;
    assert_reason("set-cookie", &r, "set-cookie");

    r = response("max-age=60, public");
    r.vary_any = true;
    assert_reason("vary *", &r, "vary *");

    r = response("max-age=60");
    r.post = true;
    assert_reason("a POST", &r, NULL);
    r = response("");
    r.post = true;
    r.expires = r.response_time + 60;
    assert_reason("a POST with Expires", &r, NULL);
    r.expires = WEIR_DATE_ABSENT;
    r.valid = 60;
    r.heuristic = 10;
    r.last_modified = r.response_time - 1000;
    r.validator = true;
    assert_reason("a POST without a word", &r, "no lifetime");
    r.cc = parse("no-cache");
    assert_reason("a POST with no-cache", &r, "no lifetime");
    r.post = false;
    assert_reason("a GET with no-cache", &r, NULL);

    r = response("max-age=60");
    r.part = true;
    r.status = 206;
    assert_reason("a part", &r, NULL);
    r.status = 304;
    assert_reason("a part of a 304", &r, "status");
    r = response("max-age=60, no-store, must-understand");
    r.part = true;
    r.status = 206;
    assert_reason("a part, understood", &r, NULL);
}

/* RFC 9111 section 3.5 */
static void authorization_needs_leave(void **state)
{
    static const struct {
        const char *line, *reason;
    } rows[] = {
        {"max-age=60", "authorization"},
        {"max-age=60, proxy-revalidate", "authorization"},
        {"max-age=60, immutable", "authorization"},
        {"max-age=60, public", NULL},
        {"max-age=60, must-revalidate", NULL},
        {"s-maxage=60", NULL},
        {"s-maxage=0", "expired"},
        {"max-age=60, public, private", "private"},
        {"public", "no lifetime"},
        {"max-age=60, public x", "authorization"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_response_t r = response(rows[i].line);

        r.authorization = true;
        assert_reason(rows[i].line, &r, rows[i].reason);
    }
}

/* Sections 4.2.1 and 4.2.3; lifetime -1: not stored. */
static void lifetime_and_age_are_computed(void **state)
{
    static const struct {
        const char *line;
        int64_t expires, date, age, valid, delay; /* delay: seconds from request to response */
        int64_t lifetime, initial_age;
    } rows[] = {
        /* what tells the lifetime, strongest first */
        {"max-age=60, s-maxage=90", NOW + 5, NOW, -1, 7, 0, 90, 0},
        {"max-age=60", NOW + 5, NOW, -1, 7, 0, 60, 0},
        {"", NOW + 5, NOW, -1, 7, 0, 5, 0},
        {"", NONE, NOW, -1, 7, 0, 7, 0},
        {"max-age=99999999999", NONE, NOW, -1, -1, 0, MAX, 0},
        {"", BAD, NOW, -1, 7, 0, -1, 0},
        {"max-age=60", BAD, NOW, -1, 7, 0, 60, 0},
        {"max-age=x", NOW + 5, NOW, -1, 7, 0, -1, 0},

        /* Expires counts from Date, or from the arrival */
        {"", NOW + 60, NOW - 10, -1, -1, 0, 70, 10},
        {"", NOW + 60, NOW + 10, -1, -1, 0, 50, 0},
        {"", NOW + 60, NONE, -1, -1, 0, 60, 0},
        {"", NOW + 60, BAD, -1, -1, 0, 60, 0},
        {"", NOW - 60, NOW - 100, -1, -1, 0, -1, 0},
        {"", NOW, NOW, -1, -1, 0, -1, 0},
        {"", 0, NOW, -1, -1, 0, -1, 0},
        {"", 253402300799, NOW, -1, -1, 0, MAX, 0},
        {"", 253402300799, 0, -1, -1, 0, MAX, NOW},

        /* the age at arrival: the greater of what Date and Age tell */
        {"max-age=60", NONE, NOW - 40, -1, -1, 0, 60, 40},
        {"max-age=60", NONE, NOW - 40, 50, -1, 0, 60, 50},
        {"max-age=60", NONE, NOW - 50, 40, -1, 0, 60, 50},
        {"max-age=60", NONE, NOW + 99, -1, -1, 0, 60, 0},
        {"max-age=60", NONE, NONE, 50, -1, 0, 60, 50},
        {"max-age=60", NONE, BAD, -1, -1, 0, 60, 0},
        {"max-age=60", NONE, NOW - 60, -1, -1, 0, -1, 0},
        {"max-age=60", NONE, NOW, 60, -1, 0, -1, 0},
        {"max-age=60", NONE, NOW, 59, -1, 0, 60, 59},
        {"max-age=60", NONE, NOW, MAX, -1, 0, -1, 0},

        /* and the time on the way */
        {"max-age=60", NONE, NOW, -1, -1, 10, 60, 10},
        {"max-age=60", NONE, NOW - 5, -1, -1, 10, 60, 10},
        {"max-age=60", NONE, NOW, 30, -1, 10, 60, 40},
        {"max-age=60", NONE, NOW, 55, -1, 10, -1, 0},
        {"max-age=60", NONE, NOW, -1, -1, -10, 60, 0}, /* the clock was set back */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_response_t r = response(rows[i].line);
        weir_cache_freshness_t f;
        const char *reason;

        r.expires = rows[i].expires;
        r.date = rows[i].date;
        r.age = rows[i].age;
        r.valid = rows[i].valid;
        r.request_time = NOW - rows[i].delay;

        reason = weir_cache_refuses_storing(&r, &f);

        if (rows[i].lifetime == -1) {
            if (reason == NULL || strcmp(reason, "expired") != 0)
                fail_msg("row %zu: %s", i, reason ? reason : "stored");
        } else if (reason != NULL || f.lifetime != rows[i].lifetime ||
                   f.initial_age != rows[i].initial_age) {
            fail_msg("row %zu: %s, lifetime %lld, age %lld", i, reason ? reason : "stored",
                     (long long)f.lifetime, (long long)f.initial_age);
        }
    }
}

static void staleness_is_noted(void **state)
{
    static const struct {
        const char *line;
        int64_t while_revalidate, if_error;
        bool must_revalidate;
    } rows[] = {
        {"max-age=60", 0, 0, false},
        {"max-age=60, stale-while-revalidate=5, stale-if-error=6", 5, 6, false},
        {"max-age=60, stale-while-revalidate, stale-if-error=x", 0, 0, false},
        {"max-age=60, stale-if-error=99999999999", 0, MAX, false},
        {"max-age=60, must-revalidate, stale-if-error=6", 0, 6, true},
        {"max-age=60, proxy-revalidate", 0, 0, true},
        {"s-maxage=60", 0, 0, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_response_t r = response(rows[i].line);
        weir_cache_freshness_t f;

        assert_null(weir_cache_refuses_storing(&r, &f));
        assert_int_equal(f.stale_while_revalidate, rows[i].while_revalidate);
        assert_int_equal(f.stale_if_error, rows[i].if_error);
        assert_int_equal(f.must_revalidate, rows[i].must_revalidate);
    }
}

/* Section 5.2.1, on a response of 60 seconds. */
static void requests_decide_about_use(void **state)
{
    static const struct {
        int64_t age;
        const char *line;
        weir_cache_use_t use;
    } rows[] = {
        {0, "", WEIR_CACHE_FRESH},
        {59, "", WEIR_CACHE_FRESH},
        {60, "", WEIR_CACHE_STALE},
        {61, "", WEIR_CACHE_STALE},
        {INT64_MAX / 2, "", WEIR_CACHE_STALE},
        {0, "no-store, only-if-cached, no-transform", WEIR_CACHE_FRESH},
        {0, "no-cache", WEIR_CACHE_REFUSED},
        {0, "no-cache=\"A\"", WEIR_CACHE_FRESH}, /* no such thing in a request */
        {90, "no-cache", WEIR_CACHE_REFUSED},
        {0, "max-age=0", WEIR_CACHE_REFUSED},
        {1, "max-age=0", WEIR_CACHE_REFUSED},
        {1, "max-age=x", WEIR_CACHE_REFUSED},
        {10, "max-age=10", WEIR_CACHE_FRESH},
        {11, "max-age=10", WEIR_CACHE_REFUSED},
        {60, "max-age=90", WEIR_CACHE_STALE},
        {10, "min-fresh=50", WEIR_CACHE_FRESH},
        {10, "min-fresh=51", WEIR_CACHE_REFUSED},
        {10, "min-fresh=99999999999", WEIR_CACHE_REFUSED},
        {60, "max-stale", WEIR_CACHE_ALLOWED_STALE},
        {60, "max-stale=0", WEIR_CACHE_ALLOWED_STALE},
        {62, "max-stale=1", WEIR_CACHE_STALE},
        {62, "max-stale=2, no-cache", WEIR_CACHE_REFUSED},
        {10, "max-stale=5", WEIR_CACHE_FRESH},
    };
    weir_cache_freshness_t f = {.lifetime = 60};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_use_t use = weir_cache_use(&f, rows[i].age, parse(rows[i].line));

        if (use != rows[i].use)
            fail_msg("age %lld, %s: %d, not %d", (long long)rows[i].age, rows[i].line, use,
                     rows[i].use);
    }
}

/* Section 4.2.2; lifetime -1: not stored without a validator, 0: with one. */
static void lifetime_may_be_guessed(void **state)
{
    static const struct {
        const char *line;
        int status;
        int64_t expires, date, modified, valid;
        int heuristic;
        int64_t lifetime;
    } rows[] = {
        {"", 200, NONE, NOW, NOW - 1000, -1, 10, 100},
        {"", 200, NONE, NOW, NOW - 1000, -1, 100, 1000},
        {"", 200, NONE, NOW, NOW - 5, -1, 10, 0},
        {"", 200, NONE, NONE, NOW - 1000, -1, 10, 100},
        {"", 200, NONE, NOW, 0, -1, 100, WEIR_HEURISTIC_MAX},
        {"", 404, NONE, NOW, NOW - 1000, -1, 10, 100},
        {"public", 599, NONE, NOW, NOW - 1000, -1, 10, 100},

        {"", 200, NONE, NOW, NOW - 1000, -1, 0, -1},
        {"", 200, NONE, NOW, NONE, -1, 10, -1},
        {"", 200, NONE, NOW, BAD, -1, 10, -1},
        {"", 200, NONE, NOW, NOW + 1, -1, 10, -1},
        {"", 599, NONE, NOW, NOW - 1000, -1, 10, -1},
        {"", 503, NONE, NOW, NOW - 1000, -1, 10, -1},

        /* where something tells nothing is guessed */
        {"max-age=7", 200, NONE, NOW, NOW - 1000, -1, 10, 7},
        {"", 200, NOW + 7, NOW, NOW - 1000, -1, 10, 7},
        {"", 200, BAD, NOW, NOW - 1000, -1, 10, 0},
        {"", 200, NONE, NOW, NOW - 1000, 7, 10, 7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_response_t r = response(rows[i].line);
        weir_cache_freshness_t f = {.lifetime = -1};
        const char *reason;

        r.status = rows[i].status;
        r.expires = rows[i].expires;
        r.date = rows[i].date;
        r.last_modified = rows[i].modified;
        r.valid = rows[i].valid;
        r.heuristic = rows[i].heuristic;
        r.validator = true;
        reason = weir_cache_refuses_storing(&r, &f);

        if (f.lifetime != rows[i].lifetime || (reason != NULL) != (rows[i].lifetime == -1))
            fail_msg("row %zu: %lld, %s", i, (long long)f.lifetime, reason ? reason : "stored");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_control_decides),
        cmocka_unit_test(statuses_decide),
        cmocka_unit_test(statuses_about_one_request_need_a_name),
        cmocka_unit_test(requests_and_other_fields_decide),
        cmocka_unit_test(authorization_needs_leave),
        cmocka_unit_test(lifetime_and_age_are_computed),
        cmocka_unit_test(lifetime_may_be_guessed),
        cmocka_unit_test(staleness_is_noted),
        cmocka_unit_test(requests_decide_about_use),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
