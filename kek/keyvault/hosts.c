/* SPDX-License-Identifier: Apache-2.0 */
/* The clouds of Azure: which hosts are vaults, and who issues tokens for them. */
#include <strings.h>

#include "kek/keyvault/keyvault.h"

static const struct cloud {
    const char *suffix, *resource, *authority;
} clouds[] = {
    {".vault.azure.net", "https://vault.azure.net", "https://login.microsoftonline.com"},
    {".managedhsm.azure.net", "https://managedhsm.azure.net", "https://login.microsoftonline.com"},
    {".vault.azure.cn", "https://vault.azure.cn", "https://login.chinacloudapi.cn"},
    {".managedhsm.azure.cn", "https://managedhsm.azure.cn", "https://login.chinacloudapi.cn"},
    {".vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net", "https://login.microsoftonline.us"},
    {".managedhsm.usgovcloudapi.net", "https://managedhsm.usgovcloudapi.net", "https://login.microsoftonline.us"},
    {".vault.microsoftazure.de", "https://vault.microsoftazure.de", "https://login.microsoftonline.de"},
};

static const char *const authorities[] = {
    "login.microsoftonline.com",        "login.windows.net",        "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn", "login.microsoftonline.us", "login.microsoftonline.de",
};

/* Find the cloud of "NAME.SUFFIX", where NAME is that of a vault: a label without a dot, and no port follows. */
static const struct cloud *find(const char *host)
{
    size_t name = strcspn(host, ".");

    if (name < 3 || name > 24)
        return NULL;
    for (size_t i = 0; i < BS_COUNT(clouds); i++)
        if (strcasecmp(host + name, clouds[i].suffix) == 0)
            return &clouds[i];
    return NULL;
}

const char *bs_kv_resource_of(const char *host)
{
    const struct cloud *c = find(host);

    return c != NULL ? c->resource : NULL;
}

const char *bs_kv_authority_of(const char *host)
{
    const struct cloud *c = find(host);

    return c != NULL ? c->authority : clouds[0].authority;
}

bool bs_kv_is_authority(const char *url)
{
    size_t len;

    if (strncmp(url, "https://", 8) != 0)
        return false;
    url += 8;
    len = strcspn(url, "/");
    for (size_t i = 0; i < BS_COUNT(authorities); i++)
        if (strlen(authorities[i]) == len && strncasecmp(url, authorities[i], len) == 0)
            return true;
    return false;
}
