/* The terminal that standard output is. */
#ifndef WEIR_CTL_TERMINAL_H
#define WEIR_CTL_TERMINAL_H

#include <stdbool.h>

/* Its width and height now; without a terminal COLUMNS and LINES of the environment, or 100, 40. */
int weir_ctl_columns(void);
int weir_ctl_rows_shown(void);

/* True if it is a terminal, and its locale says UTF-8. */
bool weir_ctl_takes_utf8(void);

#endif
