/* SPDX-License-Identifier: Apache-2.0 */
/* What table, page and comparison derive from a measurement: the kernel in use, the clock, the summary. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"

const struct bench_impl bench_impls[] = {
    {"vaes512", "blobseal, VAES-512", false}, {"vaes256", "blobseal, VAES-256", false},
    {"aesni", "blobseal, AES-NI", false},     {"openssl", "OpenSSL, the fallback", false},
    {"openssl-evp", "OpenSSL EVP", true},     {"ipsec-mb", "intel-ipsec-mb", true},
};
const size_t bench_num_impls = COUNT(bench_impls);

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

static const struct bench_measure *find(const struct bench *b, const char *name)
{
    for (size_t i = 0; i < b->num; i++)
        if (!b->measures[i].failed && b->measures[i].value.num > 0 && strcmp(b->measures[i].name, name) == 0)
            return &b->measures[i];
    return NULL;
}

const struct bench_measure *bench_find(const struct bench *b, const char *format, ...)
{
    char name[BENCH_NAME];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    return find(b, name);
}

double bench_figure(const struct bench *b, const char *format, ...)
{
    char name[BENCH_NAME];
    const struct bench_measure *m;
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    m = find(b, name);
    return m != NULL ? m->value.median : 0;
}

double bench_seconds(const struct bench_measure *m)
{
    if (m == NULL || m->unit == BENCH_UNIT_BYTES)
        return 0;
    return m->unit == BENCH_UNIT_ITEMS ? 1 / m->value.median : m->value.median;
}

const struct bench_measure *bench_run_of(const struct bench *b, const char *verb, const char *impl)
{
    return bench_find(b, "aes-256-gcm/%s/%s/run-of-16KiB", verb, impl);
}

/* Parse the number after the last / or : of a name. */
static bool last_number(const char *name, unsigned long *out)
{
    const char *p = name + strlen(name);

    while (p > name && p[-1] != '/' && p[-1] != ':')
        p--;
    return parse_number(p, 1, 1ul << 40, out);
}

size_t bench_numbers(const struct bench *b, const char *group, uint64_t out[BENCH_LIST])
{
    size_t num = 0, at;
    unsigned long n;

    for (size_t i = 0; i < b->num; i++) {
        const struct bench_measure *m = &b->measures[i];

        if (m->failed || m->value.num == 0 || strncmp(m->name, group, strlen(group)) != 0 || !last_number(m->name, &n))
            continue;
        for (at = 0; at < num && out[at] < n; at++)
            ;
        if ((at < num && out[at] == n) || num == BENCH_LIST)
            continue;
        memmove(out + at + 1, out + at, (num - at) * sizeof out[0]);
        out[at] = n;
        num++;
    }
    return num;
}

const struct bench_impl *bench_chosen(const struct bench *b)
{
    const struct bench_impl *best = NULL;
    double most = 0;

    for (size_t i = 0; i < bench_num_impls; i++) {
        const struct bench_impl *impl = &bench_impls[i];
        const struct bench_measure *m = bench_run_of(b, "seal", impl->name);

        if (m == NULL || impl->peer)
            continue;
        if (strcmp(impl->name, b->machine.kernel) == 0)
            return impl;
        if (m->value.median > most)
            best = impl;
        most = m->value.median > most ? m->value.median : most;
    }
    return best;
}

double bench_clock(const struct bench *b, const char **kind)
{
    double hertz = bench_figure(b, "clock/add-chain");

    if (hertz > 0) {
        *kind = "core cycles, clock measured with a chain of dependent additions";
        return hertz;
    }
    *kind = b->machine.mhz > 0 ? "cycles of the clock rate that the system reports, which can differ from the real one"
                               : "";
    return b->machine.mhz * 1e6;
}

/* ---- The summary ------------------------------------------------------------------------------------------------- */

