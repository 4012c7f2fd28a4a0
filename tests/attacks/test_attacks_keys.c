/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attacker with keys of their own makes one blob look like two: ciphertext that is authentic under two keys,
 * recipients who receive different contents, slots that are both forged in the same way. tests/ATTACKS.md lists all
 * other attacks.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "kek/kek.h"
#include "tests/support/changes.h"
#include "tests/support/suite.h"

SUITE_WITH(attacks_keys, keys_start, keys_end);

/* ---- GF(2^128) as in NIST SP 800-38D section 6.3: the first bit of a block is the coefficient of x^0 ------------- */

struct gf {
    uint64_t hi, lo;
};

static struct gf gf_load(const uint8_t b[16])
{
    struct gf x = {0, 0};

    for (unsigned i = 0; i < 8; i++) {
        x.hi = x.hi << 8 | b[i];
        x.lo = x.lo << 8 | b[8 + i];
    }
    return x;
}

static void gf_store(uint8_t b[16], struct gf x)
{
    for (unsigned i = 0; i < 8; i++) {
        b[i] = (uint8_t)(x.hi >> (56 - 8 * i));
        b[8 + i] = (uint8_t)(x.lo >> (56 - 8 * i));
    }
}

static struct gf gf_add(struct gf a, struct gf b)
{
    return (struct gf){a.hi ^ b.hi, a.lo ^ b.lo};
}

static struct gf gf_mul(struct gf a, struct gf b)
{
    struct gf sum = {0, 0};

    for (unsigned i = 0; i < 128; i++) {
        uint64_t bit = i < 64 ? a.hi >> (63 - i) : a.lo >> (127 - i), carry = b.lo & 1;

        if ((bit & 1) != 0)
            sum = gf_add(sum, b);
        b.lo = b.lo >> 1 | b.hi << 63;
        b.hi = b.hi >> 1 ^ (carry != 0 ? (uint64_t)0xE1 << 56 : 0);
    }
    return sum;
}

/* x^(2^128 - 2), which is 1/x. */
static struct gf gf_inverse(struct gf x)
{
    struct gf r = {(uint64_t)1 << 63, 0};

    for (unsigned i = 1; i < 128; i++) {
        x = gf_mul(x, x);
        r = gf_mul(r, x);
    }
    return r;
}

/* ---- A chunk that is authentic under two keys ----------------------------------------------------------------------
 */

static void aes_block(const uint8_t key[32], const uint8_t in[16], uint8_t out[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    cr_assert(ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_ecb(), NULL, key, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, out, &n, in, 16) == 1 && n == 16);
    EVP_CIPHER_CTX_free(ctx);
}

#define BLOCKS 4 /* blocks of the chunk; the attacker chooses all but the last freely */

/* What a key contributes to the tag of a chunk: the tag is sum + x * h^2, where x is the last block. */
struct view {
    struct gf h, sum;
};

static struct view view_of(const struct bs_chunked_keys *k, const uint8_t *chunk)
{
    static const uint8_t zero[16];
    uint8_t block[16], counter[16] = {0};
    struct view v;
    struct gf power;

    aes_block(k->key, zero, block);
    v.h = gf_load(block);
    memcpy(counter, k->nonce, 12); /* the nonce of chunk 0 is the base nonce */
    counter[15] = 1;
    aes_block(k->key, counter, block);
    v.sum = gf_add(gf_load(block), gf_mul(v.h, (struct gf){0, (uint64_t)BLOCKS * 128}));
    power = gf_mul(v.h, v.h);
    for (unsigned i = BLOCKS - 1; i-- > 0;) {
        power = gf_mul(power, v.h);
        v.sum = gf_add(v.sum, gf_mul(gf_load(chunk + (size_t)16 * i), power));
    }
    return v;
}

/*
 * Choose the last block so that both keys give the same tag (Albertini et al., "How to Abuse and Fix Authenticated
 * Encryption").
 */
static void collide(const struct bs_chunked_keys *one, const struct bs_chunked_keys *two,
                    uint8_t chunk[BLOCKS * 16 + 16])
{
    struct view a = view_of(one, chunk), b = view_of(two, chunk);
    struct gf squares = gf_add(gf_mul(a.h, a.h), gf_mul(b.h, b.h));
    struct gf x = gf_mul(gf_add(a.sum, b.sum), gf_inverse(squares));

    gf_store(chunk + (size_t)16 * (BLOCKS - 1), x);
    gf_store(chunk + (size_t)16 * BLOCKS, gf_add(a.sum, gf_mul(x, gf_mul(a.h, a.h))));
}

