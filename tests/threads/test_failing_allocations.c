/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fails each allocation of an operation in a warm process, once and from there on. A good blob and a good key never
 * look damaged, forged or foreign, and once there is memory again everything works.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "blobseal.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int main(void)
{
    return 0; /* sanitizers have an allocator of their own */
}
#else

/* The functions of glibc that malloc() and its relatives call. */
extern void *__libc_malloc(size_t len);
extern void *__libc_calloc(size_t num, size_t len);
extern void *__libc_realloc(void *p, size_t len);

static struct {
    bool armed, forever;
    long calls, at;
} faults;

static bool fails(void)
{
    long call = faults.calls;

    if (!faults.armed)
        return false;
    faults.calls++;
    return faults.forever ? call >= faults.at : call == faults.at;
}

void *malloc(size_t len)
{
    return fails() ? NULL : __libc_malloc(len);
}

void *calloc(size_t num, size_t len)
{
    return fails() ? NULL : __libc_calloc(num, len);
}

void *realloc(void *p, size_t len)
{
    return fails() ? NULL : __libc_realloc(p, len);
}

static struct blobseal_kek *kek;
static struct blobseal_memory blob;

static enum blobseal_status open_and_read(void)
{
    struct blobseal_source source;
    struct blobseal_memory in;
    struct blobseal_reader *r;
    enum blobseal_status st;
    uint8_t buf[16];
    size_t n;

    blobseal_source_memory(&source, &in, blob.data, blob.len);
    st = blobseal_reader_open(&r, &source, &kek, 1, NULL, NULL);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_pread(r, buf, sizeof buf, 0, &n, NULL);
    blobseal_reader_close(r);
    return st;
}

static enum blobseal_status scrub(void)
{
    struct blobseal_scrub_result result = {.size = sizeof result};
    const struct blobseal_scrub_options o = {.size = sizeof o, .threads = 1};
    struct blobseal_source source;
    struct blobseal_memory in;
    enum blobseal_status st;

    blobseal_source_memory(&source, &in, blob.data, blob.len);
    st = blobseal_scrub(&source, &o, &result, NULL);
    return st == BLOBSEAL_OK && !result.ok ? BLOBSEAL_E_DAMAGED : st;
}

static bool is_a_verdict(enum blobseal_status st)
{
    return st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_CONFIG || st == BLOBSEAL_E_FORMAT ||
           st == BLOBSEAL_E_NO_KEY;
}

/* Fail each allocation of @operation. Return the number of false verdicts. */
static int try_all(const char *name, enum blobseal_status (*operation)(void), bool forever)
{
    int wrong = 0;
    long at = 0;

    faults.forever = forever;
    do {
        enum blobseal_status st;

        faults.at = at++;
        faults.calls = 0;
        faults.armed = true;
        st = operation();
        faults.armed = false;
        if (is_a_verdict(st)) {
            printf("%s, allocation %ld%s: %s\n", name, faults.at, forever ? " and later" : "",
                   blobseal_status_code(st));
            wrong++;
        }
        if (operation() != BLOBSEAL_OK) {
            printf("%s, after allocation %ld: it does not work any more\n", name, faults.at);
            wrong++;
        }
    } while (faults.calls > faults.at);
    return wrong;
}

int main(void)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    char path[] = "/tmp/blobseal-key-XXXXXX";
    int fd = mkstemp(path);
    struct blobseal_source source;
    struct blobseal_memory in;
    struct blobseal_sink sink;
    int wrong = 0;

    if (fd < 0 || blobseal_keygen_rsa(&pair, 2048, NULL, NULL) != BLOBSEAL_OK ||
        write(fd, pair.private_pem, pair.private_len) != (ssize_t)pair.private_len)
        return 1;
    (void)close(fd);
    blobseal_keypair_clear(&pair);
    blobseal_source_memory(&source, &in, "a few bytes of plaintext", 24);
    blobseal_sink_memory(&sink, &blob);
    if (blobseal_kek_open(&kek, NULL, path, NULL, NULL) != BLOBSEAL_OK ||
        blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, NULL) != BLOBSEAL_OK)
        return 1;
    (void)remove(path);
    for (int forever = 0; forever <= 1; forever++) {
        wrong += try_all("open", open_and_read, forever != 0);
        wrong += try_all("scrub", scrub, forever != 0);
    }
    blobseal_kek_close(kek);
    blobseal_free(blob.data);
    return wrong == 0 ? 0 : 1;
}
#endif
