/* SPDX-License-Identifier: Apache-2.0 */
/* Private and public options of layers. The first byte of the input chooses. What is accepted is written and read
 * again.
 */
#include <stdlib.h>

#include "core/oci/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

static void read_private(uint8_t *text, size_t len)
{
    struct bs_oci_key key, again;
    uint8_t buf[1024];
    struct bs_builder w = bs_builder_start(buf, sizeof buf);
    struct blobseal_error err;
    enum blobseal_status st = bs_oci_private_read(&key, text, len, &err);

    require(st == BLOBSEAL_OK || (st == BLOBSEAL_E_FORMAT && err.status == st));
    if (st != BLOBSEAL_OK) {
        require(bs_all_zero((const uint8_t *)&key, sizeof key));
        return;
    }
    bs_oci_private_write(&w, &key, key.digest);
    require(w.ok && bs_oci_private_read(&again, buf, w.len, NULL) == BLOBSEAL_OK);
    require(memcmp(&key, &again, sizeof key) == 0);
}

static void read_public(uint8_t *text, size_t len)
{
    struct bs_oci_public options, again;
    uint8_t buf[256];
    struct bs_builder w = bs_builder_start(buf, sizeof buf);
    struct blobseal_error err;
    enum blobseal_status st = bs_oci_public_read(&options, text, len, &err);

    require(st == BLOBSEAL_OK || ((st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED) && err.status == st));
    if (st != BLOBSEAL_OK)
        return;
    bs_oci_public_write(&w, options.cipher == BS_OCI_CTR_HMAC ? options.hmac : NULL);
    require(w.ok && bs_oci_public_read(&again, buf, w.len, NULL) == BLOBSEAL_OK);
    require(again.cipher == options.cipher && !again.has_nonce);
    require(options.cipher != BS_OCI_CTR_HMAC || memcmp(again.hmac, options.hmac, sizeof again.hmac) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy;

    if (len < 1)
        return 0;
    copy = malloc(len); /* one byte longer than the text, which is not terminated */
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 1, len - 1);
    (data[0] % 2 == 0 ? read_private : read_public)(copy, len - 1);
    free(copy);
    return 0;
}
