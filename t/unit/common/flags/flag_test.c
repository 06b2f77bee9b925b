// needs: common/flags/flag.c common/flags/flag_evaluate.c common/flags/murmur3.c
/* Definitions of flags, and their evaluation: as flagd, so that all answer the same. */
#include "common/flags/flag.h"
#include "common/flags/murmur3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Attributes as "name=value name=value"; a value of digits is a number. */
static bool lookup(void *data, weir_str_t name, weir_flag_value_t *value)
{
    for (const char *p = data; *p != '\0'; p += strcspn(p, " "), p += *p == ' ') {
        size_t len = strcspn(p, "= ");
        const char *text = p + len + 1;

        if (!weir_str_eq((weir_str_t){p, len}, name))
            continue;
        value->text = (weir_str_t){text, strcspn(text, " ")};
        value->type = WEIR_FLAG_STRING;
        if (value->text.len != 0 && strspn(text, "0123456789") >= value->text.len) {
            value->type = WEIR_FLAG_NUMBER;
            value->number = atof(text);
        }
        return true;
    }

    return false;
}

static weir_flag_t *read_flag(const char *json)
{
    char error[128];
    weir_flag_t *flag = weir_flag_read(WEIR_STR("f"), weir_str(json), error, sizeof(error));

    if (flag == NULL)
        fail_msg("%s: %s", json, error);

    return flag;
}

static const char *name_of(const weir_flag_variant_t *variant)
{
    static char text[WEIR_FLAG_NAME_MAX + 1];

    if (variant == NULL)
        return "-";
    snprintf(text, sizeof(text), "%.*s", (int)variant->name.len, variant->name.data);

    return text;
}

/* The variant of a flag with the variants a, b, c, true, whose default is c. */
static const char *chosen(const char *targeting, const char *attributes)
{
    char json[2048];
    weir_flag_context_t context = {WEIR_STR("k"), 1700000000, lookup, (void *)attributes};
    weir_flag_reason_t reason;
    const char *name;
    weir_flag_t *flag;

    snprintf(
        json, sizeof(json),
        "{\"state\":\"ENABLED\",\"defaultVariant\":\"c\",\"variants\":{\"a\":\"1\",\"b\":\"2\","
        "\"c\":\"3\",\"true\":\"4\"},\"targeting\":%s}",
        targeting);
    flag = read_flag(json);
    name = name_of(weir_flag_evaluate(flag, &context, &reason));
    weir_flag_free(flag);

    return name;
}

static uint32_t hash(const char *text)
{
    weir_murmur3_t m = {0, 0, 0};

    weir_murmur3_add(&m, weir_str(text));

    return weir_murmur3_end(&m);
}

static void hashes_are_those_of_murmur3(void **state)
{
    const char *text = "The quick brown fox jumps over the lazy dog";
    weir_murmur3_t m = {0, 0, 0};

    (void)state;
    assert_int_equal(hash(""), 0);
    assert_int_equal(hash("a"), 0x3c2569b2);
    assert_int_equal(hash("hello"), 0x248bfa47);
    assert_int_equal(hash("hello, world"), 0x149bbb7f);
    assert_int_equal(hash(text), 0x2e4ff723);

    for (const char *p = text; *p != '\0'; p++)
        weir_murmur3_add(&m, (weir_str_t){p, 1});
    assert_int_equal(weir_murmur3_end(&m), hash(text));
}

