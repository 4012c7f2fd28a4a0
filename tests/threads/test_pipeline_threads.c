/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing and opening with 1 to 16 threads, through memory and through real pipes, and failures on the way: the error
 * is reported, no thread is left running, and nothing that was not verified is released. Also runs under
 * ThreadSanitizer.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/blobs.h"

#define LEN ((size_t)6 * 1024 * 1024 + 777)
#define CAP (LEN + 256 * 1024)

static unsigned failures;

#define CHECK(cond, ...)                                                                                               \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            (void)fprintf(stderr, "%s:%d: %s, ", __FILE__, __LINE__, #cond);                                           \
            (void)fprintf(stderr, __VA_ARGS__);                                                                        \
            (void)fprintf(stderr, "\n");                                                                               \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

static uint8_t *plain;
static struct blobseal_kek *kek;
static struct sealed sealed;

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

struct ends {
    struct test_source from;
    struct test_sink to;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;
};

static void ends_start(struct ends *e, const void *data, size_t len, unsigned kind)
{
    e->from.data = data;
    e->from.len = len;
    e->from.seekable = kind % 2 == 0;
    e->from.max_piece = 150001;
    e->to.seekable = kind / 2 % 2 == 0;
    e->to.cap = CAP;
    test_source_start(&e->source, &e->from);
    test_sink_start(&e->sink, &e->to);
}

static void ends_stop(struct ends *e)
{
    CHECK(!e->from.misused && !e->to.misused, "a source or sink was used against its contract");
    CHECK(e->from.cancels <= 1, "cancel() came %u times", e->from.cancels);
    test_source_end(&e->from);
    test_sink_end(&e->to);
}

static enum blobseal_status seal(struct ends *e, unsigned threads, blobseal_progress_fn progress, void *ctx)
{
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = threads, .progress = progress, .progress_ctx = ctx};

    return blobseal_seal(&e->sink, &e->source, &kek, 1, &o, NULL, &e->err);
}

static enum blobseal_status open_it(struct ends *e, unsigned threads, blobseal_progress_fn progress, void *ctx)
{
    const struct blobseal_reader_options o = {
        .size = sizeof o, .threads = threads, .progress = progress, .progress_ctx = ctx};
    struct blobseal_reader *reader;
    enum blobseal_status st = blobseal_reader_open(&reader, &e->source, &kek, 1, &o, &e->err);

    if (st == BLOBSEAL_OK)
        st = blobseal_reader_stream(reader, &e->sink, NULL, &e->err);
    blobseal_reader_close(reader);
    CHECK(test_sink_is_part_of(&e->to, plain, LEN), "what came out is not plaintext");
    CHECK(st != BLOBSEAL_OK || test_sink_is(&e->to, plain, LEN), "not all of it");
    return st;
}

/* Progress only grows, and two threads never report it at the same time, so a plain variable is enough. */
static bool watch(void *ctx, uint64_t done)
{
    uint64_t *last = ctx;

    CHECK(done > *last && done <= LEN, "progress from %llu to %llu", (unsigned long long)*last,
          (unsigned long long)done);
    *last = done;
    return true;
}

static void round_trip(unsigned threads, unsigned kind)
{
    struct ends there = {0}, back = {0};
    uint64_t sealed_to = 0, opened_to = 0;

    ends_start(&there, plain, LEN, kind);
    CHECK(seal(&there, threads, watch, &sealed_to) == BLOBSEAL_OK, "%s", there.err.text);
    CHECK(sealed_to == LEN, "progress ends at %llu", (unsigned long long)sealed_to);
    ends_start(&back, there.to.data, there.to.bytes, kind + 1);
    CHECK(open_it(&back, threads, watch, &opened_to) == BLOBSEAL_OK, "%s", back.err.text);
    CHECK(opened_to == LEN, "progress ends at %llu", (unsigned long long)opened_to);
    ends_stop(&back);
    ends_stop(&there);
}

/* ---- Pipes ------------------------------------------------------------------------------------------------------- */

/* A thread at the other end of a pipe, which writes all of its data or reads everything. */
struct far_end {
    pthread_t thread;
    int fd;
    uint8_t *data;
    size_t len, cap;
};

