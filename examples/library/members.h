/*
 * Members over HTTP:
 *   POST /members        one row of the command members_join
 *   GET /members/{id}    one row of the query members_by_id
 */
#ifndef LIBRARY_MEMBERS_H
#define LIBRARY_MEMBERS_H

#include "domain.h"

extern const weir_endpoints_t library_members;

#endif
