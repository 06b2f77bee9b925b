/*
 * Bytes of a connection, in the clear or by TLS, with the results of recv(2) and sendmsg(2).
 *
 * With TLS the socket alone does not tell whether there are bytes: OpenSSL reads as much as has
 * come, and keeps what was not asked for. weir_channel_has_more() tells.
 */
#include "http/server/channel.h"
#include "http/server/private.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD 16384 /* bytes that one record of TLS has at most (RFC 8446 section 5.1) */

/* The result of a call of OpenSSL that has not returned a number of bytes: 0 or -1, with errno. */
static ssize_t result_of(connection_t *c, int rc)
{
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    default:
        /* Nothing may be called any more, SSL_shutdown() neither. */
        c->broken = true;
        ERR_clear_error();
        errno = EPROTO;
        return -1;
    }
}

ssize_t weir_channel_receive(connection_t *c, void *out, size_t size)
{
    int n;

    assert(size > 0);
    if (c->ssl == NULL)
        return recv(c->fd, out, size, 0);
    ERR_clear_error();
    n = SSL_read(c->ssl, out, size < RECORD ? (int)size : RECORD);
    c->may_have_more = n > 0;

    return n > 0 ? n : result_of(c, n);
}

bool weir_channel_has_more(const connection_t *c)
{
    return c->ssl != NULL && c->may_have_more && SSL_has_pending(c->ssl);
}

/* The first bytes of both parts in one record. */
static ssize_t send_record(connection_t *c, const struct iovec parts[2])
{
    static char record[RECORD];
    size_t first = parts[0].iov_len < RECORD ? parts[0].iov_len : RECORD;
    size_t second = parts[1].iov_len < RECORD - first ? parts[1].iov_len : RECORD - first;
    int n;

    memcpy(record, parts[0].iov_base, first);
    if (second > 0)
        memcpy(record + first, parts[1].iov_base, second);
    ERR_clear_error();
    n = SSL_write(c->ssl, record, (int)(first + second));
    if (n > 0)
        return n;

    if (result_of(c, n) == 0)
        errno = EPIPE;

    return -1;
}

ssize_t weir_channel_send(connection_t *c, const struct iovec parts[2])
{
    struct iovec left[2] = {parts[0], parts[1]};
    struct msghdr message = {.msg_iov = left, .msg_iovlen = parts[1].iov_len > 0 ? 2 : 1};
    size_t total = parts[0].iov_len + parts[1].iov_len, sent = 0;

    assert(total > 0);
    if (c->ssl == NULL)
        return sendmsg(c->fd, &message, MSG_NOSIGNAL);
    while (sent < total) {
        ssize_t n = send_record(c, left);

        if (n < 0)
            return sent > 0 && !c->broken ? (ssize_t)sent : -1;
        sent += (size_t)n;
        for (int i = 0; i < 2; i++) {
            size_t taken = (size_t)n < left[i].iov_len ? (size_t)n : left[i].iov_len;

            left[i].iov_base = (char *)left[i].iov_base + taken;
            left[i].iov_len -= taken;
            n -= (ssize_t)taken;
        }
    }

    return (ssize_t)sent;
}

/* The peer's bytes are dropped as they are. */
ssize_t weir_channel_drop(const connection_t *c)
{
    char dropped[4096];

    return recv(c->fd, dropped, sizeof(dropped), 0);
}

static void say_goodbye(connection_t *c)
{
    if (c->ssl == NULL || c->broken || !SSL_is_init_finished(c->ssl))
        return;
    ERR_clear_error();
    (void)SSL_shutdown(c->ssl); /* sends close_notify, if the socket takes it; waits for nothing */
    ERR_clear_error();
    c->broken = true;
}

bool weir_channel_end(connection_t *c)
{
    say_goodbye(c);

    return shutdown(c->fd, SHUT_WR) == 0;
}

void weir_channel_close(connection_t *c)
{
    say_goodbye(c);
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
}
