/* SPDX-License-Identifier: Apache-2.0 */
/* kek: the operations on a KEK that core uses. Results of providers are checked here, so that core can rely on them. */
#ifndef BLOBSEAL_KEK_H
#define BLOBSEAL_KEK_H

#include "blobseal_provider.h"

/* ---- registry.c -------------------------------------------------------------------------------------------------- */

/* The built-in providers, with NULL after the last. Defined in core/providers.c. */
extern const struct blobseal_provider *const bs_builtin_providers[];

/* The KEKs to unwrap with, or to wrap for. The list and the KEKs belong to the caller. */
struct bs_keks {
    struct blobseal_kek *const *list;
    size_t num;
};

/* Return the description of a KEK, which is valid until the KEK is closed. */
const struct blobseal_kek_info *bs_kek_info(const struct blobseal_kek *kek);

/* Wrap @secret into @out, which has room for bs_kek_info()->wrapped_len bytes. Errors: those of the provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_wrap(struct blobseal_kek *kek, uint8_t *out,
                                                   const struct blobseal_secret32 *secret, struct blobseal_error *err);

/* Unwrap @wrapped into @secret, which is zero after a failure. Errors: those of the provider; E_NOT_MINE also if the
 * KEK cannot unwrap. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_unwrap(struct blobseal_kek *kek, struct blobseal_secret32 *secret,
                                                     const struct blobseal_wrapped *wrapped,
                                                     struct blobseal_error *err);

/* ---- algorithms.c ------------------------------------------------------------------------------------------------ */

#define BS_MAX_WRAPPED_LENGTHS 3

struct bs_key_algorithm {
    const char *name;                               /* value of `alg`                             */
    size_t wrapped_lengths[BS_MAX_WRAPPED_LENGTHS]; /* possible lengths of a wrapped secret, or 0 */
};

/* Find an algorithm by its name, which has @len bytes. Return NULL if it is not supported. */
const struct bs_key_algorithm *bs_key_algorithm(const char *name, size_t len);

/* Return true if a secret wrapped with @alg can have @wrapped_len bytes. */
bool bs_key_algorithm_wraps_to(const struct bs_key_algorithm *alg, size_t wrapped_len);

#endif
