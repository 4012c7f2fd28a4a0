/* SPDX-License-Identifier: Apache-2.0 */
/* What the real service has answered, replayed: see tests/vectors/keyvault. */
#include "tests/kek/keyvault/live.h"
#include "tests/support/vectors.h"

static json_t *recordings;

/* Return the recording that is described so. */
static json_t *recording(const char *what)
{
    json_t *each;
    size_t i;

    recordings = recordings != NULL ? recordings : vec_json("keyvault/real-service-7.3.json");
    json_array_foreach(recordings, i,
                       each) if (strstr(json_string_value(json_object_get(each, "what")), what) != NULL) return each;
    cr_assert_fail("no recording of %s", what);
    return NULL;
}

static json_t *response(const char *what, const char *member)
{
    return json_object_get(json_object_get(recording(what), "response"), member);
}

static void expect_challenge(const char *what, const char *host, const char *resource)
{
    const char *text = json_string_value(json_object_get(response(what, "headers"), "WWW-Authenticate"));
    struct bs_kv_settings s = {.resource = bs_kv_resource_of(host)};
    struct blobseal_error err;
    struct bs_kv_challenge c;

    (void)snprintf(s.host, sizeof s.host, "%s", host);
    cr_assert(bs_kv_challenge_parse(&c, text));
    cr_expect_str_eq(c.resource, resource);
    cr_expect_str_eq(c.tenant, "00000000-0000-0000-0000-000000000000");
    cr_expect_eq(bs_kv_challenge_check(&c, &s, &err), BLOBSEAL_OK, "%s", err.text);
}

Test(kv_recordings, challenges)
{
    struct bs_kv_said said;
    char *body = json_dumps(response("without a token", "body"), 0);

    expect_challenge("without a token", "vaultname.vault.azure.net", "https://vault.azure.net");
    expect_challenge("without a token to a Managed HSM", "pool.managedhsm.azure.net", "https://managedhsm.azure.net");
    bs_kv_parse_error(&said, (uint8_t *)body, strlen(body));
    cr_expect_str_eq(said.code, "Unauthorized");
    cr_expect_str_eq(said.akv, "AKV10000");
    free(body);
}

static void expect_key(const char *what, const char *kty)
{
    char *body = json_dumps(response(what, "body"), 0);
    struct bs_kv_key key;

    cr_assert(bs_kv_parse_key(&key, (uint8_t *)body, strlen(body)), "%s", what);
    cr_expect_str_eq(key.kty, kty);
    cr_expect_eq(key.n_len, 256);
    cr_expect(key.enabled && key.may_wrap && key.may_unwrap && !key.managed && !key.exportable);
    cr_expect(key.nbf == 0 && key.exp == 0);
    cr_expect(bs_kv_is_purgeable(&key));
    free(body);
}

Test(kv_recordings, keys)
{
    expect_key("GET of a key version", "RSA");
    expect_key("a key of a Managed HSM", "RSA-HSM");
}

/* Return the text of a JSON value with the host of the real vault replaced. */
static char *at_home(json_t *value)
{
    static const char real[] = "vaultname.vault.azure.net";
    char *text = json_dumps(value, 0), *at = strstr(text, real), *out = malloc(strlen(text) + 64);

    cr_assert(at != NULL && out != NULL);
    (void)snprintf(out, strlen(text) + 64, "%.*s%s%s", (int)(at - text), text, live.v.host, at + strlen(real));
    free(text);
    return out;
}

/* Let the fake vault give the recorded answer, and compare what is sent with what the SDK of that session sent. */
Test(kv_recordings, the_same_request_and_its_answer, .init = live_start, .fini = live_stop)
{
    json_t *unwrap = json_object_get(recording("unwrapkey"), "request"), *body = json_object_get(unwrap, "body");
    const char *path = strstr(json_string_value(json_object_get(unwrap, "url")), "/keys/");
    const char *value = json_string_value(json_object_get(body, "value"));
    const char *expected = json_string_value(json_object_get(response("unwrapkey", "body"), "value"));
    char *answer = at_home(response("unwrapkey", "body")), kid[256], *sent;
    uint8_t wrapped[512], out[512], plain[512];
    size_t len = sizeof out, wrapped_len, plain_len;
    struct blobseal_wrapped w = {.alg = json_string_value(json_object_get(body, "alg")), .kid = kid, .key = wrapped};
    int name_len = (int)(strstr(path, "/unwrapkey") - path);

    cr_assert(blobseal_base64url_decode(wrapped, sizeof wrapped, &wrapped_len, value, strlen(value)));
    cr_assert(blobseal_base64url_decode(plain, sizeof plain, &plain_len, expected, strlen(expected)));
    w.key_len = wrapped_len;
    (void)snprintf(kid, sizeof kid, "https://%s%.*s", live.v.host, name_len, path);
    LIVE_DO("fault", "{\"op\": \"unwrapkey\", \"kind\": \"raw\", \"body\": %s}", answer);
    cr_assert_eq(live_open("livekvtestkeywrapda552dc5"), BLOBSEAL_OK);
    cr_assert_eq(bs_kek_decrypt(live.kek, out, &len, &w, NULL, &live.err), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_eq(len, plain_len);
    cr_expect_arr_eq(out, plain, plain_len);
    sent = test_vault_ask(&live.v, "requests", "{}");
    cr_expect_not_null(strstr(sent, value));
    cr_expect_not_null(strstr(sent, "{\\\"alg\\\":\\\"RSA-OAEP\\\",\\\"value\\\":\\\""), "%s", sent);
    (void)snprintf(kid, sizeof kid, "\"path\": \"%.*s/unwrapkey\", \"query\": {\"api-version\":", name_len, path);
    cr_expect_not_null(strstr(sent, kid), "%s", sent);
    free(sent);
    free(answer);
}
