#include "events/worker/lease/spend.h"

#include "db/cost/spent.h"
#include "db/summary.h"
#include "events/worker/lease/delivery.h"
#include "events/worker/lease/group.h"

#include <assert.h>
#include <string.h>

/* consume() takes a transaction id, and another one for effects, which it can roll back. */
#define WITH_EFFECTS 2

/* A type that the group does not want may be any text: it is no label. */
static const char *type_of(const weir_delivery_t *d)
{
    return d->type != NULL ? d->type : "_other";
}

static weir_spent_t *spent_of(const weir_lease_t *l, const char *sql, const char *type)
{
    weir_db_summary_t summary;

    weir_db_summarize(sql, &summary);
    return weir_spent(summary.text, l->group->consumer.group, type);
}

/* The type of all events of the batch; NULL: they have more than one. */
static const char *common_type(const weir_lease_settle_t *s)
{
    const char *type = type_of(s->batch[0]);

    for (size_t i = 1; i < s->count; i++) {
        if (strcmp(type, type_of(s->batch[i])) != 0)
            return NULL;
    }
    return type;
}

bool weir_spend_query(weir_lease_t *l, const char *sql, int n, const char *const *values,
                      weir_db_cb cb)
{
    const weir_lease_settle_t *s = &l->settle;
    const char *type = common_type(s);
    const weir_db_statement_t statement = {sql, n, values};

    if (type == NULL)
        return weir_db_query(l->group->db, sql, n, values, cb, l);
    return weir_spent_query(spent_of(l, sql, type), l->group->db, &statement, (unsigned)s->count,
                            s->batch[0]->type != NULL ? WITH_EFFECTS : 1, cb, l);
}

void weir_spend_add(const weir_lease_t *l, const char *sql, bool committed)
{
    const weir_lease_settle_t *s = &l->settle;
    bool counted[WEIR_BATCH_MAX] = {false};
    uint64_t us = weir_db_spent_us(l->group->db);

    for (size_t i = 0; i < s->count; i++) {
        const char *type;
        unsigned same = 0;

        if (counted[i] || s->batch[i] == NULL)
            continue;
        type = type_of(s->batch[i]);
        for (size_t k = i; k < s->count; k++) {
            if (!counted[k] && s->batch[k] != NULL && strcmp(type, type_of(s->batch[k])) == 0) {
                counted[k] = true;
                same++;
            }
        }
        if (committed)
            weir_spent_add(spent_of(l, sql, type), same, (unsigned)s->count, us);
        else
            weir_spent_fail(spent_of(l, sql, type));
    }
}
