/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private and public options of a layer in JSON, as ocicrypt writes and reads them. Unknown members are ignored, as
 * there. Everything that would make another reader decrypt in another way is refused.
 */
#include "core/oci/keys.h"

static enum blobseal_status bad_private(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed private options of a layer: %s", what);
}

static enum blobseal_status bad_public(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed public options of a layer: %s", what);
}

/* Read a string that must be exactly @len bytes in base64. Return false if it is anything else. */
static bool read_bytes(struct bs_json *j, uint8_t *out, size_t len)
{
    struct bs_slice s;
    size_t n;
    bool ok;

    if (!bs_json_string(j, &s))
        return false;
    n = s.len;
    ok = bs_base64_decode((uint8_t *)s.p, &n) && n == len;
    if (ok)
        memcpy(out, s.p, len);
    return ok;
}

/*
 * Read `cipheroptions`, of which only the nonce has a meaning. An object that is absent or null has no members. Return
 * false if a nonce is not 16 bytes, or appears twice.
 */
static bool read_cipher_options(struct bs_json *j, uint8_t nonce[BS_OCI_NONCE_LEN], bool *has_nonce)
{
    struct bs_slice name;

    if (bs_json_null(j))
        return true;
    bs_json_object(j);
    while (bs_json_member(j, &name)) {
        if (!bs_slice_is(name, "nonce")) {
            bs_json_skip(j);
            continue;
        }
        if (*has_nonce || !read_bytes(j, nonce, BS_OCI_NONCE_LEN))
            return false;
        *has_nonce = true;
    }
    return true;
}

/* ---- Private options --------------------------------------------------------------------------------------------- */

/* Which members were seen. */
struct private_seen {
    bool symkey, digest, options, nonce;
};

/* Keep a digest of the common form. It is only a hint, so any other one is ignored. */
static void keep_digest(struct bs_oci_key *key, struct bs_slice digest)
{
    if (digest.len < sizeof key->digest && bs_is_token((const char *)digest.p, digest.len))
        memcpy(key->digest, digest.p, digest.len);
}

/* Read one member. Return what is wrong with it, or NULL. */
static const char *read_private(struct bs_oci_key *key, struct private_seen *seen, struct bs_json *j,
                                struct bs_slice name)
{
    struct bs_slice value;

    if (bs_slice_is(name, "symkey")) {
        if (seen->symkey || !read_bytes(j, key->dek, sizeof key->dek))
            return "`symkey` is not 32 bytes in base64, or appears twice";
        seen->symkey = true;
    } else if (bs_slice_is(name, "digest")) {
        if (seen->digest)
            return "`digest` appears twice";
        seen->digest = true;
        if (!bs_json_null(j) && bs_json_string(j, &value))
            keep_digest(key, value);
    } else if (bs_slice_is(name, "cipheroptions")) {
        if (seen->options || !read_cipher_options(j, key->nonce, &seen->nonce))
            return "its nonce is not 16 bytes in base64, or appears twice";
        seen->options = true;
    } else {
        bs_json_skip(j);
    }
    return NULL;
}

enum blobseal_status bs_oci_private_read(struct bs_oci_key *key, uint8_t *text, size_t len, struct blobseal_error *err)
{
    struct bs_json j = bs_json_start(text, len);
    struct private_seen seen = {0};
    const char *fault = NULL;
    struct bs_slice name;

    j.lenient = true;
    memset(key, 0, sizeof *key);
    bs_json_object(&j);
    while (fault == NULL && bs_json_member(&j, &name))
        fault = read_private(key, &seen, &j, name);
    if (fault == NULL && !bs_json_end(&j))
        fault = "it is not a JSON object";
    if (fault == NULL && !(seen.symkey && seen.nonce))
        fault = "the key or the nonce is missing";
    if (fault == NULL)
        return BLOBSEAL_OK;
    blobseal_wipe(key, sizeof *key);
    return bad_private(err, fault);
}

void bs_oci_private_write(struct bs_builder *out, const struct bs_oci_key *key, const char *digest)
{
    bs_put_text(out, "{\"symkey\":\"");
    bs_put_base64(out, key->dek, sizeof key->dek);
    bs_put_text(out, "\",\"digest\":");
    bs_put_json_string(out, digest);
    bs_put_text(out, ",\"cipheroptions\":{\"nonce\":\"");
    bs_put_base64(out, key->nonce, sizeof key->nonce);
    bs_put_text(out, "\"}}");
}

