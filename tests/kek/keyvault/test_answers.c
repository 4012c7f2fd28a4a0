/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault answers: keys, errors row by row, and challenges. */
#include "kek/keyvault/keyvault.h"
#include "tests/support/suite.h"

#define V   "0123456789abcdef0123456789abcdef"
#define KID "https://kv.vault.azure.net/keys/kek/" V

static struct blobseal_error err;

static bool parse_key(struct bs_kv_key *key, const char *json)
{
    static char text[4096];

    (void)snprintf(text, sizeof text, "%s", json);
    return bs_kv_parse_key(key, (uint8_t *)text, strlen(text));
}

Test(kv_answers, a_key_with_everything)
{
    struct bs_kv_key key;

    cr_assert(parse_key(&key, "{\"key\":{\"kid\":\"" KID "\",\"kty\":\"RSA-HSM\",\"key_ops\":[\"wrapKey\"],"
                              "\"n\":\"AAECAw\",\"e\":\"AQAB=\"},\"attributes\":{\"enabled\":true,\"nbf\":-5,"
                              "\"exp\":1700000000,\"recoveryLevel\":\"Recoverable+Purgeable\",\"exportable\":true,"
                              "\"new\":[1.5e3,null,{\"a\":[true]}]},\"tags\":{\"x\":\"y\"},\"managed\":true}"));
    cr_expect_str_eq(key.id.name, "kek");
    cr_expect_str_eq(key.id.version, V);
    cr_expect_str_eq(key.kty, "RSA-HSM");
    cr_expect(key.may_wrap && !key.may_unwrap);
    cr_expect_eq(key.n_len, 3, "the sign byte of Java is removed");
    cr_expect_eq(key.e_len, 3);
    cr_expect(key.enabled && key.exportable && key.managed);
    cr_expect_eq(key.nbf, -5);
    cr_expect_eq(key.exp, 1700000000);
    cr_expect(bs_kv_is_purgeable(&key));
}

Test(kv_answers, what_is_missing)
{
    struct bs_kv_key key;

    cr_assert(parse_key(&key, "{\"key\":{\"kid\":\"" KID "\",\"kty\":\"EC\",\"key_ops\":[]}}"));
    cr_expect(key.may_wrap && key.may_unwrap, "an empty list forbids nothing");
    cr_expect_not(key.enabled, "a key that does not say so is not enabled");
    cr_expect(bs_kv_is_purgeable(&key));
    cr_expect_not(parse_key(&key, "{\"key\":{\"kid\":\"https://kv.vault.azure.net/keys/kek\",\"kty\":\"RSA\"}}"));
    cr_expect_not(parse_key(&key, "{\"key\":{\"kid\":\"" KID "\"}}"));
    cr_expect_not(parse_key(&key, "{\"key\":[]}"));
    cr_expect_not(parse_key(&key, "[]"));
    cr_expect_not(parse_key(&key, "<html>"));
    cr_expect_not(parse_key(&key, ""));
    cr_expect_not(parse_key(&key, "{\"key\":{\"kid\":\"" KID "\",\"kty\":\"RSA\"}} x"));
}

Test(kv_answers, purge_protection_follows_from_the_recovery_level)
{
    static const struct {
        const char *level;
        bool purgeable;
    } levels[] = {
        {"Purgeable", true},
        {"Recoverable+Purgeable", true},
        {"Recoverable", false},
        {"Recoverable+ProtectedSubscription", false},
        {"CustomizedRecoverable+Purgeable", true},
        {"CustomizedRecoverable", false},
        {"CustomizedRecoverable+ProtectedSubscription", false},
        {"", true},
    };
    struct bs_kv_key key = {.enabled = true};

    for (size_t i = 0; i < BS_COUNT(levels); i++) {
        (void)snprintf(key.recovery, sizeof key.recovery, "%s", levels[i].level);
        cr_expect_eq(bs_kv_is_purgeable(&key), levels[i].purgeable, "%s", levels[i].level);
    }
}

