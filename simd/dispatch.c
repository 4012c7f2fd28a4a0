/* SPDX-License-Identifier: Apache-2.0 */
/* The table of AES-256-GCM implementations. One is chosen when a key is initialised, and the key keeps it. */
#include <stdatomic.h>

#include <openssl/evp.h>

#include "simd/simd.h"

extern const struct bs_gcm_impl bs_gcm_openssl;
#ifdef __x86_64__
extern const struct bs_gcm_impl bs_gcm_vaes512, bs_gcm_vaes256, bs_gcm_aesni;
#endif

const struct bs_gcm_impl *const bs_gcm_impls[] = {
#ifdef __x86_64__
    &bs_gcm_vaes512, &bs_gcm_vaes256, &bs_gcm_aesni,
#endif
    &bs_gcm_openssl, NULL};

/* Return the index of the first entry that runs on a CPU with these features. */
static size_t find_entry(uint32_t features)
{
    size_t i = 0;

    while ((bs_gcm_impls[i]->needs & features) != bs_gcm_impls[i]->needs) /* the last entry needs none */
        i++;
    return i;
}

const struct bs_gcm_impl *bs_gcm_pick(uint32_t features)
{
    return bs_gcm_impls[find_entry(features)];
}

/* They are determined once per process, because CPUID is slow in a virtual machine and its result is the same in every
 * thread. */
uint32_t bs_cpu_known_features(void)
{
    static _Atomic uint32_t known;
    static const uint32_t valid = (uint32_t)1 << 31; /* set once the features are known */
    uint32_t f = atomic_load_explicit(&known, memory_order_relaxed);

    if (f == 0) {
        f = bs_cpu_features() | valid;
        atomic_store_explicit(&known, f, memory_order_relaxed);
    }
    return f;
}

bool bs_gcm_runs_here(const struct bs_gcm_impl *impl)
{
    return (impl->needs & bs_cpu_known_features()) == impl->needs;
}

/* The mode is checked for each key, because a program can enable it at any time. */
uint32_t bs_cpu_allowed_features(void)
{
    return EVP_default_properties_is_fips_enabled(NULL) == 1 ? 0 : bs_cpu_known_features();
}

/* Choose an entry for a new key. */
static size_t choose(void)
{
    return find_entry(bs_cpu_allowed_features());
}

const struct bs_gcm_impl *bs_gcm_choose(void)
{
    return bs_gcm_impls[choose()];
}

/*
 * Run the self-test of entry @i, unless it has already passed in this process. Threads that need the entry at the same
 * time may all run it. A self-test that failed runs again for the next key.
 */
static enum bs_gcm_status test_once(size_t i)
{
    static _Atomic uint32_t passed;
    const uint32_t bit = (uint32_t)1 << i;
    enum bs_gcm_status st = BS_GCM_OK;

    if ((atomic_load_explicit(&passed, memory_order_relaxed) & bit) == 0) {
        st = bs_gcm_selftest(bs_gcm_impls[i]);
        if (st == BS_GCM_OK)
            (void)atomic_fetch_or_explicit(&passed, bit, memory_order_relaxed);
    }
    return st;
}

enum bs_gcm_status bs_gcm_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    size_t i = choose();
    enum bs_gcm_status st = test_once(i);

    key->state = NULL;
    key->failed = false;
    key->impl = bs_gcm_impls[i];
    if (st == BS_GCM_OK)
        st = key->impl->init(key, raw);
    bs_wipe_registers();
    return st;
}

void bs_gcm_clear(struct bs_gcm_key *key)
{
    if (key->impl != NULL)
        key->impl->clear(key);
    key->impl = NULL;
    key->state = NULL;
}

bool bs_gcm_seal(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    bool ok = key->impl->seal(key, run, sealed, plain);

    bs_wipe_registers();
    return ok;
}

bool bs_gcm_open(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed)
{
    bool ok = key->impl->open(key, run, plain, sealed);

    bs_wipe_registers();
    return ok;
}
