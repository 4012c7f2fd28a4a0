/* SPDX-License-Identifier: Apache-2.0 */
/* Where tokens come from, each kind against the endpoint that it asks. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/kek/keyvault/live.h"

#define TENANT "11111111-2222-3333-4444-555555555555"
#define SYSTEM "aaaaaaaa-0000-0000-0000-000000000001" /* object ids: see tests/keyvault/fake_tokens.py */
#define USER   "aaaaaaaa-0000-0000-0000-000000000002"
#define APP    "aaaaaaaa-0000-0000-0000-000000000003"
#define CLIENT "bbbbbbbb-0000-0000-0000-000000000003"
#define SECRET "the~secret.of the app"

TestSuite(kv_identity, .init = live_start, .fini = live_stop);

static char path[128];

/* Write a file that only the user can read, and return its path. */
static const char *file_with(const char *text)
{
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/file", live.v.folder);
    (void)unlink(path);
    (void)umask(077);
    f = fopen(path, "we");
    cr_assert_not_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
    return path;
}

static struct blobseal_config_identity identity(enum blobseal_identity_type type)
{
    return (struct blobseal_config_identity){
        .size = sizeof(struct blobseal_config_identity), .name = "id", .type = type};
}

/* Look up the key. The identity with the object id @oid must have asked. */
static void expect_caller(const char *oid)
{
    char json[96];

    LIVE_DO("forget", "{}");
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK, "%s", live.err.text);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK, "%s (%s)", live.err.text, live.err.hint);
    (void)snprintf(json, sizeof json, "{\"op\": \"get\", \"oid\": \"%s\"}", oid);
    cr_expect_eq(test_vault_count(&live.v, json), 1, "%s", oid);
}

/* Look up the key, which must fail. */
static void expect_failure(enum blobseal_status st, const char *text)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_eq(live_wrap(), st, "%s: %s", text, live.err.text);
    cr_expect_not_null(strstr(live.err.text, text), "%s: %s", text, live.err.text);
    cr_expect_null(strstr(live.err.text, SECRET));
    cr_expect_neq(live.err.hint[0], '\0', "%s", live.err.text);
}

/* ---- Managed identities ------------------------------------------------------------------------------------------ */

Test(kv_identity, of_a_machine)
{
    expect_caller(SYSTEM);
    live.identity.client_id = "bbbbbbbb-0000-0000-0000-000000000002";
    expect_caller(USER);
    live.identity.client_id = NULL;
    live.identity.object_id = USER;
    expect_caller(USER);
    live.identity.object_id = NULL;
    live.identity.resource_id =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u";
    expect_caller(USER);
    live.identity.resource_id = "/subscriptions/s/other";
    expect_failure(BLOBSEAL_E_DENIED, "there is no such managed identity");
    live.identity.resource_id = NULL;
    live.identity.endpoint = "http://10.1.2.3";
    expect_failure(BLOBSEAL_E_CONFIG, "only https is allowed");
}

Test(kv_identity, of_a_machine_that_is_not_ready)
{
    LIVE_DO("fault", "{\"op\": \"identity\", \"kind\": \"error\", \"status\": 410, \"times\": 2, \"headers\": "
                     "{\"retry-after-ms\": \"60\"}}");
    expect_caller(SYSTEM);
    cr_expect_eq(live_count("identity"), 3);
    LIVE_DO("fault", "{\"op\": \"identity\", \"kind\": \"error\", \"status\": 503, \"headers\": {\"Retry-After\": "
                     "\"100\"}}");
    live.settings.deadline_s = 60;
    expect_failure(BLOBSEAL_E_UNAVAILABLE, "get a token from the managed identity of this machine");
}

Test(kv_identity, of_services)
{
    char url[64];

    live.identity.endpoint = NULL;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/msi/token", live.v.http);
    (void)setenv("IDENTITY_ENDPOINT", url, 1);
    (void)setenv("IDENTITY_HEADER", "app-service", 1);
    expect_caller(SYSTEM);
    live.identity.object_id = USER;
    expect_caller(USER);
    live.identity.object_id = NULL;
    live.identity.resource_id =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u";
    expect_caller(USER);
    live.identity.resource_id = NULL;
    (void)setenv("IDENTITY_HEADER", "wrong", 1);
    expect_failure(BLOBSEAL_E_DENIED, "of this service: it answers with status 401");
    (void)setenv("IDENTITY_SERVER_THUMBPRINT", "x", 1);
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_UNSUPPORTED);
    (void)unsetenv("IDENTITY_SERVER_THUMBPRINT");
    (void)unsetenv("IDENTITY_ENDPOINT");
    (void)snprintf(url, sizeof url, "http://localhost:%u/cloudshell/token", live.v.http);
    (void)setenv("MSI_ENDPOINT", url, 1);
    expect_caller(SYSTEM);
    live.identity.client_id = "bbbbbbbb-0000-0000-0000-000000000002";
    expect_failure(BLOBSEAL_E_CONFIG, "is the only one there is");
}

