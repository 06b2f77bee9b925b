/* One screen of weirctl top. */
#ifndef WEIR_TOP_SCREEN_H
#define WEIR_TOP_SCREEN_H

#include <jansson.h>

typedef struct {
    const json_t *edge;    /* weir_status; NULL: not asked, or away */
    const json_t *backend; /* backend.h; the same */
    const char *window;    /* "1m", "15m", "1h" */
    int columns, rows;     /* a longer screen is cut */
    const char *end;       /* of each line */
} weir_top_screen_t;

/* Prints it. Text of others is made safe for a terminal. */
void weir_top_draw(const weir_top_screen_t *screen);

#endif
