/*
 * Evaluation of flags; see flag.h. Values are compared as JavaScript does, which JsonLogic is made
 * after: == converts, === does not.
 */

#include "common/flags/flag_private.h"
#include "common/flags/murmur3.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a text that "cat" makes, and of a number as text. */
#define CAT_MAX 1024

typedef struct {
    const weir_flag_t *flag;
    const weir_flag_context_t *context;
    char text[CAT_MAX]; /* what "cat" has made */
    size_t len;
} evaluation_t;

static weir_flag_value_t evaluate(evaluation_t *e, const weir_flag_node_t *node);

static weir_flag_value_t truth(bool value)
{
    return (weir_flag_value_t){.type = WEIR_FLAG_BOOL, .truth = value};
}

static const weir_flag_value_t null = {.type = WEIR_FLAG_NULL};

static weir_flag_value_t argument(evaluation_t *e, const weir_flag_node_t *node, uint32_t i)
{
    return evaluate(e, &e->flag->nodes[node->first + i]);
}

static bool is_true(const evaluation_t *e, weir_flag_value_t v)
{
    switch (v.type) {
    case WEIR_FLAG_BOOL:
        return v.truth;
    case WEIR_FLAG_NUMBER:
        return v.number != 0 && !isnan(v.number);
    case WEIR_FLAG_STRING:
        return v.text.len != 0;
    case WEIR_FLAG_LIST:
        return e->flag->nodes[v.list].n != 0;
    default:
        return false;
    }
}

/* As a number; NaN if it is none. */
static double number_of(weir_flag_value_t v)
{
    char buf[64], *end;
    double n;

    switch (v.type) {
    case WEIR_FLAG_BOOL:
        return v.truth;
    case WEIR_FLAG_NUMBER:
        return v.number;
    case WEIR_FLAG_NULL:
        return 0;
    case WEIR_FLAG_STRING:
        break;
    default:
        return NAN;
    }

    if (v.text.len == 0)
        return 0;
    if (v.text.len >= sizeof(buf) ||
        strspn(memcpy(memset(buf, 0, sizeof(buf)), v.text.data, v.text.len), "0123456789+-.eE") !=
            v.text.len)
        return NAN;
    n = strtod(buf, &end);

    return *end == '\0' ? n : NAN;
}

static bool is_same(weir_flag_value_t a, weir_flag_value_t b)
{
    if (a.type != b.type)
        return false;

    switch (a.type) {
    case WEIR_FLAG_NULL:
        return true;
    case WEIR_FLAG_BOOL:
        return a.truth == b.truth;
    case WEIR_FLAG_NUMBER:
        return a.number == b.number;
    case WEIR_FLAG_STRING:
        return weir_str_eq(a.text, b.text);
    default:
        return false;
    }
}

static bool is_equal(weir_flag_value_t a, weir_flag_value_t b)
{
    if (a.type == b.type)
        return is_same(a, b);
    if (a.type == WEIR_FLAG_NULL || b.type == WEIR_FLAG_NULL)
        return false;

    return number_of(a) == number_of(b);
}

static bool compares(weir_flag_op_t op, weir_flag_value_t a, weir_flag_value_t b)
{
    double x, y;

    if (a.type == WEIR_FLAG_STRING && b.type == WEIR_FLAG_STRING) {
        size_t len = a.text.len < b.text.len ? a.text.len : b.text.len;
        int order = len != 0 ? memcmp(a.text.data, b.text.data, len) : 0;

        x = order != 0 ? order : (double)a.text.len - (double)b.text.len;
        y = 0;
    } else {
        x = number_of(a);
        y = number_of(b);
    }

    return op == WEIR_FLAG_OP_LESS      ? x < y
           : op == WEIR_FLAG_OP_AT_MOST ? x <= y
           : op == WEIR_FLAG_OP_GREATER ? x > y
                                        : x >= y;
}

static bool contains(weir_str_t whole, weir_str_t part)
{
    for (size_t i = 0; i + part.len <= whole.len; i++) {
        if (part.len == 0 || memcmp(whole.data + i, part.data, part.len) == 0)
            return true;
    }

    return false;
}

