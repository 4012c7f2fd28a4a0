/* SPDX-License-Identifier: Apache-2.0 */
/* A key in the fake vault, opened through the registry. Each test runs in a process of its own. */
#ifndef TESTS_KEYVAULT_LIVE_H
#define TESTS_KEYVAULT_LIVE_H

#include <stdlib.h>
#include <time.h>

#include "blobseal_config.h"
#include "kek/kek.h"
#include "kek/keyvault/identity.h"
#include "tests/support/suite.h"
#include "tests/support/vault.h"

static struct live {
    struct test_vault v;
    struct blobseal_config *config;
    struct blobseal_config_identity identity;
    struct blobseal_config_vault vault;
    struct blobseal_config_settings settings;
    struct blobseal_kek_options options;
    struct blobseal_kek *kek;
    struct blobseal_wrapping wrapping;
    struct blobseal_secret32 secret, again;
    struct blobseal_lease lease;
    struct blobseal_error err;
    char authority[64], endpoint[64];
} live;

/* Start the vault with a key "kek", and set up what live_open() uses: a managed identity, and short limits. */
static inline void live_start(void)
{
    if (!test_vault_start(&live.v))
        cr_skip_test("needs python3-cryptography");
    TEST_VAULT_DO(&live.v, "create", "{\"name\": \"kek\"}");
    (void)snprintf(live.authority, sizeof live.authority, "https://%s", live.v.host);
    (void)snprintf(live.endpoint, sizeof live.endpoint, "http://localhost:%u", live.v.http);
    live.identity = (struct blobseal_config_identity){
        .size = sizeof live.identity, .name = "id", .type = BLOBSEAL_IDENTITY_MANAGED, .endpoint = live.endpoint};
    live.vault = (struct blobseal_config_vault){.size = sizeof live.vault,
                                                .host = live.v.host,
                                                .ca_file = live.v.ca,
                                                .resource = "https://vault.azure.net",
                                                .authority = live.authority,
                                                .identity = "id"};
    live.settings = (struct blobseal_config_settings){.size = sizeof live.settings};
    live.options = (struct blobseal_kek_options){.size = sizeof live.options};
    memset(&live.secret, 0x5A, sizeof live.secret);
    live.lease.size = sizeof live.lease;
}

static inline void live_close(void)
{
    blobseal_kek_close(live.kek);
    blobseal_config_free(live.config);
    live.kek = NULL;
    live.config = NULL;
}

static inline void live_stop(void)
{
    live_close();
    test_vault_stop(&live.v);
}

/* Open the key @path, such as "kek" or "kek/VERSION", with all that is set up. */
static inline enum blobseal_status live_open(const char *path)
{
    char ref[256];

    live_close();
    cr_assert_eq(blobseal_config_new(&live.config, &live.err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_add_identity(live.config, &live.identity, &live.err), BLOBSEAL_OK, "%s",
                 live.err.text);
    cr_assert_eq(blobseal_config_add_vault(live.config, &live.vault, &live.err), BLOBSEAL_OK, "%s", live.err.text);
    cr_assert_eq(blobseal_config_set(live.config, &live.settings, &live.err), BLOBSEAL_OK, "%s", live.err.text);
    live.options.config = live.config;
    (void)snprintf(ref, sizeof ref, "https://%s/keys/%s", live.v.host, path);
    return blobseal_kek_open(&live.kek, NULL, ref, &live.options, &live.err);
}

static inline enum blobseal_status live_wrap(void)
{
    return bs_kek_wrap(live.kek, &live.wrapping, &live.secret, NULL, &live.err);
}

/* Unwrap what live_wrap() made, within @ms milliseconds unless it is 0. A success must give the secret. */
static inline enum blobseal_status live_unwrap(unsigned ms)
{
    const struct blobseal_wrapped wrapped = {
        .alg = live.wrapping.alg, .kid = live.wrapping.kid, .key = live.wrapping.key, .key_len = live.wrapping.key_len};
    const struct blobseal_call call = bs_call_start(ms, NULL);
    enum blobseal_status st = bs_kek_unwrap(live.kek, &live.again, &wrapped, &live.lease, &call, &live.err);

    cr_expect(st != BLOBSEAL_OK || blobseal_equal(&live.again, &live.secret, sizeof live.secret));
    return st;
}

static inline unsigned live_count(const char *op)
{
    char json[64];

    (void)snprintf(json, sizeof json, "{\"op\": \"%s\"}", op);
    return test_vault_count(&live.v, json);
}

static inline void live_sleep(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

#define LIVE_DO(...) TEST_VAULT_DO(&live.v, __VA_ARGS__)

#endif
