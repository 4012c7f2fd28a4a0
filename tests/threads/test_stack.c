/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every function of the library runs on a thread with 64 KiB of stack, as the header says, also where the limit for
 * stacks is as low. With an argument, the program shows how much of a larger stack each function takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/blobs.h"

#define STACK_LEN ((size_t)64 << 10)
#define LEN       ((size_t)3 * 1024 * 1024)

static unsigned failures;
static bool measuring;

static uint8_t *plain;
static char key_file[] = "/tmp/blobseal-stack.XXXXXX";
static const char passphrase[] = "a passphrase";
static struct blobseal_kek *kek;
static struct sealed sealed[2]; /* [1]: compressed */

static enum blobseal_status passphrase_call(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx;
    (void)cap;
    (void)err;
    *len = sizeof passphrase - 1;
    memcpy(buf, passphrase, *len);
    return BLOBSEAL_OK;
}

static bool generate(void)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    int fd = mkstemp(key_file);
    bool ok = fd >= 0 && blobseal_keygen_rsa(&pair, 2048, passphrase, NULL) == BLOBSEAL_OK &&
              write(fd, pair.private_pem, pair.private_len) == (ssize_t)pair.private_len;

    blobseal_keypair_clear(&pair);
    (void)close(fd);
    return ok;
}

static bool open_key(void)
{
    const struct blobseal_kek_options o = {.size = sizeof o, .passphrase = passphrase_call};

    return blobseal_kek_open(&kek, NULL, key_file, &o, NULL) == BLOBSEAL_OK;
}

static bool seal_one(bool zstd)
{
    const struct blobseal_annotation a = {"name", "value"};
    const struct blobseal_metadata m = {
        .size = sizeof m, .name = "n", .type = "text/plain", .num_annotations = 1, .annotations = &a};
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = 3, .zstd = zstd, .zstd_level = zstd ? 19 : 0, .metadata = &m};

    return seal_bytes(&sealed[zstd], plain, LEN, &kek, 1, &o, NULL) == BLOBSEAL_OK;
}

static bool seal(void)
{
    return seal_one(false);
}

static bool seal_zstd(void)
{
    return seal_one(true);
}

