/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-GCM with additional data: a known answer, forgeries, and what is left in the output after them. */
#include <stdlib.h>
#include <string.h>

#include "core/jwe/jwe.h"
#include "tests/support/suite.h"

#define LEN ((size_t)60)

/* Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B. */
static const char key_hex[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
static const char iv_hex[] = "cafebabefacedbaddecaf888";
static const char aad_hex[] = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
static const char plain_hex[] =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b"
    "525b16aedf5aa0de657ba637b39";
static const char cipher_hex[] =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828"
    "838c5f61e6393ba7a0abcc9f662";
static const char tag_hex[] = "76fc6ece0f4e1768cddf8853bb2d551b";

/* The same values as bytes. */
static struct blobseal_secret32 cek;
static struct vec_bytes iv, aad, plain, cipher, tag;

static void start(void)
{
    struct vec_bytes key = vec_hex(key_hex);

    memcpy(cek.b, key.p, sizeof cek.b);
    free(key.p);
    iv = vec_hex(iv_hex);
    aad = vec_hex(aad_hex);
    plain = vec_hex(plain_hex);
    cipher = vec_hex(cipher_hex);
    tag = vec_hex(tag_hex);
}

static void stop(void)
{
    free(iv.p);
    free(aad.p);
    free(plain.p);
    free(cipher.p);
    free(tag.p);
}

SUITE_WITH(a256gcm, start, stop);

static struct bs_a256gcm with(void)
{
    return (struct bs_a256gcm){.cek = &cek, .iv = iv.p, .aad = {aad.p, aad.len}};
}

Test(a256gcm, gives_the_known_answer)
{
    const struct bs_a256gcm g = with();
    uint8_t out[LEN], out_tag[BS_JWE_TAG_LEN];

    cr_assert(bs_a256gcm_encrypt(&g, out, (struct bs_slice){plain.p, plain.len}, out_tag));
    cr_expect_arr_eq(out, cipher.p, LEN);
    cr_expect_arr_eq(out_tag, tag.p, sizeof out_tag);
    cr_assert(bs_a256gcm_decrypt(&g, out, (struct bs_slice){cipher.p, cipher.len}, tag.p));
    cr_expect_arr_eq(out, plain.p, LEN);
}

/* Change one bit of @p. Expect a refusal that leaves no plaintext in the output and does not change @tag. */
static void expect_refused(uint8_t *p, size_t bit, const char *what)
{
    const struct bs_a256gcm g = with();
    uint8_t out[LEN], tag_before[BS_JWE_TAG_LEN];

    p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    memcpy(tag_before, tag.p, sizeof tag_before);
    memset(out, 0xEE, sizeof out);
    cr_expect_not(bs_a256gcm_decrypt(&g, out, (struct bs_slice){cipher.p, cipher.len}, tag.p), "%s, bit %zu", what,
                  bit);
    cr_expect(bs_all_zero(out, sizeof out), "%s, bit %zu", what, bit);
    cr_expect_arr_eq(tag.p, tag_before, sizeof tag_before);
    p[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

Test(a256gcm, every_changed_bit_is_refused_and_nothing_is_released)
{
    for (size_t bit = 0; bit < 8 * LEN; bit++)
        expect_refused(cipher.p, bit, "ciphertext");
    for (size_t bit = 0; bit < 8 * tag.len; bit++)
        expect_refused(tag.p, bit, "tag");
    for (size_t bit = 0; bit < 8 * aad.len; bit++)
        expect_refused(aad.p, bit, "additional data");
    for (size_t bit = 0; bit < 8 * iv.len; bit++)
        expect_refused(iv.p, bit, "nonce");
    for (size_t bit = 0; bit < 8 * sizeof cek.b; bit++)
        expect_refused(cek.b, bit, "key");
}

Test(a256gcm, lengths_are_part_of_what_is_authentic)
{
    struct bs_a256gcm g = with();
    uint8_t out[LEN];

    for (size_t len = 0; len < LEN; len++)
        cr_expect_not(bs_a256gcm_decrypt(&g, out, (struct bs_slice){cipher.p, len}, tag.p), "%zu bytes", len);
    for (g.aad.len = 0; g.aad.len < aad.len; g.aad.len++)
        cr_expect_not(bs_a256gcm_decrypt(&g, out, (struct bs_slice){cipher.p, LEN}, tag.p));
}

Test(a256gcm, every_length_comes_back_and_works_in_place)
{
    const struct bs_a256gcm g = with();

    for (size_t len = 0; len <= 100; len++) {
        struct vec_bytes from = vec_copy(NULL, len), to = vec_copy(NULL, len);
        uint8_t t[BS_JWE_TAG_LEN];

        fill_random(from.p, len, len);
        cr_assert(bs_a256gcm_encrypt(&g, to.p, (struct bs_slice){from.p, len}, t));
        cr_assert(bs_a256gcm_decrypt(&g, to.p, (struct bs_slice){to.p, len}, t), "%zu bytes", len);
        cr_expect(len == 0 || memcmp(from.p, to.p, len) == 0, "%zu bytes", len);
        free(from.p);
        free(to.p);
    }
}
