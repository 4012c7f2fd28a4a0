/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration file may say: each member, and each error with its line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/config.h"
#include "tests/support/suite.h"

SUITE(config_parse);

#define FILE_NAME "/etc/blobseal/test.json"

/* Parse @text. Return the configuration, or NULL after an error. */
static struct blobseal_config *parse(const char *text, struct blobseal_error *err)
{
    struct vec_bytes copy = vec_copy(text, strlen(text));
    struct blobseal_config *config = NULL;
    enum blobseal_status st;

    cr_assert_eq(blobseal_config_new(&config, err), BLOBSEAL_OK);
    st = bs_config_parse(config, FILE_NAME, copy.p, copy.len, err);
    free(copy.p);
    if (st == BLOBSEAL_OK)
        return config;
    cr_assert_eq(st, BLOBSEAL_E_CONFIG, "%s", text);
    blobseal_config_free(config);
    return NULL;
}

static struct blobseal_config *must_parse(const char *text)
{
    struct blobseal_error err;
    struct blobseal_config *config = parse(text, &err);

    cr_assert_not_null(config, "%s: %s", text, err.text);
    return config;
}

static const char everything[] =
    "{\n"
    "  \"keks\": {\"team\": \"pkcs11:token=ops;object=kek\", \"prod\": \"https://kv.vault.azure.net/keys/prod\",\n"
    "           \"pem\": \"/etc/keys/kek.pem\"},\n"
    "  \"identity\": \"ci\",\n"
    "  \"identities\": {\n"
    "    \"ci\": {\"type\": \"managed\", \"client_id\": \"aaaa-bbbb\", \"endpoint\": \"http://169.254.169.254\"},\n"
    "    \"vm\": {\"type\": \"managed\", \"resource_id\": \"/subscriptions/1/resourceGroups/g/providers/x\"},\n"
    "    \"ob\": {\"type\": \"managed\", \"object_id\": \"cccc\"},\n"
    "    \"aks\": {\"type\": \"workload\", \"tenant_id\": \"t\", \"client_id\": \"c\", \"token_file\": "
    "\"/var/token\",\n"
    "            \"authority\": \"https://login.example:8443\", \"ca_file\": \"/etc/ca.pem\"},\n"
    "    \"app\": {\"type\": \"client-secret\", \"tenant_id\": \"t.example\", \"client_id\": \"c\",\n"
    "            \"secret_file\": \"/s\"},\n"
    "    \"cert\": {\"type\": \"client-certificate\", \"client_id\": \"c\", \"certificate_file\": \"/c.pem\"},\n"
    "    \"me\": {\"type\": \"azure-cli\"},\n"
    "    \"tok\": {\"type\": \"command\", \"command\": [\"/usr/bin/print-token\", \"-v\", \"-v\", \"\"]},\n"
    "    \"any\": {\"type\": \"auto\"}\n"
    "  },\n"
    "  \"vaults\": [\n"
    "    {\"host\": \"kv-eu.vault.azure.net\"},\n"
    "    {\"host\": \"LOCALHOST:8443\", \"ca_file\": \"/ca.pem\", \"resource\": \"https://vault.azure.net\",\n"
    "     \"authority\": \"https://login.example\", \"identity\": \"tok\", \"wrap\": \"remote\"},\n"
    "    {\"host\": \"[::1]:8443\", \"wrap\": \"local\"}\n"
    "  ],\n"
    "  \"pkcs11\": {\"modules\": [\"/usr/lib/a.so\",\n"
    "    \"/usr/lib/b.so\"], \"oaep\": \"sha1\"},\n"
    "  \"oci\": {\"keys\": [\"team\"]},\n"
    "  \"sets_dir\": \"/etc/sets\",\n"
    "  \"audit_file\": \"/var/log/audit.jsonl\",\n"
    "  \"audit_required\": false,\n"
    "  \"limits\": {\"poll_interval_s\": 60, \"revoke_within_s\": 0, \"request_timeout_s\": 600, \"deadline_s\": 1}\n"
    "}\n";

/* ---- Values ------------------------------------------------------------------------------------------------------ */

