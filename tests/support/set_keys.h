/* SPDX-License-Identifier: Apache-2.0 */
/* A KEK that has the keys of a set, without definition, store, lease or rollback: only names and AES key wrap. */
#ifndef TESTS_SET_KEYS_H
#define TESTS_SET_KEYS_H

#include "core/set/set.h"

/* Open an object of any set with @kek, and return a KEK that wraps with its newest key. */
struct blobseal_kek *set_kek_open(const char *object, size_t len, struct blobseal_kek *kek);

#endif
