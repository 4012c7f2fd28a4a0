/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a token that match a URI. Objects with the same id, or else the same label, are one key. */
#include <string.h>

#include "kek/pkcs11/pkcs11.h"

CK_RV bs_p11_find_objects(struct bs_p11_objects *objects, CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                          CK_ATTRIBUTE *template, CK_ULONG n)
{
    CK_RV rv = f->C_FindObjectsInit(s, template, n), ended;

    objects->num = 0;
    if (rv != CKR_OK)
        return rv;
    while (rv == CKR_OK && objects->num < BS_P11_MAX_OBJECTS) {
        CK_ULONG room = BS_P11_MAX_OBJECTS - objects->num, got = 0;

        rv = f->C_FindObjects(s, objects->list + objects->num, room, &got);
        if (rv == CKR_OK && (got == 0 || got > room))
            break;
        objects->num += rv == CKR_OK ? got : 0;
    }
    ended = f->C_FindObjectsFinal(s);
    return rv != CKR_OK ? rv : ended;
}

/* Read an attribute of up to @cap bytes. Return its length, or 0 if there is none, or it is too long. */
static CK_ULONG read_attribute(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object,
                               CK_ATTRIBUTE_TYPE type, void *out, CK_ULONG cap)
{
    CK_ATTRIBUTE a = {type, out, cap};

    if (f->C_GetAttributeValue(s, object, &a, 1) != CKR_OK || a.ulValueLen == CK_UNAVAILABLE_INFORMATION ||
        a.ulValueLen > cap)
        return 0;
    return a.ulValueLen;
}

static bool same_key(const struct bs_p11_found *a, const struct bs_p11_found *b)
{
    if (a->slot.f != b->slot.f || a->slot.id != b->slot.id)
        return false;
    if (a->id_len > 0 || b->id_len > 0)
        return a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0;
    return a->label_len == b->label_len && memcmp(a->label, b->label, a->label_len) == 0;
}

/* Add one object. */
static void add(struct bs_p11_keys *keys, const struct bs_p11_found *one)
{
    struct bs_p11_found *same = NULL;

    for (size_t i = 0; i < keys->num && i < BS_P11_MAX_FOUND && same == NULL; i++)
        if (same_key(&keys->list[i], one))
            same = &keys->list[i];
    if (same == NULL && keys->num < BS_P11_MAX_FOUND) {
        keys->list[keys->num++] = *one;
        return;
    }
    if (same == NULL) {
        keys->num++;
        return;
    }
    if (same->private_key == 0)
        same->private_key = one->private_key;
    if (same->public_key == 0)
        same->public_key = one->public_key;
    if (same->certificate == 0)
        same->certificate = one->certificate;
    if (same->type == CK_UNAVAILABLE_INFORMATION)
        same->type = one->type;
    if (one->private_key != 0 && one->label_len > 0) { /* the key is called as its private half is */
        memcpy(same->label, one->label, sizeof same->label);
        same->label_len = one->label_len;
    }
}

/* Describe one object. */
static struct bs_p11_found describe(const struct bs_p11_slot *slot, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object,
                                    CK_OBJECT_CLASS class)
{
    struct bs_p11_found one = {.slot = *slot, .type = CK_UNAVAILABLE_INFORMATION};
    CK_KEY_TYPE type;

    one.id_len = read_attribute(slot->f, s, object, CKA_ID, one.id, sizeof one.id);
    one.label_len = read_attribute(slot->f, s, object, CKA_LABEL, one.label, sizeof one.label);
    if (class != CKO_CERTIFICATE && read_attribute(slot->f, s, object, CKA_KEY_TYPE, &type, sizeof type) == sizeof type)
        one.type = type;
    if (class == CKO_PRIVATE_KEY)
        one.private_key = object;
    else if (class == CKO_PUBLIC_KEY)
        one.public_key = object;
    else
        one.certificate = object;
    return one;
}

/* Add the objects of one class that have the label and the id of the URI. */
static CK_RV add_class(struct bs_p11_keys *keys, const struct bs_p11_slot *slot, CK_SESSION_HANDLE s,
                       const struct bs_p11_uri *u, CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(u->uri, CKA_LABEL);
    CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(u->uri, CKA_ID);
    CK_ATTRIBUTE template[3] = {{CKA_CLASS, &class, sizeof class}};
    struct bs_p11_objects objects;
    CK_ULONG n = 1;
    CK_RV rv;

    if (label != NULL)
        template[n++] = *label;
    if (id != NULL)
        template[n++] = *id;
    rv = bs_p11_find_objects(&objects, slot->f, s, template, n);
    for (CK_ULONG i = 0; rv == CKR_OK && i < objects.num; i++) {
        const struct bs_p11_found one = describe(slot, s, objects.list[i], class);

        add(keys, &one);
    }
    return rv;
}

CK_RV bs_p11_find_keys(struct bs_p11_keys *keys, const struct bs_p11_slot *slot, CK_SESSION_HANDLE s,
                       const struct bs_p11_uri *u)
{
    bool named = p11_kit_uri_get_attribute(u->uri, CKA_LABEL) != NULL ||
                 p11_kit_uri_get_attribute(u->uri, CKA_ID) != NULL || (u->has_type && u->type == CKO_CERTIFICATE);
    bool public_only = u->has_type && u->type == CKO_PUBLIC_KEY;
    CK_RV rv = CKR_OK;

    if (!public_only)
        rv = add_class(keys, slot, s, u, CKO_PRIVATE_KEY);
    if (rv == CKR_OK)
        rv = add_class(keys, slot, s, u, CKO_PUBLIC_KEY);
    if (rv == CKR_OK && named) /* tokens also hold certificates of others, which are no keys to choose from */
        rv = add_class(keys, slot, s, u, CKO_CERTIFICATE);
    return rv;
}
