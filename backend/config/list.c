#include "config/list.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

const char *weir_config_next_name(const char *list, const char **name, size_t *len)
{
    const char *end;

    assert(list != NULL);
    while (*list == ' ' || *list == ',' || *list == '\t')
        list++;
    if (*list == '\0')
        return NULL;

    end = list + strcspn(list, ", \t");
    *name = list;
    *len = (size_t)(end - list);

    return end;
}

const char *weir_config_next_limit(const char *list, weir_config_limit_t *limit)
{
    const char *equals, *digit, *end;

    list = weir_config_next_name(list, &limit->group, &limit->len);
    if (list == NULL)
        return NULL;

    assert(limit->len > 0);
    end = limit->group + limit->len;
    equals = memchr(limit->group, '=', limit->len);
    digit = equals != NULL ? equals + 1 : limit->group;
    limit->len = equals != NULL ? (size_t)(equals - limit->group) : 0;

    limit->count = 0;
    for (; digit < end && isdigit((unsigned char)*digit); digit++) {
        if (limit->count < WEIR_CONFIG_LIMIT_MAX)
            limit->count = limit->count * 10 + (unsigned)(*digit - '0');
    }
    if (digit < end || limit->count > WEIR_CONFIG_LIMIT_MAX || equals == limit->group)
        limit->count = 0;

    return list;
}

unsigned weir_config_limit(const char *list, const char *group)
{
    weir_config_limit_t limit;
    unsigned count = 0;

    assert(list != NULL && group != NULL);
    while ((list = weir_config_next_limit(list, &limit)) != NULL) {
        if (limit.len == 0)
            count = limit.count;
        else if (limit.len == strlen(group) && memcmp(limit.group, group, limit.len) == 0)
            return limit.count;
    }

    return count;
}
