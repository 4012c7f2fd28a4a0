/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for plaintext, wiping, comparison in constant time, and random bytes. */
#define _DEFAULT_SOURCE /* MADV_DONTDUMP, MAP_ANONYMOUS */
#include <stdlib.h>
#include <sys/mman.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "core/base/base.h"

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

void blobseal_wipe(void *p, size_t len)
{
    if (len > 0)
        OPENSSL_cleanse(p, len);
}

bool blobseal_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

bool blobseal_random(void *p, size_t len, bool secret)
{
    return (secret ? RAND_priv_bytes_ex(NULL, p, len, 0) : RAND_bytes_ex(NULL, p, len, 0)) == 1;
}