static bool is_in(evaluation_t *e, weir_flag_value_t part, weir_flag_value_t whole)
{
    if (whole.type == WEIR_FLAG_STRING && part.type == WEIR_FLAG_STRING)
        return contains(whole.text, part.text);
    if (whole.type != WEIR_FLAG_LIST)
        return false;

    for (uint32_t i = 0; i < e->flag->nodes[whole.list].n; i++) {
        if (is_same(part, argument(e, &e->flag->nodes[whole.list], i)))
            return true;
    }

    return false;
}

static bool has_end(weir_flag_value_t text, weir_flag_value_t end, bool last)
{
    if (text.type != WEIR_FLAG_STRING || end.type != WEIR_FLAG_STRING ||
        end.text.len > text.text.len)
        return false;

    return end.text.len == 0 || memcmp(text.text.data + (last ? text.text.len - end.text.len : 0),
                                       end.text.data, end.text.len) == 0;
}

/* Texts only; a longer one, or another type, is null. */
static weir_flag_value_t cat(evaluation_t *e, const weir_flag_node_t *node)
{
    weir_flag_value_t all = {.type = WEIR_FLAG_STRING}, v[8];
    size_t begin;

    for (uint32_t i = 0; i < node->n; i++) {
        v[i] = argument(e, node, i);
        if (v[i].type != WEIR_FLAG_STRING)
            return null;
    }

    begin = e->len;
    for (uint32_t i = 0; i < node->n; i++) {
        if (v[i].text.len > CAT_MAX - e->len)
            return null;
        if (v[i].text.len != 0)
            memcpy(e->text + e->len, v[i].text.data, v[i].text.len);
        e->len += v[i].text.len;
    }
    all.text = (weir_str_t){e->text + begin, e->len - begin};

    return all;
}

static weir_flag_value_t var(evaluation_t *e, const weir_flag_node_t *node)
{
    const weir_flag_context_t *c = e->context;
    weir_flag_value_t value = null;

    if (weir_str_eq(node->value.text, WEIR_STR("targetingKey"))) {
        if (c->key.data != NULL)
            return (weir_flag_value_t){.type = WEIR_FLAG_STRING, .text = c->key};
    } else if (weir_str_eq(node->value.text, WEIR_STR("$flagd.flagKey"))) {
        return (weir_flag_value_t){.type = WEIR_FLAG_STRING, .text = weir_flag_name(e->flag)};
    } else if (weir_str_eq(node->value.text, WEIR_STR("$flagd.timestamp"))) {
        return (weir_flag_value_t){.type = WEIR_FLAG_NUMBER, .number = (double)c->time};
    } else if (c->lookup != NULL && c->lookup(c->data, node->value.text, &value)) {
        return value;
    }

    return node->n != 0 ? argument(e, node, 0) : null;
}

/*
 * As flagd: the hash, taken for a fraction of 2^32, is a place among the weights. What is hashed is
 * the name of the flag and the key, or what the rule says.
 */
static weir_flag_value_t fractional(evaluation_t *e, const weir_flag_node_t *node)
{
    weir_murmur3_t m = {0, 0, 0};
    weir_flag_value_t by = null;
    uint64_t place, end = 0;

    if (node->by)
        by = argument(e, node, 0);

    if (by.type == WEIR_FLAG_STRING) {
        weir_murmur3_add(&m, by.text);
    } else {
        if (by.type != WEIR_FLAG_NULL || e->context->key.data == NULL)
            return null;
        weir_murmur3_add(&m, weir_flag_name(e->flag));
        weir_murmur3_add(&m, e->context->key);
    }

    place = (uint64_t)weir_murmur3_end(&m) * node->weights >> 32;

    for (uint32_t i = node->by; i < node->n; i++) {
        end += e->flag->nodes[node->first + i].weight;
        if (place < end)
            return argument(e, node, i);
    }

    return null;
}

static weir_flag_value_t choose(evaluation_t *e, const weir_flag_node_t *node)
{
    uint32_t i;

    for (i = 0; i + 1 < node->n; i += 2) {
        if (is_true(e, argument(e, node, i)))
            return argument(e, node, i + 1);
    }

    return i < node->n ? argument(e, node, i) : null;
}

