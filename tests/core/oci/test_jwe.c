/* SPDX-License-Identifier: Apache-2.0 */
/* JWEs with private options: the test vectors of FORMAT.md section 12.1, and the forms that ocicrypt reads or refuses.
 */
#include <dirent.h>

#include "kek/rsa.h"
#include "tests/core/oci/keys.h"

SUITE(oci_jwe);

static struct blobseal_error err;

static const char options_text[] = "{\"symkey\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\",\"digest\":\"\","
                                   "\"cipheroptions\":{\"nonce\":\"AAECAwQFBgcICQoLDA0ODw==\"}}";

/* Unwrap a layer with the cipher of ocicrypt whose annotation @key has this one element. */
static enum blobseal_status unwrap(struct blobseal_oci_layer **layer, const char *key, const char *jwe, size_t len,
                                   struct blobseal_kek *kek)
{
    const uint8_t hmac[BS_OCI_HMAC_LEN] = {0};
    struct bs_oci_output out = {0};
    struct blobseal_oci_annotations *list;
    enum blobseal_status st;

    bs_oci_output_public(&out, hmac);
    bs_oci_output_bytes(&out, key, (struct bs_slice){(const uint8_t *)jwe, len});
    cr_assert_eq(bs_oci_output_end(&out, &list, BLOBSEAL_OK, NULL), BLOBSEAL_OK);
    memset(&err, 0, sizeof err);
    st = blobseal_oci_unwrap(layer, list->list, list->num, &kek, 1, NULL, &err);
    blobseal_oci_annotations_free(list);
    return st;
}

/* ---- Test vectors ------------------------------------------------------------------------------------------------ */

/* Copy the value of the line `name: value` before the first empty line. */
static void field(const char *file, const char *name, char *value, size_t cap)
{
    const char *end;

    value[0] = '\0';
    for (const char *at = file; (end = strchr(at, '\n')) != NULL && end != at; at = end + 1)
        if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == ':')
            (void)snprintf(value, cap, "%.*s", (int)(end - at - (ptrdiff_t)strlen(name) - 2), at + strlen(name) + 2);
}

static const char *class_of(enum blobseal_status st)
{
    return st == BLOBSEAL_OK              ? "success"
           : st == BLOBSEAL_E_FORMAT      ? "format"
           : st == BLOBSEAL_E_AUTH        ? "auth"
           : st == BLOBSEAL_E_NO_KEY      ? "no-key"
           : st == BLOBSEAL_E_UNSUPPORTED ? "unsupported"
                                          : "another class";
}

static void run_vector(const char *name, struct blobseal_kek *kek)
{
    char path[300], expect[32], options[512];
    struct blobseal_oci_layer *layer;
    struct bs_oci_key *expected = blobseal_secret_alloc(sizeof *expected);
    struct vec_bytes file;
    enum blobseal_status st;
    const char *jwe;

    (void)snprintf(path, sizeof path, "oci/%s", name);
    file = vec_read(path);
    jwe = strstr((const char *)file.p, "\n\n");
    cr_assert_not_null(jwe);
    jwe += 2;
    field((const char *)file.p, "expect", expect, sizeof expect);
    field((const char *)file.p, "options", options, sizeof options);
    st = unwrap(&layer, BS_OCI_KEYS_PREFIX "provider.blobseal", jwe, file.len - (size_t)(jwe - (const char *)file.p),
                kek);
    cr_expect_str_eq(class_of(st), expect, "%s: %s", name, err.text);
    if (st == BLOBSEAL_OK) {
        cr_assert_eq(bs_oci_private_read(expected, (uint8_t *)options, strlen(options), NULL), BLOBSEAL_OK);
        cr_expect(memcmp(expected->dek, layer->key.dek, sizeof expected->dek) == 0 &&
                      memcmp(expected->nonce, layer->key.nonce, sizeof expected->nonce) == 0 &&
                      strcmp(expected->digest, layer->key.digest) == 0,
                  "%s", name);
    }
    blobseal_oci_layer_free(layer);
    blobseal_secret_free(expected);
    free(file.p);
}

Test(oci_jwe, vectors)
{
    struct vec_bytes pem = vec_read("format/kek1.pem");
    DIR *folder = opendir(TEST_VECTORS "/oci");
    struct blobseal_kek *kek;
    char copy[VEC_PATH];
    unsigned num = 0;

    vec_temp_file(copy, pem.p, pem.len, 0600);
    cr_assert_eq(blobseal_kek_open(&kek, NULL, copy, NULL, NULL), BLOBSEAL_OK);
    (void)unlink(copy);
    free(pem.p);
    cr_assert_not_null(folder);
    for (const struct dirent *e; (e = readdir(folder)) != NULL;)
        if (strstr(e->d_name, ".vec") != NULL) {
            run_vector(e->d_name, kek);
            num++;
        }
    (void)closedir(folder);
    blobseal_kek_close(kek);
    cr_assert_geq(num, 30);
}

