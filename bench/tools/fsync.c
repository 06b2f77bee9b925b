/*
 * bench-fsync: how long the disk takes to make a write durable, while something else works on it.
 *
 *   bench-fsync FILE        until SIGTERM or SIGINT; then the figures as a line of JSON, in ms
 *
 * As PostgreSQL does for a commit: 8 KiB written over what is there already, then fdatasync(),
 * twenty times a second: often enough for a 99th percentile of some seconds, too seldom to be a
 * load.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE 8192
#define PAGES 256     /* of the file, written in turn */
#define PAUSE_MS 50   /* between two writes */
#define MAX (1 << 20) /* measurements that are kept: half a day of them */

static volatile sig_atomic_t over;

static void on_signal(int number)
{
    (void)number;
    over = 1;
}

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int fail(const char *path)
{
    fprintf(stderr, "bench-fsync: %s: %s\n", path, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    static char page[PAGE];
    static double took[MAX];
    static const struct timespec pause = {0, PAUSE_MS * 1000000L};
    struct sigaction action = {.sa_handler = on_signal};
    int file, n = 0;

    if (argc != 2) {
        fputs("usage: bench-fsync FILE\n", stderr);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    file = open(argv[1], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(argv[1]);
    for (int i = 0; i < PAGES; i++) {
        if (pwrite(file, page, PAGE, (off_t)i * PAGE) != PAGE)
            return fail(argv[1]);
    }
    if (fsync(file) != 0)
        return fail(argv[1]);

    do {
        double begin = now_ms();

        memset(page, n, PAGE);
        if (pwrite(file, page, PAGE, (off_t)(n % PAGES) * PAGE) != PAGE || fdatasync(file) != 0)
            return fail(argv[1]);
        took[n++] = now_ms() - begin;
        nanosleep(&pause, NULL);
    } while (!over && n < MAX);
    close(file);
    unlink(argv[1]);

    qsort(took, (size_t)n, sizeof(*took), compare);
    printf("{\"count\":%d,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f}\n", n, took[n / 2],
           took[n - 1 - n / 100], took[n - 1]);
    return 0;
}
