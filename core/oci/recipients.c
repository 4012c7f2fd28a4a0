/* SPDX-License-Identifier: Apache-2.0 */
/* The recipients of a layer, as its annotations name them. */
#include <stdlib.h>

#include "core/oci/keys.h"

/* A list that grows. Its strings are copies. */
struct listing {
    size_t num, cap;
    struct blobseal_oci_recipient *list;
    bool no_memory;
};

/* Copy a string, which may be NULL. */
static const char *copy(struct listing *l, const char *s)
{
    const char *c = s != NULL ? strdup(s) : NULL;

    l->no_memory = l->no_memory || (s != NULL && c == NULL);
    return c;
}

static void add(struct listing *l, struct blobseal_oci_recipient r)
{
    struct blobseal_oci_recipient *list = l->list;

    if (l->num == l->cap) {
        l->cap = l->cap * 2 + 8;
        list = realloc(l->list, l->cap * sizeof *list);
    }
    if (list == NULL) {
        l->no_memory = true;
        l->cap = l->num;
        return;
    }
    l->list = list;
    r.scheme = copy(l, r.scheme);
    r.alg = copy(l, r.alg);
    r.kid = copy(l, r.kid);
    if (r.scheme != NULL)
        blobseal_make_printable((char *)r.scheme);
    l->list[l->num++] = r;
}

static void clear(struct listing *l)
{
    for (size_t i = 0; i < l->num; i++) {
        free((char *)l->list[i].scheme);
        free((char *)l->list[i].alg);
        free((char *)l->list[i].kid);
    }
    free(l->list);
}

static void add_jwe(struct listing *l, const struct bs_oci_item *item, bool chunked)
{
    struct bs_envelope e = {0};
    struct bs_oci_jwe j = {0};
    const struct bs_jwe *jwe = &j.jwe;
    enum blobseal_status st;

    if (chunked && item->scheme == BS_OCI_OURS) {
        st = bs_envelope_parse(&e, (const char *)item->bytes.p, item->bytes.len, NULL);
        jwe = &e.jwe;
    } else {
        st = bs_oci_jwe_parse(&j, item->scheme, item->bytes, NULL);
    }
    if (st == BLOBSEAL_E_NOMEM)
        l->no_memory = true;
    if (st != BLOBSEAL_OK)
        add(l, (struct blobseal_oci_recipient){.scheme = item->name, .malformed = st == BLOBSEAL_E_FORMAT});
    for (size_t i = 0; i < jwe->num && st == BLOBSEAL_OK; i++) {
        const struct bs_jwe_recipient *r = &jwe->recipients[i];

        add(l, (struct blobseal_oci_recipient){
                   .scheme = item->name, .alg = r->alg, .kid = r->kid, .supported = bs_jwe_knows(r)});
    }
    bs_oci_jwe_clear(&j);
    bs_envelope_clear(&e);
}

static void add_blobs(struct listing *l, const struct bs_oci_item *item)
{
    struct bs_oci_blobs blobs;
    enum blobseal_status st = bs_oci_blobs_parse(&blobs, item->bytes, NULL);

    if (st == BLOBSEAL_E_NOMEM)
        l->no_memory = true;
    if (st != BLOBSEAL_OK)
        add(l, (struct blobseal_oci_recipient){.scheme = item->name, .malformed = st == BLOBSEAL_E_FORMAT});
    for (size_t i = 0; i < blobs.num && st == BLOBSEAL_OK; i++)
        add(l, (struct blobseal_oci_recipient){
                   .scheme = item->name, .alg = blobs.list[i].alg, .kid = blobs.list[i].kid, .supported = true});
    bs_oci_blobs_clear(&blobs);
}

static void add_item(struct listing *l, const struct bs_oci_item *item, bool chunked)
{
    if (item->scheme == BS_OCI_JWE || item->scheme == BS_OCI_OURS)
        add_jwe(l, item, chunked);
    else if (item->scheme == BS_OCI_PKCS11)
        add_blobs(l, item);
    else
        add(l, (struct blobseal_oci_recipient){.scheme = item->name, .malformed = item->bytes.len == 0});
}

/* Copy the list into one allocation. */
static struct blobseal_oci_recipients *pack(const struct listing *l)
{
    struct blobseal_oci_recipients *out;
    struct blobseal_oci_recipient *list;
    size_t len = sizeof *out + l->num * sizeof *list;
    char *at;

    for (size_t i = 0; i < l->num; i++)
        len += bs_packed_len(l->list[i].scheme) + bs_packed_len(l->list[i].alg) + bs_packed_len(l->list[i].kid);
    out = malloc(len);
    if (out == NULL)
        return NULL;
    list = (struct blobseal_oci_recipient *)(out + 1);
    at = (char *)(list + l->num);
    *out = (struct blobseal_oci_recipients){.num = l->num, .list = list};
    for (size_t i = 0; i < l->num; i++) {
        list[i] = l->list[i];
        list[i].scheme = bs_pack_string(&at, l->list[i].scheme);
        list[i].alg = bs_pack_string(&at, l->list[i].alg);
        list[i].kid = bs_pack_string(&at, l->list[i].kid);
    }
    return out;
}

enum blobseal_status blobseal_oci_recipients(const struct blobseal_oci_annotation *annotations, size_t num,
                                             struct blobseal_oci_recipients **list, struct blobseal_error *err)
{
    struct bs_oci_items *items = malloc(sizeof *items);
    struct bs_oci_public public = {0};
    struct listing l = {0};
    enum blobseal_status st;
    bool known = false;

    *list = NULL;
    if (items == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "list the recipients of a layer: no memory");
    st = bs_oci_items_read(items, annotations, num, err);
    if (st == BLOBSEAL_OK)
        known = bs_oci_items_public(items, &public, NULL) == BLOBSEAL_OK;
    for (size_t i = 0; i < items->num && st == BLOBSEAL_OK; i++)
        add_item(&l, &items->list[i], known && public.cipher == BS_OCI_CHUNKED);
    if (st == BLOBSEAL_OK && !l.no_memory)
        *list = pack(&l);
    if (*list != NULL) {
        (*list)->has_cipher = known;
        (*list)->chunked = known && public.cipher == BS_OCI_CHUNKED;
    } else if (st == BLOBSEAL_OK) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "list the recipients of a layer: no memory");
    }
    clear(&l);
    bs_oci_items_clear(items);
    free(items);
    return st;
}

void blobseal_oci_recipients_free(struct blobseal_oci_recipients *list)
{
    free(list);
}
