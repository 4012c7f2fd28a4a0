/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider "https". A key is opened without a request: its description is asked for when it is to wrap, or when
 * somebody needs to know its id. Unwrapping needs nothing but what the envelope says, so that a reader needs no other
 * permission than unwrapKey.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kek/keyvault/keyvault.h"

static void keyvault_close(void *state)
{
    struct bs_kv_kek *k = state;

    if (k == NULL)
        return;
    while (k->proofs != NULL) {
        struct bs_kv_proof *p = k->proofs;

        k->proofs = p->next;
        free(p);
    }
    bs_kv_version_put(k->current);
    bs_kv_version_put(k->described);
    bs_kv_session_close(k->session);
    (void)pthread_mutex_destroy(&k->lock);
    (void)pthread_cond_destroy(&k->changed);
    free(k);
}

static enum blobseal_status parse(struct bs_kv_id *id, const char *ref, struct blobseal_error *err)
{
    char text[BS_KV_MAX_KID + 3];
    const char *wrong = "it is too long";

    if (strlen(ref) + sizeof "https:" < sizeof text) {
        (void)snprintf(text, sizeof text, "https:%s", ref);
        wrong = bs_kv_id_parse(id, text);
    }
    if (wrong == NULL)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "https:%.150s does not name a key in a vault: %s", ref, wrong);
    blobseal_hint(err, "a key in a vault is https://VAULT/keys/NAME or https://VAULT/keys/NAME/VERSION");
    return BLOBSEAL_E_CONFIG;
}

static enum blobseal_status keyvault_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                          const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                          struct blobseal_error *err)
{
    struct bs_kv_settings settings;
    struct bs_kv_kek *k;
    struct bs_kv_id id;
    enum blobseal_status st = parse(&id, ref, err);

    (void)call;
    *state = NULL;
    if (st == BLOBSEAL_OK)
        st = bs_kv_settings_get(&settings, id.host, options->config, options->identity, err);
    if (st != BLOBSEAL_OK)
        return st;
    k = calloc(1, sizeof *k);
    if (k == NULL || pthread_mutex_init(&k->lock, NULL) != 0 || !bs_kv_condition_init(&k->changed)) {
        bs_kv_settings_release(&settings);
        free(k);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open a key in a vault: no memory");
    }
    st = bs_kv_session_open(&k->session, &settings, err);
    if (st != BLOBSEAL_OK) {
        keyvault_close(k);
        return st;
    }
    k->id = id;
    k->process = bs_process_id();
    k->oaep = options->oaep;
    k->require_purge_protection = options->require_purge_protection;
    bs_kv_id_format(k->name, &id);
    *info = (struct blobseal_kek_info){
        .size = sizeof *info,
        .kid = id.version[0] != '\0' ? k->name : NULL,
        .alg = bs_rsa_algorithm(k->oaep),
        .can_unwrap = true,
        .notes = BLOBSEAL_KEK_NOTE_REMOTE,
    };
    *state = k;
    return BLOBSEAL_OK;
}

/* What a description points to stays valid until the key is closed, so the first one is kept. */
static enum blobseal_status keyvault_describe(void *state, struct blobseal_kek_info *info,
                                              const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_kv_kek *k = state;
    struct bs_kv_version *v;
    enum blobseal_status st = bs_kv_describe(k, &v, BS_KV_ANY, call, err);

    if (st != BLOBSEAL_OK)
        return st;
    *info = (struct blobseal_kek_info){
        .size = sizeof *info,
        .kid = v->kid,
        .alg = bs_rsa_algorithm(k->oaep),
        .wrapped_len = v->key.n_len,
        .can_unwrap = true,
        .notes = BLOBSEAL_KEK_NOTE_REMOTE | (bs_kv_is_purgeable(&v->key) ? BLOBSEAL_KEK_NOTE_PURGEABLE : 0),
    };
    (void)pthread_mutex_lock(&k->lock);
    bs_kv_version_put(k->described);
    k->described = v;
    (void)pthread_mutex_unlock(&k->lock);
    return BLOBSEAL_OK;
}