Test(kv_identity, of_arc)
{
    struct bs_kv_text text;
    char folder[96], challenge[200], key[160], url[64];

    (void)snprintf(folder, sizeof folder, "%s/", live.v.folder);
    (void)file_with("arc-secret\n");
    (void)snprintf(key, sizeof key, "%s.key", path);
    (void)rename(path, key);
    (void)snprintf(challenge, sizeof challenge, "Basic realm=%s", key);
    cr_assert_eq(bs_kv_arc_secret(&text, challenge, folder, &live.err), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_str_eq(text.p, "arc-secret");
    blobseal_secret_free(text.p);
    cr_expect_neq(bs_kv_arc_secret(&text, challenge, "/var/opt/azcmagent/tokens/", &live.err), BLOBSEAL_OK);
    cr_expect_neq(bs_kv_arc_secret(&text, "Basic realm=/var/opt/azcmagent/tokens/../../../etc/x.key",
                                   "/var/opt/azcmagent/tokens/", &live.err),
                  BLOBSEAL_OK);
    cr_expect_neq(bs_kv_arc_secret(&text, "Bearer x", folder, &live.err), BLOBSEAL_OK);
    /* The whole exchange, up to the file that must be where only the agent writes. */
    live.identity.endpoint = NULL;
    (void)snprintf(url, sizeof url, "http://localhost:%u/arc/token", live.v.http);
    (void)setenv("IDENTITY_ENDPOINT", url, 1);
    (void)setenv("IMDS_ENDPOINT", "http://localhost", 1);
    LIVE_DO("set", "{\"arc_file\": \"%s/file.key\"}", live.v.folder);
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(live.err.text, "a file that is not one of its own"), "%s", live.err.text);
}

/* ---- Applications ------------------------------------------------------------------------------------------------ */

Test(kv_identity, with_a_secret)
{
    live.identity = identity(BLOBSEAL_IDENTITY_SECRET);
    live.identity.client_id = CLIENT;
    live.identity.tenant_id = TENANT;
    live.identity.secret_file = file_with(SECRET "\n");
    expect_caller(APP);
    live.identity.tenant_id = NULL; /* the vault knows it */
    expect_caller(APP);
    cr_expect_eq(test_vault_count(&live.v, "{\"status\": 401}"), 1);
    live.identity.tenant_id = TENANT;
    (void)file_with("wrong");
    expect_failure(BLOBSEAL_E_DENIED, "the client secret is wrong");
    (void)chmod(path, 0644);
    expect_failure(BLOBSEAL_E_POLICY, "can be read by others");
    (void)file_with("\n");
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_CONFIG);
    (void)file_with(SECRET);
    live.identity.client_id = "bbbbbbbb-0000-0000-0000-000000000099";
    expect_failure(BLOBSEAL_E_DENIED, "the application is not in this tenant");
    live.identity.client_id = CLIENT;
    live.identity.tenant_id = "99999999-0000-0000-0000-000000000000";
    expect_failure(BLOBSEAL_E_DENIED, "there is no such tenant");
}

