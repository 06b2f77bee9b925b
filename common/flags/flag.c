/*
 * Definitions of flags; see flag.h.
 *
 * The arguments of a rule are beside each other in the nodes: places for them are taken before any
 * of them is read.
 */

#include "common/flags/flag_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    weir_flag_t *flag;
    char *error;
    size_t size;
} reading_t;

#define fail(r, ...) (snprintf((r)->error, (r)->size, __VA_ARGS__), false)

static const struct {
    const char *name;
    weir_flag_op_t op;
    size_t least, most; /* arguments */
} rules[] = {
    {"if", WEIR_FLAG_OP_IF, 1, 64},
    {"==", WEIR_FLAG_OP_EQUAL, 2, 2},
    {"===", WEIR_FLAG_OP_SAME, 2, 2},
    {"!=", WEIR_FLAG_OP_UNEQUAL, 2, 2},
    {"!==", WEIR_FLAG_OP_OTHER, 2, 2},
    {"<", WEIR_FLAG_OP_LESS, 2, 2},
    {"<=", WEIR_FLAG_OP_AT_MOST, 2, 2},
    {">", WEIR_FLAG_OP_GREATER, 2, 2},
    {">=", WEIR_FLAG_OP_AT_LEAST, 2, 2},
    {"and", WEIR_FLAG_OP_AND, 1, 64},
    {"or", WEIR_FLAG_OP_OR, 1, 64},
    {"!", WEIR_FLAG_OP_NOT, 1, 1},
    {"!!", WEIR_FLAG_OP_BOOL, 1, 1},
    {"in", WEIR_FLAG_OP_IN, 2, 2},
    {"starts_with", WEIR_FLAG_OP_STARTS, 2, 2},
    {"ends_with", WEIR_FLAG_OP_ENDS, 2, 2},
    {"cat", WEIR_FLAG_OP_CAT, 1, 8},
    {"fractional", WEIR_FLAG_OP_FRACTIONAL, 1, 64},
};

#define RULES (sizeof(rules) / sizeof(rules[0]))

static weir_str_t text_of(const json_t *json)
{
    return (weir_str_t){json_string_value(json), json_string_length(json)};
}

bool weir_flag_is_name(weir_str_t name)
{
    if (name.len == 0 || name.len > WEIR_FLAG_NAME_MAX)
        return false;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }

    return true;
}

/* --- targeting ---------------------------------------------------------------------------------
 */

static bool read_node(reading_t *r, const json_t *json, uint32_t at, unsigned depth);

/* Takes n places; false: there are too many nodes. */
static bool take(reading_t *r, size_t n, uint32_t *first)
{
    if (n > WEIR_FLAG_NODES_MAX - r->flag->nnodes)
        return fail(r, "its targeting has more than %d values and rules", WEIR_FLAG_NODES_MAX);

    *first = r->flag->nnodes;
    r->flag->nnodes += (uint32_t)n;

    return true;
}

/* Reads the elements of an array as the arguments of a node. */
static bool read_arguments(reading_t *r, const json_t *list, uint32_t at, unsigned depth)
{
    size_t n = json_array_size(list);
    uint32_t first;

    if (!take(r, n, &first))
        return false;

    r->flag->nodes[at].first = first;
    r->flag->nodes[at].n = (uint32_t)n;

    for (size_t i = 0; i < n; i++) {
        if (!read_node(r, json_array_get(list, i), first + (uint32_t)i, depth + 1))
            return false;
    }

    return true;
}

static bool read_var(reading_t *r, const json_t *json, uint32_t at, unsigned depth)
{
    weir_flag_node_t *node = &r->flag->nodes[at];
    const json_t *name = json_is_array(json) ? json_array_get(json, 0) : json;
    uint32_t first;

    if (!json_is_string(name) || json_string_length(name) == 0 ||
        (json_is_array(json) && json_array_size(json) > 2))
        return fail(r, "\"var\" has the name of an attribute, and may have a default");

    node->op = WEIR_FLAG_OP_VAR;
    node->value.text = text_of(name);

    if (!json_is_array(json) || json_array_size(json) < 2)
        return true;
    if (!take(r, 1, &first))
        return false;

    node->first = first;
    node->n = 1;

    return read_node(r, json_array_get(json, 1), first, depth + 1);
}

/* A fraction: ["variant", weight], ["variant"], whose weight is 1. */
static bool read_fraction(reading_t *r, const json_t *json, uint32_t at, unsigned depth,
                          uint64_t *sum)
{
    const json_t *weight = json_array_get(json, 1);
    double w = 1;

    if (!json_is_array(json) || json_array_size(json) < 1 || json_array_size(json) > 2 ||
        (weight != NULL && !json_is_number(weight)))
        return fail(r, "a fraction is [\"variant\", weight]");

    if (weight != NULL)
        w = json_number_value(weight);
    if (!(w >= 0 && w <= INT32_MAX) || w != (double)(uint32_t)w)
        return fail(r, "a weight is a whole number of 0 to %d", INT32_MAX);

    if (!read_node(r, json_array_get(json, 0), at, depth))
        return false;

    r->flag->nodes[at].weight = (uint32_t)w;
    *sum += (uint32_t)w;

    return true;
}

