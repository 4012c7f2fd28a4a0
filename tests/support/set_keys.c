/* SPDX-License-Identifier: Apache-2.0 */
/* A KEK that has the keys of a set. */
#include <stdlib.h>

#include "tests/support/blobs.h"
#include "tests/support/set_keys.h"

/* Find the key that @kid names. */
static const struct bs_set_key *find(const struct bs_set_keys *keys, const char *kid)
{
    uint8_t check[BS_SET_CHECK_LEN];
    uint32_t n;

    return bs_set_kid_parse(kid, keys->id, &n, check) ? bs_set_find(keys, n, check) : NULL;
}

static enum blobseal_status set_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                     const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    (void)state;
    (void)info;
    (void)ref;
    (void)options;
    (void)call;
    return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "this set has no reference");
}

static bool set_owns(void *state, const char *alg, const char *kid)
{
    return strcmp(alg, "A256KW") == 0 && find(state, kid) != NULL;
}

static enum blobseal_status set_wrap(void *state, struct blobseal_wrapping *out, const struct blobseal_secret32 *secret,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_set_keys *keys = state;
    const struct bs_set_key *key = &keys->list[keys->num - 1];
    struct bs_a256kw *kw;
    enum blobseal_status st = bs_a256kw_new(&kw, &key->k, err);

    (void)call;
    if (st == BLOBSEAL_OK)
        st = bs_a256kw_wrap(kw, out->key, secret, err);
    bs_a256kw_free(kw);
    memcpy(out->alg, "A256KW", sizeof "A256KW");
    bs_set_kid(out->kid, keys->id, key->n, key->check);
    out->key_len = BS_A256KW_LEN;
    return st;
}

static enum blobseal_status set_unwrap(void *state, struct blobseal_secret32 *secret,
                                       const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    struct bs_a256kw *kw;
    enum blobseal_status st = bs_a256kw_new(&kw, &find(state, wrapped->kid)->k, err);

    (void)lease;
    (void)call;
    if (st == BLOBSEAL_OK)
        st = bs_a256kw_unwrap(kw, secret, wrapped->key, wrapped->key_len, err);
    bs_a256kw_free(kw);
    return st;
}

static const struct blobseal_provider provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "set-of-a-test",
    .open = set_open,
    .owns = set_owns,
    .wrap = set_wrap,
    .unwrap = set_unwrap,
    .close = blobseal_secret_free,
};

struct blobseal_kek *set_kek_open(const char *object, size_t len, struct blobseal_kek *kek)
{
    struct blobseal_kek_info info = {.size = sizeof info, .alg = "A256KW", .wrapped_len = 40, .can_unwrap = true};
    struct bs_set_keys *keys = NULL;
    struct bs_set_object o;
    char kid[BS_SET_MAX_KID + 1];
    struct blobseal_kek *set;

    if (bs_set_object_parse(&o, object, len, NULL, NULL) != BLOBSEAL_OK ||
        bs_set_object_open(&keys, &o, (struct bs_keks){&kek, 1, NULL}, NULL, NULL) != BLOBSEAL_OK)
        test_support_failed("the object of the set does not open");
    bs_set_object_clear(&o);
    bs_set_kid(kid, keys->id, keys->list[0].n, keys->list[0].check);
    info.kid = kid; /* only for this call */
    if (blobseal_kek_new(&set, &provider, keys, &info, NULL) != BLOBSEAL_OK)
        test_support_failed("no KEK for the set");
    return set;
}
