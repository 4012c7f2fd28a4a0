/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that are not authentic, sources and sinks that fail, and what callers may not do. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/core/oci/layers.h"

SUITE(oci_failures);

#define MIB ((size_t)1 << 20)
#define LEN (5 * MIB + 4711)

/* A layer that was encrypted, and its bytes. */
struct encrypted {
    struct blobseal_oci_layer *layer;
    uint8_t *plain, *cipher;
};

static struct encrypted make(void)
{
    struct encrypted e = {.layer = fresh_layer(), .plain = must_alloc(LEN)};

    fill_random(e.plain, LEN, 7);
    e.cipher = encrypt_bytes(e.layer, e.plain, LEN);
    return e;
}

static void release(struct encrypted *e)
{
    blobseal_oci_layer_free(e->layer);
    free(e->plain);
    free(e->cipher);
}

/* A source and a sink for one call. */
struct ends {
    struct test_source in;
    struct test_sink out;
    struct blobseal_source source;
    struct blobseal_sink sink;
};

static void begin(struct ends *e, const uint8_t *data, size_t len, bool seekable)
{
    *e = (struct ends){.in = {.data = data, .len = len, .seekable = seekable, .max_piece = 300000},
                       .out = {.seekable = seekable, .cap = LEN + 1}};
    test_source_start(&e->source, &e->in);
    test_sink_start(&e->sink, &e->out);
}

static void end(struct ends *e)
{
    cr_expect_not(e->in.misused || e->out.misused);
    cr_expect_leq(e->in.cancels, 1);
    test_source_end(&e->in);
    test_sink_end(&e->out);
}

/* ---- Bytes that are not authentic -------------------------------------------------------------------------------- */

static void expect_auth(const struct blobseal_oci_layer *layer, const uint8_t *cipher, size_t len, const char *what)
{
    struct blobseal_oci_digests d = {.size = sizeof d};
    struct blobseal_error err = {0};
    struct ends e;

    begin(&e, cipher, len, true);
    cr_expect_eq(blobseal_oci_decrypt(layer, &e.source, &e.sink, NULL, &d, &err), BLOBSEAL_E_AUTH, "%s", what);
    cr_expect_str_eq(err.text, "the layer is not authentic");
    cr_expect(d.bytes == 0 && bs_all_zero(d.plain_sha256, sizeof d.plain_sha256), "%s", what);
    end(&e);
    begin(&e, cipher, len, false);
    cr_expect_eq(blobseal_oci_decrypt(layer, &e.source, NULL, NULL, NULL, &err), BLOBSEAL_E_AUTH, "%s", what);
    end(&e);
    begin(&e, cipher, len, true);
    cr_expect_eq(blobseal_oci_decrypt_verified(layer, &e.source, &e.sink, NULL, &d, &err), BLOBSEAL_E_AUTH, "%s", what);
    cr_expect_eq(e.out.calls, 0, "%s: something was written", what);
    end(&e);
}

Test(oci_failures, a_changed_byte_in_each_mib)
{
    struct encrypted e = make();
    uint64_t random = 3;

    for (size_t at = 0; at < LEN; at += MIB) {
        size_t byte = at + (size_t)random_below(&random, LEN - at < MIB ? LEN - at : MIB);

        e.cipher[byte] ^= 0x10;
        expect_auth(e.layer, e.cipher, LEN, "a changed byte");
        e.cipher[byte] ^= 0x10;
    }
    release(&e);
}

Test(oci_failures, each_byte_of_a_small_layer_and_each_length)
{
    static const uint8_t plain[100] = {1, 2, 3};
    struct blobseal_oci_layer *layer = fresh_layer();
    uint8_t *cipher = encrypt_bytes(layer, plain, sizeof plain);

    for (size_t i = 0; i < sizeof plain; i++) {
        cipher[i] ^= 0x40;
        expect_auth(layer, cipher, sizeof plain, "a changed byte");
        cipher[i] ^= 0x40;
        expect_auth(layer, cipher, i, "truncated");
    }
    blobseal_oci_layer_free(layer);
    free(cipher);
}

