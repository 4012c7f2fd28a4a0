/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that seal and open under one set, and for its KEK directly, while the key in the vault is rotated, refused
 * and restored, and while the vault is silent or asks to wait. In the end every blob opens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "blobseal_config.h"
#include "core/set/set.h"
#include "tests/support/blobs.h"
#include "tests/support/vault.h"

#define THREADS 4

static struct test_vault v;
static struct blobseal_config *config;
static struct blobseal_set *set;
static struct blobseal_kek *keks[2]; /* of the set, and its KEK itself */
static struct sealed last[THREADS];
static atomic_bool ended;
static _Atomic unsigned opened_blobs, failures;
static const char content[] = "content of a blob";

static void expect(bool ok, const char *what)
{
    if (!ok)
        test_support_failed(what);
}

static void wait_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&pause, NULL);
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* Return true if it worked. The vault may refuse, or be silent; nothing else may happen. */
static bool worked(enum blobseal_status st, const struct blobseal_error *err)
{
    if (st != BLOBSEAL_OK && st != BLOBSEAL_E_DENIED && st != BLOBSEAL_E_UNAVAILABLE) {
        (void)fprintf(stderr, "%s: %s\n", blobseal_status_code(st), err->text);
        failures++;
    }
    return st == BLOBSEAL_OK;
}

static bool open_one(const struct sealed *blob, struct blobseal_kek *kek)
{
    struct blobseal_error err = {0};
    struct opened o;
    bool ok = worked(open_bytes(&o, blob->data, blob->len, &kek, 1, NULL, &err), &err);

    expect(!ok || (o.len == sizeof content && memcmp(o.data, content, sizeof content) == 0), "the content of a blob");
    opened_clear(&o);
    opened_blobs += ok;
    return ok;
}

static void *worker(void *ctx)
{
    struct sealed *own = ctx; /* the last blob of the set that this thread has sealed: at least one */

    for (unsigned n = 0; !atomic_load(&ended) || own->data == NULL; n++) {
        struct blobseal_kek *kek = keks[n % 8 == 0];
        struct blobseal_error err = {0};
        struct sealed s;

        if (!worked(seal_bytes(&s, content, sizeof content, &kek, 1, NULL, &err), &err)) {
            wait_ms(5);
            continue;
        }
        (void)open_one(&s, kek);
        if (kek == keks[0]) {
            sealed_clear(own);
            *own = s;
        } else {
            sealed_clear(&s);
        }
    }
    return NULL;
}

/* ---- Changes ----------------------------------------------------------------------------------------------------- */

static void play(void)
{
    struct blobseal_error err = {0};

    TEST_VAULT_DO(&v, "rotate", "{\"name\": \"kek\"}");
    atomic_store(&set->poll_at_ms, 1); /* it is time for a check: whoever seals makes it */
    wait_ms(200);
    (void)worked(blobseal_set_rekey(set, NULL, &err), &err);
    TEST_VAULT_DO(&v, "deny", "{\"permissions\": [\"unwrapKey\"]}");
    wait_ms(1200);
    TEST_VAULT_DO(&v, "deny", "{\"permissions\": []}");
    wait_ms(300);
    TEST_VAULT_DO(&v, "fault",
                  "{\"kind\": \"error\", \"status\": 429, \"times\": 3, \"headers\": "
                  "{\"Retry-After\": \"1\"}}");
    (void)worked(blobseal_set_check(set, NULL, &err), &err);
    TEST_VAULT_DO(&v, "fault", "{\"kind\": \"garbage\"}");
    atomic_store(&set->poll_at_ms, 1);
    wait_ms(1200);
    TEST_VAULT_DO(&v, "heal", "{}");
    wait_ms(500);
}

/* Wait until the last silence is forgotten. Then everything works, if the machine is fast enough for the deadline. */
static void check_all(void)
{
    struct blobseal_error err = {0};
    enum blobseal_status st;
    unsigned tries = 0;

    while ((st = blobseal_set_check(set, NULL, &err)) != BLOBSEAL_OK && tries++ < 600)
        wait_ms(100);
    if (st != BLOBSEAL_OK)
        test_support_failed(err.text);
    for (size_t i = 0; i < THREADS; i++) {
        while (!open_one(&last[i], keks[0]) && tries++ < 600)
            wait_ms(100);
        expect(tries < 600, "a blob opens in the end");
        sealed_clear(&last[i]);
    }
}

/* ---- The start --------------------------------------------------------------------------------------------------- */

static void configure(void)
{
    const struct blobseal_config_settings settings = {
        .size = sizeof settings, .sets_dir = v.folder, .state_dir = v.folder, .revoke_within_s = 1, .deadline_s = 5};

    config = test_vault_config(&v, &settings);
}

static void open_keys(void)
{
    set = test_vault_set(&v, config, keks);
    set->timing.first_delay_ms = 100;
}

int main(void)
{
    pthread_t threads[THREADS];

    if (!test_vault_start(&v))
        return 0;
    TEST_VAULT_DO(&v, "create", "{\"name\": \"kek\"}");
    configure();
    open_keys();
    for (size_t i = 0; i < THREADS; i++)
        expect(pthread_create(&threads[i], NULL, worker, &last[i]) == 0, "a thread");
    play();
    atomic_store(&ended, true);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    check_all();
    blobseal_kek_close(keks[0]);
    blobseal_kek_close(keks[1]);
    blobseal_set_close(set);
    blobseal_config_free(config);
    test_vault_stop(&v);
    (void)printf("set: %u failures, %u blobs opened\n", failures, opened_blobs);
    return failures == 0 && opened_blobs > 0 ? 0 : 1;
}
