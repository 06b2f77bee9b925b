/*
 * When the keys of an issuer are fetched again: a plain core. All times are in ms.
 *
 * The lifetime of a set is what the issuer says (Cache-Control), within bounds, or the configured
 * one. It is fetched again between three quarters and 19 twentieths of it, at random, so that the
 * edges of a fleet do not come together and a slow answer is not late. The lower bound protects an
 * issuer that says max-age=0, the upper one a fleet whose issuer says a year: a key that was
 * withdrawn would be believed that long.
 */
#ifndef WEIR_KEYS_SCHEDULE_H
#define WEIR_KEYS_SCHEDULE_H

#include <stdint.h>

#define WEIR_KEYS_LIFETIME_MIN 60000              /* of what an issuer says: 1 minute */
#define WEIR_KEYS_LIFETIME_MAX (24 * 3600 * 1000) /* 24 hours */

#define WEIR_KEYS_RETRY_MIN 1000
#define WEIR_KEYS_RETRY_MAX 30000
#define WEIR_KEYS_RETRY_AFTER_MAX 300 /* s: limit of what an issuer may ask for by Retry-After */

/*
 * Until the next fetch after a good answer. freshness is in seconds, -1 if the issuer does not say;
 * refresh is the configured lifetime, and the lower bound if it is less than that.
 */
uint64_t weir_keys_refresh_after(int64_t freshness, uint64_t refresh, uint64_t random);

/*
 * Until the next fetch after so many failures in a row (from 1): 1 s, doubled each time up to 30 s,
 * half of it at random. retry_after is what the issuer asked for in seconds, -1 for nothing; it can
 * make the time longer.
 */
uint64_t weir_keys_retry_after(uint64_t failures, int64_t retry_after, uint64_t random);

#endif
