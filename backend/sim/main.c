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

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    static sim_t sim = {.switches = {.error_status = 503}};
    const char *address = NULL, *url = NULL, *key = NULL, *file = NULL, *tls = NULL;
    const char *names = "spiffe://weir.internal/*";
    weir_secret_t secret = {.len = 0};
    char error[512];
    int option;

    weir_alloc_libraries();
    weir_output_check_at_exit("weir-payments-sim", 1);
    while ((option = getopt_long(argc, argv, "l:w:s:S:f:T:n:hV", long_options, NULL)) != -1) {
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
            sim.secret_file = optarg;
            break;
        case 'T':
            tls = optarg;
            break;
        case 'n':
            names = optarg;
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
    if (address == NULL || optind < argc || (url == NULL) != (key == NULL && sim.secret_file == NULL)) {
        usage(stderr);
        return 2;
    }
    if ((key != NULL && !weir_secret_parse(key, &secret)) ||
        (sim.secret_file != NULL && !sim_secret_read(sim.secret_file, &secret)))
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
    if (!sim_listen(&sim, address, tls, names, error, sizeof(error)))
        return complain(error);
    event_add(evsignal_new(sim.base, SIGTERM, on_signal, sim.base), NULL);
    event_add(evsignal_new(sim.base, SIGINT, on_signal, sim.base), NULL);
    fprintf(stderr, "weir-payments-sim: answers on %s\n", address);
    event_base_dispatch(sim.base);
    if (sim.ledger != NULL)
        fclose(sim.ledger);
    return 0;
}