Test(config_parse, single_values)
{
    struct blobseal_config *c = must_parse(everything);

    cr_assert_str_eq(bs_config_text(c, BS_CONFIG_IDENTITY), "ci");
    cr_assert_str_eq(bs_config_text(c, BS_CONFIG_SETS_DIR), "/etc/sets");
    cr_assert_str_eq(bs_config_text(c, BS_CONFIG_AUDIT_FILE), "/var/log/audit.jsonl");
    cr_assert_eq(bs_config_number(c, BS_CONFIG_AUDIT_REQUIRED), 0);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_OAEP), BLOBSEAL_OAEP_SHA1);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_POLL_INTERVAL), 60);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_REVOKE_WITHIN), 0);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_REQUEST_TIMEOUT), 600);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_DEADLINE), 1);
    cr_assert(bs_config_list_has(c, BS_CONFIG_MODULES, "/usr/lib/b.so"));
    cr_assert_not(bs_config_list_has(c, BS_CONFIG_MODULES, "/usr/lib/b"));
    cr_assert(blobseal_config_has_oci_key(c, "team") && !blobseal_config_has_oci_key(c, "prod"));
    blobseal_config_free(c);
}

Test(config_parse, keks)
{
    struct blobseal_config *c = must_parse(everything);
    const struct bs_config_kek *kek = bs_config_kek(c, "pem");

    cr_assert_str_eq(kek->ref, "/etc/keys/kek.pem");
    cr_assert_str_eq(kek->from.file, FILE_NAME);
    cr_assert_eq(kek->from.line, 3);
    cr_assert_str_eq(blobseal_config_kek(c, "team"), "pkcs11:token=ops;object=kek");
    cr_assert_null(bs_config_kek(c, "tea"));
    cr_assert_null(blobseal_config_kek(c, ""));
    blobseal_config_free(c);
}

Test(config_parse, identities)
{
    struct blobseal_config *c = must_parse(everything);
    const struct bs_config_identity *i = bs_config_identity(c, "aks");

    cr_assert_eq(i->is.type, BLOBSEAL_IDENTITY_WORKLOAD);
    cr_assert_str_eq(i->is.tenant_id, "t");
    cr_assert_str_eq(i->is.client_id, "c");
    cr_assert_str_eq(i->is.token_file, "/var/token");
    cr_assert_str_eq(i->is.authority, "https://login.example:8443");
    cr_assert_str_eq(i->is.ca_file, "/etc/ca.pem");
    cr_assert_null(i->is.secret_file);
    cr_assert_eq(i->from.line, 9);
    i = bs_config_identity(c, "ci");
    cr_assert_eq(i->is.type, BLOBSEAL_IDENTITY_MANAGED);
    cr_assert_str_eq(i->is.endpoint, "http://169.254.169.254");
    cr_assert_not_null(bs_config_identity(c, "vm")->is.resource_id);
    cr_assert_str_eq(bs_config_identity(c, "ob")->is.object_id, "cccc");
    cr_assert_eq(bs_config_identity(c, "app")->is.type, BLOBSEAL_IDENTITY_SECRET);
    cr_assert_str_eq(bs_config_identity(c, "app")->is.secret_file, "/s");
    cr_assert_eq(bs_config_identity(c, "cert")->is.type, BLOBSEAL_IDENTITY_CERTIFICATE);
    cr_assert_eq(bs_config_identity(c, "me")->is.type, BLOBSEAL_IDENTITY_AZURE_CLI);
    cr_assert_eq(bs_config_identity(c, "any")->is.type, BLOBSEAL_IDENTITY_AUTO);
    i = bs_config_identity(c, "tok");
    cr_assert_eq(i->is.num_command, 4);
    cr_assert_str_eq(i->is.command[0], "/usr/bin/print-token");
    cr_assert_str_eq(i->is.command[2], "-v", "the same argument may appear twice");
    cr_assert_str_eq(i->is.command[3], "");
    blobseal_config_free(c);
}

