/* SPDX-License-Identifier: Apache-2.0 */
/* Two machines with a set: each has its own memory, and both use one vault and one store, which are in memory. */
#ifndef TESTS_TWO_MACHINES_H
#define TESTS_TWO_MACHINES_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/memory_vault.h"
#include "tests/support/suite.h"

static struct memory_store memory;
static struct blobseal_set_store store;
static struct blobseal_registry *registry;
static struct blobseal_set *set, *other; /* two machines: each its own memory, one store */
static struct blobseal_kek *kek, *other_kek;
static char *definition;
static const struct blobseal_config *config; /* of both; NULL: none */

static __attribute__((unused)) struct blobseal_set_options options(void)
{
    return (struct blobseal_set_options){.size = sizeof(struct blobseal_set_options),
                                         .config = config,
                                         .registry = registry,
                                         .store = &store,
                                         .definition = definition};
}

static __attribute__((unused)) struct blobseal_set *open_set(void)
{
    const struct blobseal_set_options o = options();
    struct blobseal_set *s;
    struct blobseal_error err;

    cr_assert_eq(blobseal_set_open(&s, "s", &o, &err), BLOBSEAL_OK, "%s", err.text);
    return s;
}

/* Make the set with a KEK, on both machines. */
static __attribute__((unused)) void make(const char *ref, enum blobseal_set_wrap wrap)
{
    const struct blobseal_set_new how = {.size = sizeof how, .kek = ref, .wrap = wrap};
    struct blobseal_set_options o = options();
    struct blobseal_error err;

    cr_assert_eq(blobseal_set_create(&set, "s", &how, &o, &err), BLOBSEAL_OK, "%s", err.text);
    definition = strdup(blobseal_set_definition(set));
    other = open_set();
    cr_assert_eq(blobseal_set_kek(set, &kek, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_set_kek(other, &other_kek, NULL), BLOBSEAL_OK);
}

static __attribute__((unused)) void start(void)
{
    vault_reset();
    store = memory_store_start(&memory);
    registry = vault_registry();
}

static __attribute__((unused)) void stop(void)
{
    blobseal_kek_close(kek);
    blobseal_kek_close(other_kek);
    blobseal_set_close(set);
    blobseal_set_close(other);
    blobseal_registry_free(registry);
    memory_store_end(&memory);
    free(definition);
}

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

static const char plain[] = "content of a blob";

static __attribute__((unused)) enum blobseal_status seal(struct blobseal_kek *with, struct sealed *out)
{
    return seal_bytes(out, plain, sizeof plain, &with, 1, NULL, NULL);
}

static __attribute__((unused)) enum blobseal_status open_blob(struct blobseal_kek *with, const struct sealed *blob)
{
    struct opened o;
    enum blobseal_status st = open_bytes(&o, blob->data, blob->len, &with, 1, NULL, NULL);

    if (st == BLOBSEAL_OK)
        cr_assert(o.len == sizeof plain && memcmp(o.data, plain, sizeof plain) == 0);
    opened_clear(&o);
    return st;
}

static __attribute__((unused)) void *open_one(void *blob)
{
    return (void *)(uintptr_t)open_blob(kek, blob);
}

/* Open a blob on the first machine, in @num threads at once. */
static __attribute__((unused)) void open_in_threads(size_t num, struct sealed *blob)
{
    pthread_t threads[16];

    cr_assert_leq(num, COUNT(threads));
    for (size_t i = 0; i < num; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, open_one, blob), 0);
    for (size_t i = 0; i < num; i++) {
        void *st;

        (void)pthread_join(threads[i], &st);
        cr_expect_eq((uintptr_t)st, (uintptr_t)BLOBSEAL_OK);
    }
}

static __attribute__((unused)) struct sealed must_seal(struct blobseal_kek *with)
{
    struct sealed s;

    cr_assert_eq(seal(with, &s), BLOBSEAL_OK);
    return s;
}

static __attribute__((unused)) uint64_t generation_of(struct blobseal_set *s)
{
    struct blobseal_set_info *info;
    uint64_t generation;

    cr_assert_eq(blobseal_set_info_get(s, NULL, &info, NULL), BLOBSEAL_OK);
    generation = info->generation;
    blobseal_set_info_free(info);
    return generation;
}

static struct blobseal_set_change change;

static __attribute__((unused)) enum blobseal_status check(struct blobseal_set *s)
{
    change = (struct blobseal_set_change){.size = sizeof change};
    return blobseal_set_check(s, &change, NULL);
}

static __attribute__((unused)) enum blobseal_status rekey(struct blobseal_set *s)
{
    change = (struct blobseal_set_change){.size = sizeof change};
    return blobseal_set_rekey(s, &change, NULL);
}

/* Let the lease of a set end now, as if the time had passed. */
static __attribute__((unused)) void end_lease(struct blobseal_set *s)
{
    if (s->loaded != NULL)
        s->loaded->lease.valid_until_unix_ms = 1;
}

#endif
