/* SPDX-License-Identifier: Apache-2.0 */
/* A federated token, as Kubernetes and CI services write it into a file. It is short-lived, and read each time. */
#include <stdlib.h>

#include "kek/keyvault/identity.h"

/* Return @configured, or else a variable of the environment. */
static const char *value_of(const char *configured, const char *variable)
{
    return configured != NULL ? configured : getenv(variable);
}

enum blobseal_status bs_kv_ask_workload(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                        struct blobseal_error *err)
{
    const char *file = value_of(ask->identity.token_file, "AZURE_FEDERATED_TOKEN_FILE");
    const char *client_id = value_of(ask->identity.client_id, "AZURE_CLIENT_ID");
    struct bs_kv_proof_of_client proof = {.client_id = client_id};
    struct bs_kv_text token;
    enum blobseal_status st;

    if (file == NULL || client_id == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "get a token as a workload: %s is not set",
                            file == NULL ? "AZURE_FEDERATED_TOKEN_FILE" : "AZURE_CLIENT_ID");
        blobseal_hint(err, "set it, or token_file and client_id of the identity");
        return BLOBSEAL_E_CONFIG;
    }
    st = bs_kv_read_file(&token, file, true, err); /* a token that a cluster projects can be read by a group */
    proof.assertion = token.p;
    if (st == BLOBSEAL_OK)
        st = bs_kv_oauth(ask, &proof, grant, err);
    blobseal_secret_free(token.p);
    return st;
}
