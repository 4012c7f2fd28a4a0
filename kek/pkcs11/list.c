/* SPDX-License-Identifier: Apache-2.0 */
/* The RSA keys of the tokens that match a URI. */
#include <stdlib.h>
#include <string.h>

#include "kek/pkcs11/pkcs11.h"

#define MAX_URI 512

struct listed {
    char ref[MAX_URI];
    char kid[BS_RSA_KID_LEN];
    size_t modulus_len;
    bool can_unwrap;
};

struct listing {
    struct bs_p11_task task;
    size_t num;
    struct listed list[BS_P11_MAX_FOUND];
    struct bs_p11_slots slots;
    struct bs_p11_keys keys;
};

static void release(struct bs_p11_job *job)
{
    struct listing *l = (struct listing *)job;

    bs_p11_key_unref(l->task.key);
    free(l);
}

/* Add one key, if it is an RSA key that is accepted. Errors: E_NOMEM. */
static enum blobseal_status add(struct listing *l, const struct bs_p11_found *found, CK_SESSION_HANDLE s)
{
    struct listed *one = &l->list[l->num];
    enum blobseal_status st;
    EVP_PKEY *public;

    if (l->num == BS_P11_MAX_FOUND || (found->type != CKK_RSA && found->type != CK_UNAVAILABLE_INFORMATION))
        return BLOBSEAL_OK;
    st = bs_p11_public_half(&public, found, s, &l->task.err);
    if (st != BLOBSEAL_OK || public == NULL)
        return st;
    st = bs_p11_check_public(public, "", &l->task.err);
    if (st == BLOBSEAL_OK &&
        (!bs_rsa_kid(one->kid, public) || !bs_p11_uri_format(one->ref, sizeof one->ref, &l->task.key->uri, found)))
        st = blobseal_fail(&l->task.err, BLOBSEAL_E_NOMEM, 0, "list the keys of %.150s: no memory",
                           l->task.key->uri.name);
    if (st == BLOBSEAL_OK) {
        one->modulus_len = (size_t)EVP_PKEY_get_size(public);
        one->can_unwrap = found->private_key != 0 || bs_p11_must_login(&found->slot, s);
        l->num++;
    }
    EVP_PKEY_free(public);
    return st == BLOBSEAL_E_NOMEM ? st : BLOBSEAL_OK; /* a key that is not accepted is left out */
}

/* Add the keys of one token. */
static enum blobseal_status add_token(struct listing *l, struct bs_p11_slot *slot)
{
    enum blobseal_status st = BLOBSEAL_OK;
    CK_SESSION_HANDLE s;
    CK_RV rv = slot->f->C_OpenSession(slot->id, CKF_SERIAL_SESSION, NULL, NULL, &s);

    if (rv != CKR_OK)
        return bs_p11_fail(&l->task.err, rv, "open a session for", l->task.key->uri.name);
    l->keys.num = 0;
    if (bs_p11_pin_is_set(l->task.key->pin))
        st = bs_p11_login(l->task.key, slot, s, &l->task.err);
    if (st == BLOBSEAL_OK) {
        rv = bs_p11_find_keys(&l->keys, slot, s, &l->task.key->uri);
        if (rv != CKR_OK)
            st = bs_p11_fail(&l->task.err, rv, "list the keys of", l->task.key->uri.name);
    }
    for (size_t i = 0; st == BLOBSEAL_OK && i < l->keys.num && i < BS_P11_MAX_FOUND; i++)
        st = add(l, &l->keys.list[i], s);
    (void)slot->f->C_CloseSession(s);
    return st;
}

static void run(struct bs_p11_job *job)
{
    struct listing *l = (struct listing *)job;

    l->num = 0;
    l->task.status = bs_p11_module_load(l->task.key->module, &l->task.err);
    if (l->task.status == BLOBSEAL_OK)
        l->task.status = bs_p11_find_slots(&l->slots, l->task.key, &l->task.err);
    if (l->task.status == BLOBSEAL_OK && bs_p11_pin_is_set(l->task.key->pin) && l->slots.num > 1)
        l->task.status = blobseal_fail(&l->task.err, BLOBSEAL_E_CONFIG, 0,
                                       "list the keys of %.150s: %zu tokens match, and there is one PIN",
                                       l->task.key->uri.name, l->slots.num);
    for (size_t i = 0; l->task.status == BLOBSEAL_OK && i < l->slots.num; i++)
        l->task.status = add_token(l, &l->slots.list[i]);
}

enum blobseal_status bs_p11_list(struct bs_p11_key *k, blobseal_found_key_fn fn, void *fn_ctx,
                                 const struct blobseal_call *call, struct blobseal_error *err)
{
    struct listing *l = calloc(1, sizeof *l);
    enum blobseal_status st;
    bool taken;

    if (l == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "list the keys of %.150s: no memory", k->uri.name);
    bs_p11_task_init(&l->task, k, run, release);
    st = bs_p11_task_run(&l->task, &taken, call, k->limit_ms, err);
    if (taken)
        return st;
    for (size_t i = 0; st == BLOBSEAL_OK && i < l->num; i++) {
        const struct blobseal_found_key found = {.size = sizeof found,
                                                 .ref = l->list[i].ref,
                                                 .kid = l->list[i].kid,
                                                 .type = "RSA",
                                                 .bits = 8 * (unsigned)l->list[i].modulus_len,
                                                 .can_unwrap = l->list[i].can_unwrap};

        if (!fn(fn_ctx, &found))
            break;
    }
    release(&l->task.job);
    return st;
}
