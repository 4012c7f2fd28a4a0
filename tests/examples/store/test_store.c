/* SPDX-License-Identifier: Apache-2.0 */
/* The store in one process: eight clients at once, and what it refuses. Runs under ThreadSanitizer as well. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store.h"
#include "tests/support/blobs.h"
#include "tests/support/check.h"

#define CLIENTS 8
#define SHARED  6
#define ROUNDS  60
#define MOST    ((size_t)1 << 21)

static _Atomic unsigned failures;

static char folder[] = "/tmp/blobseal-store.XXXXXX";
static struct blobseal_kek *kek;
static struct store *store;

/* Objects that all clients put, get and delete, and one more object for each client alone. */
static struct content {
    uint8_t *data;
    size_t len;
    char digest[STORE_DIGEST];
} contents[SHARED + CLIENTS];

static const size_t sizes[SHARED] = {0, 1, 16384, 100000, MOST - 1, 1 << 20};

static enum blobseal_status put(const struct content *c, char digest[STORE_DIGEST], struct blobseal_error *err)
{
    struct blobseal_memory state;
    struct blobseal_source in;

    blobseal_source_memory(&in, &state, c->data, c->len);
    return store_put(store, &in, digest, err);
}

/* Check that the range is correct, or that the object does not exist. */
static enum blobseal_status get(const struct content *c, uint64_t off, uint64_t len, struct blobseal_error *err)
{
    struct blobseal_memory state;
    struct blobseal_sink out;
    uint64_t want = len < c->len - off ? len : c->len - off;
    enum blobseal_status st;

    blobseal_sink_memory(&out, &state);
    st = store_get(store, c->digest, off, len, &out, err);
    if (st == BLOBSEAL_OK)
        CHECK(state.len == want && (want == 0 || memcmp(state.data, c->data + off, want) == 0));
    blobseal_free(state.data);
    return st;
}

static bool fine_or_missing(enum blobseal_status st, const struct blobseal_error *err)
{
    return st == BLOBSEAL_OK || (st == BLOBSEAL_E_INPUT && err->sys_errno == ENOENT);
}

/* ---- Eight clients ----------------------------------------------------------------------------------------------- */

static void use_shared(const struct content *c, uint64_t *seed)
{
    struct blobseal_error err = {0};
    char digest[STORE_DIGEST];
    uint64_t off = random_below(seed, c->len + 1), size;
    enum blobseal_status st;

    switch (random_below(seed, 5)) {
    case 0:
        CHECK(put(c, digest, &err) == BLOBSEAL_OK && strcmp(digest, c->digest) == 0);
        break;
    case 1:
        st = store_stat(store, c->digest, &size, &err);
        CHECK(fine_or_missing(st, &err) && size == (st == BLOBSEAL_OK ? c->len : 0));
        break;
    case 2:
        CHECK(fine_or_missing(get(c, off, random_below(seed, MOST), &err), &err));
        break;
    case 3:
        CHECK(fine_or_missing(get(c, 0, UINT64_MAX, &err), &err));
        break;
    default:
        CHECK(fine_or_missing(store_delete(store, c->digest, &err), &err));
    }
}

/* No other client uses this object, so every acknowledged operation must be visible. */
static void use_own(const struct content *c)
{
    struct blobseal_error err;
    char digest[STORE_DIGEST];
    uint64_t size;

    CHECK(put(c, digest, &err) == BLOBSEAL_OK && strcmp(digest, c->digest) == 0);
    CHECK(store_stat(store, c->digest, &size, &err) == BLOBSEAL_OK && size == c->len);
    CHECK(get(c, 0, UINT64_MAX, &err) == BLOBSEAL_OK);
    CHECK(store_delete(store, c->digest, &err) == BLOBSEAL_OK);
    CHECK(store_stat(store, c->digest, &size, &err) == BLOBSEAL_E_INPUT && err.sys_errno == ENOENT);
}

static void *client(void *arg)
{
    size_t number = (size_t)(uintptr_t)arg;
    uint64_t seed = number + 1;

    for (unsigned i = 0; i < ROUNDS; i++) {
        use_shared(&contents[random_below(&seed, SHARED)], &seed);
        if (i % 8 == 0)
            use_own(&contents[SHARED + number]);
    }
    return NULL;
}

static void run_clients(void)
{
    pthread_t threads[CLIENTS];

    for (size_t i = 0; i < CLIENTS; i++)
        if (pthread_create(&threads[i], NULL, client, (void *)(uintptr_t)i) != 0)
            abort();
    for (size_t i = 0; i < CLIENTS; i++)
        (void)pthread_join(threads[i], NULL);
}

/* ---- One client -------------------------------------------------------------------------------------------------- */

static int open_in(const char *name)
{
    char path[200];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, O_RDONLY | O_DIRECTORY);
}

