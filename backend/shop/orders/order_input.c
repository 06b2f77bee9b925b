#include "shop/orders/order_input.h"

#include <stdio.h>

static const weir_field_t item_fields[] = {
    {"productId", WEIR_UUID, .since = 1},
    {"quantity", WEIR_INTEGER, .since = 1, .min = 1, .max = WEIR_QUANTITY_MAX},
};
static const weir_resource_t item_body = WEIR_RESOURCE("NewOrderItem", item_fields);

static const weir_field_t fields[] = {
    {"userId", WEIR_UUID, .since = 1},
    {"items", WEIR_LIST, .since = 1, .of = &item_body, .min = 1, .max = WEIR_ORDER_ITEMS_MAX},
};
const weir_resource_t weir_order_body = WEIR_RESOURCE("NewOrder", fields);

/* A member that was checked to be a UUID, in lower case. */
static void read_uuid(const json_t *object, const char *name, char uuid[WEIR_UUID_LEN + 1])
{
    const json_t *value = json_object_get(object, name);

    (void)weir_uuid_parse((weir_str_t){json_string_value(value), json_string_length(value)}, uuid);
}

/* Adds the item to both arrays. Returns false when an earlier item has the same product. */
static bool add_item(const json_t *item, weir_order_input_t *input)
{
    size_t products_len = strlen(input->products), quantities_len = strlen(input->quantities);
    char uuid[WEIR_UUID_LEN + 1];

    read_uuid(item, "productId", uuid);
    if (strstr(input->products, uuid) != NULL)
        return false;

    snprintf(input->products + products_len, sizeof(input->products) - products_len, "%s%s",
             products_len > 1 ? "," : "", uuid);
    snprintf(input->quantities + quantities_len, sizeof(input->quantities) - quantities_len,
             "%s%" JSON_INTEGER_FORMAT, quantities_len > 1 ? "," : "",
             json_integer_value(json_object_get(item, "quantity")));

    return true;
}

int weir_order_read(weir_str_t body, int version, weir_order_input_t *input,
                    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size)
{
    const json_t *items;
    json_t *root;
    int n = weir_input_read(body, &weir_order_body, version, &root, errors, why, why_size);

    if (n != 0)
        return n;

    strcpy(input->products, "{");
    strcpy(input->quantities, "{");
    read_uuid(root, "userId", input->user);
    items = json_object_get(root, "items");
    for (size_t i = 0; i < json_array_size(items) && n < WEIR_INPUT_ERRORS_MAX; i++) {
        if (!add_item(json_array_get(items, i), input))
            errors[n++] = weir_order_outcome_error("repeated_product", (int)i);
    }
    strcat(input->products, "}");
    strcat(input->quantities, "}");
    json_decref(root);

    return n;
}

weir_input_error_t weir_order_outcome_error(const char *outcome, int item)
{
    static const struct {
        const char *outcome, *field, *detail;
    } known[] = {
        {"unknown_product", "productId", "is no product"},
        {"bad_quantity", "quantity", "must be an integer from 1 to 1000"},
        {"repeated_product", "productId", "is the product of an earlier item already"},
        {"other_currency", "productId",
         "must have a price in the currency of the first item's; an order has one currency"},
    };
    char pointer[64];

    if (strcmp(outcome, "unknown_user") == 0)
        return weir_input_error("/userId", "is no user");

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(outcome, known[i].outcome) == 0) {
            snprintf(pointer, sizeof(pointer), "/items/%d/%s", item, known[i].field);
            return weir_input_error(pointer, known[i].detail);
        }
    }

    return weir_input_error("/items", "must have 1 to 100 items");
}
