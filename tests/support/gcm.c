/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM by single calls of OpenSSL's EVP, and one run through an entry of the table, compared with that. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "tests/support/gcm.h"

#define FILLER 0xA5

const uint8_t gcm_raw_key[BS_GCM_KEY_LEN] = {0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae};

struct bs_gcm_key gcm_key(const struct bs_gcm_impl *impl, const uint8_t *raw)
{
    struct bs_gcm_key key = {.impl = impl};

    GCM_EXPECT(impl, impl->init(&key, raw) == BS_GCM_OK);
    return key;
}

size_t gcm_plain_len(const struct bs_gcm_run *run)
{
    return (run->num - 1) * run->msg_len + run->last_len;
}

bool gcm_is_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != 0)
            return false;
    return true;
}

/* ---- What is right ----------------------------------------------------------------------------------------------- */

/* The definition of a nonce, on its own: @base XOR the 12-byte big-endian number @index. */
static void nonce_of(uint8_t out[BS_GCM_NONCE_LEN], const uint8_t *base, uint64_t index)
{
    for (int i = BS_GCM_NONCE_LEN - 1; i >= 0; i--, index >>= 8)
        out[i] = (uint8_t)(base[i] ^ (index & 0xFF));
}

static void evp_seal(const uint8_t *raw, const uint8_t *nonce, uint8_t *sealed, const uint8_t *plain, size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    if (EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, raw, nonce) != 1 ||
        (len > 0 && EVP_EncryptUpdate(ctx, sealed, &n, plain, (int)len) != 1) ||
        EVP_EncryptFinal_ex(ctx, sealed + n, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, BS_GCM_TAG_LEN, sealed + len) != 1)
        vec_die("EVP cannot seal");
    EVP_CIPHER_CTX_free(ctx);
}

void gcm_evp_run(const uint8_t *raw, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    for (size_t i = 0; i < run->num; i++) {
        size_t len = i + 1 == run->num ? run->last_len : run->msg_len;
        uint8_t nonce[BS_GCM_NONCE_LEN];

        nonce_of(nonce, run->nonce, run->first + i);
        evp_seal(raw, nonce, sealed, plain, len);
        sealed += len + BS_GCM_TAG_LEN;
        plain += len;
    }
}

/* ---- Memory with walls ------------------------------------------------------------------------------------------- */

static size_t page_len(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole_pages(size_t len)
{
    return (len + page_len() - 1) / page_len() * page_len();
}

uint8_t *gcm_guarded(size_t len, bool high)
{
    size_t page = page_len(), inner = whole_pages(len);
    uint8_t *map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED || (inner > 0 && mprotect(map + page, inner, PROT_READ | PROT_WRITE) != 0))
        vec_die("no memory between guard pages");
    return map + page + (high ? inner - len : 0);
}

void gcm_unguard(uint8_t *p, size_t len, bool high)
{
    size_t page = page_len(), inner = whole_pages(len);
    uint8_t *start = p - (high ? inner - len : 0);

    if (!gcm_is_zero(high ? start : p + len, inner - len))
        vec_die("written outside a buffer of %zu bytes", len);
    if (munmap(start - page, inner + 2 * page) != 0)
        vec_die("cannot unmap");
}

/* ---- One run ----------------------------------------------------------------------------------------------------- */

/* Buffers are exactly as long as needed. */
void gcm_check_run(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, uint64_t *random)
{
    struct bs_gcm_key key = gcm_key(impl, gcm_raw_key);
    struct vec_bytes plain = vec_copy(NULL, gcm_plain_len(run)), back = vec_copy(NULL, plain.len);
    struct vec_bytes sealed = vec_copy(NULL, bs_gcm_sealed_len(run)), expected = vec_copy(NULL, sealed.len);

    vec_random_fill(random, plain.p, plain.len);
    gcm_evp_run(gcm_raw_key, run, expected.p, plain.p);
    GCM_EXPECT(impl, impl->seal(&key, run, sealed.p, plain.p));
    GCM_EXPECT(impl, memcmp(sealed.p, expected.p, sealed.len) == 0);
    memset(back.p, FILLER, back.len);
    GCM_EXPECT(impl, impl->open(&key, run, back.p, sealed.p));
    GCM_EXPECT(impl, memcmp(back.p, plain.p, back.len) == 0);
    impl->clear(&key);
    free(plain.p);
    free(back.p);
    free(sealed.p);
    free(expected.p);
}