static void rules_choose(void **state)
{
    static const struct {
        const char *targeting, *attributes, *variant;
    } rows[] = {
        {"{\"if\":[{\"==\":[{\"var\":\"version\"},\"2\"]},\"a\",\"b\"]}", "version=2", "a"},
        {"{\"if\":[{\"==\":[{\"var\":\"version\"},2]},\"a\",\"b\"]}", "version=2", "a"},
        {"{\"if\":[{\"===\":[{\"var\":\"version\"},\"2\"]},\"a\",\"b\"]}", "version=2", "b"},
        {"{\"if\":[{\">=\":[{\"var\":\"version\"},2]},\"a\",\"b\"]}", "version=10", "a"},
        {"{\"if\":[{\"<\":[{\"var\":\"version\"},2]},\"a\",\"b\"]}", "version=10", "b"},
        {"{\"if\":[{\"!=\":[{\"var\":\"x\"},\"y\"]},\"a\"]}", "x=y", "c"},
        {"{\"if\":[false,\"a\",true,\"b\",\"c\"]}", "", "b"},
        {"{\"if\":[{\"in\":[{\"var\":\"targetingKey\"},[\"j\",\"k\"]]},\"a\",\"b\"]}", "", "a"},
        {"{\"if\":[{\"in\":[{\"var\":\"x\"},[\"j\",\"k\"]]},\"a\",\"b\"]}", "x=z", "b"},
        {"{\"if\":[{\"in\":[\"@b.\",{\"var\":\"mail\"}]},\"a\",\"b\"]}", "mail=x@b.org", "a"},
        {"{\"if\":[{\"ends_with\":[{\"var\":\"mail\"},\".org\"]},\"a\",\"b\"]}", "mail=x@b.org",
         "a"},
        {"{\"if\":[{\"starts_with\":[{\"var\":\"mail\"},\"y\"]},\"a\",\"b\"]}", "mail=x@b.org",
         "b"},
        {"{\"if\":[{\"and\":[{\"var\":\"x\"},{\"!\":[{\"var\":\"y\"}]}]},\"a\",\"b\"]}", "x=1 z=1",
         "a"},
        {"{\"if\":[{\"or\":[{\"var\":\"x\"},{\"!!\":{\"var\":\"y\"}}]},\"a\",\"b\"]}", "z=1", "b"},
        {"{\"var\":[\"x\",\"b\"]}", "", "b"},
        {"{\"var\":\"x\"}", "x=a", "a"},
        {"{\"var\":\"x\"}", "x=no-such", "-"},
        {"{\"var\":\"x\"}", "", "c"},
        {"{\"===\":[1,1]}", "", "true"},
        {"{\"===\":[1,2]}", "", "-"},
        {"{\"if\":[{\"==\":[{\"var\":\"$flagd.flagKey\"},\"f\"]},\"a\",\"b\"]}", "", "a"},
        {"{\"if\":[{\">\":[{\"var\":\"$flagd.timestamp\"},1600000000]},\"a\",\"b\"]}", "", "a"},
        {"{}", "", "c"},
        {"{\"fractional\":[[\"a\",0],[\"b\",1]]}", "", "b"},
        {"{\"fractional\":[[\"b\"]]}", "", "b"},
        {"{\"fractional\":[[\"a\",0],[\"b\",0]]}", "", "c"},
        {"{\"fractional\":[{\"cat\":[{\"var\":\"x\"},\"-\",{\"var\":\"y\"}]},[\"a\",1]]}",
         "x=p y=q", "a"},
        {"{\"fractional\":[{\"==\":[1,1]},[\"a\",1]]}", "", "c"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *variant = chosen(rows[i].targeting, rows[i].attributes);

        if (strcmp(variant, rows[i].variant) != 0)
            fail_msg("%s with %s: %s", rows[i].targeting, rows[i].attributes, variant);
    }
}

static void a_tenth_of_the_keys_is_a_tenth(void **state)
{
    weir_flag_t *flag = read_flag("{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},"
                                  "\"defaultVariant\":\"off\",\"targeting\":{\"fractional\":"
                                  "[[\"on\",10],[\"off\",90]]}}");
    weir_flag_context_t context = {{NULL, 0}, 0, NULL, NULL};
    weir_flag_reason_t reason;
    unsigned on = 0;
    char key[32];

    (void)state;
    assert_string_equal(name_of(weir_flag_evaluate(flag, &context, &reason)), "off");
    assert_int_equal(reason, WEIR_FLAG_DEFAULTED);

    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "user-%u", i);
        context.key = weir_str(key);
        on += weir_flag_evaluate(flag, &context, &reason)->text.data[0] == '1';
        assert_int_equal(reason, WEIR_FLAG_MATCHED);
    }
    assert_in_range(on, 9500, 10500);
    weir_flag_free(flag);
}

static void reasons_are_told_apart(void **state)
{
    weir_flag_context_t context = {WEIR_STR("k"), 0, NULL, NULL};
    weir_flag_reason_t reason;
    weir_flag_t *flag;

    (void)state;
    flag = read_flag("{\"state\":\"DISABLED\",\"variants\":{\"on\":1},\"defaultVariant\":\"on\"}");
    assert_null(weir_flag_evaluate(flag, &context, &reason));
    assert_int_equal(reason, WEIR_FLAG_DISABLED);
    weir_flag_free(flag);

    flag = read_flag(
        "{\"state\":\"ENABLED\",\"variants\":{\"on\":{\"x\":[1]}},\"defaultVariant\":\"on\"}");
    assert_true(
        weir_str_eq(weir_flag_evaluate(flag, &context, &reason)->text, WEIR_STR("{\"x\":[1]}")));
    assert_int_equal(reason, WEIR_FLAG_STATIC);
    weir_flag_free(flag);

    flag = read_flag("{\"state\":\"ENABLED\",\"variants\":{\"on\":1.5}}");
    assert_null(weir_flag_evaluate(flag, &context, &reason));
    assert_int_equal(reason, WEIR_FLAG_DEFAULTED);
    weir_flag_free(flag);
}

