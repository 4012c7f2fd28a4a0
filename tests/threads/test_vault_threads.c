/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that use one key in a vault at once, from the first request on: they share one request for a token and one
 * for the description of the key. A forked child shares nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blobseal_config.h"
#include "kek/kek.h"
#include "tests/support/blobs.h"
#include "tests/support/vault.h"

#define THREADS 8
#define ROUNDS  3

static struct test_vault v;
static struct blobseal_config *config;
static struct blobseal_kek *kek;
static pthread_barrier_t barrier;

void test_support_failed(const char *what)
{
    fprintf(stderr, "FAIL: %s\n", what);
    exit(1);
}

static void expect(bool ok, const char *what)
{
    if (!ok)
        test_support_failed(what);
}

/* Wrap a secret and unwrap it again. */
static enum blobseal_status use(unsigned n, struct blobseal_error *err)
{
    struct blobseal_secret32 secret, again;
    struct blobseal_wrapping w;
    struct blobseal_lease lease = {.size = sizeof lease};
    enum blobseal_status st;

    memset(&secret, (int)n, sizeof secret);
    st = bs_kek_wrap(kek, &w, &secret, NULL, err);
    if (st == BLOBSEAL_OK) {
        const struct blobseal_wrapped wrapped = {.alg = w.alg, .kid = w.kid, .key = w.key, .key_len = w.key_len};

        st = bs_kek_unwrap(kek, &again, &wrapped, &lease, NULL, err);
    }
    if (st == BLOBSEAL_OK)
        st = bs_kek_renew(kek, &lease, NULL, err);
    expect(st != BLOBSEAL_OK || memcmp(&secret, &again, sizeof secret) == 0, "the secret comes back");
    return st;
}

static void *worker(void *ctx)
{
    struct blobseal_error err = {0};

    (void)pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < ROUNDS; i++)
        if (use((unsigned)(uintptr_t)ctx, &err) != BLOBSEAL_OK)
            test_support_failed(err.text);
    return NULL;
}

static void open_key(void)
{
    char ref[64];
    struct blobseal_kek_options options = {.size = sizeof options};
    struct blobseal_error err;

    config = test_vault_config(&v, NULL);
    (void)snprintf(ref, sizeof ref, "https://%s/keys/kek", v.host);
    options.config = config;
    expect(blobseal_kek_open(&kek, NULL, ref, &options, &err) == BLOBSEAL_OK, "the key opens");
}

static void run_threads(void)
{
    pthread_t threads[THREADS];

    expect(pthread_barrier_init(&barrier, NULL, THREADS) == 0, "a barrier");
    for (uintptr_t i = 0; i < THREADS; i++)
        expect(pthread_create(&threads[i], NULL, worker, (void *)i) == 0, "a thread");
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_barrier_destroy(&barrier);
}

/* The child has no token: its memory is empty there. */
static void run_child(void)
{
    struct blobseal_error err = {0};
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(use(1, &err) == BLOBSEAL_OK ? 0 : 1);
    expect(waitpid(pid, &status, 0) == pid && status == 0, "a child uses the key");
    expect(use(2, &err) == BLOBSEAL_OK, "and its parent goes on");
}

int main(void)
{
    if (!test_vault_start(&v))
        return 0;
    TEST_VAULT_DO(&v, "create", "{\"name\": \"kek\"}");
    open_key();
    TEST_VAULT_DO(&v, "fault", "{\"op\": \"identity\", \"kind\": \"delay\", \"seconds\": 0.3}");
    TEST_VAULT_DO(&v, "fault", "{\"op\": \"get\", \"kind\": \"delay\", \"seconds\": 0.3}");
    run_threads();
    expect(test_vault_count(&v, "{\"op\": \"identity\"}") == 1, "one request for a token");
    expect(test_vault_count(&v, "{\"op\": \"get\"}") == 1, "one request for the description");
    expect(test_vault_count(&v, "{\"op\": \"unwrapkey\"}") == 2 * THREADS * ROUNDS, "each unwrap is a request");
    run_child();
    expect(test_vault_count(&v, "{\"op\": \"identity\"}") == 2, "the child has a token of its own");
    blobseal_kek_close(kek);
    blobseal_config_free(config);
    test_vault_stop(&v);
    puts("threads: ok");
    return 0;
}