static bool keyvault_owns(void *state, const char *alg, const char *kid)
{
    const struct bs_kv_kek *k = state;
    struct bs_kv_id id;

    return (strcmp(alg, "RSA-OAEP-256") == 0 || strcmp(alg, "RSA-OAEP") == 0) && bs_kv_id_parse(&id, kid) == NULL &&
           id.version[0] != '\0' && bs_kv_id_same_key(&id, &k->id);
}

static enum blobseal_status keyvault_wrap(void *state, struct blobseal_wrapping *out,
                                          const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                          struct blobseal_error *err)
{
    struct bs_kv_kek *k = state;
    struct bs_kv_version *v;
    uint64_t start = bs_http_boottime_ms();
    enum blobseal_status st = bs_kv_describe(k, &v, BS_KV_FRESH, call, err);

    if (st == BLOBSEAL_OK && call->trace != NULL)
        call->trace->looked_up = v->sent_boottime_ms >= start;
    if (st == BLOBSEAL_OK)
        st = bs_kv_may_seal(k, v, err);
    if (st == BLOBSEAL_OK && k->session->settings.wraps_remotely)
        st = bs_kv_wrap_remotely(k, v, out, secret, call, err);
    else if (st == BLOBSEAL_OK)
        st = bs_rsa_wrap_secret(&v->wrapper, out, secret, err);
    if (st == BLOBSEAL_OK) {
        (void)snprintf(out->kid, sizeof out->kid, "%s", v->kid);
        bs_kv_set_lease(k, &out->lease, v->sent_boottime_ms, v->sent_unix_ms);
        out->lease.tag = BS_KV_SEALING;
        if (call->trace != NULL && call->trace->request_id[0] == '\0')
            call->trace->cached = true;
    }
    bs_kv_version_put(v);
    return st;
}

static enum blobseal_status keyvault_unwrap(void *state, struct blobseal_secret32 *secret,
                                            const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                            const struct blobseal_call *call, struct blobseal_error *err)
{
    return bs_kv_unwrap(state, secret, wrapped, lease, call, err);
}

static enum blobseal_status keyvault_decrypt(void *state, uint8_t *out, size_t *len,
                                             const struct blobseal_wrapped *wrapped, const struct blobseal_call *call,
                                             struct blobseal_error *err)
{
    struct blobseal_lease unused = {.size = sizeof unused};
    struct bs_kv_message message = {out, *len};
    enum blobseal_status st = bs_kv_decrypt(state, &message, wrapped, &unused, call, err);

    *len = message.len;
    return st;
}

static enum blobseal_status keyvault_renew(void *state, struct blobseal_lease *lease, const struct blobseal_call *call,
                                           struct blobseal_error *err)
{
    return bs_kv_renew(state, lease, call, err);
}

static enum blobseal_status keyvault_public_key(void *state, uint8_t **spki, size_t *len,
                                                const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_kv_kek *k = state;
    struct bs_kv_version *v;
    enum blobseal_status st = bs_kv_describe(k, &v, BS_KV_ANY, call, err);

    if (st == BLOBSEAL_OK && !bs_rsa_spki(spki, len, v->public))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the public key of %.150s: no memory", k->name);
    bs_kv_version_put(v);
    return st;
}

static enum blobseal_status keyvault_diagnose(void *state, blobseal_finding_fn fn, void *fn_ctx,
                                              const struct blobseal_call *call, struct blobseal_error *err)
{
    return bs_kv_report(state, fn, fn_ctx, call, err);
}

const struct blobseal_provider bs_keyvault_provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "https",
    .open = keyvault_open,
    .describe = keyvault_describe,
    .owns = keyvault_owns,
    .wrap = keyvault_wrap,
    .unwrap = keyvault_unwrap,
    .decrypt = keyvault_decrypt,
    .renew = keyvault_renew,
    .public_key = keyvault_public_key,
    .diagnose = keyvault_diagnose,
    .list = bs_kv_list,
    .close = keyvault_close,
};
