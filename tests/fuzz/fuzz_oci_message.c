/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to the key provider. No key is ever given out, so none is used, unless a message contains one in PEM. */
#include <stdlib.h>

#include "core/oci/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

/* Refuse every name, after checking its form. */
static enum blobseal_status refuse(void *ctx, const char *name, struct blobseal_kek **keks, size_t *num,
                                   struct blobseal_error *err)
{
    (void)ctx;
    (void)keks;
    require(name == NULL || (strlen(name) >= 1 && strlen(name) <= 64 && strpbrk(name, "/:\\ \n") == NULL));
    *num = 0;
    return blobseal_fail(err, BLOBSEAL_E_DENIED, 0, "refused");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct blobseal_oci_keyprovider_options o = {.size = sizeof o, .keys = refuse};
    struct blobseal_error err = {0};
    char *copy = malloc(len + (len == 0)), *reply;
    size_t reply_len;
    enum blobseal_status st;

    if (copy == NULL)
        return 0;
    if (len > 0)
        memcpy(copy, data, len);
    st = blobseal_oci_keyprovider(copy, len, &o, &reply, &reply_len, &err);
    require((st == BLOBSEAL_OK) == (reply != NULL));
    require(st == BLOBSEAL_OK || err.status == st);
    require(st != BLOBSEAL_E_INTERNAL && st != BLOBSEAL_E_ARG);
    require(bs_all_zero((const uint8_t *)copy, len));
    blobseal_secret_free(reply);
    free(copy);
    return 0;
}
