#include "events/dependency.h"

#include "log/log.h"

#include <stddef.h>

static const weir_breaker_settings_t settings = {
    .counting = WEIR_BREAKER_COUNT_WINDOW, .failures = 5, .probes = 1, .window = 10000, .open = 5000};

void weir_dependency_init(weir_dependency_t *d, const char *name, uint64_t now)
{
    *d = (weir_dependency_t){.name = name};
    weir_breaker_init(&d->breaker, now, ++d->generations);
}

bool weir_dependency_admit(weir_dependency_t *d, uint64_t now, uint64_t *call, uint64_t *wait)
{
    if (weir_breaker_admit(&d->breaker, &settings, now, ++d->generations, call))
        return true;
    *wait = weir_breaker_retry_after(&d->breaker, &settings, now);
    return false;
}

bool weir_dependency_report(weir_dependency_t *d, uint64_t now, uint64_t call,
                            weir_breaker_outcome_t outcome, const char *error)
{
    weir_breaker_state_t before = d->breaker.state;
    bool current = call == d->breaker.generation;

    if (weir_breaker_report(&d->breaker, &settings, now, ++d->generations, call, outcome)) {
        if (d->breaker.state == WEIR_BREAKER_CLOSED)
            weir_log(WEIR_LOG_INFO, NULL, "dependency answers again, its breaker closes", "{s:s}",
                     "dependency", d->name);
        else if (before == WEIR_BREAKER_CLOSED)
            weir_log(WEIR_LOG_WARN, NULL, "dependency fails, its breaker opens, its events wait",
                     "{s:s,s:s}", "dependency", d->name, "error", error != NULL ? error : "");
    }
    return current && before == WEIR_BREAKER_CLOSED;
}
