/*
 * Books over HTTP:
 *   POST /books    one row of the command books_add: a book and its copies
 *   GET /books     one row of the query books_list, kept by the edge under the tag "books"
 *
 * and the group invalidation, which informs every edge that the list has changed, when a book was
 * added, lent or returned.
 */
#ifndef LIBRARY_BOOKS_H
#define LIBRARY_BOOKS_H

#include "domain.h"

extern const weir_endpoints_t library_books;
extern const weir_group_t library_invalidation;

#endif
