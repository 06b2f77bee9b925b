// How long after an invalidation a fleet of edges still gives the old answer.
//
// One process is the upstream, the one who invalidates, and the clients, so that
// all times are of one clock and it is known which answer was the last to be
// stale.  The upstream answers /k/N with the version of key N, cacheable for an
// hour and tagged "k:N".  Some hundred times a second a key gets its next version
// and "XADD weir:invalidate * tags k:N" is sent.  A thread of clients for each
// edge asks without a pause; half of its requests are for the key that is next and
// for those that were last, so that no stale answer is missed for want of a request.
//
// Invalidations take the keys in turn: number i ends version i / keys of key
// i % keys.  So an answer with version v of key k is stale with respect to the
// invalidations v * keys + k, that number + keys, and so on.
//
// The time of an invalidation is taken before XADD is sent, that of an answer
// when it has been read: what is measured includes all queues on the way.
//
// Prints one line of JSON.  Exit code 0 if every answer was in time and, at the
// end, every edge has the last version of every key; 1 if not; 2 if it could not
// be measured.

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <hiredis/hiredis.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EDGES_MAX 8
#define CONNECTIONS_MAX 256 // of the clients of one edge
#define UPSTREAM_MAX 4096   // connections that the edges may have open
#define BUFFER 4096         // bytes of a request or a response
#define RECENT 4            // invalidations whose keys are asked for most

static struct {
    const char *redis; // path of the unix socket
    int upstream_port;
    int edge_ports[EDGES_MAX];
    int edges;
    int keys;
    int rate;         // invalidations a second
    int seconds;      // of invalidations
    int connections;  // of the clients of one edge
    int staleness_ms; // weir_cache_staleness of the edges
} opt = {.keys = 500, .rate = 200, .seconds = 60, .connections = 16, .staleness_ms = 2000};

static _Atomic int *versions; // of each key, as the upstream answers
static _Atomic int issued;    // invalidations so far
static int64_t *times;        // of each invalidation, ns; written before issued
static _Atomic bool finished; // the clients shall stop
static _Atomic long upstream_asked;

typedef struct {
    int fd;
    int key;    // that was asked for
    size_t len; // bytes in buf
    char buf[BUFFER];
} connection_t;

typedef struct {
    pthread_t thread;
    int port;
    unsigned seed;
    int64_t
        *last; // of each invalidation: how much later the last stale answer came, ns; 0: none did
    long answers;
    long hits;
    long stale;
    long late;      // answers later than the staleness
    int64_t latest; // the greatest lateness of all, ns
    connection_t connections[CONNECTIONS_MAX];
} edge_t;

static edge_t edges[EDGES_MAX];

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench-invalidate: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static void *must(void *memory)
{
    if (memory == NULL)
        die("no memory");
    return memory;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void no_delay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void watch(int epoll, int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

// A few hundred bytes always find room in the buffer of a socket that is asked one thing at a time.
static bool send_all(int fd, const char *text, size_t len)
{
    return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

// --- the upstream -------------------------------------------------------------

static int listen_upstream(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in addr = loopback(opt.upstream_port);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 1024) != 0)
        die("cannot listen on port %d: %s", opt.upstream_port, strerror(errno));
    return fd;
}

// Answers the request in the buffer; false: the connection is of no use any more.
static bool answer(connection_t *c)
{
    char text[512], body[16];
    int key, len;

    if (sscanf(c->buf, "GET /k/%d ", &key) != 1 || key < 0 || key >= opt.keys) {
        static const char no[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        return send_all(c->fd, no, sizeof(no) - 1);
    }

    atomic_fetch_add(&upstream_asked, 1);
    int body_len = snprintf(body, sizeof(body), "%d", atomic_load(&versions[key]));
    len = snprintf(text, sizeof(text),
                   "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=3600\r\n"
                   "Cache-Tag: k:%d\r\nContent-Length: %d\r\n\r\n%s",
                   key, body_len, body);
    return send_all(c->fd, text, (size_t)len);
}

static bool serve(connection_t *c)
{
    ssize_t n = read(c->fd, c->buf + c->len, sizeof(c->buf) - 1 - c->len);
    if (n <= 0)
        return false;

    c->len += (size_t)n;
    c->buf[c->len] = '\0';
    if (strstr(c->buf, "\r\n\r\n") == NULL)
        return c->len < sizeof(c->buf) - 1;

    c->len = 0; // nginx sends the next request after the answer only
    return answer(c);
}

static void *upstream_main(void *arg)
{
    int listener = *(int *)arg, epoll = epoll_create1(0), open = 0;
    struct epoll_event events[64];

    watch(epoll, listener, NULL);
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            connection_t *c = events[i].data.ptr;

            if (c == NULL) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0 || open == UPSTREAM_MAX)
                    die("the upstream cannot accept connection %d", open + 1);
                c = must(calloc(1, sizeof(*c)));
                c->fd = fd;
                open++;
                no_delay(fd);
                watch(epoll, fd, c);

            } else if (!serve(c)) {
                close(c->fd);
                free(c);
                open--;
            }
        }
    }
    return NULL;
}

