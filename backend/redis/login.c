#include "redis/login.h"

#include "common/secret/secret.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <string.h>

static const char *user_name = "", *file_name = "";

/* Of the file, as it was read last. */
static char last[WEIR_SECRET_MAX];
static size_t last_len;

void weir_redis_login_use(const char *user, const char *password_file)
{
    assert(user != NULL && password_file != NULL);
    user_name = user;
    file_name = password_file;
    OPENSSL_cleanse(last, sizeof(last));
    last_len = 0;
}

static const char *read_file(void)
{
    char text[WEIR_SECRET_FILE_MAX + 1];
    const char *at = text, *line, *wrong = weir_secret_read(file_name, text);
    size_t len;

    if (wrong != NULL)
        return wrong;
    line = weir_secret_next(&at, &len);
    assert(line != NULL && len <= sizeof(last));
    memcpy(last, line, len);
    last_len = len;
    OPENSSL_cleanse(text, sizeof(text));

    return NULL;
}

bool weir_redis_login_renew(const char **wrong)
{
    *wrong = *file_name != '\0' ? read_file() : NULL;

    return *wrong == NULL || last_len > 0;
}

int weir_redis_login_auth(const weir_redis_url_t *url, const char *argv[3], size_t lens[3])
{
    const char *user = url->user, *password = url->password;
    size_t len = password != NULL ? strlen(password) : 0;
    int n = 0;

    if (*file_name != '\0') {
        user = *user_name != '\0' ? user_name : NULL;
        password = last_len > 0 ? last : NULL;
        len = last_len;
    }
    if (password == NULL)
        return 0;
    argv[n++] = "AUTH";
    if (user != NULL)
        argv[n++] = user;
    argv[n++] = password;
    for (int i = 0; i < n; i++)
        lens[i] = i == n - 1 ? len : strlen(argv[i]);

    return n;
}