void bench_verdict(const struct bench *b, char *buf, size_t cap)
{
    const struct bench_impl *impl = bench_chosen(b);
    double seal = impl != NULL ? bench_run_of(b, "seal", impl->name)->value.median : 0;
    double ceiling = bench_figure(b, "ceiling/vaesenc"), one = bench_figure(b, "pipeline/seal/threads:1");
    uint64_t threads[BENCH_LIST];
    size_t num = bench_numbers(b, "pipeline/seal/threads:", threads), used = 0;
    char rate[32];

    buf[0] = '\0';
    if (seal <= 0) {
        (void)snprintf(buf, cap, "no measurement shows how fast this CPU seals");
        return;
    }
    (void)snprintf(buf, cap, "blobseal seals %s on one core", bench_quantity(rate, BENCH_UNIT_BYTES, seal));
    used = strlen(buf);
    if (ceiling > 0)
        (void)snprintf(buf + used, cap - used, ", %.2f of AES rounds alone", seal / ceiling);
    used = strlen(buf);
    if (num > 0 && threads[num - 1] > 1 && one > 0)
        (void)snprintf(buf + used, cap - used, "; %llu threads: %.1f times", (unsigned long long)threads[num - 1],
                       bench_figure(b, "pipeline/seal/threads:%llu", (unsigned long long)threads[num - 1]) / one);
}

/* Return true if a figure of the summary varies too much. */
static bool verdict_unsteady(const struct bench *b)
{
    const struct bench_impl *impl = bench_chosen(b);
    const struct bench_measure *m = impl != NULL ? bench_run_of(b, "seal", impl->name) : NULL;
    const struct bench_measure *ceiling = bench_find(b, "ceiling/vaesenc");

    return (m != NULL && m->value.spread > BENCH_UNSTEADY) ||
           (ceiling != NULL && ceiling->value.spread > BENCH_UNSTEADY);
}

/* Return true if other programs were running: on more than an eighth of the CPUs, and more than half of one. */
static bool was_busy(const struct bench_machine *m)
{
    return m->load[0] > 0.5 && m->load[0] > m->cpus / 8.0;
}

bool bench_noisy(const struct bench *b, char *buf, size_t cap)
{
    bool busy = was_busy(&b->machine), unsteady;
    size_t wild = 0, all = 0, used;

    for (size_t i = 0; i < b->num; i++) {
        all += b->measures[i].value.num > 0;
        wild += b->measures[i].value.spread > BENCH_UNSTEADY;
    }
    unsteady = verdict_unsteady(b) || 4 * wild > all;
    buf[0] = '\0';
    if (busy)
        (void)snprintf(buf, cap, "the load was %.2f on %u CPU%s at the start%s", b->machine.load[0], b->machine.cpus,
                       b->machine.cpus == 1 ? "" : "s", unsteady ? "; " : "");
    used = strlen(buf);
    if (unsteady)
        (void)snprintf(buf + used, cap - used, "%zu of %zu figures vary by more than %.0f %%", wild, all,
                       100 * BENCH_UNSTEADY);
    return busy || unsteady;
}

/* ---- Numbers for people ------------------------------------------------------------------------------------------ */

const char *bench_size(char buf[32], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;

    while (bytes >= 1024 && bytes % 1024 == 0 && u + 1 < COUNT(units)) {
        bytes /= 1024;
        u++;
    }
    (void)snprintf(buf, 32, "%llu %s", (unsigned long long)bytes, units[u]);
    return buf;
}

const char *bench_quantity(char buf[32], enum bench_unit unit, double v)
{
    static const struct {
        double from;
        const char *bytes, *items, *seconds;
    } scales[] = {
        {1e9, "GB/s", "G/s", "Gs"}, {1e6, "MB/s", "M/s", "Ms"}, {1e3, "kB/s", "k/s", "ks"}, {1, "B/s", "/s", "s"},
        {1e-3, NULL, NULL, "ms"},   {1e-6, NULL, NULL, "us"},   {1e-9, "B/s", "/s", "ns"},
    };
    size_t i = unit == BENCH_UNIT_SECONDS ? 3 : 0;
    size_t last = unit == BENCH_UNIT_SECONDS ? COUNT(scales) - 1 : 3;
    const char *name;
    double scaled;

    while (i < last && v < scales[i].from)
        i++;
    scaled = v / scales[i].from;
    name = unit == BENCH_UNIT_BYTES ? scales[i].bytes : unit == BENCH_UNIT_ITEMS ? scales[i].items : scales[i].seconds;
    (void)snprintf(buf, 32, "%.*f %s", scaled < 10 ? 2 : scaled < 1000 ? 1 : 0, scaled, name);
    return buf;
}
