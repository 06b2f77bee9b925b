/*
 * weirctl top: asks an edge for weir_status, and a backend for its metrics, again and again, and
 * prints both. On a terminal it redraws the screen and takes keys; elsewhere it prints one screen
 * behind the other.
 */
#include "ctl/commands/commands.h"

#include "ctl/fetch.h"
#include "ctl/terminal.h"
#include "ctl/text.h"
#include "ctl/top/backend.h"
#include "ctl/top/metrics.h"
#include "ctl/top/screen.h"
#include "log/alloc.h"
#include "log/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define STATUS_ENVIRONMENT "WEIR_STATUS_URL"
#define METRICS_ENVIRONMENT "WEIR_METRICS_URL"
#define LEAST_INTERVAL_MS 100

typedef struct {
    const char *status_url, *metrics_url; /* NULL: not asked */
    const char *window;
    json_t *edge, *backend, *metrics; /* of the last answers; NULL: away */
    char error[1024];
} top_t;

/* --- asking ---------------------------------------------------------------------------------- */

static void ask_edge(top_t *top)
{
    json_decref(top->edge);
    top->edge = weir_ctl_fetch_json(top->status_url, NULL, top->error, sizeof(top->error));
}

static void ask_backend(top_t *top)
{
    json_t *earlier = top->metrics;
    char *text;
    size_t len;

    json_decref(top->backend);
    top->backend = top->metrics = NULL;
    text = weir_ctl_fetch(top->metrics_url, &len, NULL, top->error, sizeof(top->error));
    if (text != NULL) {
        top->metrics = weir_top_metrics(text);
        top->backend = weir_top_backend(top->metrics, earlier);
        free(text);
    }
    json_decref(earlier);
}

/* False if one does not answer; the error says which. */
static bool ask(top_t *top)
{
    top->error[0] = '\0';
    if (top->status_url != NULL)
        ask_edge(top);
    if (top->metrics_url != NULL)
        ask_backend(top);
    weir_ctl_make_safe(top->error, false);

    return top->error[0] == '\0';
}

/* --- printing -------------------------------------------------------------------------------- */

static void print(const weir_ctl_t *ctl, const top_t *top, bool live)
{
    const weir_top_screen_t screen = {
        .edge = top->edge,
        .backend = top->backend,
        .window = top->window,
        .columns = weir_ctl_columns(),
        .rows = live ? weir_ctl_rows_shown() - 1 : 100000,
        .end = live ? "\033[K\n" : "\n",
    };

    if (ctl->args.json) {
        json_t *both =
            weir_alloc_check(json_pack("{s:O?,s:O?}", "edge", top->edge, "backend", top->backend));

        weir_ctl_print_line(both);
        json_decref(both);
        return;
    }
    if (live)
        fputs("\033[H", stdout);
    weir_top_draw(&screen);
    if (live)
        printf("\033[J%.*s\033[K\033[%d;1H", screen.columns,
               top->error[0] != '\0' ? top->error : "1 minute  2 quarter  3 hour  q quit",
               screen.rows + 1);
    else
        putchar('\n');
    if (fflush(stdout) != 0)
        exit(WEIR_CTL_AWAY);
}

/* --- keys ------------------------------------------------------------------------------------ */

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
    (void)signal;
    ended = 1;
}

static void on_resize(int signal)
{
    (void)signal; /* ends poll() */
}

/* False for the key that ends the program. */
static bool take_key(top_t *top)
{
    char key;
    ssize_t n = read(STDIN_FILENO, &key, 1);

    if (n == 0 || (n < 0 && errno != EINTR) || (n == 1 && (key == 'q' || key == 4)))
        return false;
    if (n == 1 && key == '1')
        top->window = "1m";
    if (n == 1 && key == '2')
        top->window = "15m";
    if (n == 1 && key == '3')
        top->window = "1h";

    return true;
}

/* Waits, and redraws what is known at a key or another size. False: it is to end. */
static bool wait_live(const weir_ctl_t *ctl, top_t *top, int64_t ms)
{
    uint64_t until = weir_clock_ms() + (uint64_t)ms, now;

    while ((now = weir_clock_ms()) < until) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        int n = poll(&in, 1, (int)(until - now));

        if (ended || (n == 1 && !take_key(top)))
            return false;
        print(ctl, top, true);
    }

    return true;
}

static void run_live(const weir_ctl_t *ctl, top_t *top, int64_t ms)
{
    const struct sigaction end = {.sa_handler = on_signal}, resize = {.sa_handler = on_resize};
    struct termios before, raw;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGHUP, &end, NULL);
    sigaction(SIGWINCH, &resize, NULL);
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?25l\033[2J", stdout);
    do {
        (void)ask(top);
        print(ctl, top, true);
    } while (!ended && wait_live(ctl, top, ms));
    fputs("\033[?25h\n", stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void choose(top_t *top, const weir_ctl_args_t *args)
{
    const char *status = args->url != NULL ? args->url : getenv(STATUS_ENVIRONMENT);
    const char *metrics = args->backend != NULL ? args->backend : getenv(METRICS_ENVIRONMENT);

    top->window = args->window != NULL ? args->window : "1m";
    if (strcmp(top->window, "1m") != 0 && strcmp(top->window, "15m") != 0 &&
        strcmp(top->window, "1h") != 0)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--window \"%s\" must be 1m, 15m or 1h", top->window));
    top->status_url = status != NULL && *status != '\0' ? status : NULL;
    top->metrics_url = metrics != NULL && *metrics != '\0' ? metrics : NULL;
    if (top->status_url == NULL && top->metrics_url == NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "name an edge by --url (or " STATUS_ENVIRONMENT
                                           " in the environment), or a backend by --backend "
                                           "(" METRICS_ENVIRONMENT ")"));
}

weir_ctl_exit_t weir_ctl_top(weir_ctl_t *ctl)
{
    int64_t ms = ctl->args.interval > LEAST_INTERVAL_MS ? ctl->args.interval : LEAST_INTERVAL_MS;
    bool live = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !ctl->args.json;
    top_t top = {.window = NULL};
    bool ok = true;

    choose(&top, &ctl->args);
    if (live && !ctl->args.once) {
        run_live(ctl, &top, ms);
    } else {
        do {
            ok = ask(&top);
            if (!ok)
                weir_ctl_fail(WEIR_CTL_AWAY, "%s", top.error);
            print(ctl, &top, false);
        } while (!ctl->args.once && poll(NULL, 0, (int)ms) == 0);
    }
    json_decref(top.edge);
    json_decref(top.backend);
    json_decref(top.metrics);

    return ok ? WEIR_CTL_OK : WEIR_CTL_AWAY;
}
