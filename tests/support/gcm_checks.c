/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of all shapes, forgeries, and the borders of buffers, for an entry of the table of AES-GCM implementations. */
#define _DEFAULT_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/gcm.h"

#define FILLER 0xA5
#define CHUNK  ((size_t)16384)

/* ---- Runs against single calls ----------------------------------------------------------------------------------- */

static void every_short_length(const struct bs_gcm_impl *impl)
{
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint64_t random = 1;

    vec_random_fill(&random, nonce, sizeof nonce);
    for (size_t len = 0; len <= 272; len++) {
        const struct bs_gcm_run run = {nonce, vec_random(&random) >> 26, 3, 272, len};

        gcm_check_run(impl, &run, &random);
    }
}

/* @times runs of 1 to 9 messages of up to 4 KiB, the last one shorter. */
static void random_runs(const struct bs_gcm_impl *impl, unsigned times, uint64_t random,
                        void (*check)(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, uint64_t *random))
{
    for (unsigned k = 0; k < times; k++) {
        size_t msg_len = vec_random(&random) % 4097, num = 1 + vec_random(&random) % 9;
        uint8_t nonce[BS_GCM_NONCE_LEN];
        const struct bs_gcm_run run = {nonce, vec_random(&random) >> 26, num, msg_len,
                                       vec_random(&random) % (msg_len + 1)};

        vec_random_fill(&random, nonce, sizeof nonce);
        check(impl, &run, &random);
    }
}

static void random_shapes(const struct bs_gcm_impl *impl)
{
    random_runs(impl, 300, 2, gcm_check_run);
}

static void real_chunks(const struct bs_gcm_impl *impl)
{
    static const size_t last_lens[] = {0, 1, 15, 16, 17, CHUNK / 2, CHUNK - 1, CHUNK};
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {9, 8, 7};
    uint64_t random = 3;

    for (size_t k = 0; k < sizeof last_lens / sizeof last_lens[0]; k++) {
        const struct bs_gcm_run run = {nonce, 250, 16, CHUNK, last_lens[k]};

        gcm_check_run(impl, &run, &random);
    }
}

static void counters_carry(const struct bs_gcm_impl *impl)
{
    static const uint64_t borders[] = {
        1ull << 8,  1ull << 16,       1ull << 24, 1ull << 31, 1ull << 32,
        1ull << 37, (1ull << 38) - 2, 1ull << 40, 1ull << 48, 1ull << 56,
    };
    uint8_t nonces[3][BS_GCM_NONCE_LEN] = {{0}};
    uint64_t random = 4;

    memset(nonces[1], 0xFF, sizeof nonces[1]); /* an addition in the place of the XOR would carry */
    vec_random_fill(&random, nonces[2], sizeof nonces[2]);
    for (size_t b = 0; b < sizeof borders / sizeof borders[0]; b++)
        for (size_t n = 0; n < 3; n++) {
            const struct bs_gcm_run run = {nonces[n], borders[b] - 2, 4, 64, 33};

            gcm_check_run(impl, &run, &random);
        }
}

/* Long enough for what kernels keep from message to message, which a number may make useless. */
static void counters_carry_in_long_runs(const struct bs_gcm_impl *impl)
{
    static const size_t lens[] = {2048, 4096, 4500, 8192};
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint64_t random = 10;

    vec_random_fill(&random, nonce, sizeof nonce);
    for (unsigned bits = 8; bits < 64; bits += 8)
        for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
            const struct bs_gcm_run run = {nonce, (1ull << bits) - 5, 10, lens[k], lens[k] - 500 * k};

            gcm_check_run(impl, &run, &random);
            gcm_check_in_place(impl, &run, &random);
        }
}

/* More than 2^16 blocks: the third byte of the block counter changes. */
static void long_messages(const struct bs_gcm_impl *impl)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {5, 5};
    const struct bs_gcm_run run = {nonce, 255, 2, ((size_t)1 << 20) + 8192, ((size_t)1 << 20) + 1000};
    uint64_t random = 11;

    gcm_check_run(impl, &run, &random);
}

