/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing the keys of a vault, or the versions of a key. Only this needs the permission list; the kind and the size of
 * a key also need the permission get. A vault with thousands of keys takes minutes, so the configured deadline applies
 * to the list, and then to each key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "kek/keyvault/keyvault.h"

#define MAX_PAGES 400 /* of 25 keys */
#define MAX_ITEMS 10000
#define PAGE_ROOM 1000 /* more than a page of BS_HTTP_MAX_BODY bytes may have */

struct listing {
    struct bs_kv_session *session;
    struct bs_kv_id place; /* its name is empty for the keys of a vault */
    char path[BS_KV_MAX_NAME + 32], what[BS_KV_MAX_KID + 32];
    struct bs_kv_item *items;
    size_t num;
    bool may_look; /* at single keys */
};

/* ---- The place --------------------------------------------------------------------------------------------------- */

/* Parse "//HOST", "//HOST/keys" or "//HOST/keys/NAME", each with or without a slash at its end. */
static enum blobseal_status parse_place(struct listing *l, const char *ref, struct blobseal_error *err)
{
    char text[BS_KV_MAX_KID + 8];
    size_t len = strlen(ref);
    bool whole;

    while (len > 2 && ref[len - 1] == '/')
        len--;
    whole = len > 2 && memchr(ref + 2, '/', len - 2) == NULL;
    if (len >= 7 && strncasecmp(ref + len - 5, "/keys", 5) == 0 && memchr(ref + 2, '/', len - 7) == NULL) {
        len -= 5;
        whole = true;
    }
    if (len + sizeof "https:/keys/all" > sizeof text)
        len = 0;
    (void)snprintf(text, sizeof text, "https:%.*s%s", (int)len, ref, whole ? "/keys/all" : "");
    if (bs_kv_id_parse(&l->place, text) != NULL || l->place.version[0] != '\0') {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "https:%.150s names neither a vault nor a key in one", ref);
        blobseal_hint(err, "list the keys of https://VAULT, or the versions of https://VAULT/keys/NAME");
        return BLOBSEAL_E_CONFIG;
    }
    if (whole)
        l->place.name[0] = '\0';
    (void)snprintf(l->path, sizeof l->path, "/keys%s%s%s", whole ? "" : "/", l->place.name, whole ? "" : "/versions");
    (void)snprintf(l->what, sizeof l->what, "list %s%s in the vault %.150s", whole ? "the keys" : "the versions of ",
                   l->place.name, l->place.host);
    return BLOBSEAL_OK;
}

/* ---- Pages ------------------------------------------------------------------------------------------------------- */

const char *bs_kv_next_query(const char *link, const char *host, const char *path)
{
    char authority[BS_KV_MAX_HOST + 8];
    size_t len, host_len = strlen(host);

    if (strncmp(link, "https://", 8) != 0)
        return NULL;
    link += 8;
    len = strcspn(link, "/?#");
    (void)snprintf(authority, sizeof authority, "%s:443", host);
    if ((len != host_len || strncasecmp(link, host, len) != 0) &&
        (len != host_len + 4 || strncasecmp(link, authority, len) != 0))
        return NULL;
    link += len;
    len = strcspn(link, "?");
    if (len != strlen(path) || strncasecmp(link, path, len) != 0 || link[len] != '?')
        return NULL;
    link += len + 1;
    for (const char *p = link; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || strchr("\"<>\\^`{|}#", *p) != NULL)
            return NULL;
    return link[0] != '\0' ? link : NULL;
}

static enum blobseal_status malformed(const struct listing *l, const struct bs_http_response *answer,
                                      struct blobseal_error *err)
{
    const struct bs_kv_said said = {.code = "another list, or no list"};

    return bs_kv_row_fail(bs_kv_row_find(200, &said), l->what, answer, &said, err);
}

/* Return true if all new items belong to the place. */
static bool are_of_place(const struct listing *l, size_t first)
{
    for (size_t i = first; i < l->num; i++) {
        const struct bs_kv_id *id = &l->items[i].id;
        bool of_key = l->place.name[0] != '\0';

        if (strcmp(id->host, l->place.host) != 0 || of_key != (id->version[0] != '\0') ||
            (of_key && strcasecmp(id->name, l->place.name) != 0))
            return false;
    }
    return true;
}

/* Take the items of a page. @link is then the address of the next one, or "". */
static enum blobseal_status take_page(struct listing *l, struct bs_http_response *answer, char link[BS_KV_MAX_LINK],
                                      struct blobseal_error *err)
{
    struct bs_kv_item *more = realloc(l->items, (l->num + PAGE_ROOM) * sizeof *more);
    size_t first = l->num, num;

    if (more == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "%s: no memory", l->what);
    l->items = more;
    if (!bs_kv_parse_list(l->items + first, PAGE_ROOM, &num, link, answer->body, answer->len))
        return malformed(l, answer, err);
    l->num += num;
    return are_of_place(l, first) ? BLOBSEAL_OK : malformed(l, answer, err);
}

static enum blobseal_status get_page(struct listing *l, const char *query, char link[BS_KV_MAX_LINK],
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_kv_request q = {.what = l->what, .path = l->path, .query = query};
    struct bs_http_response answer = {0};
    enum bs_kv_class class;
    enum blobseal_status st = bs_kv_send(l->session, &q, &answer, &class, call, err);

    if (st == BLOBSEAL_OK)
        st = take_page(l, &answer, link, err);
    else if (class == BS_KV_REFUSED && answer.status == 403)
        blobseal_hint(err, "listing needs the key permission list, which wrapping and unwrapping do not: ask the owner "
                           "of the vault for it, or for a role such as Key Vault Reader");
    if (st == BLOBSEAL_OK && link[0] != '\0' && bs_kv_next_query(link, l->place.host, l->path) == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "%s: the next page is not one of this list", l->what);
        blobseal_hint(err, "check that this is the right host, and that nothing changes the traffic");
    }
    bs_http_response_clear(&answer);
    return st;
}

