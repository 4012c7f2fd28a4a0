/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault answers: a key, the result of an operation, or an error. */
#include <stdio.h>

#include "kek/keyvault/keyvault.h"

/* Decode base64url, which some services pad. */
static bool decode(uint8_t *out, size_t cap, size_t *len, struct bs_slice text)
{
    while (text.len > 0 && text.p[text.len - 1] == '=')
        text.len--;
    return blobseal_base64url_decode(out, cap, len, (const char *)text.p, text.len);
}

/* Read a number of an RSA key, without leading zeros. If it is too long, @len stays 0. */
static void read_integer(struct bs_json *j, uint8_t *out, size_t *len)
{
    uint8_t bytes[BS_KV_MAX_MODULUS + 8];
    struct bs_slice s;
    size_t n, zeros = 0;

    *len = 0;
    if (!bs_json_string(j, &s) || !decode(bytes, sizeof bytes, &n, s))
        return;
    while (zeros < n && bytes[zeros] == 0)
        zeros++;
    if (n - zeros > BS_KV_MAX_MODULUS)
        return;
    memcpy(out, bytes + zeros, n - zeros);
    *len = n - zeros;
}

/* Read a key id. If it is none, the version stays empty. */
static void read_id(struct bs_json *j, struct bs_kv_id *id)
{
    char text[BS_KV_MAX_KID + 2];

    if (!bs_kv_json_text(j, text, sizeof text) || bs_kv_id_parse(id, text) != NULL)
        memset(id, 0, sizeof *id);
}

/* Read key_ops. If the array is empty, everything is allowed. */
static void read_operations(struct bs_json *j, struct bs_kv_key *key)
{
    bool any = false;
    char op[32];

    if (!bs_json_array(j))
        return;
    key->may_wrap = key->may_unwrap = false;
    while (bs_json_element(j)) {
        any = true;
        if (!bs_kv_json_text(j, op, sizeof op))
            continue;
        key->may_wrap = key->may_wrap || strcmp(op, "wrapKey") == 0;
        key->may_unwrap = key->may_unwrap || strcmp(op, "unwrapKey") == 0;
    }
    if (!any)
        key->may_wrap = key->may_unwrap = true;
}

static void read_jwk(struct bs_json *j, struct bs_kv_key *key)
{
    struct bs_slice name;

    if (!bs_json_object(j))
        return;
    while (bs_json_member(j, &name)) {
        if (bs_slice_is(name, "kid"))
            read_id(j, &key->id);
        else if (bs_slice_is(name, "kty"))
            (void)bs_kv_json_text(j, key->kty, sizeof key->kty);
        else if (bs_slice_is(name, "key_ops"))
            read_operations(j, key);
        else if (bs_slice_is(name, "n"))
            read_integer(j, key->n, &key->n_len);
        else if (bs_slice_is(name, "e"))
            read_integer(j, key->e, &key->e_len);
        else
            (void)bs_json_skip(j);
    }
}

static void read_attributes(struct bs_json *j, struct bs_kv_key *key)
{
    struct bs_slice name;

    if (!bs_json_object(j))
        return;
    while (bs_json_member(j, &name)) {
        if (bs_slice_is(name, "enabled"))
            key->enabled = bs_kv_json_bool(j);
        else if (bs_slice_is(name, "exportable"))
            key->exportable = bs_kv_json_bool(j);
        else if (bs_slice_is(name, "nbf"))
            (void)bs_kv_json_number(j, &key->nbf);
        else if (bs_slice_is(name, "exp"))
            (void)bs_kv_json_number(j, &key->exp);
        else if (bs_slice_is(name, "recoveryLevel"))
            (void)bs_kv_json_text(j, key->recovery, sizeof key->recovery);
        else
            (void)bs_json_skip(j);
    }
}

bool bs_kv_parse_key(struct bs_kv_key *key, uint8_t *text, size_t len)
{
    struct bs_json j = bs_kv_json_start(text, len);
    struct bs_slice name;

    memset(key, 0, sizeof *key);
    key->may_wrap = key->may_unwrap = true;
    if (!bs_json_object(&j))
        return false;
    while (bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "key"))
            read_jwk(&j, key);
        else if (bs_slice_is(name, "attributes"))
            read_attributes(&j, key);
        else if (bs_slice_is(name, "managed"))
            key->managed = bs_kv_json_bool(&j);
        else
            (void)bs_json_skip(&j);
    }
    return bs_json_end(&j) && key->id.version[0] != '\0' && key->kty[0] != '\0';
}

bool bs_kv_parse_result(struct bs_kv_id *id, uint8_t *value, size_t cap, size_t *value_len, uint8_t *text, size_t len)
{
    struct bs_json j = bs_kv_json_start(text, len);
    struct bs_slice name, s;
    bool found = false;

    memset(id, 0, sizeof *id);
    *value_len = 0;
    if (!bs_json_object(&j))
        return false;
    while (bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "kid"))
            read_id(&j, id);
        else if (bs_slice_is(name, "value"))
            found = bs_json_string(&j, &s) && decode(value, cap, value_len, s);
        else
            (void)bs_json_skip(&j);
    }
    return bs_json_end(&j) && found && id->version[0] != '\0';
}

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