static void cut_anywhere(const struct bs_gcm_impl *impl)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {1};
    uint64_t random = 5;
    struct bs_gcm_key key = gcm_key(impl, gcm_raw_key);
    uint8_t plain[20 * 48], whole[20 * 64], pieces[20 * 64];
    const struct bs_gcm_run run = {nonce, 1000, 20, 48, 48};

    vec_random_fill(&random, plain, sizeof plain);
    GCM_EXPECT(impl, impl->seal(&key, &run, whole, plain));
    for (size_t cut = 1; cut < 20; cut++) {
        const struct bs_gcm_run preamble = {nonce, 1000, cut, 48, 48}, back = {nonce, 1000 + cut, 20 - cut, 48, 48};

        GCM_EXPECT(impl, impl->seal(&key, &back, pieces + cut * 64, plain + cut * 48));
        GCM_EXPECT(impl, impl->seal(&key, &preamble, pieces, plain));
        GCM_EXPECT(impl, memcmp(pieces, whole, sizeof whole) == 0);
    }
    impl->clear(&key);
}

/* ---- In place ---------------------------------------------------------------------------------------------------- */

/* Every length of a last message after none, one and two others, which moves it by 16, 32 and 48 bytes. */
static void short_in_place(const struct bs_gcm_impl *impl)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {2};
    uint64_t random = 7;

    for (size_t len = 0; len <= 528; len++)
        for (size_t num = 1; num <= 3; num++) {
            const struct bs_gcm_run run = {nonce, 254, num, 528, len};

            gcm_check_in_place(impl, &run, &random);
        }
}

static void random_in_place(const struct bs_gcm_impl *impl)
{
    random_runs(impl, 200, 8, gcm_check_in_place);
}

static void chunks_in_place(const struct bs_gcm_impl *impl)
{
    static const size_t nums[] = {1, 2, 16, 64};
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {4};
    uint64_t random = 9;

    for (size_t k = 0; k < sizeof nums / sizeof nums[0]; k++) {
        const struct bs_gcm_run full = {nonce, 200, nums[k], CHUNK, CHUNK};
        const struct bs_gcm_run part = {nonce, 200, nums[k], CHUNK, vec_random(&random) % CHUNK};

        gcm_check_in_place(impl, &full, &random);
        gcm_check_in_place(impl, &part, &random);
    }
}

/* ---- What is not authentic -----------------------------------------------------------------------------------------
 */

#define MSG        40
#define SEALED_MSG (MSG + BS_GCM_TAG_LEN)
#define LAST       17
#define ALL_PLAIN  (2 * MSG + LAST)
#define ALL_SEALED (2 * SEALED_MSG + LAST + BS_GCM_TAG_LEN)

struct forged {
    struct bs_gcm_key key;
    struct bs_gcm_run run;
    uint8_t nonce[BS_GCM_NONCE_LEN];
    uint8_t plain[ALL_PLAIN], sealed[ALL_SEALED];
};

static void forged_start(struct forged *f, const struct bs_gcm_impl *impl)
{
    uint64_t random = 6;

    vec_random_fill(&random, f->nonce, sizeof f->nonce);
    vec_random_fill(&random, f->plain, sizeof f->plain);
    f->run = (struct bs_gcm_run){f->nonce, 77, 3, MSG, LAST};
    f->key = gcm_key(impl, gcm_raw_key);
    GCM_EXPECT(impl, impl->seal(&f->key, &f->run, f->sealed, f->plain));
}

/* @sealed is authentic up to message @bad: that much is released, and no more. */
static void check_refused(struct forged *f, const uint8_t *sealed, size_t bad)
{
    const struct bs_gcm_impl *impl = f->key.impl;
    uint8_t out[ALL_PLAIN];

    memset(out, FILLER, sizeof out);
    GCM_EXPECT(impl, !impl->open(&f->key, &f->run, out, sealed));
    GCM_EXPECT(impl, memcmp(out, f->plain, bad * MSG) == 0);
    GCM_EXPECT(impl, gcm_is_zero(out + bad * MSG, sizeof out - bad * MSG));
}

static void check_authentic(struct forged *f)
{
    uint8_t out[ALL_PLAIN];

    GCM_EXPECT(f->key.impl, f->key.impl->open(&f->key, &f->run, out, f->sealed));
    GCM_EXPECT(f->key.impl, memcmp(out, f->plain, sizeof out) == 0);
}

static void flipped_bits(const struct bs_gcm_impl *impl)
{
    struct forged f;

    forged_start(&f, impl);
    for (size_t bit = 0; bit < 8 * sizeof f.sealed; bit++) {
        uint8_t changed[ALL_SEALED];

        memcpy(changed, f.sealed, sizeof changed);
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_refused(&f, changed, bit / 8 / SEALED_MSG);
    }
    check_authentic(&f); /* the key still works after refusals */
    impl->clear(&f.key);
}

