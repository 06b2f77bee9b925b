#include "groups.h"

#include "config/list.h"
#include "log/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_groups {
    const weir_group_t *opened[WEIR_GROUPS_MAX];
    weir_consumer_t consumers[WEIR_GROUPS_MAX];
    size_t count;
};

static bool is_name(const char *name, size_t len, const char *of)
{
    return len == strlen(of) && memcmp(name, of, len) == 0;
}

static bool is_group(const weir_domain_t *domain, const char *name, size_t len)
{
    for (const weir_group_t *const *g = domain->groups; *g != NULL; g++) {
        if (is_name(name, len, (*g)->consumer.group))
            return true;
    }

    return false;
}

static bool is_named(const char *names, const char *group)
{
    const char *name;
    size_t len;

    assert(names != NULL && group != NULL);
    while ((names = weir_config_next_name(names, &name, &len)) != NULL) {
        if (is_name(name, len, group) || is_name(name, len, "all"))
            return true;
    }

    return false;
}

static bool no_group(const weir_domain_t *domain, const char *name, size_t name_len,
                     const char *besides, char *why, size_t size)
{
    size_t len = (size_t)snprintf(why, size, "there is no group \"%.*s\"; the groups are %s",
                                  name_len < 64 ? (int)name_len : 64, name, besides);

    assert(size > 0);
    for (const weir_group_t *const *g = domain->groups; *g != NULL && len < size; g++)
        len += (size_t)snprintf(why + len, size - len, "%s%s", g != domain->groups ? ", " : "",
                                (*g)->consumer.group);

    return false;
}

bool weir_groups_check(const weir_domain_t *domain, const char *names, char *why, size_t size)
{
    const char *name;
    size_t len;

    while ((names = weir_config_next_name(names, &name, &len)) != NULL) {
        if (!is_group(domain, name, len) && !is_name(name, len, "all"))
            return no_group(domain, name, len, "all, ", why, size);
    }

    return true;
}

bool weir_groups_check_limits(const weir_domain_t *domain, const char *limits, char *why,
                              size_t size)
{
    weir_config_limit_t limit;

    while ((limits = weir_config_next_limit(limits, &limit)) != NULL) {
        if (limit.len > 0 && !is_group(domain, limit.group, limit.len))
            return no_group(domain, limit.group, limit.len, "", why, size);
    }

    return true;
}

weir_groups_t *weir_groups_open(const weir_domain_t *domain, const weir_runtime_t *runtime,
                                const char *names, const char *limits, char *error, size_t size)
{
    weir_groups_t *groups = weir_alloc(sizeof(*groups));

    assert(runtime != NULL && names != NULL && limits != NULL);
    for (const weir_group_t *const *g = domain->groups; *g != NULL; g++) {
        weir_consumer_t consumer = (*g)->consumer;

        if (!is_named(names, consumer.group))
            continue;

        assert(groups->count < WEIR_GROUPS_MAX);
        if ((*g)->open != NULL && (consumer.self = (*g)->open(runtime, error, size)) == NULL) {
            weir_groups_close(groups);
            return NULL;
        }
        consumer.retry_attempts = weir_config_limit(limits, consumer.group);
        groups->opened[groups->count] = *g;
        groups->consumers[groups->count++] = consumer;
    }

    return groups;
}

const weir_consumer_t *weir_groups_consumers(const weir_groups_t *groups, size_t *count)
{
    assert(groups->count <= WEIR_GROUPS_MAX);
    *count = groups->count;

    return groups->consumers;
}

void weir_groups_close(weir_groups_t *groups)
{
    if (groups == NULL)
        return;

    for (size_t i = 0; i < groups->count; i++) {
        if (groups->opened[i]->close != NULL)
            groups->opened[i]->close(groups->consumers[i].self);
    }
    free(groups);
}
