/*
 * Loans over HTTP:
 *   POST /loans                one row of the command loans_lend: one copy, one loan
 *   POST /loans/{id}/return    one row of the command loans_return; late, it puts the event FineDue
 *
 * and the group fines, which records what members owe.
 */
#ifndef LIBRARY_LOANS_H
#define LIBRARY_LOANS_H

#include "domain.h"

extern const weir_endpoints_t library_loans;
extern const weir_group_t library_fines;

#endif