static void wrong_place_key_and_nonce(const struct bs_gcm_impl *impl)
{
    uint8_t swapped[ALL_SEALED], other_key[BS_GCM_KEY_LEN];
    struct forged f;

    forged_start(&f, impl);
    memcpy(swapped, f.sealed, sizeof swapped);
    memcpy(swapped, f.sealed + SEALED_MSG, SEALED_MSG);
    check_refused(&f, swapped, 0); /* message 1 in both places */
    memcpy(swapped, f.sealed, SEALED_MSG);
    memcpy(swapped + SEALED_MSG, f.sealed, SEALED_MSG);
    check_refused(&f, swapped, 1); /* message 0 in both places */
    f.run.first++;
    check_refused(&f, f.sealed, 0);
    f.run.first--;
    for (size_t k = 0; k < sizeof f.nonce; k++) {
        f.nonce[k] ^= 1;
        check_refused(&f, f.sealed, 0);
        f.nonce[k] ^= 1;
    }
    check_authentic(&f);
    impl->clear(&f.key);
    memcpy(other_key, gcm_raw_key, sizeof other_key);
    other_key[31] ^= 0x80;
    f.key = gcm_key(impl, other_key);
    check_refused(&f, f.sealed, 0);
    impl->clear(&f.key);
}

static void message_borders(const struct bs_gcm_impl *impl)
{
    struct forged f;

    forged_start(&f, impl);
    f.run.last_len = LAST - 1; /* truncated: the tag is then read one byte early */
    GCM_EXPECT(impl, !impl->open(&f.key, &f.run, f.plain, f.sealed));
    impl->clear(&f.key);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void check_guarded(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, bool high)
{
    size_t len = gcm_plain_len(run), sealed_len = bs_gcm_sealed_len(run);
    uint8_t *plain = gcm_guarded(len, high), *sealed = gcm_guarded(sealed_len, high);
    uint8_t *page = sealed - (uintptr_t)sealed % (uintptr_t)sysconf(_SC_PAGESIZE);
    size_t pages = sealed_len + (size_t)(sealed - page);
    struct bs_gcm_key key = gcm_key(impl, gcm_raw_key);

    GCM_EXPECT(impl, impl->seal(&key, run, sealed, plain));
    GCM_EXPECT(impl, mprotect(page, pages, PROT_READ) == 0); /* opening writes nothing there */
    GCM_EXPECT(impl, impl->open(&key, run, plain, sealed));
    impl->clear(&key);
    gcm_unguard(plain, len, high);
    gcm_unguard(sealed, sealed_len, high);
}

static void nothing_outside(const struct bs_gcm_impl *impl)
{
    const uint8_t nonce[BS_GCM_NONCE_LEN] = {3};
    const struct bs_gcm_run segment = {nonce, 64, 64, CHUNK, CHUNK};

    for (unsigned high = 0; high < 2; high++) {
        for (size_t len = 0; len <= 300; len++) {
            const struct bs_gcm_run one = {nonce, 0, 1, len, len}, two = {nonce, 255, 2, 300, len};

            check_guarded(impl, &one, high != 0);
            check_guarded(impl, &two, high != 0);
        }
        check_guarded(impl, &segment, high != 0);
    }
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

const struct gcm_check gcm_checks[] = {
    {"seals_as_nist_says", gcm_seals_as_nist_says},
    {"opens_and_refuses_as_nist_says", gcm_opens_as_nist_says},
    {"opens_and_refuses_as_c2sp_says", gcm_opens_as_c2sp_says},
    {"runs_equal_single_calls_for_every_short_length", every_short_length},
    {"runs_equal_single_calls_for_random_shapes", random_shapes},
    {"runs_of_real_chunks_equal_single_calls", real_chunks},
    {"counters_carry_over_every_border", counters_carry},
    {"counters_carry_in_long_runs", counters_carry_in_long_runs},
    {"messages_can_be_long", long_messages},
    {"a_run_can_be_split_anywhere", cut_anywhere},
    {"every_short_length_works_in_place", short_in_place},
    {"random_shapes_work_in_place", random_in_place},
    {"runs_of_real_chunks_work_in_place", chunks_in_place},
    {"every_flipped_bit_is_found", flipped_bits},
    {"wrong_place_key_and_nonce_are_found", wrong_place_key_and_nonce},
    {"message_borders_are_part_of_what_is_sealed", message_borders},
    {"touches_nothing_outside_its_buffers", nothing_outside},
    {NULL, NULL},
};

void gcm_check(const char *name, const struct bs_gcm_impl *impl)
{
    for (const struct gcm_check *c = gcm_checks; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0) {
            c->run(impl);
            return;
        }
    vec_die("no check has the name %s", name);
}