/* The first argument that is true ("or"), or false ("and"); else the last one. */
static weir_flag_value_t first_that(evaluation_t *e, const weir_flag_node_t *node, bool wanted)
{
    weir_flag_value_t v = null;

    for (uint32_t i = 0; i < node->n; i++) {
        v = argument(e, node, i);
        if (is_true(e, v) == wanted)
            break;
    }

    return v;
}

static weir_flag_value_t compare(evaluation_t *e, const weir_flag_node_t *node)
{
    weir_flag_value_t a = argument(e, node, 0), b = argument(e, node, 1);

    switch (node->op) {
    case WEIR_FLAG_OP_EQUAL:
        return truth(is_equal(a, b));
    case WEIR_FLAG_OP_UNEQUAL:
        return truth(!is_equal(a, b));
    case WEIR_FLAG_OP_SAME:
        return truth(is_same(a, b));
    case WEIR_FLAG_OP_OTHER:
        return truth(!is_same(a, b));
    case WEIR_FLAG_OP_IN:
        return truth(is_in(e, a, b));
    case WEIR_FLAG_OP_STARTS:
        return truth(has_end(a, b, false));
    case WEIR_FLAG_OP_ENDS:
        return truth(has_end(a, b, true));
    default:
        return truth(compares(node->op, a, b));
    }
}

static weir_flag_value_t evaluate(evaluation_t *e, const weir_flag_node_t *node)
{
    switch (node->op) {
    case WEIR_FLAG_OP_VALUE:
    case WEIR_FLAG_OP_LIST:
        return node->value;
    case WEIR_FLAG_OP_VAR:
        return var(e, node);
    case WEIR_FLAG_OP_IF:
        return choose(e, node);
    case WEIR_FLAG_OP_AND:
        return first_that(e, node, false);
    case WEIR_FLAG_OP_OR:
        return first_that(e, node, true);
    case WEIR_FLAG_OP_NOT:
        return truth(!is_true(e, argument(e, node, 0)));
    case WEIR_FLAG_OP_BOOL:
        return truth(is_true(e, argument(e, node, 0)));
    case WEIR_FLAG_OP_CAT:
        return cat(e, node);
    case WEIR_FLAG_OP_FRACTIONAL:
        return fractional(e, node);
    default:
        return compare(e, node);
    }
}

const weir_flag_variant_t *weir_flag_evaluate(const weir_flag_t *flag,
                                              const weir_flag_context_t *context,
                                              weir_flag_reason_t *reason)
{
    evaluation_t e;
    weir_flag_value_t chosen;
    weir_str_t name;

    if (!flag->enabled) {
        *reason = WEIR_FLAG_DISABLED;
        return NULL;
    }
    if (!flag->targeted) {
        *reason = flag->standard != NULL ? WEIR_FLAG_STATIC : WEIR_FLAG_DEFAULTED;
        return flag->standard;
    }

    e.flag = flag;
    e.context = context;
    e.len = 0;
    chosen = evaluate(&e, &flag->nodes[0]);

    if (chosen.type == WEIR_FLAG_NULL) {
        *reason = WEIR_FLAG_DEFAULTED;
        return flag->standard;
    }

    name = chosen.type == WEIR_FLAG_STRING ? chosen.text
           : chosen.type == WEIR_FLAG_BOOL ? (chosen.truth ? WEIR_STR("true") : WEIR_STR("false"))
                                           : WEIR_STR("");

    for (size_t i = 0; i < flag->nvariants; i++) {
        if (weir_str_eq(flag->variants[i].name, name)) {
            *reason = WEIR_FLAG_MATCHED;
            return &flag->variants[i];
        }
    }

    *reason = WEIR_FLAG_FAILED;

    return NULL;
}

const char *weir_flag_reason_name(weir_flag_reason_t reason)
{
    static const char *const names[] = {"STATIC", "TARGETING_MATCH", "DEFAULT", "DISABLED",
                                        "ERROR"};

    return names[reason];
}
