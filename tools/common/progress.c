/* SPDX-License-Identifier: Apache-2.0 */
/* Progress on stderr: on a terminal a line that is redrawn, elsewhere nothing unless it was requested. */
#include "tools/common/common.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/common/signals.h"

#define REDRAW_S 0.1
#define PLAIN_S  10.0
#define JSON_S   1.0

int progress_option(const struct ui *ui, struct progress *p, const char *arg)
{
    static const char *const names[] = {"auto", "plain", "json", "none"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(arg, names[i]) == 0) {
            p->mode = (enum progress_mode)i;
            return EXIT_OK;
        }
    return usage_error(ui, "--progress is auto, plain, json or none, not %s", arg);
}

void progress_start(struct progress *p, const struct ui *ui, const char *name, uint64_t total)
{
    p->verb = ui->verb;
    p->name = name;
    p->total = total;
    p->started = p->shown = seconds_now();
    if (p->mode == PROGRESS_AUTO && (ui->quiet || ui->json || !isatty(STDERR_FILENO)))
        p->mode = PROGRESS_NONE;
    p->summary = !ui->quiet && !ui->json && (p->mode == PROGRESS_AUTO || p->mode == PROGRESS_PLAIN);
}

/* "seal disk0.vhd  12.4 GiB / 64.0 GiB  19%  3.91 GB/s  ETA 0:13" */
static void format_line(char *line, size_t cap, const struct progress *p, uint64_t done, double elapsed)
{
    char have[32], all[32], rate[32];
    double left = done > 0 ? elapsed * ((double)p->total - (double)done) / (double)done : 0;

    human_bytes(have, done);
    human_rate(rate, done, elapsed);
    if (p->total == BLOBSEAL_SIZE_UNKNOWN || p->total == 0)
        (void)snprintf(line, cap, "%s %.100s  %s  %s", p->verb, p->name, have, rate);
    else
        (void)snprintf(line, cap, "%s %.100s  %s / %s  %.0f%%  %s  ETA %u:%02u", p->verb, p->name, have,
                       human_bytes(all, p->total), 100.0 * (double)done / (double)p->total, rate, (unsigned)left / 60,
                       (unsigned)left % 60);
}

/* Return the largest width of a line that does not wrap. A line that wraps could not be redrawn. */
static int terminal_width(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

static void show(struct progress *p, const char *line)
{
    if (p->mode == PROGRESS_PLAIN) {
        fprintf(stderr, "%s\n", line);
    } else {
        flockfile(stderr);
        signals_line(true);
        fprintf(stderr, "\r%.*s\033[K", terminal_width(), line);
        funlockfile(stderr);
        p->on_line = true;
    }
}

bool progress_step(void *progress, uint64_t bytes_done)
{
    struct progress *p = progress;
    double now, every = p->mode == PROGRESS_AUTO ? REDRAW_S : p->mode == PROGRESS_JSON ? JSON_S : PLAIN_S;
    char line[256], total[24] = "null";

    if (p->mode == PROGRESS_NONE)
        return true;
    now = seconds_now();
    if (now - p->shown < every)
        return true;
    p->shown = now;
    if (p->mode != PROGRESS_JSON) {
        format_line(line, sizeof line, p, bytes_done, now - p->started);
        show(p, line);
        return true;
    }
    if (p->total != BLOBSEAL_SIZE_UNKNOWN)
        (void)snprintf(total, sizeof total, "%llu", (unsigned long long)p->total);
    fprintf(stderr,
            "{\"schema\":\"blobseal.progress/1\",\"verb\":\"%s\",\"bytes\":%llu,\"total\":%s,\"seconds\":%.3f}\n",
            p->verb, (unsigned long long)bytes_done, total, now - p->started);
    return true;
}

/* Steps take long, so on a terminal each one is drawn immediately. */
void progress_count(struct progress *p, unsigned long step, unsigned long steps, const char *name)
{
    double now = seconds_now(), every = p->mode == PROGRESS_AUTO ? 0 : p->mode == PROGRESS_JSON ? JSON_S : PLAIN_S;
    char line[256], text[128];

    if (p->mode == PROGRESS_NONE || now - p->shown < every)
        return;
    p->shown = now;
    if (p->mode != PROGRESS_JSON) {
        (void)snprintf(line, sizeof line, "%s %lu/%lu  %s", p->verb, step, steps, printable(text, sizeof text, name));
        show(p, line);
        return;
    }
    fprintf(stderr,
            "{\"schema\":\"blobseal.progress/1\",\"verb\":\"%s\",\"step\":%lu,\"steps\":%lu,\"seconds\":%.3f}\n",
            p->verb, step, steps, now - p->started);
}

double progress_end(struct progress *p)
{
    if (p->on_line)
        fputs("\r\033[K", stderr);
    signals_line(false);
    p->on_line = false;
    return seconds_now() - p->started;
}
