/*
 * What hiredis' reader takes from a server that may say anything.
 */
#ifndef WEIR_REDIS_READER_H
#define WEIR_REDIS_READER_H

#include <hiredis/hiredis.h>

/* Elements of one array. */
#define WEIR_REDIS_ELEMENTS_MAX 65536

/*
 * Makes the reader refuse, as an error that ends the connection, a reply that begins while
 * *expected is 0, which hiredis would end the process for; and an array of more elements than
 * WEIR_REDIS_ELEMENTS_MAX, for which memory would be taken when they are only announced.
 * expected must outlive the reader.
 */
void weir_redis_reader_limit(redisReader *reader, const unsigned *expected);

#endif
