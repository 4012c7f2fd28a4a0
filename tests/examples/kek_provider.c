/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KEK provider of your own, for keys that never leave a vault: kek_provider
 *
 * The provider accepts references of the form vault:NAME, and uses the vault only through the two functions in struct
 * vault; real ones would send requests. This vault is in memory, has one RSA key for each name, and can be unavailable
 * or deny requests. The provider returns to the library:
 *
 *   NOT_MINE       the message names no key. Recipients for other keys never come here, because owns() is asked first
 *   UNAVAILABLE    the vault is down: trying again later may help
 *   DENIED         the vault refuses: trying again does not help
 *   INTERNAL       the vault itself failed
 *   AUTH           the wrapped key does not decrypt, and no reason is given
 */
#include <blobseal_provider.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The vault --------------------------------------------------------------------------------------------------- */

enum answer { DONE, DOWN, FORBIDDEN, BROKEN, WRONG };

struct vault {
    enum answer (*wrap)(struct vault *vault, const char *name, unsigned char *out, const unsigned char *in, size_t len);
    enum answer (*unwrap)(struct vault *vault, const char *name, unsigned char *out, const unsigned char *in,
                          size_t len);
    EVP_PKEY *keys[2]; /* of "team-a" and "team-b" */
    enum answer mood;  /* the result of all requests, or DONE to process them */
};

static enum answer use_key(struct vault *v, const char *name, int wrap, unsigned char *out, size_t cap,
                           const unsigned char *in, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->keys[strcmp(name, "team-a") != 0], NULL);
    int ready = ctx != NULL && (wrap ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) > 0 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) > 0;
    int ok = ready &&
             (wrap ? EVP_PKEY_encrypt(ctx, out, &cap, in, len) : EVP_PKEY_decrypt(ctx, out, &cap, in, len)) > 0 &&
             cap == (wrap ? 256 : BLOBSEAL_SECRET_LEN);

    EVP_PKEY_CTX_free(ctx);
    if (!ready || (wrap && !ok))
        return BROKEN;
    return ok ? DONE : WRONG;
}

static enum answer vault_wrap(struct vault *v, const char *name, unsigned char *out, const unsigned char *in,
                              size_t len)
{
    return v->mood != DONE ? v->mood : use_key(v, name, 1, out, 256, in, len);
}

static enum answer vault_unwrap(struct vault *v, const char *name, unsigned char *out, const unsigned char *in,
                                size_t len)
{
    unsigned char plain[256]; /* OpenSSL requires room for the whole modulus */
    enum answer a = v->mood != DONE ? v->mood : use_key(v, name, 0, plain, sizeof plain, in, len);

    if (a == DONE)
        memcpy(out, plain, BLOBSEAL_SECRET_LEN);
    blobseal_wipe(plain, sizeof plain);
    return a;
}

/*
 * A reference is only text, so the provider finds its vault here. A program with several vaults makes keys with
 * blobseal_kek_new().
 */
static struct vault vault = {.wrap = vault_wrap, .unwrap = vault_unwrap};

/* ---- The provider ------------------------------------------------------------------------------------------------ */

struct key {
    char name[32], kid[64];
};

static enum blobseal_status explain(const struct key *k, enum answer a, struct blobseal_error *err)
{
    switch (a) {
    case DONE:
        return BLOBSEAL_OK;
    case DOWN:
        (void)blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "key %s: the vault does not answer", k->kid);
        blobseal_hint(err, "try again in a minute");
        return BLOBSEAL_E_UNAVAILABLE;
    case FORBIDDEN:
        (void)blobseal_fail(err, BLOBSEAL_E_DENIED, 0, "key %s: the vault does not let us use it", k->kid);
        blobseal_hint(err, "ask the owner of the key for the right to use it");
        return BLOBSEAL_E_DENIED;
    case BROKEN:
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "key %s: the vault failed", k->kid);
    default:
        return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "it does not unwrap");
    }
}

static enum blobseal_status key_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                     const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                     struct blobseal_error *err)
{
    struct key *k;

