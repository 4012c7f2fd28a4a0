/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider "pkcs11": what runs on the caller's thread. It asks for PINs, because that may need a terminal, and
 * hands jobs to the threads in which modules run.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kek/pkcs11/pkcs11.h"

#define CLOSE_MS 5000

/* A job, in secret memory: it holds the secret until the caller or the thread wipes it. */
struct op {
    struct bs_p11_task task;
    struct bs_p11_wish wish;
    enum blobseal_oaep oaep;
    bool known;
    struct bs_p11_message out; /* its bytes are in `bytes` */
    uint8_t bytes[BS_P11_MAX_MODULUS];
    size_t in_len;
    uint8_t in[BS_P11_MAX_MODULUS];
};

/* ---- Jobs -------------------------------------------------------------------------------------------------------- */

static void release(struct bs_p11_job *job)
{
    struct bs_p11_key *key = ((struct op *)job)->task.key;

    blobseal_secret_free(job);
    bs_p11_key_unref(key);
}

static struct op *new_op(struct bs_p11_key *key, void (*run)(struct bs_p11_job *), struct blobseal_error *err)
{
    struct op *op = blobseal_secret_alloc(sizeof *op);

    if (op == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", key->uri.name);
        return NULL;
    }
    memset(op, 0, sizeof *op);
    bs_p11_task_init(&op->task, key, run, release);
    return op;
}

/* Run @op. If it has run, return its status and fill @err from it. If it has not returned, *@op becomes NULL. */
static enum blobseal_status run(struct op **op, const struct blobseal_call *call, struct blobseal_error *err)
{
    enum blobseal_status st;
    bool taken;

    st = bs_p11_task_run(&(*op)->task, &taken, call, (*op)->task.key->limit_ms, err);
    if (taken)
        *op = NULL;
    return st;
}