static bool read_fractional(reading_t *r, const json_t *list, uint32_t at, unsigned depth)
{
    size_t n = json_array_size(list);
    uint64_t sum = 0;
    uint32_t first;
    bool by = !json_is_array(json_array_get(list, 0));

    if (n < (by ? 2u : 1u))
        return fail(r, "\"fractional\" has no fractions");
    if (!take(r, n, &first))
        return false;

    for (size_t i = 0; i < n; i++) {
        const json_t *json = json_array_get(list, i);

        if (!(by && i == 0 ? read_node(r, json, first, depth + 1)
                           : read_fraction(r, json, first + (uint32_t)i, depth + 1, &sum)))
            return false;
    }
    if (sum > INT32_MAX)
        return fail(r, "the sum of the weights is more than %d", INT32_MAX);

    r->flag->nodes[at].first = first;
    r->flag->nodes[at].n = (uint32_t)n;
    r->flag->nodes[at].by = by;
    r->flag->nodes[at].weights = (uint32_t)sum;

    return true;
}

static bool read_rule(reading_t *r, const json_t *json, uint32_t at, unsigned depth)
{
    const char *name = json_object_iter_key(json_object_iter((json_t *)json));
    const json_t *list = json_object_iter_value(json_object_iter((json_t *)json));
    size_t n = json_is_array(list) ? json_array_size(list) : 1, i;
    uint32_t first;

    if (json_object_size(json) != 1)
        return fail(r, "a rule is an object with one member, its operator");
    if (strcmp(name, "var") == 0)
        return read_var(r, list, at, depth);

    for (i = 0; i < RULES && strcmp(rules[i].name, name) != 0;)
        i++;
    if (i == RULES)
        return fail(r, "there is no operator \"%.32s\"", name);
    if (n < rules[i].least || n > rules[i].most)
        return fail(r, "\"%s\" has %zu arguments", name, n);

    r->flag->nodes[at].op = rules[i].op;

    if (rules[i].op == WEIR_FLAG_OP_FRACTIONAL) {
        return json_is_array(list) ? read_fractional(r, list, at, depth)
                                   : fail(r, "\"fractional\" has a list of fractions");
    }
    if (json_is_array(list))
        return read_arguments(r, list, at, depth);
    if (!take(r, 1, &first))
        return false;

    r->flag->nodes[at].first = first;
    r->flag->nodes[at].n = 1;

    return read_node(r, list, first, depth + 1);
}

static bool read_node(reading_t *r, const json_t *json, uint32_t at, unsigned depth)
{
    weir_flag_node_t *node = &r->flag->nodes[at];

    if (depth >= WEIR_FLAG_DEPTH_MAX)
        return fail(r, "its targeting is more than %d rules deep", WEIR_FLAG_DEPTH_MAX);

    memset(node, 0, sizeof(*node));

    if (json_is_object(json))
        return read_rule(r, json, at, depth);

    if (json_is_array(json)) {
        node->op = WEIR_FLAG_OP_LIST;
        node->value.type = WEIR_FLAG_LIST;
        node->value.list = at;
        return read_arguments(r, json, at, depth);
    }

    node->op = WEIR_FLAG_OP_VALUE;

    if (json_is_string(json)) {
        node->value.type = WEIR_FLAG_STRING;
        node->value.text = text_of(json);
    } else if (json_is_number(json)) {
        node->value.type = WEIR_FLAG_NUMBER;
        node->value.number = json_number_value(json);
    } else if (json_is_boolean(json)) {
        node->value.type = WEIR_FLAG_BOOL;
        node->value.truth = json_is_true(json);
    }

    return true;
}

/* The name of the flag is the same for all contexts. */
static bool reads_key_only(const weir_flag_t *flag)
{
    for (uint32_t i = 0; i < flag->nnodes; i++) {
        const weir_flag_node_t *node = &flag->nodes[i];

        if (node->op == WEIR_FLAG_OP_VAR &&
            !weir_str_eq(node->value.text, WEIR_STR("targetingKey")) &&
            !weir_str_eq(node->value.text, WEIR_STR("$flagd.flagKey")))
            return false;
    }

    return true;
}

/* flagd takes an object without members, or null, for no targeting. */
static bool read_targeting(reading_t *r, const json_t *json)
{
    weir_flag_t *flag = r->flag;
    weir_flag_node_t *nodes;
    uint32_t root;

    if (json == NULL || json_is_null(json) || (json_is_object(json) && json_object_size(json) == 0))
        return true;
    if (!json_is_object(json))
        return fail(r, "\"targeting\" is not an object");

    flag->nodes = malloc(WEIR_FLAG_NODES_MAX * sizeof(*flag->nodes));
    if (flag->nodes == NULL)
        return fail(r, "there is no memory");
    if (!take(r, 1, &root) || !read_node(r, json, root, 0))
        return false;

    nodes = realloc(flag->nodes, flag->nnodes * sizeof(*flag->nodes));
    if (nodes != NULL)
        flag->nodes = nodes;
    flag->targeted = true;
    flag->by_key = reads_key_only(flag);

    return true;
}

