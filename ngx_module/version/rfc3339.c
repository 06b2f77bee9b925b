#include "rfc3339.h"

/* Reads n decimal digits, two or four; -1 if invalid. */
static int digits(const char *p, int n)
{
    int value = 0;

    while (n-- > 0) {
        if (*p < '0' || *p > '9')
            return -1;
        value = value * 10 + (*p++ - '0');
    }

    return value;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

int weir_rfc3339_parse(weir_str_t s, time_t *seconds)
{
    const char *p = s.data;
    struct tm tm = {0};
    int offset = 0;

    if (s.len < 10 || p[4] != '-' || p[7] != '-')
        return -1;

    tm.tm_year = digits(p, 4);
    tm.tm_mon = digits(p + 5, 2);
    tm.tm_mday = digits(p + 8, 2);
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > days_in_month(tm.tm_year, tm.tm_mon))
        return -1;

    if (s.len != 10) {
        if (s.len < 20 || (p[10] != 'T' && p[10] != 't') || p[13] != ':' || p[16] != ':')
            return -1;

        tm.tm_hour = digits(p + 11, 2);
        tm.tm_min = digits(p + 14, 2);
        tm.tm_sec = digits(p + 17, 2);
        if (tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
            tm.tm_sec > 60)
            return -1;

        if (s.len == 20 && (p[19] == 'Z' || p[19] == 'z')) {
            offset = 0;
        } else if (s.len == 25 && (p[19] == '+' || p[19] == '-') && p[22] == ':') {
            int hours = digits(p + 20, 2), minutes = digits(p + 23, 2);

            if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
                return -1;
            offset = (hours * 60 + minutes) * 60 * (p[19] == '-' ? -1 : 1);
        } else {
            return -1;
        }
    }

    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *seconds = timegm(&tm) - offset;

    return 0;
}