static void read_item_attributes(struct bs_json *j, struct bs_kv_item *item)
{
    struct bs_slice name;

    if (!bs_json_object(j))
        return;
    while (bs_json_member(j, &name)) {
        if (bs_slice_is(name, "enabled"))
            item->enabled = bs_kv_json_bool(j);
        else if (bs_slice_is(name, "nbf"))
            (void)bs_kv_json_number(j, &item->nbf);
        else if (bs_slice_is(name, "exp"))
            (void)bs_kv_json_number(j, &item->exp);
        else if (bs_slice_is(name, "created"))
            (void)bs_kv_json_number(j, &item->created);
        else
            (void)bs_json_skip(j);
    }
}

/* Read the items of a page. Return false if there are more than @cap, or one has no id. */
static bool read_items(struct bs_json *j, struct bs_kv_item *list, size_t cap, size_t *num)
{
    struct bs_slice name;

    if (!bs_json_array(j))
        return false;
    while (bs_json_element(j)) {
        struct bs_kv_item *item = &list[*num];

        if (*num == cap || !bs_json_object(j))
            return false;
        *item = (struct bs_kv_item){.enabled = false};
        while (bs_json_member(j, &name)) {
            if (bs_slice_is(name, "kid"))
                read_id(j, &item->id);
            else if (bs_slice_is(name, "attributes"))
                read_item_attributes(j, item);
            else
                (void)bs_json_skip(j);
        }
        if (item->id.name[0] == '\0')
            return false;
        ++*num;
    }
    return j->ok;
}

/* Read nextLink, which is null on the last page. Return false if it is too long. */
static bool read_link(struct bs_json *j, char link[BS_KV_MAX_LINK])
{
    bool is_text;

    while (j->p < j->end && strchr(" \t\r\n", *j->p) != NULL && *j->p != '\0')
        j->p++;
    is_text = j->p < j->end && *j->p == '"';
    return bs_kv_json_text(j, link, BS_KV_MAX_LINK) || (!is_text && j->ok);
}

bool bs_kv_parse_list(struct bs_kv_item *list, size_t cap, size_t *num, char link[BS_KV_MAX_LINK], uint8_t *text,
                      size_t len)
{
    struct bs_json j = bs_kv_json_start(text, len);
    struct bs_slice name;
    bool ok = bs_json_object(&j);

    *num = 0;
    link[0] = '\0';
    while (ok && bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "value"))
            ok = *num == 0 && read_items(&j, list, cap, num);
        else if (bs_slice_is(name, "nextLink"))
            ok = read_link(&j, link);
        else
            (void)bs_json_skip(&j);
    }
    return ok && bs_json_end(&j);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* Read a string, of which the beginning is enough. */
static void read_beginning(struct bs_json *j, char *out, size_t cap)
{
    struct bs_slice s;

    if (bs_json_string(j, &s))
        (void)snprintf(out, cap, "%.*s", (int)(s.len < cap ? s.len : cap - 1), (const char *)s.p);
}

/* Read {"code": ..., "message": ..., "innererror": {...}}, at any level. */
static void read_error(struct bs_json *j, struct bs_kv_said *said, bool outermost)
{
    struct bs_slice name;

    if (!bs_json_object(j))
        return;
    while (bs_json_member(j, &name)) {
        bool inner = bs_slice_is(name, "innererror") || bs_slice_is(name, "innerError");

        if (bs_slice_is(name, "code") && j->p < j->end)
            (void)bs_kv_json_text(j, outermost ? said->code : said->inner, sizeof said->code);
        else if (outermost && bs_slice_is(name, "message"))
            read_beginning(j, said->message, sizeof said->message);
        else if (inner && j->p < j->end && j->depth < 6)
            read_error(j, said, false);
        else
            (void)bs_json_skip(j);
    }
}

void bs_kv_parse_error(struct bs_kv_said *said, uint8_t *text, size_t len)
{
    struct bs_json j = bs_kv_json_start(text, len);
    struct bs_slice name;
    size_t digits;

    memset(said, 0, sizeof *said);
    if (!bs_json_object(&j))
        return;
    while (bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "error"))
            read_error(&j, said, true);
        else
            (void)bs_json_skip(&j);
    }
    said->message[strcspn(said->message, "\r\n")] = '\0';
    digits = strncmp(said->message, "AKV", 3) == 0 ? strspn(said->message + 3, "0123456789") : 0;
    if (digits > 0 && digits + 3 < sizeof said->akv)
        (void)snprintf(said->akv, sizeof said->akv, "%.*s", (int)(digits + 3), said->message);
}
