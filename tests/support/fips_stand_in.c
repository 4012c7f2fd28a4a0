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

/* Return a copy of the list @from with the property fips=yes. It is not released, because OpenSSL refers to it. */
static const OSSL_ALGORITHM *copy(OSSL_ALGORITHM **list, const OSSL_ALGORITHM *from)
{
    size_t n = 0, kept = 0;

    while (from[n].algorithm_names != NULL)
        n++;
    *list = calloc(n + 1, sizeof **list);
    for (size_t i = 0; *list != NULL && i < n; i++)
        if (is_offered(from[i].algorithm_names)) {
            (*list)[kept] = from[i];
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
    return from == NULL || lists[operation] != NULL ? lists[operation] : copy(&lists[operation], from);
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
