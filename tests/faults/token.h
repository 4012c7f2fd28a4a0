/* SPDX-License-Identifier: Apache-2.0 */
/* Cases with a key in a token. The program is built without them if there is no PKCS#11 provider. */
#ifndef TESTS_FAULTS_TOKEN_H
#define TESTS_FAULTS_TOKEN_H

#include "tests/support/blobs.h"

/* Open a key in a token, and close it at the end. */
void token_start(void);
void token_end(void);

enum blobseal_status token_open_key(struct blobseal_error *err);
enum blobseal_status token_unwrap(struct blobseal_error *err);
enum blobseal_status token_list(struct blobseal_error *err);

#endif