Test(config_parse, vaults)
{
    struct blobseal_config *c = must_parse(everything);
    const struct bs_config_vault *v = bs_config_vault(c, "localhost:8443");

    cr_assert_not_null(v, "the case of a host does not matter");
    cr_assert_str_eq(v->is.ca_file, "/ca.pem");
    cr_assert_str_eq(v->is.resource, "https://vault.azure.net");
    cr_assert_str_eq(v->is.authority, "https://login.example");
    cr_assert_str_eq(v->is.identity, "tok");
    cr_assert_eq(v->is.wrap, BLOBSEAL_VAULT_WRAP_REMOTE);
    cr_assert_eq(v->from.line, 20);
    cr_assert_eq(bs_config_vault(c, "kv-eu.vault.azure.net")->is.wrap, BLOBSEAL_VAULT_WRAP_LOCAL);
    cr_assert_not_null(bs_config_vault(c, "[::1]:8443"));
    cr_assert_null(bs_config_vault(c, "localhost"), "another port");
    blobseal_config_free(c);
}

Test(config_parse, nothing_is_set)
{
    struct blobseal_config *c = must_parse(" {\t}\r\n");

    for (int i = 0; i < 2; i++) { /* an empty configuration, and none */
        const struct blobseal_config *config = i == 0 ? c : NULL;

        cr_assert_null(bs_config_text(config, BS_CONFIG_IDENTITY));
        cr_assert_null(bs_config_text(config, BS_CONFIG_AUDIT_FILE));
        cr_assert_str_eq(bs_config_text(config, BS_CONFIG_SETS_DIR), "/etc/blobseal/sets.d");
        cr_assert_eq(bs_config_number(config, BS_CONFIG_AUDIT_REQUIRED), 1);
        cr_assert_eq(bs_config_number(config, BS_CONFIG_OAEP), BLOBSEAL_OAEP_SHA256);
        cr_assert_eq(bs_config_number(config, BS_CONFIG_POLL_INTERVAL), 3300);
        cr_assert_eq(bs_config_number(config, BS_CONFIG_REVOKE_WITHIN), 3600);
        cr_assert_eq(bs_config_number(config, BS_CONFIG_REQUEST_TIMEOUT), 20);
        cr_assert_eq(bs_config_number(config, BS_CONFIG_DEADLINE), 120);
        cr_assert_null(bs_config_kek(config, "a"));
        cr_assert_null(bs_config_identity(config, "a"));
        cr_assert_null(bs_config_vault(config, "a"));
        cr_assert_not(bs_config_list_has(config, BS_CONFIG_MODULES, "/a"));
    }
    blobseal_config_free(c);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

struct wrong {
    const char *text;
    size_t line;
    const char *says; /* a part of the message          */
    const char *hint; /* a part of the hint; NULL: none */
};

static void refuse(const struct wrong *w)
{
    struct blobseal_error err;
    struct blobseal_config *c = parse(w->text, &err);
    char place[100];

    cr_assert_null(c, "accepted: %s", w->text);
    (void)snprintf(place, sizeof place, FILE_NAME ", line %zu: ", w->line);
    cr_assert_eq(strncmp(err.text, place, strlen(place)), 0, "%s: %s instead of %s", w->text, err.text, place);
    cr_assert_not_null(strstr(err.text, w->says), "%s: %s", w->text, err.text);
    if (w->hint == NULL)
        cr_assert_str_empty(err.hint, "%s: %s", w->text, err.hint);
    else
        cr_assert_not_null(strstr(err.hint, w->hint), "%s: %s", w->text, err.hint);
}

#define REFUSE_ALL(list)                                                                                               \
    for (size_t i_ = 0; i_ < sizeof(list) / sizeof((list)[0]); i_++)                                                   \
    refuse(&(list)[i_])

Test(config_parse, not_json)
{
    static const struct wrong list[] = {
        {"", 1, "a configuration is a JSON object", NULL},
        {"[]", 1, "a configuration is a JSON object", NULL},
        {"\n\n", 3, "a configuration is a JSON object", NULL},
        {"{", 1, "ends in the middle", NULL},
        {"{\n\"limits\": {\n", 3, "ends in the middle", NULL},
        {"{}\n{}", 2, "something after the end", NULL},
        {"{\n// modules\n}", 2, "not valid JSON at the character /", "no comments"},
        {"{\"sets_dir\": \"/a\"\n# x\n}", 2, "not valid JSON at the character #", "no comments"},
        {"{\"sets_dir\": \"/a\",\n}", 2, "not valid JSON at the character }", "no comma before }"},
        {"{\"oci\": {\"keys\": [\"a\",\n]}}", 2, "oci.keys must be a list", NULL},
        {"{\"sets_dir\": \"/a\"\n\"audit_file\": \"/b\"}", 2, "not valid JSON at the character \"", "comma missing"},
        {"{\n'sets_dir': 1}", 2, "not valid JSON at the character '", NULL},
        {"{\n\"sets_dir\": \"/a\nb\"}", 2, "a string does not end", NULL},
        {"{\n\"sets_dir\" \"/a\"}", 2, "not valid JSON", "comma missing"},
        {"{\"a\\u0000b\": 1}", 1, "a zero byte", NULL},
    };

    REFUSE_ALL(list);
}

/* A member in line 3 of an object with a line break in an earlier string, which the reader unescapes. */
#define IN_LINE_3(member) "{\"keks\": {\"a\": \"/\\u0041\"},\n\n" member "\n}\n"

Test(config_parse, unknown_members)
{
    static const struct wrong list[] = {
        {IN_LINE_3("\"kek\": {}"), 3, "no member \"kek\"", "did you mean \"keks\"?"},
        {IN_LINE_3("\"zebra\": 1"), 3, "no member \"zebra\"", NULL},
        {IN_LINE_3("\"identitys\": 1"), 3, "no member \"identitys\"", "did you mean \"identity\"?"},
        {IN_LINE_3("\"limits\": {\"deadline\": 1}"), 3, "no member \"limits.deadline\"", "\"deadline_s\"?"},
        {IN_LINE_3("\"deadline_s\": 1"), 3, "no member \"deadline_s\"", NULL},
        {IN_LINE_3("\"limits.deadline_s\": 1"), 3, "no member \"limits.deadline_s\"", NULL},
        {IN_LINE_3("\"pkcs11\": {\"module\": []}"), 3, "no member \"pkcs11.module\"", "\"modules\"?"},
        {IN_LINE_3("\"oci\": {\"key\": []}"), 3, "no member \"oci.key\"", "\"keys\"?"},
        {IN_LINE_3("\"vaults\": [{\"hots\": \"a\"}]"), 3, "no member \"vaults.hots\"", "\"host\"?"},
        {IN_LINE_3("\"identities\": {\"i\": {\"typ\": \"auto\"}}"), 3, "no member \"identities.i.typ\"", "\"type\"?"},
        {IN_LINE_3("\"\\u001b[31mred\": 1"), 3, "no member \"?[31mred\"", NULL},
    };

    REFUSE_ALL(list);
}

Test(config_parse, secrets)
{
    static const struct wrong list[] = {
        {IN_LINE_3("\"pin\": \"1234\""), 3, "would be a secret", "pin-source=file:PATH"},
        {IN_LINE_3("\"pkcs11\": {\"pin\": \"1234\"}"), 3, "would be a secret", "pin-source=file:PATH"},
        {IN_LINE_3("\"identities\": {\"i\": {\"client_secret\": \"x\"}}"), 3, "would be a secret", "secret_file"},
        {IN_LINE_3("\"identities\": {\"i\": {\"password\": \"x\"}}"), 3, "would be a secret", "secret_file"},
        {IN_LINE_3("\"identities\": {\"i\": {\"token\": \"x\"}}"), 3, "would be a secret", "token_file"},
        {"{\n\"keks\": {\"a\": \"pkcs11:token=t?pin-value=1234\"}}", 2, "a pin-value", "pin-source=file:PATH"},
    };

    REFUSE_ALL(list);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct blobseal_error err;

        cr_assert_null(parse(list[i].text, &err));
        cr_assert_null(strstr(err.text, "1234"), "%s", err.text);
        cr_assert_null(strstr(err.hint, "1234"), "%s", err.hint);
    }
}

