#include "sim/sim.h"

#include "common/ids/uuid7.h"
#include "common/text/rfc3339.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

bool sim_ledger_open(sim_t *sim, const char *file, char *error, size_t error_size)
{
    char line[4096];

    sim->charges = json_array();
    if (file == NULL)
        return true;
    sim->ledger = fopen(file, "a+");
    if (sim->ledger == NULL || fseek(sim->ledger, 0, SEEK_SET) != 0) {
        snprintf(error, error_size, "ledger \"%s\": %s", file, strerror(errno));
        return false;
    }
    while (fgets(line, sizeof(line), sim->ledger) != NULL) {
        json_t *charge = json_loads(line, 0, NULL), *old;
        const char *id = json_string_value(json_object_get(charge, "id"));

        if (id == NULL) { /* an incomplete line, from a process that was killed */
            json_decref(charge);
            continue;
        }
        old = sim_find(sim, "id", id);
        if (old != NULL)
            json_object_update(old, charge);
        else
            json_array_append(sim->charges, charge);
        json_decref(charge);
    }
    return true;
}

void sim_write(sim_t *sim, const json_t *charge)
{
    if (sim->ledger == NULL)
        return;
    json_dumpf(charge, sim->ledger, JSON_COMPACT);
    fputc('\n', sim->ledger);
    fflush(sim->ledger);
}

static void sim_now(char out[WEIR_RFC3339_LEN + 1])
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    weir_rfc3339(out, now.tv_sec, (unsigned)(now.tv_nsec / 1000000));
}

/* For ledgers of versions whose charges had no time: a time in the past. */
static const char *created(const json_t *charge)
{
    const char *time = json_string_value(json_object_get(charge, "created"));

    return time != NULL ? time : "";
}

json_t *sim_list(const sim_t *sim, const char *from, const char *before, const char *after,
                 size_t limit)
{
    json_t *page = json_array(), *charge;
    const char *next = NULL;
    bool is_after = after == NULL;
    size_t i;

    assert(limit > 0);
    json_array_foreach(sim->charges, i, charge)
    {
        if (!is_after) { /* charges are in the order of the array */
            is_after = strcmp(json_string_value(json_object_get(charge, "id")), after) == 0;
            continue;
        }
        if (strcmp(created(charge), from) < 0 || strcmp(created(charge), before) >= 0)
            continue;
        if (json_array_size(page) == limit) {
            const json_t *last = json_array_get(page, limit - 1);

            next = json_string_value(json_object_get(last, "id"));
            break;
        }
        json_array_append(page, charge);
    }
    return json_pack("{s:o,s:s?}", "charges", page, "next", next);
}

json_t *sim_find(const sim_t *sim, const char *member, const char *value)
{
    json_t *charge;
    size_t i;

    assert(member != NULL);
    json_array_foreach(sim->charges, i, charge)
    {
        const char *has = json_string_value(json_object_get(charge, member));

        if (has != NULL && strcmp(has, value) == 0)
            return charge;
    }
    return NULL;
}

json_t *sim_charge(sim_t *sim, const char *key, json_int_t amount, const char *currency,
                   const char *status, const char *reason, const char *created)
{
    char id[4 + WEIR_UUID_LEN] = "ch_", now[WEIR_RFC3339_LEN + 1];
    json_t *charge;

    if (json_array_size(sim->charges) == SIM_CHARGES_MAX)
        return NULL;
    weir_uuid7(id + 3);
    sim_now(now);
    charge = json_pack("{s:s,s:s,s:I,s:s,s:s,s:s?,s:s,s:i}", "id", id, "idempotency_key", key,
                       "amount", amount, "currency", currency, "status", status, "reason", reason,
                       "created", created != NULL ? created : now, "requests", 0);
    json_array_append_new(sim->charges, charge);
    sim_write(sim, charge);
    return charge;
}

void sim_set_status(sim_t *sim, json_t *charge, const char *status)
{
    json_object_set_new(charge, "status", json_string(status));
    json_object_set_new(charge, "reason", json_null());
    sim_write(sim, charge);
}
