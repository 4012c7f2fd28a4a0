/* SPDX-License-Identifier: Apache-2.0 */
/* The errors of the service: for each of them what it means, one status, one sentence and the next step. */
#include "kek/keyvault/keyvault.h"

static const char later[] = "try again later";
static const char token[] = "check the identity with which the vault is asked, and the clock of this machine";
static const char grant[] =
    "ask the owner of the vault for the role Key Vault Crypto Service Encryption User; a new role takes some minutes";
static const char policy[] = "ask the owner of the vault for the key permissions get, wrapKey and unwrapKey";
static const char network[] = "ask the owner of the vault to allow the address of this machine, or use a private "
                              "endpoint";
static const char enable[] = "ask the owner of the key to enable this version again";
static const char usage[] = "ask the owner of the key to permit wrapKey and unwrapKey";
static const char recover[] = "ask the owner of the vault to recover it";
static const char missing[] = "check the name of the key and of its vault";
static const char host[] = "check that this is the right host, and that nothing changes the traffic";
static const char version[] = "check that the vault supports version 7.4 of the interface";

/* The result of code_of() for an answer without a code, or that is no JSON: a vault always names one, so something
 * else has answered. */
static const char no_code[] = "no code";

const struct bs_kv_row bs_kv_rows[] = {
    {401, 0, "AKV10022", BS_KV_AUTH, BLOBSEAL_E_DENIED, "the token is for another service",
     "set the token resource of the vault, without a slash at its end"},
    {401, 0, "AKV10032", BS_KV_AUTH, BLOBSEAL_E_DENIED, "the token is from another tenant than that of the vault",
     "set the tenant of the identity to that of the vault"},
    {401, 0, NULL, BS_KV_AUTH, BLOBSEAL_E_DENIED, "the vault does not accept the token", token},
    {403, 0, "AccessDenied", BS_KV_REFUSED, BLOBSEAL_E_DENIED, "the access policy of the vault does not permit it",
     policy},
    {403, 0, "ForbiddenByRbac", BS_KV_REFUSED, BLOBSEAL_E_DENIED, "no role of the identity permits it", grant},
    {403, 0, "ForbiddenByPolicy", BS_KV_REFUSED, BLOBSEAL_E_DENIED, "a policy of the vault forbids it", policy},
    {403, 0, "ForbiddenByFirewall", BS_KV_REFUSED, BLOBSEAL_E_DENIED,
     "the firewall of the vault does not admit this machine", network},
    {403, 0, "ForbiddenByConnection", BS_KV_REFUSED, BLOBSEAL_E_DENIED,
     "the vault admits connections through private endpoints only", network},
    {403, 0, "KeyDisabled", BS_KV_REFUSED, BLOBSEAL_E_DENIED, "the key is disabled", enable},
    {403, 0, "KeyOperationForbidden", BS_KV_REFUSED, BLOBSEAL_E_DENIED, "the key does not permit this operation",
     usage},
    {403, 1, "KeyNotYetValid", BS_KV_REFUSED, BLOBSEAL_E_DENIED, "the key is not valid yet",
     "wait until it is, or compare the clocks"},
    {403, 0, "KeyExpired", BS_KV_REFUSED, BLOBSEAL_E_DENIED, "the key has expired",
     "ask the owner of the key for a new version"},
    {403, 0, NULL, BS_KV_REFUSED, BLOBSEAL_E_DENIED, "the vault does not permit it", grant},
    {404, 0, "SoftDeleted", BS_KV_MISSING, BLOBSEAL_E_DENIED, "the key was deleted, and can be recovered", recover},
    {404, 0, "KeyNotFound", BS_KV_MISSING, BLOBSEAL_E_DENIED, "there is no such key in the vault", missing},
    {404, 0, no_code, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "something else than a vault answers", host},
    {404, 0, NULL, BS_KV_MISSING, BLOBSEAL_E_DENIED, "the vault does not know this path", missing},
    {409, 0, "ObjectIsDeletedButRecoverable", BS_KV_MISSING, BLOBSEAL_E_DENIED,
     "the key was deleted, and can be recovered", recover},
    {409, 3, NULL, BS_KV_BUSY, BLOBSEAL_E_UNAVAILABLE, "the key is being deleted or recovered", later},
    {400, 0, NULL, BS_KV_REQUEST, BLOBSEAL_E_UNSUPPORTED, "the vault does not accept the request", version},
    {405, 0, NULL, BS_KV_REQUEST, BLOBSEAL_E_UNSUPPORTED, "the vault does not know this operation", version},
    {429, 5, NULL, BS_KV_BUSY, BLOBSEAL_E_UNAVAILABLE, "the vault has too many requests to answer",
     "try again later, and ask less often"},
    {408, 3, NULL, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "the vault gave up waiting for the request", later},
    {500, 3, NULL, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "the vault has failed", later},
    {502, 3, NULL, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "the vault cannot be reached", later},
    {503, 3, NULL, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "the vault is not available", later},
    {504, 3, NULL, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "the vault did not answer in time", later},
    {200, 0, NULL, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "the answer is not what a vault answers", host},
    {0, 0, NULL, BS_KV_NO_ANSWER, BLOBSEAL_E_UNAVAILABLE, "the answer has a status that a vault does not use", host},
};
const size_t bs_kv_num_rows = BS_COUNT(bs_kv_rows);

/* Return the most precise code that the vault gave. */
static const char *code_of(const struct bs_kv_said *said)
{
    const char *const codes[] = {said->akv, said->inner, said->code};

    for (size_t i = 0; i < BS_COUNT(codes); i++)
        if (codes[i][0] != '\0')
            return codes[i];
    return no_code;
}

const struct bs_kv_row *bs_kv_row_find(unsigned http, const struct bs_kv_said *said)
{
    const struct bs_kv_row *row = bs_kv_rows;

    for (; row->http != 0; row++) {
        if (row->http != http)
            continue;
        if (row->code == NULL || strcmp(row->code, said->inner) == 0 || strcmp(row->code, said->code) == 0 ||
            strcmp(row->code, said->akv) == 0 || row->code == code_of(said))
            break;
    }
    return row;
}

enum blobseal_status bs_kv_row_fail(const struct bs_kv_row *row, const char *what, const struct bs_http_response *r,
                                    const struct bs_kv_said *said, struct blobseal_error *err)
{
    /* If no row explains the code, the message of the vault may. */
    bool says = row->code == NULL && row->http != 401 && said->message[0] != '\0';

    (void)blobseal_fail(err, row->status, 0, "%.150s: %s (%u %.40s%s%.100s%s%.40s)", what, row->text, r->status,
                        code_of(said), says ? ": " : "", says ? said->message : "",
                        r->request_id[0] != '\0' ? ", request " : "", r->request_id);
    if (row->code != NULL && strcmp(row->code, "KeyNotFound") == 0)
        blobseal_advise(err, BLOBSEAL_ADVICE_NO_SUCH_KEY, NULL, "%s", row->hint);
    else
        blobseal_hint(err, "%s", row->hint);
    return row->status;
}
