/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage daemon keeps 30,000 blobs open under the limits of an ordinary user of Debian 12. Each takes less than
 * 4 KiB of memory and at most 128 bytes of locked memory before it is read from, and all of them together take fewer
 * than 1,000 mappings. Buffers stay below the limit of the context, however many blobs are read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/blobs.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define READERS    2000 /* slow, and a sanitizer has memory of its own */
#    define MAX_MEMORY 100000
#else
#    define READERS    30000
#    define MAX_MEMORY 4095
#endif
#define LEN        ((size_t)50000)
#define MAX_LOCKED ((rlim_t)8 << 20) /* what Debian 12 lets an ordinary user lock */

static unsigned failures;

static void check(bool ok, const char *what, unsigned long value)
{
    if (ok)
        return;
    (void)fprintf(stderr, "many readers: %s: %lu\n", what, value);
    failures++;
}

/* Return a number of /proc/self/status, in KiB. */
static unsigned long status_of(const char *name)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long n = 0;
    char line[256];

    if (f == NULL)
        abort();
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            n = strtoul(line + strlen(name), NULL, 10);
    (void)fclose(f);
    return n;
}

static unsigned long count_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned long n = 0;
    int c;

    if (f == NULL)
        abort();
    while ((c = getc(f)) != EOF)
        n += c == '\n' ? 1 : 0;
    (void)fclose(f);
    return n;
}

static struct sealed sealed;

static enum blobseal_status source_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                         struct blobseal_error *err)
{
    (void)ctx;
    (void)err;
    *nread = len < sealed.len - off ? len : sealed.len - (size_t)off;
    memcpy(buf, sealed.data + off, *nread);
    return BLOBSEAL_OK;
}

static struct blobseal_reader *readers[READERS];

static void open_readers(struct blobseal_kek *kek, unsigned from, unsigned to)
{
    const struct blobseal_source source = {.size = sealed.len, .pread = source_pread};

    for (unsigned i = from; i < to; i++)
        if (blobseal_reader_open(&readers[i], &source, &kek, 1, NULL, NULL) != BLOBSEAL_OK) {
            check(false, "a reader could not be opened", i);
            exit(1);
        }
}

static void read_from_each(const uint8_t *plain)
{
    unsigned wrong = 0;
    uint8_t bytes[20];
    size_t n;

    for (unsigned i = 0; i < READERS; i++)
        wrong += blobseal_reader_pread(readers[i], bytes, sizeof bytes, i, &n, NULL) == BLOBSEAL_OK &&
                         memcmp(bytes, plain + i, sizeof bytes) == 0
                     ? 0
                     : 1;
    check(wrong == 0, "readers that returned something wrong", wrong);
}

/* Read from readers in no order, so that threads take buffers from readers of other threads. */
static void *read_here_and_there(void *arg)
{
    const uint8_t *plain = arg;
    uint32_t x = (uint32_t)(uintptr_t)pthread_self() | 1;
    uint8_t bytes[20];
    bool ok = true;
    size_t n;

    for (unsigned i = 0; i < 5000; i++) {
        uint32_t off;

        x = x * 1664525 + 1013904223;
        off = x >> 8 & 0x7FFF;
        ok = ok &&
             blobseal_reader_pread(readers[(x >> 4) % READERS], bytes, sizeof bytes, off, &n, NULL) == BLOBSEAL_OK &&
             memcmp(bytes, plain + off, sizeof bytes) == 0;
    }
    return ok ? arg : NULL;
}

static void read_by_threads(uint8_t *plain)
{
    pthread_t threads[8];
    void *ok;

    for (unsigned i = 0; i < COUNT(threads); i++)
        if (pthread_create(&threads[i], NULL, read_here_and_there, plain) != 0)
            abort();
    for (unsigned i = 0; i < COUNT(threads); i++) {
        (void)pthread_join(threads[i], &ok);
        check(ok != NULL, "a thread read something wrong", i);
    }
}

static struct blobseal_counters counters(void)
{
    struct blobseal_counters n = {.size = sizeof n};

    if (blobseal_context_counters(NULL, &n, NULL) != BLOBSEAL_OK)
        abort();
    return n;
}

int main(void)
{
    /* An envelope as large as with an RSA key of 3072 bits. */
    static const char kid[] =
        "urn:ietf:params:oauth:jwk-thumbprint:sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const struct rlimit limit = {MAX_LOCKED, MAX_LOCKED};
    struct fake_kek fake = {.kid = kid, .wrapped_len = 384};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    unsigned long resident, locked, memory, mappings;
    uint8_t *plain = must_alloc(LEN);

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        abort();
    fill_random(plain, LEN, 1);
    if (seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        abort();
    open_readers(kek, 0, 100); /* what the first ones allocate for all */
    resident = status_of("VmRSS:");
    locked = status_of("VmLck:");
    open_readers(kek, 100, READERS);
    memory = (status_of("VmRSS:") - resident) * 1024 / (READERS - 100);
    locked = (status_of("VmLck:") - locked) * 1024 / (READERS - 100);
    mappings = count_mappings();
    (void)printf("many readers: %lu bytes and %lu locked bytes each, %lu mappings\n", memory, locked, mappings);
    check(memory <= MAX_MEMORY, "bytes of memory for each reader", memory);
    check(locked <= 128, "bytes of locked memory for each reader", locked);
    check(counters().unlocked_secrets == 0, "secrets that could not be locked", (unsigned long)READERS);
    check(mappings < 1000, "mappings", mappings);
    read_from_each(plain);
    read_by_threads(plain);
    check(counters().scratch_bytes <= BLOBSEAL_DEFAULT_SCRATCH, "bytes of buffers", counters().scratch_bytes);
    mappings = count_mappings();
    check(mappings < 1000, "mappings after reading", mappings);
    for (unsigned i = 0; i < READERS; i++)
        blobseal_reader_close(readers[i]);
    blobseal_context_trim(NULL);
    check(counters().scratch_bytes == 0, "bytes of buffers after a trim", counters().scratch_bytes);
    check(status_of("VmLck:") == 0, "KiB locked after a trim", status_of("VmLck:"));
    blobseal_kek_close(kek);
    sealed_clear(&sealed);
    free(plain);
    (void)printf("many readers: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
