/*
 * The library's interface to the engine: the parts of its API, its consumer groups, its keys.
 * docs/your-domain.md explains this folder.
 */
#include "domain.h"

#include "library/books.h"
#include "library/loans.h"
#include "library/members.h"
#include "library/settings.h"

#include "config/kinds.h"

extern const weir_sql_line_t weir_sql_library; /* scripts/build/embed-sql.sh makes it of sql/ */

static const weir_api_t api = {
    .title = "Library",
    .media_type = "application/vnd.library",
    .first = 1,
    .standard = 1,
    .last = 1,
    .operator_scope = "library:staff",
};

static const weir_endpoints_t *const endpoints[] = {
    &library_members,
    &library_books,
    &library_loans,
    NULL,
};

static const weir_group_t *const groups[] = {
    &library_fines,
    &library_invalidation,
    NULL,
};

static const weir_config_key_t keys[] = {
    {"fine_per_day", &weir_config_count, offsetof(library_settings_t, fine_per_day), "25", 0, 10000,
     .allowed = "a number of cents from 0 to 10000"},
    {0},
};

const weir_domain_t weir_domain = {
    .api = &api,
    .event_source = "weir/library",
    .sql = &weir_sql_library,
    .endpoints = endpoints,
    .groups = groups,
    .keys = keys,
    .settings_size = sizeof(library_settings_t),
    .retry_attempts = "8",
};
