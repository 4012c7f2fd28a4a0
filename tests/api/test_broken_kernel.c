/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel with wrong results is detected before the first key is made with it, and neither seals nor opens. The linker
 * replaces functions of the library with those below (--wrap, tests/CMakeLists.txt): a CPU without features, and a
 * table entry for it that is correct until `broken` is set.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/suite.h"

SUITE(broken_kernel);

#define PLAIN_LEN ((size_t)50000)
#define ROOM      ((size_t)1 << 18)

static uint8_t plain[PLAIN_LEN];

/* ---- The table entry --------------------------------------------------------------------------------------------- */

static bool broken;
static _Atomic unsigned inits;

uint32_t __wrap_bs_cpu_features(void);
extern const struct bs_gcm_impl __real_bs_gcm_openssl;

uint32_t __wrap_bs_cpu_features(void)
{
    return 0;
}

static enum bs_gcm_status count_init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    inits++;
    return __real_bs_gcm_openssl.init(key, raw);
}

static void real_clear(struct bs_gcm_key *key)
{
    __real_bs_gcm_openssl.clear(key);
}

static bool spoil_seal(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *from)
{
    bool ok = __real_bs_gcm_openssl.seal(key, run, sealed, from);

    if (ok && broken)
        sealed[bs_gcm_sealed_len(run) - 1] ^= 1;
    return ok;
}

static bool real_open(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *to, const uint8_t *sealed)
{
    return __real_bs_gcm_openssl.open(key, run, to, sealed);
}

extern const struct bs_gcm_impl __wrap_bs_gcm_openssl;
const struct bs_gcm_impl __wrap_bs_gcm_openssl = {
    .name = "test entry", .init = count_init, .clear = real_clear, .seal = spoil_seal, .open = real_open};

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static const uint8_t raw[BS_GCM_KEY_LEN] = {1, 2, 3};

Test(broken_kernel, the_selftest_runs_once_a_process)
{
    struct bs_gcm_key key = {0};

    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(bs_gcm_init(&key, raw), BS_GCM_OK);
        cr_assert_eq(key.impl, &__wrap_bs_gcm_openssl);
        cr_assert_eq(inits, 2 + i, "one key for the test, and one each time");
        bs_gcm_clear(&key);
    }
}

Test(broken_kernel, no_key_is_made_with_it)
{
    struct bs_gcm_key key = {0};

    broken = true;
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(bs_gcm_init(&key, raw), BS_GCM_BROKEN);
        cr_assert_str_eq(key.impl->name, "test entry");
        cr_assert_null(key.state);
        bs_gcm_clear(&key);
    }
}

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

static struct fake_kek fake = {.kid = "a"};

static void expect_refusal(enum blobseal_status st, const struct blobseal_error *err, const char *what)
{
    cr_expect_eq(st, BLOBSEAL_E_INTERNAL, "%s: %s", what, blobseal_status_code(st));
    cr_expect_eq(err->status, st, "%s", what);
    cr_expect(strstr(err->text, "the self-test of test entry failed") != NULL, "%s: %s", what, err->text);
    cr_expect_eq(err->advice, BLOBSEAL_ADVICE_SELFTEST, "%s: %s", what, err->hint);
}

/* Return a blob from a child process with a correct kernel, so that this process has not tested its kernel yet. */
static struct sealed seal_elsewhere(struct blobseal_kek *kek, bool zstd)
{
    struct sealed s = {0};
    int status;
    pid_t pid;
    uint8_t *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(room, MAP_FAILED);
    fill_pattern(plain, PLAIN_LEN);
    pid = fork();
    if (pid == 0) {
        const struct blobseal_seal_options o = {.size = sizeof o, .zstd = zstd, .zstd_level = 3};

        if (seal_bytes(&s, plain, PLAIN_LEN, &kek, 1, &o, NULL) != BLOBSEAL_OK || s.len > ROOM - sizeof s.len)
            _exit(1);
        memcpy(room, &s.len, sizeof s.len);
        memcpy(room + sizeof s.len, s.data, s.len);
        _exit(0);
    }
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    memcpy(&s.len, room, sizeof s.len);
    s.data = must_copy(room + sizeof s.len, s.len);
    (void)munmap(room, ROOM);
    return s;
}

Test(broken_kernel, nothing_is_sealed)
{
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct blobseal_writer *writer;
    struct blobseal_sink sink;
    struct test_sink state = {.cap = ROOM};
    struct blobseal_error err = {0};
    struct sealed s;

    broken = true;
    for (unsigned zstd = 0; zstd < 2; zstd++) {
        const struct blobseal_seal_options o = {.size = sizeof o, .zstd = zstd != 0, .zstd_level = 3};

        expect_refusal(seal_bytes(&s, plain, PLAIN_LEN, &kek, 1, &o, &err), &err, "seal");
        sealed_clear(&s);
        test_sink_start(&sink, &state);
        expect_refusal(blobseal_writer_open(&writer, &sink, &kek, 1, &o, &err), &err, "writer");
        cr_expect_null(writer);
        test_sink_end(&state);
    }
    blobseal_kek_close(kek);
}

static void expect_no_pull(const struct sealed *s, struct blobseal_kek *kek)
{
    struct test_source state = {.data = s->data, .len = s->len};
    struct blobseal_source source;
    struct blobseal_reader *reader;
    struct blobseal_error err = {0};
    uint8_t buf[100];
    size_t n = 1;

    test_source_start(&source, &state);
    cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    expect_refusal(blobseal_reader_read(reader, buf, sizeof buf, &n, &err), &err, "read");
    cr_expect_eq(n, 0);
    blobseal_reader_close(reader);
    test_source_end(&state);
}

Test(broken_kernel, nothing_is_opened)
{
    struct blobseal_kek *kek = fake_kek_open(&fake);
    struct blobseal_error err = {0};

    for (unsigned zstd = 0; zstd < 2; zstd++) {
        struct sealed s = seal_elsewhere(kek, zstd != 0);

        broken = true;
        for (unsigned sequential = 0; sequential < 2; sequential++) {
            const struct how_to_open how = {.sequential = sequential != 0};
            struct opened o;

            expect_refusal(open_bytes(&o, s.data, s.len, &kek, 1, &how, &err), &err, sequential != 0 ? "pipe" : "file");
            cr_expect_eq(o.len, 0);
            opened_clear(&o);
        }
        expect_no_pull(&s, kek);
        broken = false;
        free(s.data);
    }
    blobseal_kek_close(kek);
}
