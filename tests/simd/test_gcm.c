/* SPDX-License-Identifier: Apache-2.0 */
/* Every entry of the dispatch table against vectors and against single calls of OpenSSL's EVP: support/gcm_checks.c. */

#include "tests/support/entries.h"
#include "tests/support/gcm.h"
#include "tests/support/suite.h"

SUITE(gcm);

static void on_each(const char *name)
{
    EACH_ENTRY(i)
    gcm_check(name, bs_gcm_impls[i]);
}

Test(gcm, seals_as_nist_says)
{
    on_each("seals_as_nist_says");
}

Test(gcm, opens_and_refuses_as_nist_says)
{
    on_each("opens_and_refuses_as_nist_says");
}

Test(gcm, opens_and_refuses_as_c2sp_says)
{
    on_each("opens_and_refuses_as_c2sp_says");
}

Test(gcm, runs_equal_single_calls_for_every_short_length)
{
    on_each("runs_equal_single_calls_for_every_short_length");
}

Test(gcm, runs_equal_single_calls_for_random_shapes)
{
    on_each("runs_equal_single_calls_for_random_shapes");
}

Test(gcm, runs_of_real_chunks_equal_single_calls)
{
    on_each("runs_of_real_chunks_equal_single_calls");
}

Test(gcm, counters_carry_over_every_border)
{
    on_each("counters_carry_over_every_border");
}

Test(gcm, counters_carry_in_long_runs)
{
    on_each("counters_carry_in_long_runs");
}

Test(gcm, messages_can_be_long)
{
    on_each("messages_can_be_long");
}

Test(gcm, a_run_can_be_cut_anywhere)
{
    on_each("a_run_can_be_cut_anywhere");
}

Test(gcm, every_short_length_works_in_place)
{
    on_each("every_short_length_works_in_place");
}

Test(gcm, random_shapes_work_in_place)
{
    on_each("random_shapes_work_in_place");
}

Test(gcm, runs_of_real_chunks_work_in_place)
{
    on_each("runs_of_real_chunks_work_in_place");
}

Test(gcm, every_flipped_bit_is_found)
{
    on_each("every_flipped_bit_is_found");
}

Test(gcm, wrong_place_key_and_nonce_are_found)
{
    on_each("wrong_place_key_and_nonce_are_found");
}

Test(gcm, message_borders_are_part_of_what_is_sealed)
{
    on_each("message_borders_are_part_of_what_is_sealed");
}

Test(gcm, touches_nothing_outside_its_buffers)
{
    on_each("touches_nothing_outside_its_buffers");
}

Test(gcm, every_check_has_a_test_here)
{
    size_t n = 0;

    while (gcm_checks[n].name != NULL)
        n++;
    cr_assert_eq(n, 17);
}