Test(kv_answers, a_result)
{
    char text[256] = "{\"kid\":\"" KID "\",\"value\":\"AAEC\"}", bad[] = "{\"kid\":\"" KID "\",\"value\":\"A+/C\"}";
    uint8_t value[4];
    struct bs_kv_id id;
    size_t len;

    cr_expect(bs_kv_parse_result(&id, value, sizeof value, &len, (uint8_t *)text, strlen(text)));
    cr_expect_eq(len, 3);
    cr_expect_arr_eq(value, "\0\1\2", 3);
    cr_expect_not(bs_kv_parse_result(&id, value, sizeof value, &len, (uint8_t *)bad, strlen(bad)));
    (void)snprintf(text, sizeof text, "{\"kid\":\"" KID "\",\"value\":\"AAECAAEC\"}");
    cr_expect_not(bs_kv_parse_result(&id, value, sizeof value, &len, (uint8_t *)text, strlen(text)), "no room");
    (void)snprintf(text, sizeof text, "{\"value\":\"AAEC\"}");
    cr_expect_not(bs_kv_parse_result(&id, value, sizeof value, &len, (uint8_t *)text, strlen(text)));
}

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

#define ITEM(id) "{\"kid\":\"https://kv.vault.azure.net/keys/" id "\",\"attributes\":{\"enabled\":true,\"exp\":7}}"

static bool parse_list(const char *text, size_t cap, size_t *num, char link[BS_KV_MAX_LINK])
{
    struct bs_kv_item list[3];
    char copy[4096];
    bool ok;

    (void)snprintf(copy, sizeof copy, "%s", text);
    ok = bs_kv_parse_list(list, cap, num, link, (uint8_t *)copy, strlen(copy));
    for (size_t i = 0; ok && i < *num; i++)
        cr_expect(list[i].enabled && list[i].exp == 7 && list[i].nbf == 0 && list[i].id.name[0] != '\0');
    return ok;
}

Test(kv_answers, a_page_of_a_list)
{
    static const char *const wrong[] = {"",
                                        "[]",
                                        "{\"value\":{}}",
                                        "{\"value\":[1]}",
                                        "{\"value\":[{}]}",
                                        "{\"value\":[" ITEM("") "]}",
                                        "{\"value\":[" ITEM("a") "],\"value\":[" ITEM("b") "]}",
                                        "{\"value\":[" ITEM("a") "]",
                                        "{\"value\":[]} x"};
    char link[BS_KV_MAX_LINK], long_link[BS_KV_MAX_LINK + 64];
    size_t num;

    cr_expect(parse_list("{\"value\":[" ITEM("a") "," ITEM("b") "],\"nextLink\":\"https://x/y\"}", 3, &num, link));
    cr_expect(num == 2 && strcmp(link, "https://x/y") == 0);
    cr_expect(parse_list("{\"nextLink\": null, \"value\":[], \"new\":[{}]}", 3, &num, link) && num == 0);
    cr_expect_str_empty(link);
    cr_expect_not(parse_list("{\"value\":[" ITEM("a") "," ITEM("b") "]}", 1, &num, link),
                  "more than there is room for");
    for (size_t i = 0; i < BS_COUNT(wrong); i++)
        cr_expect_not(parse_list(wrong[i], 3, &num, link), "%s", wrong[i]);
    (void)snprintf(long_link, sizeof long_link, "{\"nextLink\":\"%0*d\"}", BS_KV_MAX_LINK, 0);
    cr_expect_not(parse_list(long_link, 3, &num, link), "a link that is cut off would end the list early");
}

