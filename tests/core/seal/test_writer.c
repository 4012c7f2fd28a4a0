/* SPDX-License-Identifier: Apache-2.0 */
/* The push stream: its blobs open like any other, whatever the pieces; failures are permanent; misuse is refused. */
#include <stdlib.h>

#include "tests/support/suite.h"

#define KIB       ((size_t)1024)
#define MIB       (KIB * KIB)
#define RUN       (256 * KIB)
#define MAX_PLAIN (2 * MIB + 5)
#define ROOM      (MAX_PLAIN + 256 * KIB)

static const size_t sizes[] = {
    0,
    1,
    16 * KIB - 1,
    16 * KIB,
    16 * KIB + 1,
    RUN - 16 * KIB,
    RUN - 1,
    RUN,
    RUN + 1,
    3 * RUN,
    3 * RUN + 100,
    MIB - 16 * KIB,
    MIB - 16 * KIB + 1,
    MIB - 1,
    MIB,
    MIB + 1,
    MIB + RUN - 1,
    MIB + RUN,
    2 * MIB - 1,
    2 * MIB,
    2 * MIB + 1,
    MAX_PLAIN,
};
static const size_t pieces[] = {MAX_PLAIN, 1000, RUN, RUN - 1, RUN + 1, 16 * KIB, MIB, 70001};

SUITE_WITH_PLAIN(writer, MAX_PLAIN);

/* One blob of @len bytes, pushed in pieces. The fields choose what fails. */
struct push {
    size_t len, piece;
    struct test_sink to;
    struct blobseal_seal_options o;
    struct blobseal_seal_result r;
    struct blobseal_error err;
    enum blobseal_status st;
};

static enum blobseal_status push_all(struct push *p, struct blobseal_writer *w)
{
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t at = 0; at < p->len && st == BLOBSEAL_OK; at += p->piece)
        st = blobseal_writer_write(w, plain + at, p->piece < p->len - at ? p->piece : p->len - at, &p->err);
    return st == BLOBSEAL_OK ? blobseal_writer_finish(w, &p->r, &p->err) : st;
}

static void push(struct push *p)
{
    struct blobseal_writer *w;
    struct blobseal_sink sink;

    p->to.cap = ROOM;
    p->o.size = sizeof p->o;
    memset(&p->r, 0x55, sizeof p->r);
    p->r.size = sizeof p->r;
    p->r.envelope = NULL;
    test_sink_start(&sink, &p->to);
    p->st = blobseal_writer_open(&w, &sink, &kek, 1, &p->o, &p->err);
    if (p->st == BLOBSEAL_OK) {
        memset(&sink, 0xEE, sizeof sink); /* the writer has copied the struct */
        p->st = push_all(p, w);
    } else {
        cr_assert_null(w);
    }
    cr_assert(!p->to.misused);
    blobseal_writer_close(w);
}

static void push_end(struct push *p)
{
    blobseal_free(p->r.envelope);
    test_sink_end(&p->to);
}

static void expect_opens(const struct push *p, bool pipe)
{
    const struct how_to_open how = {
        .sequential = pipe, .threads = 2, .envelope = p->r.envelope, .envelope_len = p->r.envelope_len};
    struct blobseal_error err;
    struct opened o;

    cr_assert_eq(open_bytes(&o, p->to.data, (size_t)p->r.sealed_bytes, &kek, 1, &how, &err), BLOBSEAL_OK,
                 "%zu bytes in pieces of %zu: %s", p->len, p->piece, err.text);
    cr_assert_eq(o.len, p->len);
    cr_assert(p->len == 0 || memcmp(o.data, plain, p->len) == 0);
    opened_clear(&o);
}

/* The bits of @how: sink, checksums, layout. */
static void round_trip(size_t len, size_t piece, unsigned how)
{
    struct push p = {.len = len, .piece = piece, .to = {.seekable = how % 2 == 1}};

    p.o.no_checksums = how / 2 % 2 == 1;
    p.o.layout = how / 4 % 4;
    push(&p);
    cr_assert_eq(p.st, BLOBSEAL_OK, "%s", p.err.text);
    cr_assert_eq(p.r.plain_bytes, len);
    cr_assert_eq(p.r.sealed_bytes, p.to.bytes);
    cr_assert_eq(p.r.layout, p.o.layout == BLOBSEAL_LAYOUT_AUTO ? BLOBSEAL_LAYOUT_AB : p.o.layout);
    cr_assert_eq(p.r.generation, 1);
    cr_assert_eq(p.r.envelope != NULL, p.o.layout == BLOBSEAL_LAYOUT_DETACHED);
    cr_assert_null(memchr(p.to.written, 0, (size_t)p.r.sealed_bytes), "no gaps");
    expect_opens(&p, how % 2 == 0);
    push_end(&p);
}

