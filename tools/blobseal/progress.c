/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line: on a terminal it is drawn over itself, elsewhere it is silent unless asked for. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

#define REDRAW_S 0.1
#define PLAIN_S  10.0
#define JSON_S   1.0

const char *human_bytes(char buf[32], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    size_t u = 0;

    while (v >= 1023.95 && u + 1 < COUNT(units)) {
        v /= 1024;
        u++;
    }
    (void)snprintf(buf, 32, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return buf;
}

const char *human_rate(char buf[32], uint64_t bytes, double seconds)
{
    double rate = seconds > 0 ? (double)bytes / seconds : 0;

    if (rate >= 1e9)
        (void)snprintf(buf, 32, "%.2f GB/s", rate / 1e9);
    else
        (void)snprintf(buf, 32, "%.1f MB/s", rate / 1e6);
    return buf;
}

bool progress_option(struct progress *p, const char *arg)
{
    static const char *const names[] = {"auto", "plain", "json", "none"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(arg, names[i]) == 0) {
            p->mode = (enum progress_mode)i;
            return true;
        }
    return false;
}

void progress_start(struct progress *p, const char *verb, const char *name, uint64_t total)
{
    p->verb = verb;
    p->name = name;
    p->total = total;
    p->started = p->shown = seconds_now();
    if (p->mode == PROGRESS_AUTO && (settings.quiet || settings.json || !isatty(STDERR_FILENO)))
        p->mode = PROGRESS_NONE;
}

static void print_json(const struct progress *p, uint64_t done, double elapsed)
{
    fprintf(stderr, "{\"schema\":\"blobseal.progress/1\",\"verb\":\"%s\",\"bytes\":%llu,\"total\":", p->verb,
            (unsigned long long)done);
    if (p->total == BLOBSEAL_SIZE_UNKNOWN)
        fputs("null", stderr);
    else
        fprintf(stderr, "%llu", (unsigned long long)p->total);
    fprintf(stderr, ",\"seconds\":%.3f}\n", elapsed);
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

/* A line that wraps could not be drawn over. */
static int terminal_width(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

bool progress_step(void *progress, uint64_t bytes_done)
{
    struct progress *p = progress;
    double now, every = p->mode == PROGRESS_AUTO ? REDRAW_S : p->mode == PROGRESS_JSON ? JSON_S : PLAIN_S;
    char line[256];

    if (p->mode == PROGRESS_NONE)
        return true;
    now = seconds_now();
    if (now - p->shown < every)
        return true;
    p->shown = now;
    if (p->mode == PROGRESS_JSON) {
        print_json(p, bytes_done, now - p->started);
        return true;
    }
    format_line(line, sizeof line, p, bytes_done, now - p->started);
    if (p->mode == PROGRESS_PLAIN) {
        fprintf(stderr, "%s\n", line);
    } else {
        fprintf(stderr, "\r%.*s\033[K", terminal_width(), line);
        p->on_line = true;
    }
    return true;
}

void progress_count(struct progress *p, unsigned long step, unsigned long steps, const char *name)
{
    double now = seconds_now();
    char line[256], text[128];

    if (p->mode == PROGRESS_NONE ||
        (p->mode != PROGRESS_AUTO && now - p->shown < (p->mode == PROGRESS_JSON ? JSON_S : PLAIN_S)))
        return;
    p->shown = now;
    if (p->mode == PROGRESS_JSON) {
        fprintf(stderr,
                "{\"schema\":\"blobseal.progress/1\",\"verb\":\"%s\",\"step\":%lu,\"steps\":%lu,\"seconds\":%.3f}\n",
                p->verb, step, steps, now - p->started);
        return;
    }
    (void)snprintf(line, sizeof line, "%s %lu/%lu  %s", p->verb, step, steps, printable(text, sizeof text, name));
    if (p->mode == PROGRESS_PLAIN) {
        fprintf(stderr, "%s\n", line);
    } else {
        fprintf(stderr, "\r%.*s\033[K", terminal_width(), line);
        p->on_line = true;
    }
}

double progress_end(struct progress *p)
{
    if (p->on_line)
        fputs("\r\033[K", stderr);
    p->on_line = false;
    return seconds_now() - p->started;
}

bool progress_wants_summary(const struct progress *p)
{
    return !settings.quiet && !settings.json && (p->mode == PROGRESS_AUTO || p->mode == PROGRESS_PLAIN);
}
