/* SPDX-License-Identifier: Apache-2.0 */
/* kek: what core asks of a KEK. Answers of providers are checked here, so that core can rely on them. */
#ifndef BLOBSEAL_KEK_H
#define BLOBSEAL_KEK_H

#include "blobseal_provider.h"

/* ---- registry.c -------------------------------------------------------------------------------------------------- */

/* The providers that the library brings, NULL after the last. Defined in core/providers.c. */
extern const struct blobseal_provider *const bs_builtin_providers[];

/* Keys to try, or to wrap for. Borrowed. */
struct bs_keks {
    struct blobseal_kek *const *list;
    size_t num;
};

const struct blobseal_kek_info *bs_kek_info(const struct blobseal_kek *kek);

/* Wrap @secret into @out: bs_kek_info()->wrapped_len bytes. Errors: those of the provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_wrap(struct blobseal_kek *kek, uint8_t *out,
                                                   const struct blobseal_secret32 *secret, struct blobseal_error *err);

/* Unwrap. @secret is zero after a failure. Errors: those of the provider; E_NOT_MINE also for a KEK that cannot unwrap.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_unwrap(struct blobseal_kek *kek, struct blobseal_secret32 *secret,
                                                     const struct blobseal_wrapped *wrapped,
                                                     struct blobseal_error *err);

/* ---- algorithms.c ------------------------------------------------------------------------------------------------ */

#define BS_MAX_WRAPPED_LENGTHS 3

struct bs_key_algorithm {
    const char *name;                               /* value of `alg`                              */
    size_t wrapped_lengths[BS_MAX_WRAPPED_LENGTHS]; /* that a wrapped secret may have, 0: no other */
};

/* Find an algorithm by its name of @len bytes. NULL: it is not supported. */
const struct bs_key_algorithm *bs_key_algorithm(const char *name, size_t len);

/* Return true if @alg can wrap a secret to @wrapped_len bytes. */
bool bs_key_algorithm_wraps_to(const struct bs_key_algorithm *alg, size_t wrapped_len);

#endif