Test(kv_identity, with_a_certificate)
{
    live.identity = identity(BLOBSEAL_IDENTITY_CERTIFICATE);
    live.identity.client_id = CLIENT;
    live.identity.tenant_id = TENANT;
    live.identity.certificate_file = live.v.app;
    expect_caller(APP);
    live.identity.certificate_file = file_with("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    expect_failure(BLOBSEAL_E_CONFIG, "does not contain a certificate and its RSA private key");
    LIVE_DO("set", "{\"certificate\": \"good\"}");
}

Test(kv_identity, of_a_workload)
{
    live.identity = identity(BLOBSEAL_IDENTITY_WORKLOAD);
    live.identity.client_id = CLIENT;
    live.identity.tenant_id = TENANT;
    live.identity.token_file = file_with("the.token.of.the.cluster\n");
    expect_caller(APP);
    live.identity = identity(BLOBSEAL_IDENTITY_WORKLOAD);
    expect_failure(BLOBSEAL_E_CONFIG, "AZURE_FEDERATED_TOKEN_FILE is not set");
    (void)setenv("AZURE_FEDERATED_TOKEN_FILE", path, 1);
    expect_failure(BLOBSEAL_E_CONFIG, "AZURE_CLIENT_ID is not set");
    (void)setenv("AZURE_CLIENT_ID", CLIENT, 1);
    (void)setenv("AZURE_TENANT_ID", TENANT, 1);
    expect_caller(APP);
    (void)file_with("another.token");
    expect_failure(BLOBSEAL_E_DENIED, "the certificate is not that of the application");
    /* The environment cannot name an authority that is not one of Azure. */
    live.vault.authority = NULL;
    (void)setenv("AZURE_AUTHORITY_HOST", "https://login.evil.example/", 1);
    expect_failure(BLOBSEAL_E_CONFIG, "which is not an authority of Azure");
}

/* ---- Commands ---------------------------------------------------------------------------------------------------- */

/* Get a token of the system identity for commands to print. */
static void get_token(char *out, size_t cap)
{
    struct bs_kv_settings s;
    struct bs_kv_session *session;
    struct bs_kv_token *token;
    struct bs_kv_id id;
    char ref[128];
    const struct blobseal_call call = bs_call_start(0, NULL);

    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    (void)snprintf(ref, sizeof ref, "https://%s/keys/kek", live.v.host);
    cr_assert_null(bs_kv_id_parse(&id, ref));
    cr_assert_eq(bs_kv_settings_get(&s, id.host, live.config, NULL, &live.err), BLOBSEAL_OK);
    cr_assert_eq(bs_kv_session_open(&session, &s, &live.err), BLOBSEAL_OK);
    cr_assert_eq(bs_kv_token_get(session, &token, &call, &live.err), BLOBSEAL_OK, "%s", live.err.text);
    (void)snprintf(out, cap, "%s", token->text + strlen("Bearer "));
    bs_kv_token_put(session, token);
    bs_kv_session_close(session);
}

Test(kv_identity, of_a_command)
{
    static const char *command[4] = {"/bin/sh", "-c"};
    char token[2048], script[4096];

    get_token(token, sizeof token);
    live.identity = identity(BLOBSEAL_IDENTITY_COMMAND);
    live.identity.command = command;
    live.identity.num_command = 3;
    command[2] = script;
    (void)snprintf(script, sizeof script, "echo; echo '%s'; echo noise >&2", token);
    expect_caller(SYSTEM);
    (void)snprintf(script, sizeof script,
                   "printf '{\"accessToken\": \"%s\", \"expiresOn\": \"2099-01-01 00:00:00.000000\", \"expires_on\": "
                   "4070908800, \"tenant\": \"t\", \"x\": null}'",
                   token);
    expect_caller(SYSTEM);
    (void)snprintf(script, sizeof script, "cat; pwd >&2; exec 9>&1; test \"$(pwd)\" = / && echo '%s'", token);
    expect_caller(SYSTEM); /* no input, and a folder that nobody else can fill */
    (void)snprintf(script, sizeof script, "echo 'log in first' >&2; exit 3");
    expect_failure(BLOBSEAL_E_UNAVAILABLE, "run /bin/sh: it failed: log in first");
    (void)snprintf(script, sizeof script, "kill -9 $$");
    expect_failure(BLOBSEAL_E_UNAVAILABLE, "a signal ended it");
    (void)snprintf(script, sizeof script, "yes");
    expect_failure(BLOBSEAL_E_UNAVAILABLE, "it prints too much");
    (void)snprintf(script, sizeof script, "printf 'a token\\r\\nX: y'");
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_UNAVAILABLE);
    live.settings.deadline_s = 1;
    (void)snprintf(script, sizeof script, "sleep 100");
    expect_failure(BLOBSEAL_E_UNAVAILABLE, "it took too long");
    live.settings.deadline_s = 0;
    command[0] = "/no/such/command";
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_CONFIG);
}

Test(kv_identity, of_the_azure_cli)
{
    char token[2048], script[4096], az[128], search[256];
    FILE *f;

    get_token(token, sizeof token);
    (void)snprintf(az, sizeof az, "%s/az", live.v.folder);
    f = fopen(az, "we");
    cr_assert_not_null(f);
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\n[ \"$*\" = 'account get-access-token --output json --resource https://vault.azure.net "
                   "--tenant " TENANT "' ] || exit 9\nprintf '{\"accessToken\": \"%s\", \"expires_on\": 4070908800}'\n",
                   token);
    (void)fputs(script, f);
    (void)fclose(f);
    (void)chmod(az, 0700);
    (void)snprintf(search, sizeof search, "%s:/usr/bin:/bin", live.v.folder);
    (void)setenv("PATH", search, 1);
    live.identity = identity(BLOBSEAL_IDENTITY_AZURE_CLI);
    live.identity.tenant_id = TENANT;
    expect_caller(SYSTEM);
}

