/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage daemon keeps 30,000 blobs open under the limits of an ordinary user of Debian 12. Each takes less than
 * 4 KiB of memory and at most 128 bytes of locked memory before it is read from, and all of them together take fewer
 * than 1,000 mappings. Buffers stay below the limit of the context, however many blobs are read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/blobs.h"
#include "tests/support/tier.h"

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

/* How the readers are opened. */
enum way {
    WITH_KEK,    /* each unwraps */
    WITH_HANDLE, /* each has an unlocked key of its own, which nobody else holds */
    WITH_ONE,    /* all share one unlocked key */
};

static const char *const names[] = {"one unwrap each", "one unlocked key each", "one unlocked key for all"};

static enum blobseal_status open_one(struct blobseal_reader **reader, struct blobseal_kek *kek,
                                     struct blobseal_unlocked *shared, enum way way)
{
    const struct blobseal_source source = {.size = sealed.len, .pread = source_pread};
    struct blobseal_unlocked *own = NULL;
    enum blobseal_status status;

    if (way == WITH_KEK)
        return blobseal_reader_open(reader, &source, &kek, 1, NULL, NULL);
    if (way == WITH_ONE)
        return blobseal_reader_open_with(reader, &source, shared, NULL, NULL);
    status = blobseal_unlock(&own, &source, &kek, 1, NULL, NULL);
    if (status == BLOBSEAL_OK)
        status = blobseal_reader_open_with(reader, &source, own, NULL, NULL);
    blobseal_unlocked_release(own);
    return status;
}

static void open_readers(struct blobseal_kek *kek, struct blobseal_unlocked *shared, enum way way, unsigned from,
                         unsigned to)
{
    for (unsigned i = from; i < to; i++)
        if (open_one(&readers[i], kek, shared, way) != BLOBSEAL_OK) {
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

/* Open all readers and check what they take. What the first hundred allocate is for all of them. */
static void open_and_measure(struct blobseal_kek *kek, struct blobseal_unlocked *shared, enum way way)
{
    unsigned long resident, locked, memory, mappings;

    open_readers(kek, shared, way, 0, 100);
    resident = status_of("VmRSS:");
    locked = status_of("VmLck:");
    open_readers(kek, shared, way, 100, READERS);
    memory = (status_of("VmRSS:") - resident) * 1024 / (READERS - 100);
    locked = (status_of("VmLck:") - locked) * 1024 / (READERS - 100);
    mappings = count_mappings();
    (void)printf("many readers, %s: %lu bytes and %lu locked bytes each, %lu mappings\n", names[way], memory, locked,
                 mappings);
    check(memory <= MAX_MEMORY, "bytes of memory for each reader", memory);
    check(locked <= 128, "bytes of locked memory for each reader", locked);
    check(counters().unlocked_secrets == 0, "secrets that could not be locked", (unsigned long)READERS);
    check(mappings < 1000, "mappings", mappings);
}

/* Open an RSA-3072 key in a file, as a daemon does. */
static struct blobseal_kek *rsa_kek_open(void)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    char path[] = "/tmp/blobseal-many-readers-XXXXXX";
    struct blobseal_kek *kek = NULL;
    int fd = mkstemp(path);

    if (fd < 0 || blobseal_keygen_rsa(&pair, 3072, NULL, NULL) != BLOBSEAL_OK ||
        write(fd, pair.private_pem, pair.private_len) != (ssize_t)pair.private_len ||
        blobseal_kek_open(&kek, NULL, path, NULL, NULL) != BLOBSEAL_OK)
        abort();
    (void)close(fd);
    (void)unlink(path);
    blobseal_keypair_clear(&pair);
    return kek;
}

/* Open the readers in @way with an RSA key or with one that costs nothing, whose wrapped keys are as long. */
static void open_and_read(enum way way, bool rsa)
{
    static const char kid[] =
        "urn:ietf:params:oauth:jwk-thumbprint:sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    struct blobseal_source source = {.pread = source_pread};
    struct fake_kek fake = {.kid = kid, .wrapped_len = 384};
    struct blobseal_kek *kek = rsa ? rsa_kek_open() : fake_kek_open(&fake);
    struct blobseal_unlocked *shared = NULL;
    uint8_t *plain = must_alloc(LEN);

    fill_random(plain, LEN, 1);
    if (seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        abort();
    source.size = sealed.len;
    if (way == WITH_ONE && blobseal_unlock(&shared, &source, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        abort();
    open_and_measure(kek, shared, way);
    read_from_each(plain);
    read_by_threads(plain);
    check(counters().scratch_bytes <= BLOBSEAL_DEFAULT_SCRATCH, "bytes of buffers", counters().scratch_bytes);
    check(count_mappings() < 1000, "mappings after reading", count_mappings());
    for (unsigned i = 0; i < READERS; i++)
        blobseal_reader_close(readers[i]);
    blobseal_unlocked_release(shared);
    blobseal_context_trim(NULL);
    check(counters().scratch_bytes == 0, "bytes of buffers after a trim", counters().scratch_bytes);
    check(status_of("VmLck:") == 0, "KiB locked after a trim", status_of("VmLck:"));
    blobseal_kek_close(kek);
    sealed_clear(&sealed);
    free(plain);
}

/* Each way in a process of its own, because memory that has been used before would not count as new. */
static void in_a_child(enum way way, bool rsa)
{
    int status;
    pid_t child = fork();

    if (child < 0)
        abort();
    if (child == 0) {
        open_and_read(way, rsa);
        (void)fflush(stdout);
        _exit(failures == 0 ? 0 : 1);
    }
    if (waitpid(child, &status, 0) != child)
        abort();
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a way of opening failed", (unsigned long)way);
}

int main(void)
{
    const struct rlimit limit = {MAX_LOCKED, MAX_LOCKED};

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        abort();
    in_a_child(WITH_KEK, false);
    in_a_child(WITH_HANDLE, false);
    in_a_child(WITH_ONE, true);
    if (tier_has_campaign()) /* 30,000 RSA operations each */
        for (enum way way = WITH_KEK; way <= WITH_HANDLE; way++)
            in_a_child(way, true);
    (void)printf("many readers: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
