/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an entry of the table of AES-GCM implementations must do, as plain functions. Criterion's tests call them, and
 * so does tests/cross/kernels.c where Criterion cannot run: it starts new processes, which an emulator does not follow.
 * A failure ends the process with a message.
 */
#ifndef TEST_SUPPORT_GCM_H
#define TEST_SUPPORT_GCM_H

#include "simd/simd.h"
#include "tests/support/vectors.h"

/* If @cond is false, name the entry and end the process. */
#define GCM_EXPECT(impl, cond)                                                                                         \
    ((cond) ? (void)0 : vec_die("%s:%d: %s: not so: %s", __FILE__, __LINE__, (impl)->name, #cond))

/* The raw key that the checks use, and a key made of it by an entry. */
extern const uint8_t gcm_raw_key[BS_GCM_KEY_LEN];
struct bs_gcm_key gcm_key(const struct bs_gcm_impl *impl, const uint8_t *raw);

/* Return the bytes of plaintext in a run; return true if @len bytes are zero. */
size_t gcm_plain_len(const struct bs_gcm_run *run);
bool gcm_is_zero(const uint8_t *p, size_t len);

/* Compute what a run must yield: one call of EVP for each message, with nonces made by their definition. */
void gcm_evp_run(const uint8_t *raw, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain);

/*
 * Return @len readable and writable bytes. After them (@high) or before them is a page that faults; on the other side
 * the rest of their own page is zero.
 */
uint8_t *gcm_guarded(size_t len, bool high);
void gcm_unguard(uint8_t *p, size_t len, bool high);

/* Seal and open one run of random bytes, from one buffer to another, and compare both with EVP. */
void gcm_check_run(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, uint64_t *random);

/* The same in place, between guard pages and at any alignment, and with a forgery in one of the messages. */
void gcm_check_in_place(const struct bs_gcm_impl *impl, const struct bs_gcm_run *run, uint64_t *random);

/* Everything that is checked of an entry; ended by a zero. */
struct gcm_check {
    const char *name;
    void (*run)(const struct bs_gcm_impl *impl);
};
extern const struct gcm_check gcm_checks[];

/* One of them by its name. */
void gcm_check(const char *name, const struct bs_gcm_impl *impl);

/* The names of all checks, as arguments of a macro that defines a test for each. */
#define EACH_GCM_CHECK(CHECK)                                                                                          \
    CHECK(seals_as_nist_says)                                                                                          \
    CHECK(opens_and_refuses_as_nist_says)                                                                              \
    CHECK(opens_and_refuses_as_c2sp_says)                                                                              \
    CHECK(runs_equal_single_calls_for_every_short_length)                                                              \
    CHECK(runs_equal_single_calls_for_random_shapes)                                                                   \
    CHECK(runs_of_real_chunks_equal_single_calls)                                                                      \
    CHECK(counters_carry_over_every_border)                                                                            \
    CHECK(counters_carry_in_long_runs)                                                                                 \
    CHECK(messages_can_be_long)                                                                                        \
    CHECK(a_run_can_be_split_anywhere)                                                                                 \
    CHECK(every_short_length_works_in_place)                                                                           \
    CHECK(random_shapes_work_in_place)                                                                                 \
    CHECK(runs_of_real_chunks_work_in_place)                                                                           \
    CHECK(every_flipped_bit_is_found)                                                                                  \
    CHECK(wrong_place_key_and_nonce_are_found)                                                                         \
    CHECK(message_borders_are_part_of_what_is_sealed)                                                                  \
    CHECK(touches_nothing_outside_its_buffers)

/* ---- gcm_vectors.c ----------------------------------------------------------------------------------------------- */

void gcm_seals_as_nist_says(const struct bs_gcm_impl *impl);
void gcm_opens_as_nist_says(const struct bs_gcm_impl *impl);
void gcm_opens_as_c2sp_says(const struct bs_gcm_impl *impl);

#endif
