/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write the first inputs of the fuzz targets, with which the fuzzers started: make_corpus FOLDER makes
 * FOLDER/TARGET/seed-*. It is not part of the build. To compile it with the library in build/dev:
 *
 *   cc -std=c17 -D_POSIX_C_SOURCE=200809L -Icore/include -Icore -Ikek -Isimd -Itests/support tests/fuzz/make_corpus.c \
 *      tests/support/blobs.c tests/support/keks.c build/dev/libblobseal.a -lcrypto -lxxhash -lpthread -o
 * /tmp/make_corpus
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/known.h"

static const char *folder;

/* Write @flags, then @p, as a new input of @target. */
static void seed(const char *target, unsigned flags, const void *p, size_t len)
{
    static unsigned number;
    char path[1024];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", folder, target);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        abort();
    (void)snprintf(path, sizeof path, "%s/%s/seed-%03u", folder, target, number++);
    f = fopen(path, "wb");
    if (f == NULL || fputc((int)flags, f) == EOF || (len > 0 && fwrite(p, 1, len, f) != len) || fclose(f) != 0)
        abort();
}

static void seed_text(const char *target, unsigned flags, const char *text)
{
    seed(target, flags, text, strlen(text));
}

static void core_headers(const struct known *k)
{
    uint8_t input[8 + 96];

    for (unsigned i = 0; i < 24; i++) {
        static const uint64_t lengths[] = {0, 23, 24, 16400, 16424, 1049608, 1049632, UINT64_MAX};

        bs_store64(input, lengths[i % 8]);
        memcpy(input + 8, k->core, 96);
        if (i >= 8)
            input[8 + i] ^= (uint8_t)(1 + i % 3);
        seed("core_header", i % 2, input, sizeof input - (i == 23 ? 10 : 0));
    }
}

static void json_texts(void)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "\"\"",
        "0",
        "9007199254740991",
        "9007199254740992",
        "01",
        "-1",
        "1.5",
        "1e3",
        "null",
        "true",
        "{\"a\":1,\"b\":[1,2,{\"c\":\"d\"}],\"e\":\"\\u00e9\\ud83d\\ude00\\n\\\"\\\\\\/\"}",
        "[[[[[[[[1]]]]]]]]",
        "[[[[[[[[[1]]]]]]]]]",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        "\"\xED\xA0\x80\"",
        "\"\xC0\x80\"",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "[1 2]",
        "[1,]",
        " \t\r\n{ \"a\" : [ ] } ",
        "\"a\nb\"",
        "{\"a\":{}}x",
    };

    for (size_t i = 0; i < COUNT(texts); i++)
        seed_text("jwe", 2, texts[i]);
}

/* Write one envelope unchanged, and with one replacement in its text. */
static void jwe_texts(const char *text)
{
    static const char *const edits[][2] = {
        {"\"tag\"", "\"aad\""},
        {"RSA-OAEP-256", "RSA1_5"},
        {"RSA-OAEP-256", "RSA-OAEP"},
        {"\"header\"", "\"unprotected\""},
        {"\"iv\"", "\"\\u0069v\""},
        {"\"alg\":\"RSA-OAEP-256\"", "\"alg\":\"A256KW\""},
        {"\"kid\"", "\"alg\""},
        {"{\"", "{ \""},
        {"\"}", "=\"}"},
        {"RSA-OAEP-256", "A256KW"},
        {"RSA-OAEP-256", "dir"},
        {"RSA-OAEP-256", "ECDH-ES+A256KW"},
        {"\"another\"", "\"" KNOWN_KID "\""},
    };
    char edited[8192];

    for (unsigned bare = 0; bare <= 1; bare++)
        seed_text("jwe", bare, text);
    seed_text("envelope", 2, text);
    for (size_t i = 0; i < COUNT(edits); i++) {
        const char *at = strstr(text, edits[i][0]);

        if (at == NULL)
            continue;
        (void)snprintf(edited, sizeof edited, "%.*s%s%s", (int)(at - text), text, edits[i][1],
                       at + strlen(edits[i][0]));
        seed_text("jwe", i % 2, edited);
        seed_text("envelope", 2, edited);
        seed_text("open", 3, edited);
    }
}

/* Write a JWE as other libraries do, with the algorithm in the protected header. */
static void bare_jwe(void)
{
    static const char head[] = "{\"alg\":\"RSA-OAEP-256\",\"enc\":\"A256GCM\"}";
    uint8_t key[256] = {0};
    char text[1024];
    struct bs_builder w = bs_builder_start((uint8_t *)text, sizeof text - 1);

    bs_put_text(&w, "{\"protected\":\"");
    bs_put_base64url(&w, head, strlen(head));
    bs_put_text(&w, "\",\"encrypted_key\":\"");
    bs_put_base64url(&w, key, sizeof key);
    bs_put_text(&w, "\",\"iv\":\"AAAAAAAAAAAAAAAA\",\"ciphertext\":\"AAAA\",\"tag\":\"AAAAAAAAAAAAAAAAAAAAAA\"}");
    text[w.len] = '\0';
    seed_text("jwe", 1, text);
    seed_text("jwe", 0, text);
}

