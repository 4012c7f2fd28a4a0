/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of an identity. It is made by the configuration. `auto` takes the first kind that this machine is set up
 * for, and never falls through to the next one when that fails: a silent change of identity leads to refusals that
 * nobody understands. What was chosen is named in errors and findings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kek/keyvault/identity.h"

static const struct kind {
    enum blobseal_identity_type type;
    bool needs_tenant;
    const char *name;
    enum blobseal_status (*ask)(const struct bs_kv_ask *ask, struct bs_kv_grant *grant, struct blobseal_error *err);
} kinds[] = {
    {BLOBSEAL_IDENTITY_MANAGED, false, "managed identity", bs_kv_ask_managed},
    {BLOBSEAL_IDENTITY_WORKLOAD, true, "workload identity", bs_kv_ask_workload},
    {BLOBSEAL_IDENTITY_SECRET, true, "client secret", bs_kv_ask_secret},
    {BLOBSEAL_IDENTITY_CERTIFICATE, true, "client certificate", bs_kv_ask_certificate},
    {BLOBSEAL_IDENTITY_AZURE_CLI, false, "Azure CLI", bs_kv_ask_cli},
    {BLOBSEAL_IDENTITY_COMMAND, false, "token command", bs_kv_ask_command},
};

static const struct kind *find(enum blobseal_identity_type type)
{
    for (size_t i = 0; i < BS_COUNT(kinds); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

/* ---- auto -------------------------------------------------------------------------------------------------------- */

/* Return a variable of the environment that is set and not empty, or NULL. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Return true if the machine says that it is a virtual machine of Azure. */
static bool is_azure_machine(void)
{
    static const char tag[] = "7783-7084-3265-9085-8269-3286-77"; /* of all of them */
    char text[64] = "";
    FILE *f = fopen("/sys/devices/virtual/dmi/id/chassis_asset_tag", "re");

    if (f == NULL)
        return false;
    if (fgets(text, sizeof text, f) == NULL)
        text[0] = '\0';
    (void)fclose(f);
    return strncmp(text, tag, sizeof tag - 1) == 0;
}

static bool offers_certificate(const struct blobseal_config_identity *i)
{
    (void)i;
    return variable("AZURE_CLIENT_ID") != NULL && variable("AZURE_TENANT_ID") != NULL &&
           variable("AZURE_CLIENT_CERTIFICATE_PATH") != NULL;
}

static bool offers_workload(const struct blobseal_config_identity *i)
{
    return (i->token_file != NULL || variable("AZURE_FEDERATED_TOKEN_FILE") != NULL) &&
           (i->client_id != NULL || variable("AZURE_CLIENT_ID") != NULL);
}

static bool offers_managed(const struct blobseal_config_identity *i)
{
    return i->endpoint != NULL || variable("IDENTITY_ENDPOINT") != NULL || variable("MSI_ENDPOINT") != NULL ||
           is_azure_machine();
}

/* The Azure CLI is for people. */
static bool offers_cli(const struct blobseal_config_identity *i)
{
    (void)i;
    return isatty(STDIN_FILENO) == 1;
}

/* What `auto` tries, in this order. */
static const struct {
    enum blobseal_identity_type type;
    bool (*is_offered)(const struct blobseal_config_identity *identity);
} automatic[] = {
    {BLOBSEAL_IDENTITY_CERTIFICATE, offers_certificate},
    {BLOBSEAL_IDENTITY_WORKLOAD, offers_workload},
    {BLOBSEAL_IDENTITY_MANAGED, offers_managed},
    {BLOBSEAL_IDENTITY_AZURE_CLI, offers_cli},
};

enum blobseal_status bs_kv_identity_choose(struct blobseal_config_identity *identity, const char **name,
                                           struct blobseal_error *err)
{
    const struct kind *kind;

    for (size_t i = 0; identity->type == BLOBSEAL_IDENTITY_AUTO && i < BS_COUNT(automatic); i++)
        if (automatic[i].is_offered(identity))
            identity->type = automatic[i].type;
    kind = find(identity->type);
    if (kind == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "get a token for the vault: this machine offers no identity");
        blobseal_hint(err, "name one under \"identities\" in the configuration; nothing was found in the environment, "
                           "and this is no machine of Azure");
        return BLOBSEAL_E_CONFIG;
    }
    if (identity->type == BLOBSEAL_IDENTITY_CERTIFICATE && identity->certificate_file == NULL) {
        identity->certificate_file = variable("AZURE_CLIENT_CERTIFICATE_PATH");
        identity->client_id = variable("AZURE_CLIENT_ID");
    }
    *name = kind->name;
    return BLOBSEAL_OK;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

bool bs_kv_identity_needs_tenant(enum blobseal_identity_type type)
{
    const struct kind *kind = find(type);

    return kind != NULL && kind->needs_tenant;
}

const char *bs_kv_identity_tenant(const struct bs_kv_settings *s)
{
    if (s->identity.tenant_id != NULL)
        return s->identity.tenant_id;
    if (s->identity.type == BLOBSEAL_IDENTITY_AUTO || s->identity.type == BLOBSEAL_IDENTITY_WORKLOAD)
        return variable("AZURE_TENANT_ID");
    return NULL;
}

/* Choose the authority. That of the environment is used for federated tokens only, and must be one of Azure. */
static enum blobseal_status choose_authority(struct bs_kv_ask *ask, struct blobseal_error *err)
{
    const struct bs_kv_settings *s = &ask->session->settings;
    const char *named = variable("AZURE_AUTHORITY_HOST");

    ask->authority = s->authority;
    if (ask->authority != NULL)
        return BLOBSEAL_OK;
    ask->authority = bs_kv_authority_of(s->host);
    if (named == NULL || ask->identity.type != BLOBSEAL_IDENTITY_WORKLOAD)
        return BLOBSEAL_OK;
    if (!bs_kv_is_authority(named)) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                            "get a token: AZURE_AUTHORITY_HOST names '%.100s', which is not "
                            "an authority of Azure",
                            named);
        blobseal_hint(err, "name the authority in the configuration, if it is right");
        return BLOBSEAL_E_CONFIG;
    }
    ask->authority = named;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_kv_identity_get(struct bs_kv_session *s, const char *tenant, const char *claims,
                                        struct bs_kv_grant *grant, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    struct bs_kv_ask ask = {.session = s, .identity = s->settings.identity, .claims = claims, .call = call};
    const char *name;
    enum blobseal_status st = bs_kv_identity_choose(&ask.identity, &name, err);

    ask.tenant = bs_kv_identity_tenant(&s->settings);
    ask.tenant = ask.tenant != NULL ? ask.tenant : tenant;
    if (st == BLOBSEAL_OK)
        st = choose_authority(&ask, err);
    return st == BLOBSEAL_OK ? find(ask.identity.type)->ask(&ask, grant, err) : st;
}