static void open_chunk(const struct bs_chunked_keys *k, const uint8_t *chunk, uint8_t plain[BLOCKS * 16])
{
    struct bs_chunked c = {0};
    size_t n;

    cr_assert_eq(bs_chunked_init(&c, k, NULL), BLOBSEAL_OK);
    cr_assert(bs_chunked_open(&c, 0, true, plain, (struct bs_slice){chunk, BLOCKS * 16 + 16}, &n),
              "it is authentic under this key");
    cr_assert_eq(n, BLOCKS * 16);
    bs_chunked_clear(&c);
}

/* Open the core with header @core and that chunk, and an envelope with @dek as the key. */
static enum blobseal_status open_as(const struct bs_core_header *core, const uint8_t *chunk,
                                    const struct blobseal_secret32 *dek, const uint8_t want[BLOCKS * 16])
{
    struct recipe r = {.core = *core, .dek = *dek};
    uint8_t blob[96 + BLOCKS * 16 + 16];
    char *envelope = recipe_envelope(&r, 1, keys, 1);
    enum blobseal_status st = BLOBSEAL_OK;

    memcpy(blob, core->raw, 96);
    memcpy(blob + 96, chunk, BLOCKS * 16 + 16);
    for (unsigned pipe = 0; pipe <= 1; pipe++) {
        const struct how_to_open how = {
            .sequential = pipe == 1, .envelope = envelope, .envelope_len = strlen(envelope)};
        struct opened o;

        st = open_bytes(&o, blob, sizeof blob, keys, 1, &how, NULL);
        cr_expect_eq(o.len, st == BLOBSEAL_OK ? BLOCKS * 16 : 0);
        cr_expect(st != BLOBSEAL_OK || memcmp(o.data, want, BLOCKS * 16) == 0);
        opened_clear(&o);
    }
    free(envelope);
    return st;
}

Test(attacks_keys, a_chunk_that_is_authentic_under_two_keys_opens_with_one)
{
    uint8_t chunk[BLOCKS * 16 + 16], first[BLOCKS * 16], second[BLOCKS * 16];
    struct recipe one, two;

    recipe_make(&one, 1, BS_SEGMENTS_BARE);
    two = one; /* the same blob id and salt */
    fill_random(two.dek.b, sizeof two.dek.b, 99);
    recipe_derive(&two);
    fill_random(chunk, sizeof chunk, 7);
    collide(&one.keys, &two.keys, chunk);
    open_chunk(&one.keys, chunk, first);
    open_chunk(&two.keys, chunk, second);
    cr_assert_neq(memcmp(first, second, sizeof first), 0, "one chunk, two plaintexts: AES-GCM does not commit");

    cr_expect_eq(open_as(&one.core, chunk, &one.dek, first), BLOBSEAL_OK);
    cr_expect_eq(open_as(&one.core, chunk, &two.dek, second), BLOBSEAL_E_AUTH, "the header commits to the first");
    cr_expect_eq(open_as(&two.core, chunk, &two.dek, second), BLOBSEAL_OK);
    cr_expect_eq(open_as(&two.core, chunk, &one.dek, first), BLOBSEAL_E_AUTH, "and here to the second");
}

/* ---- Recipients who receive different contents ------------------------------------------------------------------- */

/* Keys 0 and 1 each receive a different CEK. The content is encrypted with one of them. */
Test(attacks_keys, two_recipients_with_different_content_keys)
{
    for (unsigned used = 0; used <= 1; used++) {
        struct blobseal_secret32 ceks[2];
        struct bs_jwe jwe = {.num = 2};
        struct bs_builder w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE + 1), BLOBSEAL_MAX_ENVELOPE);
        uint8_t wrapped[2][256], content[1024];
        struct recipe r;
        size_t len;

        recipe_make(&r, 3, 1);
        len = bs_jwk_write(content, sizeof content, &r.core, &r.dek, (struct bs_slice){0});
        for (unsigned i = 0; i <= 1; i++) {
            fill_random(ceks[i].b, sizeof ceks[i].b, 10 + i);
            wrap_with(keys[i], wrapped[i], &ceks[i]);
            jwe.recipients[i] = (struct bs_jwe_recipient){"RSA-OAEP-256", fakes[i].kid, wrapped[i], 256};
        }
        cr_assert_eq(
            bs_envelope_encode(&w, envelope_for(&r, 1, &jwe), &ceks[used], (struct bs_slice){content, len}, NULL),
            BLOBSEAL_OK);
        w.p[w.len] = '\0';
        for (enum way way = WAY_COMPACT; way <= WAY_DETACHED; way++) {
            struct kept k;

            kept_from(&k, way, &r, (const char *)w.p, 1);
            cr_expect_eq(kept_open(&k, keys[used]), BLOBSEAL_OK);
            cr_expect_eq(kept_open(&k, keys[1 - used]), BLOBSEAL_E_AUTH);
            kept_clear(&k);
        }
        free(w.p);
    }
}

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