/* A run in place, in @room. */
struct place {
    const struct bs_gcm_impl *impl;
    const struct bs_gcm_run *run;
    struct bs_gcm_key key;
    struct vec_bytes plain, sealed;
    uint8_t *room;
};

static void seal_in_place(struct place *p)
{
    uint8_t *plain = p->room + p->run->num * BS_GCM_TAG_LEN;

    memset(p->room, FILLER, p->sealed.len);
    memcpy(plain, p->plain.p, p->plain.len);
    GCM_EXPECT(p->impl, p->impl->seal(&p->key, p->run, p->room, plain));
    GCM_EXPECT(p->impl, memcmp(p->room, p->sealed.p, p->sealed.len) == 0);
}

static void open_in_place(struct place *p)
{
    memcpy(p->room, p->sealed.p, p->sealed.len);
    GCM_EXPECT(p->impl, p->impl->open(&p->key, p->run, p->room, p->room));
    GCM_EXPECT(p->impl, memcmp(p->room, p->plain.p, p->plain.len) == 0);
    GCM_EXPECT(p->impl, memcmp(p->room + p->plain.len, p->sealed.p + p->plain.len, p->sealed.len - p->plain.len) == 0);
}

/* A bit of one message is flipped. All before it is released; no byte of it stays as it would open, and none
 * after it. */
static void refuse_in_place(struct place *p, size_t bit)
{
    size_t bad = bit / 8 / (p->run->msg_len + BS_GCM_TAG_LEN), good = bad * p->run->msg_len;

    p->sealed.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    memcpy(p->room, p->sealed.p, p->sealed.len);
    GCM_EXPECT(p->impl, !p->impl->open(&p->key, p->run, p->room, p->room));
    GCM_EXPECT(p->impl, memcmp(p->room, p->plain.p, good) == 0);
    GCM_EXPECT(p->impl, gcm_is_zero(p->room + good, p->plain.len - good));
    GCM_EXPECT(p->impl, memcmp(p->room + p->plain.len, p->sealed.p + p->plain.len, p->sealed.len - p->plain.len) == 0);
    p->sealed.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void all_in_place(struct place *p, uint8_t *room, uint64_t *random)
{
    p->room = room;
    seal_in_place(p);
    open_in_place(p);
    refuse_in_place(p, vec_random(random) % (8 * p->sealed.len));
}

void gcm_check_in_place(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, uint64_t *random)
{
    size_t len = bs_gcm_sealed_len(run), off = vec_random(random) % 64;
    struct vec_bytes wide = vec_copy(NULL, len + 64);
    struct place p = {.impl = impl,
                      .run = run,
                      .key = gcm_key(impl, gcm_raw_key),
                      .plain = vec_copy(NULL, gcm_plain_len(run)),
                      .sealed = vec_copy(NULL, len)};

    vec_random_fill(random, p.plain.p, p.plain.len);
    gcm_evp_run(gcm_raw_key, run, p.sealed.p, p.plain.p);
    for (unsigned high = 0; high < 2; high++) {
        uint8_t *room = gcm_guarded(len, high != 0);

        all_in_place(&p, room, random);
        gcm_unguard(room, len, high != 0);
    }
    memset(wide.p, 0, wide.len);
    all_in_place(&p, wide.p + off, random);
    GCM_EXPECT(impl, gcm_is_zero(wide.p, off) && gcm_is_zero(wide.p + off + len, 64 - off));
    impl->clear(&p.key);
    free(wide.p);
    free(p.plain.p);
    free(p.sealed.p);
}
