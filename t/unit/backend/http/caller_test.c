// needs: backend/http/caller/caller.c backend/log/alloc.c backend/log/log.c common/problem.c
/* The address of a caller, as X-Forwarded-For or the connection says it. */
#include "http/caller/caller.h"

#include "http/caller/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- in place of the server ------------------------------------------------------------------- */

static const char *forwarded, *peer;
static const weir_identity_t *identity;

const weir_identity_t *weir_http_identity(const weir_http_request_t *request)
{
    (void)request;
    return identity;
}

const char *weir_http_header(const weir_http_request_t *request, const char *name)
{
    (void)request;
    assert_string_equal(name, "X-Forwarded-For");
    return forwarded;
}

void weir_http_peer(const weir_http_request_t *request, char out[WEIR_HTTP_PEER])
{
    (void)request;
    snprintf(out, WEIR_HTTP_PEER, "%s", peer);
}

/* --- tests --------------------------------------------------------------------------------------
 */

static void is_text(weir_caller_address_t mode, const char *text)
{
    char out[WEIR_CALLER_TEXT];

    weir_caller_address(mode);
    weir_caller_text(NULL, out);
    assert_string_equal(out, text);
}

static void the_address_is_what_is_configured(void **state)
{
    (void)state;
    peer = "10.0.0.1";
    forwarded = "192.0.2.1, 192.0.2.2";
    is_text(WEIR_CALLER_PEER, "{\"subject\":\"anonymous\",\"address\":\"10.0.0.1\"}");
    is_text(WEIR_CALLER_FORWARDED, "{\"subject\":\"anonymous\",\"address\":\"192.0.2.2\"}");
    is_text(WEIR_CALLER_OFF, "{\"subject\":\"anonymous\"}");
    forwarded = NULL;
    is_text(WEIR_CALLER_FORWARDED, "{\"subject\":\"anonymous\",\"address\":\"10.0.0.1\"}");
    forwarded = "\"},\"subject\":\"root";
    is_text(WEIR_CALLER_FORWARDED, "{\"subject\":\"anonymous\",\"address\":\"10.0.0.1\"}");
    peer = "unix";
    is_text(WEIR_CALLER_PEER, "{\"subject\":\"anonymous\",\"address\":\"unix\"}");
}

static void an_identity_names_subject_and_actor(void **state)
{
    char subject[1024], text[2048], out[WEIR_CALLER_TEXT];
    weir_identity_t caller = {.subject = "a\"b\\\n", .issuer = "i", .actor = "weir"};

    (void)state;
    peer = "10.0.0.1";
    identity = &caller;
    is_text(WEIR_CALLER_PEER,
            "{\"subject\":\"sub:a\\\"b\\\\\\n\",\"actor\":\"weir i\",\"address\":\"10.0.0.1\"}");

    /* A token's subject is taken for no other kind of subject. */
    caller.subject = "system";
    is_text(WEIR_CALLER_OFF, "{\"subject\":\"sub:system\",\"actor\":\"weir i\"}");
    caller.anonymous = true;
    caller.subject = WEIR_IDENTITY_ANONYMOUS;
    is_text(WEIR_CALLER_OFF, "{\"subject\":\"anonymous\",\"actor\":\"weir\"}");
    caller.anonymous = false;

    /* 255 bytes, and a character of two that begins with the last one of the limit */
    memset(subject, 'x', WEIR_CALLER_NAME - 5);
    strcpy(subject + WEIR_CALLER_NAME - 5, "\xc3\xa9 and more");
    caller.subject = subject;
    snprintf(text, sizeof(text), "{\"subject\":\"sub:%.*s\",\"actor\":\"weir i\"}",
             WEIR_CALLER_NAME - 5, subject);
    is_text(WEIR_CALLER_OFF, text);

    /* an edge with a name whose character is cut */
    memset(subject, 'x', 63);
    strcpy(subject + 63, "\xc3\xa9");
    caller.subject = "s";
    caller.actor = subject;
    snprintf(text, sizeof(text), "{\"subject\":\"sub:s\",\"actor\":\"%.63s i\"}", subject);
    is_text(WEIR_CALLER_OFF, text);
    caller.subject = subject;

    /* the longest text */
    memset(subject, '\x1f', sizeof(subject) - 1);
    subject[sizeof(subject) - 1] = '\0';
    caller.actor = subject;
    caller.issuer = subject;
    weir_caller_text(NULL, out);
    assert_int_equal(strlen(out),
                     strlen("{\"subject\":\"sub:\",\"actor\":\" \"}") +
                         (WEIR_CALLER_NAME - 4 + WEIR_CALLER_NAME - 1) * strlen("\\u001F"));
    identity = NULL;
}

static void the_last_address_is_the_proxys(void **state)
{
    static const struct {
        const char *value, *address; /* NULL: none */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"spoofed, 192.0.2.1", "192.0.2.1"},
        {"192.0.2.9,192.0.2.1", "192.0.2.1"},
        {"192.0.2.9, \t 192.0.2.1 \t", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"", NULL},
        {",", NULL},
        {"192.0.2.1,", NULL},
        {"192.0.2.1, unknown", NULL},
        {"192.0.2.1:80", NULL},
        {"[2001:db8::1]", NULL},
        {"192.0.2.1 192.0.2.2", NULL},
        {"192.0.2.256", NULL},
        {"example.org", NULL},
        {"192.0.2.1\"", NULL},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL},
    };
    char out[WEIR_HTTP_PEER];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool found = weir_caller_forwarded(cases[i].value, out);

        if (found != (cases[i].address != NULL) || (found && strcmp(out, cases[i].address) != 0))
            fail_msg("\"%s\": %s", cases[i].value, found ? out : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_address_is_what_is_configured),
        cmocka_unit_test(an_identity_names_subject_and_actor),
        cmocka_unit_test(the_last_address_is_the_proxys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
