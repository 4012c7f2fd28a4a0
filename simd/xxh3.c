/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3-64 through libxxhash. Its run-time dispatch picks SSE2, AVX2 or AVX-512 where the library has it (Debian's
 * shared library does, the static archive does not). CMake probes for the header; the functions are weak references, so
 * that a program that is linked with the archive does without them.
 */
#define XXH_STATIC_LINKING_ONLY /* for the size of XXH3_state_t: no allocation here */
#include <xxhash.h>
#ifdef BS_HAVE_XXH_DISPATCH
#    define XXH_DISPATCH_DISABLE_REPLACE /* no macros over the names of xxhash.h */
#    include <xxh_x86dispatch.h>
#    pragma weak XXH3_64bits_withSeed_dispatch
#    pragma weak XXH3_64bits_update_dispatch
#endif

#include "simd/simd.h"

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct bs_xxh3_state), "bs_xxh3_state is too small");
_Static_assert(_Alignof(XXH3_state_t) <= _Alignof(struct bs_xxh3_state), "bs_xxh3_state is not aligned enough");

uint64_t bs_xxh3(uint64_t seed, const void *p, size_t len)
{
#ifdef BS_HAVE_XXH_DISPATCH
    if (XXH3_64bits_withSeed_dispatch != NULL)
        return XXH3_64bits_withSeed_dispatch(p, len, seed);
#endif
    return XXH3_64bits_withSeed(p, len, seed);
}

/* Resetting an aligned state with a seed and adding to it cannot fail: the error codes are for NULL pointers. */

/* A state that says it has this seed already keeps its secret: what lies on a stack may say so, and have none. */
void bs_xxh3_start(struct bs_xxh3_state *s, uint64_t seed)
{
    XXH3_state_t *state = (XXH3_state_t *)(void *)s;

    XXH3_INITSTATE(state);
    (void)XXH3_64bits_reset_withSeed(state, seed);
}

void bs_xxh3_add(struct bs_xxh3_state *s, const void *p, size_t len)
{
#ifdef BS_HAVE_XXH_DISPATCH
    if (XXH3_64bits_update_dispatch != NULL) {
        (void)XXH3_64bits_update_dispatch((XXH3_state_t *)(void *)s, p, len);
        return;
    }
#endif
    (void)XXH3_64bits_update((XXH3_state_t *)(void *)s, p, len);
}

uint64_t bs_xxh3_end(const struct bs_xxh3_state *s)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)s);
}
