/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simd: AES-256-GCM over runs of messages of equal length, AES-256 in counter mode, hashes that are computed together,
 * and XXH3-64, optimised for the features of the CPU.
 *
 * This layer handles bytes and lengths, and does not know what keys are used for. It allocates memory only when a key
 * for the OpenSSL implementation is initialised, and for self-tests. Functions that can fail return true for success,
 * or a bs_gcm_status.
 */
#ifndef BLOBSEAL_SIMD_H
#define BLOBSEAL_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BS_GCM_KEY_LEN   32
#define BS_GCM_NONCE_LEN 12
#define BS_GCM_TAG_LEN   16

/*
 * A run of @num messages. Each has @msg_len bytes of plaintext, except the last, which has @last_len (at most
 * @msg_len). The plaintexts are stored one after another, and so are the sealed messages, each followed by its tag. The
 * nonce of message i is @nonce XOR (@first + i) as a 12-byte big-endian integer. There is no additional data.
 *
 * Plaintexts and sealed messages must not overlap, with two exceptions for working in place:
 *   opening with @plain == @sealed: the plaintexts are written one after another, starting there;
 *   sealing with @plain == @sealed + @num * BS_GCM_TAG_LEN: both ranges end at the same address.
 */
struct bs_gcm_run {
    const uint8_t *nonce; /* BS_GCM_NONCE_LEN bytes */
    uint64_t first;
    size_t num; /* at least 1 */
    size_t msg_len;
    size_t last_len;
};

/* The result of initialising a key. */
enum bs_gcm_status {
    BS_GCM_OK = 0,
    BS_GCM_NO_MEMORY,
    BS_GCM_NO_CIPHER, /* OpenSSL's default properties match no AES-256-GCM: FIPS mode without FIPS provider */
    BS_GCM_BROKEN,    /* in the self-test, a result was wrong or a forgery was accepted                     */
};

/* A key and the implementation that uses it. Used by one thread at a time, so each worker has its own. All members but
 * the first are secret. */
struct bs_gcm_key {
    const struct bs_gcm_impl *impl;
    void *state;                         /* of an implementation that stores its key elsewhere */
    bool failed;                         /* the last open() failed for another reason than a wrong tag */
    _Alignas(16) uint8_t schedule[2576]; /* of all other implementations                       */
};

/*
 * An entry of the dispatch table. `open` verifies each tag in constant time and returns false at the first message that
 * is not authentic; the plaintexts of that message and of all later ones are then zero. When opening in place, these
 * zeros overwrite sealed bytes, but the bytes after the last plaintext, as many as @num tags have, remain as they were.
 * If it returns false because the implementation failed, it sets key->failed, which is otherwise false.
 * Source: NIST SP 800-38D.
 */
struct bs_gcm_impl {
    const char *name;
    uint32_t needs; /* the BS_CPU_ features that it requires */
    enum bs_gcm_status (*init)(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN]);
    void (*clear)(struct bs_gcm_key *key);
    bool (*seal)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain);
    bool (*open)(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed);
};

/* The dispatch table, fastest entry first, with NULL after the last. The last entry runs on every CPU. */
extern const struct bs_gcm_impl *const bs_gcm_impls[];

/* Return the fastest entry for a CPU with these features. */
const struct bs_gcm_impl *bs_gcm_pick(uint32_t features);

/* Return true if this CPU can run an entry. */
bool bs_gcm_runs_here(const struct bs_gcm_impl *impl);

/*
 * Return the entry that bs_gcm_init() would choose now: the fastest for this CPU, or OpenSSL if OpenSSL's default
 * properties require FIPS (EVP_default_properties_enable_fips(), or `default_properties` in its configuration).
 */
const struct bs_gcm_impl *bs_gcm_choose(void);

/*
 * Initialise @key with the entry that bs_gcm_choose() returns; key->impl is that entry also after a failure. The first
 * use of an entry in a process runs its self-test. Call bs_gcm_clear() also after a failure; it may be called on an
 * all-zero key as well.
 */
enum bs_gcm_status bs_gcm_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN]);
void bs_gcm_clear(struct bs_gcm_key *key);

/* Do what the key's entry does, and leave no part of the key or of the plaintext in registers. */
bool bs_gcm_seal(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain);
bool bs_gcm_open(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed);

/* Return the length of the plaintext of message @i of a run. */
static inline size_t bs_gcm_message_len(const struct bs_gcm_run *run, size_t i)
{
    return i + 1 == run->num ? run->last_len : run->msg_len;
}

/* Return the length of the sealed messages of a run. */
static inline size_t bs_gcm_sealed_len(const struct bs_gcm_run *run)
{
    return (run->num - 1) * (run->msg_len + BS_GCM_TAG_LEN) + run->last_len + BS_GCM_TAG_LEN;
}

/* ---- AES-256 in counter mode ------------------------------------------------------------------------------------- */

#define BS_CTR_KEY_LEN   32
#define BS_CTR_NONCE_LEN 16

