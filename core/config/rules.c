/* SPDX-License-Identifier: Apache-2.0 */
/* What each member of a configuration may be. Files and calls are checked by the same tables. */
#include <stddef.h>
#include <string.h>

#include "core/config/config.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static bool is_path(const char *s)
{
    return s[0] == '/' && s[1] != '\0';
}

static bool is_name(const char *s)
{
    size_t len = strspn(s, ALNUM "._-");

    return len >= 1 && len <= BLOBSEAL_CONFIG_MAX_NAME && s[len] == '\0' && strspn(s, ALNUM) > 0;
}

/* An id of Azure: a GUID or the name of a domain. */
static bool is_id(const char *s)
{
    size_t len = strspn(s, ALNUM ".-");

    return len >= 1 && len <= 255 && s[len] == '\0';
}

/* The path of a resource in Azure's resource manager. */
static bool is_resource_id(const char *s)
{
    return is_path(s) && strlen(s) <= 1024 && s[strspn(s, ALNUM "/._-()")] == '\0';
}

/* Return true for the digits of a port. */
static bool is_port(const char *s)
{
    size_t len = strspn(s, "0123456789");
    unsigned port = 0;

    for (size_t i = 0; i < len && i < 5; i++)
        port = port * 10 + (unsigned)(s[i] - '0');
    return len >= 1 && len <= 5 && s[len] == '\0' && s[0] != '0' && port <= 65535;
}

/* HOST or HOST:PORT, where an IPv6 address is in brackets. */
static bool is_host(const char *s)
{
    size_t len = s[0] == '[' ? strcspn(s, "]") : strspn(s, ALNUM ".-");

    if (s[0] == '[') {
        if (len < 3 || s[len] != ']' || 1 + strspn(s + 1, "0123456789abcdefABCDEF:.") != len)
            return false;
        len++;
    } else if (strspn(s, ALNUM) == 0) {
        return false;
    }
    return len <= 255 && (s[len] == '\0' || (s[len] == ':' && is_port(s + len + 1)));
}

/* SCHEME://HOST[:PORT][/PATH] without a slash at the end, a query, or a user name. */
static bool is_url(const char *s, const char *scheme)
{
    size_t len = strlen(scheme), all = strlen(s), host_len;
    char host[300];

    if (strncmp(s, scheme, len) != 0 || all > 1024 || s[all - 1] == '/' || s[strspn(s, ALNUM ":/.-_[]~%")] != '\0')
        return false;
    host_len = strcspn(s + len, "/");
    if (host_len >= sizeof host)
        return false;
    memcpy(host, s + len, host_len);
    host[host_len] = '\0';
    return is_host(host);
}

static bool is_https(const char *s)
{
    return is_url(s, "https://");
}

static bool is_http(const char *s)
{
    return is_url(s, "http://") || is_url(s, "https://");
}

/* Any scheme but that of names. What has no scheme is a path. */
static bool is_ref(const char *s)
{
    const char *path = strncmp(s, "file:", 5) == 0 ? s + 5 : s;

    return strncmp(s, "key:", 4) != 0 && (is_path(path) || (path == s && strchr(s, ':') != NULL));
}

static bool is_argument(const char *s)
{
    (void)s;
    return true;
}

bool bs_config_accepts(const struct bs_config_rule *rule, const char *text)
{
    if (strlen(text) > BLOBSEAL_CONFIG_MAX_TEXT)
        return false;
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7F)
            return false;
    return rule->accepts(text);
}

