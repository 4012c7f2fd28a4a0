/* SPDX-License-Identifier: Apache-2.0 */
#include "kek/keyvault/keyvault.h"
#include "tests/support/suite.h"

#define V "0123456789abcdef0123456789abcdef"

Test(kv_id, what_names_a_key)
{
    static const struct {
        const char *text, *host, *name, *version;
    } good[] = {
        {"https://kv.vault.azure.net/keys/kek", "kv.vault.azure.net", "kek", ""},
        {"https://kv.vault.azure.net/keys/kek/", "kv.vault.azure.net", "kek", ""},
        {"https://KV.Vault.Azure.NET:443/Keys/Kek-1/" V, "kv.vault.azure.net", "Kek-1", V},
        {"https://kv.vault.azure.net/keys/kek/" V "/", "kv.vault.azure.net", "kek", V},
        {"https://localhost:8443/keys/k", "localhost:8443", "k", ""},
        {"https://localhost:08443/keys/k", "localhost:8443", "k", ""},
    };

    for (size_t i = 0; i < BS_COUNT(good); i++) {
        struct bs_kv_id id;
        const char *wrong = bs_kv_id_parse(&id, good[i].text);

        cr_expect_null(wrong, "%s: %s", good[i].text, wrong);
        cr_expect_str_eq(id.host, good[i].host);
        cr_expect_str_eq(id.name, good[i].name);
        cr_expect_str_eq(id.version, good[i].version);
    }
}

Test(kv_id, everything_else_is_refused)
{
    static const char *const bad[] = {
        "",
        "http://kv.vault.azure.net/keys/kek",
        "HTTPS://kv.vault.azure.net/keys/kek",
        "https:/kv.vault.azure.net/keys/kek",
        "https://",
        "https:///keys/kek",
        "https://kv.vault.azure.net",
        "https://kv.vault.azure.net/keys",
        "https://kv.vault.azure.net/keys/",
        "https://kv.vault.azure.net/secrets/kek",
        "https://kv.vault.azure.net/keys//kek",
        "https://kv.vault.azure.net//keys/kek",
        "https://kv.vault.azure.net/keys/kek//",
        "https://kv.vault.azure.net/keys/kek/" V "//",
        "https://kv.vault.azure.net/keys/kek/" V "/x",
        "https://kv.vault.azure.net/keys/kek/0123456789ABCDEF0123456789ABCDEF",
        "https://kv.vault.azure.net/keys/kek/" V "0",
        "https://kv.vault.azure.net/keys/kek/latest",
        "https://kv.vault.azure.net/keys/../kek",
        "https://kv.vault.azure.net/keys/./kek",
        "https://kv.vault.azure.net/keys/k%65k",
        "https://kv.vault.azure.net/keys/kek?api-version=7.4",
        "https://kv.vault.azure.net/keys/kek#x",
        "https://kv.vault.azure.net@evil.example/keys/kek",
        "https://user@kv.vault.azure.net/keys/kek",
        "https://kv.vault.azure.net\\@evil/keys/kek",
        "https://kv.vault.azure.net:0/keys/kek",
        "https://kv.vault.azure.net:65536/keys/kek",
        "https://kv.vault.azure.net:99999999999999999999/keys/kek",
        "https://kv.vault.azure.net:/keys/kek",
        "https://kv.vault.azure.net:443x/keys/kek",
        "https://[::1]/keys/kek",
        "https://.vault.azure.net/keys/kek",
        "https://kv vault/keys/kek",
        "https://kv.vault.azure.net/keys/k_k",
        "https://kv.vault.azure.net/keys/k k",
        "https://kv.vault.azure.net/keys/k\xc3\xa9k",
    };
    char name[192] = "https://kv.vault.azure.net/keys/";
    size_t start = strlen(name);
    struct bs_kv_id id;

    for (size_t i = 0; i < BS_COUNT(bad); i++)
        cr_expect_not_null(bs_kv_id_parse(&id, bad[i]), "%s", bad[i]);
    memset(name + start, 'k', BS_KV_MAX_NAME);
    cr_expect_null(bs_kv_id_parse(&id, name));
    name[start + BS_KV_MAX_NAME] = 'k';
    cr_expect_not_null(bs_kv_id_parse(&id, name));
}

Test(kv_id, names_compare_without_case_and_versions_exactly)
{
    struct bs_kv_id a, b;
    char text[BS_KV_MAX_KID + 1];

    cr_assert_null(bs_kv_id_parse(&a, "https://kv.vault.azure.net/keys/Kek/" V));
    cr_assert_null(bs_kv_id_parse(&b, "https://KV.vault.azure.net:443/keys/kEK"));
    cr_expect(bs_kv_id_same_key(&a, &b));
    bs_kv_id_format(text, &a);
    cr_expect_str_eq(text, "https://kv.vault.azure.net/keys/Kek/" V);
    cr_assert_null(bs_kv_id_parse(&b, "https://kv.vault.azure.net:444/keys/kek"));
    cr_expect_not(bs_kv_id_same_key(&a, &b));
    cr_assert_null(bs_kv_id_parse(&b, "https://kv2.vault.azure.net/keys/kek"));
    cr_expect_not(bs_kv_id_same_key(&a, &b));
    cr_assert_null(bs_kv_id_parse(&b, "https://kv.vault.azure.net/keys/kek2"));
    cr_expect_not(bs_kv_id_same_key(&a, &b));
}

Test(kv_hosts, vaults_of_each_cloud)
{
    cr_expect_str_eq(bs_kv_resource_of("kv-eu.vault.azure.net"), "https://vault.azure.net");
    cr_expect_str_eq(bs_kv_resource_of("pool.managedhsm.azure.net"), "https://managedhsm.azure.net");
    cr_expect_str_eq(bs_kv_resource_of("kv1.vault.azure.cn"), "https://vault.azure.cn");
    cr_expect_str_eq(bs_kv_resource_of("kv1.vault.usgovcloudapi.net"), "https://vault.usgovcloudapi.net");
    cr_expect_str_eq(bs_kv_authority_of("kv1.vault.usgovcloudapi.net"), "https://login.microsoftonline.us");
    cr_expect_str_eq(bs_kv_authority_of("lab:8443"), "https://login.microsoftonline.com");
}

Test(kv_hosts, what_only_looks_like_one)
{
    static const char *const bad[] = {
        "evil.example",
        "vault.azure.net",
        "kv.vault.azure.net.evil.example",
        "kv.vault.azure.net:444",
        "a.b.vault.azure.net",
        "kv1-vault.azure.net",
        "kv1.xvault.azure.net",
        "ab.vault.azure.net",
        "abcdefghijklmnopqrstuvwxy.vault.azure.net",
        "localhost",
    };
    static const char *const authorities[] = {
        "http://login.microsoftonline.com",
        "https://login.microsoftonline.com.evil",
        "https://evil/login.windows.net",
        "https://login.microsoftonline.com:444",
    };

    for (size_t i = 0; i < BS_COUNT(bad); i++)
        cr_expect_null(bs_kv_resource_of(bad[i]), "%s", bad[i]);
    for (size_t i = 0; i < BS_COUNT(authorities); i++)
        cr_expect_not(bs_kv_is_authority(authorities[i]), "%s", authorities[i]);
    cr_expect(bs_kv_is_authority("https://login.windows.net/tenant"));
    cr_expect(bs_kv_is_authority("https://login.microsoftonline.com/"));
}
