/* weir-payments-sim: reads the arguments and runs the simulator until SIGTERM or SIGINT. */
#include "log/alloc.h"
#include "sim/sim.h"

#include "common/version.h"
#include "common/output.h"
#include "http/listen.h"

#include <event2/listener.h>

#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void usage(FILE *out)
{
    fputs("usage: weir-payments-sim -l ADDRESS:PORT [-w URL (-s SECRET | -S FILE)] [-f FILE]\n"
          "         -l   where it answers\n"
          "         -w   where webhooks go: http://HOST:PORT/PATH\n"
          "         -s   the key that signs them: whsec_ and base64 of 24 to 64 bytes\n"
          "         -S   the same from the first line of a file, where other users' ps does not "
          "see it\n"
          "         -f   keeps the ledger in that file\n"
          "       weir-payments-sim --help | --version\n",
          out);
}

static int complain(const char *message)
{
    fprintf(stderr, "weir-payments-sim: %s\n", message);
    return 1;
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

/*
 * Without free descriptors the listener stays readable: retrying at once would be a busy loop. The
 * argument is libevent's evhttp, which has bound the listener.
 */
static void on_accept_again(evutil_socket_t fd, short what, void *listener)
{
    (void)fd;
    (void)what;
    evconnlistener_enable(listener);
}

static void on_accept_error(struct evconnlistener *listener, void *of_evhttp)
{
    static const struct timeval pause = {0, 100000};

    (void)of_evhttp;
    if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_accept_again,
                        listener, &pause) == 0)
        evconnlistener_disable(listener);
}

static bool listen_at(sim_t *sim, const char *address, char *error, size_t error_size)
{
    struct evhttp *http = evhttp_new(sim->base);
    struct evconnlistener *listener;
    int fd = weir_listen(address, error, error_size);

    if (fd < 0)
        return false;
    listener = evconnlistener_new(sim->base, NULL, NULL,
                                  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (http == NULL || listener == NULL || evhttp_bind_listener(http, listener) == NULL) {
        snprintf(error, error_size, "cannot listen on %s: out of memory", address);
        return false;
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    evhttp_set_max_headers_size(http, 16384);
    evhttp_set_max_body_size(http, 65536);
    evhttp_set_gencb(http, sim_on_request, sim);
    return true;
}

/* The first line of the file, in static memory; NULL on failure. */
static const char *secret_of(const char *file)
{
    static char line[256];
    FILE *in = fopen(file, "r");
    const char *read = in != NULL ? fgets(line, sizeof(line), in) : NULL;

    if (in != NULL)
        fclose(in);
    line[strcspn(line, "\n")] = '\0';
    return read;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    static sim_t sim = {.switches = {.error_status = 503}};
    const char *address = NULL, *url = NULL, *key = NULL, *file = NULL;
    weir_secret_t secret;
    char error[512];
    int option;

    weir_alloc_libraries();
    weir_output_check_at_exit("weir-payments-sim", 1);
    while ((option = getopt_long(argc, argv, "l:w:s:S:f:hV", long_options, NULL)) != -1) {
        switch (option) {
        case 'l':
            address = optarg;
            break;
        case 'w':
            url = optarg;
            break;
        case 's':
            key = optarg;
            break;
        case 'S':
            key = secret_of(optarg);
            if (key == NULL)
                return complain("the secret's file cannot be read");
            break;
        case 'f':
            file = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            return puts("weir-payments-sim " WEIR_VERSION) < 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (address == NULL || optind < argc || (url == NULL) != (key == NULL)) {
        usage(stderr);
        return 2;
    }
    if (key != NULL && !weir_secret_parse(key, &secret))
        return complain("the secret must be whsec_ and base64 of 24 to 64 bytes");

    signal(SIGPIPE, SIG_IGN);
    sim.base = event_base_new();
    if (sim.base == NULL)
        return complain("no event loop: out of memory or descriptors");
    if (!sim_ledger_open(&sim, file, error, sizeof(error)))
        return complain(error);
    if (url != NULL) {
        sim.webhooks = sim_webhooks_new(&sim, url, &secret, error, sizeof(error));
        if (sim.webhooks == NULL)
            return complain(error);
    }
    if (!listen_at(&sim, address, error, sizeof(error)))
        return complain(error);
    event_add(evsignal_new(sim.base, SIGTERM, on_signal, sim.base), NULL);
    event_add(evsignal_new(sim.base, SIGINT, on_signal, sim.base), NULL);
    fprintf(stderr, "weir-payments-sim: answers on %s\n", address);
    event_base_dispatch(sim.base);
    if (sim.ledger != NULL)
        fclose(sim.ledger);
    return 0;
}