static void finish(struct op *op)
{
    if (op != NULL)
        release(&op->task.job);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static void run_locate(struct bs_p11_job *job)
{
    struct op *op = (struct op *)job;

    op->task.status = bs_p11_locate(op->task.key, &op->wish, &op->task.err);
}

static enum blobseal_status locate(struct bs_p11_key *k, struct bs_p11_wish *wish, const struct blobseal_call *call,
                                   struct blobseal_error *err)
{
    struct op *op = new_op(k, run_locate, err);
    enum blobseal_status st;

    if (op == NULL)
        return BLOBSEAL_E_NOMEM;
    op->wish = *wish;
    st = run(&op, call, err);
    if (op != NULL)
        *wish = op->wish;
    finish(op);
    return st;
}

static void run_check(struct bs_p11_job *job)
{
    struct op *op = (struct op *)job;

    op->task.status = bs_p11_check_oaep(op->task.key, op->oaep, &op->known, &op->task.err);
}

/*
 * Check that the token can unwrap what is wrapped for it, if that can be found out. If it lacks the hash, a key that
 * @unwraps can still unwrap what was wrapped with the other one: then it is wrap() that fails.
 */
static enum blobseal_status check(struct bs_p11_key *k, bool unwraps, bool *known, const struct blobseal_call *call,
                                  struct blobseal_error *err)
{
    struct op *op = new_op(k, run_check, err);
    enum blobseal_status st;

    *known = false;
    if (op == NULL)
        return BLOBSEAL_E_NOMEM;
    op->oaep = k->oaep;
    st = run(&op, call, err);
    if (op != NULL)
        *known = op->known;
    if (op != NULL && st == BLOBSEAL_E_UNSUPPORTED && unwraps) {
        k->oaep_error = op->task.err;
        *known = true;
        st = BLOBSEAL_OK;
    }
    finish(op);
    return st;
}

/* Ask the caller for the PIN. */
static enum blobseal_status ask(struct bs_p11_pin *pin, const struct blobseal_kek_options *o,
                                struct blobseal_error *err)
{
    enum blobseal_status st = o->passphrase(o->passphrase_ctx, pin->text, sizeof pin->text, &pin->len, err);

    pin->set = st == BLOBSEAL_OK ? 1 : 0;
    return st;
}

/*
 * Get the PIN from the file of the URI, or from the caller. Without either it stays unset. Several threads may do that
 * at once in a forked child, where the PIN of the parent is gone.
 */
static enum blobseal_status get_pin(struct bs_p11_key *k, const struct blobseal_kek_options *o,
                                    struct blobseal_error *err)
{
    struct bs_p11_pin *pin = blobseal_secret_alloc(sizeof *pin);
    enum blobseal_status st = BLOBSEAL_OK;

    if (pin == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->uri.name);
    memset(pin, 0, sizeof *pin);
    if (k->uri.pin_file != NULL)
        st = bs_p11_pin_read(pin, k->uri.pin_file, err);
    else if (o != NULL && o->passphrase != NULL)
        st = ask(pin, o, err);
    (void)pthread_mutex_lock(&k->lock);
    if (pin->set != 0 && k->pin->set == 0) {
        memcpy(k->pin->text, pin->text, pin->len);
        k->pin->len = pin->len;
        __atomic_store_n(&k->pin->set, 1, __ATOMIC_RELEASE);
    }
    (void)pthread_mutex_unlock(&k->lock);
    blobseal_secret_free(pin);
    return st;
}

/*
 * Find the key, and log in if unwrapping will need it. A caller who only wraps is asked for the PIN only if the key
 * cannot be seen without it.
 */
static enum blobseal_status find(struct bs_p11_key *k, const struct blobseal_kek_options *o, bool unwraps,
                                 const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_p11_wish wish = {.login = unwraps};
    enum blobseal_status st = locate(k, &wish, call, err), pin;

    if (!wish.needs_pin || (st != BLOBSEAL_OK && st != BLOBSEAL_E_CONFIG))
        return st;
    if (st == BLOBSEAL_OK && !unwraps && (k->uri.pin_file == NULL || o->use == BLOBSEAL_USE_NAME))
        return st;
    pin = get_pin(k, o, err);
    if (pin != BLOBSEAL_OK)
        return pin;
    if (!bs_p11_pin_is_set(k->pin))
        return st;
    wish.login = true;
    return locate(k, &wish, call, err);
}

static void run_close(struct bs_p11_job *job)
{
    bs_p11_close_sessions(((struct op *)job)->task.key);
}

static void pkcs11_close(void *state)
{
    static const int never;
    const struct blobseal_call call = {.size = sizeof call, .cancel = &never};
    struct bs_p11_key *k = state;
    struct op *op;
    bool taken;

    if (k == NULL)
        return;
    op = k->module->pid == getpid() && k->has_keeper ? new_op(k, run_close, NULL) : NULL;
    if (op != NULL) {
        (void)!bs_p11_pool_run(&k->module->pool, &op->task.job, &taken, &call, CLOSE_MS, NULL);
        if (!taken)
            finish(op);
    }
    bs_p11_key_unref(k);
}

static enum blobseal_status pkcs11_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                        const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    bool unwraps = options->use == BLOBSEAL_USE_ANY, known = options->use == BLOBSEAL_USE_NAME;
    struct bs_p11_key *k;
    enum blobseal_status st = bs_p11_key_new(&k, ref, options, err);

    *state = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    st = find(k, options, unwraps && !k->wraps_only, call, err);
    if (st == BLOBSEAL_OK && !known)
        st = check(k, unwraps, &known, call, err);
    if (st != BLOBSEAL_OK) {
        pkcs11_close(k);
        return st;
    }
    *info = (struct blobseal_kek_info){
        .size = sizeof *info,
        .kid = k->kid,
        .alg = bs_rsa_algorithm(k->oaep),
        .wrapped_len = k->modulus_len,
        .can_unwrap = !k->wraps_only,
        .notes = known ? 0 : BLOBSEAL_KEK_NOTE_UNCHECKED,
    };
    *state = k;
    return BLOBSEAL_OK;
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static bool pkcs11_owns(void *state, const char *alg, const char *kid)
{
    const struct bs_p11_key *k = state;

    return strcmp(kid, k->kid) == 0 && (strcmp(alg, "RSA-OAEP-256") == 0 || strcmp(alg, "RSA-OAEP") == 0);
}

static enum blobseal_status pkcs11_wrap(void *state, struct blobseal_wrapping *out,
                                        const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    const struct bs_p11_key *k = state;

    (void)call; /* the token is not asked */
    if (k->oaep_error.status != BLOBSEAL_OK) {
        if (err != NULL)
            *err = k->oaep_error;
        return k->oaep_error.status;
    }
    memcpy(out->kid, k->kid, sizeof k->kid);
    return bs_rsa_wrap_secret(&k->wrapper, out, secret, err);
}

static void run_decrypt(struct bs_p11_job *job)
{
    struct op *op = (struct op *)job;

    op->task.status =
        bs_p11_decrypt(op->task.key, op->oaep, &op->out, (struct bs_slice){op->in, op->in_len}, &op->task.err);
}

/* Decrypt what was wrapped, to a length that @m allows, in the thread of the module. */
static enum blobseal_status decrypt(struct bs_p11_key *k, struct bs_p11_message *m,
                                    const struct blobseal_wrapped *wrapped, const struct blobseal_call *call,
                                    struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct op *op;

    if (wrapped->key_len != k->modulus_len)
        return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "unwrapping failed");
    /* In a forked child the memory for secrets is empty. */
    if (!bs_p11_pin_is_set(k->pin) && k->uri.pin_file != NULL)
        st = get_pin(k, NULL, err);
    if (st != BLOBSEAL_OK)
        return st;
    op = new_op(k, run_decrypt, err);
    if (op == NULL)
        return BLOBSEAL_E_NOMEM;
    op->oaep = strcmp(wrapped->alg, "RSA-OAEP") == 0 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256;
    op->out = (struct bs_p11_message){
        .p = op->bytes, .min = m->min, .max = m->max < sizeof op->bytes ? m->max : sizeof op->bytes};
    op->in_len = wrapped->key_len;
    memcpy(op->in, wrapped->key, wrapped->key_len);
    st = run(&op, call, err);
    if (st == BLOBSEAL_OK && op != NULL) {
        memcpy(m->p, op->bytes, op->out.len);
        m->len = op->out.len;
    }
    finish(op);
    return st;
}