/* ---- Public options ---------------------------------------------------------------------------------------------- */

static const char *const cipher_names[] = {[BS_OCI_CTR_HMAC] = BS_OCI_CIPHER, [BS_OCI_CHUNKED] = "BLOBSEAL_V1"};

struct public_seen {
    bool cipher, hmac, options;
    bool hmac_ok;
};

static enum blobseal_status read_cipher(struct bs_oci_public *o, struct bs_slice name, struct blobseal_error *err)
{
    for (size_t i = 0; i < BS_COUNT(cipher_names); i++)
        if (bs_slice_is(name, cipher_names[i])) {
            o->cipher = (enum bs_oci_cipher_id)i;
            return BLOBSEAL_OK;
        }
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the cipher %.64s of a layer is not supported",
                         (const char *)name.p);
}

static enum blobseal_status read_public(struct bs_oci_public *o, struct public_seen *seen, struct bs_json *j,
                                        struct bs_slice name, struct blobseal_error *err)
{
    struct bs_slice value;

    if (bs_slice_is(name, "cipher")) {
        if (seen->cipher)
            return bad_public(err, "`cipher` appears twice");
        seen->cipher = true;
        return bs_json_string(j, &value) ? read_cipher(o, value, err) : BLOBSEAL_OK;
    }
    if (bs_slice_is(name, "hmac")) {
        if (seen->hmac)
            return bad_public(err, "`hmac` appears twice");
        seen->hmac = true;
        seen->hmac_ok = !bs_json_null(j) && read_bytes(j, o->hmac, sizeof o->hmac);
        return BLOBSEAL_OK;
    }
    if (bs_slice_is(name, "cipheroptions")) {
        if (seen->options || !read_cipher_options(j, o->nonce, &o->has_nonce))
            return bad_public(err, "its nonce is not 16 bytes in base64, or appears twice");
        seen->options = true;
        return BLOBSEAL_OK;
    }
    bs_json_skip(j);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_oci_public_read(struct bs_oci_public *options, uint8_t *text, size_t len,
                                        struct blobseal_error *err)
{
    struct bs_json j = bs_json_start(text, len);
    enum blobseal_status st = BLOBSEAL_OK;
    struct public_seen seen = {0};
    struct bs_slice name;

    j.lenient = true;
    *options = (struct bs_oci_public){0};
    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &name))
        st = read_public(options, &seen, &j, name, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!bs_json_end(&j))
        return bad_public(err, "it is not a JSON object");
    if (!seen.cipher)
        return bad_public(err, "`cipher` is missing");
    if (options->cipher == BS_OCI_CTR_HMAC && !seen.hmac_ok)
        return bad_public(err, "`hmac` is missing, or not 32 bytes in base64");
    return BLOBSEAL_OK;
}

void bs_oci_public_write(struct bs_builder *out, const uint8_t *hmac)
{
    bs_put_text(out, "{\"cipher\":\"");
    bs_put_text(out, cipher_names[hmac != NULL ? BS_OCI_CTR_HMAC : BS_OCI_CHUNKED]);
    bs_put_text(out, "\",\"hmac\":\"");
    if (hmac != NULL)
        bs_put_base64(out, hmac, BS_OCI_HMAC_LEN);
    bs_put_text(out, "\",\"cipheroptions\":{}}");
}

enum blobseal_status bs_oci_check_cipher(const struct bs_oci_public *options, struct blobseal_error *err)
{
    if (options->cipher == BS_OCI_CTR_HMAC)
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the cipher of the layer is %s, which has an envelope",
                         cipher_names[options->cipher]);
}

enum blobseal_status bs_oci_key_complete(struct bs_oci_key *key, const struct bs_oci_public *options,
                                         struct blobseal_error *err)
{
    enum blobseal_status st = bs_oci_check_cipher(options, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (options->has_nonce && !blobseal_equal(options->nonce, key->nonce, sizeof key->nonce))
        return bad_public(err, "they contain a nonce, which is not the one that was wrapped");
    memcpy(key->hmac, options->hmac, sizeof key->hmac);
    key->has_hmac = true;
    return BLOBSEAL_OK;
}
