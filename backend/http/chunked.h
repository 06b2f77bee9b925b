/*
 * The chunked transfer coding (RFC 9112 section 7.1), decoded in place, in the strict reading of
 * the grammar: sizes are hexadecimal digits only, each line ends with CR LF.  Chunk extensions
 * and trailer fields must be well-formed and are dropped; all their bytes together have a limit.
 * Plain C, no libevent; linear in the bytes received, however they are cut into pieces.
 */
#ifndef WEIR_CHUNKED_H
#define WEIR_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#define WEIR_CHUNKED_EXTRA_MAX 8192 /* bytes of extensions and trailer fields of one body */

typedef struct {
    int state;
    unsigned digits; /* of the size that is being read */
    uint64_t left;   /* bytes of the chunk that are to come, or its size as far as it was read */
    uint64_t room;   /* bytes of content that may still come */
    size_t extra;    /* bytes of extensions and trailer fields so far */

    int status;      /* that refuses the request when it is wrong */
    const char *why; /* a sentence for the client, static */
} weir_chunked_t;

typedef enum {
    WEIR_CHUNKED_MORE,  /* all bytes were used, more are needed */
    WEIR_CHUNKED_WHOLE, /* the body has ended; bytes behind used belong to the next request */
    WEIR_CHUNKED_WRONG  /* status and why say what is; the connection must be closed */
} weir_chunked_result_t;

/* limit: the most bytes of content; more are a 413. */
void weir_chunked_init(weir_chunked_t *chunked, uint64_t limit);

/*
 * Reads the next len bytes.  Content that they hold is moved together at the start of data:
 * content says how much that is, used how many bytes were read.
 */
weir_chunked_result_t weir_chunked_decode(weir_chunked_t *chunked, char *data, size_t len,
                                          size_t *used, size_t *content);

#endif
