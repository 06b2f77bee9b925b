#include "shop/order_input.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct {
    weir_input_error_t *list;
    int n;
} errors_t;

static void add(errors_t *errors, const char *detail, const char *pointer, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds an error unless detail is NULL or there is no room. */
static void add(errors_t *errors, const char *detail, const char *pointer, ...)
{
    weir_input_error_t *error = &errors->list[errors->n];
    va_list ap;

    if (detail == NULL || errors->n == WEIR_INPUT_ERRORS_MAX)
        return;

    va_start(ap, pointer);
    vsnprintf(error->pointer, sizeof(error->pointer), pointer, ap);
    va_end(ap);
    error->detail = detail;
    errors->n++;
}

/* The product among those that the items before have, which `products` ends with. */
static bool is_repeated(const char *products, const char *uuid)
{
    return strstr(products, uuid) != NULL;
}

static void read_item(const json_t *item, int i, weir_order_input_t *input, errors_t *errors)
{
    size_t products_len = strlen(input->products), quantities_len = strlen(input->quantities);
    char uuid[WEIR_UUID_LEN + 1] = "";
    const char *product, *wrong_product, *wrong_quantity;
    long long quantity;

    if (!json_is_object(item)) {
        add(errors, "must be an object", "/items/%d", i);
        return;
    }

    wrong_product = weir_input_string(item, "productId", weir_uuid_check, &product);
    if (wrong_product == NULL) {
        weir_uuid_parse((weir_str_t){product, strlen(product)}, uuid);
        if (is_repeated(input->products, uuid))
            wrong_product = "is the product of an earlier item already";
    }
    add(errors, wrong_product, "/items/%d/productId", i);

    wrong_quantity = weir_input_integer(item, "quantity", 1, WEIR_QUANTITY_MAX,
                                        "must be an integer from 1 to 1000", &quantity);
    add(errors, wrong_quantity, "/items/%d/quantity", i);

    if (wrong_product != NULL || wrong_quantity != NULL)
        return;

    snprintf(input->products + products_len, sizeof(input->products) - products_len, "%s%s",
             products_len > 1 ? "," : "", uuid);
    snprintf(input->quantities + quantities_len, sizeof(input->quantities) - quantities_len,
             "%s%lld", quantities_len > 1 ? "," : "", quantity);
}

static void read_items(const json_t *items, weir_order_input_t *input, errors_t *errors)
{
    if (items == NULL) {
        add(errors, "is required", "/items");
    } else if (!json_is_array(items)) {
        add(errors, "must be an array", "/items");
    } else if (json_array_size(items) < 1 || json_array_size(items) > WEIR_ORDER_ITEMS_MAX) {
        add(errors, "must have 1 to 100 items", "/items");
    } else {
        for (size_t i = 0; i < json_array_size(items); i++)
            read_item(json_array_get(items, i), (int)i, input, errors);
    }
}

int weir_order_read(weir_str_t body, weir_order_input_t *input,
                    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size)
{
    json_t *root = weir_input_object(body, why, why_size);
    errors_t found = {errors, 0};
    const char *user, *wrong;

    if (root == NULL)
        return -1;

    strcpy(input->products, "{");
    strcpy(input->quantities, "{");

    wrong = weir_input_string(root, "userId", weir_uuid_check, &user);
    add(&found, wrong, "/userId");
    if (wrong == NULL)
        weir_uuid_parse((weir_str_t){user, strlen(user)}, input->user);
    read_items(json_object_get(root, "items"), input, &found);

    strcat(input->products, "}");
    strcat(input->quantities, "}");
    json_decref(root);

    return found.n;
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
    weir_input_error_t error = {"/items", "must have 1 to 100 items"};

    if (strcmp(outcome, "unknown_user") == 0)
        return (weir_input_error_t){"/userId", "is no user"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(outcome, known[i].outcome) == 0) {
            snprintf(error.pointer, sizeof(error.pointer), "/items/%d/%s", item, known[i].field);
            error.detail = known[i].detail;
        }
    }

    return error;
}