/* ---- Forms of other writers -------------------------------------------------------------------------------------- */

/* The parts of a JWE in base64url, for the key pub.pem. */
struct parts {
    char protected[512], key[700], iv[32], ciphertext[512], tag[32];
};

static void encode(char *out, size_t cap, const void *p, size_t len)
{
    cr_assert_lt(BLOBSEAL_BASE64URL_LEN(len), cap);
    blobseal_base64url_encode(out, p, len);
    out[BLOBSEAL_BASE64URL_LEN(len)] = '\0';
}

static void make_parts(struct parts *p, const char *protected, enum blobseal_oaep oaep, size_t cek_len)
{
    struct vec_bytes pem = vec_read("ocicrypt/keys/pub.pem");
    EVP_PKEY *key = vec_key((const char *)pem.p);
    struct blobseal_secret32 cek = {{1, 2, 3}};
    uint8_t iv[12] = {9}, tag[16], wrapped[512], ciphertext[sizeof options_text];
    struct bs_a256gcm gcm = {.cek = &cek, .cek_len = cek_len, .iv = iv};
    size_t len;

    encode(p->protected, sizeof p->protected, protected, strlen(protected));
    gcm.aad = (struct bs_slice){(const uint8_t *)p->protected, strlen(p->protected)};
    cr_assert(bs_rsa_oaep_wrap(key, oaep, wrapped, &len, (struct bs_slice){cek.b, cek_len}));
    encode(p->key, sizeof p->key, wrapped, len);
    cr_assert(bs_a256gcm_encrypt(&gcm, ciphertext,
                                 (struct bs_slice){(const uint8_t *)options_text, sizeof options_text - 1}, tag));
    encode(p->iv, sizeof p->iv, iv, sizeof iv);
    encode(p->ciphertext, sizeof p->ciphertext, ciphertext, sizeof options_text - 1);
    encode(p->tag, sizeof p->tag, tag, sizeof tag);
    EVP_PKEY_free(key);
    free(pem.p);
}

/* Unwrap a JWE with @body, in which %K and %P stand for the wrapped key and the protected header. */
static enum blobseal_status try_body(const struct parts *p, const char *body)
{
    char text[8192];
    size_t len = 0;
    struct blobseal_kek *kek = vector_key("priv.pem");
    struct blobseal_oci_layer *layer;
    enum blobseal_status st;

    for (const char *at = body; *at != '\0'; at++) {
        const char *value = NULL;

        if (*at == '%') {
            at++;
            value = *at == 'K' ? p->key : *at == 'P' ? p->protected : *at == 'I' ? p->iv : NULL;
            value = *at == 'C' ? p->ciphertext : *at == 'T' ? p->tag : value;
            cr_assert_not_null(value);
            len += (size_t)snprintf(text + len, sizeof text - len, "%s", value);
        } else {
            text[len++] = *at;
        }
        cr_assert_lt(len, sizeof text);
    }
    st = unwrap(&layer, BS_OCI_KEYS_PREFIX "jwe", text, len, kek);
    cr_assert(st != BLOBSEAL_OK || (layer->key.dek[31] == 0x1F && layer->key.nonce[15] == 0x0F));
    blobseal_oci_layer_free(layer);
    blobseal_kek_close(kek);
    return st;
}

#define REST       ",\"iv\":\"%I\",\"ciphertext\":\"%C\",\"tag\":\"%T\"}"
#define FLAT       "{\"protected\":\"%P\",\"encrypted_key\":\"%K\"" REST
#define HEADER(h)  "{\"protected\":\"%P\",\"header\":" h ",\"encrypted_key\":\"%K\"" REST
#define GENERAL(h) "{\"protected\":\"%P\",\"recipients\":[{\"header\":" h ",\"encrypted_key\":\"%K\"}]"

static enum blobseal_status with_header(const char *protected, const char *body)
{
    struct parts p;

    make_parts(&p, protected, BLOBSEAL_OAEP_SHA1, 32);
    return try_body(&p, body);
}

