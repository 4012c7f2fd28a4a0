/* SPDX-License-Identifier: Apache-2.0 */
/* From the keys of a layer to its annotations. */
#include <stdlib.h>

#include "core/oci/keys.h"

/* The recipients by the annotations that they are in. */
struct groups {
    size_t num_jwe, num_ours;
    struct blobseal_kek *jwe[BLOBSEAL_MAX_RECIPIENTS], *ours[BLOBSEAL_MAX_RECIPIENTS];
};

static bool is_rsa(const struct blobseal_kek *kek)
{
    const char *alg = bs_kek_info(kek)->alg;

    return alg != NULL && strncmp(alg, "RSA-OAEP", strlen("RSA-OAEP")) == 0;
}

/*
 * Stock tools open a JWE with a private key, so it is for RSA keys whose public half everybody may have. A key that is
 * not in a file cannot be passed to them, so it needs a key provider.
 */
enum blobseal_status bs_oci_place(struct blobseal_kek *kek, const struct bs_oci_wrapping *w,
                                  const struct blobseal_call *call, bool *in_jwe, bool *in_ours,
                                  struct blobseal_error *err)
{
    enum blobseal_status st = bs_kek_describe(kek, call, err);

    *in_jwe = st == BLOBSEAL_OK && bs_kek_has_public_key(kek) && is_rsa(kek);
    *in_ours = st == BLOBSEAL_OK && (!*in_jwe || w->provider || !bs_kek_is_file(kek));
    return st;
}

static enum blobseal_status group(struct groups *g, const struct bs_oci_wrapping *w, struct bs_keks keks,
                                  struct blobseal_error *err)
{
    for (size_t i = 0; i < keks.num; i++) {
        bool in_jwe, in_ours;
        enum blobseal_status st = bs_oci_place(keks.list[i], w, keks.call, &in_jwe, &in_ours, err);

        if (st != BLOBSEAL_OK)
            return st;
        if (in_jwe)
            g->jwe[g->num_jwe++] = keks.list[i];
        if (in_ours)
            g->ours[g->num_ours++] = keks.list[i];
    }
    return BLOBSEAL_OK;
}

enum blobseal_status bs_oci_wrap_into(struct bs_oci_output *out, const struct bs_oci_wrapping *w, struct bs_keks keks,
                                      struct blobseal_error *err)
{
    struct bs_oci_sealing sealing = {.scheme = BS_OCI_JWE, .generation = w->generation, .options = w->options};
    struct groups *g = calloc(1, sizeof *g);
    enum blobseal_status st;

    if (g == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    st = group(g, w, keks, err);
    if (st == BLOBSEAL_OK && g->num_jwe > 0)
        st = bs_oci_seal(out, &sealing, (struct bs_keks){g->jwe, g->num_jwe, keks.call}, err);
    if (st == BLOBSEAL_OK && w->pkcs11 && g->num_jwe == 0)
        st = blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the annotation pkcs11 needs an RSA key, and there is none");
    if (st == BLOBSEAL_OK && w->pkcs11)
        st = bs_oci_seal_blobs(out, w->options, (struct bs_keks){g->jwe, g->num_jwe, keks.call}, err);
    sealing.scheme = BS_OCI_OURS;
    if (st == BLOBSEAL_OK && g->num_ours > 0)
        st = bs_oci_seal(out, &sealing, (struct bs_keks){g->ours, g->num_ours, keks.call}, err);
    free(g);
    return st;
}

void bs_oci_output_public(struct bs_oci_output *out, const uint8_t *hmac)
{
    uint8_t text[256];
    struct bs_builder w = bs_builder_start(text, sizeof text);

    bs_oci_public_write(&w, hmac);
    bs_oci_output_bytes(out, BS_OCI_PUBOPTS, (struct bs_slice){text, w.len});
}

static enum blobseal_status check(const struct blobseal_oci_layer *layer, size_t num_keks, struct blobseal_error *err)
{
    if (!layer->key.has_hmac)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "write the annotations of a layer: it was not encrypted yet");
    if (num_keks == 0)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a layer has 1 to 64 recipients, not 0");
    if (num_keks > BLOBSEAL_MAX_RECIPIENTS)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "a layer has 1 to 64 recipients, not %zu", num_keks);
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_oci_wrap(const struct blobseal_oci_layer *layer, struct blobseal_kek *const *keks,
                                       size_t num_keks, const struct blobseal_oci_wrap_options *options,
                                       struct blobseal_oci_annotations **list, struct blobseal_error *err)
{
    struct blobseal_oci_wrap_options o = {.size = sizeof o};
    struct bs_oci_output out = {0};
    struct bs_builder text = {0};
    struct blobseal_call call;
    enum blobseal_status st;

    *list = NULL;
    if (!blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "wrap the key of a layer: options without their size, or newer "
                             "than the library");
    st = check(layer, num_keks, err);
    if (st != BLOBSEAL_OK)
        return st;
    text = bs_builder_start(blobseal_secret_alloc(BS_OCI_MAX_OPTIONS), BS_OCI_MAX_OPTIONS);
    if (text.p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "wrap the key of a layer: no memory");
    call = bs_call_start(o.timeout_ms, o.cancel);
    bs_oci_private_write(&text, &layer->key, layer->key.digest);
    bs_oci_output_public(&out, layer->key.hmac);
    st = bs_oci_wrap_into(
        &out,
        &(struct bs_oci_wrapping){
            .options = {text.p, text.len}, .generation = 1, .provider = o.provider, .pkcs11 = o.pkcs11},
        (struct bs_keks){keks, num_keks, &call}, err);
    blobseal_secret_free(text.p);
    return bs_oci_output_end(&out, list, st, err);
}