Test(config_parse, duplicates)
{
    static const struct wrong list[] = {
        {IN_LINE_3("\"keks\": {}"), 3, "\"keks\" appears twice", NULL},
        {"{\"identity\": \"a\",\n\"identity\": \"a\"}", 2, "\"identity\" appears twice", NULL},
        {"{\"limits\": {\"deadline_s\": 1,\n\"deadline_s\": 1}}", 2, "\"limits.deadline_s\" appears twice", NULL},
        {"{\"limits\": {},\n\"limits\": {}}", 2, "\"limits\" appears twice", NULL},
        {"{\"keks\": {\"a\": \"/a\",\n\"\\u0061\": \"/a\"}}", 2, "\"keks.a\" appears twice", NULL},
        {"{\"identities\": {\"i\": {\"type\": \"auto\"},\n\"i\": {\"type\": \"auto\"}}}", 2, "\"identities.i\" appears",
         NULL},
        {"{\"identities\": {\"i\": {\"type\": \"auto\",\n\"type\": \"auto\"}}}", 2, "\"identities.i.type\" appears",
         NULL},
        {"{\"vaults\": [{\"host\": \"a.b\"},\n{\"host\": \"A.B\"}]}", 2, "\"A.B\" appears twice", NULL},
        {"{\"pkcs11\": {\"modules\": [\"/a\",\n\"/a\"]}}", 2, "has \"/a\" twice", NULL},
    };

    REFUSE_ALL(list);
}