static void *pour(void *arg)
{
    struct far_end *e = arg;
    ssize_t n;

    for (size_t done = 0; done < e->len && (n = write(e->fd, e->data + done, e->len - done)) > 0;)
        done += (size_t)n;
    (void)close(e->fd);
    return NULL;
}

static void *collect(void *arg)
{
    struct far_end *e = arg;
    ssize_t n;

    while (e->len < e->cap && (n = read(e->fd, e->data + e->len, e->cap - e->len)) > 0)
        e->len += (size_t)n;
    (void)close(e->fd);
    return NULL;
}

static void start(void *(*body)(void *), struct far_end *e)
{
    if (pthread_create(&e->thread, NULL, body, e) != 0)
        abort();
}

/* Pass @in through sealing or opening, with a pipe on either side. @out receives the output. */
static enum blobseal_status through_pipes(struct far_end *in, struct far_end *out, bool sealing, unsigned threads)
{
    struct ends e = {0};
    struct blobseal_fd source_fd, sink_fd;
    enum blobseal_status st;
    int to_us[2], from_us[2];

    if (pipe(to_us) != 0 || pipe(from_us) != 0)
        abort();
    in->fd = to_us[1];
    out->fd = from_us[0];
    if (blobseal_source_fd(&e.source, &source_fd, to_us[0], NULL, &e.err) != BLOBSEAL_OK ||
        blobseal_sink_fd(&e.sink, &sink_fd, from_us[1], NULL, &e.err) != BLOBSEAL_OK)
        abort();
    start(pour, in);
    start(collect, out);
    st = sealing ? seal(&e, threads, NULL, NULL) : BLOBSEAL_OK;
    if (!sealing) {
        const struct blobseal_reader_options o = {.size = sizeof o, .threads = threads};
        struct blobseal_reader *reader;

        st = blobseal_reader_open(&reader, &e.source, &kek, 1, &o, &e.err);
        if (st == BLOBSEAL_OK)
            st = blobseal_reader_stream(reader, &e.sink, NULL, &e.err);
        blobseal_reader_close(reader);
    }
    (void)close(to_us[0]);
    (void)close(from_us[1]);
    (void)pthread_join(in->thread, NULL);
    (void)pthread_join(out->thread, NULL);
    return st;
}

