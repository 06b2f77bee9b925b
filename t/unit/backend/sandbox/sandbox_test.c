// needs: backend/sandbox/sandbox.c
/* A confined process: what it is refused, and what it still can do. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The error number that the call gives in a confined child; 0: none. */
static int confined(int (*call)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        char error[256];

        if (!weir_sandbox_enter(error, sizeof(error)))
            _exit(255);
        errno = 0;
        _exit(call() == 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 255);

    return WEXITSTATUS(status);
}

static int run_program(void)
{
    execl("/bin/true", "true", NULL);

    return -1;
}

static int make_process(void)
{
    return fork() < 0 ? -1 : 0;
}

static int make_process_by_clone(void)
{
    return (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) < 0 ? -1 : 0;
}

static int look_into_parent(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? -1 : 0;
}

static int leave_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static int set_clock(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);

    return settimeofday(&now, NULL);
}

static int become_root(void)
{
    return setuid(0);
}

static int map_writable_code(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? -1 : 0;
}

static int map_writable_code_of_a_file(void)
{
    FILE *file = tmpfile();
    void *p;

    if (file == NULL || fputc('x', file) == EOF || fflush(file) != 0)
        return 0;
    p = mmap(NULL, 1, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fileno(file), 0);

    return p == MAP_FAILED ? -1 : 0;
}

static int make_code_of_data(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static void is_refused(void **state)
{
    (void)state;
    assert_int_equal(confined(run_program), EPERM);
    assert_int_equal(confined(make_process), EPERM);
    assert_int_equal(confined(make_process_by_clone), EPERM);
    assert_int_equal(confined(look_into_parent), EPERM);
    assert_int_equal(confined(leave_namespace), EPERM);
    assert_int_equal(confined(set_clock), EPERM);
    assert_int_equal(confined(become_root), EPERM);
    assert_int_equal(confined(map_writable_code), EPERM);
    assert_int_equal(confined(map_writable_code_of_a_file), EPERM);
    assert_int_equal(confined(make_code_of_data), EPERM);
}

static void *idle(void *arg)
{
    return arg;
}

static int make_thread(void)
{
    pthread_t thread;

    errno = pthread_create(&thread, NULL, idle, NULL);

    return errno == 0 ? pthread_join(thread, NULL) : -1;
}

/* By a library that is loaded for it. */
static int resolve_name(void)
{
    struct addrinfo *found = NULL;
    int rc = getaddrinfo("localhost", "80", NULL, &found);

    if (found != NULL)
        freeaddrinfo(found);

    return rc;
}

static int use_sockets(void)
{
    int ends[2];

    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

static int use_files(void)
{
    FILE *file = tmpfile();

    return file != NULL && fputs("text", file) >= 0 && fclose(file) == 0 ? 0 : -1;
}

static int map_memory(void)
{
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p != MAP_FAILED && mprotect(p, 4096, PROT_READ) == 0 ? 0 : -1;
}

static int has_no_new_privileges(void)
{
    errno = EINVAL;

    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static int end_by_signal(void)
{
    return kill(getpid(), 0);
}

static void is_allowed(void **state)
{
    (void)state;
    assert_int_equal(confined(make_thread), 0);
    assert_int_equal(confined(resolve_name), 0);
    assert_int_equal(confined(use_sockets), 0);
    assert_int_equal(confined(use_files), 0);
    assert_int_equal(confined(map_memory), 0);
    assert_int_equal(confined(has_no_new_privileges), 0);
    assert_int_equal(confined(end_by_signal), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_refused),
        cmocka_unit_test(is_allowed),
    };

#if defined(__SANITIZE_ADDRESS__)
    puts("1..0 # SKIP a process with AddressSanitizer is not confined");
    (void)tests;
    return 0;
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