/* ---- What each member may be ------------------------------------------------------------------------------------- */

/* A member, of which "@" in @text is the value, and values that it takes or does not. */
struct values {
    const char *text;
    const char *path;
    const char *good[8], *bad[16];
};

#define PATHS                                                                                                          \
    {                                                                                                                  \
        "\"/a\"", "\"/a/b c\""                                                                                         \
    }
#define NO_PATHS                                                                                                       \
    {                                                                                                                  \
        "\"a\"", "\"\"", "\"/\"", "\"~/a\"", "1", "true", "null", "[]", "{}", "-1", "\"/a\\u0000b\"", "\"/a\\nb\""     \
    }
#define NAMES                                                                                                          \
    {                                                                                                                  \
        "\"a\"", "\"A-b_c.9\""                                                                                         \
    }
#define NO_NAMES                                                                                                       \
    {                                                                                                                  \
        "\"\"", "\"-a\"", "\"a b\"", "\"a/b\"", "\"a:b\"", "1", "[]", "\"\xC3\xA4\""                                   \
    }
#define URLS                                                                                                           \
    {                                                                                                                  \
        "\"https://a\"", "\"https://a.b:8443/c\""                                                                      \
    }
#define NO_URLS                                                                                                        \
    {                                                                                                                  \
        "\"https://a/\"", "\"https://\"", "\"http://a\"", "\"a\"", "1", "\"https://u@a\"", "\"https://a?b\"",          \
            "\"https://a:0\"", "\"https://a:65536\"", "\"https://-a\""                                                 \
    }