Test(oci_failures, another_key_or_hmac)
{
    static const uint8_t plain[70000] = {1, 2, 3};
    struct blobseal_oci_layer *layer = fresh_layer();
    uint8_t *cipher = encrypt_bytes(layer, plain, sizeof plain);

    layer->key.hmac[31] ^= 1;
    expect_auth(layer, cipher, sizeof plain, "another HMAC");
    layer->key.hmac[31] ^= 1;
    layer->key.dek[0] ^= 1;
    expect_auth(layer, cipher, sizeof plain, "another key");
    blobseal_oci_layer_free(layer);
    free(cipher);
}

/* ---- A source that changes between the two passes ---------------------------------------------------------------- */

struct changing {
    const uint8_t *first, *second; /* what the passes read */
    size_t first_len, second_len;
    bool again; /* the second pass has begun */
    bool ended; /* the first pass has read everything */
};

static enum blobseal_status changing_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                           struct blobseal_error *err)
{
    struct changing *c = ctx;
    const uint8_t *p;
    size_t size;

    (void)err;
    c->again = c->again || (c->ended && off == 0);
    p = c->again ? c->second : c->first;
    size = c->again ? c->second_len : c->first_len;
    *nread = off >= size ? 0 : len < size - off ? len : (size_t)(size - off);
    if (*nread > 0)
        memcpy(buf, p + off, *nread);
    c->ended = c->ended || off + *nread == size;
    return BLOBSEAL_OK;
}

static void expect_change(const struct encrypted *x, const uint8_t *second, size_t second_len, size_t released)
{
    struct changing c = {x->cipher, second, LEN, second_len, false, false};
    const struct blobseal_source source = {.ctx = &c, .size = LEN, .pread = changing_pread};
    struct blobseal_error err = {0};
    struct ends e;

    begin(&e, x->cipher, 0, true);
    cr_expect_eq(blobseal_oci_decrypt_verified(x->layer, &source, &e.sink, NULL, NULL, &err), BLOBSEAL_E_INPUT, "%s",
                 err.text);
    cr_expect(c.again);
    cr_expect_leq(e.out.bytes, released);
    cr_expect(test_sink_is_part_of(&e.out, x->plain, LEN), "bytes that were not verified have been written");
    end(&e);
}

Test(oci_failures, what_changes_after_it_was_verified_is_never_released)
{
    struct encrypted x = make();
    uint8_t *second = must_copy(x.cipher, LEN), *longer = must_alloc(LEN + 100);
    static const size_t at[] = {0, BS_OCI_PIECE_LEN - 1, BS_OCI_PIECE_LEN, 3 * MIB + 5, LEN - 1};

    for (size_t i = 0; i < COUNT(at); i++) {
        second[at[i]] ^= 1;
        expect_change(&x, second, LEN, at[i]);
        second[at[i]] ^= 1;
    }
    expect_change(&x, second, LEN - 1, LEN - 1);
    expect_change(&x, second, 4 * MIB, 4 * MIB);
    expect_change(&x, second, 0, 0);
    memcpy(longer, x.cipher, LEN);
    memset(longer + LEN, 7, 100);
    expect_change(&x, longer, LEN + 100, LEN);
    free(second);
    free(longer);
    release(&x);
}

/* ---- Callbacks that fail ----------------------------------------------------------------------------------------- */

/* Run one of the functions, of which only decrypting in two passes needs a seekable source. */
static enum blobseal_status run(unsigned function, struct encrypted *x, struct ends *e, unsigned threads,
                                struct blobseal_error *err)
{
    struct blobseal_oci_layer *layer;
    enum blobseal_status st;

    switch (function) {
    case 0:
        layer = fresh_layer();
        st = blobseal_oci_encrypt(layer, &e->source, &e->sink, RUN(.threads = threads), NULL, err);
        cr_expect(st == BLOBSEAL_OK || !layer->key.has_hmac);
        blobseal_oci_layer_free(layer);
        return st;
    case 1:
        return blobseal_oci_decrypt(x->layer, &e->source, &e->sink, RUN(.threads = threads), NULL, err);
    default:
        return blobseal_oci_decrypt_verified(x->layer, &e->source, &e->sink, RUN(.threads = threads), NULL, err);
    }
}