/*
 * Change every byte of a slot in both slots in the same way, with recomputed checksums. No intact copy is left to
 * compare with, and none is needed.
 */
Test(attacks_keys, both_slots_forged_alike)
{
    struct kept k;
    size_t capacity, used;
    uint8_t *copy;

    kept_make(&k, WAY_AB, 2);
    capacity = bs_load32(k.blob + 16);
    used = BS_SLOT_HEADER_LEN + bs_load32(k.blob + 4096 + 4);
    copy = must_copy(k.blob, k.len);
    for (size_t i = 0; i < capacity; i += i < used + 64 || i > capacity - 3 ? 1 : 97)
        for (unsigned bit = 0; bit < 8; bit += 1 + (unsigned)i % 3) {
            enum blobseal_status st;

            if (i >= 16 && i < 24) /* the checksum itself, which refix() recomputes */
                continue;
            k.blob[4096 + i] ^= (uint8_t)(1u << bit);
            k.blob[4096 + capacity + i] ^= (uint8_t)(1u << bit);
            refix(k.blob, k.len);
            st = kept_open(&k, keys[0]);
            cr_expect(st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_DAMAGED ||
                          st == BLOBSEAL_E_UNSUPPORTED || st == BLOBSEAL_E_NO_KEY,
                      "byte %zu, bit %u: %s", i, bit, blobseal_status_code(st));
            memcpy(k.blob, copy, k.len);
        }
    cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_OK);
    free(copy);
    kept_clear(&k);
}

/* The newest slot is corrupted and the older one differs. The older envelope is used, and a note reports it. */
Test(attacks_keys, the_newest_slot_is_corrupt)
{
    struct recipe r;
    char *older, *newest;

    recipe_make(&r, 5, 1);
    older = recipe_envelope(&r, 6, keys, 1);
    newest = recipe_envelope(&r, 7, keys + 1, 1);
    for (unsigned swapped = 0; swapped <= 1; swapped++) {
        const struct slot_text a = {older, 6}, b = {newest, 7};
        uint8_t plain[KEPT_PLAIN], *core, *blob;
        size_t core_len, len;
        struct opened o;

        fill_random(plain, sizeof plain, 77);
        core = recipe_core(&r, plain, sizeof plain, &core_len);
        blob = put_in_frame(&r.core, BLOBSEAL_LAYOUT_AB, swapped ? b : a, swapped ? a : b, core, core_len, &len);
        cr_expect_eq(open_bytes(&o, blob, len, &keys[0], 1, NULL, NULL), BLOBSEAL_E_NO_KEY, "the newest one counts");
        opened_clear(&o);
        blob[4096 + (swapped ? 0 : bs_load32(blob + 16)) + 60] ^= 1;
        cr_expect_eq(open_bytes(&o, blob, len, &keys[0], 1, NULL, NULL), BLOBSEAL_OK);
        cr_expect(o.generation == 6 && o.notes == BLOBSEAL_NOTE_SLOT_INVALID);
        opened_clear(&o);
        free(blob);
        free(core);
    }
    free(older);
    free(newest);
}

/* Put impossible lengths, and lengths whose sum wraps around, into every length field. */
Test(attacks_keys, every_length_before_the_core)
{
    static const size_t fields[] = {12, 16, 20,
                                    64 + 4}; /* slot offset, slot capacity and frame length; the length of the JWE */
    struct kept k;
    uint8_t *copy;

    kept_make(&k, WAY_COMPACT, 1);
    copy = must_copy(k.blob, k.len);
    for (size_t f = 0; f < COUNT(fields); f++) {
        uint32_t right = bs_load32(copy + fields[f]);
        const uint32_t values[] = {0,
                                   1,
                                   24,
                                   25,
                                   64,
                                   4096,
                                   65512,
                                   65513,
                                   65536,
                                   65537,
                                   right - 1,
                                   right + 1,
                                   (uint32_t)k.len,
                                   (uint32_t)k.len + 1,
                                   1u << 31,
                                   (1u << 31) + right,
                                   UINT32_MAX - 64,
                                   UINT32_MAX - 24,
                                   UINT32_MAX};

        for (size_t i = 0; i < COUNT(values); i++)
            for (unsigned pipe = 0; pipe <= 1; pipe++) {
                const struct how_to_open how = {.sequential = pipe == 1};
                enum blobseal_status st;
                struct opened o;

                if (values[i] == right)
                    continue;
                bs_store32(k.blob + fields[f], values[i]);
                refix(k.blob, k.len);
                st = open_bytes(&o, k.blob, k.len, keys, 1, &how, NULL);
                cr_expect(st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_DAMAGED, "field %zu, %u: %s", fields[f],
                          values[i], blobseal_status_code(st));
                opened_clear(&o);
                memcpy(k.blob, copy, k.len);
            }
    }
    free(copy);
    kept_clear(&k);
}