static void blobs(const struct known *k, unsigned index)
{
    unsigned which = index << 6;

    for (unsigned pipe = 0; pipe <= 1; pipe++) {
        seed("open", 16 | pipe << 3, k->blob, k->len);
        seed("envelope", pipe << 2, k->blob, k->len < 14000 ? k->len : 3000);
    }
    seed("open", which | 1, "", 0);
    for (unsigned i = 0; i < 12; i++) {
        static const uint16_t places[] = {8, 20, 30, 64, 72, 80, 88, 100, 200, 1000, 1300, 0};
        uint8_t e[8] = {(uint8_t)places[i], (uint8_t)(places[i] >> 8), 0, (uint8_t)(i < 4 ? 1 : 124 + i), 5, 0, 0, 131};

        seed("open", which | 1 | (i % 2) << 2 | (i % 3 == 0 ? 8u : 0) | 16, e, i % 2 == 0 ? 4 : 8);
    }
    seed_text("open", which | 3, k->envelope);
}

/* Write @json as the member `meta` of a JWK: a string in base64url. NULL: nothing. */
static void put_metadata(char *out, const char *json)
{
    size_t len = json != NULL ? strlen(json) : 0;
    char *end = out;

    if (json != NULL) {
        end = stpcpy(out, ",\"meta\":\"");
        blobseal_base64url_encode(end, (const uint8_t *)json, len);
        end += BLOBSEAL_BASE64URL_LEN(len);
        *end++ = '"';
    }
    *end = '\0';
}

/*
 * Write header and content of an envelope that opens, and of some that must not: the core has no metadata, but metadata
 * is parsed before that is noticed.
 */
static void contents(const struct known *k, unsigned index)
{
    static const char *const metas[] = {NULL, "{}", "{\"name\":\"n\",\"type\":\"t\",\"ann\":{\"a\":\"b\"}}",
                                        "{\"ann\":{\"a\":\"b\",\"a\":\"c\"}}", "{\"name\":\"\\u202e\",\"x\":1}"};
    uint8_t wrapped[256], digest[32], part[1024];
    struct bs_builder w = bs_builder_start(part, sizeof part);
    char blob[32] = "", dek[64] = "", hdr[160] = "", rcpt[64] = "", meta[256], input[4096];

    fake_wrap(wrapped, sizeof wrapped, &k->r.cek);
    bs_put32(&w, 12);
    bs_put_text(&w, "RSA-OAEP-256");
    bs_put32(&w, (uint32_t)strlen(KNOWN_KID));
    bs_put_text(&w, KNOWN_KID);
    bs_put32(&w, sizeof wrapped);
    bs_put(&w, wrapped, sizeof wrapped);
    if (EVP_Digest(part, w.len, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    blobseal_base64url_encode(rcpt, digest, sizeof digest);
    blobseal_base64url_encode(blob, k->r.core.blob_id, sizeof k->r.core.blob_id);
    blobseal_base64url_encode(dek, k->r.dek.b, sizeof k->r.dek.b);
    blobseal_base64url_encode(hdr, k->r.core.raw, sizeof k->r.core.raw);
    for (size_t i = 0; i < COUNT(metas); i++) {
        put_metadata(meta, metas[i]);
        int n =
            snprintf(input + 2, sizeof input - 2,
                     "{\"enc\":\"A256GCM\",\"cty\":\"jwk+json\",\"typ\":\"blobseal\",\"bs\":{\"v\":1,\"blob\":\"%s\","
                     "\"layer\":1,\"gen\":1,\"rcpt\":\"%s\"}}",
                     blob, rcpt);
        int m = snprintf(input + 2 + n, sizeof input - 2 - (size_t)n,
                         "{\"kty\":\"oct\",\"k\":\"%s\",\"kid\":\"%s\",\"hdr\":\"%s\"%s}", dek, blob, hdr, meta);

        input[0] = (char)(n & 0xFF);
        input[1] = (char)(n >> 8);
        seed("open", index << 6 | 2, input, 2 + (size_t)(n + m));
    }
}

static void keys(void)
{
    struct blobseal_keypair plain = {.size = sizeof plain}, sealed = {.size = sizeof sealed};

    if (blobseal_keygen_rsa(&plain, 2048, NULL, NULL) != BLOBSEAL_OK ||
        blobseal_keygen_rsa(&sealed, 2048, "passphrase", NULL) != BLOBSEAL_OK)
        abort();
    seed("pem", 0, plain.private_pem, plain.private_len);
    seed("pem", 1, plain.public_pem, plain.public_len);
    seed("pem", 0, sealed.private_pem, sealed.private_len);
    seed("pem", 2, sealed.private_pem, sealed.private_len);
    seed("pem", 0, plain.private_pem, plain.private_len / 2);
    seed_text("pem", 0, "no key at all\n");
    blobseal_keypair_clear(&plain);
    blobseal_keypair_clear(&sealed);
}

int main(int argc, char **argv)
{
    struct fake_kek fake[2] = {{.kid = KNOWN_KID}, {.kid = "another", .alg = "RSA-OAEP", .wrapped_len = 384}};
    struct blobseal_kek *kek[2];
    struct known k;
    char *text;

    if (argc != 2)
        return 2;
    folder = argv[1];
    for (unsigned i = 0; i < 2; i++)
        kek[i] = fake_kek_open(&fake[i]);
    for (unsigned i = 0; i < NUM_KNOWN; i++) {
        known_make(&k, i, kek[0]);
        blobs(&k, i);
        contents(&k, i);
        if (i == 0) {
            core_headers(&k);
            jwe_texts(k.envelope);
            text = recipe_envelope(&k.r, 1, kek, 2);
            jwe_texts(text);
            free(text);
        }
        free(k.plain);
        free(k.core);
        free(k.blob);
        free(k.envelope);
    }
    json_texts();
    bare_jwe();
    keys();
    for (unsigned i = 0; i < 2; i++)
        blobseal_kek_close(kek[i]);
    return 0;
}