Test(oci_failures, errors_of_source_and_sink_are_returned)
{
    static const size_t at[] = {1, BS_OCI_PIECE_LEN, 3 * BS_OCI_PIECE_LEN + 1, LEN - 1};
    struct encrypted x = make();

    for (unsigned function = 0; function < 3; function++)
        for (unsigned threads = 1; threads <= 4; threads++)
            for (size_t i = 0; i < COUNT(at); i++)
                for (unsigned write = 0; write < 2; write++) {
                    enum blobseal_status want = write != 0 ? BLOBSEAL_E_OUTPUT : BLOBSEAL_E_INPUT, st;
                    struct blobseal_error err = {0};
                    struct ends e;

                    begin(&e, function == 0 ? x.plain : x.cipher, LEN, function == 2 || i % 2 == 0);
                    *(write != 0 ? &e.out.fault : &e.in.fault) =
                        (struct fault){.at_byte = at[i], .status = want, .silent = i % 2 == 0};
                    st = run(function, &x, &e, threads, &err);
                    cr_expect_eq(st, want, "function %u, %u threads, byte %zu: %s", function, threads, at[i], err.text);
                    cr_expect(err.status == st && err.text[0] != '\0');
                    end(&e);
                }
    release(&x);
}

static enum blobseal_status too_much(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    (void)ctx;
    (void)buf;
    (void)err;
    *nread = len + 1;
    return BLOBSEAL_OK;
}

Test(oci_failures, callbacks_that_break_their_contract)
{
    const struct blobseal_source source = {.read = too_much, .size = BLOBSEAL_SIZE_UNKNOWN};
    struct encrypted x = make();
    struct ends e;

    begin(&e, x.plain, LEN, true);
    e.source = source;
    cr_expect_eq(run(0, &x, &e, 0, NULL), BLOBSEAL_E_INTERNAL);
    cr_expect_eq(run(1, &x, &e, 0, NULL), BLOBSEAL_E_INTERNAL);
    end(&e);
    begin(&e, x.plain, LEN, true); /* a status that a sink may not return */
    e.out.fault = (struct fault){.at_call = 3, .status = BLOBSEAL_E_AUTH};
    cr_expect_eq(run(0, &x, &e, 0, NULL), BLOBSEAL_E_INTERNAL);
    end(&e);
    begin(&e, x.plain, LEN, true); /* one of the program's own */
    e.out.fault = (struct fault){.at_call = 3, .status = BLOBSEAL_STATUS_CALLBACK + 5};
    cr_expect_eq(run(0, &x, &e, 0, NULL), BLOBSEAL_STATUS_CALLBACK + 5);
    end(&e);
    release(&x);
}

/* A sink that fails ends a read that would block for ever. */
Test(oci_failures, a_read_that_blocks_is_canceled)
{
    struct encrypted x = make();

    for (unsigned threads = 2; threads <= 4; threads++)
        for (unsigned function = 0; function < 2; function++) {
            struct blobseal_error err = {0};
            struct ends e;

            begin(&e, function == 0 ? x.plain : x.cipher, LEN, false);
            e.in.block_at = 3 * MIB;
            e.out.fault = (struct fault){.at_byte = 2 * MIB, .status = BLOBSEAL_E_OUTPUT};
            cr_expect_eq(run(function, &x, &e, threads, &err), BLOBSEAL_E_OUTPUT, "%s", err.text);
            end(&e);
        }
    release(&x);
}

/* ---- Progress ---------------------------------------------------------------------------------------------------- */

struct watch {
    uint64_t last, stop_at;
    bool backwards;
};

static bool watch(void *ctx, uint64_t bytes)
{
    struct watch *w = ctx;

    w->backwards = w->backwards || bytes < w->last;
    w->last = bytes;
    return bytes < w->stop_at;
}

