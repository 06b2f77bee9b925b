/*
 * Decodes the chunked transfer coding (RFC 9112 section 7.1) in place and strictly: sizes are
 * hexadecimal digits only, each line ends with CR LF. Chunk extensions and trailer fields must be
 * well-formed and are dropped; their total size has a limit. Plain C, no libevent. Time is linear
 * in the received bytes, however they are split.
 */
#ifndef WEIR_CHUNKED_H
#define WEIR_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#define WEIR_CHUNKED_EXTRA_MAX 8192 /* bytes of extensions and trailer fields of one body */

typedef struct {
    int state;
    unsigned digits; /* of the current chunk's size */
    uint64_t left;   /* missing bytes of the chunk, or the part of its size that was read */
    uint64_t room;   /* bytes of content that are still allowed */
    size_t extra;    /* bytes of extensions and trailer fields so far */

    int status;      /* the status of the refusal when the body is wrong */
    const char *why; /* a sentence for the client, static */
} weir_chunked_t;

typedef enum {
    WEIR_CHUNKED_MORE,  /* all bytes were consumed, more are needed */
    WEIR_CHUNKED_WHOLE, /* the body is complete; bytes after used belong to the next request */
    WEIR_CHUNKED_WRONG  /* status and why are set; the connection must be closed */
} weir_chunked_result_t;

/* limit: the most bytes of content; more are refused with 413. */
void weir_chunked_init(weir_chunked_t *chunked, uint64_t limit);

/*
 * Decodes the next len bytes. Their content is moved to the start of data; *content is its length,
 * *used the number of decoded bytes.
 */
weir_chunked_result_t weir_chunked_decode(weir_chunked_t *chunked, char *data, size_t len,
                                          size_t *used, size_t *content);

#endif
