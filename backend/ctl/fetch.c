#include "ctl/fetch.h"

#include "log/alloc.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64u * 1024 * 1024)
#define TIMEOUT_S 10L

typedef struct {
    char *text;
    size_t len;
} answer_t;

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    answer_t *answer = arg;

    (void)size; /* 1 */
    if (n > ANSWER_MAX - answer->len)
        return 0;
    answer->text = weir_alloc_resize(answer->text, answer->len + n + 1, 1);
    memcpy(answer->text + answer->len, data, n);
    answer->len += n;

    return n;
}

/*
 * What proves who asks: from the environment, because others of the machine can read arguments. The
 * token goes to local addresses alone.
 */
static struct curl_slist *prove(CURL *easy, const char *url)
{
    const char *folder = getenv("WEIR_CTL_TLS"), *token = getenv("WEIR_CTL_TOKEN");
    struct curl_slist *lines = NULL;
    char *text;

    if (folder != NULL && *folder != '\0') {
        static const struct {
            CURLoption option;
            const char *file;
        } files[] = {
            {CURLOPT_CAINFO, "ca.crt"}, {CURLOPT_SSLCERT, "tls.crt"}, {CURLOPT_SSLKEY, "tls.key"}};

        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
            text = weir_alloc_format("%s/%s", folder, files[i].file);
            curl_easy_setopt(easy, files[i].option, text); /* it is copied */
            free(text);
        }
    }
    if (token != NULL && *token != '\0' &&
        (strncmp(url, "http://127.0.0.1:", 17) == 0 ||
         strncmp(url, "http://localhost:", 17) == 0)) {
        text = weir_alloc_format("Authorization: Bearer %s", token);
        lines = weir_alloc_check(curl_slist_append(NULL, text));
        free(text);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines);
    }

    return lines;
}

char *weir_ctl_fetch(const char *url, size_t *len, long *status, char *error, size_t size)
{
    CURL *easy = weir_alloc_check(curl_easy_init());
    char reason[CURL_ERROR_SIZE] = "";
    answer_t answer = {weir_alloc(1), 0};
    struct curl_slist *lines = prove(easy, url);
    long code = 0;
    CURLcode rc;

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
    rc = curl_easy_perform(easy);
    if (rc == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_cleanup(easy);
    curl_slist_free_all(lines);
    if (status != NULL)
        *status = code;
    if (code == 200) {
        answer.text[answer.len] = '\0';
        *len = answer.len;
        return answer.text;
    }
    free(answer.text);
    if (rc != CURLE_OK)
        snprintf(error, size, "%s: %s", url, *reason != '\0' ? reason : curl_easy_strerror(rc));
    else
        snprintf(error, size, "%s: the answer has the status %ld", url, code);

    return NULL;
}

json_t *weir_ctl_fetch_json(const char *url, long *status, char *error, size_t size)
{
    json_error_t why;
    json_t *value;
    size_t len;
    char *text = weir_ctl_fetch(url, &len, status, error, size);

    if (text == NULL)
        return NULL;
    value = weir_alloc_json(text, len, JSON_ALLOW_NUL, &why);
    free(text);
    if (value == NULL)
        snprintf(error, size, "%s: the answer is no JSON: %s", url, why.text);

    return value;
}
