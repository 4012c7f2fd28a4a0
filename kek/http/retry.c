/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before a request is sent again, and waiting within the limits of a call. */
#define _GNU_SOURCE /* CLOCK_BOOTTIME */
#include <stdlib.h>
#include <time.h>

#include "kek/http/http.h"
#include "kek/http/libcurl.h"

#define MAX_WAIT_MS INT64_C(86400000)
#define SLICE_MS    50 /* how often the request to cancel is looked at */

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;

    return clock_gettime(clock, &t) == 0 ? (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 : 0;
}

uint64_t bs_http_now_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t bs_http_boottime_ms(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

uint64_t bs_http_unix_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* Read a decimal number that is all of @text, times @unit and at most MAX_WAIT_MS. Return -1 if it is none. */
static int64_t read_number(const char *text, int64_t unit)
{
    int64_t n = 0;

    if (text[0] == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        n = n * 10 + (*text - '0');
        if (n * unit > MAX_WAIT_MS)
            n = MAX_WAIT_MS / unit;
    }
    return n * unit;
}

int64_t bs_http_retry_after(const struct bs_http_response *r)
{
    int64_t ms = read_number(r->retry_after_ms, 1), now, at;

    if (ms < 0)
        ms = read_number(r->retry_after, 1000);
    if (ms >= 0 || r->retry_after[0] == '\0')
        return ms;
    at = bs_curl.getdate(r->retry_after, NULL);
    if (at < 0)
        return -1;
    now = r->date >= 0 ? r->date : (int64_t)time(NULL); /* by the clock of the server, if it tells */
    if (at <= now)
        return 0;
    return at - now > MAX_WAIT_MS / 1000 ? MAX_WAIT_MS : (at - now) * 1000;
}

uint64_t bs_http_backoff(unsigned n)
{
    uint64_t ms = (uint64_t)1000 << (n < 4 ? n : 4);
    uint16_t r = 0;

    if (!blobseal_random(&r, sizeof r, false))
        r = 0;
    return ms - ms / 4 * r / UINT16_MAX;
}

enum blobseal_status bs_http_wait(uint64_t ms, const char *what, const struct blobseal_call *call,
                                  struct blobseal_error *err)
{
    uint64_t end = bs_http_now_ms() + ms;

    if (call->deadline_ms != 0 && end >= call->deadline_ms) {
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0,
                            "%s: the time limit of this operation does not allow "
                            "to wait for %llu ms",
                            what, (unsigned long long)ms);
        blobseal_hint(err, "try again later, or with a longer limit");
        return BLOBSEAL_E_UNAVAILABLE;
    }
    for (;;) {
        uint64_t now = bs_http_now_ms(), left = now < end ? end - now : 0;
        const struct timespec pause = {0, (long)(left < SLICE_MS ? left : SLICE_MS) * 1000000};

        if (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != 0)
            return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "%s: the program asked to stop", what);
        if (left == 0)
            return BLOBSEAL_OK;
        (void)nanosleep(&pause, NULL);
    }
}
