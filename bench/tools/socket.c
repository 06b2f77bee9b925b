/*
 * bench-socket: what the kernel alone needs to move a response from one process to another.
 *
 *   bench-socket PORT DIRECTORY      until it is killed
 *
 * Answers GET /NAME with the file DIRECTORY/NAME by one sendmsg() of bytes that it has had in
 * memory since its start: it looks at nothing of a request but its path, and does nothing else.
 * No server can be much faster with the same client; so it is the measure for how much faster
 * than another one a server can be at all.  Pipelined requests are not for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 32
#define REQUEST_MAX 4096
#define EVENTS_MAX 512

/* A response, head and body in one piece; malloc()ed and kept for ever. */
struct response {
    char name[64];
    char *bytes;
    size_t length;
};

/* A client.  What is left of its response is sent when the socket takes more. */
struct client {
    int socket;
    const char *rest;
    size_t rest_length;
};

static struct response responses[FILES_MAX];
static int n_responses;
static const char not_found[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

static void fail(const char *what)
{
    fprintf(stderr, "bench-socket: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void load_file(const char *directory, const char *name)
{
    struct response *r = &responses[n_responses++];
    char path[4096];
    struct stat info;
    int file, head;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) != 0)
        fail(path);
    r->bytes = malloc(256 + (size_t)info.st_size);
    if (r->bytes == NULL)
        fail(path);
    snprintf(r->name, sizeof(r->name), "%s", name);
    head = sprintf(r->bytes,
                   "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %lld\r\n\r\n",
                   (long long)info.st_size);
    if (read(file, r->bytes + head, (size_t)info.st_size) != info.st_size)
        fail(path);
    r->length = (size_t)head + (size_t)info.st_size;
    close(file);
}

static void load_files(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;

    if (dir == NULL)
        fail(directory);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (n_responses == FILES_MAX || strlen(entry->d_name) >= sizeof(responses[0].name)) {
            fprintf(stderr, "bench-socket: %s: at most %d files with names below %zu bytes\n",
                    directory, FILES_MAX, sizeof(responses[0].name));
            exit(1);
        }
        load_file(directory, entry->d_name);
    }
    closedir(dir);
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(s, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(s, 1024) != 0)
        fail("the port");
    return s;
}

static void accept_client(int events, int listener)
{
    int s = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    struct client *c;

    if (s < 0)
        return; /* it is gone already */
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        fail("memory");
    c->socket = s;
    event.data.ptr = c;
    if (setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        epoll_ctl(events, EPOLL_CTL_ADD, s, &event) != 0)
        fail("a connection");
}

/* Reads a request and chooses its response; 0 without one, -1 at the end of the connection. */
static int read_request(struct client *c)
{
    char request[REQUEST_MAX + 1];
    ssize_t n = recv(c->socket, request, REQUEST_MAX, 0);
    size_t length;
    int i;

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return -1;
    if (n < 0)
        return 0;
    request[n] = '\0';
    c->rest = not_found;
    c->rest_length = sizeof(not_found) - 1;
    if (strncmp(request, "GET /", 5) != 0)
        return 1;
    length = strcspn(request + 5, " ?");
    for (i = 0; i < n_responses; i++) {
        if (strlen(responses[i].name) == length &&
            memcmp(responses[i].name, request + 5, length) == 0) {
            c->rest = responses[i].bytes;
            c->rest_length = responses[i].length;
        }
    }
    return 1;
}

/* Sends what the socket takes; -1 at the end of the connection. */
static int send_rest(struct client *c)
{
    while (c->rest_length > 0) {
        ssize_t n = send(c->socket, c->rest, c->rest_length, MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        c->rest += n;
        c->rest_length -= (size_t)n;
    }
    return 0;
}

static void serve(struct client *c)
{
    int got = c->rest_length == 0 ? read_request(c) : 0;

    if (got < 0 || send_rest(c) < 0) {
        close(c->socket);
        free(c);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event ready[EVENTS_MAX], event = {.events = EPOLLIN, .data.ptr = NULL};
    int events, listener, i, n;

    if (argc != 3 || atoi(argv[1]) < 1 || atoi(argv[1]) > 65535) {
        fputs("usage: bench-socket PORT DIRECTORY\n", stderr);
        return 2;
    }
    load_files(argv[2]);
    listener = listen_on(atoi(argv[1]));
    events = epoll_create1(EPOLL_CLOEXEC);
    if (events < 0 || epoll_ctl(events, EPOLL_CTL_ADD, listener, &event) != 0)
        fail("epoll");
    for (;;) {
        n = epoll_wait(events, ready, EVENTS_MAX, -1);
        for (i = 0; i < n; i++) {
            if (ready[i].data.ptr == NULL)
                accept_client(events, listener);
            else
                serve(ready[i].data.ptr);
        }
    }
}
