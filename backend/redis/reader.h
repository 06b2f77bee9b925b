/*
 * Limits for hiredis' reader, against a server that sends wrong or hostile replies.
 */
#ifndef WEIR_REDIS_READER_H
#define WEIR_REDIS_READER_H

#include <hiredis/hiredis.h>

/* Elements of one array. */
#define WEIR_REDIS_ELEMENTS_MAX 65536

/*
 * Makes the reader fail, which ends the connection, in two cases: a reply begins while *expected is
 * 0 (hiredis would abort the process), or an array has more than WEIR_REDIS_ELEMENTS_MAX elements
 * (hiredis allocates memory for them as soon as they are announced). expected must outlive the
 * reader.
 */
void weir_redis_reader_limit(redisReader *reader, const unsigned *expected);

#endif
