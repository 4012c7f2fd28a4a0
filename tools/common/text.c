/* SPDX-License-Identifier: Apache-2.0 */
/* Text and numbers for people. */
#include "tools/common/common.h"

#include <errno.h>
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
