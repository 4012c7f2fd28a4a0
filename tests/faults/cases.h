/* SPDX-License-Identifier: Apache-2.0 */
/* What a program can do with the library, each with good keys and good blobs, so that only a lack of memory can fail.
 */
#ifndef TESTS_FAULTS_CASES_H
#define TESTS_FAULTS_CASES_H

#include "tests/support/blobs.h"

/* Properties of a case. */
enum {
    CASE_KEY = 1,     /* opens or generates a key, which takes thousands of allocations            */
    CASE_KEYGEN = 2,  /* takes a tenth of a second; the number of its allocations varies           */
    CASE_CHANGES = 4, /* changes a blob in place, and may be interrupted                            */
    CASE_THREADS = 8, /* starts threads, so that the order of allocations varies                   */
    CASE_COLD = 16,   /* is also tried in a process that has not used OpenSSL before               */
    CASE_RANDOM = 32, /* is also tried in several threads at once                                  */
    CASE_VAULT = 64,  /* sends requests, which may fail in libcurl for a reason that it does not tell */
    CASE_TLS = 128,   /* makes a connection, which takes thousands of allocations of OpenSSL       */
    CASE_KEEPS = 256, /* replaces connections that are kept, so blocks that are left are no leak   */
};

/* One of the two functions is set. They abort if they succeed with a wrong result. */
struct test_case {
    const char *name;
    enum blobseal_status (*run)(struct blobseal_error *err);
    enum blobseal_status (*use)(struct blobseal_kek *k, struct blobseal_error *err);
    unsigned properties;
};

/* Run a case, with the key that is open, or else with one that is opened for it. */
enum blobseal_status case_run(const struct test_case *c, struct blobseal_error *err);

extern const struct test_case cases[];
extern const size_t num_cases;

/* In config.c: load a configuration, and open a key that it names. */
enum blobseal_status config_load(struct blobseal_error *err);

/* In sets.c: make a set, use, rotate and open it. */
enum blobseal_status set_make_and_use(struct blobseal_error *err);

/* In layers.c: encrypt and decrypt a layer. */
enum blobseal_status layer_small(struct blobseal_error *err);
enum blobseal_status layer_in_threads(struct blobseal_error *err);

/* In layer_keys.c: wrap and unwrap the keys of a layer, and answer messages to a key provider. */
enum blobseal_status layer_keys(struct blobseal_kek *k, struct blobseal_error *err);
enum blobseal_status layer_messages(struct blobseal_kek *k, struct blobseal_error *err);

/* Make empty files for keys and blobs, which this process and its children share. */
void files_make(void);

/* Fill the files. This uses OpenSSL, so a process that must stay cold calls it in a child. */
void files_fill(void);

/* Read what cases use as text. */
void files_read(void);

/* Open the keys that cases use. */
void keys_open(void);
void keys_close(void);

/* Undo a change of recipients that was interrupted. */
enum blobseal_status changes_undo(struct blobseal_error *err);

#endif
