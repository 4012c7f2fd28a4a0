/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrapping and unwrapping in the vault, and the renewal of leases.
 *
 * A lease that unwrapping has started is extended only by unwrapping again: that the vault still shows the key proves
 * nothing, because whoever controls the network could let those requests pass and block the others. So for each version
 * something that it has unwrapped is kept, which is not secret.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kek/keyvault/keyvault.h"

/* An operation of the vault on a key, in secret memory. */
struct operation {
    struct bs_kv_id id; /* with a version */
    const char *name;   /* "wrapkey" or "unwrapkey" */
    bool sha1;
    struct bs_slice in;
    uint64_t sent_boottime_ms, sent_unix_ms;
    enum bs_kv_class class;
    unsigned http; /* status */
    size_t out_len;
    uint8_t out[BS_KV_MAX_MODULUS];
    uint8_t body[BLOBSEAL_BASE64URL_LEN(BS_KV_MAX_MODULUS) + 64];
};

static struct operation *new_operation(const struct bs_kv_kek *k, const char *name, const char *version,
                                       struct blobseal_error *err)
{
    struct operation *o = blobseal_secret_alloc(sizeof *o);

    if (o == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->name);
        return NULL;
    }
    memset(o, 0, sizeof *o);
    o->id = k->id;
    o->name = name;
    (void)snprintf(o->id.version, sizeof o->id.version, "%s", version);
    return o;
}

/* Let the vault do it. */
static enum blobseal_status run(struct bs_kv_kek *k, struct operation *o, const struct blobseal_call *call,
                                struct blobseal_error *err)
{
    const struct blobseal_call limited = bs_kv_limit(&k->session->settings, call);
    struct bs_builder w = bs_builder_start(o->body, sizeof o->body);
    char path[BS_KV_MAX_NAME + BS_KV_VERSION + 32], what[BS_KV_MAX_KID + 16], kid[BS_KV_MAX_KID + 1];
    struct bs_kv_request q = {.what = what, .path = path, .body = o->body};
    struct bs_http_response answer = {0};
    struct bs_kv_id id;
    enum blobseal_status st;

    bs_put_text(&w, o->sha1 ? "{\"alg\":\"RSA-OAEP\",\"value\":\"" : "{\"alg\":\"RSA-OAEP-256\",\"value\":\"");
    bs_put_base64url(&w, o->in.p, o->in.len);
    bs_put_text(&w, "\"}");
    q.body_len = w.len;
    bs_kv_id_format(kid, &o->id);
    (void)snprintf(path, sizeof path, "/keys/%s/%s/%s", o->id.name, o->id.version, o->name);
    (void)snprintf(what, sizeof what, "%s %s", o->name[0] == 'w' ? "wrap with" : "unwrap with", kid);
    st = bs_kv_ask_key(k, &q, &answer, &o->class, &limited, err);
    o->http = answer.status;
    o->sent_boottime_ms = answer.sent_boottime_ms;
    o->sent_unix_ms = answer.sent_unix_ms;
    if (st == BLOBSEAL_OK && (!bs_kv_parse_result(&id, o->out, sizeof o->out, &o->out_len, answer.body, answer.len) ||
                              !bs_kv_id_same_key(&id, &o->id) || strcmp(id.version, o->id.version) != 0)) {
        const struct bs_kv_said said = {.code = "another key, or no result"};

        o->class = BS_KV_NO_ANSWER;
        st = bs_kv_row_fail(bs_kv_row_find(200, &said), what, &answer, &said, err);
    }
    bs_http_response_clear(&answer);
    return st;
}

/* ---- Wrapping ---------------------------------------------------------------------------------------------------- */

enum blobseal_status bs_kv_wrap_remotely(struct bs_kv_kek *k, const struct bs_kv_version *v,
                                         struct blobseal_wrapping *out, const struct blobseal_secret32 *secret,
                                         const struct blobseal_call *call, struct blobseal_error *err)
{
    struct operation *o = new_operation(k, "wrapkey", v->key.id.version, err);
    enum blobseal_status st;

    if (o == NULL)
        return BLOBSEAL_E_NOMEM;
    o->sha1 = k->oaep == BLOBSEAL_OAEP_SHA1;
    o->in = (struct bs_slice){secret->b, sizeof secret->b};
    st = run(k, o, call, err);
    if (st == BLOBSEAL_OK && o->out_len != v->key.n_len)
        st = blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "wrap with %.200s: the vault returned %zu bytes, not %zu",
                           v->kid, o->out_len, v->key.n_len);
    if (st == BLOBSEAL_OK) {
        (void)snprintf(out->alg, sizeof out->alg, "%s", bs_rsa_algorithm(k->oaep));
        memcpy(out->key, o->out, o->out_len);
        out->key_len = o->out_len;
    } else if (o->class == BS_KV_REFUSED || o->class == BS_KV_MISSING) {
        bs_kv_refused(k);
    }
    blobseal_secret_free(o);
    return st;
}

