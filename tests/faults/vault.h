/* SPDX-License-Identifier: Apache-2.0 */
/* Cases with a key in the fake vault. The program is built without them if there is no provider for vaults. */
#ifndef TESTS_FAULTS_VAULT_H
#define TESTS_FAULTS_VAULT_H

#include "tests/support/blobs.h"

/* Start the vault and open a key in it. Return false if the vault cannot run here. */
bool vault_start(void);
void vault_end(void);

enum blobseal_status vault_open_key(struct blobseal_error *err);
enum blobseal_status vault_use_key(struct blobseal_error *err);

#endif
