/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading at an offset allocates nothing after a warm-up, neither in the library nor in OpenSSL. This program replaces
 * malloc() and counts its calls. Sanitizers replace malloc() too, so it is not built with them.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "tests/support/blobs.h"

#define THREADS 4
#define LEN     ((size_t)3 * 1024 * 1024 + 12345)

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static _Atomic unsigned long allocations;

#define STANDS_IN __attribute__((visibility("default"))) /* also visible to OpenSSL */

STANDS_IN void *malloc(size_t len)
{
    allocations++;
    return __libc_malloc(len);
}

STANDS_IN void *calloc(size_t n, size_t len)
{
    allocations++;
    return __libc_calloc(n, len);
}

STANDS_IN void *realloc(void *p, size_t len)
{
    allocations++;
    return __libc_realloc(p, len);
}

static unsigned failures;
static struct blobseal_reader *reader;
static uint8_t *plain;
static struct sealed sealed;
static bool gathering;
static pthread_barrier_t inside, phase; /* all calls are in the source at once; a phase of the test ends */

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "allocation: %s\n", what);
    failures++;
}

static enum blobseal_status source_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                         struct blobseal_error *err)
{
    (void)ctx;
    (void)err;
    if (gathering)
        (void)pthread_barrier_wait(&inside);
    *nread = len < sealed.len - off ? len : sealed.len - (size_t)off;
    memcpy(buf, sealed.data + off, *nread);
    return BLOBSEAL_OK;
}

/* Make reads of every kind: one byte, across chunks, across segments, everything, nothing, one beyond the end. */
static bool read_all_kinds(uint8_t *dst)
{
    static const struct {
        uint64_t off;
        size_t len;
    } reads[] = {{5, 1}, {16383, 2}, {1048570, 100}, {0, LEN}, {LEN - 1, 9}, {LEN, 5}, {7, 0}};
    struct blobseal_error err;
    bool ok = true;
    size_t n;

    for (unsigned i = 0; i < COUNT(reads); i++)
        ok = blobseal_reader_pread(reader, dst, reads[i].len, reads[i].off, &n, &err) == BLOBSEAL_OK &&
             memcmp(dst, plain + reads[i].off, n) == 0 && ok;
    return blobseal_reader_pread(reader, dst, 1, LEN + 1, &n, &err) == BLOBSEAL_E_ARG && ok;
}

/* Warm up with all threads in a call at once. Then read while main() counts. */
static void *read_beside_others(void *arg)
{
    struct blobseal_error err;
    uint8_t *dst = arg;
    size_t n;
    bool ok = blobseal_reader_pread(reader, dst, 1, 0, &n, &err) == BLOBSEAL_OK;

    (void)pthread_barrier_wait(&phase); /* warm-up finished */
    (void)pthread_barrier_wait(&phase); /* counting starts */
    for (unsigned i = 0; i < 50; i++)
        ok = read_all_kinds(dst) && ok;
    (void)pthread_barrier_wait(&phase); /* counting ends */
    return ok ? arg : NULL;
}

static void with_threads(void)
{
    pthread_t threads[THREADS];
    uint8_t *dst[THREADS];
    unsigned long before;
    void *ok;

    (void)pthread_barrier_init(&inside, NULL, THREADS);
    (void)pthread_barrier_init(&phase, NULL, THREADS + 1);
    gathering = true;
    for (unsigned i = 0; i < THREADS; i++) {
        dst[i] = must_alloc(LEN);
        if (pthread_create(&threads[i], NULL, read_beside_others, dst[i]) != 0)
            abort();
    }
    (void)pthread_barrier_wait(&phase);
    gathering = false;
    before = allocations;
    (void)pthread_barrier_wait(&phase);
    (void)pthread_barrier_wait(&phase);
    check(allocations == before, "a read allocates after as many have run at once");
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], &ok);
        check(ok != NULL, "a read failed");
        free(dst[i]);
    }
    (void)pthread_barrier_destroy(&inside);
    (void)pthread_barrier_destroy(&phase);
}

int main(void)
{
    struct fake_kek fake = {.kid = "a-key"};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct blobseal_source source = {.pread = source_pread};
    struct blobseal_error err;
    unsigned long before, to_open;
    uint8_t *dst = must_alloc(LEN);

    plain = must_alloc(LEN + 1);
    fill_random(plain, LEN, 1);
    if (seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, &err) != BLOBSEAL_OK)
        abort();
    source.size = sealed.len;
    before = allocations;
    if (blobseal_reader_open(&reader, &source, &kek, 1, NULL, &err) != BLOBSEAL_OK)
        abort();
    to_open = allocations - before;
    before = allocations;
    EVP_MD_CTX_free(EVP_MD_CTX_new());
    check(allocations > before, "OpenSSL is counted");

    before = allocations;
    check(read_all_kinds(dst), "a read failed");
    check(allocations == before, "what checked the end serves the first read");
    with_threads();

    blobseal_reader_close(reader);
    sealed_clear(&sealed);
    blobseal_kek_close(kek);
    free(dst);
    free(plain);
    (void)printf("allocation: %lu to open, %u failures\n", to_open, failures);
    return failures == 0 ? 0 : 1;
}
