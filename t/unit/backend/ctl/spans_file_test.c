// needs: backend/ctl/spans/file.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "ctl/spans/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT 200 /* bytes: a file of more than 100 becomes the old one */

typedef struct {
    char dir[32], path[64], old[64], error[256];
    weir_spans_file_t *file;
    weir_spans_place_t place;
    int restarts, lines;
    char last[128];
} fixture_t;

static void count_restart(void *arg)
{
    fixture_t *f = arg;

    f->restarts++;
    f->lines = 0;
}

static void count_line(weir_str_t line, void *arg)
{
    fixture_t *f = arg;

    f->lines++;
    snprintf(f->last, sizeof(f->last), "%.*s", (int)line.len, line.data);
}

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/weir-spans.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/spans", f->dir);
    snprintf(f->old, sizeof(f->old), "%s/spans.1", f->dir);
    f->file = weir_spans_file_open(f->path, LIMIT, f->error, sizeof(f->error));
    assert_non_null(f->file);
    f->place = WEIR_SPANS_PLACE_FIRST;
    *state = f;

    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;

    weir_spans_place_close(&f->place);
    weir_spans_file_close(f->file);
    unlink(f->path);
    unlink(f->old);
    rmdir(f->dir);
    free(f);

    return 0;
}

/* Appends a line of len bytes that begins with the number. */
static void append(fixture_t *f, int number, int len)
{
    char line[LIMIT];

    snprintf(line, sizeof(line), "%-*d\n", len - 1, number);
    assert_true(weir_spans_file_append(f->file, (weir_str_t){line, (size_t)len}, f->error,
                                       sizeof(f->error)));
}

static void read_all(fixture_t *f)
{
    const weir_spans_reader_t reader = {count_restart, count_line, f};

    f->restarts = 0;
    assert_true(weir_spans_file_read(f->path, &f->place, &reader, f->error, sizeof(f->error)));
}

static void what_is_added_is_read_once(void **state)
{
    fixture_t *f = *state;

    append(f, 1, 20);
    read_all(f);
    assert_int_equal(f->restarts, 1);
    append(f, 2, 20);
    read_all(f);
    assert_int_equal(f->restarts, 0);
    assert_int_equal(f->lines, 2);
    assert_int_equal(atoi(f->last), 2);
}

static void after_one_rotation_both_files_are_read(void **state)
{
    fixture_t *f = *state;

    append(f, 1, 60);
    read_all(f);
    append(f, 2, 60);
    read_all(f);
    assert_int_equal(f->restarts, 1);
    assert_int_equal(f->lines, 2);
    assert_int_equal(atoi(f->last), 2);
}

/* Without the reader's descriptor, the third file would get the first one's inode on ext4. */
static void two_rotations_are_seen_though_an_inode_was_free(void **state)
{
    fixture_t *f = *state;

    append(f, 1, 60);
    read_all(f);
    for (int number = 2; number <= 40; number += 2) {
        append(f, number, 60);
        append(f, number + 1, 60);
        append(f, number + 1, 10);
        read_all(f);
        assert_int_equal(f->restarts, 1);
        assert_int_equal(f->lines, 3);
        assert_int_equal(atoi(f->last), number + 1);
    }
}

static void a_deleted_file_is_given_back(void **state)
{
    fixture_t *f = *state;
    struct stat st;
    int held;

    append(f, 1, 60);
    read_all(f);
    append(f, 2, 60);
    weir_spans_place_settle(&f->place);
    assert_true(f->place.fd >= 0); /* it is the old file */
    held = f->place.fd;
    append(f, 3, 60);
    weir_spans_place_settle(&f->place);
    assert_int_equal(f->place.fd, -1);
    assert_int_equal(fstat(held, &st), -1);
    read_all(f);
    assert_int_equal(f->restarts, 1);
    assert_int_equal(f->lines, 2);
}

static void a_shorter_file_is_read_again(void **state)
{
    fixture_t *f = *state;

    append(f, 1, 60);
    read_all(f);
    assert_int_equal(truncate(f->path, 0), 0);
    append(f, 2, 20);
    read_all(f);
    assert_int_equal(f->restarts, 1);
    assert_int_equal(f->lines, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_added_is_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(after_one_rotation_both_files_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(two_rotations_are_seen_though_an_inode_was_free, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_deleted_file_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shorter_file_is_read_again, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