/*
 * A key, its nonce, and the implementation that uses them. Used by one thread at a time. All members but the first are
 * secret.
 */
struct bs_ctr_key {
    const struct bs_ctr_impl *impl;
    void *state; /* of an implementation that stores its key elsewhere */
    uint8_t nonce[BS_CTR_NONCE_LEN];
    _Alignas(16) uint8_t schedule[240]; /* of all other implementations */
};

/*
 * An entry of the dispatch table. crypt() encrypts or decrypts @len bytes that start with block @first of the stream.
 * The counter block of block i is the nonce plus i, both as 16-byte big-endian integers, modulo 2^128. @out and @in
 * must be identical or must not overlap. It returns false if the implementation failed.
 * Source: NIST SP 800-38A section 6.5.
 */
struct bs_ctr_impl {
    const char *name;
    uint32_t needs; /* the BS_CPU_ features that it requires */
    enum bs_gcm_status (*init)(struct bs_ctr_key *key, const uint8_t raw[BS_CTR_KEY_LEN],
                               const uint8_t nonce[BS_CTR_NONCE_LEN]);
    void (*clear)(struct bs_ctr_key *key);
    bool (*crypt)(struct bs_ctr_key *key, uint64_t first, uint8_t *out, const uint8_t *in, size_t len);
};

/* The dispatch table, and functions that do for it what those above do for AES-256-GCM. dispatch_layers.c */
extern const struct bs_ctr_impl *const bs_ctr_impls[];
bool bs_ctr_runs_here(const struct bs_ctr_impl *impl);
const struct bs_ctr_impl *bs_ctr_choose(void);
enum bs_gcm_status bs_ctr_init(struct bs_ctr_key *key, const uint8_t raw[BS_CTR_KEY_LEN],
                               const uint8_t nonce[BS_CTR_NONCE_LEN]);
void bs_ctr_clear(struct bs_ctr_key *key);
bool bs_ctr_crypt(struct bs_ctr_key *key, uint64_t first, uint8_t *out, const uint8_t *in, size_t len);

/* ---- Hashes that are computed together --------------------------------------------------------------------------- */

#define BS_HASHES_KEY_LEN 32
#define BS_HASHES_LEN     32

/* The hashes that are needed. */
enum {
    BS_HASHES_MAC = 1 << 0,   /* HMAC-SHA-256 of the first stream */
    BS_HASHES_FIRST = 1 << 1, /* SHA-256 of the first stream      */
    BS_HASHES_OTHER = 1 << 2, /* SHA-256 of the other stream      */
};

/* The bytes of a stream that are not a full block yet. */
struct bs_hashes_stream {
    uint8_t tail[64];
    uint64_t len; /* of the whole stream */
};

/*
 * Hashes of two streams, and the implementation that computes them. Two threads may add to the two streams at once, but
 * to each stream and to both together only one. All members but the first two are secret.
 */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): the streams are in different cache lines */
struct bs_hashes {
    const struct bs_hashes_impl *impl;
    uint32_t wanted;
    void *mac, *first_md, *other_md; /* of an implementation that stores its state elsewhere */
    bool failed, other_failed;       /* reported at the end                                  */
    uint32_t inner[8], outer[8], first[8];
    struct bs_hashes_stream first_stream;
    _Alignas(64) uint32_t other[8]; /* not in a cache line that the other thread writes */
    struct bs_hashes_stream other_stream;
};

/* The results. Those that are not wanted are zero. */
struct bs_hashes_results {
    uint8_t mac[BS_HASHES_LEN], first[BS_HASHES_LEN], other[BS_HASHES_LEN];
};

/*
 * An entry of the dispatch table. add_both() adds @len bytes to each stream, in one loop if the streams are equally
 * long. end() returns false if the implementation failed. Source: FIPS 180-4, FIPS 198-1.
 */
struct bs_hashes_impl {
    const char *name;
    uint32_t needs; /* the BS_CPU_ features that it requires */
    enum bs_gcm_status (*init)(struct bs_hashes *h, const uint8_t key[BS_HASHES_KEY_LEN]);
    void (*clear)(struct bs_hashes *h);
    void (*add_first)(struct bs_hashes *h, const uint8_t *p, size_t len);
    void (*add_other)(struct bs_hashes *h, const uint8_t *p, size_t len);
    void (*add_both)(struct bs_hashes *h, const uint8_t *first, const uint8_t *other, size_t len);
    bool (*end)(struct bs_hashes *h, struct bs_hashes_results *out);
};

/* The dispatch table, and functions that do for it what those above do for AES-256-GCM. @wanted are the hashes to
 * compute. bs_hashes_end() may be called once. */
