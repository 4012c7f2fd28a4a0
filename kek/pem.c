/* SPDX-License-Identifier: Apache-2.0 */
/* The provider for keys in PEM files. pem_file.c lists the kinds of keys. */
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "kek/kek.h"
#include "kek/pem.h"
#include "kek/rsa.h"

static void pem_close(void *state)
{
    bs_pem_key_free(state);
}

static struct blobseal_kek_info describe(const struct bs_pem_key *k)
{
    return (struct blobseal_kek_info){
        .size = sizeof(struct blobseal_kek_info),
        .kid = k->kid,
        .alg = bs_rsa_algorithm(k->wrapper.oaep),
        .wrapped_len = (size_t)EVP_PKEY_get_size(k->key),
        .can_unwrap = k->is_private,
    };
}

static enum blobseal_status pem_open(void **state, struct blobseal_kek_info *info, const char *path,
                                     const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct bs_pem_keys keys;
    enum blobseal_status st = bs_pem_read(&keys, path, options, err);

    (void)call; /* reading a file does not wait */
    *state = NULL;
    if (st != BLOBSEAL_OK)
        return st;
    if (keys.num > 1) {
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the key %s: it has %zu keys, and one is needed here", path,
                           keys.num);
        blobseal_hint(err, "name a file with that key only");
        bs_pem_keys_clear(&keys);
        return st;
    }
    *info = describe(keys.list[0]);
    *state = keys.list[0];
    return BLOBSEAL_OK;
}

/* Add all keys to @list, and release @keys. */
static enum blobseal_status add_all(const struct blobseal_kek_list *list, struct bs_pem_keys *keys,
                                    struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < keys->num && st == BLOBSEAL_OK; i++) {
        struct bs_pem_key *k = keys->list[i];
        const struct blobseal_kek_info info = describe(k);

        keys->list[i] = NULL; /* the list takes it over */
        st = list->add(list->ctx, k, &info, err);
    }
    bs_pem_keys_clear(keys);
    return st;
}

static enum blobseal_status pem_open_all(const struct blobseal_kek_list *list, const char *path,
                                         const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                         struct blobseal_error *err)
{
    struct bs_pem_keys keys;
    enum blobseal_status st = bs_pem_read(&keys, path, options, err);

    (void)call;
    return st == BLOBSEAL_OK ? add_all(list, &keys, err) : st;
}

enum blobseal_status bs_pem_open_text(const struct blobseal_kek_list *list, const char *text, size_t len,
                                      const struct blobseal_kek_options *options, struct blobseal_error *err)
{
    struct bs_pem_keys keys;
    enum blobseal_status st = bs_pem_read_text(&keys, text, len, options, err);

    return st == BLOBSEAL_OK ? add_all(list, &keys, err) : st;
}

static bool pem_owns(void *state, const char *alg, const char *kid)
{
    const struct bs_pem_key *k = state;

    return strcmp(kid, k->kid) == 0 && (strcmp(alg, "RSA-OAEP-256") == 0 || strcmp(alg, "RSA-OAEP") == 0);
}

static enum blobseal_status pem_wrap(void *state, struct blobseal_wrapping *out, const struct blobseal_secret32 *secret,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_pem_key *k = state;

    (void)call;
    memcpy(out->kid, k->kid, sizeof k->kid);
    return bs_rsa_wrap_secret(&k->wrapper, out, secret, err);
}

static enum blobseal_oaep oaep_of(const struct blobseal_wrapped *wrapped)
{
    return strcmp(wrapped->alg, "RSA-OAEP") == 0 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256;
}

static enum blobseal_status pem_unwrap(void *state, struct blobseal_secret32 *secret,
                                       const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_pem_key *k = state;

    (void)lease; /* nobody can revoke a file */
    (void)call;
    return bs_rsa_unwrap_secret(k->key, oaep_of(wrapped), secret, (struct bs_slice){wrapped->key, wrapped->key_len},
                                err);
}

static enum blobseal_status pem_decrypt(void *state, uint8_t *out, size_t *len, const struct blobseal_wrapped *wrapped,
                                        const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct bs_pem_key *k = state;

    (void)call;
    return bs_rsa_decrypt(k->key, oaep_of(wrapped), out, len, (struct bs_slice){wrapped->key, wrapped->key_len}, err);
}

static enum blobseal_status pem_public_key(void *state, uint8_t **spki, size_t *len, const struct blobseal_call *call,
                                           struct blobseal_error *err)
{
    const struct bs_pem_key *k = state;

    (void)call;
    return bs_rsa_spki(spki, len, k->key) ? BLOBSEAL_OK : bs_openssl_failed(err, "write the public key %s", k->kid);
}

const struct blobseal_provider bs_pem_provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "file",
    .open = pem_open,
    .open_all = pem_open_all,
    .owns = pem_owns,
    .wrap = pem_wrap,
    .unwrap = pem_unwrap,
    .decrypt = pem_decrypt,
    .public_key = pem_public_key,
    .close = pem_close,
};

enum blobseal_status bs_kek_from_spki(struct blobseal_kek **kek, const uint8_t *spki, size_t len,
                                      struct blobseal_error *err)
{
    struct bs_pem_key *k = calloc(1, sizeof *k);
    struct blobseal_kek_info info;
    struct bs_der_key parts;
    enum blobseal_status st;

    *kek = NULL;
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read a public key: no memory");
    if (bs_der_public(&parts, (struct bs_slice){spki, len}))
        st = bs_pem_make_key(&k->key, &parts, "a public key", err);
    else
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read a public key: it is malformed");
    if (st == BLOBSEAL_OK && !bs_rsa_kid(k->kid, k->key) && !bs_rsa_kid(k->kid, k->key))
        st = bs_openssl_failed(err, "read a public key");
    if (st == BLOBSEAL_OK) {
        bs_rsa_wrapper_init(&k->wrapper, k->key, BLOBSEAL_OAEP_SHA256);
        info = describe(k);
        st = blobseal_kek_new(kek, &bs_pem_provider, k, &info, err);
    }
    if (st != BLOBSEAL_OK)
        bs_pem_key_free(k);
    return st;
}