Test(kv_answers, the_next_page_is_one_of_the_same_list)
{
    static const char *const wrong[] = {"",
                                        "http://kv.vault.azure.net/keys?a",
                                        "https://kv.vault.azure.net.evil/keys?a",
                                        "https://kv.vault.azure.net:444/keys?a",
                                        "https://kv.vault.azure.net@evil/keys?a",
                                        "https://evil/keys?a",
                                        "https://kv.vault.azure.net/keys",
                                        "https://kv.vault.azure.net/keys?",
                                        "https://kv.vault.azure.net/keys/a?b",
                                        "https://kv.vault.azure.net?/keys?a",
                                        "https://kv.vault.azure.net/keys?a#b",
                                        "https://kv.vault.azure.net/keys?a b",
                                        "https://kv.vault.azure.net/keys?a\nb"};

    cr_expect_str_eq(bs_kv_next_query("https://kv.vault.azure.net/keys?a=b&$c=d%2F", "kv.vault.azure.net", "/keys"),
                     "a=b&$c=d%2F");
    cr_expect_str_eq(bs_kv_next_query("https://KV.vault.azure.net:443/keys?a", "kv.vault.azure.net", "/keys"), "a");
    cr_expect_str_eq(bs_kv_next_query("https://localhost:8443/keys?a", "localhost:8443", "/keys"), "a");
    for (size_t i = 0; i < BS_COUNT(wrong); i++)
        cr_expect_null(bs_kv_next_query(wrong[i], "kv.vault.azure.net", "/keys"), "%s", wrong[i]);
}

/* ---- Errors, row by row ------------------------------------------------------------------------------------------ */

#define ERROR(code, message) "{\"error\":{\"code\":\"" code "\",\"message\":\"" message "\"}}"
#define INNER(code, inner, message)                                                                                    \
    "{\"error\":{\"code\":\"" code "\",\"message\":\"" message "\",\"innererror\":{\"code\":\"" inner "\"}}}"
#define DENIED      BLOBSEAL_E_DENIED
#define UNAVAILABLE BLOBSEAL_E_UNAVAILABLE

