/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that seal and open under one set handle, while the KEK is rotated, the set is checked, gets new keys, another
 * KEK and another identity, and is revoked and restored; and while another machine changes it too. Whenever the owner
 * of the KEK permits it, every blob opens. Also runs under ThreadSanitizer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/blobs.h"
#include "tests/support/check.h"
#include "tests/support/memory_vault.h"

#define WORKERS 3
#define CHANGES 400
#define KEPT    8 /* blobs that all threads open */

/* A machine: one handle of the set, which all of its threads use. */
struct machine {
    struct blobseal_set *set;
    struct blobseal_kek *kek;
};

static struct machine machines[2];
static struct memory_store memory;
static struct blobseal_set_store store;
static struct blobseal_registry *registry;
static char *definition;
static const char content[] = "content of a blob";

static struct {
    pthread_mutex_t lock;
    struct sealed blobs[KEPT];
    size_t num;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_bool ended;
static _Atomic unsigned failures, opened_blobs, denials;

/* Return true if it was done. While the owner refuses, it is not; every other failure is one of the test. */
static bool worked(enum blobseal_status st, const struct blobseal_error *err)
{
    if (st == BLOBSEAL_OK)
        return true;
    if (st == BLOBSEAL_E_DENIED) {
        denials++;
        return false;
    }
    (void)fprintf(stderr, "%s: %s\n", blobseal_status_code(st), err->text);
    failures++;
    return false;
}

/* ---- Threads that use the set ------------------------------------------------------------------------------------ */

static bool open_one(const struct machine *m, const struct sealed *blob)
{
    struct blobseal_error err = {0};
    struct opened o;
    bool ok = worked(open_bytes(&o, blob->data, blob->len, &m->kek, 1, NULL, &err), &err);

    if (ok)
        CHECK(o.len == sizeof content && memcmp(o.data, content, sizeof content) == 0);
    opened_clear(&o);
    opened_blobs += ok;
    return ok;
}

/* Copy a blob that was kept. Release it with sealed_clear(). */
static bool take_kept(struct sealed *blob, unsigned n)
{
    bool some;

    (void)pthread_mutex_lock(&kept.lock);
    some = kept.num > 0;
    if (some) {
        *blob = kept.blobs[n % kept.num];
        blob->data = must_copy(blob->data, blob->len);
    }
    (void)pthread_mutex_unlock(&kept.lock);
    return some;
}

/* Keep a blob in the place of an older one. Takes it over. */
static void keep(struct sealed *blob, unsigned n)
{
    (void)pthread_mutex_lock(&kept.lock);
    if (kept.num < KEPT) {
        kept.blobs[kept.num++] = *blob;
    } else {
        sealed_clear(&kept.blobs[n % KEPT]);
        kept.blobs[n % KEPT] = *blob;
    }
    (void)pthread_mutex_unlock(&kept.lock);
}

/* Read from an open blob, which asks for its lease. */
static void read_slowly(const struct machine *m, const struct sealed *blob)
{
    struct blobseal_source source;
    struct blobseal_memory state;
    struct blobseal_reader *reader;
    struct blobseal_error err = {0};
    uint8_t byte;
    size_t n;

    blobseal_source_memory(&source, &state, blob->data, blob->len);
    if (!worked(blobseal_reader_open(&reader, &source, &m->kek, 1, NULL, &err), &err))
        return;
    for (unsigned i = 0; i < 5; i++)
        (void)worked(blobseal_reader_pread(reader, &byte, 1, 0, &n, &err), &err);
    blobseal_reader_close(reader);
}

static void *work(void *ctx)
{
    const struct machine *m = ctx;

    for (unsigned n = 0; !atomic_load(&ended); n++) {
        struct blobseal_error err = {0};
        struct sealed s;

        if (worked(seal_bytes(&s, content, sizeof content, &m->kek, 1, NULL, &err), &err)) {
            (void)open_one(m, &s);
            keep(&s, n);
        }
        if (take_kept(&s, n)) {
            (void)open_one(m, &s);
            read_slowly(m, &s);
            sealed_clear(&s);
        }
    }
    return NULL;
}

/* ---- Changes ----------------------------------------------------------------------------------------------------- */

static void look(struct blobseal_set *set)
{
    struct blobseal_set_info *info;
    struct blobseal_error err = {0};
    char *text;
    size_t len;

    if (worked(blobseal_set_info_get(set, NULL, &info, &err), &err))
        blobseal_set_info_free(info);
    if (worked(blobseal_set_export(set, NULL, &text, &len, &err), &err))
        free(text);
}

static void revoke_and_restore(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    for (size_t i = 0; i < 16; i++)
        atomic_store(&vault.disabled[i], true);
    (void)nanosleep(&pause, NULL);
    for (size_t i = 0; i < 16; i++)
        atomic_store(&vault.disabled[i], false);
    (void)nanosleep(&pause, NULL);
}

static void change(unsigned n)
{
    static const char *const to[] = {"vault:k", "vault:k/1", "vault:k"}, *const identities[] = {"one", "other"};
    const struct blobseal_set_options o = {.size = sizeof o, .registry = registry};
    struct machine *m = &machines[n % 2];
    struct blobseal_error err = {0};

    switch (n % 5) {
    case 0:
        atomic_store(&vault.newest, 1 + n % 15);
        atomic_store(&machines[0].set->poll_at_ms, 1); /* it is time for a check: whoever seals makes it */
        break;
    case 1:
        (void)worked(blobseal_set_rekey(m->set, NULL, &err), &err);
        break;
    case 2:
        (void)worked(blobseal_set_check(m->set, NULL, &err), &err);
        look(m->set);
        break;
    case 3:
        (void)worked(blobseal_set_rotate(m->set, to[n % 3], identities[n / 5 % 2], &o, NULL, &err), &err);
        break;
    default:
        revoke_and_restore();
    }
}

static void *change_all(void *ctx)
{
    for (unsigned n = *(unsigned *)ctx; n < CHANGES; n += 2)
        change(n);
    return NULL;
}

/* ---- The start --------------------------------------------------------------------------------------------------- */

static void make_machines(void)
{
    const struct blobseal_set_new how = {.size = sizeof how, .kek = "vault:k"};
    struct blobseal_set_options o = {.size = sizeof o, .registry = registry, .store = &store};
    struct blobseal_error err = {0};

    if (blobseal_set_create(&machines[0].set, "s", &how, &o, &err) != BLOBSEAL_OK)
        test_support_failed(err.text);
    definition =
        must_copy(blobseal_set_definition(machines[0].set), strlen(blobseal_set_definition(machines[0].set)) + 1);
    o.definition = definition;
    if (blobseal_set_open(&machines[1].set, "s", &o, &err) != BLOBSEAL_OK)
        test_support_failed(err.text);
    for (size_t i = 0; i < 2; i++) {
        machines[i].set->timing.first_delay_ms = machines[i].set->timing.max_delay_ms = 1;
        machines[i].set->timing.reread_ms = 0; /* no limit for reads, which depends on how fast the threads are */
        if (blobseal_set_kek(machines[i].set, &machines[i].kek, &err) != BLOBSEAL_OK)
            test_support_failed(err.text);
    }
}

static void run_threads(void)
{
    pthread_t workers[WORKERS + 1], changers[2];
    unsigned first[2] = {0, 1};

    for (size_t i = 0; i <= WORKERS; i++)
        CHECK(pthread_create(&workers[i], NULL, work, &machines[i / WORKERS]) == 0);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&changers[i], NULL, change_all, &first[i]) == 0);
    for (size_t i = 0; i < 2; i++)
        (void)pthread_join(changers[i], NULL);
    atomic_store(&ended, true);
    for (size_t i = 0; i <= WORKERS; i++)
        (void)pthread_join(workers[i], NULL);
}

/* Every blob opens on both machines. */
static void check_all(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    (void)nanosleep(&pause, NULL); /* after the last refusal */
    for (size_t i = 0; i < kept.num; i++) {
        CHECK(open_one(&machines[0], &kept.blobs[i]));
        CHECK(open_one(&machines[1], &kept.blobs[i]));
        sealed_clear(&kept.blobs[i]);
    }
}

int main(void)
{
    vault_reset();
    vault.lease_ms = 5;
    store = memory_store_start(&memory);
    registry = vault_registry();
    make_machines();
    run_threads();
    check_all();
    CHECK(opened_blobs > 0);
    for (size_t i = 0; i < 2; i++) {
        blobseal_kek_close(machines[i].kek);
        blobseal_set_close(machines[i].set);
    }
    blobseal_registry_free(registry);
    memory_store_end(&memory);
    free(definition);
    (void)printf("sets: %u failures, %u blobs opened, %u refusals\n", failures, opened_blobs, denials);
    return failures == 0 ? 0 : 1;
}
