/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simd: AES-256-GCM over runs of equal messages, and XXH3-64, at the speed of the CPU.
 *
 * This layer knows bytes and lengths. It does not know what a key is for, allocates nothing but in the constructor of
 * a key that is backed by OpenSSL, and reports success as true, or as BS_GCM_OK where it can fail in several ways.
 */
#ifndef BLOBSEAL_SIMD_H
#define BLOBSEAL_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BS_GCM_KEY_LEN   32
#define BS_GCM_NONCE_LEN 12
#define BS_GCM_TAG_LEN   16

/*
 * A run: @num messages of @msg_len bytes of plaintext each but the last, which has @last_len (at most @msg_len).
 * The plaintexts stand one after another, and so do the sealed messages, each with its tag behind it.
 * The nonce of message i is @nonce XOR (@first + i) as a 12-byte big-endian integer. No additional data.
 *
 * Plain and sealed bytes must not overlap, but for two ways to work in place:
 *   to open,  @plain == @sealed: the plaintexts end up one after another from there on;
 *   to seal,  @plain == @sealed + @num * BS_GCM_TAG_LEN: both end at the same place.
 */
struct bs_gcm_run {
    const uint8_t *nonce; /* BS_GCM_NONCE_LEN bytes */
    uint64_t first;
    size_t num; /* at least 1 */
    size_t msg_len;
    size_t last_len;
};

/* What came of making a key. */
enum bs_gcm_status {
    BS_GCM_OK = 0,
    BS_GCM_NO_MEMORY,
    BS_GCM_NO_CIPHER, /* OpenSSL has none with its default properties: FIPS mode without a FIPS provider */
    BS_GCM_BROKEN,    /* the self-test found wrong answers, or a forgery that was taken                   */
};

/* One keyed implementation. Used by one thread at a time: each worker has its own. Secret, but for its first member. */
struct bs_gcm_key {
    const struct bs_gcm_impl *impl;
    void *state;                         /* of an implementation that has its key elsewhere */
    _Alignas(16) uint8_t schedule[2576]; /* of the others                                   */
};

/*
 * An entry of the dispatch table. `open` verifies each tag in constant time and answers false at the first message
 * that is not genuine; everything in @plain from that message on is then zero. In place this takes the sealed bytes
 * there with it, and what stands behind the plaintexts (@num tags' worth) is as sealed as before. Source: NIST SP
 * 800-38D.
 */
struct bs_gcm_impl {
    const char *name;
    uint32_t needs; /* BS_CPU_ features */
    enum bs_gcm_status (*init)(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN]);
    void (*clear)(struct bs_gcm_key *key);
    bool (*seal)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain);
    bool (*open)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed);
};

/* The table, best first, ended by NULL. The last entry runs on every CPU. */
extern const struct bs_gcm_impl *const bs_gcm_impls[];

/* The best entry for a CPU with these features. */
const struct bs_gcm_impl *bs_gcm_pick(uint32_t features);

/* Whether this CPU can run an entry. */
bool bs_gcm_runs_here(const struct bs_gcm_impl *impl);

/*
 * The entry that a key made now takes: the best for this CPU, but that of OpenSSL where its default properties ask for
 * FIPS (EVP_default_properties_enable_fips(), or `default_properties` in its configuration).
 */
const struct bs_gcm_impl *bs_gcm_choose(void);

/*
 * Key @key with that entry, which key->impl names also after a failure. Before the first key of a process an entry
 * passes its self-test. Undo with bs_gcm_clear(), also after a failure and for a zero key.
 */
enum bs_gcm_status bs_gcm_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN]);
void bs_gcm_clear(struct bs_gcm_key *key);

/* Bytes of plaintext of message @i of a run. */
static inline size_t bs_gcm_message_len(const struct bs_gcm_run *run, size_t i)
{
    return i + 1 == run->num ? run->last_len : run->msg_len;
}

/* Bytes that a run takes when sealed. */
static inline size_t bs_gcm_sealed_len(const struct bs_gcm_run *run)
{
    return (run->num - 1) * (run->msg_len + BS_GCM_TAG_LEN) + run->last_len + BS_GCM_TAG_LEN;
}

/* XXH3-64 of @len bytes. */
uint64_t bs_xxh3(uint64_t seed, const void *p, size_t len);

/* The same over pieces. The state is plain memory: no need to clear it. */
struct bs_xxh3_state {
    _Alignas(64) unsigned char opaque[704];
};
void bs_xxh3_start(struct bs_xxh3_state *s, uint64_t seed);
void bs_xxh3_add(struct bs_xxh3_state *s, const void *p, size_t len);
uint64_t bs_xxh3_end(const struct bs_xxh3_state *s);

/* ---- cpu.c ------------------------------------------------------------------------------------------------------- */

/* Features of the CPU. The system may keep registers from programs: what needs those is then missing here as well. */
enum {
    BS_CPU_SSE41 = 1 << 0,
    BS_CPU_AES = 1 << 1,
    BS_CPU_PCLMUL = 1 << 2,
    BS_CPU_SHA = 1 << 3,
    BS_CPU_AVX = 1 << 4,
    BS_CPU_AVX2 = 1 << 5,
    BS_CPU_VAES = 1 << 6, /* on 256 bits; on 512 with AVX512F, too */
    BS_CPU_VPCLMULQDQ = 1 << 7,
    BS_CPU_AVX512F = 1 << 8,
    BS_CPU_AVX512DQ = 1 << 9,
    BS_CPU_AVX512BW = 1 << 10,
    BS_CPU_AVX512VL = 1 << 11,
    BS_CPU_WIDE = 1 << 12, /* 512-bit registers are wise: CPUs before VAES pay for them with their clock */
};

#define BS_CPU_FOR_WIDE                                                                                                \
    (BS_CPU_AVX512F | BS_CPU_AVX512DQ | BS_CPU_AVX512BW | BS_CPU_AVX512VL | BS_CPU_VAES | BS_CPU_VPCLMULQDQ)

/* The registers that the features are read from. */
struct bs_cpu_words {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_ecx;
    uint64_t xcr0;
};

/*
 * What this CPU has; none where it is no x86. Asks the CPU anew each time, which traps in a virtual machine and costs
 * microseconds: ask once for a blob, not once for a chunk.
 */
uint32_t bs_cpu_features(void);

/* The same from given words. */
uint32_t bs_cpu_decode(const struct bs_cpu_words *words);

/* The name of bit @bit, as Linux writes it where it has one; NULL behind the last. */
const char *bs_cpu_feature_name(unsigned bit);

/* ---- selftest.c -------------------------------------------------------------------------------------------------- */

/* Known answers, and forgeries that must be refused. Takes tens of microseconds. */
enum bs_gcm_status bs_gcm_selftest(const struct bs_gcm_impl *impl);

/* Known answers of a function such as bs_xxh3(). */
bool bs_xxh3_selftest(uint64_t (*sum)(uint64_t seed, const void *p, size_t len));

#endif