static const struct case_of_error {
    unsigned http;
    const char *body;
    enum bs_kv_class class;
    enum blobseal_status status;
    unsigned retries;
    const char *text;
} errors[] = {
    {401, ERROR("Unauthorized", "AKV10022: Invalid audience."), BS_KV_AUTH, DENIED, 0,
     "another service (401 AKV10022)"},
    {401, ERROR("Unauthorized", "AKV10032: Invalid issuer."), BS_KV_AUTH, DENIED, 0, "another tenant"},
    {401, ERROR("Unauthorized", "AKV10000: Request is missing a Bearer or PoP token."), BS_KV_AUTH, DENIED, 0,
     "does not accept the token (401 AKV10000)"},
    {401, "", BS_KV_AUTH, DENIED, 0, "does not accept the token"},
    {403, INNER("Forbidden", "AccessDenied", "x"), BS_KV_REFUSED, DENIED, 0, "access policy"},
    {403, INNER("Forbidden", "ForbiddenByRbac", "x"), BS_KV_REFUSED, DENIED, 0, "no role"},
    {403, INNER("Forbidden", "ForbiddenByPolicy", "x"), BS_KV_REFUSED, DENIED, 0, "a policy"},
    {403, INNER("Forbidden", "ForbiddenByFirewall", "x"), BS_KV_REFUSED, DENIED, 0, "firewall"},
    {403, INNER("Forbidden", "ForbiddenByConnection", "x"), BS_KV_REFUSED, DENIED, 0, "private endpoints"},
    {403, INNER("Forbidden", "KeyDisabled", "x"), BS_KV_REFUSED, DENIED, 0, "disabled"},
    {403, INNER("Forbidden", "KeyOperationForbidden", "x"), BS_KV_REFUSED, DENIED, 0, "this operation"},
    {403, INNER("Forbidden", "KeyNotYetValid", "x"), BS_KV_REFUSED, DENIED, 1, "not valid yet"},
    {403, INNER("Forbidden", "KeyExpired", "x"), BS_KV_REFUSED, DENIED, 0, "expired"},
    {403, INNER("Forbidden", "Unheard", "what a pool says"), BS_KV_REFUSED, DENIED, 0, "what a pool says"},
    {403, "{\"error\":{\"code\":\"F\",\"innerError\":{\"code\":\"x\",\"innererror\":{\"code\":\"KeyDisabled\"}}}}",
     BS_KV_REFUSED, DENIED, 0, "disabled"},
    {404, ERROR("KeyNotFound", "A key with (name/id) x"), BS_KV_MISSING, DENIED, 0, "no such key"},
    {404, ERROR("NotFound", "No such path."), BS_KV_MISSING, DENIED, 0, "does not know this path"},
    {404, "<html>", BS_KV_NO_ANSWER, UNAVAILABLE, 0, "something else than a vault"},
    {404, "", BS_KV_NO_ANSWER, UNAVAILABLE, 0, "something else than a vault"},
    {404, "{\"error\":{\"message\":\"Not here\"}}", BS_KV_NO_ANSWER, UNAVAILABLE, 0, "something else than a vault"},
    {409, INNER("Conflict", "ObjectIsDeletedButRecoverable", "x"), BS_KV_MISSING, DENIED, 0, "was deleted"},
    {409, INNER("Conflict", "ObjectIsBeingDeleted", "x"), BS_KV_BUSY, UNAVAILABLE, 3, "being deleted"},
    {409, INNER("Conflict", "ObjectIsBeingRecovered", "x"), BS_KV_BUSY, UNAVAILABLE, 3, "or recovered"},
    {400, ERROR("BadParameter", "Error occurred while decoding OAEP padding."), BS_KV_REQUEST, BLOBSEAL_E_UNSUPPORTED,
     0, "does not accept the request"},
    {405, "", BS_KV_REQUEST, BLOBSEAL_E_UNSUPPORTED, 0, "does not know this operation"},
    {429, ERROR("Throttled", "x"), BS_KV_BUSY, UNAVAILABLE, 5, "too many requests"},
    {408, "", BS_KV_NO_ANSWER, UNAVAILABLE, 3, "gave up waiting"},
    {500, ERROR("InternalError", "x"), BS_KV_NO_ANSWER, UNAVAILABLE, 3, "has failed"},
    {502, "", BS_KV_NO_ANSWER, UNAVAILABLE, 3, "cannot be reached"},
    {503, "", BS_KV_NO_ANSWER, UNAVAILABLE, 3, "not available"},
    {504, "", BS_KV_NO_ANSWER, UNAVAILABLE, 3, "in time"},
    {302, "", BS_KV_NO_ANSWER, UNAVAILABLE, 0, "a status that a vault does not use"},
    {204, "", BS_KV_NO_ANSWER, UNAVAILABLE, 0, "a status that a vault does not use"},
    {200, "", BS_KV_NO_ANSWER, UNAVAILABLE, 0, "not what a vault answers"},
};

Test(kv_errors, each_row_has_a_status_a_sentence_and_a_hint)
{
    bool used[64] = {false};

    for (size_t i = 0; i < BS_COUNT(errors); i++) {
        const struct case_of_error *c = &errors[i];
        struct bs_http_response r = {.status = c->http};
        const struct bs_kv_row *row;
        struct bs_kv_said said;
        char body[512];

        (void)snprintf(body, sizeof body, "%s", c->body);
        bs_kv_parse_error(&said, (uint8_t *)body, strlen(body));
        row = bs_kv_row_find(c->http, &said);
        used[row - bs_kv_rows] = true;
        cr_expect_eq(row->class, c->class, "%u %s", c->http, c->body);
        cr_expect_eq(row->retries, c->retries, "%u %s", c->http, c->body);
        cr_expect_eq(bs_kv_row_fail(row, "unwrap with " KID, &r, &said, &err), c->status);
        cr_expect_eq(err.status, c->status);
        cr_expect_not_null(strstr(err.text, c->text), "%u %s: %s", c->http, c->body, err.text);
        cr_expect_neq(err.hint[0], '\0');
        cr_expect_lt(strlen(row->hint), sizeof err.hint);
    }
    for (size_t i = 0; i < bs_kv_num_rows; i++)
        if (bs_kv_rows[i].code == NULL || strcmp(bs_kv_rows[i].code, "SoftDeleted") != 0)
            cr_expect(used[i], "row %zu (%u %s) has no case", i, bs_kv_rows[i].http,
                      bs_kv_rows[i].code != NULL ? bs_kv_rows[i].code : "any");
}

