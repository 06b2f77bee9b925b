#include "shop/signup_input.h"

#include <stdbool.h>
#include <stdint.h>

/* RFC 5322 section 3.2.3: what a dot-atom is made of, without the dot. */
static bool is_atext(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_ldh(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* Parts with dots between them, each of the given characters and 1 to 63 bytes long. */
static bool is_dotted(weir_str_t s, bool (*allowed)(unsigned char), int min_parts)
{
    size_t part = 0;
    int parts = 1;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];

        if (c == '.' && part > 0) {
            part = 0;
            parts++;
        } else if (c == '.' || !allowed(c)) {
            return false;
        } else {
            part++;
        }
    }

    return part > 0 && parts >= min_parts;
}

static bool is_domain(weir_str_t s)
{
    size_t start = 0;

    if (!is_dotted(s, is_ldh, 2))
        return false;

    /* RFC 1035 section 2.3.1: a label has at most 63 bytes, no dash at its ends */
    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && s.data[i] != '.')
            continue;
        if (i - start > 63 || s.data[start] == '-' || s.data[i - 1] == '-')
            return false;
        start = i + 1;
    }

    return true;
}

const char *weir_email_check(weir_str_t s)
{
    const char *at;
    weir_str_t local, domain;

    if (s.len == 0)
        return "must not be empty";
    if (s.len > WEIR_EMAIL_MAX)
        return "must have at most 254 bytes";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];

        if (c >= 0x80)
            return "must be ASCII (an internationalised domain in its xn-- form)";
        if (c <= ' ' || c == 0x7f)
            return "must not contain blanks or control characters";
    }

    at = memrchr(s.data, '@', s.len);
    if (at == NULL)
        return "must be an address of the form name@example.com";

    local = (weir_str_t){s.data, (size_t)(at - s.data)};
    domain = (weir_str_t){at + 1, s.len - local.len - 1};
    if (local.len > 64)
        return "must have at most 64 bytes before the @"; /* RFC 5321 section 4.5.3.1.1 */
    if (!is_dotted(local, is_atext, 1) || !is_domain(domain))
        return "must be an address of the form name@example.com";

    return NULL;
}

/* Reads one character of valid UTF-8 at s[*i], and goes behind it. */
static uint32_t next_character(weir_str_t s, size_t *i)
{
    unsigned char first = (unsigned char)s.data[(*i)++];
    uint32_t c = first < 0x80   ? first
                 : first < 0xe0 ? first & 0x1fu
                 : first < 0xf0 ? first & 0x0fu
                                : first & 0x07u;

    while (*i < s.len && ((unsigned char)s.data[*i] & 0xc0) == 0x80)
        c = c << 6 | ((unsigned char)s.data[(*i)++] & 0x3fu);

    return c;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

/*
 * Characters that show nothing by themselves: Unicode 15's White_Space and
 * Default_Ignorable_Code_Point, the blank of Braille, combining marks, and what is no character.
 */
static bool is_invisible(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x20, 0x20},     {0xa0, 0xa0},       {0xad, 0xad},       {0x300, 0x36f},
        {0x61c, 0x61c},   {0x115f, 0x1160},   {0x1680, 0x1680},   {0x17b4, 0x17b5},
        {0x180b, 0x180f}, {0x1ab0, 0x1aff},   {0x1dc0, 0x1dff},   {0x2000, 0x200f},
        {0x2028, 0x202f}, {0x205f, 0x206f},   {0x20d0, 0x20ff},   {0x2800, 0x2800},
        {0x3000, 0x3000}, {0x3164, 0x3164},   {0xe000, 0xf8ff},   {0xfe00, 0xfe0f},
        {0xfe20, 0xfe2f}, {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
        {0xfffe, 0xffff}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    }

    return false;
}

const char *weir_display_name_check(weir_str_t s)
{
    size_t characters = 0, spaces = 0, i = 0;
    bool visible = false;

    if (s.len == 0)
        return "must not be empty";
    while (i < s.len) {
        uint32_t c = next_character(s, &i);

        if (is_control(c))
            return "must not contain control characters";
        characters++;
        spaces += c == ' ';
        visible = visible || !is_invisible(c);
    }

    if (!visible)
        return characters == spaces ? "must not be empty" : "must have a visible character";
    if (characters > WEIR_DISPLAY_NAME_MAX)
        return "must have at most 100 characters";

    return NULL;
}

int weir_signup_read(weir_str_t body, weir_signup_input_t *input,
                     weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size)
{
    const char *wrong;
    int n = 0;

    input->root = weir_input_object(body, why, why_size);
    if (input->root == NULL)
        return -1;

    wrong = weir_input_string(input->root, "email", weir_email_check, &input->email);
    if (wrong != NULL)
        errors[n++] = (weir_input_error_t){"/email", wrong};

    wrong = weir_input_string(input->root, "displayName", weir_display_name_check,
                              &input->display_name);
    if (wrong != NULL)
        errors[n++] = (weir_input_error_t){"/displayName", wrong};

    if (n > 0)
        json_decref(input->root);

    return n;
}
