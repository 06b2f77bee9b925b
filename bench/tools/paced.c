/*
 * bench-paced: how long requests take that arrive at a given rate, whatever the server does.
 *
 *   bench-paced PORT PATH RATE SECONDS CONNECTIONS
 *
 * Sends GET requests to 127.0.0.1 at RATE a second on average, over connections that are kept. The
 * times between them are exponentially distributed, as those of independent clients are, and the
 * same in each run. A request's time begins when it was due: one that had to wait, because all
 * connections were in use or this program was late, has waited for the server, too. (wrk sends the
 * next request after an answer, so a server that is slow for a while gets fewer requests then, and
 * few of them are slow.)
 *
 * Prints a line of JSON; "times" has pairs of a time in ns, exact to less than 1 %, and how many
 * requests took that long.
 */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define ANSWER_MAX 65536
#define BITS 8               /* of a time that are kept */
#define EXPONENTS 48         /* longer times than 2^(48 + 7) ns there are not */
#define END_NS 5000000000ULL /* after the last request was due, for its answer */

/* A connection that is kept; due is 0 while no request is under way. */
struct connection {
    int socket;
    uint64_t due; /* ns */
    size_t have;  /* bytes of the answer */
    char answer[ANSWER_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static int n_connections, n_busy;
static uint64_t counts[EXPONENTS][1 << BITS];
static uint64_t sent, done, failed;
static char request[1024];
static size_t request_length;

static void fail(const char *what)
{
    fprintf(stderr, "bench-paced: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ns until the next request; the generator is Marsaglia's xorshift64, always with the same seed. */
static uint64_t next_gap(double rate)
{
    static uint64_t x = 88172645463325252ULL;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint64_t)(-log(((double)(x >> 11) + 1) / 9007199254740993.0) * 1e9 / rate);
}

static void count(uint64_t ns)
{
    int e = 0;

    while (ns >> e >= 1 << BITS)
        e++;
    counts[e < EXPONENTS ? e : EXPONENTS - 1][ns >> e & ((1 << BITS) - 1)]++;
    done++;
}

static void connect_to(struct connection *c, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    c->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void send_request(struct connection *c, uint64_t due)
{
    c->due = due;
    c->have = 0;
    n_busy++;
    sent++;
    if (send(c->socket, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length)
        fail("send");
}

/* The length of the whole answer, 0 while its head is not there, -1 if it is none. */
static long answer_length(struct connection *c)
{
    char *end, *field;

    c->answer[c->have] = '\0';
    end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    field = strcasestr(c->answer, "\r\nContent-Length:");
    if (field == NULL || field > end)
        return -1;
    return end + 4 - c->answer + atol(field + 17);
}

/* Reads what has come. An answer whose end nobody can tell ends the program: there is no next. */
static void receive(struct connection *c)
{
    ssize_t n = recv(c->socket, c->answer + c->have, ANSWER_MAX - 1 - c->have, MSG_DONTWAIT);
    long length;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        fail("a connection was closed");
    c->have += (size_t)n;
    length = answer_length(c);
    if (length < 0 || length >= ANSWER_MAX) {
        errno = EBADMSG;
        fail("an answer without Content-Length, or too long");
    }
    if (length == 0 || c->have < (size_t)length)
        return;
    if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0)
        failed++;
    count(now_ns() - c->due);
    c->due = 0;
    n_busy--;
}

static struct connection *free_connection(void)
{
    static int last;
    int i;

    for (i = 0; i < n_connections; i++) {
        last = (last + 1) % n_connections;
        if (connections[last].due == 0)
            return &connections[last];
    }
    return NULL;
}

/* Waits until a request is due, or for answers while none can be sent. */
static void wait_for(int epoll, int timer, uint64_t due)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)}};
    struct epoll_event events[CONNECTIONS_MAX];
    int i, n;

    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        fail("timerfd_settime");
    n = epoll_wait(epoll, events, CONNECTIONS_MAX, 5000);
    if (n < 0 && errno != EINTR)
        fail("epoll_wait");
    for (i = 0; i < n; i++)
        if (events[i].data.ptr != NULL)
            receive(events[i].data.ptr);
}

static void run(int epoll, int timer, double rate, double seconds)
{
    uint64_t begin = now_ns(), due = begin + next_gap(rate),
             end = begin + (uint64_t)(seconds * 1e9);
    struct connection *c;

    while (due < end) {
        while (due < end && due <= now_ns() && (c = free_connection()) != NULL) {
            send_request(c, due);
            due += next_gap(rate);
        }
        if (due < end)
            wait_for(epoll, timer, n_busy < n_connections ? due : now_ns() + 1000000000);
    }
    while (n_busy > 0) {
        if (now_ns() > end + END_NS) {
            errno = ETIMEDOUT;
            fail("an answer");
        }
        wait_for(epoll, timer, end + END_NS + 1);
    }
}

/* The time below which that share of all requests is, in ns. */
static uint64_t quantile(double share)
{
    uint64_t below = 0;
    int e, i;

    for (e = 0; e < EXPONENTS; e++)
        for (i = 0; i < 1 << BITS; i++) {
            below += counts[e][i];
            if (below > 0 && (double)below >= share * (double)done)
                return (uint64_t)i << e;
        }
    return 0;
}

static void print(void)
{
    const char *comma = "";
    int e, i;

    printf("{\"requests\":%llu,\"failed\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"times\":[",
           (unsigned long long)sent, (unsigned long long)failed, (double)quantile(0.5) / 1e3,
           (double)quantile(0.99) / 1e3);
    for (e = 0; e < EXPONENTS; e++)
        for (i = 0; i < 1 << BITS; i++)
            if (counts[e][i] > 0) {
                printf("%s[%llu,%llu]", comma, (unsigned long long)i << e,
                       (unsigned long long)counts[e][i]);
                comma = ",";
            }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    int port = argc == 6 ? atoi(argv[1]) : 0;
    double rate = argc == 6 ? atof(argv[3]) : 0, seconds = argc == 6 ? atof(argv[4]) : 0;
    struct epoll_event event = {.events = EPOLLIN};
    int epoll, timer, i;

    n_connections = argc == 6 ? atoi(argv[5]) : 0;
    if (port < 1 || port > 65535 || argv[2][0] != '/' || strlen(argv[2]) > 512 || rate < 1 ||
        seconds <= 0 || n_connections < 1 || n_connections > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: bench-paced PORT PATH RATE SECONDS CONNECTIONS\n");
        return 2;
    }
    request_length = (size_t)snprintf(request, sizeof(request),
                                      "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);

    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (epoll < 0 || timer < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) != 0)
        fail("epoll");
    for (i = 0; i < n_connections; i++) {
        connect_to(&connections[i], port);
        event.data.ptr = &connections[i];
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].socket, &event) != 0)
            fail("epoll");
    }
    run(epoll, timer, rate, seconds);
    print();
    return 0;
}
