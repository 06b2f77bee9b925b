#include "operate/process.h"

#include "common/version.h"
#include "metrics/series.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t ms_of(struct timeval tv)
{
    return (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000;
}

/* proc(5): the second number of statm is the resident set, in pages. */
static uint64_t resident(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (statm == NULL)
        return 0;
    if (fscanf(statm, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(statm);

    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void collect(void *arg)
{
    struct rusage usage;

    (void)arg;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        weir_series_set(weir_series(WEIR_PROCESS_CPU, NULL),
                        ms_of(usage.ru_utime) + ms_of(usage.ru_stime));
    weir_series_set(weir_series(WEIR_PROCESS_MEMORY, NULL), resident());
}

void weir_process_measure(const char *roles)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    weir_series_set(weir_series(WEIR_BUILD, (const char *[]){WEIR_VERSION, roles}), 1);
    weir_series_set(weir_series(WEIR_PROCESS_START, NULL),
                    (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    weir_series_collect(collect, NULL);
}
