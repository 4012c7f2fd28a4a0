/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of the table of AES-GCM implementations that this CPU can run. One that it cannot is said aloud: not tested here. */
#ifndef TESTS_ENTRIES_H
#define TESTS_ENTRIES_H

#include <stdio.h>

#include "simd.h"

static inline size_t next_entry(size_t i)
{
    for (; bs_gcm_impls[i] != NULL && !bs_gcm_runs_here(bs_gcm_impls[i]); i++)
        (void)fprintf(stderr, "NOT COVERED: this CPU cannot run %s\n", bs_gcm_impls[i]->name);
    return i;
}

#define EACH_ENTRY(i) for (size_t i = next_entry(0); bs_gcm_impls[i] != NULL; (i) = next_entry((i) + 1))

#endif
