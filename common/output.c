#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program_name;
static int failed_status;

static void check(void)
{
    bool earlier = ferror(stdout) != 0;
    bool failed = fflush(stdout) != 0;

    if (!failed && !earlier)
        return;

    if (failed)
        fprintf(stderr, "%s: cannot write standard output: %s\n", program_name, strerror(errno));
    else
        fprintf(stderr, "%s: cannot write standard output\n", program_name);
    _exit(failed_status); /* exit() must not be called again from an exit handler */
}

/* Uses async-signal-safe functions only. */
static void on_abort(int signal_number)
{
    static const char why[] =
        ": aborted, because memory is exhausted or by a fault in the program; the reason may be "
        "in the line before\n";

    (void)signal_number;
    if (write(STDERR_FILENO, program_name, strlen(program_name)) < 0 ||
        write(STDERR_FILENO, why, sizeof(why) - 1) < 0)
        return;
}

/*
 * The next file or socket would take the place of a standard stream that is closed, and what is
 * printed or logged would go into it.  Standard output is opened for reading: writing it fails, as
 * it would have.
 */
static void open_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int opened;

        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        opened = open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
        if (opened != fd)
            abort(); /* the lowest free one is always taken */
    }
}

void weir_output_check_at_exit(const char *program, int status)
{
    open_standard_streams();
    program_name = program;
    failed_status = status;
    signal(SIGABRT, on_abort); /* abort() ends the process after the handler returns */
    if (atexit(check) != 0)
        abort();
}
