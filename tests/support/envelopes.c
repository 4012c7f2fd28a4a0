/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes that are opened, described and changed for tests: see blobs.h. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/blobs.h"

enum blobseal_status open_envelope(const struct bs_envelope *e, const struct bs_core_header *core,
                                   struct blobseal_kek *const *keks, size_t num_keks, struct bs_chunked_keys *keys,
                                   struct blobseal_error *err)
{
    struct bs_unlocked *u;
    enum blobseal_status st = bs_envelope_unlock(&u, e, core, (struct bs_keks){keks, num_keks, NULL}, err);

    if (st == BLOBSEAL_OK)
        *keys = u->keys;
    else
        blobseal_wipe(keys, sizeof *keys);
    blobseal_secret_free(u);
    return st;
}

const struct bs_envelope *envelope_for(const struct recipe *r, uint64_t generation, const struct bs_jwe *jwe)
{
    static struct bs_envelope e;

    e = (struct bs_envelope){.jwe = *jwe, .generation = generation};
    memcpy(e.blob_id, r->core.blob_id, sizeof e.blob_id);
    return &e;
}

char *of_a_later_version(const char *text)
{
    char *copy = must_copy(text, strlen(text) + 1), *at = strstr(copy, "\"protected\":\"");
    uint8_t header[1024];
    size_t len, chars;
    char *v;

    at += strlen("\"protected\":\"");
    chars = strcspn(at, "\"");
    if (!blobseal_base64url_decode(header, sizeof header - 1, &len, at, chars) ||
        (header[len] = '\0', v = strstr((char *)header, "\"v\":1")) == NULL) {
        (void)fprintf(stderr, "test support: an envelope without its version\n");
        abort();
    }
    v[strlen("\"v\":")] = '2';
    blobseal_base64url_encode(at, header, len);
    return copy;
}
