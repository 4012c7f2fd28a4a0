/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of other lengths than 32 bytes, encrypted with the public half of a key and decrypted in its token. */
#include "kek/pkcs11/pkcs11.h"
#include "tests/support/token.h"

SUITE(pkcs11_message, .timeout = 60);

static void check(struct token_test *t, size_t len)
{
    uint8_t message[512], out[512];
    struct blobseal_wrapping w;
    struct blobseal_wrapped wrapped;
    size_t n = sizeof out;

    memset(message, (int)len, sizeof message);
    cr_assert_eq(bs_kek_encrypt(t->kek, &w, (struct bs_slice){message, len}, NULL, &t->err), BLOBSEAL_OK, "%s",
                 t->err.text);
    wrapped = (struct blobseal_wrapped){w.alg, w.kid, w.key, w.key_len};
    cr_assert_eq(bs_kek_decrypt(t->kek, out, &n, &wrapped, NULL, &t->err), BLOBSEAL_OK, "%s", t->err.text);
    cr_assert(n == len && memcmp(out, message, len) == 0);
    if (len == 0)
        return;
    n = len - 1; /* no room */
    cr_assert_eq(bs_kek_decrypt(t->kek, out, &n, &wrapped, NULL, &t->err), BLOBSEAL_E_AUTH);
    cr_assert_eq(n, 0);
    n = sizeof out;
    w.key[7] ^= 1;
    cr_assert_eq(bs_kek_decrypt(t->kek, out, &n, &wrapped, NULL, &t->err), BLOBSEAL_E_AUTH);
    cr_assert_eq(n, 0);
    wrapped.kid = "another";
    cr_assert_eq(bs_kek_decrypt(t->kek, out, &n, &wrapped, NULL, &t->err), BLOBSEAL_E_NOT_MINE);
}

Test(pkcs11_message, of_every_length_are_decrypted)
{
    struct token_test t;
    size_t max;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    max = bs_kek_max_message(t.kek);
    cr_assert_eq(max, bs_kek_info(t.kek)->wrapped_len - 66); /* SHA-256 */
    check(&t, 0);
    check(&t, 16);
    check(&t, 32);
    check(&t, 122);
    check(&t, max);
    cr_assert_neq(bs_kek_encrypt(t.kek, &t.wrapping, (struct bs_slice){(const uint8_t *)t.ref, max + 1}, NULL, &t.err),
                  BLOBSEAL_OK);
    token_test_close(&t);
}
