/* SPDX-License-Identifier: Apache-2.0 */
/* Files with several keys, and providers whose references name several. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "kek/kek.h"
#include "tests/support/suite.h"

SUITE(keks);

#define ROOM 4

/* The keys of one file. */
struct key_file {
    struct blobseal_kek *keks[ROOM];
    size_t num;
    enum blobseal_status st;
    struct blobseal_error err;
};

/* Two keys, in all forms. Wycheproof has one of each size. */
struct texts {
    EVP_PKEY *a, *b;
    char *a_private, *a_public, *b_private, *b_public;
    struct blobseal_kek *a_kek, *b_kek;
};

static char *certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    bool written;

    cr_assert(X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, key) == 1);
    cr_assert_gt(X509_sign(cert, key, EVP_sha256()), 0);
    written = PEM_write_bio_X509(bio, cert) == 1;
    X509_free(cert);
    return vec_bio_text(bio, written);
}

/* Open the keys of @one followed by @two and @three, which may be NULL. */
static struct key_file open_three(const char *one, const char *two, const char *three, size_t room,
                                  const struct blobseal_kek_options *options)
{
    struct key_file o = {.num = room};
    char path[VEC_PATH];
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    text = vec_bio_text(bio, BIO_printf(bio, "%s%s%s", one, two != NULL ? two : "", three != NULL ? three : "") >= 0);
    vec_temp_key(path, text);
    o.st = blobseal_keks_open(o.keks, &o.num, NULL, path, options, &o.err);
    if (o.num > 1 && options == NULL) {
        struct blobseal_kek *kek;
        struct blobseal_error err;

        cr_assert_eq(blobseal_kek_open(&kek, NULL, path, options, &err), BLOBSEAL_E_CONFIG);
        cr_assert_not_null(strstr(err.text, "it has 2 keys, and one is needed"), "%s", err.text);
        cr_assert_null(kek);
    }
    (void)unlink(path);
    free(text);
    cr_assert_eq(o.num > 0, o.st == BLOBSEAL_OK, "%s", o.err.text);
    for (size_t i = o.num; i < ROOM; i++)
        cr_assert_null(o.keks[i]);
    return o;
}

static void close_all(struct key_file *o)
{
    for (size_t i = 0; i < o->num; i++)
        blobseal_kek_close(o->keks[i]);
}

static struct texts texts_start(void)
{
    struct texts t = {.a = vec_rsa_key(2048), .b = vec_rsa_key(3072)};
    struct key_file a, b;

    t.a_private = vec_private_pem(t.a);
    t.a_public = vec_public_pem(t.a);
    t.b_private = vec_private_pem(t.b);
    t.b_public = vec_public_pem(t.b);
    a = open_three(t.a_public, NULL, NULL, 1, NULL);
    b = open_three(t.b_public, NULL, NULL, 1, NULL);
    t.a_kek = a.keks[0];
    t.b_kek = b.keks[0];
    return t;
}

static void texts_end(struct texts *t)
{
    blobseal_kek_close(t->a_kek);
    blobseal_kek_close(t->b_kek);
    EVP_PKEY_free(t->a);
    EVP_PKEY_free(t->b);
    free(t->a_private);
    free(t->a_public);
    free(t->b_private);
    free(t->b_public);
}