Test(writer, every_length_in_every_piece)
{
    unsigned how = 0;

    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t k = 0; k < COUNT(pieces); k++)
            for (unsigned n = 0; n < 5; n++)
                round_trip(sizes[i], pieces[k], how++);
    for (size_t len = 0; len < 40; len++)
        round_trip(len, 1, how++);
}

Test(writer, pieces_do_not_show)
{
    static const uint8_t nothing[1] = {0};
    struct blobseal_writer *w;
    struct blobseal_sink sink;
    struct blobseal_memory to;
    struct blobseal_error err;
    struct opened o;
    uint64_t random = 5;

    blobseal_sink_memory(&sink, &to);
    cr_assert_eq(blobseal_writer_open(&w, &sink, &kek, 1, NULL, &err), BLOBSEAL_OK);
    for (size_t at = 0, n; at < MAX_PLAIN; at += n) {
        n = (size_t)random_below(&random, 2 * RUN);
        n = n < MAX_PLAIN - at ? n : MAX_PLAIN - at;
        cr_assert_eq(blobseal_writer_write(w, nothing, 0, &err), BLOBSEAL_OK);
        cr_assert_eq(blobseal_writer_write(w, NULL, 0, &err), BLOBSEAL_OK);
        cr_assert_eq(blobseal_writer_write(w, plain + at, n, &err), BLOBSEAL_OK);
    }
    cr_assert_eq(blobseal_writer_finish(w, NULL, &err), BLOBSEAL_OK, "a result is not needed");
    blobseal_writer_close(w);
    cr_assert_eq(open_bytes(&o, to.data, to.len, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert(o.len == MAX_PLAIN && memcmp(o.data, plain, MAX_PLAIN) == 0);
    opened_clear(&o);
    blobseal_free(to.data);
}

/* Sealing a file and pushing its bytes give blobs of the same length: the format does not distinguish them. */
Test(writer, blobs_are_as_long_as_those_of_seal)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct push p = {.len = sizes[i], .piece = 1 + RUN / 3};
        struct sealed s;

        p.o.layout = BLOBSEAL_LAYOUT_AB;
        push(&p);
        cr_assert_eq(seal_bytes(&s, plain, sizes[i], &kek, 1, &p.o, &p.err), BLOBSEAL_OK);
        cr_expect_eq(s.len, p.to.bytes, "%zu bytes", sizes[i]);
        sealed_clear(&s);
        push_end(&p);
    }
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

Test(writer, a_sink_that_fails_ends_it)
{
    for (uint64_t call = 1; call <= 12; call++) {
        struct push p = {.len = MAX_PLAIN, .piece = 70001};

        p.to.fault = (struct fault){.at_call = call, .status = BLOBSEAL_E_OUTPUT, .silent = call % 3 == 0};
        p.to.seekable = call % 2 == 0;
        push(&p);
        if (call <= 10) { /* the preamble, 8 full runs and the end */
            cr_expect_eq(p.st, BLOBSEAL_E_OUTPUT, "call %u", (unsigned)call);
            cr_expect_eq(p.err.status, BLOBSEAL_E_OUTPUT);
            cr_expect_neq(p.err.text[0], '\0');
        } else {
            cr_expect_eq(p.st, BLOBSEAL_OK, "there are 10 calls, not %u", (unsigned)p.to.calls);
        }
        push_end(&p);
    }
}

Test(writer, an_error_stays)
{
    struct test_sink to = {.cap = ROOM, .fault = {.at_call = 3, .status = BLOBSEAL_E_OUTPUT, .once = true}};
    struct blobseal_seal_result r = {.size = sizeof r};
    struct blobseal_error err = {0};
    struct blobseal_writer *w;
    struct blobseal_sink sink;
    uint64_t calls;

    test_sink_start(&sink, &to);
    cr_assert_eq(blobseal_writer_open(&w, &sink, &kek, 1, NULL, &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_writer_write(w, plain, RUN, &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_writer_write(w, plain, RUN, &err), BLOBSEAL_E_OUTPUT);
    calls = to.calls;
    for (int i = 0; i < 3; i++) {
        struct blobseal_error again = {0};

        cr_expect_eq(blobseal_writer_write(w, plain, i == 0 ? 1 : RUN, &again), BLOBSEAL_E_OUTPUT);
        cr_expect_str_eq(again.text, err.text);
        again = (struct blobseal_error){0};
        cr_expect_eq(blobseal_writer_finish(w, &r, &again), BLOBSEAL_E_OUTPUT);
        cr_expect_str_eq(again.text, err.text);
        cr_expect_eq(blobseal_writer_write(w, plain, 1, NULL), BLOBSEAL_E_OUTPUT);
    }
    cr_expect_eq(to.calls, calls, "nothing more is written");
    cr_expect_eq(r.sealed_bytes, 0);
    blobseal_writer_close(w);
    test_sink_end(&to);
}

Test(writer, a_key_that_fails_writes_nothing)
{
    struct push p = {.len = 100, .piece = 100};

    fake.wraps = 0;
    fake.wrap = (struct fault){.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE};
    push(&p);
    fake.wrap = (struct fault){0};
    cr_expect_eq(p.st, BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(p.to.calls, 0);
    push_end(&p);
}

/* Output that was not finished is not a blob. */
Test(writer, without_a_finish_there_is_no_blob)
{
    static const size_t some[] = {0, 1, RUN, RUN + 16 * KIB, MIB, MIB + RUN};

    for (size_t i = 0; i < COUNT(some); i++) {
        struct blobseal_writer *w;
        struct blobseal_sink sink;
        struct blobseal_memory to;
        struct blobseal_error err;

        blobseal_sink_memory(&sink, &to);
        cr_assert_eq(blobseal_writer_open(&w, &sink, &kek, 1, NULL, &err), BLOBSEAL_OK);
        cr_assert_eq(blobseal_writer_write(w, plain, some[i], &err), BLOBSEAL_OK);
        blobseal_writer_close(w);
        for (int pipe = 0; pipe <= 1; pipe++) {
            const struct how_to_open how = {.sequential = pipe == 1};
            struct opened o;

            cr_expect_neq(open_bytes(&o, to.data, to.len, &kek, 1, &how, &err), BLOBSEAL_OK, "%zu bytes", some[i]);
            opened_clear(&o);
        }
        blobseal_free(to.data);
    }
}

/* ---- Misuse ------------------------------------------------------------------------------------------------------ */

Test(writer, nothing_comes_after_the_finish)
{
    struct blobseal_seal_result r = {.size = sizeof r};
    struct blobseal_error err;
    struct blobseal_memory to;
    struct blobseal_writer *w;
    struct blobseal_sink sink;
    size_t len;

    blobseal_sink_memory(&sink, &to);
    cr_assert_eq(blobseal_writer_open(&w, &sink, &kek, 1, NULL, &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_writer_finish(w, &r, &err), BLOBSEAL_OK);
    cr_expect_eq(r.plain_bytes, 0);
    len = to.len;
    cr_expect_eq(blobseal_writer_write(w, plain, 1, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_writer_write(w, plain, 0, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_writer_finish(w, &r, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(r.sealed_bytes, 0, "a failure leaves no result");
    cr_expect_eq(to.len, len);
    blobseal_writer_close(w);
    blobseal_writer_close(NULL);
    blobseal_free(to.data);
}

Test(writer, arguments_are_checked)
{
    const struct blobseal_sink none = {0};
    struct blobseal_seal_options o = {.size = sizeof o, .layout = BLOBSEAL_LAYOUT_DETACHED};
    struct blobseal_seal_result r = {.size = sizeof r}, no_size = {0};
    struct blobseal_memory to;
    struct blobseal_writer *w;
    struct blobseal_sink sink;

    blobseal_sink_memory(&sink, &to);
    cr_expect_eq(blobseal_writer_open(&w, &none, &kek, 1, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_writer_open(&w, &sink, &kek, 0, NULL, NULL), BLOBSEAL_E_ARG);
    o.layout = BLOBSEAL_LAYOUT_DETACHED + 1;
    cr_expect_eq(blobseal_writer_open(&w, &sink, &kek, 1, &o, NULL), BLOBSEAL_E_ARG);
    o.layout = BLOBSEAL_LAYOUT_DETACHED;
    o.size = 0;
    cr_expect_eq(blobseal_writer_open(&w, &sink, &kek, 1, &o, NULL), BLOBSEAL_E_ARG);
    cr_expect_null(w);
    cr_expect_eq(to.len, 0);
    o.size = sizeof o;
    cr_assert_eq(blobseal_writer_open(&w, &sink, &kek, 1, &o, NULL), BLOBSEAL_OK);
    cr_expect_eq(blobseal_writer_finish(w, NULL, NULL), BLOBSEAL_E_ARG, "no place for the envelope");
    cr_expect_eq(blobseal_writer_finish(w, &no_size, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_writer_finish(w, &r, NULL), BLOBSEAL_OK, "and now there is one");
    blobseal_writer_close(w);
    blobseal_free(r.envelope);
    blobseal_free(to.data);
}