    (void)options;
    (void)call;
    if (strcmp(ref, "team-a") != 0 && strcmp(ref, "team-b") != 0)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the vault has no key %s", ref);
    k = calloc(1, sizeof *k);
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "open key %s: no memory", ref);
    (void)snprintf(k->name, sizeof k->name, "%s", ref);
    (void)snprintf(k->kid, sizeof k->kid, "vault:%s", ref);
    info->kid = k->kid;
    info->alg = "RSA-OAEP-256";
    info->wrapped_len = 256;
    info->can_unwrap = true;
    *state = k;
    return BLOBSEAL_OK;
}

static bool key_owns(void *state, const char *alg, const char *kid)
{
    const struct key *k = state;

    return strcmp(alg, "RSA-OAEP-256") == 0 && strcmp(kid, k->kid) == 0;
}

static enum blobseal_status key_wrap(void *state, struct blobseal_wrapping *out, const struct blobseal_secret32 *secret,
                                     const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct key *k = state;

    (void)call; /* a real vault would wait no longer than call->deadline_ms, and stop when *call->cancel is set */
    (void)snprintf(out->alg, sizeof out->alg, "RSA-OAEP-256");
    (void)snprintf(out->kid, sizeof out->kid, "%s", k->kid);
    out->key_len = 256;
    return explain(k, vault.wrap(&vault, k->name, out->key, secret->b, sizeof secret->b), err);
}

static enum blobseal_status key_unwrap(void *state, struct blobseal_secret32 *secret,
                                       const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                       const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct key *k = state;

    (void)lease; /* keys of this vault cannot be revoked */
    (void)call;
    if (wrapped->kid == NULL)
        return BLOBSEAL_E_NOT_MINE;
    return explain(k, vault.unwrap(&vault, k->name, secret->b, wrapped->key, wrapped->key_len), err);
}

static void key_close(void *state)
{
    free(state);
}

static const struct blobseal_provider provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "vault",
    .open = key_open,
    .owns = key_owns,
    .wrap = key_wrap,
    .unwrap = key_unwrap,
    .close = key_close,
};

/* ---- Seal for team A, and see who can open ----------------------------------------------------------------------- */

static void try_to_open(const char *who, const struct blobseal_memory *sealed, struct blobseal_kek *const *keks,
                        size_t num_keks)
{
    struct blobseal_reader *reader;
    struct blobseal_source source;
    struct blobseal_memory in;
    struct blobseal_error err;
    enum blobseal_status st;

    blobseal_source_memory(&source, &in, sealed->data, sealed->len);
    st = blobseal_reader_open(&reader, &source, keks, num_keks, NULL, &err);
    printf("%s: %s\n", who, blobseal_status_code(st));
    blobseal_reader_close(reader);
}

int main(void)
{
    const char text[] = "for team A only";
    struct blobseal_kek *a = NULL, *b = NULL;
    struct blobseal_registry *registry = NULL;
    struct blobseal_memory in, sealed;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;
    enum blobseal_status st;

    for (int i = 0; i < 2; i++)
        if ((vault.keys[i] = EVP_RSA_gen(2048)) == NULL)
            return 1;
    blobseal_source_memory(&source, &in, text, sizeof text);
    blobseal_sink_memory(&sink, &sealed);
    st = blobseal_registry_new(&registry, &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_registry_add(registry, &provider, &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_kek_open(&a, registry, "vault:team-a", NULL, &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_kek_open(&b, registry, "vault:team-b", NULL, &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_seal(&sink, &source, &a, 1, NULL, NULL, &err);
    if (st == BLOBSEAL_OK) {
        struct blobseal_kek *both[] = {b, a};

        try_to_open("team A", &sealed, &a, 1);
        try_to_open("team B", &sealed, &b, 1);
        try_to_open("team B, then A", &sealed, both, 2);
        vault.mood = DOWN;
        try_to_open("team A, the vault is down", &sealed, &a, 1);
        vault.mood = FORBIDDEN;
        try_to_open("team A, forbidden", &sealed, &a, 1);
    } else {
        fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(st));
    }
    blobseal_free(sealed.data);
    blobseal_kek_close(a);
    blobseal_kek_close(b);
    blobseal_registry_free(registry);
    EVP_PKEY_free(vault.keys[0]);
    EVP_PKEY_free(vault.keys[1]);
    return st == BLOBSEAL_OK ? 0 : 1;
}