static const struct values members[] = {
    {"{\"identity\": @}", "identity", NAMES, NO_NAMES},
    {"{\"sets_dir\": @}", "sets_dir", PATHS, NO_PATHS},
    {"{\"audit_file\": @}", "audit_file", PATHS, NO_PATHS},
    {"{\"audit_required\": @}", "audit_required", {"true", "false"}, {"\"true\"", "1", "tru", "null"}},
    {"{\"pkcs11\": {\"modules\": @}}", "pkcs11.modules", {"[]", "[\"/a\"]"}, {"\"/a\"", "[\"a\"]", "[1]", "{}"}},
    {"{\"pkcs11\": {\"oaep\": @}}", "pkcs11.oaep", {"\"sha1\"", "\"sha256\""}, {"\"SHA1\"", "\"\"", "1", "[]"}},
    {"{\"pkcs11\": @}", "pkcs11", {"{}"}, {"[]", "1", "\"\"", "null"}},
    {"{\"oci\": {\"keys\": @}}", "oci.keys", {"[]", "[\"a\", \"b\"]"}, {"\"a\"", "[\"a b\"]", "[{}]"}},
    {"{\"limits\": {\"poll_interval_s\": @}}",
     "limits.poll_interval_s",
     {"60", "3599"},
     {"59", "3600", "\"60\"", "60.5", "6e1", "-60", "99999999999999999999", "true", "060"}},
    {"{\"limits\": {\"revoke_within_s\": @}}", "limits.revoke_within_s", {"0", "86400"}, {"86401", "-0", "0x1"}},
    {"{\"limits\": {\"request_timeout_s\": @}}", "limits.request_timeout_s", {"1", "600"}, {"0", "601"}},
    {"{\"limits\": {\"deadline_s\": @}}", "limits.deadline_s", {"1", "3600"}, {"0", "3601", "1 2"}},
    {"{\"keks\": {\"k\": @}}",
     "keks.k",
     {"\"/a\"", "\"file:/a\"", "\"pkcs11:\"", "\"set:a\"", "\"https://v/keys/k\""},
     {"\"\"", "\"key:a\"", "1", "{}", "[]", "\"a\"", "\"file:a\"", "\"pkcs11:a?pin-value=1\""}},
    {"{\"identities\": {\"i\": @}}", "identities.i", {"{\"type\": \"auto\"}"}, {"{}", "[]", "\"auto\"", "1"}},
    {"{\"identities\": {\"i\": {\"type\": @}}}", "identities.i", {"\"azure-cli\""}, {"\"cli\"", "\"\"", "1"}},
    {"{\"identities\": {\"i\": {\"type\": \"auto\", \"tenant_id\": @}}}",
     "identities.i.tenant_id",
     {"\"a-1\"", "\"a.onmicrosoft.com\""},
     {"\"\"", "\"a/b\"", "\"a b\"", "1"}},
    {"{\"identities\": {\"i\": {\"type\": \"managed\", \"client_id\": @}}}",
     "identities.i.client_id",
     {"\"a-1\""},
     {"\"\"", "\"a&b\"", "1"}},
    {"{\"identities\": {\"i\": {\"type\": \"managed\", \"object_id\": @}}}",
     "identities.i.object_id",
     {"\"a-1\""},
     {"\"\"", "\"a=b\"", "1"}},
    {"{\"identities\": {\"i\": {\"type\": \"managed\", \"resource_id\": @}}}",
     "identities.i.resource_id",
     {"\"/subscriptions/a/b_c\""},
     {"\"a\"", "\"/a?b\"", "1"}},
    {"{\"identities\": {\"i\": {\"type\": \"managed\", \"endpoint\": @}}}",
     "identities.i.endpoint",
     {"\"http://169.254.169.254\"", "\"https://localhost:1\"", "\"http://[::1]:80\""},
     {"\"ftp://a\"", "\"http://a/\""}},
    {"{\"identities\": {\"i\": {\"type\": \"auto\", \"authority\": @}}}", "identities.i.authority", URLS, NO_URLS},
    {"{\"identities\": {\"i\": {\"type\": \"auto\", \"ca_file\": @}}}", "identities.i.ca_file", PATHS, NO_PATHS},
    {"{\"identities\": {\"i\": {\"type\": \"auto\", \"token_file\": @}}}", "identities.i.token_file", PATHS, NO_PATHS},
    {"{\"identities\": {\"i\": {\"client_id\": \"c\", \"type\": \"client-secret\", \"secret_file\": @}}}",
     "identities.i.secret_file", PATHS, NO_PATHS},
    {"{\"identities\": {\"i\": {\"client_id\": \"c\", \"type\": \"client-certificate\", \"certificate_file\": @}}}",
     "identities.i.certificate_file", PATHS, NO_PATHS},
    {"{\"identities\": {\"i\": {\"type\": \"command\", \"command\": @}}}",
     "identities.i",
     {"[\"/a\"]", "[\"/a\", \"b\", \"b\"]"},
     {"[]", "\"/a\"", "[\"a\"]", "[1]", "[\"/a\", 1]"}},
    {"{\"vaults\": @}", "vault", {"[]", "[{\"host\": \"a\"}]"}, {"{}", "[{}]", "[1]", "\"\"", "[[]]"}},
    {"{\"vaults\": [{\"host\": @}]}",
     "vaults.host",
     {"\"a\"", "\"a.b:8443\"", "\"10.0.0.1\"", "\"[fe80::1]\""},
     {"\"\"", "\"a/b\"", "\"https://a\"", "\"a:\"", "\"a:0\"", "\"a:70000\"", "\"[::1\"", "\"[g]\"", "\"u@a\"", "1"}},
    {"{\"vaults\": [{\"host\": \"a\", \"ca_file\": @}]}", "vaults.ca_file", PATHS, NO_PATHS},
    {"{\"vaults\": [{\"host\": \"a\", \"resource\": @}]}", "vaults.resource", URLS, NO_URLS},
    {"{\"vaults\": [{\"host\": \"a\", \"authority\": @}]}", "vaults.authority", URLS, NO_URLS},
    {"{\"vaults\": [{\"host\": \"a\", \"identity\": @}]}", "vaults.identity", NAMES, NO_NAMES},
    {"{\"vaults\": [{\"host\": \"a\", \"wrap\": @}]}", "vaults.wrap", {"\"local\"", "\"remote\""}, {"\"no\"", "1"}},
};

