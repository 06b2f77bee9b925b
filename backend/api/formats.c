#include "api/formats.h"

#include "common/ids/uuid7.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/* --- e-mail addresses ----------------------------------------------------------------- */

/* RFC 5322 section 3.2.3: the characters of a dot-atom except the dot. */
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

const char *weir_format_email(weir_str_t s)
{
    const char *at;
    weir_str_t local, domain;

    assert(s.data != NULL || s.len == 0);
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

/* --- text ------------------------------------------------------------------------------- */

/* Reads one character of valid UTF-8 at s[*i], and moves *i after it. */
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
 * Characters that are not visible alone: Unicode 15's White_Space and Default_Ignorable_Code_Point,
 * the blank of Braille, combining marks, and code points without a character.
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

size_t weir_format_characters(weir_str_t s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; n++)
        next_character(s, &i);

    return n;
}

const char *weir_format_line(weir_str_t s)
{
    size_t others = 0, i = 0; /* than spaces */
    bool visible = false;

    assert(s.data != NULL || s.len == 0);
    while (i < s.len) {
        uint32_t c = next_character(s, &i);

        if (is_control(c))
            return "must not contain control characters";
        others += c != ' ';
        visible = visible || !is_invisible(c);
    }

    if (!visible)
        return others == 0 ? "must not be empty" : "must have a visible character";

    return NULL;
}

/* --- standard identifiers ----------------------------------------------------------------- */

const char *weir_format_uuid(weir_str_t s)
{
    char uuid[WEIR_UUID_LEN + 1];

    return weir_uuid_parse(s, uuid) == 0 ? NULL : "must be a UUID";
}

/* ISO 4217:2015, list one, without the codes of metals, funds, units of account and tests (X…). */
static const char currencies[] =
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN "
    "BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
    "GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF "
    "KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN "
    "MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD "
    "SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH "
    "UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG ";

const char *weir_format_currency(weir_str_t s)
{
    for (const char *p = currencies; s.len == 3 && *p != '\0'; p += 4) {
        if (memcmp(p, s.data, 3) == 0)
            return NULL;
    }

    return "must be a currency code of ISO 4217, such as EUR";
}

/* --- dates and times ---------------------------------------------------------------------- */

/*
 * Compares s with a pattern, in which a 9 matches any digit and another character itself. Parses
 * the numbers between other characters, and moves s after the matched text.
 */
static bool read_pattern(weir_str_t *s, const char *pattern, int *numbers)
{
    size_t len = strlen(pattern);

    if (s->len < len)
        return false;
    *numbers = 0;
    for (size_t i = 0; i < len; i++) {
        char c = s->data[i];

        if (pattern[i] == '9' && c >= '0' && c <= '9')
            *numbers = *numbers * 10 + (c - '0');
        else if (pattern[i] != '9' && c == pattern[i])
            *++numbers = 0;
        else
            return false;
    }
    *s = (weir_str_t){s->data + len, s->len - len};

    return true;
}

static bool read_date(weir_str_t *s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int n[3];
    bool leap;

    if (!read_pattern(s, "9999-99-99", n))
        return false;
    leap = (n[0] % 4 == 0 && n[0] % 100 != 0) || n[0] % 400 == 0;

    return n[0] > 0 && n[1] >= 1 && n[1] <= 12 && n[2] >= 1 &&
           n[2] <= days[n[1] - 1] + (leap && n[1] == 2);
}

/* Z, or hours and minutes that PostgreSQL accepts. */
static bool read_offset(weir_str_t *s)
{
    int n[3]; /* not used, hours, minutes */

    if (s->len == 1 && (s->data[0] == 'Z' || s->data[0] == 'z')) {
        s->len = 0;
        return true;
    }

    return (read_pattern(s, "+99:99", n) || read_pattern(s, "-99:99", n)) && n[1] <= 15 &&
           n[2] <= 59;
}

const char *weir_format_date(weir_str_t s)
{
    return read_date(&s) && s.len == 0 ? NULL : "must be a date of RFC 3339, such as 2026-01-31";
}

const char *weir_format_time(weir_str_t s)
{
    static const char wrong[] = "must be a time of RFC 3339, such as 2026-01-31T12:00:00Z";
    int n[3];
    size_t digits;

    if (!read_date(&s) || s.len == 0 || (s.data[0] != 'T' && s.data[0] != 't'))
        return wrong;
    s = (weir_str_t){s.data + 1, s.len - 1};
    /* A leap second, :60, is refused: PostgreSQL may turn it into another time. */
    if (!read_pattern(&s, "99:99:99", n) || n[0] > 23 || n[1] > 59 || n[2] > 59)
        return wrong;

    if (s.len > 0 && s.data[0] == '.') {
        for (digits = 1; digits < s.len && s.data[digits] >= '0' && s.data[digits] <= '9';)
            digits++;
        if (digits < 2 || digits > 10)
            return wrong;
        s = (weir_str_t){s.data + digits, s.len - digits};
    }

    return read_offset(&s) && s.len == 0 ? NULL : wrong;
}