// --- the clients --------------------------------------------------------------

static void ask(edge_t *edge, connection_t *c, int key)
{
    char text[128];
    int len = snprintf(text, sizeof(text), "GET /k/%d HTTP/1.1\r\nHost: edge\r\n\r\n", key);

    c->key = key;
    c->len = 0;
    if (!send_all(c->fd, text, (size_t)len))
        die("the edge on port %d has closed a connection", edge->port);
}

static int choose_key(edge_t *edge)
{
    int number = atomic_load(&issued);
    int r = rand_r(&edge->seed);

    if ((r & 1) && number > RECENT)
        return (number - (r >> 1) % (RECENT + 1)) % opt.keys;
    return (r >> 1) % opt.keys;
}

// The version in a complete response, -1 if more has to be read.
static int read_version(edge_t *edge, connection_t *c, bool *hit)
{
    c->buf[c->len] = '\0';

    char *body = strstr(c->buf, "\r\n\r\n");
    if (body == NULL)
        return -1;
    body += 4;

    char *length = strcasestr(c->buf, "\r\nContent-Length: ");
    if (strncmp(c->buf, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > body)
        die("the edge on port %d answered /k/%d with \"%.*s\"", edge->port, c->key,
            (int)strcspn(c->buf, "\r"), c->buf);
    if (c->len - (size_t)(body - c->buf) < strtoul(length + 18, NULL, 10))
        return -1;

    *hit = strcasestr(c->buf, "; hit") != NULL;
    return atoi(body);
}

// An answer of a version has been read at a time.
static void judge(edge_t *edge, int key, int version, int64_t at)
{
    int number = atomic_load(&issued);
    int first = version * opt.keys + key;

    edge->answers++;
    if (first >= number)
        return;

    int64_t lateness = at - times[first];
    edge->stale++;
    if (lateness > (int64_t)opt.staleness_ms * 1000000)
        edge->late++;
    if (lateness > edge->latest)
        edge->latest = lateness;

    for (int i = first; i < number; i += opt.keys)
        if (at - times[i] > edge->last[i])
            edge->last[i] = at - times[i];
}

static void *clients_main(void *arg)
{
    edge_t *edge = arg;
    struct epoll_event events[CONNECTIONS_MAX];
    int epoll = epoll_create1(0);

    for (int i = 0; i < opt.connections; i++) {
        connection_t *c = &edge->connections[i];
        struct sockaddr_in addr = loopback(edge->port);

        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
            die("no edge on port %d: %s", edge->port, strerror(errno));
        no_delay(c->fd);
        watch(epoll, c->fd, c);
        ask(edge, c, choose_key(edge));
    }

    while (!atomic_load(&finished)) {
        int n = epoll_wait(epoll, events, CONNECTIONS_MAX, 100);

        for (int i = 0; i < n; i++) {
            connection_t *c = events[i].data.ptr;
            bool hit = false;
            ssize_t got = read(c->fd, c->buf + c->len, sizeof(c->buf) - 1 - c->len);

            if (got <= 0)
                die("the edge on port %d has closed a connection", edge->port);
            c->len += (size_t)got;

            int version = read_version(edge, c, &hit);
            if (version < 0)
                continue;
            edge->hits += hit;
            judge(edge, c->key, version, now_ns());
            ask(edge, c, choose_key(edge));
        }
    }
    return NULL;
}

// How many keys an edge still has in an older version.
static int count_old(edge_t *edge)
{
    connection_t *c = &edge->connections[0];
    struct sockaddr_in addr = loopback(edge->port);
    int old = 0;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
        die("no edge on port %d: %s", edge->port, strerror(errno));

    for (int key = 0; key < opt.keys; key++) {
        int version;
        bool hit;

        ask(edge, c, key);
        do {
            ssize_t got = read(c->fd, c->buf + c->len, sizeof(c->buf) - 1 - c->len);
            if (got <= 0)
                die("the edge on port %d has closed a connection", edge->port);
            c->len += (size_t)got;
            version = read_version(edge, c, &hit);
        } while (version < 0);

        if (version != atomic_load(&versions[key]))
            old++;
    }
    close(c->fd);
    return old;
}

// --- who invalidates ----------------------------------------------------------

static void invalidate(redisContext *redis, int total)
{
    int64_t start = now_ns(), step = 1000000000 / opt.rate;

    for (int i = 0; i < total; i++) {
        int64_t due = start + i * step;
        struct timespec t = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        }

        int key = i % opt.keys;
        atomic_fetch_add(&versions[key], 1);
        times[i] = now_ns();
        atomic_store(&issued, i + 1);

        redisReply *reply = redisCommand(redis, "XADD weir:invalidate * tags k:%d", key);
        if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
            die("XADD: %s", reply ? reply->str : redis->errstr);
        freeReplyObject(reply);
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// The value that a share of n sorted ones does not exceed, in ms.
static double percentile(const int64_t *sorted, int n, double share)
{
    int rank = (int)(share * n + 0.999999);
    return (double)sorted[rank > 0 ? rank - 1 : 0] / 1e6;
}

static int report(int total)
{
    int64_t *worst = must(calloc((size_t)total, sizeof(*worst)));
    int64_t latest = 0;
    long answers = 0, hits = 0, stale = 0, late = 0;
    int old = 0;

    for (int e = 0; e < opt.edges; e++) {
        for (int i = 0; i < total; i++)
            if (edges[e].last[i] > worst[i])
                worst[i] = edges[e].last[i];
        answers += edges[e].answers;
        hits += edges[e].hits;
        stale += edges[e].stale;
        late += edges[e].late;
        latest = edges[e].latest > latest ? edges[e].latest : latest;
        old += count_old(&edges[e]);
    }
    qsort(worst, (size_t)total, sizeof(*worst), by_size);

    printf(
        "{\"edges\":%d,\"keys\":%d,\"invalidations\":%d,\"per_second\":%d,\"connections\":%d,"
        "\"answers\":%ld,"
        "\"hits\":%ld,\"upstream_requests\":%ld,\"stale_answers\":%ld,\"p50_ms\":%.3f,\"p90_ms\":%."
        "3f,"
        "\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f,\"staleness_ms\":%d,\"late_answers\":%ld,"
        "\"latest_ms\":%.3f,\"old_at_the_end\":%d}\n",
        opt.edges, opt.keys, total, opt.rate, opt.connections, answers, hits,
        atomic_load(&upstream_asked), stale, percentile(worst, total, 0.5),
        percentile(worst, total, 0.9), percentile(worst, total, 0.99),
        percentile(worst, total, 0.999), percentile(worst, total, 1), opt.staleness_ms, late,
        (double)latest / 1e6, old);

    free(worst);
    return late == 0 && old == 0 ? 0 : 1;
}

// --- options ------------------------------------------------------------------

static int number(const char *option, const char *text, int min, int max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < min || value > max)
        die("--%s is \"%s\"; it must be a number between %d and %d", option, text, min, max);
    return (int)value;
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {{"redis", required_argument, NULL, 'r'},
                                            {"upstream-port", required_argument, NULL, 'u'},
                                            {"edge-port", required_argument, NULL, 'e'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"rate", required_argument, NULL, 'i'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"staleness", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    int c, which;

    while ((c = getopt_long(argc, argv, "", options, &which)) != -1) {
        const char *name = c == '?' ? "" : options[which].name;
        switch (c) {
        case 'r':
            opt.redis = optarg;
            break;
        case 'u':
            opt.upstream_port = number(name, optarg, 1, 65535);
            break;
        case 'e':
            if (opt.edges == EDGES_MAX)
                die("more than %d edges", EDGES_MAX);
            opt.edge_ports[opt.edges++] = number(name, optarg, 1, 65535);
            break;
        case 'k':
            opt.keys = number(name, optarg, 1, 100000);
            break;
        case 'i':
            opt.rate = number(name, optarg, 1, 10000);
            break;
        case 's':
            opt.seconds = number(name, optarg, 1, 3600);
            break;
        case 'c':
            opt.connections = number(name, optarg, 1, CONNECTIONS_MAX);
            break;
        case 't':
            opt.staleness_ms = number(name, optarg, 1, 3600000);
            break;
        default:
            exit(2);
        }
    }
    if (optind < argc)
        die("unknown argument \"%s\"", argv[optind]);
    if (opt.redis == NULL || opt.upstream_port == 0 || opt.edges == 0)
        die("--redis PATH, --upstream-port PORT and at least one --edge-port PORT are needed; also "
            "--keys, "
            "--rate, --seconds, --connections, --staleness MS");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);

    int total = opt.rate * opt.seconds;
    versions = must(calloc((size_t)opt.keys, sizeof(*versions)));
    times = must(calloc((size_t)total, sizeof(*times)));

    redisContext *redis = redisConnectUnix(opt.redis);
    if (redis == NULL || redis->err)
        die("no Redis at %s: %s", opt.redis, redis ? redis->errstr : "no memory");

    pthread_t upstream;
    int listener = listen_upstream();
    if (pthread_create(&upstream, NULL, upstream_main, &listener) != 0)
        die("no thread");

    for (int e = 0; e < opt.edges; e++) {
        edges[e].port = opt.edge_ports[e];
        edges[e].seed = (unsigned)e + 1;
        edges[e].last = must(calloc((size_t)total, sizeof(int64_t)));
        if (pthread_create(&edges[e].thread, NULL, clients_main, &edges[e]) != 0)
            die("no thread");
    }

    invalidate(redis, total);

    // what is stale beyond the bound shall be seen too
    struct timespec rest = {.tv_sec = opt.staleness_ms / 1000 + 1};
    nanosleep(&rest, NULL);
    atomic_store(&finished, true);
    for (int e = 0; e < opt.edges; e++) {
        pthread_join(edges[e].thread, NULL);
        for (int i = 0; i < opt.connections; i++)
            close(edges[e].connections[i].fd);
    }

    int status = report(total);

    for (int e = 0; e < opt.edges; e++)
        free(edges[e].last);
    free(times);
    redisFree(redis);
    return status;
}
