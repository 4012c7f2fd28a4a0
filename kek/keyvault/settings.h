/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration says about one vault, and the identity with which it is asked. */
#ifndef BLOBSEAL_KEYVAULT_SETTINGS_H
#define BLOBSEAL_KEYVAULT_SETTINGS_H

#include "core/config/config.h"

#define BS_KV_MAX_HOST 260 /* with a port */

/* All strings belong to the configuration or are constants. NULL is the default. */
struct bs_kv_settings {
    const struct blobseal_config *config; /* a reference, or NULL */
    char host[BS_KV_MAX_HOST + 1];        /* with a port unless it is 443 */
    const char *ca_file;
    const char *resource; /* never NULL */
    const char *authority, *authority_ca_file;
    bool wraps_remotely;
    struct blobseal_config_identity identity;
    uint64_t poll_ms, revoke_ms, request_ms, deadline_ms;
};

/* Collect the settings for the vault @host and an identity (NULL: as configured). A host that is not configured must be
 * one of Azure. Errors: E_CONFIG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_settings_get(struct bs_kv_settings *out, const char *host,
                                                          const struct blobseal_config *config, const char *identity,
                                                          struct blobseal_error *err);
void bs_kv_settings_release(struct bs_kv_settings *s);

/* Return true if both mean the same vault and the same identity. */
bool bs_kv_settings_equal(const struct bs_kv_settings *a, const struct bs_kv_settings *b);

#endif
