/* SPDX-License-Identifier: Apache-2.0 */
/* A client secret, from a file that is read each time: it may be replaced. */
#include "kek/keyvault/identity.h"

enum blobseal_status bs_kv_ask_secret(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                      struct blobseal_error *err)
{
    struct bs_kv_text secret;
    enum blobseal_status st = bs_kv_read_file(&secret, ask->identity.secret_file, false, err);
    const struct bs_kv_proof_of_client proof = {.client_id = ask->identity.client_id, .secret = secret.p};

    if (st == BLOBSEAL_OK)
        st = bs_kv_oauth(ask, &proof, grant, err);
    blobseal_secret_free(secret.p);
    return st;
}
