/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that match a URI. */
#include <stdlib.h>
#include <string.h>

#include "kek/pkcs11/pkcs11.h"

#define MAX_LIST 65536 /* slots of a module */

/* Return true if @name is empty or the name under which p11-kit knows the module. */
static bool name_matches(CK_FUNCTION_LIST *f, const char *name)
{
    char *own;
    bool same;

    if (name == NULL)
        return true;
    own = p11_kit_module_get_name(f);
    same = own != NULL && strcmp(own, name) == 0;
    free(own);
    return same;
}

/* Add the token in a slot if it is initialised and matches. */
static CK_RV add_slot(struct bs_p11_slots *slots, CK_FUNCTION_LIST *f, CK_SLOT_ID id, const struct bs_p11_uri *u)
{
    struct bs_p11_slot slot = {.f = f, .id = id};
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(u->uri);
    CK_SLOT_INFO info;
    CK_RV rv = f->C_GetSlotInfo(id, &info);

    if (rv == CKR_OK)
        rv = f->C_GetTokenInfo(id, &slot.token);
    if (rv != CKR_OK)
        return bs_p11_code(rv)->kind == BS_P11_GONE ? CKR_OK : rv; /* removed between two calls, or not readable */
    if ((slot.token.flags & CKF_TOKEN_INITIALIZED) == 0)
        return CKR_OK;
    slots->present++;
    if ((wanted == (CK_SLOT_ID)-1 || wanted == id) && p11_kit_uri_match_slot_info(u->uri, &info) == 1 &&
        p11_kit_uri_match_token_info(u->uri, &slot.token) == 1 && slots->num < BS_P11_MAX_SLOTS)
        slots->list[slots->num++] = slot;
    return CKR_OK;
}

/* Add the tokens of one module. */
static CK_RV add_module(struct bs_p11_slots *slots, CK_FUNCTION_LIST *f, const struct bs_p11_uri *u)
{
    CK_SLOT_ID *ids = NULL;
    CK_ULONG num = 0;
    CK_INFO info;
    CK_RV rv = f->C_GetInfo(&info);

    if (rv != CKR_OK)
        return rv;
    if (!name_matches(f, u->module_name) || p11_kit_uri_match_module_info(u->uri, &info) != 1)
        return CKR_OK;
    rv = f->C_GetSlotList(CK_TRUE, NULL, &num);
    if (rv == CKR_OK && num > 0 && num <= MAX_LIST) {
        num += 8; /* of slots that appear between the two calls */
        ids = calloc(num, sizeof *ids);
        rv = ids != NULL ? f->C_GetSlotList(CK_TRUE, ids, &num) : CKR_HOST_MEMORY;
        for (CK_ULONG i = 0; rv == CKR_OK && i < num; i++)
            rv = add_slot(slots, f, ids[i], u);
    }
    free(ids);
    return rv;
}

enum blobseal_status bs_p11_find_slots(struct bs_p11_slots *slots, struct bs_p11_key *k, struct blobseal_error *err)
{
    const struct bs_p11_uri *u = &k->uri;
    struct bs_p11_module *m = k->module;
    CK_RV failed = CKR_OK;

    slots->num = slots->present = 0;
    for (size_t i = 0; i < m->num; i++) {
        CK_RV rv = add_module(slots, m->list[i], u);

        if (rv == CKR_CRYPTOKI_NOT_INITIALIZED && !m->one)
            continue; /* it could not be initialised */
        if (rv == CKR_CRYPTOKI_NOT_INITIALIZED)
            bs_p11_module_lost(m);
        if (rv != CKR_OK)
            failed = rv;
    }
    for (size_t i = 0; i < slots->num; i++)
        if (!bs_p11_loses_tokens(slots->list[i].f))
            atomic_store(&k->final, true);
    /* Of several modules, one that fails may have nothing to do with the key. */
    if (failed != CKR_OK && (m->one || slots->num == 0))
        return bs_p11_fail(err, failed, "look for the token of", u->name);
    if (slots->num > 0)
        return BLOBSEAL_OK;
    if (slots->present == 0)
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "look for a token: none is present");
    else
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "the key %.150s: none of the %zu tokens matches", u->name,
                            slots->present);
    blobseal_hint(err, "insert the token, or check the token= of the URI and its module-path=");
    return BLOBSEAL_E_UNAVAILABLE;
}
