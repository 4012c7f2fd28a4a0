/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of applications (FORMAT.md section 10): round trips, the test vectors, and that neither the envelope of a blob
 * passes as such a key nor such a key as an envelope, whatever is moved from one to the other.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define PURPOSE "cookie-signing"

static struct fake_kek fake = {.kid = "a-key"}, other_fake = {.kid = "another-key", .twist = 1};
static struct blobseal_kek *kek, *other;
static struct blobseal_secret32 secret;

static void start(void)
{
    kek = fake_kek_open(&fake);
    other = fake_kek_open(&other_fake);
    fill_random(secret.b, sizeof secret.b, 3);
}

static void stop(void)
{
    blobseal_kek_close(kek);
    blobseal_kek_close(other);
}

SUITE_WITH(app_key, start, stop);

static char *wrapped(const char *purpose, size_t *len)
{
    struct blobseal_error err;
    char *jwe;

    cr_assert_eq(blobseal_kek_wrap(kek, purpose, &secret, NULL, &jwe, len, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(strlen(jwe), *len);
    return jwe;
}

/* Unwrap, check that a failure leaves no secret, and return the status. */
static enum blobseal_status unwrap(struct blobseal_kek *with, const char *purpose, const char *jwe, size_t len)
{
    struct blobseal_secret32 out;
    struct blobseal_error err;
    enum blobseal_status st;

    memset(&out, 0x55, sizeof out);
    memset(&err, 0x55, sizeof err);
    st = blobseal_kek_unwrap(&with, 1, purpose, jwe, len, NULL, &out, &err);
    if (st == BLOBSEAL_OK) {
        cr_expect_arr_eq(out.b, secret.b, sizeof out.b);
    } else {
        cr_expect(bs_all_zero(out.b, sizeof out.b));
        cr_expect_eq(err.status, st);
        cr_expect_null(strstr(err.text, "blob is"), "the text is about a key: %s", err.text);
    }
    return st;
}

Test(app_key, round_trip)
{
    static const char *const purposes[] = {PURPOSE, "x", "!~\"\\",
                                           "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"};

    for (size_t i = 0; i < COUNT(purposes); i++) {
        size_t len;
        char *jwe = wrapped(purposes[i], &len);

        cr_expect_eq(unwrap(kek, purposes[i], jwe, len), BLOBSEAL_OK);
        cr_expect_eq(unwrap(other, purposes[i], jwe, len), BLOBSEAL_E_NO_KEY);
        blobseal_free(jwe);
    }
}

Test(app_key, two_wrappings_differ)
{
    size_t len;
    char *a = wrapped(PURPOSE, &len), *b = wrapped(PURPOSE, &len);

    cr_expect_str_neq(a, b);
    blobseal_free(a);
    blobseal_free(b);
}

Test(app_key, another_purpose_is_refused_before_unwrapping)
{
    size_t len;
    char *jwe = wrapped(PURPOSE, &len);

    cr_expect_eq(unwrap(kek, "cookie-signin", jwe, len), BLOBSEAL_E_FORMAT);
    cr_expect_eq(unwrap(kek, "cookie-signing2", jwe, len), BLOBSEAL_E_FORMAT);
    cr_expect_eq(unwrap(kek, "Cookie-signing", jwe, len), BLOBSEAL_E_FORMAT);
    cr_expect_eq(fake.unwraps, 0);
    blobseal_free(jwe);
}

Test(app_key, purposes_are_checked)
{
    static const char *const bad[] = {NULL,
                                      "",
                                      "two words",
                                      "tab\t",
                                      "gr\xC3\xBC\xC3\x9F",
                                      "del\x7F",
                                      "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd5"};
    struct blobseal_error err;

    for (size_t i = 0; i < COUNT(bad); i++) {
        char *jwe = (char *)&err;
        size_t len = 5;

        cr_expect_eq(blobseal_kek_wrap(kek, bad[i], &secret, NULL, &jwe, &len, &err), BLOBSEAL_E_ARG);
        cr_expect_null(jwe);
        cr_expect_eq(len, 0);
        cr_expect_eq(unwrap(kek, bad[i], "{}", 2), BLOBSEAL_E_ARG);
    }
    cr_expect_eq(fake.wraps, 0);
}

Test(app_key, failures_of_the_provider_are_reported)
{
    struct fake_kek failing = {.kid = "a-key",
                               .wrap = {.at_call = 1, .status = BLOBSEAL_E_UNAVAILABLE},
                               .unwrap = {.at_call = 1, .status = BLOBSEAL_E_DENIED}};
    struct blobseal_kek *f = fake_kek_open(&failing);
    char *jwe;
    size_t len;

    cr_expect_eq(blobseal_kek_wrap(f, PURPOSE, &secret, NULL, &jwe, &len, NULL), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_null(jwe);
    jwe = wrapped(PURPOSE, &len);
    cr_expect_eq(unwrap(f, PURPOSE, jwe, len), BLOBSEAL_E_DENIED);
    blobseal_free(jwe);
    blobseal_kek_close(f);
}

/* ---- Nothing else passes as such a key, and it passes as nothing else -------------------------------------------- */

/* Every single character, changed: never another secret, and never a crash. */
Test(app_key, no_change_is_accepted)
{
    size_t len;
    char *jwe = wrapped(PURPOSE, &len);

    for (size_t i = 0; i < len; i++) {
        char before = jwe[i];

        jwe[i] = before == 'A' ? 'B' : 'A';
        cr_expect_neq(unwrap(kek, PURPOSE, jwe, len), BLOBSEAL_OK, "character %u", (unsigned)i);
        jwe[i] = before;
    }
    for (size_t n = 0; n < len; n++)
        cr_expect_eq(unwrap(kek, PURPOSE, jwe, n), BLOBSEAL_E_FORMAT);
    blobseal_free(jwe);
}

/* A JWE built by hand, all of it right unless a member says otherwise. */
struct forged {
    const char *typ, *bs, *content;
    struct blobseal_secret32 cek;
    bool wrong_rcpt;
};

static char *forge(const struct forged *f)
{
    struct bs_builder w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
    uint8_t key[256], rcpt[BS_SHA256_LEN];
    struct bs_jwe jwe = {.num = 1, .recipients = {{.alg = "RSA-OAEP-256", .kid = "a-key", .key = key, .key_len = 256}}};
    char header[1024], digest[BLOBSEAL_BASE64URL_LEN(BS_SHA256_LEN) + 1] = {0};
    int n;

    fake_wrap(key, sizeof key, &f->cek);
    cr_assert(bs_jwe_recipients_digest(rcpt, &jwe));
    rcpt[0] ^= f->wrong_rcpt ? 1 : 0;
    blobseal_base64url_encode(digest, rcpt, sizeof rcpt);
    n = snprintf(header, sizeof header,
                 "{\"enc\":\"A256GCM\",\"cty\":\"jwk+json\",\"typ\":\"%s\",\"bs\":{%s\"rcpt\":\"%s\"}}", f->typ, f->bs,
                 digest);
    cr_assert(n > 0 && n < (int)sizeof header);
    cr_assert_eq(bs_jwe_write(&w, &jwe, (struct bs_slice){(const uint8_t *)header, (size_t)n}, &f->cek,
                              (struct bs_slice){(const uint8_t *)f->content, strlen(f->content)}, NULL),
                 BLOBSEAL_OK);
    w.p[w.len] = '\0';
    return (char *)w.p;
}

static char *jwk_of(const char *more)
{
    char *text = must_alloc(512), k[BLOBSEAL_BASE64URL_LEN(32) + 1] = {0};

    blobseal_base64url_encode(k, secret.b, sizeof secret.b);
    (void)snprintf(text, 512, "{\"kty\":\"oct\",\"k\":\"%s\"%s}", k, more);
    return text;
}

static void expect_forged(struct forged f, enum blobseal_status want, const char *what)
{
    char *jwk = f.content == NULL ? jwk_of("") : must_copy(f.content, strlen(f.content) + 1), *jwe;

    f.content = jwk;
    f.typ = f.typ != NULL ? f.typ : "blobseal-key";
    f.bs = f.bs != NULL ? f.bs : "\"v\":1,\"purpose\":\"" PURPOSE "\",";
    jwe = forge(&f);
    cr_expect_eq(unwrap(kek, PURPOSE, jwe, strlen(jwe)), want, "%s", what);
    free(jwe);
    free(jwk);
}

Test(app_key, headers_and_contents_follow_the_rules)
{
    char *more = jwk_of(",\"kid\":\"AAAAAAAAAAAAAAAAAAAAAA\"");

    expect_forged((struct forged){0}, BLOBSEAL_OK, "nothing wrong");
    expect_forged((struct forged){.typ = "blobseal"}, BLOBSEAL_E_FORMAT, "typ of a blob");
    expect_forged((struct forged){.typ = "blobseal-set"}, BLOBSEAL_E_FORMAT, "typ of a set");
    expect_forged((struct forged){.bs = "\"v\":2,\"purpose\":\"" PURPOSE "\","}, BLOBSEAL_E_UNSUPPORTED, "version 2");
    expect_forged((struct forged){.bs = "\"v\":1,"}, BLOBSEAL_E_FORMAT, "no purpose");
    expect_forged((struct forged){.bs = "\"v\":1,\"purpose\":\"" PURPOSE "\",\"gen\":1,"}, BLOBSEAL_E_FORMAT, "gen");
    expect_forged((struct forged){.bs = "\"v\":1,\"purpose\":\"" PURPOSE "\",\"purpose\":\"" PURPOSE "\","},
                  BLOBSEAL_E_FORMAT, "purpose twice");
    expect_forged((struct forged){.wrong_rcpt = true}, BLOBSEAL_E_AUTH, "rcpt");
    expect_forged((struct forged){.content = more}, BLOBSEAL_E_FORMAT, "another member");
    expect_forged((struct forged){.content = "{\"kty\":\"oct\"}"}, BLOBSEAL_E_FORMAT, "no k");
    expect_forged((struct forged){.content = "{\"kty\":\"oct\",\"k\":\"AAAA\"}"}, BLOBSEAL_E_FORMAT, "k of 3 bytes");
    expect_forged((struct forged){.content = ""}, BLOBSEAL_E_FORMAT, "no content");
    free(more);
}

/* Copy a JWE, with the value of its member @name taken from @from. */
static char *with_member_of(const char *jwe, const char *from, const char *name)
{
    json_t *to = json_loads(jwe, 0, NULL), *other_jwe = json_loads(from, 0, NULL);
    char *text;

    cr_assert(to != NULL && other_jwe != NULL && json_object_get(other_jwe, name) != NULL);
    json_object_set(to, name, json_object_get(other_jwe, name));
    text = json_dumps(to, JSON_COMPACT);
    json_decref(to);
    json_decref(other_jwe);
    return text;
}

static enum blobseal_status open_core(const struct recipe *r, const char *envelope)
{
    struct how_to_open how = {.envelope = envelope, .envelope_len = strlen(envelope)};
    struct opened o;
    size_t len;
    uint8_t *core = recipe_core(r, "plain", 5, &len);
    enum blobseal_status st = open_bytes(&o, core, len, &kek, 1, &how, NULL);

    opened_clear(&o);
    free(core);
    return st;
}

/*
 * An attacker who controls what an application unwraps as its key offers the envelope of a blob, whole or with members
 * of a real key, and the other way round. The CEK of each is authenticated together with type and purpose.
 */
Test(app_key, keys_and_envelopes_are_never_confused)
{
    static const char *const members[] = {"protected", "encrypted_key", "iv", "ciphertext", "tag", "header"};
    struct recipe r;
    char *envelope, *key, *mixed;
    size_t len;

    recipe_make(&r, 7, 1);
    envelope = recipe_envelope(&r, 1, &kek, 1);
    key = wrapped(PURPOSE, &len);
    fake.unwraps = 0;
    cr_expect_eq(unwrap(kek, PURPOSE, envelope, strlen(envelope)), BLOBSEAL_E_FORMAT);
    cr_expect_eq(open_core(&r, key), BLOBSEAL_E_FORMAT);
    cr_expect_eq(fake.unwraps, 0, "no key is asked");
    cr_expect_eq(open_core(&r, envelope), BLOBSEAL_OK);
    for (size_t i = 0; i < COUNT(members); i++) {
        bool same = strcmp(members[i], "header") == 0;

        mixed = with_member_of(envelope, key, members[i]);
        cr_expect_neq(unwrap(kek, PURPOSE, mixed, strlen(mixed)), BLOBSEAL_OK, "an envelope with the %s of a key",
                      members[i]);
        cr_expect_eq(open_core(&r, mixed) == BLOBSEAL_OK, same);
        free(mixed);
        mixed = with_member_of(key, envelope, members[i]);
        cr_expect_eq(unwrap(kek, PURPOSE, mixed, strlen(mixed)) == BLOBSEAL_OK, same,
                     "a key with the %s of an envelope", members[i]);
        cr_expect_neq(open_core(&r, mixed), BLOBSEAL_OK);
        free(mixed);
    }
    free(envelope);
    blobseal_free(key);
}

/* Even somebody who knows the CEK of a blob's envelope cannot make it a key: its content has other members. */
Test(app_key, the_content_of_an_envelope_is_no_key)
{
    char *jwk = jwk_of(",\"kid\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"hdr\":\"AAAA\"");

    expect_forged((struct forged){.content = jwk}, BLOBSEAL_E_FORMAT, "the JWK of a blob");
    free(jwk);
}

/* ---- Test vectors ------------------------------------------------------------------------------------------------ */

/* Find `name: value` among the lines before the first empty one, and copy the value. */
static bool field(const struct vec_bytes *file, const char *name, char *value, size_t cap)
{
    const char *at = (const char *)file->p, *end;
    size_t n = strlen(name);

    for (; (end = strchr(at, '\n')) != NULL && end != at; at = end + 1)
        if (strncmp(at, name, n) == 0 && strncmp(at + n, ": ", 2) == 0) {
            (void)snprintf(value, cap, "%.*s", (int)(end - at - (ptrdiff_t)n - 2), at + n + 2);
            return true;
        }
    return false;
}

static void run_vector(const char *name, struct blobseal_kek *with)
{
    char path[300], expected[32], purpose[128], hex[128];
    struct blobseal_secret32 out;
    struct vec_bytes file, want;
    enum blobseal_status st;
    const char *jwe;

    (void)snprintf(path, sizeof path, "keys/%s", name);
    file = vec_read(path);
    jwe = strstr((const char *)file.p, "\n\n");
    cr_assert(jwe != NULL && field(&file, "expect", expected, sizeof expected) &&
              field(&file, "purpose", purpose, sizeof purpose));
    jwe += 2;
    st = blobseal_kek_unwrap(&with, 1, purpose, jwe, file.len - (size_t)(jwe - (const char *)file.p), NULL, &out, NULL);
    if (strcmp(expected, "success") == 0) {
        cr_assert(field(&file, "secret", hex, sizeof hex));
        want = vec_hex(hex);
        cr_expect(st == BLOBSEAL_OK && want.len == sizeof out && memcmp(out.b, want.p, want.len) == 0, "%s", name);
        free(want.p);
    } else {
        enum blobseal_status class = strcmp(expected, "auth") == 0          ? BLOBSEAL_E_AUTH
                                     : strcmp(expected, "no-key") == 0      ? BLOBSEAL_E_NO_KEY
                                     : strcmp(expected, "unsupported") == 0 ? BLOBSEAL_E_UNSUPPORTED
                                                                            : BLOBSEAL_E_FORMAT;

        cr_expect_eq(st, class, "%s: status %d", name, (int)st);
    }
    free(file.p);
}

Test(app_key, vectors)
{
    struct vec_bytes pem = vec_read("format/kek1.pem");
    DIR *folder = opendir(TEST_VECTORS "/keys");
    struct blobseal_kek *rsa;
    char copy[VEC_PATH];
    unsigned num = 0;

    vec_temp_file(copy, pem.p, pem.len, 0600);
    cr_assert_eq(blobseal_kek_open(&rsa, NULL, copy, NULL, NULL), BLOBSEAL_OK);
    (void)unlink(copy);
    free(pem.p);
    cr_assert_not_null(folder);
    for (const struct dirent *e; (e = readdir(folder)) != NULL;)
        if (strstr(e->d_name, ".vec") != NULL) {
            run_vector(e->d_name, rsa);
            num++;
        }
    (void)closedir(folder);
    blobseal_kek_close(rsa);
    cr_expect_geq(num, 20);
}