bool bs_config_choice(const struct bs_config_rule *rule, const char *word, uint64_t *number)
{
    for (size_t i = 0; rule->choices[i] != NULL; i++)
        if (strcmp(rule->choices[i], word) == 0) {
            *number = rule->first + i;
            return true;
        }
    return false;
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static const char *const hashes[] = {"sha256", "sha1", NULL};
static const char *const types[] = {"managed",   "workload", "client-secret", "client-certificate",
                                    "azure-cli", "command",  "auto",          NULL};
static const char *const wraps[] = {"local", "remote", NULL};

static const char a_path[] = "must be an absolute path", a_name[] = "must be a name of letters, digits, '.', '-', '_'",
                  an_id[] = "must be an id of letters, digits, '.' and '-'",
                  a_url[] = "must be https://HOST without a slash at the end";

#define PATH(n)    .name = (n), .kind = BS_CONFIG_IS_TEXT, .accepts = is_path, .expected = a_path
#define NAME(n)    .name = (n), .kind = BS_CONFIG_IS_TEXT, .accepts = is_name, .expected = a_name
#define ID(n)      .name = (n), .kind = BS_CONFIG_IS_TEXT, .accepts = is_id, .expected = an_id
#define URL(n)     .name = (n), .kind = BS_CONFIG_IS_TEXT, .accepts = is_https, .expected = a_url
#define SECONDS(n) .name = (n), .kind = BS_CONFIG_IS_NUMBER

const struct bs_config_rule bs_config_settings[BS_CONFIG_NUM_SETTINGS] = {
    [BS_CONFIG_IDENTITY] = {NAME("identity")},
    [BS_CONFIG_MODULES] = {.name = "pkcs11.modules",
                           .kind = BS_CONFIG_IS_LIST,
                           .accepts = is_path,
                           .expected = "must be a list of absolute paths"},
    [BS_CONFIG_OAEP] = {.name = "pkcs11.oaep",
                        .kind = BS_CONFIG_IS_CHOICE,
                        .choices = hashes,
                        .first = BLOBSEAL_OAEP_SHA256,
                        .number = BLOBSEAL_OAEP_SHA256,
                        .expected = "must be \"sha256\" or \"sha1\""},
    [BS_CONFIG_OCI_KEYS] = {.name = "oci.keys",
                            .kind = BS_CONFIG_IS_LIST,
                            .accepts = is_name,
                            .expected = "must be a list of names from \"keks\""},
    [BS_CONFIG_SETS_DIR] = {PATH("sets_dir"), .text = "/etc/blobseal/sets.d"},
    [BS_CONFIG_STATE_DIR] = {PATH("state_dir")},
    [BS_CONFIG_AUDIT_FILE] = {PATH("audit_file")},
    [BS_CONFIG_AUDIT_REQUIRED] = {.name = "audit_required",
                                  .kind = BS_CONFIG_IS_FLAG,
                                  .number = 1,
                                  .expected = "must be true or false"},
    [BS_CONFIG_POLL_INTERVAL] = {SECONDS("limits.poll_interval_s"), .min = 60, .max = 3599, .number = 3300,
                                 .expected = "must be a number of seconds from 60 to 3599"},
    [BS_CONFIG_REVOKE_WITHIN] = {SECONDS("limits.revoke_within_s"), .max = 86400, .number = 3600,
                                 .expected = "must be a number of seconds from 0 to 86400"},
    [BS_CONFIG_REQUEST_TIMEOUT] = {SECONDS("limits.request_timeout_s"), .min = 1, .max = 600, .number = 20,
                                   .expected = "must be a number of seconds from 1 to 600"},
    [BS_CONFIG_DEADLINE] = {SECONDS("limits.deadline_s"), .min = 1, .max = 3600, .number = 120,
                            .expected = "must be a number of seconds from 1 to 3600"},
};

#define IS(type)   (1u << BLOBSEAL_IDENTITY_##type)
#define LOGINS     (IS(WORKLOAD) | IS(SECRET) | IS(CERTIFICATE) | IS(AUTO))
#define AT(member) .offset = offsetof(struct blobseal_config_identity, member)

const struct bs_config_rule bs_config_identity_rules[BS_CONFIG_NUM_IDENTITY_RULES] = {
    {.name = "type",
     .kind = BS_CONFIG_IS_CHOICE,
     .choices = types,
     .first = BLOBSEAL_IDENTITY_MANAGED,
     .types = ~0u,
     AT(type),
     .expected = "must be \"managed\", \"workload\", \"client-secret\", \"client-certificate\", \"azure-cli\", "
                 "\"command\" or \"auto\""},
    {ID("tenant_id"), .types = LOGINS | IS(AZURE_CLI), AT(tenant_id)},
    {ID("client_id"), .types = LOGINS | IS(MANAGED), AT(client_id)},
    {ID("object_id"), .types = IS(MANAGED) | IS(AUTO), AT(object_id)},
    {.name = "resource_id",
     .kind = BS_CONFIG_IS_TEXT,
     .accepts = is_resource_id,
     .types = IS(MANAGED) | IS(AUTO),
     AT(resource_id),
     .expected = "must be the path of a resource, /subscriptions/..."},
    {.name = "endpoint",
     .kind = BS_CONFIG_IS_TEXT,
     .accepts = is_http,
     .types = IS(MANAGED) | IS(AUTO),
     AT(endpoint),
     .expected = "must be http://HOST or https://HOST without a slash at the end"},
    {URL("authority"), .types = LOGINS, AT(authority)},
    {PATH("ca_file"), .types = LOGINS, AT(ca_file)},
    {PATH("token_file"), .types = IS(WORKLOAD) | IS(AUTO), AT(token_file)},
    {PATH("secret_file"), .types = IS(SECRET), AT(secret_file)},
    {PATH("certificate_file"), .types = IS(CERTIFICATE), AT(certificate_file)},
    {.name = "command",
     .kind = BS_CONFIG_IS_LIST,
     .accepts = is_argument,
     .types = IS(COMMAND),
     AT(command),
     .expected = "must be a list: the absolute path of a program, and its arguments"},
};
#undef AT
#define AT(member) .offset = offsetof(struct blobseal_config_vault, member)

const struct bs_config_rule bs_config_vault_rules[BS_CONFIG_NUM_VAULT_RULES] = {
    {.name = "host",
     .kind = BS_CONFIG_IS_TEXT,
     .accepts = is_host,
     AT(host),
     .expected = "must be the name of a host, or HOST:PORT"},
    {PATH("ca_file"), AT(ca_file)},
    {URL("resource"), AT(resource)},
    {URL("authority"), AT(authority)},
    {NAME("identity"), AT(identity)},
    {.name = "wrap",
     .kind = BS_CONFIG_IS_CHOICE,
     .choices = wraps,
     .first = BLOBSEAL_VAULT_WRAP_LOCAL,
     AT(wrap),
     .expected = "must be \"local\" or \"remote\""},
};

const struct bs_config_rule bs_config_name_rule = {NAME("the name")};
const struct bs_config_rule bs_config_ref_rule = {
    .name = "the key",
    .kind = BS_CONFIG_IS_TEXT,
    .accepts = is_ref,
    .expected = "must be an absolute path, file:PATH, pkcs11:URI, https://VAULT/keys/NAME or set:NAME"};

/* ---- Identities -------------------------------------------------------------------------------------------------- */

const char *bs_config_member_text(const void *entry, const struct bs_config_rule *rule)
{
    const char *text;

    memcpy(&text, (const uint8_t *)entry + rule->offset, sizeof text);
    return text;
}

/* Return the rule of a member that was given but that this type of identity does not have, or NULL. */
static const struct bs_config_rule *surplus(const struct blobseal_config_identity *i)
{
    for (size_t n = 1; n < BS_CONFIG_NUM_IDENTITY_RULES; n++)
        if (bs_config_member_text(i, &bs_config_identity_rules[n]) != NULL &&
            (bs_config_identity_rules[n].types & 1u << i->type) == 0)
            return &bs_config_identity_rules[n];
    return NULL;
}

const char *bs_config_identity_fault(const struct blobseal_config_identity *i, const struct bs_config_rule **member)
{
    bool needs_client = i->type == BLOBSEAL_IDENTITY_SECRET || i->type == BLOBSEAL_IDENTITY_CERTIFICATE;
    int selectors = (i->client_id != NULL) + (i->object_id != NULL) + (i->resource_id != NULL);

    *member = NULL;
    if (i->type < BLOBSEAL_IDENTITY_MANAGED || i->type > BLOBSEAL_IDENTITY_AUTO)
        return "needs a \"type\"";
    *member = surplus(i);
    if (*member != NULL)
        return "is not a member of this type of identity";
    if (selectors > 1)
        return "can have only one of \"client_id\", \"object_id\" and \"resource_id\"";
    if (needs_client && i->client_id == NULL)
        return "needs a \"client_id\"";
    if (i->type == BLOBSEAL_IDENTITY_SECRET && i->secret_file == NULL)
        return "needs a \"secret_file\"";
    if (i->type == BLOBSEAL_IDENTITY_CERTIFICATE && i->certificate_file == NULL)
        return "needs a \"certificate_file\"";
    if (i->type == BLOBSEAL_IDENTITY_COMMAND && (i->num_command == 0 || !is_path(i->command[0])))
        return "needs a \"command\" that starts with the absolute path of a program";
    return NULL;
}

/* ---- Secrets ----------------------------------------------------------------------------------------------------- */

const char *bs_config_instead_of(const char *member)
{
    static const struct {
        const char *member, *instead;
    } secrets[] = {
        {"client_secret", "write \"secret_file\" with the path of a file"},
        {"secret", "write \"secret_file\" with the path of a file"},
        {"password", "write \"secret_file\" with the path of a file"},
        {"certificate", "write \"certificate_file\" with the path of a file"},
        {"private_key", "write \"certificate_file\" with the path of a file"},
        {"token", "write \"token_file\" with the path of a file, or a \"command\""},
        {"access_token", "write \"token_file\" with the path of a file, or a \"command\""},
        {"pin", "write pin-source=file:PATH in the URI of the key"},
        {"pin_value", "write pin-source=file:PATH in the URI of the key"},
        {"pin-value", "write pin-source=file:PATH in the URI of the key"},
        {"passphrase", "give it when the key is used"},
    };

    for (size_t i = 0; i < BS_COUNT(secrets); i++)
        if (strcmp(secrets[i].member, member) == 0)
            return secrets[i].instead;
    return NULL;
}
