/*
 * The urgency of a request: RFC 9218 section 4.1, the member "u" of the field Priority, which is a
 * Dictionary of RFC 8941.
 */
#ifndef WEIR_URGENCY_H
#define WEIR_URGENCY_H

#include "common/text/str.h"

#include <stdint.h>

#define WEIR_URGENCY_DEFAULT 3 /* RFC 9218 section 4.1 */
#define WEIR_URGENCY_MAX 7     /* the least urgent */

/*
 * The urgency in a field's value ("u=1, i"), or in a single number from 0 to 7, as operators write
 * it. Without a valid one it is the default: RFC 9218 section 4 has unknown and invalid members
 * ignored.
 */
uint8_t weir_urgency(weir_str_t value);

#endif