static enum blobseal_status get_pages(struct listing *l, const struct blobseal_call *call, struct blobseal_error *err)
{
    char links[2][BS_KV_MAX_LINK] = {"", ""};
    const char *query = NULL;
    enum blobseal_status st = BLOBSEAL_OK;

    for (unsigned page = 0; st == BLOBSEAL_OK && (page == 0 || query != NULL); page++) {
        char *link = links[page % 2];

        if (page == MAX_PAGES || l->num > MAX_ITEMS)
            return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "%s: there are more than %u", l->what,
                                 (unsigned)MAX_ITEMS);
        st = get_page(l, query, link, call, err);
        query = st == BLOBSEAL_OK && link[0] != '\0' ? bs_kv_next_query(link, l->place.host, l->path) : NULL;
    }
    return st;
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* Look at one key. Nothing is known of it if that is not permitted, or if it was deleted meanwhile. */
static enum blobseal_status look(struct listing *l, const struct bs_kv_id *id, struct bs_kv_key *key,
                                 const struct blobseal_call *call, struct blobseal_error *err)
{
    char path[BS_KV_MAX_NAME + BS_KV_VERSION + 16];
    const struct bs_kv_request q = {.what = l->what, .path = path};
    const struct blobseal_call limited = bs_kv_limit(&l->session->settings, call);
    struct bs_http_response answer = {0};
    enum bs_kv_class class;
    enum blobseal_status st;

    memset(key, 0, sizeof *key);
    if (!l->may_look)
        return BLOBSEAL_OK;
    (void)snprintf(path, sizeof path, "/keys/%s%s%s", id->name, id->version[0] != '\0' ? "/" : "", id->version);
    st = bs_kv_send(l->session, &q, &answer, &class, &limited, err);
    if (st == BLOBSEAL_OK && (!bs_kv_parse_key(key, answer.body, answer.len) || !bs_kv_id_same_key(&key->id, id)))
        st = malformed(l, &answer, err);
    bs_http_response_clear(&answer);
    if (st != BLOBSEAL_OK && (class == BS_KV_REFUSED || class == BS_KV_MISSING)) {
        memset(key, 0, sizeof *key);
        l->may_look = class == BS_KV_MISSING;
        return BLOBSEAL_OK;
    }
    return st;
}

static bool report(const struct bs_kv_item *item, const struct bs_kv_key *key, blobseal_found_key_fn fn, void *fn_ctx)
{
    char ref[BS_KV_MAX_KID + 1], kid[BS_KV_MAX_KID + 1];
    bool known = key->kty[0] != '\0', is_rsa = strncasecmp(key->kty, "RSA", 3) == 0;
    unsigned bits = 8 * (unsigned)key->n_len;

    for (uint8_t top = bits > 0 ? key->n[0] : 0x80; (top & 0x80) == 0; top = (uint8_t)(top << 1))
        bits--;
    bs_kv_id_format(ref, &item->id);
    bs_kv_id_format(kid, known ? &key->id : &item->id);
    return fn(fn_ctx, &(struct blobseal_found_key){
                          .size = sizeof(struct blobseal_found_key),
                          .ref = ref,
                          .kid = known || item->id.version[0] != '\0' ? kid : NULL,
                          .type = known ? key->kty : NULL,
                          .bits = is_rsa ? bits : 0,
                          .can_unwrap = known ? is_rsa && key->may_unwrap && !key->managed : true,
                          .disabled = !item->enabled,
                          .valid_from = item->nbf,
                          .valid_until = item->exp,
                      });
}

/* The order of a list means nothing: versions get the newest first, keys get that of their names. */
static int compare(const void *a, const void *b)
{
    const struct bs_kv_item *x = a, *y = b;
    int names = strcasecmp(x->id.name, y->id.name);

    if (names != 0 || x->created == y->created)
        return names != 0 ? names : strcmp(x->id.version, y->id.version);
    return x->created > y->created ? -1 : 1;
}

static enum blobseal_status list(struct listing *l, blobseal_found_key_fn fn, void *fn_ctx,
                                 const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct blobseal_call limited = bs_kv_limit(&l->session->settings, call);
    enum blobseal_status st = get_pages(l, &limited, err);
    bool more = true;

    if (st == BLOBSEAL_OK && l->num > 0)
        qsort(l->items, l->num, sizeof l->items[0], compare);
    for (size_t i = 0; st == BLOBSEAL_OK && i < l->num && more; i++) {
        struct bs_kv_key key;

        st = look(l, &l->items[i].id, &key, call, err);
        more = st == BLOBSEAL_OK && report(&l->items[i], &key, fn, fn_ctx);
    }
    return st;
}

enum blobseal_status bs_kv_list(const char *ref, const struct blobseal_kek_options *options, blobseal_found_key_fn fn,
                                void *fn_ctx, const struct blobseal_call *call, struct blobseal_error *err)
{
    struct listing l = {.may_look = true};
    struct bs_kv_settings settings;
    enum blobseal_status st = parse_place(&l, ref, err);

    if (st == BLOBSEAL_OK)
        st = bs_kv_settings_get(&settings, l.place.host, options->config, options->identity, err);
    if (st == BLOBSEAL_OK)
        st = bs_kv_session_open(&l.session, &settings, err);
    if (st == BLOBSEAL_OK)
        st = list(&l, fn, fn_ctx, call, err);
    free(l.items);
    bs_kv_session_close(l.session);
    return st;
}
