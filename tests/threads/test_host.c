/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program that uses the library can rely on: its signals, output, descriptors and threads are not changed, and
 * after fork() both processes can continue. Also runs under ThreadSanitizer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/blobs.h"

#define LEN ((size_t)3 * 1024 * 1024 + 12345)

static _Atomic unsigned failures;

/* A stream for reports that remains usable while stderr is watched. */
static FILE *report;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            (void)fprintf(report, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                           \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

static uint8_t *plain;
static char key_file[] = "/tmp/blobseal-host.XXXXXX";

static void write_key(void)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    int fd = mkstemp(key_file);

    if (fd < 0 || blobseal_keygen_rsa(&pair, 2048, NULL, NULL) != BLOBSEAL_OK)
        abort();
    CHECK(write(fd, pair.private_pem, pair.private_len) == (ssize_t)pair.private_len);
    blobseal_keypair_clear(&pair);
    (void)close(fd);
}

/* ---- One use of the whole library, with failures ----------------------------------------------------------------- */

static pthread_t caller;
static _Atomic unsigned reads_elsewhere;

/*
 * Check that threads of the library block all signals, because signals belong to the program. The calling thread works
 * as well and could finish before any other thread runs, so it waits for one, but only for a limited time.
 */
static enum blobseal_status pread_and_look(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                           struct blobseal_error *err)
{
    sigset_t mask;

    (void)ctx;
    (void)err;
    if (!pthread_equal(pthread_self(), caller)) {
        reads_elsewhere++;
        CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
        for (int sig = 1; sig < 32; sig++)
            CHECK(sig == SIGKILL || sig == SIGSTOP || sigismember(&mask, sig));
    }
    for (int ms = 0; reads_elsewhere == 0 && ms < 10000; ms++)
        (void)usleep(1000);
    *nread = off < LEN ? (len < LEN - off ? len : LEN - (size_t)off) : 0;
    memcpy(buf, plain + off, *nread);
    return BLOBSEAL_OK;
}

static void open_all(struct blobseal_kek *kek, struct blobseal_memory *sealed, enum blobseal_status want)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 3};
    struct blobseal_reader *r;
    struct blobseal_source source;
    struct blobseal_memory state;
    struct blobseal_error err;
    enum blobseal_status st;
    uint64_t len = 0;

    blobseal_source_memory(&source, &state, sealed->data, sealed->len);
    st = blobseal_reader_open(&r, &source, &kek, 1, &o, &err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_verify(r, &len, &err);
    CHECK(st == want && (st != BLOBSEAL_OK || len == LEN));
    blobseal_reader_close(r);
}

static void use_library(void)
{
    const struct blobseal_source source = {.size = LEN, .pread = pread_and_look};
    const struct blobseal_seal_options o = {.size = sizeof o, .threads = 3};
    struct blobseal_kek *kek, *none;
    struct blobseal_memory sealed;
    struct blobseal_sink sink;
    struct blobseal_error err;

    caller = pthread_self();
    CHECK(blobseal_kek_open(&kek, NULL, key_file, NULL, &err) == BLOBSEAL_OK);
    CHECK(blobseal_kek_open(&none, NULL, "/etc/passwd", NULL, &err) != BLOBSEAL_OK);
    CHECK(blobseal_kek_open(&none, NULL, "/nowhere", NULL, &err) == BLOBSEAL_E_INPUT);
    blobseal_sink_memory(&sink, &sealed);
    CHECK(blobseal_seal(&sink, &source, &kek, 1, &o, NULL, &err) == BLOBSEAL_OK);
    open_all(kek, &sealed, BLOBSEAL_OK);
    sealed.data[sealed.len / 2] ^= 1;
    open_all(kek, &sealed, BLOBSEAL_E_DAMAGED);
    blobseal_free(sealed.data);
    blobseal_kek_close(kek);
}

/* ---- Signals, output, descriptors, threads ----------------------------------------------------------------------- */

struct surroundings {
    void (*handlers[NSIG])(int);
    sigset_t mask;
    unsigned fds, threads;
    mode_t umask;
    char folder[4096];
};

static unsigned count_entries(const char *name)
{
    DIR *dir = opendir(name);
    unsigned n = 0;

    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static struct surroundings look_around(void)
{
    struct surroundings s = {.fds = count_entries("/proc/self/fd"), .threads = count_entries("/proc/self/task")};
    struct sigaction action;

    for (int sig = 1; sig < NSIG; sig++)
        s.handlers[sig] = sigaction(sig, NULL, &action) == 0 ? action.sa_handler : NULL;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &s.mask) == 0);
    s.umask = umask(0);
    (void)umask(s.umask);
    CHECK(getcwd(s.folder, sizeof s.folder) != NULL);
    return s;
}

