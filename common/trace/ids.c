#include "common/trace/ids.h"

#include "common/ids/random.h"

weir_trace_ids_t weir_trace_ids;

void weir_trace_ids_seed(void)
{
    weir_random(weir_trace_ids.drawn, sizeof(weir_trace_ids.drawn));
    weir_random(&weir_trace_ids.first, sizeof(weir_trace_ids.first));
    weir_trace_ids.drawn[0] |= 1; /* a state of zeros would stay so */
    weir_trace_ids.seeded = true;
}
