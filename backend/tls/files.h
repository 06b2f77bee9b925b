/*
 * The files of a certificate, its key and the authorities: read into an SSL_CTX, and looked at for
 * changes. For tls.c alone.
 */
#ifndef WEIR_TLS_FILES_H
#define WEIR_TLS_FILES_H

#include "tls/tls.h"

#include <sys/stat.h>
#include <time.h>

/* What a file was when it was read; another one is a change. */
typedef struct {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
    int error; /* errno of stat(); then the rest is 0 */
} weir_tls_stamp_t;

typedef struct {
    weir_tls_stamp_t certificate, key, ca;
} weir_tls_stamps_t;

/* When certificates begin and end, in seconds since 1970; end 0: there are none. */
typedef struct {
    time_t begin, end;
} weir_tls_validity_t;

/* The end of a certificate, in seconds since 1970; 0 if it is malformed. */
time_t weir_tls_files_end(const X509 *certificate);

/* Looks at the files. */
void weir_tls_files_look(const weir_tls_settings_t *settings, weir_tls_stamps_t *stamps);
/* True if a file is not what it was. */
bool weir_tls_files_differ(const weir_tls_stamps_t *a, const weir_tls_stamps_t *b);

/*
 * Reads the files into ctx. own and ca get the validity of the first certificate to end: of the
 * chain, and of those authorities that have not ended yet. Returns the setting that is wrong, with
 * a message that names the file.
 */
weir_tls_fault_t weir_tls_files_read(const weir_tls_settings_t *settings, SSL_CTX *ctx,
                                     weir_tls_validity_t *own, weir_tls_validity_t *ca, char *why,
                                     size_t size);

#endif
