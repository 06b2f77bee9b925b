#include "ctl/audit/findings.h"

#include <stdarg.h>
#include <stdio.h>

void weir_findings_add(weir_findings_t *findings, const char *finding, const char *where,
                       const char *format, ...)
{
    char text[512];
    va_list ap;

    if (++findings->count > WEIR_FINDINGS_MAX)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (findings->rows == NULL)
        findings->rows = json_array();
    json_array_append_new(findings->rows, json_pack("{s:s, s:s, s:s}", "finding", finding, "at",
                                                    where, "about", text));
}