static void pipes(unsigned threads)
{
    struct far_end in = {.data = plain, .len = LEN}, middle = {.data = must_alloc(CAP), .cap = CAP};
    struct far_end out = {.data = must_alloc(CAP), .cap = CAP}, again;

    CHECK(through_pipes(&in, &middle, true, threads) == BLOBSEAL_OK, "sealing, %u threads", threads);
    again = (struct far_end){.data = middle.data, .len = middle.len};
    CHECK(through_pipes(&again, &out, false, threads) == BLOBSEAL_OK, "opening, %u threads", threads);
    CHECK(out.len == LEN && memcmp(out.data, plain, LEN) == 0, "another plaintext, %u threads", threads);

    middle.data[middle.len - 3 * 1049608] ^= 1; /* in the middle: opening ends before the end of the pipe */
    out.len = 0;
    again = (struct far_end){.data = middle.data, .len = middle.len};
    CHECK(through_pipes(&again, &out, false, threads) != BLOBSEAL_OK, "damaged, %u threads", threads);
    CHECK(out.len < LEN && memcmp(out.data, plain, out.len) == 0, "not a verified prefix, %u threads", threads);
    free(middle.data);
    free(out.data);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

static bool stop_after(void *ctx, uint64_t done)
{
    return done < *(const uint64_t *)ctx;
}

/* Let the source or the sink fail at some byte, in all ways of reading and writing. */
static void faults(unsigned threads, uint64_t *random)
{
    for (unsigned kind = 0; kind < 16; kind++) {
        struct ends e = {0};
        bool sealing = kind / 4 % 2 == 0, of_source = kind / 8 == 0;
        struct fault f = {.at_byte = 1 + random_below(random, LEN), .status = BLOBSEAL_E_CANCELED};
        enum blobseal_status st;

        *(of_source ? &e.from.fault : &e.to.fault) = f;
        ends_start(&e, sealing ? plain : sealed.data, sealing ? LEN : sealed.len, kind);
        st = sealing ? seal(&e, threads, NULL, NULL) : open_it(&e, threads, NULL, NULL);
        CHECK(st == f.status && e.err.status == f.status, "%s: %s, kind %u, %u threads", blobseal_status_code(st),
              e.err.text, kind, threads);
        ends_stop(&e);
    }
}

/* The source waits for data that never arrives, when the sink has already failed or the caller wants to stop. */
static void blocked(unsigned threads, uint64_t *random)
{
    for (unsigned kind = 0; kind < 8; kind++) {
        bool sealing = kind % 2 == 0, by_progress = kind / 2 % 2 == 0;
        uint64_t stop_at = 1000000;
        struct ends e = {.from = {.block_at = 4000000 + random_below(random, 1000000)}};
        enum blobseal_status st;

        if (!by_progress)
            e.to.fault = (struct fault){.at_byte = 1 + random_below(random, 1000000), .status = BLOBSEAL_E_OUTPUT};
        ends_start(&e, sealing ? plain : sealed.data, sealing ? LEN : sealed.len, 1 + 2 * (kind / 4));
        st = sealing ? seal(&e, threads, by_progress ? stop_after : NULL, &stop_at)
                     : open_it(&e, threads, by_progress ? stop_after : NULL, &stop_at);
        CHECK(st == (by_progress ? BLOBSEAL_E_CANCELED : BLOBSEAL_E_OUTPUT), "%s: %s, kind %u, %u threads",
              blobseal_status_code(st), e.err.text, kind, threads);
        ends_stop(&e);
    }
}

/* ---- A signal of the host program -------------------------------------------------------------------------------- */

struct reading {
    pthread_t thread;
    struct blobseal_source source;
    enum blobseal_status st;
    _Atomic bool ended;
};

static void ignore(int signal_number)
{
    (void)signal_number;
}

static void *read_one_byte(void *arg)
{
    struct reading *r = arg;
    struct blobseal_error err;
    uint8_t byte;
    size_t n;

    r->st = r->source.read(r->source.ctx, &byte, 1, &n, &err);
    r->ended = true;
    return NULL;
}

static void wait_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* A read of a silent pipe can still be canceled after signals have interrupted it. */
static void interrupted(void)
{
    const struct sigaction action = {.sa_handler = ignore};
    struct reading r = {.st = BLOBSEAL_OK};
    struct blobseal_fd state;
    struct blobseal_error err;
    int fds[2];

    if (sigaction(SIGUSR1, &action, NULL) != 0 || pipe(fds) != 0 ||
        blobseal_source_fd(&r.source, &state, fds[0], NULL, &err) != BLOBSEAL_OK ||
        pthread_create(&r.thread, NULL, read_one_byte, &r) != 0)
        abort();
    for (int i = 0; i < 5; i++) {
        wait_ms(20);
        (void)pthread_kill(r.thread, SIGUSR1);
    }
    r.source.cancel(r.source.ctx);
    for (int i = 0; i < 30000 && !r.ended; i++) /* much longer than needed */
        wait_ms(10);
    CHECK(r.ended, "the read does not end");
    if (!r.ended && write(fds[1], "", 1) != 1)
        abort();
    (void)pthread_join(r.thread, NULL);
    CHECK(r.st == BLOBSEAL_E_CANCELED, "%s", blobseal_status_code(r.st));
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    struct fake_kek fake = {.kid = "a-key"};
    struct blobseal_error err;
    uint64_t random = 99;

    (void)signal(SIGPIPE, SIG_IGN);
    plain = must_alloc(LEN);
    fill_random(plain, LEN, 1);
    kek = fake_kek_open(&fake);
    if (seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, &err) != BLOBSEAL_OK)
        abort();
    interrupted();
    for (unsigned threads = 1; threads <= 16; threads += threads < 4 ? 1 : 4) {
        for (unsigned kind = 0; kind < 4; kind++)
            round_trip(threads, kind);
        pipes(threads);
        faults(threads, &random);
        blocked(threads, &random);
    }
    sealed_clear(&sealed);
    blobseal_kek_close(kek);
    free(plain);
    (void)printf("pipeline_threads: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
