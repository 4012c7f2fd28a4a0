/* SPDX-License-Identifier: Apache-2.0 */
/* What core asks of a KEK. Answers of providers are checked here, so that core can rely on them. */
#ifndef BLOBSEAL_KEK_H
#define BLOBSEAL_KEK_H

#include "blobseal_provider.h"

const struct blobseal_kek_info *bs_kek_info(const struct blobseal_kek *kek);

/* Wrap @secret into @out: bs_kek_info()->wrapped_len bytes. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_wrap(struct blobseal_kek *kek, uint8_t *out,
                                                   const struct blobseal_secret32 *secret, struct blobseal_error *err);

/* Unwrap; NOT_MINE also for a KEK that cannot unwrap. @secret is zero after a failure. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_unwrap(struct blobseal_kek *kek, struct blobseal_secret32 *secret,
                                                     const struct blobseal_wrapped *wrapped,
                                                     struct blobseal_error *err);

#endif