/* ---- Challenges -------------------------------------------------------------------------------------------------- */

Test(kv_challenge, every_form)
{
    static const struct {
        const char *text, *resource, *authority, *tenant, *claims;
    } forms[] = {
        {"Bearer authorization=\"https://login.windows.net/t-1\", resource=\"https://vault.azure.net\"",
         "https://vault.azure.net", "https://login.windows.net", "t-1", ""},
        {"Bearer resource=\"https://vault.azure.net/\" authorization_uri=\"https://login.windows.net/t-1/oauth2\"",
         "https://vault.azure.net", "https://login.windows.net", "t-1", ""},
        {"Basic realm=\"x\", Bearer scope=\"https://vault.azure.net/.default\",authorization=https://l/t",
         "https://vault.azure.net", "https://l", "t", ""},
        {"Bearer authorization=\"https://login.windows.net/t\", resource=\"https://vault.azure.net\", "
         "error=\"insufficient_claims\", claims=\"eyJhIjoxfQ==\"",
         "https://vault.azure.net", "https://login.windows.net", "t", "{\"a\":1}"},
        {"Bearer authorization=\"https://login.windows.net\"", "", "https://login.windows.net", "", ""},
        {"Bearer authorization=\"https://login.windows.net/t?x\"", "", "https://login.windows.net", "", ""},
        {"Bearer ", "", "", "", ""},
    };
    struct bs_kv_challenge c;

    for (size_t i = 0; i < BS_COUNT(forms); i++) {
        cr_assert(bs_kv_challenge_parse(&c, forms[i].text), "%s", forms[i].text);
        cr_expect_str_eq(c.resource, forms[i].resource);
        cr_expect_str_eq(c.authority, forms[i].authority);
        cr_expect_str_eq(c.tenant, forms[i].tenant);
        cr_expect_str_eq(c.claims, forms[i].claims);
    }
    cr_expect_not(bs_kv_challenge_parse(&c, ""));
    cr_expect_not(bs_kv_challenge_parse(&c, "Basic realm=\"Bearer\""));
}

static enum blobseal_status check(const char *host, const char *resource, const char *authority)
{
    struct bs_kv_settings s = {.resource = bs_kv_resource_of(host)};
    struct bs_kv_challenge c = {.tenant = "t"};

    (void)snprintf(s.host, sizeof s.host, "%s", host);
    (void)snprintf(c.resource, sizeof c.resource, "%s", resource);
    (void)snprintf(c.authority, sizeof c.authority, "%s", authority);
    return bs_kv_challenge_check(&c, &s, &err);
}

Test(kv_challenge, only_the_resource_of_the_vault_and_the_authorities_of_azure)
{
    const char *host = "kv1.vault.azure.net", *login = "https://login.microsoftonline.com";

    cr_expect_eq(check(host, "https://vault.azure.net", login), BLOBSEAL_OK);
    cr_expect_eq(check(host, "https://VAULT.azure.net", "https://login.windows.net"), BLOBSEAL_OK);
    cr_expect_eq(check(host, "https://management.azure.com", login), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(check(host, "https://azure.net", login), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(check(host, "", login), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(check(host, "https://vault.azure.net", "https://login.evil.example"), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(check(host, "https://vault.azure.net", "http://login.windows.net"), BLOBSEAL_E_UNAVAILABLE);
}
