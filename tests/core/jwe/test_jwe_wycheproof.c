/* SPDX-License-Identifier: Apache-2.0 */
/* Wycheproof's 139 JWEs through the reader of bare JWEs: only the three that use algorithms of blobseal open. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/jwe/jwe.h"
#include "tests/support/suite.h"

SUITE(jwe_wycheproof);

static bool is_rsa(const json_t *group)
{
    return strcmp(vec_text(json_object_get(group, "private"), "kty"), "RSA") == 0;
}

static struct blobseal_kek *open_jwk(const json_t *jwk)
{
    EVP_PKEY *key = vec_jwk(jwk);
    char *pem = vec_private_pem(key), path[VEC_PATH];
    struct blobseal_kek *kek;

    vec_temp_key(path, pem);
    cr_assert_eq(blobseal_kek_open(&kek, NULL, path, NULL, NULL), BLOBSEAL_OK);
    (void)unlink(path);
    free(pem);
    EVP_PKEY_free(key);
    return kek;
}

/* Return the key of the group. If it has none, return an unrelated key, which must do no harm. */
static struct blobseal_kek *key_for(const json_t *root, const json_t *group)
{
    const json_t *g;
    size_t i;

    if (is_rsa(group))
        return open_jwk(json_object_get(group, "private"));
    json_array_foreach(vec_list(root, "testGroups"), i,
                       g) if (is_rsa(g)) return open_jwk(json_object_get(g, "private"));
    vec_die("no RSA key at all");
}

/*
 * Convert a compact JWE to a flattened one (RFC 7516 sections 7.1 and 7.2.2). An empty part becomes an absent member,
 * and so does a missing part. More than five parts are not expected.
 */
static size_t flatten(char *out, size_t cap, const char *compact)
{
    static const char *const names[] = {"protected", "encrypted_key", "iv", "ciphertext", "tag"};
    struct bs_builder w = bs_builder_start((uint8_t *)out, cap);
    const char *comma = "{";

    if (compact[0] == '{') { /* already in JSON */
        bs_put_text(&w, compact);
        return w.len;
    }
    for (size_t i = 0; i < 5; i++) {
        size_t len = strcspn(compact, ".");

        if (len > 0) {
            bs_put_text(&w, comma);
            bs_put_text(&w, "\"");
            bs_put_text(&w, names[i]);
            bs_put_text(&w, "\":\"");
            bs_put(&w, compact, len);
            bs_put_text(&w, "\"");
            comma = ",";
        }
        compact += len + (compact[len] == '.' ? 1 : 0);
    }
    cr_assert_str_empty(compact);
    bs_put_text(&w, "}");
    cr_assert(w.ok);
    return w.len;
}

/* Parse and open. Return OK only if the content is the expected one. */
static enum blobseal_status open_case(const json_t *test, struct blobseal_kek *kek)
{
    const struct bs_jwe_profile bare = {.bare = true};
    static char text[BLOBSEAL_MAX_ENVELOPE];
    size_t len = flatten(text, sizeof text, vec_text(test, "jwe"));
    enum blobseal_status st;
    struct bs_jwe jwe;

    st = bs_jwe_parse(&jwe, text, len, &bare, NULL);
    if (st == BLOBSEAL_OK) {
        uint8_t *content = blobseal_secret_alloc(jwe.ciphertext.len);
        struct vec_bytes expected;

        st = bs_jwe_open(&jwe, true, (struct bs_keks){&kek, 1, NULL}, content, NULL, NULL);
        if (st == BLOBSEAL_OK) {
            expected = vec_member(test, "pt");
            cr_assert_eq(jwe.ciphertext.len, expected.len);
            cr_assert_arr_eq(content, expected.p, expected.len);
            free(expected.p);
        }
        blobseal_secret_free(content);
    }
    bs_jwe_clear(&jwe);
    return st;
}

typedef void (*check_fn)(const json_t *test, enum blobseal_status st);

static void each_case(check_fn check)
{
    json_t *root = vec_json("wycheproof/json_web_encryption_test.json"), *g, *t;
    size_t i, k;

    json_array_foreach(vec_list(root, "testGroups"), i, g)
    {
        struct blobseal_kek *kek = key_for(root, g);

        json_array_foreach(vec_list(g, "tests"), k, t) check(t, open_case(t, kek));
        blobseal_kek_close(kek);
    }
    json_decref(root);
}

static bool is_valid(const json_t *test)
{
    return strcmp(vec_text(test, "result"), "valid") == 0;
}

/* Return true for RSA-OAEP with A256GCM, RSA-OAEP-256 with A256GCM, and figure 92 of RFC 7520. */
static bool is_ours(const json_t *test)
{
    int id = vec_int(test, "tcId");

    return id == 84 || id == 90 || id == 129;
}

static unsigned all, valid, opened;

static void check_outcome(const json_t *test, enum blobseal_status st)
{
    cr_assert_eq(st == BLOBSEAL_OK, is_ours(test), "case %d: status %d", vec_int(test, "tcId"), (int)st);
    cr_assert(!is_ours(test) || is_valid(test));
    cr_assert(st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED || st == BLOBSEAL_E_AUTH,
              "case %d: status %d", vec_int(test, "tcId"), (int)st);
    all++;
    valid += is_valid(test);
    opened += st == BLOBSEAL_OK;
}

Test(jwe_wycheproof, exactly_three_of_139_open)
{
    each_case(check_outcome);
    cr_assert_eq(all, 139);
    cr_assert_eq(valid, 65);
    cr_assert_eq(opened, 3);
}

static unsigned unsupported;

/* A JWE that another implementation accepts is not malformed: its class in FORMAT.md is `unsupported`. */
static void check_class(const json_t *test, enum blobseal_status st)
{
    if (!is_valid(test) || is_ours(test))
        return;
    cr_assert_eq(st, BLOBSEAL_E_UNSUPPORTED, "case %d (%s, %s): status %d", vec_int(test, "tcId"),
                 vec_text(test, "comment"), vec_text(test, "enc"), (int)st);
    unsupported++;
}

Test(jwe_wycheproof, valid_messages_with_other_algorithms_are_unsupported)
{
    each_case(check_class);
    cr_assert_eq(unsupported, 62);
}
