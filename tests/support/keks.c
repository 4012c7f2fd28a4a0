/* SPDX-License-Identifier: Apache-2.0 */
/* KEKs that cost nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kek/kek.h"
#include "tests/support/blobs.h"

static uint8_t pad_byte(size_t i)
{
    return (uint8_t)(0x5A + 7 * i);
}

/* Unwrapping does not check the padding, so only the envelope can detect changes to it. */
void fake_wrap(uint8_t *out, size_t len, const struct blobseal_secret32 *secret)
{
    for (size_t i = 0; i < len; i++)
        out[i] = pad_byte(i) ^ (i < sizeof secret->b ? secret->b[i] : 0);
}

static enum blobseal_status fake_open(void **state, struct blobseal_kek_info *info, const char *ref,
                                      const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                      struct blobseal_error *err)
{
    (void)info;
    (void)ref;
    (void)options;
    (void)call;
    *state = NULL;
    return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "fake keys have no reference");
}

static bool fake_owns(void *state, const char *alg, const char *kid)
{
    const struct fake_kek *k = state;

    (void)alg;
    return strcmp(kid, k->kid) == 0 || k->takes_any_kid;
}

static enum blobseal_status fake_wrap_call(void *state, struct blobseal_wrapping *out,
                                           const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                           struct blobseal_error *err)
{
    struct fake_kek *k = state;

    (void)call;
    if (fault_strikes(&k->wrap, ++k->wraps, 0))
        return fault_fails(&k->wrap, "wrap", err);
    (void)snprintf(out->alg, sizeof out->alg, "%s", k->alg);
    (void)snprintf(out->kid, sizeof out->kid, "%s", k->kid);
    out->key_len = k->wrapped_len;
    fake_wrap(out->key, k->wrapped_len, secret);
    for (size_t i = 0; i < k->wrapped_len; i++)
        out->key[i] ^= k->twist;
    return BLOBSEAL_OK;
}

static enum blobseal_status fake_unwrap(void *state, struct blobseal_secret32 *secret,
                                        const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                        const struct blobseal_call *call, struct blobseal_error *err)
{
    struct fake_kek *k = state;

    (void)call;
    *lease = k->lease;
    if (fault_strikes(&k->unwrap, ++k->unwraps, 0))
        return fault_fails(&k->unwrap, "unwrap", err);
    if (wrapped->key_len != k->wrapped_len || strcmp(wrapped->alg, k->alg) != 0)
        return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "it does not unwrap");
    for (size_t i = 0; i < sizeof secret->b; i++)
        secret->b[i] = wrapped->key[i] ^ pad_byte(i) ^ k->twist;
    return BLOBSEAL_OK;
}

static enum blobseal_status fake_renew(void *state, struct blobseal_lease *lease, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    struct fake_kek *k = state;
    const struct timespec pause = {.tv_nsec = (long)k->renew_ms * 1000000};
    unsigned now = ++k->renewing;

    (void)call;
    if (now > k->most_renewing)
        k->most_renewing = now;
    (void)nanosleep(&pause, NULL);
    k->renewing--;
    if (fault_strikes(&k->renew, ++k->renews, 0))
        return fault_fails(&k->renew, "renew", err);
    *lease = k->lease;
    return BLOBSEAL_OK;
}

static void fake_close(void *state)
{
    ((struct fake_kek *)state)->closes++;
}

struct blobseal_kek *fake_kek_open(struct fake_kek *state)
{
    static const struct blobseal_provider provider = {
        .abi = BLOBSEAL_PROVIDER_ABI,
        .scheme = "fake",
        .open = fake_open,
        .owns = fake_owns,
        .wrap = fake_wrap_call,
        .unwrap = fake_unwrap,
        .close = fake_close,
    };
    static const struct blobseal_provider revocable = {
        .abi = BLOBSEAL_PROVIDER_ABI,
        .scheme = "fake",
        .open = fake_open,
        .owns = fake_owns,
        .wrap = fake_wrap_call,
        .unwrap = fake_unwrap,
        .renew = fake_renew,
        .close = fake_close,
    };
    struct blobseal_kek_info info;
    struct blobseal_kek *kek;

    state->lease.size = sizeof state->lease;
    state->alg = state->alg != NULL ? state->alg : "RSA-OAEP-256";
    state->wrapped_len = state->wrapped_len != 0 ? state->wrapped_len : 256;
    info = (struct blobseal_kek_info){sizeof info, state->kid, state->alg, state->wrapped_len, !state->public_only};
    if (blobseal_kek_new(&kek, state->revocable ? &revocable : &provider, state, &info, NULL) != BLOBSEAL_OK)
        test_support_failed("blobseal_kek_new() failed");
    return kek;
}

void wrap_with(struct blobseal_kek *kek, uint8_t *out, const struct blobseal_secret32 *secret)
{
    struct blobseal_wrapping w;

    if (bs_kek_wrap(kek, &w, secret, NULL, NULL) != BLOBSEAL_OK)
        test_support_failed("bs_kek_wrap() failed");
    memcpy(out, w.key, w.key_len);
}