static enum blobseal_status pkcs11_unwrap(void *state, struct blobseal_secret32 *secret,
                                          const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                          const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_p11_message m = {.p = secret->b, .min = sizeof secret->b, .max = sizeof secret->b};

    (void)lease; /* the owner of a token takes it away; there is nobody to ask */
    return decrypt(state, &m, wrapped, call, err);
}

static enum blobseal_status pkcs11_decrypt(void *state, uint8_t *out, size_t *len,
                                           const struct blobseal_wrapped *wrapped, const struct blobseal_call *call,
                                           struct blobseal_error *err)
{
    struct bs_p11_message m = {.p = out, .max = *len};
    enum blobseal_status st = decrypt(state, &m, wrapped, call, err);

    *len = st == BLOBSEAL_OK ? m.len : 0;
    return st;
}

static enum blobseal_status pkcs11_public_key(void *state, uint8_t **spki, size_t *len,
                                              const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_p11_key *k = state;

    (void)call;
    if (bs_rsa_spki(spki, len, k->public))
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the public key of %.150s: no memory", k->uri.name);
}

static enum blobseal_status pkcs11_diagnose(void *state, blobseal_finding_fn fn, void *fn_ctx,
                                            const struct blobseal_call *call, struct blobseal_error *err)
{
    return bs_p11_report(state, fn, fn_ctx, call, err);
}

/* ---- Places ------------------------------------------------------------------------------------------------------ */

static enum blobseal_status pkcs11_list(const char *ref, const struct blobseal_kek_options *options,
                                        blobseal_found_key_fn fn, void *fn_ctx, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    struct bs_p11_key *k;
    enum blobseal_status st = bs_p11_key_new(&k, ref, options, err);

    if (st == BLOBSEAL_OK)
        st = get_pin(k, options, err);
    if (st == BLOBSEAL_OK)
        st = bs_p11_list(k, fn, fn_ctx, call, err);
    bs_p11_key_unref(k);
    return st;
}

static enum blobseal_status pkcs11_generate(const char *ref, const struct blobseal_kek_options *options, unsigned bits,
                                            const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_p11_key *k;
    enum blobseal_status st = bs_p11_key_new(&k, ref, options, err);

    if (st == BLOBSEAL_OK)
        st = get_pin(k, options, err);
    if (st == BLOBSEAL_OK)
        st = bs_p11_generate(k, bits, call, err);
    bs_p11_key_unref(k);
    return st;
}

const struct blobseal_provider bs_pkcs11_provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "pkcs11",
    .open = pkcs11_open,
    .owns = pkcs11_owns,
    .wrap = pkcs11_wrap,
    .unwrap = pkcs11_unwrap,
    .decrypt = pkcs11_decrypt,
    .public_key = pkcs11_public_key,
    .diagnose = pkcs11_diagnose,
    .list = pkcs11_list,
    .generate = pkcs11_generate,
    .close = pkcs11_close,
};
