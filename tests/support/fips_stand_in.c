/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A replacement for OpenSSL's FIPS provider on machines that do not have it. It has the same name, and offers the
 * algorithms of the default provider with the property fips=yes, in a library context of its own. Like the real one it
 * lacks scrypt and PBES1, and neither reads nor writes keys. It is not validated: it only shows that algorithms are
 * fetched from this provider and from no other.
 *
 * As a module it is found by `blobseal --fips` through OPENSSL_MODULES; a unit test has it built in.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#define MAX_OPERATIONS 32
#define MAX_FUNCTIONS  64

/* ---- Wrong results ----------------------------------------------------------------------------------------------- */

/*
 * With STAND_IN_BREAKS=gcm, sha256 or hkdf in the environment, this algorithm computes wrongly, but in the same way
 * each time, so that what it encrypted can be decrypted. AES-256-GCM is wrong only if there is additional data.
 */
static OSSL_FUNC_cipher_update_fn *real_update;
static OSSL_FUNC_digest_final_fn *real_final;
static OSSL_FUNC_kdf_derive_fn *real_derive;

static int wrong_update(void *ctx, unsigned char *out, size_t *outl, size_t cap, const unsigned char *in, size_t len)
{
    unsigned char *copy;
    int ok;

    if (out != NULL || len == 0)
        return real_update(ctx, out, outl, cap, in, len);
    copy = malloc(len);
    if (copy == NULL)
        return 0;
    memcpy(copy, in, len);
    copy[len / 2] ^= 1;
    ok = real_update(ctx, out, outl, cap, copy, len);
    free(copy);
    return ok;
}

static int wrong_final(void *ctx, unsigned char *out, size_t *outl, size_t cap)
{
    int ok = real_final(ctx, out, outl, cap);

    if (ok == 1)
        out[31] ^= 1;
    return ok;
}

static int wrong_derive(void *ctx, unsigned char *key, size_t len, const OSSL_PARAM params[])
{
    int ok = real_derive(ctx, key, len, params);

    if (ok == 1)
        key[len - 1] ^= 1;
    return ok;
}

static const struct {
    const char *name, *prefix;
    int operation, function;
    void (*wrong)(void);
} breakable[] = {
    {"gcm", "AES-256-GCM", OSSL_OP_CIPHER, OSSL_FUNC_CIPHER_UPDATE, (void (*)(void))wrong_update},
    {"sha256", "SHA2-256", OSSL_OP_DIGEST, OSSL_FUNC_DIGEST_FINAL, (void (*)(void))wrong_final},
    {"hkdf", "HKDF", OSSL_OP_KDF, OSSL_FUNC_KDF_DERIVE, (void (*)(void))wrong_derive},
};

/* Return a copy of the functions @from in which the one of row @i computes wrongly. */
static const OSSL_DISPATCH *spoil(size_t i, const OSSL_DISPATCH *from)
{
    static OSSL_DISPATCH to[MAX_FUNCTIONS];
    size_t n = 0;

    for (; n + 1 < MAX_FUNCTIONS && from[n].function_id != 0; n++) {
        to[n] = from[n];
        if (from[n].function_id != breakable[i].function)
            continue;
        to[n].function = breakable[i].wrong;
        if (i == 0)
            real_update = OSSL_FUNC_cipher_update(&from[n]);
        else if (i == 1)
            real_final = OSSL_FUNC_digest_final(&from[n]);
        else
            real_derive = OSSL_FUNC_kdf_derive(&from[n]);
    }
    to[n] = (OSSL_DISPATCH){0, NULL};
    return to;
}

static void spoil_if_wanted(int operation, OSSL_ALGORITHM *a)
{
    const char *wanted = getenv("STAND_IN_BREAKS");

    for (size_t i = 0; wanted != NULL && i < sizeof breakable / sizeof breakable[0]; i++)
        if (strcmp(wanted, breakable[i].name) == 0 && operation == breakable[i].operation &&
            strncmp(a->algorithm_names, breakable[i].prefix, strlen(breakable[i].prefix)) == 0)
            a->implementation = spoil(i, a->implementation);
}

/* ---- The provider ------------------------------------------------------------------------------------------------ */

static OSSL_LIB_CTX *context;
static OSSL_PROVIDER *real;
static OSSL_ALGORITHM *lists[MAX_OPERATIONS];

static int is_offered(const char *names)
{
    static const char *const others[] = {"SCRYPT", "PKCS12KDF", "MD5", "CHACHA20"};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strncmp(names, others[i], strlen(others[i])) == 0)
            return 0;
    return 1;
}

/* Return a copy of the list @from of an operation with the property fips=yes. It is not released, because OpenSSL
 * refers to it. */
static const OSSL_ALGORITHM *copy(int operation, const OSSL_ALGORITHM *from)
{
    OSSL_ALGORITHM **list = &lists[operation];
    size_t n = 0, kept = 0;

    while (from[n].algorithm_names != NULL)
        n++;
    *list = calloc(n + 1, sizeof **list);
    for (size_t i = 0; *list != NULL && i < n; i++)
        if (is_offered(from[i].algorithm_names)) {
            (*list)[kept] = from[i];
            spoil_if_wanted(operation, &(*list)[kept]);
            (*list)[kept++].property_definition = "provider=fips,fips=yes";
        }
    return *list;
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    const OSSL_ALGORITHM *from;

    (void)provctx;
    if (operation < 0 || operation >= MAX_OPERATIONS || operation == OSSL_OP_ENCODER || operation == OSSL_OP_DECODER ||
        operation == OSSL_OP_STORE)
        return NULL;
    from = OSSL_PROVIDER_query_operation(real, operation, no_cache);
    *no_cache = 0;
    return from == NULL || lists[operation] != NULL ? lists[operation] : copy(operation, from);
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
    OSSL_PARAM *name = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME);
    OSSL_PARAM *version = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION);
    OSSL_PARAM *status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);

    (void)provctx;
    return (name == NULL || OSSL_PARAM_set_utf8_ptr(name, "stand-in")) &&
           (version == NULL || OSSL_PARAM_set_utf8_ptr(version, "0")) &&
           (status == NULL || OSSL_PARAM_set_int(status, 1));
}

static void teardown(void *provctx)
{
    (void)provctx;
    for (size_t i = 0; i < MAX_OPERATIONS; i++) {
        free(lists[i]);
        lists[i] = NULL;
    }
    (void)OSSL_PROVIDER_unload(real);
    OSSL_LIB_CTX_free(context);
    real = NULL;
    context = NULL;
}

static const OSSL_DISPATCH functions[] = {{OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},
                                          {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
                                          {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},
                                          {0, NULL}};

/* Initialise the provider. Its algorithms use the context of the default provider that they are taken from. */
int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                       void **provctx)
{
    (void)handle;
    (void)in;
    context = OSSL_LIB_CTX_new();
    real = context != NULL ? OSSL_PROVIDER_load(context, "default") : NULL;
    if (real == NULL) {
        OSSL_LIB_CTX_free(context);
        context = NULL;
        return 0;
    }
    *provctx = OSSL_PROVIDER_get0_provider_ctx(real);
    *out = functions;
    return 1;
}
