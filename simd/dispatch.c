/* SPDX-License-Identifier: Apache-2.0 */
/* The table of AES-256-GCM implementations and the choice from it, which a key keeps for its life. */
#include <stdatomic.h>

#include "simd.h"

extern const struct bs_gcm_impl bs_gcm_openssl;
#ifdef __x86_64__
extern const struct bs_gcm_impl bs_gcm_vaes512, bs_gcm_vaes256, bs_gcm_aesni;
#endif

const struct bs_gcm_impl *const bs_gcm_impls[] = {
#ifdef __x86_64__
    &bs_gcm_vaes512, &bs_gcm_vaes256, &bs_gcm_aesni,
#endif
    &bs_gcm_openssl, NULL};

const struct bs_gcm_impl *bs_gcm_pick(uint32_t features)
{
    size_t i = 0;

    while ((bs_gcm_impls[i]->needs & features) != bs_gcm_impls[i]->needs) /* the last one needs nothing */
        i++;
    return bs_gcm_impls[i];
}

/* Asked for once a process: CPUID is slow in a virtual machine, and the answer is the same for every thread. */
static uint32_t features(void)
{
    static _Atomic uint32_t known;
    static const uint32_t asked = (uint32_t)1 << 31;
    uint32_t f = atomic_load_explicit(&known, memory_order_relaxed);

    if (f == 0) {
        f = bs_cpu_features() | asked;
        atomic_store_explicit(&known, f, memory_order_relaxed);
    }
    return f;
}

bool bs_gcm_runs_here(const struct bs_gcm_impl *impl)
{
    return (impl->needs & features()) == impl->needs;
}

bool bs_gcm_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    key->state = NULL;
    key->impl = bs_gcm_pick(features());
    return key->impl->init(key, raw);
}

void bs_gcm_clear(struct bs_gcm_key *key)
{
    if (key->impl != NULL)
        key->impl->clear(key);
    key->impl = NULL;
    key->state = NULL;
}
