/* weir-payments-sim: reads the arguments and runs the simulator until SIGTERM or SIGINT. */
#include "log/alloc.h"
#include "sim/sim.h"

#include "common/version.h"
#include "common/output.h"

#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void usage(FILE *out)
{
    fputs("usage: weir-payments-sim -l ADDRESS:PORT [-w URL (-s SECRET | -S FILE)] [-f FILE]\n"
          "                         [-T FOLDER [-n NAMES]]\n"
          "         -l   where it answers\n"
          "         -w   where webhooks go: http://HOST:PORT/PATH\n"
          "         -s   the key that signs them: whsec_ and base64 of 24 to 64 bytes\n"
          "         -S   the same from the first line of a file, where other users' ps does not "
          "see it;\n"
          "              it is read for each webhook\n"
          "         -f   keeps the ledger in that file\n"
          "         -T   TLS, with tls.crt, tls.key and ca.crt of that folder: clients need a\n"
          "              certificate\n"
          "         -n   of one of these names (spiffe://weir.internal/*)\n"
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

/* What the command line says; NULL: not given. */
typedef struct {
    const char *address, *url, *file, *tls, *names;
    const weir_secret_t *secret;
} wanted_t;

/* Until a signal ends it. Returns false with a message if it cannot start. */
static bool run(sim_t *sim, const wanted_t *wanted, char *error, size_t size)
{
    signal(SIGPIPE, SIG_IGN);
    sim->base = event_base_new();
    if (sim->base == NULL) {
        snprintf(error, size, "no event loop: out of memory or descriptors");
        return false;
    }
    if (!sim_ledger_open(sim, wanted->file, error, size))
        return false;
    if (wanted->url != NULL) {
        sim->webhooks = sim_webhooks_new(sim, wanted->url, wanted->secret, error, size);
        if (sim->webhooks == NULL)
            return false;
    }
    if (!sim_listen(sim, wanted->address, wanted->tls, wanted->names, error, size))
        return false;
    event_add(evsignal_new(sim->base, SIGTERM, on_signal, sim->base), NULL);
    event_add(evsignal_new(sim->base, SIGINT, on_signal, sim->base), NULL);
    fprintf(stderr, "weir-payments-sim: answers on %s\n", wanted->address);
    event_base_dispatch(sim->base);
    if (sim->ledger != NULL)
        fclose(sim->ledger);
    return true;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    static sim_t sim = {.switches = {.error_status = 503}};
    weir_secret_t secret = {.len = 0};
    wanted_t wanted = {.names = "spiffe://weir.internal/*", .secret = &secret};
    const char *key = NULL;
    char error[512];
    int option;

    weir_alloc_libraries();
    weir_output_check_at_exit("weir-payments-sim", 1);
    while ((option = getopt_long(argc, argv, "l:w:s:S:f:T:n:hV", long_options, NULL)) != -1) {
        switch (option) {
        case 'l':
            wanted.address = optarg;
            break;
        case 'w':
            wanted.url = optarg;
            break;
        case 's':
            key = optarg;
            break;
        case 'S':
            sim.secret_file = optarg;
            break;
        case 'T':
            wanted.tls = optarg;
            break;
        case 'n':
            wanted.names = optarg;
            break;
        case 'f':
            wanted.file = optarg;
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
    if (wanted.address == NULL || optind < argc ||
        (wanted.url == NULL) != (key == NULL && sim.secret_file == NULL)) {
        usage(stderr);
        return 2;
    }
    if ((key != NULL && !weir_secret_parse(key, &secret)) ||
        (sim.secret_file != NULL && !sim_secret_read(sim.secret_file, &secret)))
        return complain("the secret must be whsec_ and base64 of 24 to 64 bytes");

    return run(&sim, &wanted, error, sizeof(error)) ? 0 : complain(error);
}