/* Check that the file has exactly these keys. */
static void check_keys(const struct texts *t, struct key_file o, bool a_private, bool b_private)
{
    cr_assert_eq(o.st, BLOBSEAL_OK, "%s", o.err.text);
    cr_assert_eq(o.num, 2);
    cr_assert_str_eq(blobseal_kek_kid(o.keks[0]), blobseal_kek_kid(t->a_kek));
    cr_assert_str_eq(blobseal_kek_kid(o.keks[1]), blobseal_kek_kid(t->b_kek));
    cr_assert_eq(blobseal_kek_can_unwrap(o.keks[0]), a_private);
    cr_assert_eq(blobseal_kek_can_unwrap(o.keks[1]), b_private);
    close_all(&o);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

Test(keks, all_keys_of_a_file_in_their_order)
{
    struct texts t = texts_start();

    check_keys(&t, open_three(t.a_public, t.b_public, NULL, ROOM, NULL), false, false);
    check_keys(&t, open_three(t.a_private, t.b_private, NULL, ROOM, NULL), true, true);
    check_keys(&t, open_three(t.a_public, t.b_private, NULL, 2, NULL), false, true);
    texts_end(&t);
}

Test(keks, a_private_key_is_preferred_to_its_public_half)
{
    struct texts t = texts_start();
    char *cert = certificate(t.a);
    struct key_file o;

    check_keys(&t, open_three(t.a_public, t.b_public, t.a_private, 2, NULL), true, false);
    check_keys(&t, open_three(t.a_private, t.a_public, t.b_public, 2, NULL), true, false);
    check_keys(&t, open_three(t.a_public, t.a_public, t.b_public, 2, NULL), false, false);
    o = open_three(cert, t.a_private, t.a_public, 1, NULL);
    cr_assert(o.num == 1 && blobseal_kek_can_unwrap(o.keks[0]), "%s", o.err.text);
    close_all(&o);
    free(cert);
    texts_end(&t);
}

static void check_refused(struct key_file o, const char *text)
{
    cr_assert_eq(o.st, BLOBSEAL_E_CONFIG);
    cr_assert_not_null(strstr(o.err.text, text), "%s", o.err.text);
}

Test(keks, one_key_that_cannot_be_used_is_an_error)
{
    struct texts t = texts_start();
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    char *ec_public = vec_public_pem(ec), line[64];

    check_refused(open_three(t.a_public, ec_public, t.b_public, ROOM, NULL),
                  "it is an EC key, and an RSA key is needed");
    check_refused(open_three(t.a_public, t.b_public, ec_public, ROOM, NULL), ", line 21: it is an EC key");
    check_refused(open_three(t.a_public, "-----BEGIN PUBLIC KEY-----\nMIIB\n", NULL, ROOM, NULL),
                  ", line 10: the block PUBLIC KEY that begins in line 10 has no END line");
    (void)snprintf(line, sizeof line, "-----BEGIN PUBLIC KEY-----\nMI=B\n-----END PUBLIC KEY-----\n");
    check_refused(open_three(t.a_public, line, NULL, ROOM, NULL), ", line 11: the block PUBLIC KEY");
    free(ec_public);
    EVP_PKEY_free(ec);
    texts_end(&t);
}

/* The second one is usually that of an authority, which must not become a recipient. */
Test(keks, several_certificates_are_refused)
{
    struct texts t = texts_start();
    char *a = certificate(t.a), *b = certificate(t.b);

    check_refused(open_three(a, b, NULL, ROOM, NULL), "it has several certificates, in lines 1 and ");
    check_refused(open_three(t.a_private, a, b, ROOM, NULL), "it has several certificates");
    check_keys(&t, open_three(a, t.b_public, NULL, ROOM, NULL), false, false);
    free(a);
    free(b);
    texts_end(&t);
}

Test(keks, there_must_be_room)
{
    struct texts t = texts_start();

    check_refused(open_three(t.a_public, t.b_public, NULL, 1, NULL), "there is room for 1, and it has more");
    cr_assert_eq(open_three(t.a_public, t.b_public, NULL, 0, NULL).st, BLOBSEAL_E_ARG);
    texts_end(&t);
}

/* ---- Passphrases ------------------------------------------------------------------------------------------------- */

struct asker {
    const char *answers[2];
    unsigned calls;
};

static enum blobseal_status ask(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    struct asker *a = ctx;
    const char *answer = a->answers[a->calls++ % 2];

    (void)err;
    *len = strlen(answer);
    cr_assert_lt(*len, cap);
    memcpy(buf, answer, *len);
    return BLOBSEAL_OK;
}

Test(keks, a_passphrase_is_asked_for_once_if_it_fits_all)
{
    struct texts t = texts_start();
    struct asker asker = {.answers = {"x", "y"}};
    const struct blobseal_kek_options o = {.size = sizeof o, .passphrase = ask, .passphrase_ctx = &asker};
    char *a = vec_encrypted_pem(t.a, "x", 1), *same = vec_encrypted_pem(t.b, "x", 1),
         *other = vec_encrypted_pem(t.b, "y", 1);

    check_keys(&t, open_three(a, same, NULL, ROOM, &o), true, true);
    cr_assert_eq(asker.calls, 1);
    asker.calls = 0;
    check_keys(&t, open_three(a, other, NULL, ROOM, &o), true, true);
    cr_assert_eq(asker.calls, 2);
    asker = (struct asker){.answers = {"x", "x"}};
    check_refused(open_three(a, other, NULL, ROOM, &o), ": wrong passphrase");
    check_refused(open_three(t.a_public, a, NULL, ROOM, NULL), "it is encrypted and no passphrase was given");
    free(a);
    free(same);
    free(other);
    texts_end(&t);
}

/* ---- Providers --------------------------------------------------------------------------------------------------- */

static unsigned closed, offered;
static enum blobseal_status answer;

static enum blobseal_status one(void **state, struct blobseal_kek_info *info, const char *ref,
                                const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                struct blobseal_error *err)
{
    (void)ref, (void)options, (void)call, (void)err;
    *state = &closed;
    *info = (struct blobseal_kek_info){.size = sizeof *info, .kid = "one", .alg = "RSA-OAEP-256", .wrapped_len = 256};
    return BLOBSEAL_OK;
}

static enum blobseal_status many(const struct blobseal_kek_list *list, const char *ref,
                                 const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                 struct blobseal_error *err)
{
    const struct blobseal_kek_info info = {
        .size = sizeof info, .kid = "one", .alg = "RSA-OAEP-256", .wrapped_len = 256};
    enum blobseal_status st = answer;

    (void)ref, (void)options, (void)call;
    for (unsigned i = 0; i < offered && st == BLOBSEAL_OK; i++)
        st = list->add(list->ctx, &closed, &info, err);
    return st;
}

static void count_close(void *state)
{
    cr_assert_eq(state, &closed);
    closed++;
}

/* Open the keys of a provider that opens one, or @several. */
static enum blobseal_status open_from(bool several, size_t room, size_t *num)
{
    struct blobseal_provider p = fake_provider("many");
    struct blobseal_kek *keks[ROOM];
    struct blobseal_registry *registry;
    enum blobseal_status st;

    p.open = one;
    p.open_all = several ? many : NULL;
    p.close = count_close;
    cr_assert_eq(blobseal_registry_new(&registry, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_registry_add(registry, &p, NULL), BLOBSEAL_OK);
    closed = 0;
    *num = room;
    st = blobseal_keks_open(keks, num, registry, "many:x", NULL, NULL);
    for (size_t i = 0; i < *num; i++)
        blobseal_kek_close(keks[i]);
    blobseal_registry_free(registry);
    return st;
}

Test(keks, providers_may_open_one_or_many)
{
    size_t num;

    cr_assert_eq(open_from(false, ROOM, &num), BLOBSEAL_OK);
    cr_assert(num == 1 && closed == 1);
    offered = 3;
    cr_assert_eq(open_from(true, ROOM, &num), BLOBSEAL_OK);
    cr_assert(num == 3 && closed == 3);
    cr_assert_eq(open_from(true, 2, &num), BLOBSEAL_E_CONFIG);
    cr_assert(num == 0 && closed == 3, "what was opened, and what had no room");
    offered = 0;
    cr_assert_eq(open_from(true, ROOM, &num), BLOBSEAL_E_INTERNAL, "no key is not success");
    answer = BLOBSEAL_E_DENIED;
    cr_assert_eq(open_from(true, ROOM, &num), BLOBSEAL_E_DENIED);
    answer = BLOBSEAL_E_AUTH;
    cr_assert_eq(open_from(true, ROOM, &num), BLOBSEAL_E_INTERNAL);
}
