/* A trace as a waterfall of its spans, for a terminal. */
#ifndef WEIR_SPANS_DRAW_H
#define WEIR_SPANS_DRAW_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Prints the trace, a document of find.h, as a tree: for each span its service, name, what is
 * special about it (tries, errors, links, events), its duration, and a bar for its time. Spans with
 * the same parent are in the order of their starts. A span whose parent is not there is a root, and
 * the line says so.
 *
 * columns is the width of a line; with ascii all is printed in ASCII.
 */
void weir_spans_draw(json_t *document, int columns, bool ascii);

#endif