/* ---- auto -------------------------------------------------------------------------------------------------------- */

Test(kv_identity, automatic)
{
    struct blobseal_config_identity i = identity(BLOBSEAL_IDENTITY_AUTO);
    const char *name;

    live.identity = i;
    if (freopen("/dev/null", "r", stdin) == NULL)
        cr_skip_test("no /dev/null");
    expect_failure(BLOBSEAL_E_CONFIG, "this machine offers no identity");
    (void)setenv("IDENTITY_ENDPOINT", "http://localhost", 1);
    cr_assert_eq(bs_kv_identity_choose(&i, &name, &live.err), BLOBSEAL_OK);
    cr_expect_eq(i.type, BLOBSEAL_IDENTITY_MANAGED);
    (void)setenv("AZURE_CLIENT_ID", CLIENT, 1);
    (void)setenv("AZURE_TENANT_ID", TENANT, 1);
    (void)setenv("AZURE_FEDERATED_TOKEN_FILE", file_with("the.token.of.the.cluster"), 1);
    expect_caller(APP);
    (void)setenv("AZURE_CLIENT_CERTIFICATE_PATH", live.v.app, 1);
    i = identity(BLOBSEAL_IDENTITY_AUTO);
    cr_assert_eq(bs_kv_identity_choose(&i, &name, &live.err), BLOBSEAL_OK);
    cr_expect_str_eq(name, "client certificate");
    expect_caller(APP);
    /* What was chosen is not given up for another one when it fails. */
    (void)setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/no/such/file", 1);
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_expect_eq(live_wrap(), BLOBSEAL_E_INPUT);
}

/* ---- The token --------------------------------------------------------------------------------------------------- */

Test(kv_identity, a_token_that_the_vault_refuses_is_replaced_once)
{
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("set", "{\"old_tokens_end\": true}");
    cr_assert_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_eq(live_count("identity"), 2);
    cr_expect_eq(live_count("unwrapkey"), 2);
    LIVE_DO("fault", "{\"op\": \"unwrapkey\", \"kind\": \"error\", \"status\": 401, \"code\": \"Unauthorized\"}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_DENIED);
    cr_expect_eq(live_count("unwrapkey"), 4);
    cr_expect_eq(live_count("identity"), 3);
}

Test(kv_identity, claims_of_a_challenge_are_passed_on)
{
    live.identity = identity(BLOBSEAL_IDENTITY_SECRET);
    live.identity.client_id = CLIENT;
    live.identity.tenant_id = TENANT;
    live.identity.secret_file = file_with(SECRET);
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    LIVE_DO("set", "{\"claims_needed\": {\"access_token\": {\"nbf\": {\"value\": \"1\"}}}}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "%s", live.err.text);
    cr_expect_eq(live_count("token"), 2);
}

Test(kv_identity, a_token_is_replaced_before_it_ends)
{
    uint64_t start = bs_http_now_ms();
    enum blobseal_status st;
    unsigned before;
    bool slow;

    LIVE_DO("set", "{\"life\": 6, \"refresh_in\": 1}");
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_assert_eq(live_unwrap(0), BLOBSEAL_OK);
    live_sleep(1200);
    before = live_count("identity"); /* more than one if the machine was slow until now */
    LIVE_DO("fault", "{\"op\": \"identity\", \"kind\": \"error\", \"status\": 400}");
    st = live_unwrap(0);
    slow = bs_http_now_ms() - start > 4000; /* on a machine that is very busy, the token has ended */
    cr_expect(slow || st == BLOBSEAL_OK, "the old one is still valid: %s", live.err.text);
    (void)!live_unwrap(0);
    slow = slow || bs_http_now_ms() - start > 4000;
    cr_expect(slow || live_count("identity") == before + 1, "after a failure it is used for a while");
    live_sleep(5000);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_E_DENIED);
    LIVE_DO("heal", "{}");
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK, "a failure is not remembered");
}

Test(kv_identity, keys_of_one_vault_share_a_token)
{
    struct blobseal_kek *first;

    LIVE_DO("create", "{\"name\": \"other\"}");
    cr_assert_eq(live_open("kek"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    first = live.kek;
    live.kek = NULL;
    cr_assert_eq(live_open("other"), BLOBSEAL_OK);
    cr_assert_eq(live_wrap(), BLOBSEAL_OK);
    cr_expect_eq(live_count("identity"), 1);
    blobseal_kek_close(first);
    cr_expect_eq(live_unwrap(0), BLOBSEAL_OK);
    cr_expect_eq(live_count("identity"), 1);
}
