/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of the table of AES-GCM implementations that this CPU can run. The others are reported. */
#ifndef TESTS_ENTRIES_H
#define TESTS_ENTRIES_H

#include <stdio.h>

#include "simd/simd.h"

/* `wide` is not a feature of its own: report the features that it needs. */
static inline void say_not_proved(FILE *to, const struct bs_gcm_impl *impl)
{
    uint32_t needs = impl->needs | ((impl->needs & BS_CPU_WIDE) != 0 ? BS_CPU_FOR_WIDE : 0);
    uint32_t lacks = needs & ~(uint32_t)BS_CPU_WIDE & ~bs_cpu_features();

    (void)fprintf(to, "NOT PROVED HERE: %s (this CPU has no", impl->name);
    for (unsigned bit = 0; bs_cpu_feature_name(bit) != NULL; bit++)
        if ((lacks >> bit & 1) != 0)
            (void)fprintf(to, " %s", bs_cpu_feature_name(bit));
    (void)fprintf(to, ")\n");
}

static inline size_t next_entry(size_t i)
{
    for (; bs_gcm_impls[i] != NULL && !bs_gcm_runs_here(bs_gcm_impls[i]); i++)
        say_not_proved(stderr, bs_gcm_impls[i]);
    return i;
}

#define EACH_ENTRY(i) for (size_t i = next_entry(0); bs_gcm_impls[i] != NULL; (i) = next_entry((i) + 1))

#endif
