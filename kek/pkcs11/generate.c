/* SPDX-License-Identifier: Apache-2.0 */
/* Generating an RSA key in a token. Its private half is sensitive and not extractable, and only decrypts. */
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "kek/pkcs11/pkcs11.h"

#define LIMIT_MS 300000 /* a smart card takes minutes for 4096 bits */
#define ID_LEN   8

struct generating {
    struct bs_p11_task task;
    CK_ULONG bits;
    CK_BYTE id[BS_P11_MAX_ID];
    CK_ULONG id_len;
    struct bs_p11_slots slots;
    struct bs_p11_keys keys;
};

static void release(struct bs_p11_job *job)
{
    struct generating *g = (struct generating *)job;

    bs_p11_key_unref(g->task.key);
    free(g);
}

/* Choose the id: that of the URI, or a random one. */
static enum blobseal_status choose_id(struct generating *g)
{
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(g->task.key->uri.uri, CKA_ID);

    if (id != NULL && id->ulValueLen > 0 && id->ulValueLen <= sizeof g->id) {
        memcpy(g->id, id->pValue, id->ulValueLen);
        g->id_len = id->ulValueLen;
        return BLOBSEAL_OK;
    }
    g->id_len = ID_LEN;
    return bs_random(g->id, ID_LEN, false, &g->task.err);
}

static CK_RV generate(struct generating *g, const struct bs_p11_slot *slot, CK_SESSION_HANDLE s)
{
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(g->task.key->uri.uri, CKA_LABEL);
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BYTE exponent[] = {1, 0, 1};
    CK_ATTRIBUTE public[] = {{CKA_TOKEN, &yes, sizeof yes},
                             {CKA_PRIVATE, &no, sizeof no},
                             {CKA_ENCRYPT, &yes, sizeof yes},
                             {CKA_WRAP, &no, sizeof no},
                             {CKA_VERIFY, &no, sizeof no},
                             {CKA_MODULUS_BITS, &g->bits, sizeof g->bits},
                             {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent},
                             {CKA_LABEL, label->pValue, label->ulValueLen},
                             {CKA_ID, g->id, g->id_len}};
    CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, sizeof yes},     {CKA_PRIVATE, &yes, sizeof yes},
                              {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
                              {CKA_DECRYPT, &yes, sizeof yes},   {CKA_UNWRAP, &no, sizeof no},
                              {CKA_SIGN, &no, sizeof no},        {CKA_LABEL, label->pValue, label->ulValueLen},
                              {CKA_ID, g->id, g->id_len}};
    CK_OBJECT_HANDLE a, b;

    return slot->f->C_GenerateKeyPair(s, &mechanism, public, sizeof public / sizeof public[0], private,
                                      sizeof private / sizeof private[0], &a, &b);
}

/* In a session of the one token: log in, see that the name is free, and generate. */
static enum blobseal_status generate_in(struct generating *g, struct bs_p11_slot *slot, CK_SESSION_HANDLE s)
{
    const char *name = g->task.key->uri.name;
    enum blobseal_status st = bs_p11_login(g->task.key, slot, s, &g->task.err);
    CK_RV rv;

    if (st != BLOBSEAL_OK)
        return st;
    g->keys.num = 0;
    rv = bs_p11_find_keys(&g->keys, slot, s, &g->task.key->uri);
    if (rv != CKR_OK)
        return bs_p11_fail(&g->task.err, rv, "look for the key", name);
    if (g->keys.num > 0) {
        (void)blobseal_fail(&g->task.err, BLOBSEAL_E_CONFIG, 0, "generate the key %.150s: the token has it already",
                            name);
        blobseal_hint(&g->task.err, "choose another name for object=, or use the key that is there");
        return BLOBSEAL_E_CONFIG;
    }
    atomic_store(&g->task.key->final, true); /* a second key must not be made */
    rv = generate(g, slot, s);
    return rv == CKR_OK ? BLOBSEAL_OK : bs_p11_fail(&g->task.err, rv, "generate the key", name);
}

/* Find the one token. */
static enum blobseal_status find_token(struct generating *g)
{
    struct bs_p11_key *k = g->task.key;
    enum blobseal_status st = bs_p11_module_load(k->module, &g->task.err);

    if (st == BLOBSEAL_OK)
        st = bs_p11_find_slots(&g->slots, k, &g->task.err);
    if (st == BLOBSEAL_OK && g->slots.num > 1) {
        st = blobseal_fail(&g->task.err, BLOBSEAL_E_CONFIG, 0, "generate the key %.150s: %zu tokens match", k->uri.name,
                           g->slots.num);
        blobseal_hint(&g->task.err, "name the token with token= or serial=");
    }
    return st;
}

static void run(struct bs_p11_job *job)
{
    struct generating *g = (struct generating *)job;
    struct bs_p11_slot *slot = &g->slots.list[0];
    CK_SESSION_HANDLE s;
    CK_RV rv;

    g->task.status = find_token(g);
    if (g->task.status == BLOBSEAL_OK)
        g->task.status = choose_id(g);
    if (g->task.status != BLOBSEAL_OK)
        return;
    rv = slot->f->C_OpenSession(slot->id, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s);
    if (rv != CKR_OK) {
        g->task.status = bs_p11_fail(&g->task.err, rv, "open a session for", g->task.key->uri.name);
        return;
    }
    g->task.status = generate_in(g, slot, s);
    (void)slot->f->C_CloseSession(s);
}

enum blobseal_status bs_p11_generate(struct bs_p11_key *k, unsigned bits, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(k->uri.uri, CKA_LABEL);
    struct generating *g;
    enum blobseal_status st;
    bool taken;

    if (label == NULL || label->ulValueLen == 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "generate the key %.150s: it has no name", k->uri.name);
        blobseal_hint(err, "name the new key with object=NAME in the URI");
        return BLOBSEAL_E_CONFIG;
    }
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "generate the key %.150s: no memory", k->uri.name);
    bs_p11_task_init(&g->task, k, run, release);
    g->bits = bits;
    st = bs_p11_task_run(&g->task, &taken, call, LIMIT_MS, err);
    if (taken)
        return st;
    release(&g->task.job);
    return st;
}
