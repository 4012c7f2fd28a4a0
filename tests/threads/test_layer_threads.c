/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypting and decrypting layers with 1 to 8 threads, from memory, files and pipes, several layers at once, and
 * failures on the way. Also runs under ThreadSanitizer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/oci/oci.h"
#include "tests/support/blobs.h"

#define LEN ((size_t)5 * 1024 * 1024 + 777)

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

static uint8_t *plain, *cipher;
static struct blobseal_oci_layer *layer; /* of `cipher` */

static struct blobseal_oci_run_options with(unsigned threads)
{
    return (struct blobseal_oci_run_options){.size = sizeof(struct blobseal_oci_run_options), .threads = threads};
}

/* ---- All ways to read and write ---------------------------------------------------------------------------------- */

static void decrypt_each_way(void)
{
    for (unsigned threads = 1; threads <= 8; threads++)
        for (unsigned kind = 0; kind < 4; kind++) {
            const struct blobseal_oci_run_options o = with(threads);
            struct test_source from = {.data = cipher, .len = LEN, .seekable = kind % 2 == 0, .max_piece = 150001};
            struct test_sink to = {.seekable = kind / 2 == 0, .cap = LEN};
            struct blobseal_oci_digests d = {.size = sizeof d};
            struct blobseal_source source;
            struct blobseal_sink sink;
            enum blobseal_status st;

            test_source_start(&source, &from);
            test_sink_start(&sink, &to);
            st = blobseal_oci_decrypt(layer, &source, &sink, &o, &d, NULL);
            CHECK(st == BLOBSEAL_OK && test_sink_is(&to, plain, LEN), "%u threads, kind %u: %d", threads, kind, st);
            CHECK(!from.misused && !to.misused, "a source or sink was used against its contract");
            test_source_end(&from);
            test_sink_end(&to);
        }
}

/* ---- A pipe ------------------------------------------------------------------------------------------------------ */

struct feeder {
    int fd;
    size_t len;
};

static void *feed(void *arg)
{
    const struct feeder *f = arg;

    for (size_t at = 0; at < f->len;) {
        ssize_t n = write(f->fd, cipher + at, f->len - at < 40000 ? f->len - at : 40000);

        if (n <= 0)
            break;
        at += (size_t)n;
    }
    (void)close(f->fd);
    return NULL;
}

/* Decrypt what comes through a pipe, of which the last bytes may be missing. */
static void decrypt_pipe(size_t len, unsigned threads)
{
    const struct blobseal_oci_run_options o = with(threads);
    enum blobseal_status want = len == LEN ? BLOBSEAL_OK : BLOBSEAL_E_AUTH, st;
    struct blobseal_memory out = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct feeder f = {.len = len};
    pthread_t thread;
    int fds[2];

    if (pipe(fds) != 0)
        test_support_failed("make a pipe");
    f.fd = fds[1];
    if (pthread_create(&thread, NULL, feed, &f) != 0)
        test_support_failed("start a thread");
    st = blobseal_source_fd(&source, &state, fds[0], "pipe", NULL);
    if (st == BLOBSEAL_OK) {
        blobseal_sink_memory(&sink, &out);
        st = blobseal_oci_decrypt(layer, &source, &sink, &o, NULL, NULL);
    }
    CHECK(st == want, "%u threads: %d", threads, st);
    CHECK(st != BLOBSEAL_OK || (out.len == LEN && memcmp(out.data, plain, LEN) == 0), "%u threads", threads);
    blobseal_free(out.data);
    (void)pthread_join(thread, NULL);
    (void)close(fds[0]);
}

/* ---- Several at once --------------------------------------------------------------------------------------------- */

/* Verify and decrypt with the layer that all threads share, and encrypt another one. */
static void *work(void *arg)
{
    const struct blobseal_oci_run_options o = with(2);
    struct blobseal_oci_layer *own = NULL;
    struct blobseal_memory in, out = {0}, out2 = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st;

    (void)arg;
    blobseal_source_memory(&source, &in, cipher, LEN);
    blobseal_sink_memory(&sink, &out);
    st = blobseal_oci_decrypt_verified(layer, &source, &sink, &o, NULL, NULL);
    CHECK(st == BLOBSEAL_OK && memcmp(out.data, plain, LEN) == 0, "%d", st);
    blobseal_source_memory(&source, &in, plain, LEN);
    blobseal_sink_memory(&sink, &out2);
    st = blobseal_oci_layer_new(&own, NULL);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_encrypt(own, &source, &sink, &o, NULL, NULL);
    CHECK(st == BLOBSEAL_OK && out2.len == LEN, "%d", st);
    blobseal_oci_layer_free(own);
    blobseal_free(out.data);
    blobseal_free(out2.data);
    return NULL;
}

static void several_at_once(void)
{
    pthread_t threads[4];

    for (unsigned i = 0; i < COUNT(threads); i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            test_support_failed("start a thread");
    for (unsigned i = 0; i < COUNT(threads); i++)
        (void)pthread_join(threads[i], NULL);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

static void fail_everywhere(void)
{
    for (unsigned threads = 1; threads <= 5; threads++)
        for (size_t at = 100000; at < LEN; at += 900000)
            for (unsigned kind = 0; kind < 4; kind++) {
                const struct blobseal_oci_run_options o = with(threads);
                struct test_source from = {.data = cipher, .len = LEN, .seekable = kind % 2 == 0};
                struct test_sink to = {.seekable = kind % 2 == 0, .cap = LEN};
                struct blobseal_source source;
                struct blobseal_sink sink;
                enum blobseal_status st, want = kind / 2 == 0 ? BLOBSEAL_E_INPUT : BLOBSEAL_E_OUTPUT;

                *(kind / 2 == 0 ? &from.fault : &to.fault) = (struct fault){.at_byte = at, .status = want};
                test_source_start(&source, &from);
                test_sink_start(&sink, &to);
                st = blobseal_oci_decrypt(layer, &source, &sink, &o, NULL, NULL);
                CHECK(st == want, "%u threads, byte %zu, kind %u: %d", threads, at, kind, st);
                CHECK(test_sink_is_part_of(&to, plain, LEN), "%u threads, byte %zu", threads, at);
                test_source_end(&from);
                test_sink_end(&to);
            }
}

int main(void)
{
    struct blobseal_memory in, out = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;

    plain = must_alloc(LEN);
    fill_random(plain, LEN, 3);
    blobseal_source_memory(&source, &in, plain, LEN);
    blobseal_sink_memory(&sink, &out);
    if (blobseal_oci_layer_new(&layer, NULL) != BLOBSEAL_OK ||
        blobseal_oci_encrypt(layer, &source, &sink, NULL, NULL, NULL) != BLOBSEAL_OK)
        test_support_failed("encrypt a layer");
    cipher = out.data;
    decrypt_each_way();
    for (unsigned threads = 1; threads <= 4; threads++) {
        decrypt_pipe(LEN, threads);
        decrypt_pipe(LEN - 1, threads);
        decrypt_pipe(3 * BS_OCI_PIECE_LEN, threads);
    }
    several_at_once();
    fail_everywhere();
    blobseal_oci_layer_free(layer);
    free(cipher);
    free(plain);
    return failures == 0 ? 0 : 1;
}
