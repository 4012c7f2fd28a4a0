/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of implementations of what encrypts layers of images: AES-256 in counter mode, and hashes. */
#include <stdatomic.h>
#include <string.h>

#include "simd/simd.h"

extern const struct bs_ctr_impl bs_ctr_openssl;
extern const struct bs_hashes_impl bs_hashes_openssl;
#ifdef __x86_64__
extern const struct bs_ctr_impl bs_ctr_vaes512, bs_ctr_vaes256, bs_ctr_aesni;
extern const struct bs_hashes_impl bs_hashes_shani;
#endif

const struct bs_ctr_impl *const bs_ctr_impls[] = {
#ifdef __x86_64__
    &bs_ctr_vaes512, &bs_ctr_vaes256, &bs_ctr_aesni,
#endif
    &bs_ctr_openssl, NULL};

const struct bs_hashes_impl *const bs_hashes_impls[] = {
#ifdef __x86_64__
    &bs_hashes_shani,
#endif
    &bs_hashes_openssl, NULL};

/* Return true if the self-test of entry @i has passed in this process. */
static bool has_passed(_Atomic uint32_t *passed, size_t i)
{
    return (atomic_load_explicit(passed, memory_order_relaxed) >> i & 1) != 0;
}

static void note_passed(_Atomic uint32_t *passed, size_t i)
{
    (void)atomic_fetch_or_explicit(passed, (uint32_t)1 << i, memory_order_relaxed);
}

/* ---- AES-256 in counter mode ------------------------------------------------------------------------------------- */

bool bs_ctr_runs_here(const struct bs_ctr_impl *impl)
{
    return (impl->needs & bs_cpu_known_features()) == impl->needs;
}

static size_t choose_ctr(void)
{
    uint32_t features = bs_cpu_allowed_features();
    size_t i = 0;

    while (bs_ctr_impls[i + 1] != NULL && (bs_ctr_impls[i]->needs & features) != bs_ctr_impls[i]->needs)
        i++; /* the last entry needs no features */
    return i;
}

const struct bs_ctr_impl *bs_ctr_choose(void)
{
    return bs_ctr_impls[choose_ctr()];
}

enum bs_gcm_status bs_ctr_init(struct bs_ctr_key *key, const uint8_t raw[BS_CTR_KEY_LEN],
                               const uint8_t nonce[BS_CTR_NONCE_LEN])
{
    static _Atomic uint32_t passed;
    enum bs_gcm_status st = BS_GCM_OK;
    size_t i = choose_ctr();

    key->state = NULL;
    key->impl = bs_ctr_impls[i];
    if (!has_passed(&passed, i)) {
        st = bs_ctr_selftest(key->impl);
        if (st != BS_GCM_OK)
            return st;
        note_passed(&passed, i);
    }
    st = key->impl->init(key, raw, nonce);
    bs_wipe_registers();
    return st;
}

void bs_ctr_clear(struct bs_ctr_key *key)
{
    if (key->impl != NULL)
        key->impl->clear(key);
    key->impl = NULL;
    key->state = NULL;
}

bool bs_ctr_crypt(struct bs_ctr_key *key, uint64_t first, uint8_t *out, const uint8_t *in, size_t len)
{
    bool ok = key->impl->crypt(key, first, out, in, len);

    bs_wipe_registers();
    return ok;
}

/* ---- Hashes ------------------------------------------------------------------------------------------------------ */

bool bs_hashes_runs_here(const struct bs_hashes_impl *impl)
{
    return (impl->needs & bs_cpu_known_features()) == impl->needs;
}

static size_t choose_hashes(void)
{
    uint32_t features = bs_cpu_allowed_features();
    size_t i = 0;

    while (bs_hashes_impls[i + 1] != NULL && (bs_hashes_impls[i]->needs & features) != bs_hashes_impls[i]->needs)
        i++; /* the last entry needs no features */
    return i;
}

const struct bs_hashes_impl *bs_hashes_choose(void)
{
    return bs_hashes_impls[choose_hashes()];
}

enum bs_gcm_status bs_hashes_init(struct bs_hashes *h, const uint8_t key[BS_HASHES_KEY_LEN], uint32_t wanted)
{
    static _Atomic uint32_t passed;
    enum bs_gcm_status st = BS_GCM_OK;
    size_t i = choose_hashes();

    memset(h, 0, sizeof *h);
    h->impl = bs_hashes_impls[i];
    h->wanted = wanted;
    if (!has_passed(&passed, i)) {
        st = bs_hashes_selftest(h->impl);
        if (st != BS_GCM_OK)
            return st;
        note_passed(&passed, i);
    }
    st = h->impl->init(h, key);
    bs_wipe_registers();
    return st;
}

void bs_hashes_clear(struct bs_hashes *h)
{
    if (h->impl != NULL)
        h->impl->clear(h);
    h->impl = NULL;
    h->mac = h->first_md = h->other_md = NULL;
}

void bs_hashes_add_first(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    h->impl->add_first(h, p, len);
    bs_wipe_registers();
}

void bs_hashes_add_other(struct bs_hashes *h, const uint8_t *p, size_t len)
{
    h->impl->add_other(h, p, len);
    bs_wipe_registers();
}

void bs_hashes_add_both(struct bs_hashes *h, const uint8_t *first, const uint8_t *other, size_t len)
{
    h->impl->add_both(h, first, other, len);
    bs_wipe_registers();
}

bool bs_hashes_end(struct bs_hashes *h, struct bs_hashes_results *out)
{
    bool ok = h->impl->end(h, out);

    bs_wipe_registers();
    return ok;
}

bool bs_hashes_both_are_cheap(const struct bs_hashes_impl *impl)
{
    static _Atomic int known; /* 0: not known yet, 1: an AMD CPU, 2: another CPU */
    int vendor = atomic_load_explicit(&known, memory_order_relaxed);

    if (vendor == 0) { /* CPUID is slow in a virtual machine */
        vendor = bs_cpu_is_amd() ? 1 : 2;
        atomic_store_explicit(&known, vendor, memory_order_relaxed);
    }
    return impl->needs != 0 && vendor == 1;
}
