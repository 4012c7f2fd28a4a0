/* SPDX-License-Identifier: Apache-2.0 */
/* The fake vault of tests/keyvault, as a child of this process. */
#ifndef TESTS_VAULT_H
#define TESTS_VAULT_H

#include <stdbool.h>
#include <sys/types.h>

#include <blobseal_config.h>
#include <blobseal_set.h>

struct test_vault {
    char folder[64]; /* with ca.pem, and app.pem with the key and certificate of the app */
    char ca[80], app[80];
    char host[32]; /* "localhost:PORT" */
    unsigned https, http, control;
    pid_t pid;
    int input; /* the vault ends when it is closed */
};

/* Start it. Return false if this machine lacks what it needs; where nothing may be missing (CI=true), the process ends
 * with an error. */
bool test_vault_start(struct test_vault *v);
void test_vault_stop(struct test_vault *v);

/* Make a configuration with the vault and a managed identity. @settings may be NULL. A failure ends the process. */
struct blobseal_config *test_vault_config(const struct test_vault *v, const struct blobseal_config_settings *settings);

/* Make a set whose KEK is the vault's key "kek", and open the set as keks[0] and that key as keks[1]. A failure ends
 * the process. */
struct blobseal_set *test_vault_set(const struct test_vault *v, const struct blobseal_config *config,
                                    struct blobseal_kek *keks[2]);

/* Send a command with a JSON object. Return the answer, which the caller frees. A refusal ends the process. */
char *test_vault_ask(const struct test_vault *v, const char *command, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for commands without an answer. */
#define TEST_VAULT_DO(v, ...) free(test_vault_ask(v, __VA_ARGS__))

/* Return how many requests had the members that @json names. */
unsigned test_vault_count(const struct test_vault *v, const char *json);

#endif
