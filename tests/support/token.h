/* SPDX-License-Identifier: Apache-2.0 */
/* A KEK in the token of the fake module. */
#ifndef TESTS_TOKEN_H
#define TESTS_TOKEN_H

#include "kek/kek.h"
#include "tests/support/fake_module.h"
#include "tests/support/suite.h"

struct token_test {
    struct fake_token *token;
    void (*release)(void);
    void (*reset)(void);
    EVP_PKEY *key;
    char ref[512];
    const char *pin; /* that the caller supplies; NULL: there is no callback */
    unsigned asked;  /* for the PIN */
    struct blobseal_kek_options options;
    struct blobseal_kek *kek;
    struct blobseal_wrapping wrapping; /* of `secret`, for SHA-256 unless `oaep` is set */
    struct blobseal_secret32 secret;
    struct blobseal_error err;
};

/* Load the module, and make a key. The test runs in a process of its own, so nothing is undone. */
void token_test_start(struct token_test *t);

/* Open the KEK as the members say, and wrap the secret in software. */
enum blobseal_status token_test_open(struct token_test *t);

/* Unwrap the secret, with a time limit unless it is 0. It must be the right one if that succeeds. */
enum blobseal_status token_test_unwrap(struct token_test *t, uint32_t timeout_ms);

void token_test_close(struct token_test *t);

/* Forget what the token has counted and been told. */
void token_test_clear(struct token_test *t);

#endif
