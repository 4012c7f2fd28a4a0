/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3-64 with libxxhash. If the library has run-time dispatch, it selects SSE2, AVX2 or AVX-512. Debian's shared
 * library has run-time dispatch, its static archive does not. CMake checks for the header. The functions are weak
 * references, so that a program can also be linked with the archive.
 */
#define XXH_STATIC_LINKING_ONLY /* for the size of XXH3_state_t, so that no allocation is needed */
#include <xxhash.h>
#ifdef BS_HAVE_XXH_DISPATCH
#    define XXH_DISPATCH_DISABLE_REPLACE /* do not redefine the names of xxhash.h as macros */
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

/* The return values below are ignored, because these calls fail only for NULL pointers. */

/*
 * Start a hash with @seed. XXH3_64bits_reset_withSeed() does not derive the secret again if the state already contains
 * this seed. Uninitialised memory may contain the seed by chance, but not the secret, so initialise the state first.
 */
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
