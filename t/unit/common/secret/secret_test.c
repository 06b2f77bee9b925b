// needs: common/secret/secret.c
#include "common/secret/secret.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/weir-secret.XXXXXX", file[sizeof(folder) + 16];

static int make_folder(void **state)
{
    (void)state;
    snprintf(file, sizeof(file), "%s/file", mkdtemp(folder));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(folder);
}

static const char *read_bytes(const char *bytes, size_t len, char text[WEIR_SECRET_FILE_MAX + 1])
{
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_int_equal(fclose(out), 0);

    return weir_secret_read(file, text);
}

static void each_line_is_a_password(void **state)
{
    static const char bytes[] = "\n\nnew one\r\n\r\nold\nlast";
    static const char *const expected[] = {"new one", "old", "last"};
    char text[WEIR_SECRET_FILE_MAX + 1];
    const char *at = text, *line;
    size_t len;

    (void)state;
    assert_null(read_bytes(bytes, sizeof(bytes) - 1, text));
    for (int i = 0; i < 3; i++) {
        line = weir_secret_next(&at, &len);
        assert_non_null(line);
        assert_int_equal(len, strlen(expected[i]));
        assert_memory_equal(line, expected[i], len);
    }
    assert_null(weir_secret_next(&at, &len));
    assert_null(weir_secret_next(&at, &len));
}

static void limits_are_allowed_and_no_byte_more(void **state)
{
    char bytes[WEIR_SECRET_FILE_MAX + 1], text[WEIR_SECRET_FILE_MAX + 1];
    const char *at = text;
    size_t len;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_null(read_bytes(bytes, WEIR_SECRET_MAX, text));
    assert_non_null(weir_secret_next(&at, &len));
    assert_int_equal(len, WEIR_SECRET_MAX);
    assert_string_equal(read_bytes(bytes, WEIR_SECRET_MAX + 1, text),
                        "it has a password of more than 512 bytes");
    assert_string_equal(text, "");

    memset(bytes, '\n', sizeof(bytes));
    bytes[0] = 'x';
    assert_null(read_bytes(bytes, WEIR_SECRET_FILE_MAX, text));
    assert_string_equal(read_bytes(bytes, WEIR_SECRET_FILE_MAX + 1, text),
                        "it is larger than 4096 bytes");
}

static void what_is_no_password_is_refused(void **state)
{
    char text[WEIR_SECRET_FILE_MAX + 1];

    (void)state;
    assert_string_equal(read_bytes("", 0, text), "it has no password");
    assert_string_equal(read_bytes("\r\n\n\r\n", 5, text), "it has no password");
    assert_string_equal(read_bytes("a\0b", 3, text), "it has a byte 0");
    assert_string_equal(weir_secret_read(folder, text), "it is not a regular file");
    assert_string_equal(weir_secret_read("/dev/zero", text), "it is not a regular file");
    assert_string_equal(weir_secret_read("/nowhere/file", text), "No such file or directory");
}

/* A reader of a FIFO waits until somebody writes. */
static void a_fifo_makes_nobody_wait(void **state)
{
    char text[WEIR_SECRET_FILE_MAX + 1];

    (void)state;
    unlink(file);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_string_equal(weir_secret_read(file, text), "it is not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_a_password),
        cmocka_unit_test(limits_are_allowed_and_no_byte_more),
        cmocka_unit_test(what_is_no_password_is_refused),
        cmocka_unit_test(a_fifo_makes_nobody_wait),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
