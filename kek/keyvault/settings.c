/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a vault, from the configuration. */
#include <stdio.h>

#include "kek/keyvault/keyvault.h"

#define REQUEST_S 20

static enum blobseal_status unknown_host(const char *host, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the vault %.150s is not one of Azure, and is not configured", host);
    blobseal_hint(err, "check its name, or list it under \"vaults\" in the configuration");
    return BLOBSEAL_E_CONFIG;
}

/* Choose the identity of the vault, or else that of the configuration, or else any. */
static enum blobseal_status choose_identity(struct bs_kv_settings *s, const char *name, struct blobseal_error *err)
{
    const struct bs_config_identity *identity;

    s->identity = (struct blobseal_config_identity){.size = sizeof s->identity, .type = BLOBSEAL_IDENTITY_AUTO};
    name = name != NULL ? name : bs_config_text(s->config, BS_CONFIG_IDENTITY);
    if (name == NULL)
        return BLOBSEAL_OK;
    identity = bs_config_identity(s->config, name);
    if (identity == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration has no identity named %.64s", name);
        blobseal_hint(err, "define it under \"identities\"");
        return BLOBSEAL_E_CONFIG;
    }
    s->identity = identity->is;
    return BLOBSEAL_OK;
}

static uint64_t milliseconds(const struct blobseal_config *config, enum bs_config_setting setting, uint64_t otherwise)
{
    uint64_t s = bs_config_number(config, setting);

    return 1000 * (s != 0 || setting == BS_CONFIG_REVOKE_WITHIN ? s : otherwise);
}

enum blobseal_status bs_kv_settings_get(struct bs_kv_settings *out, const char *host,
                                        const struct blobseal_config *config, const char *identity,
                                        struct blobseal_error *err)
{
    const struct bs_config_vault *vault = bs_config_vault(config, host);
    enum blobseal_status st;

    *out = (struct bs_kv_settings){.config = config};
    (void)snprintf(out->host, sizeof out->host, "%s", host);
    out->resource = bs_kv_resource_of(host);
    if (vault == NULL && out->resource == NULL)
        return unknown_host(host, err);
    if (vault != NULL) {
        out->ca_file = vault->is.ca_file;
        out->authority = vault->is.authority;
        out->wraps_remotely = vault->is.wrap == BLOBSEAL_VAULT_WRAP_REMOTE;
        if (vault->is.resource != NULL)
            out->resource = vault->is.resource;
    }
    if (out->resource == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                            "the vault %.150s is not one of Azure, and its token resource is not configured", host);
        blobseal_hint(err, "set \"resource\" of the vault, for example to https://vault.azure.net");
        return BLOBSEAL_E_CONFIG;
    }
    if (identity == NULL && vault != NULL)
        identity = vault->is.identity;
    st = choose_identity(out, identity, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (out->identity.authority != NULL)
        out->authority = out->identity.authority;
    /* A vault outside of Azure and the authority for its tokens often have certificates of the same CA. */
    out->authority_ca_file = out->identity.ca_file;
    if (out->authority_ca_file == NULL && out->authority != NULL && !bs_kv_is_authority(out->authority))
        out->authority_ca_file = out->ca_file;
    out->poll_ms = milliseconds(config, BS_CONFIG_POLL_INTERVAL, 3300);
    out->revoke_ms = milliseconds(config, BS_CONFIG_REVOKE_WITHIN, 0);
    out->request_ms = milliseconds(config, BS_CONFIG_REQUEST_TIMEOUT, REQUEST_S);
    out->deadline_ms = milliseconds(config, BS_CONFIG_DEADLINE, 120);
    out->config = bs_config_ref(config);
    return BLOBSEAL_OK;
}

void bs_kv_settings_release(struct bs_kv_settings *s)
{
    bs_config_unref(s->config);
    *s = (struct bs_kv_settings){0};
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_identity(const struct blobseal_config_identity *a, const struct blobseal_config_identity *b)
{
    bool equal = a->type == b->type && same(a->tenant_id, b->tenant_id) && same(a->client_id, b->client_id) &&
                 same(a->object_id, b->object_id) && same(a->resource_id, b->resource_id) &&
                 same(a->endpoint, b->endpoint) && same(a->token_file, b->token_file) &&
                 same(a->secret_file, b->secret_file) && same(a->certificate_file, b->certificate_file) &&
                 a->num_command == b->num_command;

    for (size_t i = 0; equal && i < a->num_command; i++)
        equal = same(a->command[i], b->command[i]);
    return equal;
}

bool bs_kv_settings_equal(const struct bs_kv_settings *a, const struct bs_kv_settings *b)
{
    return strcmp(a->host, b->host) == 0 && same(a->ca_file, b->ca_file) && same(a->resource, b->resource) &&
           same(a->authority, b->authority) && same(a->authority_ca_file, b->authority_ca_file) &&
           a->wraps_remotely == b->wraps_remotely && same_identity(&a->identity, &b->identity) &&
           a->poll_ms == b->poll_ms && a->revoke_ms == b->revoke_ms && a->request_ms == b->request_ms &&
           a->deadline_ms == b->deadline_ms;
}
