/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwrapping in the token.
 *
 * Modules report damaged data with codes that also mean that the module or the token has failed. After such a code, and
 * after a result of the wrong length, the key must unwrap a known value, and the data once more: only if it does the
 * first and not the second, the data was wrong. All failures take this path, so that they look the same.
 */
#include <string.h>

#include "kek/pkcs11/pkcs11.h"

/* The result of one attempt in a session. */
struct outcome {
    CK_RV rv;
    bool started; /* the token has accepted the key and the mechanism */
    bool wrong;   /* it worked, but the result has the wrong length   */
};

static CK_RSA_PKCS_OAEP_PARAMS oaep_params(enum blobseal_oaep oaep)
{
    CK_RSA_PKCS_OAEP_PARAMS p = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};

    if (oaep == BLOBSEAL_OAEP_SHA1) {
        p.hashAlg = CKM_SHA_1;
        p.mgf = CKG_MGF1_SHA1;
    }
    return p;
}

/* ---- One attempt ------------------------------------------------------------------------------------------------- */

/* What a token returns. */
struct block {
    CK_ULONG len;
    uint8_t bytes[BS_P11_MAX_MODULUS];
};

static CK_RV decrypt(struct bs_p11_key *k, const struct bs_p11_session *s, CK_MECHANISM *mechanism, struct bs_slice in,
                     struct block *out, bool *started)
{
    CK_RV rv = s->f->C_DecryptInit(s->s, mechanism, s->private_key);

    if (rv == CKR_OK)
        rv = bs_p11_login_again(k, s);
    *started = rv == CKR_OK;
    return rv == CKR_OK ? s->f->C_Decrypt(s->s, (CK_BYTE *)in.p, in.len, out->bytes, &out->len) : rv;
}

/* Unwrap into an object of the session, read its value, and destroy it. */
static CK_RV unwrap_object(const struct bs_p11_session *s, CK_MECHANISM *mechanism, struct bs_slice in,
                           struct block *out, bool *started)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                               {CKA_KEY_TYPE, &type, sizeof type},
                               {CKA_TOKEN, &no, sizeof no},
                               {CKA_SENSITIVE, &no, sizeof no},
                               {CKA_EXTRACTABLE, &yes, sizeof yes}};
    CK_ATTRIBUTE value = {CKA_VALUE, out->bytes, out->len};
    CK_OBJECT_HANDLE object = 0;
    CK_RV rv = s->f->C_UnwrapKey(s->s, mechanism, s->private_key, (CK_BYTE *)in.p, in.len, template,
                                 sizeof template / sizeof template[0], &object);

    *started = rv == CKR_OK || bs_p11_code(rv)->kind == BS_P11_DATA;
    if (rv != CKR_OK)
        return rv;
    rv = s->f->C_GetAttributeValue(s->s, object, &value, 1);
    out->len = value.ulValueLen;
    (void)s->f->C_DestroyObject(s->s, object);
    return rv;
}

/* Try it in a session of its own, which is not used again after a failure. */
static struct outcome attempt(struct bs_p11_key *k, enum blobseal_oaep oaep, struct bs_p11_message *m,
                              struct bs_slice in)
{
    CK_RSA_PKCS_OAEP_PARAMS params = oaep_params(oaep);
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    struct block block = {.len = sizeof block.bytes};
    struct bs_p11_session s;
    struct outcome o = {.rv = bs_p11_session_take(k, &s)};

    if (o.rv != CKR_OK)
        return o;
    if (s.with_unwrap)
        o.rv = unwrap_object(&s, &mechanism, in, &block, &o.started);
    else
        o.rv = decrypt(k, &s, &mechanism, in, &block, &o.started);
    bs_p11_session_return(k, &s, o.rv == CKR_OK);
    o.wrong = o.rv == CKR_OK && (block.len < m->min || block.len > m->max);
    if (o.rv == CKR_OK && !o.wrong) {
        memcpy(m->p, block.bytes, block.len);
        m->len = block.len;
    }
    blobseal_wipe(&block, sizeof block);
    return o;
}

/* ---- After a failure --------------------------------------------------------------------------------------------- */

