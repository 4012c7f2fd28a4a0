/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases with a key in a vault, which is the fake one, in a process of its own. The addresses are numbers, so that
 * libcurl starts no threads that resolve names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <blobseal_config.h>

#include "tests/faults/files.h"
#include "tests/faults/memory.h"
#include "tests/faults/vault.h"
#include "tests/support/vault.h"

static struct test_vault server;
static struct blobseal_kek *kept; /* with it a connection and a token; opened by the case that uses it */
static char reference[64], host[32], authority[64], endpoint[64];
static char *wrapped;
static size_t wrapped_len;

static void must(enum blobseal_status st, const char *what)
{
    if (st != BLOBSEAL_OK)
        test_support_failed(what);
}

static enum blobseal_status open_key(struct blobseal_kek **k, struct blobseal_error *err)
{
    const struct blobseal_config_identity identity = {
        .size = sizeof identity, .name = "id", .type = BLOBSEAL_IDENTITY_MANAGED, .endpoint = endpoint};
    const struct blobseal_config_vault v = {.size = sizeof v,
                                            .host = host,
                                            .ca_file = server.ca,
                                            .resource = "https://vault.azure.net",
                                            .authority = authority,
                                            .identity = "id"};
    struct blobseal_kek_options options = {.size = sizeof options};
    struct blobseal_config *config = NULL;
    enum blobseal_status st = blobseal_config_new(&config, err);

    *k = NULL;
    if (st == BLOBSEAL_OK)
        st = blobseal_config_add_identity(config, &identity, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_config_add_vault(config, &v, err);
    options.config = config;
    if (st == BLOBSEAL_OK)
        st = blobseal_kek_open(k, NULL, reference, &options, err);
    blobseal_config_free(config);
    return st;
}

static enum blobseal_status unwrap(struct blobseal_kek *k, struct blobseal_error *err)
{
    struct blobseal_secret32 secret;
    enum blobseal_status st = blobseal_kek_unwrap(&k, 1, PURPOSE, wrapped, wrapped_len, NULL, &secret, err);

    if (st == BLOBSEAL_OK && secret.b[0] != 3)
        test_support_failed("unwrap a secret in a vault");
    return st;
}

bool vault_start(void)
{
    const struct blobseal_secret32 secret = {{3}};
    struct blobseal_error err;

    if (!test_vault_start(&server))
        return false;
    TEST_VAULT_DO(&server, "create", "{\"name\": \"kek\"}");
    (void)snprintf(host, sizeof host, "127.0.0.1:%u", server.https);
    (void)snprintf(authority, sizeof authority, "https://%s", host);
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", server.http);
    (void)snprintf(reference, sizeof reference, "https://%s/keys/kek", host);
    must(open_key(&kept, &err), "open a key in a vault");
    must(blobseal_kek_wrap(kept, PURPOSE, &secret, NULL, &wrapped, &wrapped_len, &err), "wrap for a key in a vault");
    must(unwrap(kept, &err), "unwrap in a vault");
    blobseal_kek_close(kept);
    kept = NULL;
    return true;
}

void vault_end(void)
{
    blobseal_kek_close(kept);
    blobseal_free(wrapped);
    test_vault_stop(&server);
}

enum blobseal_status vault_open_key(struct blobseal_error *err)
{
    struct blobseal_kek *k;
    enum blobseal_status st = open_key(&k, err);

    if (st == BLOBSEAL_OK)
        st = unwrap(k, err);
    blobseal_kek_close(k);
    return st;
}

enum blobseal_status vault_use_key(struct blobseal_error *err)
{
    const struct blobseal_secret32 secret = {{4}};
    char *text = NULL;
    size_t len;
    enum blobseal_status st;

    if (kept == NULL) {
        memory_pause(true);
        must(open_key(&kept, err), "open a key in a vault");
        must(unwrap(kept, err), "unwrap in a vault");
        memory_pause(false);
    }
    st = blobseal_kek_wrap(kept, PURPOSE, &secret, NULL, &text, &len, err);
    if (st == BLOBSEAL_OK)
        st = unwrap(kept, err);
    blobseal_free(text);
    return st;
}