/* ---- What has been unwrapped ------------------------------------------------------------------------------------- */

/* Keep a value that was unwrapped, and return its tag. There is one for each version that the vault knows. Without
 * memory there is none, and the tag is 0. */
static uint64_t keep_proof(struct bs_kv_kek *k, const struct operation *o)
{
    struct bs_kv_proof *p;
    uint64_t tag = 0;

    (void)pthread_mutex_lock(&k->lock);
    k->proved = true;
    for (p = k->proofs; p != NULL && strcmp(p->version, o->id.version) != 0; p = p->next)
        ;
    if (p == NULL) {
        p = calloc(1, sizeof *p);
        if (p != NULL) {
            memcpy(p->version, o->id.version, sizeof p->version);
            p->sha1 = o->sha1;
            p->len = o->in.len;
            memcpy(p->wrapped, o->in.p, o->in.len);
            p->tag = ++k->num_proofs;
            p->next = k->proofs;
            k->proofs = p;
        }
    }
    tag = p != NULL ? p->tag : 0;
    (void)pthread_mutex_unlock(&k->lock);
    return tag;
}

static bool find_proof(struct bs_kv_kek *k, uint64_t tag, struct bs_kv_proof *out)
{
    struct bs_kv_proof *p;

    (void)pthread_mutex_lock(&k->lock);
    for (p = k->proofs; p != NULL && p->tag != tag; p = p->next)
        ;
    if (p != NULL)
        *out = *p;
    (void)pthread_mutex_unlock(&k->lock);
    return p != NULL;
}

/* ---- Unwrapping -------------------------------------------------------------------------------------------------- */

static bool has_proved(struct bs_kv_kek *k)
{
    bool proved;

    (void)pthread_mutex_lock(&k->lock);
    proved = k->proved;
    (void)pthread_mutex_unlock(&k->lock);
    return proved;
}

/*
 * The vault did not accept a request to unwrap, with a code that it uses for damaged data and for requests that it does
 * not support. Find out whether it unwraps a known value. If this identity may not look up the public half, the data is
 * reported as damaged; if the vault does not answer that question, its silence is reported.
 */
static enum blobseal_status blame(struct bs_kv_kek *k, const struct operation *failed, const struct blobseal_call *call,
                                  struct blobseal_error *err)
{
    static const struct blobseal_secret32 known = {{0x6B, 0x65, 0x79}};
    struct bs_kv_version *v = NULL;
    uint8_t wrapped[BS_KV_MAX_MODULUS];
    struct operation *o;
    enum blobseal_status st;
    size_t len;

    if (has_proved(k))
        return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed");
    st = bs_kv_describe(k, &v, BS_KV_ANY, call, err);
    if (st != BLOBSEAL_OK)
        return st == BLOBSEAL_E_DENIED ? blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed") : st;
    o = new_operation(k, "unwrapkey", v->key.id.version, err);
    if (o == NULL || !bs_rsa_oaep_wrap(v->public, failed->sha1 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256, wrapped,
                                       &len, (struct bs_slice){known.b, sizeof known.b}))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->name);
    if (st == BLOBSEAL_OK) {
        o->sha1 = failed->sha1;
        o->in = (struct bs_slice){wrapped, len};
        st = run(k, o, call, err);
    }
    if (st == BLOBSEAL_OK) {
        (void)keep_proof(k, o);
        st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed");
    }
    blobseal_secret_free(o);
    bs_kv_version_put(v);
    return st;
}

/* Note that the vault has refused the key, or does not have it any more: what is known of it may be out of date. */
static void note_refusal(struct bs_kv_kek *k, const struct operation *o)
{
    if (o->class == BS_KV_REFUSED || o->class == BS_KV_MISSING)
        bs_kv_refused(k);
}

/*
 * Find out which version of the key is to be asked. Only what names this key in full causes a request, or a message
 * that names no key at all, which is tried with the one that the user named.
 */
static enum blobseal_status find_version(struct bs_kv_kek *k, struct bs_kv_id *id, const char *kid,
                                         const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_kv_version *v;
    enum blobseal_status st;

    *id = k->id;
    if (kid != NULL)
        return bs_kv_id_parse(id, kid) == NULL && id->version[0] != '\0' && bs_kv_id_same_key(id, &k->id)
                   ? BLOBSEAL_OK
                   : BLOBSEAL_E_NOT_MINE;
    if (id->version[0] != '\0')
        return BLOBSEAL_OK;
    st = bs_kv_describe(k, &v, BS_KV_ANY, call, err);
    if (st == BLOBSEAL_OK)
        *id = v->key.id;
    bs_kv_version_put(v);
    return st;
}