/* Unwrap a known value. Returns a CKR code. */
static CK_RV try_known(struct bs_p11_key *k, enum blobseal_oaep oaep)
{
    static const struct blobseal_secret32 known = {{0x6B, 0x65, 0x79}};
    uint8_t wrapped[BS_P11_MAX_MODULUS];
    struct blobseal_secret32 again;
    struct bs_p11_message m = {.p = again.b, .min = sizeof again.b, .max = sizeof again.b};
    struct outcome o;
    size_t len;

    if (!bs_rsa_oaep_wrap(k->public, oaep, wrapped, &len, (struct bs_slice){known.b, sizeof known.b}))
        return CKR_HOST_MEMORY;
    o = attempt(k, oaep, &m, (struct bs_slice){wrapped, len});
    if (o.rv == CKR_OK && (o.wrong || !blobseal_equal(again.b, known.b, sizeof known.b)))
        return CKR_FUNCTION_FAILED;
    return o.rv;
}

/* Note what a failure means for the next operation. */
static void note_failure(struct bs_p11_key *k, CK_RV rv)
{
    enum bs_p11_kind kind = bs_p11_code(rv)->kind;

    if (rv == CKR_CRYPTOKI_NOT_INITIALIZED)
        bs_p11_module_lost(k->module);
    if (kind == BS_P11_STALE || kind == BS_P11_GONE)
        bs_p11_forget(k);
}

static enum blobseal_status fail_mechanism(struct bs_p11_key *k, CK_RV rv, enum blobseal_oaep oaep, bool sealing,
                                           struct blobseal_error *err)
{
    const char *name = oaep == BLOBSEAL_OAEP_SHA1 ? "SHA-1" : "SHA-256";
    const char *other = oaep == BLOBSEAL_OAEP_SHA1 ? "SHA-256" : "SHA-1";
    const struct bs_p11_code *row = bs_p11_code(rv);

    (void)blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the key %.150s: its token does not support OAEP with %s (%s)",
                        k->uri.name, name, row->name);
    if (sealing)
        blobseal_advise(err, oaep == BLOBSEAL_OAEP_SHA1 ? BLOBSEAL_ADVICE_OAEP_SHA256 : BLOBSEAL_ADVICE_OAEP_SHA1, NULL,
                        "open the key for wrapping with %s", other);
    else
        blobseal_hint(err, "wrap the secret again for this key with %s, using another key that opens it", other);
    return BLOBSEAL_E_UNSUPPORTED;
}

/* Return true if an attempt failed in a way that damaged data explains. */
static bool may_be_damaged(const struct outcome *o)
{
    return o->wrong || (o->started && bs_p11_code(o->rv)->kind == BS_P11_DATA);
}

static bool succeeded(const struct outcome *o)
{
    return o->rv == CKR_OK && !o->wrong;
}

/*
 * Decide what a failure means. A module that was short of memory for a moment reports the same codes as for damaged
 * data, so the data gets a second chance after the key has shown that it works.
 */
static enum blobseal_status decide(struct bs_p11_key *k, enum blobseal_oaep oaep, struct bs_p11_message *out,
                                   struct bs_slice in, struct outcome o, struct blobseal_error *err)
{
    CK_RV rv;

    if (may_be_damaged(&o)) {
        rv = try_known(k, oaep);
        if (rv != CKR_OK) {
            note_failure(k, rv);
            return bs_p11_fail(err, rv, "unwrap with", k->uri.name);
        }
        o = attempt(k, oaep, out, in);
        if (succeeded(&o))
            return BLOBSEAL_OK;
        if (may_be_damaged(&o))
            return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed");
        note_failure(k, o.rv);
    }
    if (!o.started && bs_p11_code(o.rv)->kind == BS_P11_MECHANISM)
        return fail_mechanism(k, o.rv, oaep, false, err);
    return bs_p11_fail(err, o.rv, "unwrap with", k->uri.name);
}

