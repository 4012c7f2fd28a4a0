/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for plaintext, why there is none, wiping, comparison in constant time, and random bytes. */
#define _DEFAULT_SOURCE /* MADV_DONTDUMP, MAP_ANONYMOUS, explicit_bzero */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "core/base/base.h"
#include "simd/simd.h"

void blobseal_free(void *p)
{
    free(p);
}

/* For smaller blocks, creating and releasing a mapping would cost more than processing the data in it. */
#define MAP_FROM ((size_t)128 << 10)

void *bs_map(size_t len)
{
    void *p;

    if (len < MAP_FROM)
        return calloc(1, len);
    p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, len, MADV_DONTDUMP);
    return p;
}

void bs_unmap(void *p, size_t len)
{
    if (p == NULL)
        return;
    if (len < MAP_FROM) {
        blobseal_wipe(p, len);
        free(p);
    } else {
        (void)munmap(p, len);
    }
}

/* ---- Why there is no memory -------------------------------------------------------------------------------------- */

/* Count the lines of @path, or if @number is set, read the number in it. Needs no memory. Return 0 if that fails. */
static unsigned long read_proc(const char *path, bool number)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned long n = 0;
    char buf[1024];
    ssize_t len;

    while (fd >= 0 && (len = read(fd, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < len; i++)
            if (!number)
                n += buf[i] == '\n' ? 1 : 0;
            else if (buf[i] >= '0' && buf[i] <= '9')
                n = n * 10 + (unsigned long)(buf[i] - '0');
    if (fd >= 0)
        (void)close(fd);
    return n;
}

void bs_hint_memory(struct blobseal_error *err)
{
    unsigned long most = read_proc("/proc/sys/vm/max_map_count", true), now = read_proc("/proc/self/maps", false);
    struct rlimit limit;

    if (now > 0 && now + 10 >= most)
        blobseal_hint(err, "the process has %lu mappings, and the kernel allows %lu: raise vm.max_map_count", now,
                      most);
    else if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        blobseal_hint(err, "the process is limited to %llu MiB of address space (RLIMIT_AS)",
                      (unsigned long long)limit.rlim_cur >> 20);
}

void blobseal_wipe(void *p, size_t len)
{
    if (len > 0)
        explicit_bzero(p, len); /* which is faster than OPENSSL_cleanse(): whole vectors instead of words */
    bs_wipe_registers();        /* where a copy of these bytes may be */
}

bool blobseal_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

bool bs_openssl_is_usable(void)
{
    return OPENSSL_init_crypto(0, NULL) == 1;
}

static bool fill_random(void *p, size_t len, bool secret)
{
    return (secret ? RAND_priv_bytes_ex(NULL, p, len, 0) : RAND_bytes_ex(NULL, p, len, 0)) == 1;
}

bool blobseal_random(void *p, size_t len, bool secret)
{
    bool ok = false;

    if (bs_openssl_start(NULL) != BLOBSEAL_OK)
        return false;
    for (int tries = 0; tries < 2 && !ok; tries++) /* memory may have been short for a moment */
        ok = fill_random(p, len, secret);
    return ok;
}

enum blobseal_status bs_random(void *p, size_t len, bool secret, struct blobseal_error *err)
{
    return blobseal_random(p, len, secret) ? BLOBSEAL_OK : bs_openssl_failed(err, "generate random numbers");
}
