/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of an encryption set and their names. FORMAT.md section 11.1. */
#include <stdio.h>

#include "core/set/set.h"

bool bs_set_id(uint8_t id[BS_SET_ID_LEN], const struct blobseal_secret32 *first)
{
    static const char label[] = "blobseal-set/v1 id"; /* hashed with its zero byte */
    struct bs_sha256 h = bs_sha256_start();
    uint8_t digest[BS_SHA256_LEN];
    bool ok;

    bs_sha256_add(&h, label, sizeof label);
    bs_sha256_add(&h, first->b, sizeof first->b);
    ok = bs_sha256_end(&h, digest);
    memcpy(id, digest, BS_SET_ID_LEN);
    return ok;
}

bool bs_set_check(uint8_t check[BS_SET_CHECK_LEN], const uint8_t id[BS_SET_ID_LEN], uint32_t n,
                  const struct blobseal_secret32 *key)
{
    static const char label[] = "blobseal-set/v1 key"; /* hashed with its zero byte */
    struct bs_sha256 h = bs_sha256_start();
    uint8_t digest[BS_SHA256_LEN], number[8];
    bool ok;

    bs_store64(number, n);
    bs_sha256_add(&h, label, sizeof label);
    bs_sha256_add(&h, id, BS_SET_ID_LEN);
    bs_sha256_add(&h, number, sizeof number);
    bs_sha256_add(&h, key->b, sizeof key->b);
    ok = bs_sha256_end(&h, digest);
    memcpy(check, digest, BS_SET_CHECK_LEN);
    return ok;
}

void bs_set_kid(char out[BS_SET_MAX_KID + 1], const uint8_t id[BS_SET_ID_LEN], uint32_t n,
                const uint8_t check[BS_SET_CHECK_LEN])
{
    char set[BLOBSEAL_BASE64URL_LEN(BS_SET_ID_LEN) + 1] = "", end[BLOBSEAL_BASE64URL_LEN(BS_SET_CHECK_LEN) + 1] = "";

    blobseal_base64url_encode(set, id, BS_SET_ID_LEN);
    blobseal_base64url_encode(end, check, BS_SET_CHECK_LEN);
    (void)snprintf(out, BS_SET_MAX_KID + 1, BS_SET_KID_PREFIX "%s/%lu/%s", set, (unsigned long)n, end);
}

/* Parse a number from 1 to 2^32 - 1 without leading zeros, and advance *@text past it. Return 0 if there is none. */
static uint32_t parse_number(const char **text)
{
    uint64_t n = 0;

    if (**text == '0')
        return 0;
    for (; **text >= '0' && **text <= '9' && n <= UINT32_MAX; (*text)++)
        n = 10 * n + (uint64_t)(**text - '0');
    return n <= UINT32_MAX ? (uint32_t)n : 0;
}

bool bs_set_kid_parse(const char *kid, const uint8_t id[BS_SET_ID_LEN], uint32_t *n, uint8_t check[BS_SET_CHECK_LEN])
{
    const size_t prefix = strlen(BS_SET_KID_PREFIX), id_len = BLOBSEAL_BASE64URL_LEN(BS_SET_ID_LEN);
    uint8_t found[BS_SET_ID_LEN];
    const char *at = kid;
    size_t len;

    if (strncmp(at, BS_SET_KID_PREFIX, prefix) != 0 || strlen(at) > BS_SET_MAX_KID || strlen(at) < prefix + id_len)
        return false;
    at += prefix;
    if (!blobseal_base64url_decode(found, sizeof found, &len, at, id_len) || len != sizeof found ||
        memcmp(found, id, sizeof found) != 0)
        return false;
    at += id_len;
    if (*at++ != '/')
        return false;
    *n = parse_number(&at);
    return *n > 0 && *at++ == '/' && blobseal_base64url_decode(check, BS_SET_CHECK_LEN, &len, at, strlen(at)) &&
           len == BS_SET_CHECK_LEN;
}

const struct bs_set_key *bs_set_find(const struct bs_set_keys *keys, uint32_t n, const uint8_t check[BS_SET_CHECK_LEN])
{
    for (size_t i = 0; i < keys->num; i++)
        if (keys->list[i].n == n && memcmp(keys->list[i].check, check, BS_SET_CHECK_LEN) == 0)
            return &keys->list[i];
    return NULL;
}

/* Return true if @a comes before @b in an object. */
static bool comes_before(const struct bs_set_key *a, const struct bs_set_key *b)
{
    return a->n != b->n ? a->n < b->n : memcmp(a->check, b->check, BS_SET_CHECK_LEN) < 0;
}

bool bs_set_in_order(const struct bs_set_keys *keys)
{
    for (size_t i = 0; i < keys->num; i++) {
        if ((keys->list[i].n == 1) != (i == 0))
            return false;
        if (i > 0 && !comes_before(&keys->list[i - 1], &keys->list[i]))
            return false;
    }
    return keys->num > 0;
}

struct bs_set_keys *bs_set_keys_new(size_t cap)
{
    struct bs_set_keys *keys = blobseal_secret_alloc(sizeof *keys + cap * sizeof keys->list[0]);

    if (keys != NULL) {
        memset(keys, 0, sizeof *keys + cap * sizeof keys->list[0]);
        keys->cap = cap;
    }
    return keys;
}

/* Insert @key, which is not in @keys, at its place. There is room. */
static void insert(struct bs_set_keys *keys, const struct bs_set_key *key)
{
    size_t at = keys->num;

    for (; at > 0 && comes_before(key, &keys->list[at - 1]); at--)
        keys->list[at] = keys->list[at - 1];
    keys->list[at] = *key;
    keys->num++;
}

enum blobseal_status bs_set_keys_merge(struct bs_set_keys *keys, const struct bs_set_keys *more,
                                       struct blobseal_error *err)
{
    for (size_t i = 0; i < more->num; i++) {
        if (bs_set_find(keys, more->list[i].n, more->list[i].check) != NULL)
            continue;
        if (keys->num == keys->cap || keys->num == BS_SET_MAX_KEYS)
            return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "a set has at most %u keys", BS_SET_MAX_KEYS);
        insert(keys, &more->list[i]);
    }
    return BLOBSEAL_OK;
}

enum blobseal_status bs_set_keys_add(struct bs_set_keys *keys, uint64_t now, struct blobseal_error *err)
{
    uint32_t newest = keys->num > 0 ? keys->list[keys->num - 1].n : 0;
    struct bs_set_key *key;
    enum blobseal_status st = BLOBSEAL_OK;
    bool ok;

    if (keys->num == keys->cap || keys->num == BS_SET_MAX_KEYS || newest == UINT32_MAX) {
        st = blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "a set has at most %u keys", BS_SET_MAX_KEYS);
        blobseal_hint(err, "make a new set for new blobs");
        return st;
    }
    key = &keys->list[keys->num];
    *key = (struct bs_set_key){.n = newest + 1, .made = now};
    st = bs_random(key->k.b, sizeof key->k.b, true, err);
    if (st != BLOBSEAL_OK)
        return st;
    ok = newest > 0 || bs_set_id(keys->id, &key->k);
    if (!ok || !bs_set_check(key->check, keys->id, key->n, &key->k)) {
        blobseal_wipe(key, sizeof *key);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make the key of a set: no memory");
    }
    keys->num++;
    return BLOBSEAL_OK;
}