static bool push(void)
{
    struct blobseal_memory memory;
    struct blobseal_sink sink;
    struct blobseal_writer *w;
    bool ok;

    blobseal_sink_memory(&sink, &memory);
    if (blobseal_writer_open(&w, &sink, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        return false;
    ok = blobseal_writer_write(w, plain, 300000, NULL) == BLOBSEAL_OK &&
         blobseal_writer_finish(w, NULL, NULL) == BLOBSEAL_OK;
    blobseal_writer_close(w);
    blobseal_free(memory.data);
    return ok;
}

static bool read_one(const struct sealed *blob)
{
    struct blobseal_source source;
    struct blobseal_memory state, out;
    struct blobseal_reader *r;
    struct blobseal_sink sink;
    uint8_t bytes[1000];
    size_t n;
    bool ok;

    blobseal_source_memory(&source, &state, blob->data, blob->len);
    if (blobseal_reader_open(&r, &source, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        return false;
    blobseal_sink_memory(&sink, &out);
    ok = blobseal_reader_pread(r, bytes, sizeof bytes, 1000000, &n, NULL) == BLOBSEAL_OK &&
         blobseal_reader_read(r, bytes, sizeof bytes, &n, NULL) == BLOBSEAL_OK &&
         blobseal_reader_verify(r, NULL, NULL) == BLOBSEAL_OK &&
         blobseal_reader_stream_range(r, &sink, 5, 2000000, NULL, NULL) == BLOBSEAL_OK;
    blobseal_reader_close(r);
    blobseal_free(out.data);
    return ok;
}

static bool open_blob(void)
{
    return read_one(&sealed[0]);
}

static bool open_zstd(void)
{
    return read_one(&sealed[1]);
}

static bool scrub(void)
{
    struct blobseal_scrub_result result = {.size = sizeof result};
    struct blobseal_source source;
    struct blobseal_memory state;

    blobseal_source_memory(&source, &state, sealed[0].data, sealed[0].len);
    return blobseal_scrub(&source, NULL, &result, NULL) == BLOBSEAL_OK && result.ok;
}

static bool change(void)
{
    const struct blobseal_change c = {.size = sizeof c, .add = &kek, .num_add = 1, .replace = true};
    struct blobseal_change_result *result;
    struct blobseal_source source;
    struct blobseal_memory state;
    bool ok;

    blobseal_source_memory(&source, &state, sealed[0].data, sealed[0].len);
    ok = blobseal_change_envelope(&result, &source, &kek, 1, &c, NULL) == BLOBSEAL_OK;
    blobseal_change_result_free(result);
    return ok;
}

static bool attach(void)
{
    struct blobseal_source source;
    struct blobseal_memory state, out;
    struct blobseal_sink sink;
    bool ok;

    blobseal_source_memory(&source, &state, sealed[0].data, sealed[0].len);
    blobseal_sink_memory(&sink, &out);
    ok = blobseal_attach(&sink, &source, NULL, NULL) == BLOBSEAL_OK;
    blobseal_free(out.data);
    return ok;
}

static bool inspect(void)
{
    struct blobseal_info *info;
    struct blobseal_source source;
    struct blobseal_memory state;
    bool ok;

    blobseal_source_memory(&source, &state, sealed[0].data, sealed[0].len);
    ok = blobseal_inspect(&info, &source, NULL, 0, NULL) == BLOBSEAL_OK;
    blobseal_info_free(info);
    return ok;
}

static void ignore(void *ctx, const struct blobseal_finding *finding)
{
    (void)ctx;
    (void)finding;
}

static bool diagnose(void)
{
    blobseal_diagnose(ignore, NULL);
    return blobseal_diagnose_kek(kek, NULL, ignore, NULL, NULL) == BLOBSEAL_OK;
}

/* ---- Running on a stack of the documented size ------------------------------------------------------------------- */

static const struct task {
    const char *name;
    bool (*run)(void);
} tasks[] = {
    {"keygen", generate}, {"open a key", open_key},  {"seal", seal},   {"seal, zstd", seal_zstd}, {"push", push},
    {"open", open_blob},  {"open, zstd", open_zstd}, {"scrub", scrub}, {"change", change},        {"attach", attach},
    {"inspect", inspect}, {"diagnose", diagnose},
};

static void *run_task(void *task)
{
    return ((const struct task *)task)->run() ? task : NULL;
}

static void run(const struct task *task)
{
    size_t len = measuring ? 16 * STACK_LEN : STACK_LEN, unused = 0;
    uint8_t *stack = aligned_alloc(4096, len);
    pthread_attr_t attr;
    pthread_t thread;
    void *ok = NULL;

    if (stack == NULL)
        abort();
    memset(stack, 0xA5, len);
    if (pthread_attr_init(&attr) != 0 || pthread_attr_setstack(&attr, stack, len) != 0 ||
        pthread_create(&thread, &attr, run_task, (void *)(uintptr_t)task) != 0)
        abort();
    (void)pthread_join(thread, &ok);
    (void)pthread_attr_destroy(&attr);
    while (stack[unused] == 0xA5)
        unused++;
    if (measuring)
        (void)printf("%6zu  %s\n", len - unused, task->name);
    if (ok == NULL || unused < 4096) {
        (void)fprintf(stderr, "stack: %s: %s, %zu bytes left\n", task->name, ok != NULL ? "ok" : "failed", unused);
        failures++;
    }
    free(stack);
}

int main(int argc, char **argv)
{
    const struct rlimit limit = {STACK_LEN, STACK_LEN};

    (void)argv;
    measuring = argc > 1;
    if (!measuring && setrlimit(RLIMIT_STACK, &limit) != 0) /* for threads that are started with defaults */
        abort();
    plain = must_alloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        plain[i] = (uint8_t)(i / 1000 * i);
    for (size_t i = 0; i < COUNT(tasks); i++)
        run(&tasks[i]);
    (void)unlink(key_file);
    blobseal_kek_close(kek);
    sealed_clear(&sealed[0]);
    sealed_clear(&sealed[1]);
    free(plain);
    (void)printf("stack: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
