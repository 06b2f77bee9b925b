#include "outbound/mail.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_LEN 76

bool weir_mail_is_address(const char *s)
{
    const char *at = strchr(s, '@');

    if (at == NULL || at == s || at[1] == '\0' || strchr(at + 1, '@') != NULL || strlen(s) > 254)
        return false;
    for (; *s != '\0'; s++) {
        if (*s <= ' ' || *s > '~' || strchr("<>()[],;:\\\"", *s) != NULL)
            return false;
    }
    return true;
}

bool weir_mail_split(const char *mailbox, char **name, char **address)
{
    const char *open = strrchr(mailbox, '<'), *start = mailbox, *end;
    size_t len = strlen(mailbox);

    assert(name != NULL && address != NULL);
    *name = *address = NULL;
    if (open == NULL) {
        *address = weir_alloc_bytes(mailbox, len);
    } else {
        if (mailbox[len - 1] != '>')
            return false;
        *address = weir_alloc_bytes(open + 1, len - (size_t)(open - mailbox) - 2);
        while (*start == ' ')
            start++;
        for (end = open; end > start && end[-1] == ' '; end--)
            ;
        if (end - start >= 2 && *start == '"' && end[-1] == '"') {
            start++;
            end--;
        }
        if (end > start)
            *name = weir_alloc_bytes(start, (size_t)(end - start));
    }
    if (weir_mail_is_address(*address))
        return true;
    free(*name);
    free(*address);
    *name = *address = NULL;
    return false;
}

/* --- output --------------------------------------------------------------------------- */

typedef struct {
    char *text;
    size_t len, cap;
    size_t column; /* characters in this line */
} out_t;

static void put_char(out_t *o, char c)
{
    assert(o->len <= o->cap);
    if (o->len + 2 > o->cap) {
        o->cap = o->cap > 0 ? o->cap * 2 : 1024;
        o->text = weir_alloc_resize(o->text, o->cap, 1);
    }
    o->text[o->len++] = c;
    o->text[o->len] = '\0';
    o->column = c == '\n' ? 0 : o->column + 1;
}

static void put(out_t *o, const char *s)
{
    for (; *s != '\0'; s++)
        put_char(o, *s);
}

/* Folds before a word that would make the line too long (RFC 5322 section 2.2.3). */
static void fold_for(out_t *o, size_t word)
{
    if (o->column + 1 + word > LINE_MAX_LEN && o->column > 1)
        put(o, "\r\n ");
    else if (o->column > 0)
        put_char(o, ' ');
}

static bool is_plain(const char *s)
{
    size_t word = 0;

    if (strstr(s, "=?") != NULL) /* would look like an encoded-word */
        return false;
    for (; *s != '\0'; s++) {
        word = *s == ' ' ? 0 : word + 1;
        if (*s < ' ' || *s > '~' || word > 60)
            return false;
    }
    return true;
}

static size_t character_length(const unsigned char *s)
{
    size_t n = *s < 0x80 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4, i = 1;

    while (i < n && (s[i] & 0xc0) == 0x80)
        i++;
    return i;
}

static void base64(out_t *o, const unsigned char *s, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        unsigned n = (unsigned)s[i] << 16 | (i + 1 < len ? (unsigned)s[i + 1] << 8 : 0) |
                     (i + 2 < len ? s[i + 2] : 0);

        put_char(o, digits[n >> 18]);
        put_char(o, digits[n >> 12 & 63]);
        put_char(o, i + 1 < len ? digits[n >> 6 & 63] : '=');
        put_char(o, i + 2 < len ? digits[n & 63] : '=');
    }
}

/* Encoded-words (RFC 2047) of at most 45 bytes; none splits a character. */
static void encoded_words(out_t *o, const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    while (*p != '\0') {
        unsigned char chunk[48];
        size_t len = 0, n;

        while (*p != '\0' && len + (n = character_length(p)) <= 45) {
            memcpy(chunk + len, p, n);
            if (n == 1 && (chunk[len] < ' ' || chunk[len] == 0x7f))
                chunk[len] = ' ';
            len += n;
            p += n;
        }
        fold_for(o, 12 + (len + 2) / 3 * 4);
        put(o, "=?UTF-8?B?");
        base64(o, chunk, len);
        put(o, "?=");
    }
}

/* Unstructured text, as in Subject. */
static void unstructured(out_t *o, const char *s)
{
    if (!is_plain(s)) {
        encoded_words(o, s);
        return;
    }
    while (*s != '\0') {
        size_t word = strcspn(s, " ");

        if (word > 0)
            fold_for(o, word);
        for (size_t i = 0; i < word; i++)
            put_char(o, s[i]);
        s += word;
        while (*s == ' ')
            s++;
    }
}

/* name <address> (RFC 5322 section 3.4). */
static void mailbox(out_t *o, const char *name, const char *address)
{
    if (name != NULL && *name != '\0' && is_plain(name) && strlen(name) <= 60) {
        put(o, " \"");
        for (; *name != '\0'; name++) {
            if (*name == '"' || *name == '\\')
                put_char(o, '\\');
            put_char(o, *name);
        }
        put_char(o, '"');
    } else if (name != NULL && *name != '\0') {
        encoded_words(o, name);
    }
    fold_for(o, strlen(address) + 2);
    put_char(o, '<');
    put(o, address);
    put_char(o, '>');
}

/* Quoted-printable (RFC 2045 section 6.7). */
static void quoted_printable(out_t *o, const char *s)
{
    for (; *s != '\0'; s++) {
        bool last = s[1] == '\n' || s[1] == '\0';
        unsigned char c = (unsigned char)*s;
        char hex[4];

        if (c == '\n') {
            put(o, "\r\n");
            continue;
        }
        if (o->column >= LINE_MAX_LEN - 4)
            put(o, "=\r\n");
        if (c > '~' || c < ' ' || c == '=' || (c == ' ' && last)) {
            snprintf(hex, sizeof(hex), "=%02X", c);
            put(o, hex);
        } else {
            put_char(o, (char)c);
        }
    }
}

/*
 * Writes an RFC 3339 time as RFC 5322's date-time, both in UTC; the current time if the text is
 * malformed.
 */
static void date(out_t *o, const char *rfc3339)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = {0};
    time_t t = time(NULL);
    char text[64];

    if (strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm) != NULL)
        t = timegm(&tm);
    gmtime_r(&t, &tm);
    snprintf(text, sizeof(text), " %s, %02d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday],
             tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    put(o, text);
}

char *weir_mail_text(const weir_mail_t *mail, size_t *len)
{
    out_t o = {0};

    assert(weir_mail_is_address(mail->from) && weir_mail_is_address(mail->to));
    put(&o, "Date:");
    date(&o, mail->time);
    put(&o, "\r\nFrom:");
    mailbox(&o, mail->from_name, mail->from);
    put(&o, "\r\nTo:");
    mailbox(&o, mail->to_name, mail->to);
    put(&o, "\r\nSubject:");
    unstructured(&o, mail->subject);
    put(&o, "\r\nMessage-ID: <");
    put(&o, mail->message_id);
    put(&o, ">");
    if (mail->traceparent != NULL) {
        put(&o, "\r\nTraceparent: ");
        put(&o, mail->traceparent);
    }
    put(&o, "\r\n"
            "Auto-Submitted: auto-generated\r\n" /* RFC 3834: no out-of-office replies */
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    quoted_printable(&o, mail->body);
    *len = o.len;
    return o.text;
}
