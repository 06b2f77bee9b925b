/*
 * As whom a process logs in to Redis: the user and password of the URL, or a user of the
 * configuration with a password in a file, which is read for each new connection, so that the
 * password can change while the process runs.
 */
#ifndef WEIR_REDIS_LOGIN_H
#define WEIR_REDIS_LOGIN_H

#include "redis/url.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * For all connections that are made later. Both are copied by nobody and must outlive them; empty:
 * there is none. Without a user it is the default user's password.
 */
void weir_redis_login_use(const char *user, const char *password_file);

/*
 * Reads the file, if there is one; called before a connection is made. If it cannot be used, *wrong
 * has the reason (as of weir_secret_read()), otherwise NULL; the last password stays then. False if
 * there is none.
 */
bool weir_redis_login_renew(const char **wrong);

/*
 * The words of AUTH in argv, with their lengths: 2 or 3; 0: no login is needed. They are valid
 * until the next call of a function here.
 */
int weir_redis_login_auth(const weir_redis_url_t *url, const char *argv[3], size_t lens[3]);

#endif