/* Run an operation that decrypts, and decide what a failure means. */
static enum blobseal_status decrypt(struct bs_kv_kek *k, struct operation *o, size_t room,
                                    const struct blobseal_call *call, struct blobseal_error *err)
{
    enum blobseal_status st = run(k, o, call, err);

    if (st == BLOBSEAL_OK)
        return o->out_len <= room ? st : blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed");
    if (o->class == BS_KV_REQUEST && o->http == 400)
        return blame(k, o, call, err);
    note_refusal(k, o);
    return st;
}

enum blobseal_status bs_kv_decrypt(struct bs_kv_kek *k, struct bs_kv_message *out,
                                   const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                   const struct blobseal_call *call, struct blobseal_error *err)
{
    size_t room = out->len;
    struct operation *o;
    struct bs_kv_id id;
    enum blobseal_status st;

    out->len = 0;
    if (wrapped->key_len != 256 && wrapped->key_len != 384 && wrapped->key_len != 512)
        return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed");
    st = find_version(k, &id, wrapped->kid, call, err);
    if (st != BLOBSEAL_OK)
        return st;
    o = new_operation(k, "unwrapkey", id.version, err);
    if (o == NULL)
        return BLOBSEAL_E_NOMEM;
    o->sha1 = strcmp(wrapped->alg, "RSA-OAEP") == 0;
    o->in = (struct bs_slice){wrapped->key, wrapped->key_len};
    st = decrypt(k, o, room, call, err);
    if (st == BLOBSEAL_OK) {
        memcpy(out->p, o->out, o->out_len);
        out->len = o->out_len;
        bs_kv_set_lease(k, lease, o->sent_boottime_ms, o->sent_unix_ms);
        lease->tag = keep_proof(k, o);
    }
    blobseal_secret_free(o);
    return st;
}

enum blobseal_status bs_kv_unwrap(struct bs_kv_kek *k, struct blobseal_secret32 *secret,
                                  const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                  const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_kv_message out = {secret->b, sizeof secret->b};
    enum blobseal_status st = bs_kv_decrypt(k, &out, wrapped, lease, call, err);

    if (st == BLOBSEAL_OK && out.len != sizeof secret->b)
        st = blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed");
    return st;
}

/* ---- Renewing ---------------------------------------------------------------------------------------------------- */

/* Ask whether sealing may go on. */
static enum blobseal_status renew_sealing(struct bs_kv_kek *k, struct blobseal_lease *lease,
                                          const struct blobseal_call *call, struct blobseal_error *err)
{
    bool now = lease->valid_until_unix_ms == BLOBSEAL_LEASE_ASK_NOW;
    struct bs_kv_version *v;
    enum blobseal_status st = bs_kv_describe(k, &v, now ? BS_KV_NOW : BS_KV_FRESH, call, err);

    if (st == BLOBSEAL_OK)
        st = bs_kv_may_seal(k, v, err);
    if (st == BLOBSEAL_OK)
        bs_kv_set_lease(k, lease, v->sent_boottime_ms, v->sent_unix_ms);
    bs_kv_version_put(v);
    return st;
}

enum blobseal_status bs_kv_renew(struct bs_kv_kek *k, struct blobseal_lease *lease, const struct blobseal_call *call,
                                 struct blobseal_error *err)
{
    struct bs_kv_proof proof;
    struct operation *o;
    enum blobseal_status st;

    if (lease->tag == BS_KV_SEALING)
        return renew_sealing(k, lease, call, err);
    if (!find_proof(k, lease->tag, &proof))
        return blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "renew the lease on %.150s: open the blob again", k->name);
    o = new_operation(k, "unwrapkey", proof.version, err);
    if (o == NULL)
        return BLOBSEAL_E_NOMEM;
    o->sha1 = proof.sha1;
    o->in = (struct bs_slice){proof.wrapped, proof.len};
    st = run(k, o, call, err);
    if (st == BLOBSEAL_OK) {
        bs_kv_set_lease(k, lease, o->sent_boottime_ms, o->sent_unix_ms);
    } else {
        note_refusal(k, o);
        /* Only the owner of the key ends a lease: not an authority that issues no token, or a vault that cannot. */
        if (st == BLOBSEAL_E_DENIED && o->class != BS_KV_REFUSED && o->class != BS_KV_MISSING)
            st = BLOBSEAL_E_UNAVAILABLE;
        if (err != NULL)
            err->status = st;
    }
    blobseal_secret_free(o);
    return st;
}
