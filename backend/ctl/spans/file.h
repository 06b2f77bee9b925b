/*
 * A file of spans with a limit: a line of OTLP in JSON for each span, as OpenTelemetry's file
 * exporter writes them (a document with resourceSpans a line).
 *
 * One process writes the file. When it would exceed half of the limit it becomes NAME.1, in the
 * place of the one before, and a new file begins: so the newest spans are always there. Others read
 * both at any time; a line that is being written, or was cut off by a crash, is not read.
 */
#ifndef WEIR_SPANS_FILE_H
#define WEIR_SPANS_FILE_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct weir_spans_file weir_spans_file_t;

/*
 * Opens the file to append to it, or creates it, readable by its owner only; limit is in bytes.
 * NULL with a message, also if another process writes it.
 */
weir_spans_file_t *weir_spans_file_open(const char *path, size_t limit, char *error, size_t size);
void weir_spans_file_close(weir_spans_file_t *file);

/*
 * Appends lines, each with its line feed, of at most half of the limit: all or none of them. False
 * with a message; a later call tries again. A file that was deleted or moved is created again.
 */
bool weir_spans_file_append(weir_spans_file_t *file, weir_str_t lines, char *error, size_t size);

/*
 * Up to where a reader has read. The file stays open, so that no later file can have its inode: it
 * is the same file, or it is not. Its bytes stay on the disk, too, up to the next read, or until
 * weir_spans_place_settle().
 */
typedef struct {
    int fd; /* -1: nothing was read */
    off_t offset;
} weir_spans_place_t;

#define WEIR_SPANS_PLACE_FIRST ((weir_spans_place_t){-1, 0})

/* Closes the file; the next read begins at the first line. */
void weir_spans_place_close(weir_spans_place_t *place);
/* The same if the file was deleted. */
void weir_spans_place_settle(weir_spans_place_t *place);

typedef struct {
    void (*restart)(void *arg); /* what was read before is void; NULL allowed */
    void (*line)(weir_str_t line, void *arg);
    void *arg;
} weir_spans_reader_t;

/*
 * Reads the lines behind the place, which the caller closes, and moves it; if the file was replaced
 * meanwhile, restart() is called, and all lines of both files are read, oldest first. A file that
 * is not there has no lines. False with a message.
 */
bool weir_spans_file_read(const char *path, weir_spans_place_t *place,
                          const weir_spans_reader_t *reader, char *error, size_t size);

#endif