static void check_surroundings(void)
{
    FILE *output = tmpfile();
    int own[2] = {dup(1), dup(2)};
    struct surroundings before, after;
    struct stat st;

    (void)fflush(NULL);
    CHECK(dup2(fileno(output), 1) == 1 && dup2(fileno(output), 2) == 2);
    use_library(); /* a first use, after which OpenSSL keeps some resources */
    before = look_around();
    use_library();
    after = look_around();
    (void)fflush(NULL);
    CHECK(fstat(fileno(output), &st) == 0 && st.st_size == 0);
    CHECK(dup2(own[0], 1) == 1 && dup2(own[1], 2) == 2);
    (void)close(own[0]);
    (void)close(own[1]);
    (void)fclose(output);
    CHECK(reads_elsewhere > 0); /* otherwise no other thread's signal mask was checked */
    CHECK(memcmp(before.handlers, after.handlers, sizeof before.handlers) == 0);
    for (int sig = 1; sig < NSIG; sig++)
        CHECK(sigismember(&before.mask, sig) == sigismember(&after.mask, sig));
    CHECK(before.fds == after.fds);
    /* The kernel may list a thread for a moment after it was joined. */
    for (int ms = 0; after.threads > before.threads && ms < 10000; ms++) {
        (void)usleep(1000);
        after.threads = count_entries("/proc/self/task");
    }
    CHECK(after.threads <= before.threads);
    CHECK(before.umask == after.umask && strcmp(before.folder, after.folder) == 0);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

/*
 * Check, in the child, what it sees of the parent's secrets, and seal and open with objects of its own. Return the exit
 * code.
 */
static int be_child(const uint8_t *secret, const struct blobseal_reader *r, int to_parent)
{
    uint8_t random[16];

    failures = 0;
    CHECK(bs_all_zero(secret, 5000));
    CHECK(bs_all_zero(r->content.stored.keys->key, sizeof r->content.stored.keys->key));
    use_library();
    CHECK(blobseal_random(random, sizeof random, true));
    CHECK(write(to_parent, random, sizeof random) == sizeof random);
    return failures == 0 ? 0 : 1;
}

static void run_child(const uint8_t *secret, const struct blobseal_reader *r)
{
    uint8_t theirs[16] = {0}, ours[16];
    int ends[2], status = -1;
    pid_t child;

    CHECK(pipe(ends) == 0);
    (void)fflush(NULL);
    child = fork();
    if (child == 0)
        _exit(be_child(secret, r, ends[1]));
    CHECK(blobseal_random(ours, sizeof ours, true));
    CHECK(read(ends[0], theirs, sizeof theirs) == sizeof theirs);
    CHECK(memcmp(ours, theirs, sizeof ours) != 0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void check_fork(void)
{
    struct fake_kek fake = {.kid = "a-key"};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    uint8_t *secret = blobseal_secret_alloc(5000), got[100];
    struct blobseal_source source;
    struct blobseal_memory state;
    struct blobseal_reader *r;
    struct sealed sealed;
    size_t n;

    if (secret == NULL)
        abort();
    memset(secret, 0xAA, 5000);
    CHECK(seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, NULL) == BLOBSEAL_OK);
    blobseal_source_memory(&source, &state, sealed.data, sealed.len);
    if (blobseal_reader_open(&r, &source, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        abort();
    CHECK(!bs_all_zero(r->content.stored.keys->key, sizeof r->content.stored.keys->key));
    for (int i = 0; i < 3; i++)
        run_child(secret, r);
    for (size_t i = 0; i < 5000; i++)
        CHECK(secret[i] == 0xAA);
    CHECK(blobseal_reader_pread(r, got, 100, 2000000, &n, NULL) == BLOBSEAL_OK &&
          memcmp(got, plain + 2000000, 100) == 0);
    blobseal_reader_close(r);
    blobseal_secret_free(secret);
    sealed_clear(&sealed);
    blobseal_kek_close(kek);
}

int main(void)
{
    report = fdopen(dup(2), "w");
    plain = must_alloc(LEN);
    fill_random(plain, LEN, 1);
    write_key();
    check_surroundings();
    check_fork();
    (void)unlink(key_file);
    free(plain);
    (void)fclose(report);
    (void)printf("host: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
