/* SPDX-License-Identifier: Apache-2.0 */
/* Wrapping the private options of a layer for recipients, in a JWE of either kind. */
#include <stdlib.h>

#include "core/oci/keys.h"

/* Wrap @cek with each KEK, and add its recipient to @jwe. */
static enum blobseal_status wrap_all(struct bs_jwe *jwe, struct bs_keks keks, const struct blobseal_secret32 *cek,
                                     struct blobseal_error *err)
{
    struct blobseal_wrapping *w = malloc(sizeof *w);
    uint64_t deadline_ms = 0; /* see bs_kek_limit() */
    enum blobseal_status st = BLOBSEAL_OK;

    if (w == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    for (size_t i = 0; i < keks.num && st == BLOBSEAL_OK; i++) {
        struct blobseal_call call = bs_call_for_blob(keks.call, NULL);

        bs_kek_limit(keks.list[i], &call, &deadline_ms);
        st = bs_kek_wrap(keks.list[i], w, cek, &call, err);
        if (st == BLOBSEAL_OK)
            st = bs_jwe_add_wrapped(jwe, w, err);
    }
    free(w);
    return st;
}

static enum blobseal_status encode(struct bs_builder *out, const struct bs_jwe *jwe,
                                   const struct bs_oci_sealing *sealing, const struct blobseal_secret32 *cek,
                                   struct blobseal_error *err)
{
    static const char plain[] = "{\"enc\":\"A256GCM\"}";
    struct bs_slice protected = {(const uint8_t *)plain, sizeof plain - 1};
    uint8_t rcpt[BS_SHA256_LEN];
    char header[256];

    if (sealing->scheme == BS_OCI_OURS) {
        if (!bs_jwe_recipients_digest(rcpt, jwe))
            return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
        protected.p = (const uint8_t *)header;
        protected.len = bs_oci_header_write(header, sizeof header, sealing->generation, rcpt);
    }
    return bs_jwe_write(out, jwe, protected, cek, sealing->options, err);
}

enum blobseal_status bs_oci_seal_jwe(struct bs_builder *out, const struct bs_oci_sealing *sealing, struct bs_keks keks,
                                     struct blobseal_error *err)
{
    struct blobseal_secret32 *cek = blobseal_secret_alloc(sizeof *cek);
    struct bs_jwe jwe = {0};
    enum blobseal_status st = bs_selftest_once(err);

    if (st == BLOBSEAL_OK && cek == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    if (st == BLOBSEAL_OK)
        st = bs_random(cek, sizeof *cek, true, err);
    if (st == BLOBSEAL_OK)
        st = bs_jwe_new(&jwe, err);
    if (st == BLOBSEAL_OK)
        st = wrap_all(&jwe, keks, cek, err);
    if (st == BLOBSEAL_OK)
        st = encode(out, &jwe, sealing, cek, err);
    bs_jwe_clear(&jwe);
    blobseal_secret_free(cek);
    return st;
}

enum blobseal_status bs_oci_seal(struct bs_oci_output *out, const struct bs_oci_sealing *sealing, struct bs_keks keks,
                                 struct blobseal_error *err)
{
    struct bs_builder w = bs_builder_start(malloc(BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_MAX_ENVELOPE);
    enum blobseal_status st;

    if (w.p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    st = bs_oci_seal_jwe(&w, sealing, keks, err);
    if (st == BLOBSEAL_OK)
        bs_oci_output_bytes(out, bs_oci_annotation_key(sealing->scheme), (struct bs_slice){w.p, w.len});
    free(w.p);
    return st;
}
