// needs: backend/audit/file.c common/audit/head.c common/audit/record.c common/audit/key.c
// needs: common/merkle/merkle.c common/merkle/sha256.c
// needs: backend/log/alloc.c backend/log/log.c common/problem.c
/* The file of heads: its last line, and appending whole lines only. */
#include "audit/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE(n) "{\"head\":\"" n "\",\"key\":\"k\",\"signature\":\"00\"}\n"

static char path[] = "/tmp/audit-file-test-XXXXXX";

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void is_text(const char *text)
{
    static char buffer[100000];
    FILE *file = fopen(path, "r");
    size_t n;

    assert_non_null(file);
    n = fread(buffer, 1, sizeof(buffer) - 1, file);
    fclose(file);
    buffer[n] = '\0';
    assert_string_equal(buffer, text);
}

static void last_is(const char *head)
{
    weir_audit_signed_t last;
    char error[256];

    assert_true(weir_audit_file_last(path, &last, error, sizeof(error)));
    assert_string_equal(last.text, head);
}

static void the_last_whole_line_counts(void **state)
{
    weir_audit_signed_t last;
    char error[256] = "", *many;

    (void)state;
    unlink(path);
    last_is("");
    write_text("");
    last_is("");
    write_text("{\"head\":");
    last_is("");
    write_text(LINE("one"));
    last_is("one");
    write_text(LINE("one") LINE("two"));
    last_is("two");
    write_text(LINE("one") LINE("two") "{\"head\":\"three");
    last_is("two");

    many = calloc(3000, 100);
    for (int i = 0; i < 3000; i++)
        strcat(many + strlen(many), LINE("many"));
    strcat(many, LINE("last"));
    write_text(many);
    last_is("last");
    free(many);

    write_text(LINE("one") "no head\n");
    assert_false(weir_audit_file_last(path, &last, error, sizeof(error)));
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "no head of the audit log"));
    assert_false(weir_audit_file_last("/tmp", &last, error, sizeof(error)));
    assert_false(weir_audit_file_last("/dev/null", &last, error, sizeof(error)));
    assert_false(weir_audit_file_last("/tmp/x/y", &last, error, sizeof(error)) &&
                 last.text[0] != '\0');
}

static void append(const char *lines)
{
    char error[256] = "";

    assert_true(weir_audit_file_append(path, lines, strlen(lines), error, sizeof(error)));
}

static void lines_are_appended_whole(void **state)
{
    struct rlimit limit = {.rlim_cur = 60, .rlim_max = RLIM_INFINITY}, before;
    char error[256] = "";

    (void)state;
    unlink(path);
    append(LINE("one"));
    append(LINE("two") LINE("three"));
    is_text(LINE("one") LINE("two") LINE("three"));
    write_text(LINE("one") "{\"he");
    append(LINE("two"));
    is_text(LINE("one") LINE("two"));

    /* a write that succeeds in part: the file may have 60 bytes */
    signal(SIGXFSZ, SIG_IGN);
    write_text(LINE("one"));
    getrlimit(RLIMIT_FSIZE, &before);
    limit.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(
        weir_audit_file_append(path, LINE("two"), strlen(LINE("two")), error, sizeof(error)));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(error, "File too large"));
    is_text(LINE("one"));
    assert_false(weir_audit_file_append("/nowhere/file", LINE("two"), strlen(LINE("two")), error,
                                        sizeof(error)));
    assert_non_null(strstr(error, "/nowhere/file: No such file"));
}

static int make_path(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd >= 0 ? close(fd) : -1;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_whole_line_counts),
        cmocka_unit_test(lines_are_appended_whole),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