/* Get the private key ready: find it, and log in. */
static enum blobseal_status get_ready(struct bs_p11_key *k, struct blobseal_error *err)
{
    struct bs_p11_wish wish = {.login = true};
    enum blobseal_status st = bs_p11_locate(k, &wish, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (bs_p11_where(k).private_key != 0)
        return BLOBSEAL_OK;
    if (wish.needs_pin) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "unwrap with %.150s: the token needs its PIN", k->uri.name);
        blobseal_advise(err, BLOBSEAL_ADVICE_PASSPHRASE, NULL, "supply the PIN, for example with pin-source=file:PATH");
        return BLOBSEAL_E_CONFIG;
    }
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "unwrap with %.150s: the token has only its public half",
                        k->uri.name);
    blobseal_hint(err, "check object= and id= of the URI");
    return BLOBSEAL_E_CONFIG;
}

enum blobseal_status bs_p11_decrypt(struct bs_p11_key *k, enum blobseal_oaep oaep, struct bs_p11_message *out,
                                    struct bs_slice in, struct blobseal_error *err)
{
    struct outcome o = {.rv = CKR_OK};

    for (unsigned i = 0; i < 2; i++) {
        enum blobseal_status st = get_ready(k, err);

        if (st != BLOBSEAL_OK)
            return st;
        o = attempt(k, oaep, out, in);
        if (succeeded(&o))
            return BLOBSEAL_OK;
        if (o.wrong)
            break;
        note_failure(k, o.rv);
        if (bs_p11_code(o.rv)->kind != BS_P11_STALE)
            break;
    }
    return decide(k, oaep, out, in, o, err);
}

enum blobseal_status bs_p11_unwrap(struct bs_p11_key *k, enum blobseal_oaep oaep, struct blobseal_secret32 *out,
                                   struct bs_slice in, struct blobseal_error *err)
{
    struct bs_p11_message m = {.p = out->b, .min = sizeof out->b, .max = sizeof out->b};

    return bs_p11_decrypt(k, oaep, &m, in, err);
}

/* ---- Which hash works -------------------------------------------------------------------------------------------- */

/* Start a decryption, or an encryption with the public key, and abandon it with its session. */
static CK_RV start(struct bs_p11_key *k, enum blobseal_oaep oaep, bool private_key)
{
    CK_RSA_PKCS_OAEP_PARAMS params = oaep_params(oaep);
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    struct bs_p11_session s;
    CK_RV rv = bs_p11_session_take(k, &s);

    if (rv != CKR_OK)
        return rv;
    rv = private_key ? s.f->C_DecryptInit(s.s, &mechanism, s.private_key)
                     : s.f->C_EncryptInit(s.s, &mechanism, s.public_key);
    bs_p11_session_return(k, &s, false);
    return rv;
}

static bool only_unwraps(struct bs_p11_key *k)
{
    bool answer;

    (void)pthread_mutex_lock(&k->lock);
    answer = k->with_unwrap;
    (void)pthread_mutex_unlock(&k->lock);
    return answer;
}

static bool lacks_mechanism(CK_RV rv)
{
    return bs_p11_code(rv)->kind == BS_P11_MECHANISM;
}

enum blobseal_status bs_p11_check_oaep(struct bs_p11_key *k, enum blobseal_oaep oaep, bool *known,
                                       struct blobseal_error *err)
{
    enum blobseal_oaep other = oaep == BLOBSEAL_OAEP_SHA1 ? BLOBSEAL_OAEP_SHA256 : BLOBSEAL_OAEP_SHA1;
    struct bs_p11_wish wish = {.login = bs_p11_pin_is_set(k->pin)};
    enum blobseal_status st = bs_p11_locate(k, &wish, err);
    struct bs_p11_found where;
    CK_RV rv;

    *known = false;
    if (st != BLOBSEAL_OK)
        return st;
    where = bs_p11_where(k);
    if (where.private_key != 0) {
        rv = only_unwraps(k) ? try_known(k, oaep) : start(k, oaep, true);
        *known = rv == CKR_OK;
        if (lacks_mechanism(rv))
            return fail_mechanism(k, rv, oaep, true, err);
        if (rv == CKR_OK)
            return BLOBSEAL_OK;
        note_failure(k, rv);
        return bs_p11_fail(err, rv, "check the key", k->uri.name);
    }
    /* The token may not encrypt at all, so this counts only if the other hash works. */
    if (where.public_key != 0) {
        rv = start(k, oaep, false);
        if (lacks_mechanism(rv) && start(k, other, false) == CKR_OK)
            return fail_mechanism(k, rv, oaep, true, err);
    }
    return BLOBSEAL_OK;
}