static unsigned count_files(const char *name)
{
    DIR *dir = fdopendir(open_in(name));
    const struct dirent *d;
    unsigned n = 0;

    while ((d = readdir(dir)) != NULL)
        n += d->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

static void check_refusals(void)
{
    static const char *const bad[] = {"",
                                      "..",
                                      "../staging/0",
                                      "ABCDEF",
                                      "0000000000000000000000000000000000000000",
                                      "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"};
    struct blobseal_error err;
    struct store *second;
    uint64_t size;

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct content c = {.data = NULL};

        (void)snprintf(c.digest, sizeof c.digest, "%s", bad[i]);
        CHECK(store_stat(store, bad[i], &size, &err) == BLOBSEAL_E_ARG);
        CHECK(get(&c, 0, 1, &err) == BLOBSEAL_E_ARG);
        CHECK(store_delete(store, bad[i], &err) == BLOBSEAL_E_ARG);
    }
    CHECK(store_open(&second, folder, kek, &err) == BLOBSEAL_E_EXISTS && second == NULL);
    CHECK(store_open(&second, "/nowhere/at/all", kek, &err) == BLOBSEAL_E_OUTPUT && second == NULL);
}

/* A source and a sink that fail, at every call. */
static void check_faults(const struct content *c)
{
    unsigned before = count_files("objects");
    enum blobseal_status st;
    uint64_t call = 0;
    char digest[STORE_DIGEST];

    do {
        struct test_source from = {.data = c->data,
                                   .len = c->len,
                                   .max_piece = 300000,
                                   .fault = {.at_call = ++call, .status = BLOBSEAL_E_CANCELED}};
        struct blobseal_source in;

        test_source_start(&in, &from);
        st = store_put(store, &in, digest, NULL);
        CHECK(st == BLOBSEAL_OK || (st == BLOBSEAL_E_CANCELED && digest[0] == '\0'));
        CHECK(count_files("staging") == 0);
        CHECK(count_files("objects") == before + (st == BLOBSEAL_OK));
        test_source_end(&from);
    } while (st != BLOBSEAL_OK);
    call = 0;
    do {
        struct test_sink to = {.cap = c->len, .fault = {.at_call = ++call, .status = BLOBSEAL_E_CANCELED}};
        struct blobseal_sink out;

        test_sink_start(&out, &to);
        st = store_get(store, c->digest, 0, UINT64_MAX, &out, NULL);
        CHECK(st == BLOBSEAL_OK || st == BLOBSEAL_E_CANCELED);
        CHECK(test_sink_is_part_of(&to, c->data, c->len));
        test_sink_end(&to);
    } while (st != BLOBSEAL_OK);
    CHECK(store_delete(store, c->digest, NULL) == BLOBSEAL_OK);
}

/* An attacker who can write to the folder can rename an object to another's digest, but a get detects it. */
static void check_swap(const struct content *a, const struct content *b)
{
    int objects = open_in("objects");
    struct blobseal_error err;
    struct blobseal_memory state;
    struct blobseal_sink out;
    char digest[STORE_DIGEST];

    CHECK(put(a, digest, &err) == BLOBSEAL_OK && put(b, digest, &err) == BLOBSEAL_OK);
    CHECK(renameat(objects, a->digest, objects, b->digest) == 0);
    blobseal_sink_memory(&out, &state);
    CHECK(store_get(store, b->digest, 0, UINT64_MAX, &out, &err) == BLOBSEAL_E_AUTH);
    blobseal_free(state.data);
    CHECK(store_delete(store, b->digest, &err) == BLOBSEAL_OK);
    (void)close(objects);
}

static void check_garbage(void)
{
    int staging = open_in("staging");

    store_close(store);
    (void)close(openat(staging, "17", O_CREAT | O_WRONLY, 0600));
    (void)close(openat(staging, ".hidden", O_CREAT | O_WRONLY, 0600));
    CHECK(store_open(&store, folder, kek, NULL) == BLOBSEAL_OK);
    CHECK(faccessat(staging, "17", F_OK, 0) != 0 && faccessat(staging, ".hidden", F_OK, 0) != 0);
    (void)close(staging);
}

static void remove_all(void)
{
    int top = open_in(".");

    for (size_t i = 0; i < COUNT(contents); i++) {
        (void)store_delete(store, contents[i].digest, NULL);
        free(contents[i].data);
    }
    store_close(store);
    CHECK(unlinkat(top, "staging", AT_REMOVEDIR) == 0 && unlinkat(top, "objects", AT_REMOVEDIR) == 0);
    CHECK(rmdir(folder) == 0);
    (void)close(top);
}

int main(void)
{
    struct fake_kek fake = {.kid = "a-key"};
    struct blobseal_error err;

    if (mkdtemp(folder) == NULL)
        return 1;
    kek = fake_kek_open(&fake);
    if (store_open(&store, folder, kek, &err) != BLOBSEAL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < COUNT(contents); i++) {
        contents[i].len = i < SHARED ? sizes[i] : 50000 + i;
        contents[i].data = must_alloc(contents[i].len);
        fill_random(contents[i].data, contents[i].len, i + 1);
        CHECK(put(&contents[i], contents[i].digest, &err) == BLOBSEAL_OK);
    }
    CHECK(strcmp(contents[0].digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == 0);
    run_clients();
    CHECK(count_files("staging") == 0);
    check_garbage();
    for (size_t i = 0; i < COUNT(contents); i++) /* every object that still exists is complete */
        CHECK(fine_or_missing(get(&contents[i], 0, UINT64_MAX, &err), &err));
    for (size_t i = 0; i < COUNT(contents); i++)
        (void)store_delete(store, contents[i].digest, &err);
    check_refusals();
    check_faults(&contents[4]);
    check_swap(&contents[2], &contents[3]);
    remove_all();
    blobseal_kek_close(kek);
    (void)printf("store: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