extern const struct bs_hashes_impl *const bs_hashes_impls[];
bool bs_hashes_runs_here(const struct bs_hashes_impl *impl);
const struct bs_hashes_impl *bs_hashes_choose(void);
enum bs_gcm_status bs_hashes_init(struct bs_hashes *h, const uint8_t key[BS_HASHES_KEY_LEN], uint32_t wanted);
void bs_hashes_clear(struct bs_hashes *h);
void bs_hashes_add_first(struct bs_hashes *h, const uint8_t *p, size_t len);
void bs_hashes_add_other(struct bs_hashes *h, const uint8_t *p, size_t len);
void bs_hashes_add_both(struct bs_hashes *h, const uint8_t *first, const uint8_t *other, size_t len);
bool bs_hashes_end(struct bs_hashes *h, struct bs_hashes_results *out);

/*
 * Return true if adding to both streams in one loop takes little longer than adding to one. It is so on AMD's CPUs,
 * whose SHA instructions for one hash leave half of their unit idle; on Intel's, the message schedule keeps it busy.
 */
bool bs_hashes_both_are_cheap(const struct bs_hashes_impl *impl);

/* ---- XXH3 -------------------------------------------------------------------------------------------------------- */

/* Return the XXH3-64 hash of @len bytes. */
uint64_t bs_xxh3(uint64_t seed, const void *p, size_t len);

/* Compute XXH3-64 over data that is added in pieces. The state owns no memory and need not be released. */
struct bs_xxh3_state {
    _Alignas(64) unsigned char opaque[704];
};
void bs_xxh3_start(struct bs_xxh3_state *s, uint64_t seed);
void bs_xxh3_add(struct bs_xxh3_state *s, const void *p, size_t len);
uint64_t bs_xxh3_end(const struct bs_xxh3_state *s);

/* ---- cpu.c ------------------------------------------------------------------------------------------------------- */

/* Features of the CPU. Features whose registers are not enabled by the operating system count as missing. */
enum {
    BS_CPU_SSE41 = 1 << 0,
    BS_CPU_AES = 1 << 1,
    BS_CPU_PCLMUL = 1 << 2,
    BS_CPU_SHA = 1 << 3,
    BS_CPU_AVX = 1 << 4,
    BS_CPU_AVX2 = 1 << 5,
    BS_CPU_VAES = 1 << 6, /* for 256-bit registers, and with AVX512F also for 512-bit registers */
    BS_CPU_VPCLMULQDQ = 1 << 7,
    BS_CPU_AVX512F = 1 << 8,
    BS_CPU_AVX512DQ = 1 << 9,
    BS_CPU_AVX512BW = 1 << 10,
    BS_CPU_AVX512VL = 1 << 11,
    BS_CPU_WIDE = 1 << 12, /* 512-bit registers are worth using: CPUs without VAES reduce their clock for them */
};

#define BS_CPU_FOR_WIDE                                                                                                \
    (BS_CPU_AVX512F | BS_CPU_AVX512DQ | BS_CPU_AVX512BW | BS_CPU_AVX512VL | BS_CPU_VAES | BS_CPU_VPCLMULQDQ)

/* The values of CPUID and XGETBV that contain the features. */
struct bs_cpu_words {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_ecx;
    uint64_t xcr0;
};

/*
 * Return the features of this CPU, or 0 if it is not an x86 CPU. Each call executes CPUID, which traps in a virtual
 * machine and takes microseconds: call it once for a blob, not once for a chunk.
 */
uint32_t bs_cpu_features(void);

/* Return the features of this CPU without executing CPUID again. dispatch.c */
uint32_t bs_cpu_known_features(void);

/* Return the features that an implementation may need which is chosen now. Our kernels are not FIPS-validated, so in
 * FIPS mode there are none, which selects OpenSSL. dispatch.c */
uint32_t bs_cpu_allowed_features(void);

/* Return the features that @words contain. */
uint32_t bs_cpu_decode(const struct bs_cpu_words *words);

/* Return true if this CPU was designed by AMD or is derived from one that was. */
bool bs_cpu_is_amd(void);

/* Return the name of feature bit @bit, which is Linux's name if Linux has one, or NULL after the last. */
const char *bs_cpu_feature_name(unsigned bit);

/* ---- registers.c ------------------------------------------------------------------------------------------------- */

/*
 * Set all vector registers to zero. Functions that have handled keys or plaintext call it before they return, because
 * whoever saves registers later, such as the dynamic linker, copies their content to the stack.
 */
void bs_wipe_registers(void);

/* Copy @len bytes, and leave nothing of them in registers. */
static inline void bs_copy_secret(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    bs_wipe_registers();
}

/* ---- selftest.c -------------------------------------------------------------------------------------------------- */

/* Check known answers of an entry, and that it refuses forgeries. Takes tens of microseconds. */
enum bs_gcm_status bs_gcm_selftest(const struct bs_gcm_impl *impl);

enum bs_gcm_status bs_ctr_selftest(const struct bs_ctr_impl *impl);
enum bs_gcm_status bs_hashes_selftest(const struct bs_hashes_impl *impl);

/* Check known answers of an XXH3-64 function with the interface of bs_xxh3(). */
enum bs_gcm_status bs_xxh3_selftest(uint64_t (*hash)(uint64_t seed, const void *p, size_t len));

#endif