Test(oci_failures, progress_grows_and_can_stop_the_run)
{
    struct encrypted x = make();

    for (unsigned threads = 1; threads <= 4; threads++)
        for (unsigned stop = 0; stop < 3; stop++) { /* never, in the first pass, in the second one */
            struct watch w = {.stop_at = stop == 0 ? UINT64_MAX : stop == 1 ? MIB : 4 * MIB};
            struct blobseal_error err = {0};
            enum blobseal_status st;
            struct ends e;

            begin(&e, x.cipher, LEN, true);
            st = blobseal_oci_decrypt_verified(x.layer, &e.source, &e.sink,
                                               RUN(.threads = threads, .progress = watch, .progress_ctx = &w), NULL,
                                               &err);
            cr_expect_eq(st, stop != 0 ? BLOBSEAL_E_CANCELED : BLOBSEAL_OK);
            cr_expect_not(w.backwards);
            cr_expect(stop != 0 ? w.last < LEN : w.last == LEN);
            cr_expect(stop != 1 || e.out.calls == 0);
            end(&e);
        }
    release(&x);
}

/* ---- What callers may not do ------------------------------------------------------------------------------------- */

Test(oci_failures, a_key_encrypts_once)
{
    static const uint8_t plain[10] = {1};
    struct encrypted x = make();
    struct blobseal_oci_layer *layer = fresh_layer();
    struct blobseal_error err = {0};
    struct ends e;

    begin(&e, plain, sizeof plain, true);
    cr_expect_eq(blobseal_oci_encrypt(x.layer, &e.source, &e.sink, NULL, NULL, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(e.out.calls, 0);
    e.out.fault = (struct fault){.at_call = 1, .status = BLOBSEAL_E_OUTPUT, .once = true};
    cr_expect_eq(blobseal_oci_encrypt(layer, &e.source, &e.sink, NULL, NULL, &err), BLOBSEAL_E_OUTPUT);
    cr_expect_eq(blobseal_oci_encrypt(layer, &e.source, &e.sink, NULL, NULL, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_oci_decrypt(layer, &e.source, &e.sink, NULL, NULL, &err), BLOBSEAL_E_ARG, "it has no HMAC");
    end(&e);
    blobseal_oci_layer_free(layer);
    release(&x);
}

Test(oci_failures, structs_and_callbacks_are_checked)
{
    struct encrypted x = make();
    struct blobseal_oci_digests no_size = {0};
    struct blobseal_oci_run_options newer[2] = {{.size = sizeof newer}, {.size = 1}};
    struct blobseal_source source;
    struct ends e;

    begin(&e, x.cipher, LEN, false);
    cr_expect_eq(blobseal_oci_decrypt(x.layer, &e.source, NULL, NULL, &no_size, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_oci_decrypt(x.layer, &e.source, NULL, newer, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_oci_decrypt_verified(x.layer, &e.source, &e.sink, NULL, NULL, NULL), BLOBSEAL_E_ARG,
                 "the source is not seekable");
    source = e.source;
    source.reserved[1] = 1;
    cr_expect_eq(blobseal_oci_decrypt(x.layer, &source, NULL, NULL, NULL, NULL), BLOBSEAL_E_ARG);
    e.sink.write = NULL;
    cr_expect_eq(blobseal_oci_decrypt(x.layer, &e.source, &e.sink, NULL, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(e.in.calls, 0);
    end(&e);
    release(&x);
}

/* The keys are gone in a child: it must not encrypt with a key of zeros. */
Test(oci_failures, a_forked_child_cannot_use_a_layer)
{
    static const uint8_t plain[10] = {1};
    struct blobseal_oci_layer *layer = fresh_layer();
    int status = 1;
    pid_t child = fork();

    if (child == 0) {
        struct blobseal_memory in, out = {0};
        struct blobseal_source source;
        struct blobseal_sink sink;

        blobseal_source_memory(&source, &in, plain, sizeof plain);
        blobseal_sink_memory(&sink, &out);
        _exit(blobseal_oci_encrypt(layer, &source, &sink, NULL, NULL, NULL) == BLOBSEAL_E_ARG ? 0 : 1);
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child);
    cr_expect_eq(status, 0);
    blobseal_oci_layer_free(layer);
}
