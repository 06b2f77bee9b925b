/* Flags, shared by flag.c (definitions) and flag_evaluate.c. */
#ifndef WEIR_FLAG_PRIVATE_H
#define WEIR_FLAG_PRIVATE_H

#include "common/flags/flag.h"

typedef enum {
    WEIR_FLAG_OP_VALUE,
    WEIR_FLAG_OP_LIST,
    WEIR_FLAG_OP_VAR,
    WEIR_FLAG_OP_IF,
    WEIR_FLAG_OP_EQUAL,
    WEIR_FLAG_OP_SAME,
    WEIR_FLAG_OP_UNEQUAL,
    WEIR_FLAG_OP_OTHER,
    WEIR_FLAG_OP_LESS,
    WEIR_FLAG_OP_AT_MOST,
    WEIR_FLAG_OP_GREATER,
    WEIR_FLAG_OP_AT_LEAST,
    WEIR_FLAG_OP_AND,
    WEIR_FLAG_OP_OR,
    WEIR_FLAG_OP_NOT,
    WEIR_FLAG_OP_BOOL,
    WEIR_FLAG_OP_IN,
    WEIR_FLAG_OP_STARTS,
    WEIR_FLAG_OP_ENDS,
    WEIR_FLAG_OP_CAT,
    WEIR_FLAG_OP_FRACTIONAL
} weir_flag_op_t;

/* A rule with its arguments: nodes[first] to nodes[first + n - 1]. */
typedef struct {
    weir_flag_op_t op;
    uint32_t first;
    uint32_t n;
    uint32_t weight;         /* of a fraction, which is an argument of a fractional rule */
    uint32_t weights;        /* sum of a fractional rule */
    bool by;                 /* its first argument is what is hashed */
    weir_flag_value_t value; /* and the name of a var */
} weir_flag_node_t;

struct weir_flag_s {
    json_t *json; /* texts of nodes and variants are in it */
    char *name;
    char *texts[WEIR_FLAG_VARIANTS_MAX]; /* of objects and numbers; else NULL */
    weir_flag_variant_t variants[WEIR_FLAG_VARIANTS_MAX];
    size_t nvariants;
    const weir_flag_variant_t *standard; /* the default variant; NULL: none */
    bool enabled;
    bool targeted;
    bool by_key;             /* its targeting reads nothing of the context but the key */
    weir_flag_node_t *nodes; /* the first is the root */
    uint32_t nnodes;
};

#endif
