/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTPS client against a server that misbehaves. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kek/http/http.h"
#include "kek/http/libcurl.h"
#include "tests/support/suite.h"
#include "tests/support/vault.h"

static struct test_vault v;
static const int never;
static struct blobseal_error err;

static void start(void)
{
    if (!test_vault_start(&v))
        cr_skip_test("needs python3-cryptography");
}

static void stop(void)
{
    test_vault_stop(&v);
}

TestSuite(http, .init = start, .fini = stop);

/* Send a request that asks for the path @path of the vault. */
static enum blobseal_status get(struct bs_http_client *c, struct bs_http_response *r, const char *path, unsigned ms)
{
    char url[256];
    const struct blobseal_call call = {.size = sizeof call, .deadline_ms = bs_http_now_ms() + ms, .cancel = &never};
    const struct bs_http_request q = {.what = "ask", .url = url};

    (void)snprintf(url, sizeof url, "https://%s%s", v.host, path);
    return bs_http_send(c, &q, r, &call, &err);
}

static struct bs_http_client *new_client(const char *ca)
{
    const struct bs_http_options o = {.ca_file = ca};
    struct bs_http_client *c;

    cr_assert_eq(bs_http_client_new(&c, &o, &err), BLOBSEAL_OK, "%s", err.text);
    return c;
}

