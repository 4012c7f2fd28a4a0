/* SPDX-License-Identifier: Apache-2.0 */
/* The table of AES-256-GCM implementations and the choice from it, which a key keeps for its life. */
#include "simd.h"

extern const struct bs_gcm_impl bs_gcm_openssl;

const struct bs_gcm_impl *const bs_gcm_impls[] = {&bs_gcm_openssl, NULL};

bool bs_gcm_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    key->state = NULL;
    key->impl = bs_gcm_impls[0];
    return key->impl->init(key, raw);
}

void bs_gcm_clear(struct bs_gcm_key *key)
{
    if (key->impl != NULL)
        key->impl->clear(key);
    *key = (struct bs_gcm_key){NULL, NULL};
}