/* Write the text with the value @value in line 2. */
static const char *with(char buf[256], const struct values *v, const char *value)
{
    size_t before = strcspn(v->text, "@");

    (void)snprintf(buf, 256, "%.*s\n%s%s", (int)before, v->text, value, v->text + before + 1);
    return buf;
}

Test(config_parse, each_member_takes_what_it_should)
{
    char text[256];

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        for (size_t n = 0; n < 8 && members[i].good[n] != NULL; n++)
            blobseal_config_free(must_parse(with(text, &members[i], members[i].good[n])));
}

Test(config_parse, each_member_refuses_what_it_should)
{
    struct blobseal_error err;
    char text[256];

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        for (size_t n = 0; n < 16 && members[i].bad[n] != NULL; n++) {
            cr_assert_null(parse(with(text, &members[i], members[i].bad[n]), &err), "accepted: %s", text);
            cr_assert(strstr(err.text, ", line 1: ") != NULL || strstr(err.text, ", line 2: ") != NULL, "%s", err.text);
            cr_assert(strstr(err.text, members[i].path) != NULL || strstr(err.text, "valid JSON") != NULL, "%s: %s",
                      text, err.text);
        }
}

Test(config_parse, members_of_identities)
{
    static const struct wrong list[] = {
        {"{\"identities\": {\n\"i\": {\"type\": \"client-secret\",\n\"client_id\": \"c\"}}}", 2,
         "needs a \"secret_file\"", NULL},
        {"{\"identities\": {\n\"i\": {\"type\": \"client-secret\",\n\"secret_file\": \"/c\"}}}", 2,
         "needs a \"client_id\"", NULL},
        {"{\"identities\": {\n\"i\": {\"type\": \"client-certificate\",\n\"client_id\": \"c\"}}}", 2,
         "needs a \"certificate_file\"", NULL},
        {"{\"identities\": {\n\"i\": {\"type\": \"command\"}}}", 2, "needs a \"command\"", NULL},
        {"{\"identities\": {\n\"i\": {\"client_id\": \"c\"}}}", 2, "needs a \"type\"", NULL},
        {"{\"identities\": {\n\"i\": {\"type\": \"managed\", \"client_id\": \"c\", \"object_id\": \"d\"}}}", 2,
         "only one of", NULL},
        {"{\"identities\": {\n\"i\": {\"type\": \"managed\",\n\"secret_file\": \"/c\"}}}", 3,
         "identities.i.secret_file is not a member", NULL},
        {"{\"identities\": {\n\"i\": {\"type\": \"azure-cli\",\n\"client_id\": \"c\"}}}", 3,
         "identities.i.client_id is not a member", NULL},
        {"{\"identities\": {\n\"i\": {\"type\": \"command\",\n\"command\": [\"/c\"],\n\"tenant_id\": \"t\"}}}", 4,
         "identities.i.tenant_id is not a member", NULL},
        {"{\"identities\": {\n\"-\": {\"type\": \"auto\"}}}", 2, "the name \"-\" must be a name", NULL},
        {"{\"keks\": {\n\"a b\": \"/a\"}}", 2, "the name \"a b\" must be a name", NULL},
    };

    REFUSE_ALL(list);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

/* Make a configuration with @num entries, each of which is @entry with a number for its at sign. */
static char *many(const char *before, const char *entry, size_t num, const char *after)
{
    size_t cap = 64 + num * (strlen(entry) + 32), before_number = strcspn(entry, "@"), len;
    char *text = must_alloc(cap);

    len = (size_t)snprintf(text, cap, "%s", before);
    for (size_t i = 0; i < num; i++) {
        len += (size_t)snprintf(text + len, cap - len, "%s", i > 0 ? ",\n" : "");
        len += (size_t)snprintf(text + len, cap - len, "%.*s%zu%s", (int)before_number, entry, i,
                                entry + before_number + 1);
    }
    (void)snprintf(text + len, cap - len, "%s", after);
    return text;
}

Test(config_parse, too_many)
{
    static const struct {
        const char *before, *entry, *after;
        size_t max;
    } lists[] = {
        {"{\"keks\": {", "\"k@\": \"/k\"", "}}", BLOBSEAL_CONFIG_MAX_KEKS},
        {"{\"identities\": {", "\"i@\": {\"type\": \"auto\"}", "}}", BLOBSEAL_CONFIG_MAX_LIST},
        {"{\"vaults\": [", "{\"host\": \"v@\"}", "]}", BLOBSEAL_CONFIG_MAX_LIST},
        {"{\"pkcs11\": {\"modules\": [", "\"/m@\"", "]}}", BLOBSEAL_CONFIG_MAX_LIST},
        {"{\"oci\": {\"keys\": [", "\"k@\"", "]}}", BLOBSEAL_CONFIG_MAX_LIST},
        {"{\"identities\": {\"i\": {\"type\": \"command\", \"command\": [", "\"/@\"", "]}}}", BLOBSEAL_CONFIG_MAX_LIST},
    };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        char *text = many(lists[i].before, lists[i].entry, lists[i].max, lists[i].after);
        struct wrong w = {.line = lists[i].max + 1, .says = "more than"};

        blobseal_config_free(must_parse(text));
        free(text);
        text = many(lists[i].before, lists[i].entry, lists[i].max + 1, lists[i].after);
        w.text = text;
        refuse(&w);
        free(text);
    }
}

