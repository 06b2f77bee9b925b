#include "http/listen.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int fail(int fd, const char *address, const char *why, char *error, size_t error_size)
{
    assert(why != NULL && error_size > 0);
    snprintf(error, error_size, "cannot listen on %s: %s", address, why);
    if (fd >= 0)
        close(fd);

    return -1;
}

/*
 * A socket file whose listener has died refuses connections; only such a file may be removed. A
 * file of another type also refuses, and must not be removed.
 */
static bool is_stale(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;
    bool is_socket = lstat(sun->sun_path, &st) == 0 && S_ISSOCK(st.st_mode);
    bool stale = is_socket && fd >= 0 &&
                 connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) != 0 &&
                 errno == ECONNREFUSED;

    if (fd >= 0)
        close(fd);

    return stale;
}

static int listen_unix(const char *address, char *error, size_t error_size)
{
    const char *path = address + 5;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd;

    assert(strncmp(address, "unix:", 5) == 0);
    if (strlen(path) >= sizeof(sun.sun_path))
        return fail(-1, address, "the path has more than 107 bytes", error, error_size);

    memcpy(sun.sun_path, path, strlen(path) + 1);
    if (is_stale(&sun))
        unlink(path);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, address, strerror(errno), error, error_size);

    return fd;
}

/* The parsed address, for freeaddrinfo(); NULL with the reason in why. */
static struct addrinfo *parse(const char *address, char *why, size_t size)
{
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char host[64];
    int rc;

    if (colon == NULL) {
        snprintf(why, size, "it must be ADDRESS:PORT with a numeric address");
        return NULL;
    }
    rc = snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    if (rc >= (int)sizeof(host)) {
        snprintf(why, size, "the address is too long");
        return NULL;
    }
    if (host[0] == '[') {
        host[rc - 1] = '\0';
        memmove(host, host + 1, (size_t)rc - 1);
    }

    rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0) {
        snprintf(why, size, "%s; it must be ADDRESS:PORT with a numeric address", gai_strerror(rc));
        return NULL;
    }

    return found;
}

bool weir_listen_check(const char *address, char *error, size_t error_size)
{
    struct addrinfo *found;

    if (strncmp(address, "unix:", 5) == 0) {
        if (strlen(address + 5) < sizeof(((struct sockaddr_un *)0)->sun_path))
            return true;
        snprintf(error, error_size, "the path has more than 107 bytes");
        return false;
    }

    found = parse(address, error, error_size);
    if (found != NULL)
        freeaddrinfo(found);

    return found != NULL;
}

int weir_listen(const char *address, char *error, size_t error_size)
{
    struct addrinfo *found;
    char why[128];
    const int on = 1;
    int fd;
    bool failed;

    if (strncmp(address, "unix:", 5) == 0)
        return listen_unix(address, error, error_size);

    found = parse(address, why, sizeof(why));
    if (found == NULL)
        return fail(-1, address, why, error, error_size);

    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    failed = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
             setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
             bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0;
    freeaddrinfo(found);
    if (failed)
        return fail(fd, address, strerror(errno), error, error_size);

    return fd;
}

bool weir_listen_is_local(const char *address)
{
    char why[128];
    struct addrinfo *found;
    bool local = false;

    if (strncmp(address, "unix:", 5) == 0)
        return true;

    found = parse(address, why, sizeof(why));
    if (found != NULL && found->ai_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)found->ai_addr;

        local = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    } else if (found != NULL && found->ai_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)found->ai_addr;

        local = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    if (found != NULL)
        freeaddrinfo(found);

    return local;
}
