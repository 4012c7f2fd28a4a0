/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vault and a store in memory, for tests of sets. The vault has one key with versions, which can be refused,
 * unreachable, and revoked; the store counts, and fails on demand.
 */
#ifndef TESTS_MEMORY_VAULT_H
#define TESTS_MEMORY_VAULT_H

#include "core/set/set.h"

struct vault {
    _Atomic unsigned newest;                /* version that it wraps with; "vault:NAME/N" has only version N      */
    atomic_bool disabled[16];               /* versions that it refuses                                           */
    enum blobseal_status unwraps;           /* what it answers to unwrap: OK, DENIED or UNAVAILABLE               */
    enum blobseal_status gets;              /* the same for looking at the key                                    */
    uint64_t lease_ms;                      /* of what it unwraps; 0: none                                        */
    bool ends_at_once;                      /* leases end when they start                                         */
    unsigned wait_ms;                       /* how long a request takes                                           */
    _Atomic unsigned num_unwraps, num_gets; /* requests                                                 */
};

/* The vault that all keys "vault:..." are in. */
extern struct vault vault;

extern const struct blobseal_provider vault_provider;

/* Forget everything: version 1, no leases. */
void vault_reset(void);

/* Return a registry with the built-in providers and that of the vault. */
struct blobseal_registry *vault_registry(void);

struct memory_store {
    pthread_mutex_t lock;
    char *object;
    size_t len;
    unsigned version;
    enum blobseal_status get_fails, put_fails;
    unsigned unknown;         /* so many puts store, but say that they do not know */
    unsigned lost;            /* so many puts do not store, and say that they do not know */
    void (*before_put)(void); /* called once before the next put, as another machine would be faster */
    _Atomic unsigned gets, puts;
};

struct blobseal_set_store memory_store_start(struct memory_store *m);
void memory_store_end(struct memory_store *m);
/* Copy an object into the store, as somebody who can write to it does. */
void memory_store_plant(struct memory_store *m, const char *object, size_t len);

#endif
