/* HTTP-date, RFC 9110 section 5.6.7. */

#include "common/text/http_date.h"

#include <stdbool.h>

typedef struct {
    const char *p, *end;
    bool wrong;
} reader_t;

/* Reads exactly this text, in any case; a space matches a space only. */
static void expect(reader_t *in, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(in->end - in->p) < n ||
        !weir_str_caseeq((weir_str_t){in->p, n}, (weir_str_t){text, n}))
        in->wrong = true;
    else
        in->p += n;
}

/* Reads a number of exactly n digits. */
static int digits(reader_t *in, int n)
{
    int value = 0;

    while (n-- > 0) {
        if (in->p == in->end || *in->p < '0' || *in->p > '9') {
            in->wrong = true;
            return 0;
        }

        value = value * 10 + (*in->p++ - '0');
    }

    return value;
}

/* Reads one of the names; returns its index. */
static int name(reader_t *in, const char *const *names, int n)
{
    for (int i = 0; i < n; i++) {
        size_t len = strlen(names[i]);

        if ((size_t)(in->end - in->p) >= len &&
            weir_str_caseeq((weir_str_t){in->p, len}, (weir_str_t){names[i], len})) {
            in->p += len;
            return i;
        }
    }

    in->wrong = true;
    return 0;
}

static const char *const long_days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/*
 * Days since the epoch; months count from 0. The calculation begins the year in
 * March, so that the leap day is the last day of the year.
 */
static int64_t days_since_epoch(int64_t year, int month, int day)
{
    int shifted = (month + 10) % 12;
    int64_t years = year - (month < 2);

    return years * 365 + years / 4 - years / 100 + years / 400 + (shifted * 306 + 5) / 10 + day -
           1 - 719468;
}

static int days_of(int64_t year, int month)
{
    static const int of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return of[month] + (month == 1 && leap);
}

typedef struct {
    int64_t year;
    int month, day; /* months from 0 */
    int hour, minute, second;
} moment_t;

static void time_of_day(reader_t *in, moment_t *m)
{
    m->hour = digits(in, 2);
    expect(in, ":");
    m->minute = digits(in, 2);
    expect(in, ":");
    m->second = digits(in, 2);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool fixdate(reader_t in, moment_t *m)
{
    (void)name(&in, days, 7);
    expect(&in, ", ");
    m->day = digits(&in, 2);
    expect(&in, " ");
    m->month = name(&in, months, 12);
    expect(&in, " ");
    m->year = digits(&in, 4);
    expect(&in, " ");
    time_of_day(&in, m);
    expect(&in, " GMT");

    return !in.wrong && in.p == in.end;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool rfc850(reader_t in, int64_t now, moment_t *m)
{
    int64_t this_year = 1970 + now / 31556952; /* years of mean length are exact enough for a limit
                                                  of 50 years */

    (void)name(&in, long_days, 7);
    expect(&in, ", ");
    m->day = digits(&in, 2);
    expect(&in, "-");
    m->month = name(&in, months, 12);
    expect(&in, "-");
    m->year = digits(&in, 2) + this_year / 100 * 100;
    expect(&in, " ");
    time_of_day(&in, m);
    expect(&in, " GMT");

    if (m->year > this_year + 50)
        m->year -= 100;

    return !in.wrong && in.p == in.end;
}

/* Sun Nov  6 08:49:37 1994 */
static bool asctime_date(reader_t in, moment_t *m)
{
    (void)name(&in, days, 7);
    expect(&in, " ");
    m->month = name(&in, months, 12);
    expect(&in, " ");

    if (in.p < in.end && *in.p == ' ') {
        in.p++;
        m->day = digits(&in, 1);
    } else {
        m->day = digits(&in, 2);
    }

    expect(&in, " ");
    time_of_day(&in, m);
    expect(&in, " ");
    m->year = digits(&in, 4);

    return !in.wrong && in.p == in.end;
}

int64_t weir_http_date(weir_str_t value, int64_t now)
{
    reader_t in = {value.data, value.data + value.len, false};
    moment_t m;
    int64_t seconds;

    if (value.len == 0)
        return -1;

    if (!fixdate(in, &m) && !rfc850(in, now, &m) && !asctime_date(in, &m))
        return -1;

    /* second 60 is a leap second */
    if (m.day < 1 || m.day > days_of(m.year, m.month) || m.hour > 23 || m.minute > 59 ||
        m.second > 60)
        return -1;

    seconds =
        ((days_since_epoch(m.year, m.month, m.day) * 24 + m.hour) * 60 + m.minute) * 60 + m.second;

    return seconds > 0 ? seconds : 0;
}
