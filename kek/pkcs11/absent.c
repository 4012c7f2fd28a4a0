/* SPDX-License-Identifier: Apache-2.0 */
/* What takes the place of the provider for PKCS#11 tokens in a build without p11-kit. */
#include "blobseal_provider.h"

extern const struct blobseal_provider bs_pkcs11_provider;

static enum blobseal_status absent_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                        const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    (void)info, (void)ref, (void)options, (void)call;
    *state = NULL;
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "this build has no provider for keys of the form pkcs11:...");
    blobseal_hint(err, "use a build with p11-kit; if this is the name of a file, use file:NAME");
    return BLOBSEAL_E_CONFIG;
}

/* Never called, because no key is opened. */
static bool absent_owns(void *state, const char *alg, const char *kid)
{
    (void)state, (void)alg, (void)kid;
    return false;
}

static enum blobseal_status absent_wrap(void *state, struct blobseal_wrapping *out,
                                        const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                        struct blobseal_error *err)
{
    (void)out, (void)secret;
    return absent_open(&state, NULL, NULL, NULL, call, err);
}

static enum blobseal_status absent_unwrap(void *state, struct blobseal_secret32 *secret,
                                          const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                          const struct blobseal_call *call, struct blobseal_error *err)
{
    (void)secret, (void)wrapped, (void)lease;
    return absent_open(&state, NULL, NULL, NULL, call, err);
}

const struct blobseal_provider bs_pkcs11_provider = {
    .abi = BLOBSEAL_PROVIDER_ABI,
    .scheme = "pkcs11",
    .open = absent_open,
    .owns = absent_owns,
    .wrap = absent_wrap,
    .unwrap = absent_unwrap,
};
