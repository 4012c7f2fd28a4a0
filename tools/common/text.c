/* SPDX-License-Identifier: Apache-2.0 */
/* Text and numbers for people. */
#include "tools/common/common.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char *printable(char *buf, size_t cap, const char *text)
{
    (void)snprintf(buf, cap, "%s", text);
    blobseal_make_printable(buf);
    return buf;
}

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

/* ---- Similar words ----------------------------------------------------------------------------------------------- */

#define MAX_WORD 31 /* longer words are not compared */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Return the number of characters to insert, remove, replace or swap with their neighbour to make @b of @a. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][MAX_WORD + 1], n = strlen(a), m = strlen(b);
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t k = 0; k <= m; k++)
        before[k] = last[k] = k;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t k = 1; k <= m; k++) {
            row[k] = least(least(last[k] + 1, row[k - 1] + 1), last[k - 1] + (a[i - 1] != b[k - 1] ? 1 : 0));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                row[k] = least(row[k], before[k - 2] + 1);
        }
        before = last;
        last = row;
        row = rows[(i - 1) % 3];
    }
    return last[m];
}

void nearest_try(struct nearest *n, const char *known)
{
    size_t len = strlen(n->typed), d;

    if (len < 2 || len > MAX_WORD || strlen(known) > MAX_WORD)
        return;
    d = distance(n->typed, known);
    if (d > 1 && strncmp(known, n->typed, len) == 0) /* the beginning of a known word */
        d = 1;
    if (d > (len < 5 ? 1U : 2U) && (len < 9 || d > 3))
        return;
    if (n->best == NULL || d < n->distance) {
        n->best = known;
        n->distance = d;
    }
}

void nearest_try_list(struct nearest *n, const char *list, char buf[32])
{
    char word[32];

    for (size_t len; *list != '\0'; list += len + strspn(list + len, " ")) {
        const char *best = n->best;

        len = strcspn(list, " ");
        (void)snprintf(word, sizeof word, "%.*s", (int)len, list);
        nearest_try(n, word);
        if (n->best == best)
            continue;
        memcpy(buf, word, sizeof word);
        n->best = buf;
    }
}

/* ---- Ids, time, output ------------------------------------------------------------------------------------------- */

static const char thumbprint[] = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

const char *short_kid(char buf[SHORT_KID], const char *kid)
{
    if (strncmp(kid, thumbprint, sizeof thumbprint - 1) != 0)
        return kid;
    (void)snprintf(buf, SHORT_KID, "%s", kid + sizeof thumbprint - 1);
    return buf;
}

/* The parts of https://HOST/keys/NAME[/VERSION]. */
struct vault_id {
    const char *host, *name, *version;
    size_t host_len, name_len;
};

static bool parse_vault_id(struct vault_id *id, const char *text)
{
    static const char scheme[] = "https://", folder[] = "/keys/", port[] = ":443";
    const char *path;

    if (strncmp(text, scheme, strlen(scheme)) != 0)
        return false;
    id->host = text + strlen(scheme);
    id->host_len = strcspn(id->host, "/");
    path = id->host + id->host_len;
    if (id->host_len > strlen(port) && strncmp(path - strlen(port), port, strlen(port)) == 0)
        id->host_len -= strlen(port);
    if (strncasecmp(path, folder, strlen(folder)) != 0)
        return false;
    id->name = path + strlen(folder);
    id->name_len = strcspn(id->name, "/");
    id->version = id->name + id->name_len;
    id->version += *id->version == '/' ? 1 : 0;
    return id->host_len > 0 && id->name_len > 0;
}

static bool is_vault_id_of(const char *kid, const struct vault_id *key)
{
    struct vault_id id;

    return parse_vault_id(&id, kid) && id.host_len == key->host_len && id.name_len == key->name_len &&
           strncasecmp(id.host, key->host, id.host_len) == 0 && strncasecmp(id.name, key->name, id.name_len) == 0 &&
           (key->version[0] == '\0' || strcmp(id.version, key->version) == 0);
}

bool names_vault_key(const char *given, bool *all_versions)
{
    struct vault_id id;
    bool is_one = parse_vault_id(&id, given);

    *all_versions = is_one && id.version[0] == '\0';
    return is_one;
}

bool kid_matches(const char *kid, const char *given)
{
    size_t len = strlen(given);
    struct vault_id key;

    if (strcmp(kid, given) == 0)
        return true;
    if (parse_vault_id(&key, given))
        return is_vault_id_of(kid, &key);
    return len >= 8 && strncmp(kid, thumbprint, sizeof thumbprint - 1) == 0 &&
           strncmp(kid + sizeof thumbprint - 1, given, len) == 0;
}

void hex_id(char out[2 * BLOBSEAL_BLOB_ID_LEN + 1], const uint8_t id[BLOBSEAL_BLOB_ID_LEN])
{
    for (size_t i = 0; i < BLOBSEAL_BLOB_ID_LEN; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", id[i]);
}

double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool stdout_flush(struct blobseal_error *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    (void)blobseal_fail(err, BLOBSEAL_E_OUTPUT, errno, "write the report to standard output");
    blobseal_hint(err, "everything else is done; only the report is missing");
    return false;
}

const char *utc_time(char buf[32], uint64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(buf, 32, "%llu", (unsigned long long)seconds);
    return buf;
}
