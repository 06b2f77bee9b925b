#include "events/dependency.h"

#include "log/log.h"

#include <assert.h>
#include <stddef.h>

#define FAILURES 5 /* consecutive failures that open the breaker */
#define PROBES 3   /* fresh events that are tried before the next rest */
#define REST_MIN 500
#define REST_MAX 5000

void weir_dependency_init(weir_dependency_t *d, const char *name)
{
    *d = (weir_dependency_t){.name = name, .state = WEIR_DEPENDENCY_CLOSED};
}

static void change(weir_dependency_t *d, weir_dependency_state_t state)
{
    assert(state != d->state || state == WEIR_DEPENDENCY_RESTING);
    d->entered[state] += state != d->state;
    d->state = state;
    d->generation++;
    d->out[0] = d->out[1] = d->fresh_tried = 0;
}

static bool is_down(const weir_dependency_t *d)
{
    return d->fresh >= FAILURES || d->unreached >= FAILURES;
}

static void rest(weir_dependency_t *d, uint64_t now, const char *error)
{
    assert(d->state != WEIR_DEPENDENCY_RESTING || is_down(d));
    assert(d->failed > 0);
    if (d->state == WEIR_DEPENDENCY_CLOSED) {
        d->rest = REST_MIN;
        weir_log(WEIR_LOG_WARN, NULL,
                 is_down(d) ? "dependency fails, its breaker opens, its events wait"
                            : "dependency fails, its breaker opens, events that failed before wait",
                 "{s:s,s:i,s:s}", "dependency", d->name, "failures", (int)d->failed, "error",
                 error != NULL ? error : "");
    } else if (d->rest < REST_MAX) {
        d->rest = d->rest * 2 < REST_MAX ? d->rest * 2 : REST_MAX;
    }
    d->until = now + d->rest;
    change(d, WEIR_DEPENDENCY_RESTING);
}

bool weir_dependency_admits(weir_dependency_t *d, uint64_t now, bool fresh)
{
    if (d->state == WEIR_DEPENDENCY_RESTING && now >= d->until)
        change(d, WEIR_DEPENDENCY_PROBING);

    switch (d->state) {
    case WEIR_DEPENDENCY_CLOSED:
        return true;
    case WEIR_DEPENDENCY_RESTING:
        return fresh && !is_down(d);
    default:
        return fresh ? !is_down(d) || d->out[1] + d->fresh_tried < PROBES
                     : d->out[0] + d->out[1] == 0;
    }
}

bool weir_dependency_probes(const weir_dependency_t *d)
{
    return d->state == WEIR_DEPENDENCY_PROBING;
}

uint64_t weir_dependency_next(const weir_dependency_t *d)
{
    return d->state == WEIR_DEPENDENCY_RESTING ? d->until : UINT64_MAX;
}

weir_call_t weir_dependency_begin(weir_dependency_t *d, bool fresh)
{
    assert(d->fresh <= d->failed && d->unreached <= d->failed);
    d->out[fresh]++;
    return (weir_call_t){.generation = d->generation, .answers = d->answers, .fresh = fresh};
}

static void answered(weir_dependency_t *d)
{
    d->answers++;
    d->failed = d->fresh = d->unreached = 0;
    if (d->state == WEIR_DEPENDENCY_CLOSED)
        return;
    weir_log(WEIR_LOG_INFO, NULL, "dependency answers again, its breaker closes", "{s:s}",
             "dependency", d->name);
    change(d, WEIR_DEPENDENCY_CLOSED);
}

/* A call of the present state has failed. */
static bool failed(weir_dependency_t *d, uint64_t now, const weir_call_t *call,
                   weir_call_result_t result, const char *error)
{
    bool was_down = is_down(d);

    assert(result == WEIR_CALL_FAILED || result == WEIR_CALL_UNREACHED);
    d->failed++;
    d->fresh += call->fresh && result == WEIR_CALL_FAILED;
    d->unreached += result == WEIR_CALL_UNREACHED;

    switch (d->state) {
    case WEIR_DEPENDENCY_CLOSED:
        if (d->failed >= FAILURES)
            rest(d, now, error);
        return result == WEIR_CALL_FAILED;
    case WEIR_DEPENDENCY_RESTING:
        if (!was_down && is_down(d))
            rest(d, now, error);
        return false;
    default:
        d->fresh_tried += call->fresh;
        if (!call->fresh || (is_down(d) && (d->fresh_tried >= PROBES || d->out[1] == 0)))
            rest(d, now, error);
        return false;
    }
}

bool weir_dependency_end(weir_dependency_t *d, uint64_t now, const weir_call_t *call,
                         weir_call_result_t result, const char *error)
{
    d->ended[result]++;
    if (call->generation == d->generation) {
        assert(d->out[call->fresh] > 0);
        d->out[call->fresh]--;
    }
    if (result == WEIR_CALL_ANSWERED) {
        answered(d);
        return false;
    }
    if (result != WEIR_CALL_ABANDONED && call->generation == d->generation)
        return failed(d, now, call, result, error);
    return result == WEIR_CALL_FAILED && call->answers != d->answers;
}
