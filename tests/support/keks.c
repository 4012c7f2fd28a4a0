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

static uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Begin a call: note its limits, and wait for them if the key does that, as a provider waits for a network. */
static enum blobseal_status begin(struct fake_kek *k, const struct blobseal_call *call, struct blobseal_error *err)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    if (call->size != sizeof *call || call->cancel == NULL)
        test_support_failed("a provider was called without limits");
    k->deadline_ms = call->deadline_ms;
    while (k->waits) {
        if (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != 0)
            return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "the fake key was canceled");
        if (call->deadline_ms != 0 && now_ms() >= call->deadline_ms)
            return blobseal_fail(err, BLOBSEAL_E_UNAVAILABLE, 0, "the fake key took too long");
        (void)nanosleep(&pause, NULL);
    }
    return BLOBSEAL_OK;
}

/* Return the key id with which the key wraps now. */
static const char *current_kid(const struct fake_kek *k)
{
    return k->newer_kid != NULL ? k->newer_kid : k->kid;
}

static bool fake_owns(void *state, const char *alg, const char *kid)
{
    const struct fake_kek *k = state;

    (void)alg;
    return strcmp(kid, k->kid) == 0 || strcmp(kid, current_kid(k)) == 0 || k->takes_any_kid;
}

static enum blobseal_status fake_describe(void *state, struct blobseal_kek_info *info, const struct blobseal_call *call,
                                          struct blobseal_error *err)
{
    struct fake_kek *k = state;
    enum blobseal_status st = begin(k, call, err);

    if (fault_strikes(&k->describe, ++k->describes, 0))
        return fault_fails(&k->describe, "describe", err);
    *info = (struct blobseal_kek_info){sizeof *info, current_kid(k), k->alg, k->wrapped_len, !k->public_only, 0};
    return st;
}

static enum blobseal_status fake_wrap_call(void *state, struct blobseal_wrapping *out,
                                           const struct blobseal_secret32 *secret, const struct blobseal_call *call,
                                           struct blobseal_error *err)
{
    struct fake_kek *k = state;
    enum blobseal_status st = begin(k, call, err);

    if (fault_strikes(&k->wrap, ++k->wraps, 0))
        return fault_fails(&k->wrap, "wrap", err);
    (void)snprintf(out->alg, sizeof out->alg, "%s", k->alg);
    (void)snprintf(out->kid, sizeof out->kid, "%s", current_kid(k));
    out->key_len = k->wrapped_len;
    out->lease = k->lease;
    if (k->wrapped_len <= sizeof out->key)
        fake_wrap(out->key, k->wrapped_len, secret);
    for (size_t i = 0; i < k->wrapped_len && i < sizeof out->key; i++)
        out->key[i] ^= k->twist;
    return st;
}

static enum blobseal_status fake_unwrap(void *state, struct blobseal_secret32 *secret,
                                        const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                        const struct blobseal_call *call, struct blobseal_error *err)
{
    struct fake_kek *k = state;
    enum blobseal_status st = begin(k, call, err);

    *lease = k->lease;
    if (fault_strikes(&k->unwrap, ++k->unwraps, 0))
        return fault_fails(&k->unwrap, "unwrap", err);
    if (wrapped->key_len != k->wrapped_len || strcmp(wrapped->alg, k->alg) != 0)
        return blobseal_fail(err, BLOBSEAL_E_AUTH, 0, "it does not unwrap");
    for (size_t i = 0; i < sizeof secret->b; i++)
        secret->b[i] = wrapped->key[i] ^ pad_byte(i) ^ k->twist;
    return st;
}

static enum blobseal_status fake_renew(void *state, struct blobseal_lease *lease, const struct blobseal_call *call,
                                       struct blobseal_error *err)
{
    struct fake_kek *k = state;
    const struct timespec pause = {.tv_nsec = (long)k->renew_ms * 1000000};
    unsigned now = ++k->renewing;
    enum blobseal_status st = begin(k, call, err);

    if (now > k->most_renewing)
        k->most_renewing = now;
    (void)nanosleep(&pause, NULL);
    k->renewing--;
    k->renewed_tag = lease->tag;
    if (fault_strikes(&k->renew, ++k->renews, 0))
        return fault_fails(&k->renew, "renew", err);
    *lease = k->lease;
    return st;
}

static void fake_close(void *state)
{
    ((struct fake_kek *)state)->closes++;
}

struct blobseal_provider fake_provider(const char *scheme)
{
    return (struct blobseal_provider){
        .abi = BLOBSEAL_PROVIDER_ABI,
        .scheme = scheme,
        .open = fake_open,
        .owns = fake_owns,
        .wrap = fake_wrap_call,
        .unwrap = fake_unwrap,
        .close = fake_close,
    };
}

struct blobseal_kek *fake_kek_open(struct fake_kek *state)
{
    struct blobseal_kek_info info = {.size = sizeof info, .can_unwrap = !state->public_only};
    struct blobseal_kek *kek;

    info.notes = state->remote ? BLOBSEAL_KEK_NOTE_REMOTE : 0;

    state->lease.size = sizeof state->lease;
    state->alg = state->alg != NULL ? state->alg : "RSA-OAEP-256";
    state->wrapped_len = state->wrapped_len != 0 ? state->wrapped_len : 256;
    state->provider = fake_provider("fake");
    state->provider.renew = state->revocable ? fake_renew : NULL;
    state->provider.describe = state->late ? fake_describe : NULL;
    if (!state->late) {
        info.kid = current_kid(state);
        info.alg = state->alg;
        info.wrapped_len = state->wrapped_len;
    }
    if (blobseal_kek_new(&kek, &state->provider, state, &info, NULL) != BLOBSEAL_OK)
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
