/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What many small files cost without blobseal, for bench/small-files. Prints the seconds that the work took, and its
 * CPU time.
 *
 *   blobseal-small-reference wrap N THREADS            N times RSA-3072-OAEP-256 with the public key
 *   blobseal-small-reference unwrap N THREADS          the same with the private key
 *   blobseal-small-reference files N THREADS SIZE FROM TO
 *       copy FROM/0 to FROM/N-1 to TO with the guarantees of blobseal: a file has its name only when its content is on
 *       the disk, an existing file is never replaced, and the folder is synced once at the end
 */
#define _GNU_SOURCE /* O_TMPFILE */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>

#define MAX_THREADS 64
#define MAX_PATH    512
#define MAX_WRAPPED 512

struct work {
    bool (*one)(struct work *w, size_t index);
    size_t num;
    _Atomic size_t next;
    atomic_bool failed;
    EVP_PKEY *key;
    uint8_t wrapped[MAX_WRAPPED];
    size_t wrapped_len;
    size_t size;
    const char *from, *to;
};

static EVP_PKEY_CTX *start_oaep(EVP_PKEY *key, bool wrap)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

    if (ctx != NULL && (wrap ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, "SHA256", NULL) == 1 &&
        EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, "SHA256", NULL) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static bool wrap(struct work *w, size_t index)
{
    uint8_t secret[32] = {(uint8_t)index}, out[MAX_WRAPPED];
    size_t len = sizeof out;
    EVP_PKEY_CTX *ctx = start_oaep(w->key, true);
    bool ok = ctx != NULL && EVP_PKEY_encrypt(ctx, out, &len, secret, sizeof secret) == 1;

    if (ok && index == 0) {
        memcpy(w->wrapped, out, len);
        w->wrapped_len = len;
    }
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool unwrap(struct work *w, size_t index)
{
    uint8_t out[MAX_WRAPPED];
    size_t len = sizeof out;
    EVP_PKEY_CTX *ctx = start_oaep(w->key, false);
    bool ok = ctx != NULL && EVP_PKEY_decrypt(ctx, out, &len, w->wrapped, w->wrapped_len) == 1;

    (void)index;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool copy(struct work *w, size_t index)
{
    char from[MAX_PATH], to[MAX_PATH], self[64];
    uint8_t *buf = malloc(w->size);
    int in, out;
    bool ok;

    (void)snprintf(from, sizeof from, "%s/%zu", w->from, index);
    (void)snprintf(to, sizeof to, "%s/%zu", w->to, index);
    in = open(from, O_RDONLY | O_CLOEXEC);
    out = open(w->to, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", out);
    ok = buf != NULL && in >= 0 && out >= 0 && read(in, buf, w->size) == (ssize_t)w->size &&
         write(out, buf, w->size) == (ssize_t)w->size && fsync(out) == 0 &&
         linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0;
    (void)close(in);
    (void)close(out);
    free(buf);
    return ok;
}

static void *run_thread(void *arg)
{
    struct work *w = arg;
    size_t index;

    while ((index = w->next++) < w->num)
        if (!w->one(w, index))
            w->failed = true;
    return NULL;
}

static bool run(struct work *w, unsigned threads)
{
    pthread_t ids[MAX_THREADS];

    w->next = 0;
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, run_thread, w) != 0)
            abort();
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(ids[i], NULL);
    return !w->failed;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    (void)close(fd);
    return ok;
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool prepare_key(struct work *w)
{
    w->key = EVP_RSA_gen(3072);
    return w->key != NULL && wrap(w, 0) && unwrap(w, 0);
}

int main(int argc, char **argv)
{
    static struct work w;
    const char *verb = argc >= 4 ? argv[1] : "";
    bool files = strcmp(verb, "files") == 0 && argc == 7;
    unsigned long threads = argc >= 4 ? strtoul(argv[3], NULL, 10) : 0;
    double start, cpu;
    bool ok;

    w.one = files ? copy : strcmp(verb, "wrap") == 0 ? wrap : strcmp(verb, "unwrap") == 0 ? unwrap : NULL;
    if (w.one == NULL || threads < 1 || threads > MAX_THREADS) {
        (void)fprintf(stderr, "usage: blobseal-small-reference wrap|unwrap N THREADS | files N THREADS SIZE FROM TO\n");
        return 2;
    }
    w.num = strtoul(argv[2], NULL, 10);
    if (files) {
        w.size = strtoul(argv[4], NULL, 10);
        w.from = argv[5];
        w.to = argv[6];
    }
    ok = files || prepare_key(&w);
    start = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    ok = ok && run(&w, (unsigned)threads) && (!files || sync_folder(w.to));
    (void)printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - start, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    EVP_PKEY_free(w.key);
    return ok ? 0 : 1;
}