Test(config_parse, long_texts)
{
    char *text = must_alloc(BLOBSEAL_CONFIG_MAX_TEXT + 64);
    struct blobseal_error err;

    for (size_t len = BLOBSEAL_CONFIG_MAX_TEXT; len <= BLOBSEAL_CONFIG_MAX_TEXT + 1; len++) {
        (void)snprintf(text, BLOBSEAL_CONFIG_MAX_TEXT + 64, "{\"sets_dir\": \"/%0*d\"}", (int)len - 1, 0);
        if (len == BLOBSEAL_CONFIG_MAX_TEXT)
            blobseal_config_free(must_parse(text));
        else
            cr_assert_null(parse(text, &err));
    }
    for (size_t len = BLOBSEAL_CONFIG_MAX_NAME; len <= BLOBSEAL_CONFIG_MAX_NAME + 1; len++) {
        (void)snprintf(text, 256, "{\"keks\": {\"%0*d\": \"/a\"}}", (int)len, 0);
        if (len == BLOBSEAL_CONFIG_MAX_NAME)
            blobseal_config_free(must_parse(text));
        else
            cr_assert_null(parse(text, &err));
    }
    free(text);
}

/* Every text that is cut off is refused, and none is read beyond its end. */
Test(config_parse, truncated)
{
    struct blobseal_config *c;

    for (size_t len = 0; len + 2 < sizeof everything - 1; len++) {
        struct vec_bytes copy = vec_copy(everything, len);

        cr_assert_eq(blobseal_config_new(&c, NULL), BLOBSEAL_OK);
        cr_assert_eq(bs_config_parse(c, FILE_NAME, copy.p, copy.len, NULL), BLOBSEAL_E_CONFIG, "%zu bytes", len);
        free(copy.p);
        blobseal_config_free(c);
    }
}