Test(http, answers_with_their_headers)
{
    struct bs_http_client *c = new_client(v.ca);
    struct bs_http_response r = {0};

    cr_assert_eq(get(c, &r, "/keys/kek?api-version=7.4", 30000), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(r.status, 401);
    cr_expect_eq(r.failure, BS_HTTP_ANSWERED);
    cr_expect_not_null(strstr((char *)r.body, "AKV10000"));
    cr_expect_eq(r.len, strlen((char *)r.body));
    cr_expect_not_null(strstr(r.challenge, "resource=\"https://vault.azure.net\""));
    cr_expect_str_eq(r.request_id, "request-1");
    cr_expect(r.date > 1700000000);
    cr_expect(r.sent_unix_ms != 0 && r.sent_boottime_ms != 0);
    bs_http_response_clear(&r);
    bs_http_client_free(c);
}

static const struct http_fault {
    const char *json;
    enum bs_http_failure failure;
} faults[] = {
    {"{\"kind\": \"reset\", \"times\": 1}", BS_HTTP_BROKEN},
    {"{\"kind\": \"half\", \"times\": 1}", BS_HTTP_BROKEN},
    {"{\"kind\": \"garbage\", \"times\": 1}", BS_HTTP_MALFORMED},
    {"{\"kind\": \"huge\", \"times\": 1}", BS_HTTP_TOO_LARGE},
    {"{\"kind\": \"huge\", \"announce\": false, \"times\": 1}", BS_HTTP_TOO_LARGE},
    {"{\"kind\": \"huge_headers\", \"times\": 1}", BS_HTTP_TOO_LARGE},
    {"{\"kind\": \"blackhole\", \"times\": 1}", BS_HTTP_TIMEOUT},
    {"{\"kind\": \"slow\", \"times\": 1}", BS_HTTP_TIMEOUT},
};

Test(http, faults_end_in_time_and_leave_a_client_that_works)
{
    struct bs_http_client *c = new_client(v.ca);
    struct bs_http_response r = {0};

    for (size_t i = 0; i < BS_COUNT(faults); i++) {
        bool waits = faults[i].failure == BS_HTTP_TIMEOUT;
        uint64_t begin;

        TEST_VAULT_DO(&v, "fault", "%s", faults[i].json);
        begin = bs_http_now_ms();
        cr_expect_eq(get(c, &r, "/keys/k", waits ? 300 : 30000), BLOBSEAL_E_UNAVAILABLE, "%s", faults[i].json);
        cr_expect_eq(r.failure, faults[i].failure, "%s: %d, %s", faults[i].json, (int)r.failure, err.text);
        cr_expect_null(r.body);
        cr_expect(!waits || bs_http_now_ms() - begin >= 250);
        TEST_VAULT_DO(&v, "heal", "{}");
        cr_expect_eq(get(c, &r, "/keys/k", 30000), BLOBSEAL_OK, "after %s: %s", faults[i].json, err.text);
    }
    bs_http_response_clear(&r);
    bs_http_client_free(c);
}

Test(http, a_redirect_is_an_answer)
{
    struct bs_http_client *c = new_client(v.ca);
    struct bs_http_response r = {0};

    TEST_VAULT_DO(&v, "fault", "{\"kind\": \"redirect\", \"location\": \"https://%s/keys/other\"}", v.host);
    cr_expect_eq(get(c, &r, "/keys/k", 30000), BLOBSEAL_OK);
    cr_expect_eq(r.status, 302);
    cr_expect_eq(test_vault_count(&v, "{\"path\": \"/keys/other\"}"), 0);
    bs_http_response_clear(&r);
    bs_http_client_free(c);
}

Test(http, certificates_are_checked)
{
    static const char *const bad[] = {"expired", "future", "wrong_host", "self_signed", "other_ca", "old_tls"};
    struct bs_http_response r = {0};
    struct bs_http_client *c;

    for (size_t i = 0; i < BS_COUNT(bad); i++) {
        enum bs_http_failure expected = strcmp(bad[i], "old_tls") == 0 ? BS_HTTP_TLS : BS_HTTP_TRUST;

        c = new_client(v.ca);
        TEST_VAULT_DO(&v, "set", "{\"certificate\": \"%s\"}", bad[i]);
        cr_expect_eq(get(c, &r, "/", 30000), BLOBSEAL_E_UNAVAILABLE, "%s", bad[i]);
        cr_expect_eq(r.failure, expected, "%s: %d, %s", bad[i], (int)r.failure, err.text);
        bs_http_client_free(c);
    }
    cr_expect_eq(test_vault_count(&v, "{}"), 0, "a request reached a server that is not trusted");
    TEST_VAULT_DO(&v, "set", "{\"certificate\": \"good\"}");
    c = new_client(NULL); /* the authorities of the system do not know this server */
    cr_expect_eq(get(c, &r, "/", 30000), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(r.failure, BS_HTTP_TRUST);
    bs_http_client_free(c);
    c = new_client("/no/such/file");
    cr_expect_eq(get(c, &r, "/", 30000), BLOBSEAL_E_CONFIG);
    bs_http_client_free(c);
}

Test(http, only_https_and_local_http)
{
    static const char *const refused[] = {"http://example.com/",     "ftp://localhost/",      "file:///etc/passwd",
                                          "http://localhost.evil/x", "http://169.254.evil/x", "http://10.0.0.1/"};
    const struct bs_http_options local = {.local = true};
    const struct blobseal_call call = {.size = sizeof call, .deadline_ms = bs_http_now_ms() + 30000, .cancel = &never};
    struct bs_http_response r = {0};
    struct bs_http_client *c;
    char url[96];
    struct bs_http_request q = {.what = "ask", .url = url};

    cr_assert_eq(bs_http_client_new(&c, &local, &err), BLOBSEAL_OK);
    for (size_t i = 0; i < BS_COUNT(refused); i++) {
        (void)snprintf(url, sizeof url, "%s", refused[i]);
        cr_expect_neq(bs_http_send(c, &q, &r, &call, &err), BLOBSEAL_OK, "%s", refused[i]);
    }
    (void)snprintf(url, sizeof url, "http://localhost:%u/other", v.http);
    cr_expect_eq(bs_http_send(c, &q, &r, &call, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(r.status, 404);
    bs_http_client_free(c);
    c = new_client(NULL);
    cr_expect_eq(bs_http_send(c, &q, &r, &call, &err), BLOBSEAL_E_CONFIG);
    bs_http_response_clear(&r);
    bs_http_client_free(c);
}

Test(http, can_be_canceled)
{
    struct bs_http_client *c = new_client(v.ca);
    struct bs_http_response r = {0};
    const int canceled = 1;
    const struct blobseal_call call = {.size = sizeof call, .cancel = &canceled};
    const struct bs_http_request q = {.what = "ask", .url = "https://localhost:1/"};
    char url[64];
    struct bs_http_request hang = {.what = "ask", .url = url};

    cr_expect_neq(bs_http_send(c, &q, &r, &call, &err), BLOBSEAL_OK);
    TEST_VAULT_DO(&v, "fault", "{\"kind\": \"blackhole\"}");
    (void)snprintf(url, sizeof url, "https://%s/", v.host);
    cr_expect_eq(bs_http_send(c, &hang, &r, &call, &err), BLOBSEAL_E_CANCELED);
    cr_expect_eq(bs_http_wait(60000, "wait", &call, &err), BLOBSEAL_E_CANCELED);
    bs_http_client_free(c);
}

/* The child makes connections of its own; the parent's connection goes on working. */
Test(http, a_forked_child_does_not_disturb_its_parent)
{
    struct bs_http_client *c = new_client(v.ca);
    struct bs_http_response r = {0};
    int status;
    pid_t pid;

    cr_assert_eq(get(c, &r, "/", 30000), BLOBSEAL_OK);
    pid = fork();
    if (pid == 0) {
        bool ok = get(c, &r, "/child", 30000) == BLOBSEAL_OK;

        bs_http_response_clear(&r);
        bs_http_client_free(c);
        _exit(ok ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
    cr_expect_eq(get(c, &r, "/", 30000), BLOBSEAL_OK, "%s", err.text);
    bs_http_response_clear(&r);
    bs_http_client_free(c);
}

Test(http_waiting, every_form_of_retry_after)
{
    static const struct {
        const char *ms, *text;
        int64_t date, expected;
    } cases[] = {
        {"", "", -1, -1},
        {"", "3", -1, 3000},
        {"250", "3", -1, 250},
        {"", "0", -1, 0},
        {"", "-1", -1, -1},
        {"", "soon", -1, -1},
        {"", "99999999999999999999", -1, 86400000},
        {"", "Sun, 06 Nov 1994 08:49:37 GMT", 784111770, 7000},
        {"", "Sun, 06 Nov 1994 08:49:37 GMT", 784111790, 0},
        {"", "Sun, 06 Nov 1994 08:49:37 GMT", -1, 0},
        {"x", "2", -1, 2000},
    };

    cr_assert_eq(bs_libcurl_load(NULL), BLOBSEAL_OK); /* it reads dates */
    for (size_t i = 0; i < BS_COUNT(cases); i++) {
        struct bs_http_response r = {.date = cases[i].date};

        (void)snprintf(r.retry_after, sizeof r.retry_after, "%s", cases[i].text);
        (void)snprintf(r.retry_after_ms, sizeof r.retry_after_ms, "%s", cases[i].ms);
        cr_expect_eq(bs_http_retry_after(&r), cases[i].expected, "case %zu: %lld", i,
                     (long long)bs_http_retry_after(&r));
    }
}

Test(http_waiting, pauses_grow_and_differ)
{
    static const unsigned expected[] = {1000, 2000, 4000, 8000, 16000, 16000};
    const struct blobseal_call call = {.size = sizeof call, .deadline_ms = bs_http_now_ms() + 30000, .cancel = &never};

    for (unsigned i = 0; i < BS_COUNT(expected); i++)
        cr_expect(bs_http_backoff(i) <= expected[i] && bs_http_backoff(i) >= expected[i] * 3 / 4 - 1);
    cr_expect_eq(bs_http_wait(60000, "wait", &call, &err), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(bs_http_wait(1, "wait", &call, &err), BLOBSEAL_OK);
}