Test(oci_jwe, all_serializations_are_read)
{
    cr_assert_eq(with_header("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}", FLAT), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(with_header("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}", "%P.%K.%I.%C.%T"), BLOBSEAL_OK, "%s",
                 err.text);
    cr_assert_eq(with_header("{\"enc\":\"A256GCM\"}", HEADER("{\"alg\":\"RSA-OAEP\"}")), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(with_header("{\"enc\":\"A256GCM\"}", GENERAL("{\"alg\":\"RSA-OAEP\"}") REST), BLOBSEAL_OK, "%s",
                 err.text);
    cr_assert_eq(
        with_header("{\"enc\":\"A256GCM\"}", GENERAL("{\"alg\":\"RSA-OAEP\"}") ",\"encrypted_key\":\"%K\"" REST),
        BLOBSEAL_OK, "%s", err.text);
}

Test(oci_jwe, names_of_other_writers_do_not_hinder)
{
    cr_assert_eq(with_header("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"kid\":\"k-2026\"}", FLAT), BLOBSEAL_OK);
    cr_assert_eq(with_header("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"kid\":\"a key\",\"x\":[1.5,null]}", FLAT),
                 BLOBSEAL_OK, "%s", err.text);
    /* One that this library has named, for another key. */
    cr_assert_eq(
        with_header("{\"enc\":\"A256GCM\"}",
                    HEADER("{\"alg\":\"RSA-OAEP\",\"kid\":\"urn:ietf:params:oauth:jwk-thumbprint:sha-256:A\"}")),
        BLOBSEAL_E_NO_KEY);
}

Test(oci_jwe, other_lengths_of_the_content_key_are_read)
{
    struct parts p;

    make_parts(&p, "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A128GCM\"}", BLOBSEAL_OAEP_SHA256, 16);
    cr_assert_eq(try_body(&p, FLAT), BLOBSEAL_OK, "%s", err.text);
    make_parts(&p, "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A192GCM\"}", BLOBSEAL_OAEP_SHA256, 24);
    cr_assert_eq(try_body(&p, FLAT), BLOBSEAL_OK, "%s", err.text);
    make_parts(&p, "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A192GCM\"}", BLOBSEAL_OAEP_SHA256, 16);
    cr_assert_eq(try_body(&p, FLAT), BLOBSEAL_E_AUTH);
    make_parts(&p, "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A128CBC-HS256\"}", BLOBSEAL_OAEP_SHA256, 32);
    cr_assert_eq(try_body(&p, FLAT), BLOBSEAL_E_UNSUPPORTED);
}

/* What ocicrypt or this library does not do, or what changes how a JWE must be read. */
Test(oci_jwe, what_is_not_safe_is_refused)
{
    static const char *const protected[] = {
        "{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"zip\":\"DEF\"}",
        "{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"PBES2-HS256+A128KW\",\"enc\":\"A256GCM\",\"p2c\":2000000000,\"p2s\":\"AAAA\"}",
        "{\"alg\":\"dir\",\"enc\":\"A256GCM\"}",
        "{\"alg\":\"RSA1_5\",\"enc\":\"A256GCM\"}",
        "{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"enc\":\"A256GCM\"}",
    };

    for (size_t i = 0; i < BS_COUNT(protected); i++)
        cr_assert_eq(with_header(protected[i], FLAT), BLOBSEAL_E_UNSUPPORTED, "%s: %s", protected[i], err.text);
    cr_assert_eq(with_header("{\"enc\":\"A256GCM\"}", "{\"unprotected\":{\"alg\":\"RSA-OAEP\"},\"protected\":\"%P\","
                                                      "\"encrypted_key\":\"%K\"" REST),
                 BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_header("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}",
                             "{\"aad\":\"AA\",\"protected\":\"%P\",\"encrypted_key\":\"%K\"" REST),
                 BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_header("{\"enc\":\"A256GCM\"}", FLAT), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_header("{\"enc\":\"A256GCM\"}", HEADER("{\"alg\":\"RSA-OAEP\",\"zip\":\"DEF\"}")),
                 BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(with_header("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}", "%P.%K.%I.%C"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(with_header("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}", "%P.%K.%I.%C.%T.%T"), BLOBSEAL_E_FORMAT);
}

/* ---- At most 8 attempts ------------------------------------------------------------------------------------------ */

Test(oci_jwe, the_number_of_attempts_is_limited)
{
    struct parts p;
    char body[8192], other[BLOBSEAL_BASE64URL_LEN(256) + 1] = {0}; /* not for this key, but as long */
    size_t len;

    memset(other, 'A', sizeof other - 1);
    make_parts(&p, "{\"enc\":\"A256GCM\"}", BLOBSEAL_OAEP_SHA1, 32);
    for (unsigned before = 7; before <= 8; before++) {
        len = (size_t)snprintf(body, sizeof body, "{\"protected\":\"%%P\",\"recipients\":[");
        for (unsigned i = 0; i < before; i++)
            len += (size_t)snprintf(body + len, sizeof body - len,
                                    "{\"header\":{\"alg\":\"RSA-OAEP\"},\"encrypted_key\":\"%s\"},", other);
        (void)snprintf(body + len, sizeof body - len, "%s%s",
                       "{\"header\":{\"alg\":\"RSA-OAEP\"},\"encrypted_key\":\"%K\"}]", REST);
        cr_assert_eq(try_body(&p, body), before == 7 ? BLOBSEAL_OK : BLOBSEAL_E_AUTH, "%u: %s", before, err.text);
    }
}