/* --- the rest ----------------------------------------------------------------------------------
 */

static bool read_variant(reading_t *r, const char *name, const json_t *json)
{
    weir_flag_t *flag = r->flag;
    weir_flag_variant_t *v = &flag->variants[flag->nvariants];

    if (*name == '\0' || strlen(name) > WEIR_FLAG_NAME_MAX)
        return fail(r, "the name of a variant has 1 to %d bytes", WEIR_FLAG_NAME_MAX);
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return fail(r, "the name of a variant has control characters");
    }

    v->name = weir_str(name);
    v->json = json;

    if (json_is_boolean(json)) {
        v->type = WEIR_FLAG_BOOL;
        v->text = json_is_true(json) ? WEIR_STR("1") : WEIR_STR("0");
    } else if (json_is_string(json)) {
        v->type = WEIR_FLAG_STRING;
        v->text = text_of(json);
        for (size_t i = 0; i < v->text.len; i++) {
            if ((unsigned char)v->text.data[i] < 0x20 || v->text.data[i] == 0x7f)
                return fail(r, "the value of \"%.32s\" has control characters", name);
        }
    } else if (json_is_number(json) || json_is_object(json)) {
        char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);

        if (text == NULL)
            return fail(r, "there is no memory");
        flag->texts[flag->nvariants] = text;
        v->type = json_is_number(json) ? WEIR_FLAG_NUMBER : WEIR_FLAG_OBJECT;
        v->text = weir_str(text);
    } else {
        return fail(r, "the value of \"%.32s\" is not a boolean, string, number or object", name);
    }

    if (flag->nvariants++ != 0 && v->type != flag->variants[0].type)
        return fail(r, "its variants are of different types");

    return true;
}

static const weir_flag_variant_t *find_variant(const weir_flag_t *flag, const char *name)
{
    for (size_t i = 0; i < flag->nvariants; i++) {
        if (weir_str_eq(flag->variants[i].name, weir_str(name)))
            return &flag->variants[i];
    }

    return NULL;
}

static bool read_flag(reading_t *r, json_t *json)
{
    weir_flag_t *flag = r->flag;
    json_t *variants = json_object_get(json, "variants"), *value;
    const json_t *state = json_object_get(json, "state");
    const json_t *standard = json_object_get(json, "defaultVariant");
    const char *name;

    if (!json_is_object(json))
        return fail(r, "it is not a JSON object");
    if (state == NULL || !json_is_string(state) ||
        (strcmp(json_string_value(state), "ENABLED") != 0 &&
         strcmp(json_string_value(state), "DISABLED") != 0))
        return fail(r, "\"state\" is \"ENABLED\" or \"DISABLED\"");
    flag->enabled = strcmp(json_string_value(state), "ENABLED") == 0;

    if (!json_is_object(variants) || json_object_size(variants) == 0 ||
        json_object_size(variants) > WEIR_FLAG_VARIANTS_MAX)
        return fail(r, "\"variants\" is an object with 1 to %d members", WEIR_FLAG_VARIANTS_MAX);
    json_object_foreach(variants, name, value)
    {
        if (!read_variant(r, name, value))
            return false;
    }

    if (standard != NULL && !json_is_null(standard)) {
        if (!json_is_string(standard) ||
            (flag->standard = find_variant(flag, json_string_value(standard))) == NULL)
            return fail(r, "\"defaultVariant\" is none of its variants");
    }

    return read_targeting(r, json_object_get(json, "targeting"));
}

bool weir_flag_is_by_key(const weir_flag_t *flag)
{
    return flag->by_key;
}

weir_flag_t *weir_flag_read(weir_str_t name, weir_str_t text, char *error, size_t size)
{
    weir_flag_t *flag;
    json_error_t where;
    reading_t r = {NULL, error, size};

    if (!weir_flag_is_name(name)) {
        snprintf(error, size, "the name of a flag has 1 to %d letters, digits, \"-\", \"_\", \".\"",
                 WEIR_FLAG_NAME_MAX);
        return NULL;
    }
    if (text.len > WEIR_FLAG_TEXT_MAX) {
        snprintf(error, size, "it has more than %d bytes", WEIR_FLAG_TEXT_MAX);
        return NULL;
    }

    r.flag = flag = calloc(1, sizeof(*flag));
    if (flag == NULL || (flag->name = strndup(name.data, name.len)) == NULL) {
        free(flag);
        snprintf(error, size, "there is no memory");
        return NULL;
    }

    flag->json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &where);
    if (flag->json == NULL)
        snprintf(error, size, "it is not JSON: %s", where.text);
    else if (read_flag(&r, flag->json))
        return flag;

    weir_flag_free(flag);

    return NULL;
}

void weir_flag_free(weir_flag_t *flag)
{
    if (flag == NULL)
        return;

    for (size_t i = 0; i < WEIR_FLAG_VARIANTS_MAX; i++)
        free(flag->texts[i]);
    free(flag->nodes);
    free(flag->name);
    json_decref(flag->json);
    free(flag);
}

weir_str_t weir_flag_name(const weir_flag_t *flag)
{
    return weir_str(flag->name);
}
