// needs: backend/log/alloc.c backend/log/log.c common/problem.c
/* The backend's allocator: what it gives, and how a process ends that it can give nothing. */
#include "log/alloc.h"

#include <event2/event.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs `doomed` in a child process, which it aborts, and reads the child's standard error. */
static void last_words(void (*doomed)(void), char *text, size_t size)
{
    int ends[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        doomed();
        _exit(0);
    }
    close(ends[1]);
    while (len < size - 1 && (n = read(ends[0], text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void array_that_no_address_space_has(void)
{
    free(weir_alloc_array(SIZE_MAX / 2, 3));
}

static void growth_beyond_all_sizes(void)
{
    free(weir_alloc_resize(malloc(8), SIZE_MAX, 8));
}

static void library_without_memory(void)
{
    weir_alloc_check(NULL);
}

static void test_end(void **state)
{
    static void (*const ends[])(void) = {array_that_no_address_space_has, growth_beyond_all_sizes,
                                         library_without_memory};
    char text[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        last_words(ends[i], text, sizeof(text));
        assert_non_null(strstr(text, "\"level\":\"fatal\""));
        assert_non_null(strstr(text, "\"msg\":\"out of memory"));
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
    }
}

static void test_memory(void **state)
{
    char *zeroed = weir_alloc_array(7, 9), *text = weir_alloc_text("weir");
    char *bytes = weir_alloc_bytes("a\0b", 3), *none = weir_alloc_bytes(NULL, 0);
    char *printed = weir_alloc_format("%s/%d", "weir", 7);
    int *numbers = NULL;

    (void)state;
    for (int i = 0; i < 63; i++)
        assert_int_equal(zeroed[i], 0);
    assert_string_equal(text, "weir");
    assert_memory_equal(bytes, "a\0b\0", 4);
    assert_string_equal(none, "");
    assert_string_equal(printed, "weir/7");
    for (size_t n = 1; n < 100; n++) {
        numbers = weir_alloc_resize(numbers, n, sizeof(*numbers));
        numbers[n - 1] = (int)n;
    }
    for (int i = 0; i < 99; i++)
        assert_int_equal(numbers[i], i + 1);
    assert_ptr_equal(weir_alloc_check(numbers), numbers);
    free(zeroed);
    free(text);
    free(bytes);
    free(none);
    free(printed);
    free(numbers);
    free(weir_alloc(0));
}

static void test_libraries(void **state)
{
    json_malloc_t take;
    json_free_t give;
    json_t *json;
    struct event_base *base;
    char *text;

    (void)state;
    weir_alloc_libraries();
    json_get_alloc_funcs(&take, &give);
    assert_true(take != malloc);
    json = json_pack("{s:[i,i]}", "a", 1, 2);
    text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"a\":[1,2]}");
    free(text);
    json_decref(json);
    base = event_base_new();
    assert_non_null(base);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_libraries),
        cmocka_unit_test(test_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
