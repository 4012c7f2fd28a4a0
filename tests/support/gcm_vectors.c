/* SPDX-License-Identifier: Apache-2.0 */
/* Public vectors on an entry of the table of AES-GCM implementations: NIST's, and those of C2SP for chunks of 16 KiB.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "tests/support/gcm.h"

#define FILLER 0xA5

/* ---- NIST CAVP --------------------------------------------------------------------------------------------------- */

#define NIST_ALL     7875u
#define NIST_APPLIES 75u
#define NIST_FAILING 33u /* of those that apply */

static bool applies(const struct vec_rsp *r)
{
    return r->key_bits == 256 && r->iv_bits == 96 && r->tag_bits == 128 && r->aad_bits == 0;
}

static struct bs_gcm_run run_of(const struct vec_rsp *r)
{
    if (r->key.len != BS_GCM_KEY_LEN || r->iv.len != BS_GCM_NONCE_LEN || r->tag.len != BS_GCM_TAG_LEN)
        vec_die("a vector of NIST with impossible lengths");
    return (struct bs_gcm_run){
        .nonce = r->iv.p, .num = 1, .msg_len = (size_t)r->plain_bits / 8, .last_len = (size_t)r->plain_bits / 8};
}

static void nist_encrypt_case(const struct bs_gcm_impl *impl, const struct vec_rsp *r)
{
    struct bs_gcm_key key = gcm_key(impl, r->key.p);
    struct bs_gcm_run run = run_of(r);
    struct vec_bytes sealed = vec_copy(NULL, bs_gcm_sealed_len(&run));

    GCM_EXPECT(impl, impl->seal(&key, &run, sealed.p, r->plain.p));
    GCM_EXPECT(impl, memcmp(sealed.p, r->cipher.p, r->cipher.len) == 0);
    GCM_EXPECT(impl, memcmp(sealed.p + r->cipher.len, r->tag.p, r->tag.len) == 0);
    impl->clear(&key);
    free(sealed.p);
}

static void nist_decrypt_case(const struct bs_gcm_impl *impl, const struct vec_rsp *r)
{
    struct bs_gcm_key key = gcm_key(impl, r->key.p);
    struct bs_gcm_run run = run_of(r);
    struct vec_bytes sealed = vec_copy(NULL, bs_gcm_sealed_len(&run)), plain = vec_copy(NULL, run.last_len);

    memcpy(sealed.p, r->cipher.p, r->cipher.len);
    memcpy(sealed.p + r->cipher.len, r->tag.p, r->tag.len);
    memset(plain.p, FILLER, plain.len);
    GCM_EXPECT(impl, impl->open(&key, &run, plain.p, sealed.p) == !r->fail);
    GCM_EXPECT(impl, r->fail ? gcm_is_zero(plain.p, plain.len) : memcmp(plain.p, r->plain.p, plain.len) == 0);
    impl->clear(&key);
    free(sealed.p);
    free(plain.p);
}

/* All that apply of a file, which must be those that are known. */
static void nist_file(const struct bs_gcm_impl *impl, const char *path, unsigned failing,
                      void (*check)(const struct bs_gcm_impl *impl, const struct vec_rsp *r))
{
    struct vec_rsp r = vec_rsp_open(path);
    unsigned all = 0, run = 0, refused = 0;

    for (; vec_rsp_next(&r); all++)
        if (applies(&r)) {
            check(impl, &r);
            run++;
            refused += r.fail;
        }
    vec_rsp_close(&r);
    GCM_EXPECT(impl, all == NIST_ALL && run == NIST_APPLIES && refused == failing);
}

void gcm_seals_as_nist_says(const struct bs_gcm_impl *impl)
{
    nist_file(impl, "nist-cavp/gcmEncryptExtIV256.rsp.gz", 0, nist_encrypt_case);
}

void gcm_opens_as_nist_says(const struct bs_gcm_impl *impl)
{
    nist_file(impl, "nist-cavp/gcmDecrypt256.rsp.gz", NIST_FAILING, nist_decrypt_case);
}

/* ---- C2SP: the chunks below the header, with the key and nonce that derivation gives ----------------------------- */

