/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities: where a token for a vault comes from. One file for each kind:
 *
 *   identity.c              the choice, and `auto`        identity_managed.c      machines and services of Azure
 *   identity_workload.c     a federated token             identity_secret.c       a client secret
 *   identity_certificate.c  a client certificate          identity_command.c      a command, and the Azure CLI
 *   identity_oauth.c        requests to an authority      spawn.c                 running a command
 */
#ifndef BLOBSEAL_KEYVAULT_IDENTITY_H
#define BLOBSEAL_KEYVAULT_IDENTITY_H

#include "kek/keyvault/keyvault.h"

#define BS_KV_MAX_TOKEN 32768
#define BS_KV_MAX_FILE  16384 /* of a secret, a federated token, or a certificate with its key */

/* What a token is asked for with. */
struct bs_kv_ask {
    struct bs_kv_session *session;
    struct blobseal_config_identity identity; /* what `auto` has chosen, or that of the settings */
    const char *authority;                    /* "https://login.microsoftonline.com" */
    const char *tenant;                       /* NULL: not known */
    const char *claims;                       /* JSON, or NULL */
    const struct blobseal_call *call;
};

/* What is received. All numbers are seconds; 0: not known. */
struct bs_kv_grant {
    struct bs_kv_token *token;
    int64_t life, refresh_in;
};

/* A text in secret memory. */
struct bs_kv_text {
    char *p;
    size_t len;
};

/* Get a token. Errors: E_CONFIG, E_DENIED, E_UNAVAILABLE, E_INPUT, E_POLICY, E_NOMEM, E_CANCELED. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_identity_get(struct bs_kv_session *s, const char *tenant,
                                                          const char *claims, struct bs_kv_grant *grant,
                                                          const struct blobseal_call *call, struct blobseal_error *err);

/* Choose what `auto` means now, and return it; any other identity is returned as it is. *@name names it for people.
 * Errors: E_CONFIG (there is none). */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_identity_choose(struct blobseal_config_identity *identity,
                                                             const char **name, struct blobseal_error *err);

/* Return true if this kind of identity asks an authority, which must know the tenant. */
bool bs_kv_identity_needs_tenant(enum blobseal_identity_type type);

/* Return the tenant that the settings or the environment name, or NULL. */
const char *bs_kv_identity_tenant(const struct bs_kv_settings *settings);

enum blobseal_status bs_kv_ask_managed(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                       struct blobseal_error *err);
enum blobseal_status bs_kv_ask_workload(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                        struct blobseal_error *err);
enum blobseal_status bs_kv_ask_secret(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                      struct blobseal_error *err);
enum blobseal_status bs_kv_ask_certificate(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                           struct blobseal_error *err);
enum blobseal_status bs_kv_ask_cli(const struct bs_kv_ask *ask, struct bs_kv_grant *grant, struct blobseal_error *err);
enum blobseal_status bs_kv_ask_command(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                       struct blobseal_error *err);

/* Read the secret of Azure Arc: @challenge names a file, which must be in @folder and end in ".key". Errors:
 * E_UNAVAILABLE, those of bs_kv_read_file(). */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_arc_secret(struct bs_kv_text *out, const char *challenge,
                                                        const char *folder, struct blobseal_error *err);

/* ---- identity_oauth.c -------------------------------------------------------------------------------------------- */

/* Write the URL at which tokens of the tenant are requested. Errors: E_CONFIG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_token_url(char *url, size_t cap, const struct bs_kv_ask *ask,
                                                       struct blobseal_error *err);

/* How a client proves who it is. */
struct bs_kv_proof_of_client {
    const char *client_id;
    const char *secret;    /* or */
    const char *assertion; /* a JWT */
};

/* Request a token with client credentials (RFC 6749 section 4.4, RFC 7523). */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_oauth(const struct bs_kv_ask *ask,
                                                   const struct bs_kv_proof_of_client *proof, struct bs_kv_grant *grant,
                                                   struct blobseal_error *err);

/* Send a request for a token, and try again where that may help. @headers may be NULL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_token_send(struct bs_http_client *client,
                                                        const struct bs_http_request *request,
                                                        struct bs_http_response *answer,
                                                        const struct blobseal_call *call, struct blobseal_error *err);

/* Take the token from the answer to a request, or report why there is none. Errors: E_UNAVAILABLE, E_DENIED, E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_token_take(struct bs_kv_grant *grant, const char *what,
                                                        struct bs_http_response *answer, struct blobseal_error *err);

/* Parse the JSON that an authority, a managed identity or az prints. Errors: E_UNAVAILABLE, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_grant_parse(struct bs_kv_grant *grant, const char *what, uint8_t *text,
                                                         size_t len, struct blobseal_error *err);

/* Make a token of @len characters. Errors: E_UNAVAILABLE (they are not those of a token), E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_grant_set(struct bs_kv_grant *grant, const char *what, const char *text,
                                                       size_t len, struct blobseal_error *err);

/* Append @text as a value of a form or a query. */
void bs_kv_put_escaped(struct bs_builder *w, const char *text);

/* Read a file with a secret, without white space at its end, into secret memory. Errors: E_INPUT, E_POLICY (others can
 * read it, unless @shared), E_CONFIG (empty or too long), E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_read_file(struct bs_kv_text *out, const char *path, bool shared,
                                                       struct blobseal_error *err);

/* ---- spawn.c ----------------------------------------------------------------------------------------------------- */

#define BS_KV_SAID 200

/* Run a command, whose last word is followed by NULL, and return what it prints, in secret memory, and the beginning of
 * what it writes to stderr. Errors: E_CONFIG (it cannot be run), E_UNAVAILABLE (it fails, takes longer than @limit_ms,
 * or prints too much), E_CANCELED, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kv_run(struct bs_kv_text *out, const char *const *command, uint64_t limit_ms,
                                                 const struct blobseal_call *call, struct blobseal_error *err);

#endif
