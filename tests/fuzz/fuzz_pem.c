/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: whatever a file contains, opening it yields a key that works or one of the documented errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blobseal_provider.h"
#include "kek/kek.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

/* Refuse to provide a passphrase: the iteration count in a key file can require hours, so the target stops here. */
static enum blobseal_status no_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx;
    (void)buf;
    require(cap > 0);
    *len = 0;
    return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "asked for a passphrase");
}

/* Write @data to the only file of this process, which only its owner can read. Return its path. */
static const char *key_file(const uint8_t *data, size_t len)
{
    static char by_descriptor[32];
    static int fd = -1;

    if (fd < 0) {
        char path[] = "/tmp/blobseal-fuzz-XXXXXX";

        fd = mkstemp(path);
        require(fd >= 0 && unlink(path) == 0);
        (void)snprintf(by_descriptor, sizeof by_descriptor, "/proc/self/fd/%d", fd);
    }
    require(ftruncate(fd, 0) == 0 && pwrite(fd, data, len, 0) == (ssize_t)len);
    return by_descriptor;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct blobseal_secret32 secret = {{1, 2, 3}};
    struct blobseal_kek_options o = {.size = sizeof o, .passphrase = no_passphrase};
    struct blobseal_wrapping wrapped;
    struct blobseal_kek *kek;
    struct blobseal_error err;
    enum blobseal_status st;

    if (len < 1)
        return 0;
    o.oaep = (data[0] & 1) != 0 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256;
    if ((data[0] & 2) != 0)
        o.passphrase = NULL;
    st = blobseal_kek_open(&kek, NULL, key_file(data + 1, len - 1), &o, &err);
    require(st == BLOBSEAL_OK || st == BLOBSEAL_E_CONFIG || st == BLOBSEAL_E_CANCELED);
    require((st == BLOBSEAL_OK) == (kek != NULL));
    if (st == BLOBSEAL_OK) {
        const struct blobseal_kek_info *info = bs_kek_info(kek);

        require(info->wrapped_len == 256 || info->wrapped_len == 384 || info->wrapped_len == 512);
        require(strlen(info->kid) == strlen("urn:ietf:params:oauth:jwk-thumbprint:sha-256:") + 43);
        st = bs_kek_wrap(kek, &wrapped, &secret, NULL, &err); /* can fail if the modulus is not a product of primes */
        require(st == BLOBSEAL_OK || st == BLOBSEAL_E_INTERNAL);
    } else {
        require(err.status == st && err.text[0] != '\0');
    }
    blobseal_kek_close(kek);
    return 0;
}