#define C2SP_FILE   "c2sp/c2sp_chunked_encryption_aes_256_gcm_test.json"
#define C2SP_HEADER 56
#define CHUNK       ((size_t)16384)
#define SEALED      (CHUNK + BS_GCM_TAG_LEN)
#define C2SP_RUNS   22u /* cases whose header is right and which have room for a tag */

/* Full chunks, then one with what is left, if that is enough for a tag: the layer above refuses less. */
static struct bs_gcm_run chunks_of(const uint8_t *nonce, size_t len)
{
    size_t full = len / SEALED, rest = len % SEALED;
    bool last = rest >= BS_GCM_TAG_LEN;

    return (struct bs_gcm_run){.nonce = nonce,
                               .num = full + (last ? 1 : 0),
                               .msg_len = CHUNK,
                               .last_len = last ? rest - BS_GCM_TAG_LEN : CHUNK};
}

static void expect_sha512(const struct bs_gcm_impl *impl, const json_t *t, const uint8_t *p, size_t len)
{
    struct vec_bytes expected = vec_member(t, "msgSha512");
    uint8_t digest[64];

    GCM_EXPECT(impl, EVP_Digest(p, len, digest, NULL, EVP_sha512(), NULL) == 1);
    GCM_EXPECT(impl, expected.len == sizeof digest && memcmp(digest, expected.p, sizeof digest) == 0);
    free(expected.p);
}

/* The longest authentic prefix is released, the rest is zero; a message that is valid is also sealed. */
static void c2sp_run(const struct bs_gcm_impl *impl, const json_t *t, const struct bs_gcm_run *run, const uint8_t *raw,
                     struct vec_bytes payload)
{
    struct bs_gcm_key key = gcm_key(impl, raw);
    struct vec_bytes plain = vec_copy(NULL, gcm_plain_len(run)), again = vec_copy(NULL, payload.len);
    bool known = json_object_get(t, "msgLength") != NULL, valid = strcmp(vec_text(t, "result"), "valid") == 0;
    size_t good = known ? (size_t)vec_int(t, "msgLength") : 0;
    bool cut = payload.len % SEALED < BS_GCM_TAG_LEN; /* what makes it invalid is then not in the run */

    memset(plain.p, FILLER, plain.len);
    GCM_EXPECT(impl, valid ? good == plain.len : good <= plain.len);
    GCM_EXPECT(impl, impl->open(&key, run, plain.p, payload.p) == (valid || (cut && good == plain.len)));
    GCM_EXPECT(impl, gcm_is_zero(plain.p + good, plain.len - good));
    if (known)
        expect_sha512(impl, t, plain.p, good);
    if (valid) {
        GCM_EXPECT(impl, impl->seal(&key, run, again.p, plain.p));
        GCM_EXPECT(impl, memcmp(again.p, payload.p, payload.len) == 0);
    }
    impl->clear(&key);
    free(plain.p);
    free(again.p);
}

static bool c2sp_case(const struct bs_gcm_impl *impl, const json_t *t)
{
    struct vec_bytes packed = vec_member(t, "ct"), ct = vec_inflate(packed), payload, raw, nonce;
    struct bs_gcm_run run;

    free(packed.p);
    if (json_object_get(t, "aeadKey") == NULL || ct.len < C2SP_HEADER + BS_GCM_TAG_LEN) {
        free(ct.p);
        return false;
    }
    payload = vec_copy(ct.p + C2SP_HEADER, ct.len - C2SP_HEADER);
    free(ct.p);
    raw = vec_member(t, "aeadKey");
    nonce = vec_member(t, "baseNonce");
    GCM_EXPECT(impl, raw.len == BS_GCM_KEY_LEN && nonce.len == BS_GCM_NONCE_LEN);
    run = chunks_of(nonce.p, payload.len);
    c2sp_run(impl, t, &run, raw.p, payload);
    free(payload.p);
    free(raw.p);
    free(nonce.p);
    return true;
}

void gcm_opens_as_c2sp_says(const struct bs_gcm_impl *impl)
{
    json_t *root = vec_json(C2SP_FILE), *g, *t;
    unsigned runs = 0;
    size_t i, k;

    json_array_foreach(vec_list(root, "testGroups"), i, g)
    {
        json_array_foreach(vec_list(g, "tests"), k, t)
        {
            runs += c2sp_case(impl, t);
        }
    }
    json_decref(root);
    GCM_EXPECT(impl, runs == C2SP_RUNS);
}