static void what_is_no_flag_is_refused(void **state)
{
    static const char *const targetings[] = {
        "1",
        "[]",
        "{\"if\":[]}",
        "{\"a\":1,\"b\":2}",
        "{\"sem_ver\":[\"1\",\"=\",\"1\"]}",
        "{\"map\":[1,2]}",
        "{\"==\":[1]}",
        "{\"var\":\"\"}",
        "{\"var\":1}",
        "{\"fractional\":\"a\"}",
        "{\"fractional\":[]}",
        "{\"fractional\":[\"x\"]}",
        "{\"fractional\":[[]]}",
        "{\"fractional\":[[\"a\",-1]]}",
        "{\"fractional\":[[\"a\",1.5]]}",
        "{\"fractional\":[[\"a\",\"1\"]]}",
        "{\"fractional\":[[\"a\",2147483648]]}",
        "{\"fractional\":[[\"a\",2147483647],[\"b\",1]]}",
        "{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!\":{\"!"
        "\":"
        "{\"!\":{\"!\":{\"!\":1}}}}}}}}}}}}}}}}",
    };
    static const char *const flags[] = {
        "",
        "[]",
        "{}",
        "{\"state\":\"on\",\"variants\":{\"a\":1}}",
        "{\"state\":\"ENABLED\"}",
        "{\"state\":\"ENABLED\",\"variants\":{}}",
        "{\"state\":\"ENABLED\",\"variants\":{\"a\":null}}",
        "{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":true}}",
        "{\"state\":\"ENABLED\",\"variants\":{\"a\":\"x\\ny\"}}",
        "{\"state\":\"ENABLED\",\"variants\":{\"a\\n\":\"x\"}}",
        "{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"defaultVariant\":\"b\"}",
        "{\"state\":\"ENABLED\",\"state\":\"ENABLED\",\"variants\":{\"a\":1}}",
    };
    char json[1024], error[128];

    (void)state;
    for (size_t i = 0; i < sizeof(targetings) / sizeof(targetings[0]); i++) {
        snprintf(json, sizeof(json),
                 "{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"targeting\":%s}", targetings[i]);
        if (weir_flag_read(WEIR_STR("f"), weir_str(json), error, sizeof(error)) != NULL)
            fail_msg("%s", json);
        assert_true(error[0] != '\0');
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (weir_flag_read(WEIR_STR("f"), weir_str(flags[i]), error, sizeof(error)) != NULL)
            fail_msg("%s", flags[i]);
    }
    assert_null(weir_flag_read(WEIR_STR("a b"), WEIR_STR("{}"), error, sizeof(error)));
    assert_null(weir_flag_read(WEIR_STR(""), WEIR_STR("{}"), error, sizeof(error)));
}

/* A wrong "true" would give one client the variant of another. */
static void what_depends_on_the_key_alone_is_told(void **state)
{
    static const struct {
        const char *targeting;
        bool by_key;
    } cases[] = {
        {"{\"fractional\":[[\"a\",50],[\"b\",50]]}", true},
        {"{\"fractional\":[{\"cat\":[{\"var\":\"$flagd.flagKey\"},{\"var\":\"targetingKey\"}]},"
         "[\"a\",1],[\"b\",1]]}",
         true},
        {"{\"if\":[{\"in\":[{\"var\":\"targetingKey\"},[\"x\",\"y\"]]},\"a\",\"b\"]}", true},
        {"{\"if\":[{\"in\":[\"x\",[\"y\",{\"var\":\"ip\"}]]},\"a\",\"b\"]}", false},
        {"{\"if\":[{\"==\":[{\"var\":\"version\"},\"1\"]},\"a\",\"b\"]}", false},
        {"{\"fractional\":[{\"var\":\"ip\"},[\"a\",1],[\"b\",1]]}", false},
        {"{\"fractional\":[[{\"var\":\"ip\"},1],[\"b\",1]]}", false},
        {"{\"if\":[{\">\":[{\"var\":\"$flagd.timestamp\"},1]},\"a\",\"b\"]}", false},
        {"{\"if\":[{\"var\":[\"targetingKey\",{\"var\":\"x\"}]},\"a\",\"b\"]}", false},
    };
    char json[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_flag_t *flag;

        snprintf(json, sizeof(json),
                 "{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":2},\"targeting\":%s}",
                 cases[i].targeting);
        flag = read_flag(json);
        if (weir_flag_is_by_key(flag) != cases[i].by_key)
            fail_msg("%s", json);
        weir_flag_free(flag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_murmur3),
        cmocka_unit_test(rules_choose),
        cmocka_unit_test(a_tenth_of_the_keys_is_a_tenth),
        cmocka_unit_test(reasons_are_told_apart),
        cmocka_unit_test(what_is_no_flag_is_refused),
        cmocka_unit_test(what_depends_on_the_key_alone_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
