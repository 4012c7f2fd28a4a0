/* SPDX-License-Identifier: Apache-2.0 */
/* Secret memory: pages that are locked, guarded, wiped in the child of fork(), and wiped before they are used again. */
#define _DEFAULT_SOURCE /* madvise */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/base.h"
#include "tests/support/suite.h"

SUITE(secret);

/* Return true if the kernel can read a byte at @p. No signal is raised if it cannot. */
static bool readable(const uint8_t *p)
{
    int pipes[2];
    bool ok;

    cr_assert_eq(pipe(pipes), 0);
    ok = write(pipes[1], p, 1) == 1;
    cr_assert(ok || errno == EFAULT);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    return ok;
}

Test(secret, memory_is_zero_aligned_and_all_writable)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 128, 129, 4031, 4032, 4033, 4096, 70000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *p = blobseal_secret_alloc(sizes[i]);

        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % 64, 0);
        cr_assert(bs_all_zero(p, sizes[i]));
        memset(p, 0xFF, sizes[i]);
        blobseal_secret_free(p);
    }
    blobseal_secret_free(NULL);
}

Test(secret, memory_has_a_guard_page_on_either_side)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = blobseal_secret_alloc(2 * page), *first = p - (uintptr_t)p % page;

    cr_assert(readable(p));
    cr_assert(readable(p + 2 * page - 1));
    cr_assert(readable(first));
    cr_assert_not(readable(first - 1));
    cr_assert(readable(first + 3 * page - 1));
    cr_assert_not(readable(first + 3 * page));
    blobseal_secret_free(p);
}

Test(secret, impossible_sizes_are_no_memory)
{
    cr_assert_null(blobseal_secret_alloc(SIZE_MAX));
    cr_assert_null(blobseal_secret_alloc(SIZE_MAX / 2 + 1));
    cr_assert_null(blobseal_secret_alloc(SIZE_MAX / 4));
}

/* MADV_WIPEONFORK needs Linux 4.14. Without it there is nothing to test. */
static bool kernel_wipes_on_fork(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool ok = p != MAP_FAILED && madvise(p, page, MADV_WIPEONFORK) == 0;

    (void)munmap(p, page);
    return ok;
}

Test(secret, a_forked_child_sees_no_secrets_and_may_free_them)
{
    uint8_t *p = blobseal_secret_alloc(100);
    pid_t child;
    int status;

    if (!kernel_wipes_on_fork())
        cr_skip_test("no MADV_WIPEONFORK");
    memset(p, 0xEE, 100);
    child = fork();
    if (child == 0) {
        bool empty = bs_all_zero(p, 100);

        blobseal_secret_free(p);
        _exit(empty ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_assert_eq(p[99], 0xEE, "the parent keeps its own");
    blobseal_secret_free(p);
}

/* ---- Pages that are kept for the next allocation ----------------------------------------------------------------- */

#define MANY 100

Test(secret, memory_that_is_given_back_is_wiped_at_once)
{
    uint8_t *p = blobseal_secret_alloc(4000);

    memset(p, 0xFF, 4000);
    blobseal_secret_free(p);
    cr_assert(readable(p), "a first one is kept");
    cr_assert(bs_all_zero(p, 4000));
}

Test(secret, memory_that_is_kept_serves_sizes_of_as_many_pages)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *one = blobseal_secret_alloc(200), *two = blobseal_secret_alloc(page), *again;

    blobseal_secret_free(one);
    blobseal_secret_free(two);
    again = blobseal_secret_alloc(2000);
    cr_assert_eq(again, one);
    blobseal_secret_free(again);
    again = blobseal_secret_alloc(page + 100);
    cr_assert_eq(again, two);
    memset(again, 0xFF, page + 100);
    cr_assert_not(readable(again - (uintptr_t)again % page + 2 * page), "its guard page is there");
    blobseal_secret_free(again);
}

Test(secret, few_are_kept_and_no_large_ones)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p[MANY];
    size_t kept = 0;

    for (size_t len = 256; len <= 8 * page; len *= 2) {
        for (size_t i = 0; i < MANY; i++)
            p[i] = blobseal_secret_alloc(len);
        for (size_t i = 0; i < MANY; i++)
            blobseal_secret_free(p[i]);
        kept = 0;
        for (size_t i = 0; i < MANY; i++)
            kept += readable(p[i]) ? 1 : 0;
        cr_assert_leq(kept, 8, "%zu of %zu bytes", kept, len);
    }
    cr_assert_eq(kept, 0, "of %zu bytes", 8 * page);
}

/* Memory that the parent kept is not locked in the child, so the child does not reuse it. */
Test(secret, a_child_does_not_get_what_the_parent_kept)
{
    uint8_t *p = blobseal_secret_alloc(100), *mine;
    pid_t child;
    int status;

    if (!kernel_wipes_on_fork())
        cr_skip_test("no MADV_WIPEONFORK");
    blobseal_secret_free(p);
    child = fork();
    if (child == 0) {
        mine = blobseal_secret_alloc(100);
        if (mine == NULL || !bs_all_zero(mine, 100))
            _exit(1);
        memset(mine, 1, 100);
        blobseal_secret_free(mine);
        _exit(blobseal_secret_alloc(100) == mine ? 0 : 2); /* but it reuses its own */
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    mine = blobseal_secret_alloc(100);
    cr_assert_eq(mine, p);
    blobseal_secret_free(mine);
}

/* ---- Small secrets ----------------------------------------------------------------------------------------------- */

#define SLAB_LEN ((size_t)256 << 10)
#define MORE     ((size_t)5000) /* small secrets than one slab holds */

Test(secret, small_ones_share_pages_and_never_overlap)
{
    static uint8_t *p[MORE];
    struct bs_secret_counters before = bs_secret_counters(), n;

    for (size_t i = 0; i < MORE; i++) {
        p[i] = blobseal_secret_alloc(100);
        cr_assert_not_null(p[i]);
        cr_assert_eq((uintptr_t)p[i] % 64, 0);
        cr_assert(bs_all_zero(p[i], 100));
        memset(p[i], (int)(i % 255) + 1, 100);
    }
    n = bs_secret_counters();
    cr_expect_leq(n.locked_bytes + n.unlocked_bytes - before.locked_bytes - before.unlocked_bytes, MORE * 128 + 4096);
    for (size_t i = 0; i < MORE; i++)
        for (size_t k = 0; k < 100; k++)
            cr_assert_eq(p[i][k], (int)(i % 255) + 1);
    for (size_t i = 0; i < MORE; i += 2)
        blobseal_secret_free(p[i]);
    for (size_t i = 0; i < MORE; i += 2) {
        p[i] = blobseal_secret_alloc(128);
        cr_assert(bs_all_zero(p[i], 128), "wiped before it is used again");
    }
    for (size_t i = 0; i < MORE; i++)
        blobseal_secret_free(p[i]);
    n = bs_secret_counters();
    cr_expect_leq(n.locked_bytes + n.unlocked_bytes, before.locked_bytes + before.unlocked_bytes + 2 * 4096);
    bs_secret_trim();
    n = bs_secret_counters();
    cr_expect_eq(n.locked_bytes + n.unlocked_bytes, 0);
}

Test(secret, a_slab_has_a_guard_page_on_either_side)
{
    uint8_t *first = blobseal_secret_alloc(128);

    cr_assert_eq((uintptr_t)first % (size_t)sysconf(_SC_PAGESIZE), 0, "the first slot of the first slab");
    cr_assert_not(readable(first - 1));
    cr_assert(readable(first + SLAB_LEN - 1));
    cr_assert_not(readable(first + SLAB_LEN));
    blobseal_secret_free(first);
}

static void *use_small_ones(void *arg)
{
    uint8_t mark = *(const uint8_t *)arg, *p[50];

    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < 50; i++) {
            p[i] = blobseal_secret_alloc(i % 2 == 0 ? 32 : 128);
            if (p[i] == NULL || !bs_all_zero(p[i], 32))
                return NULL;
            memset(p[i], mark, i % 2 == 0 ? 64 : 128);
        }
        for (size_t i = 0; i < 50; i++) {
            for (size_t k = 0; k < 64; k++)
                if (p[i][k] != mark)
                    return NULL;
            blobseal_secret_free(p[i]);
        }
    }
    return arg;
}

Test(secret, threads_share_slabs)
{
    uint8_t marks[4] = {1, 2, 3, 4};
    pthread_t threads[4];
    void *ok;

    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, use_small_ones, &marks[i]), 0);
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], &ok);
        cr_expect_not_null(ok);
    }
}

/* A child has slabs of its own: it neither gets a slot that the parent has in use nor one next to it. */
Test(secret, a_child_does_not_share_slabs_with_its_parent)
{
    uint8_t *parents = blobseal_secret_alloc(100), *again;
    pid_t child;
    int status;

    if (!kernel_wipes_on_fork())
        cr_skip_test("no MADV_WIPEONFORK");
    memset(parents, 7, 100);
    child = fork();
    if (child == 0) {
        uint8_t *own = blobseal_secret_alloc(100);
        bool ok = bs_all_zero(parents, 128) && (own < parents - SLAB_LEN || own > parents + SLAB_LEN);

        ok = ok && bs_secret_counters().locked_bytes + bs_secret_counters().unlocked_bytes == 4096;
        memset(own, 8, 100);
        blobseal_secret_free(parents);
        ok = ok && own[0] == 8;
        blobseal_secret_free(own);
        bs_secret_trim();
        _exit(ok && readable(parents) ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_expect_eq(parents[99], 7);
    blobseal_secret_free(parents);
    again = blobseal_secret_alloc(100);
    cr_expect_eq(again, parents);
    blobseal_secret_free(again);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

#ifndef __SANITIZE_ADDRESS__ /* AddressSanitizer turns mlock() into a function that does nothing */

/* Allocate @num secrets of @len bytes with a limit for locked memory of 64 KiB, as an ordinary user. Return the
 * counters at the end. */
static struct bs_secret_counters with_little_locked(size_t num, size_t len)
{
    const struct rlimit limit = {65536, 65536};
    struct bs_secret_counters n = {0};
    int pipes[2], status;
    pid_t child;

    cr_assert_eq(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        bool ok = setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (geteuid() != 0 || setuid(65534) == 0);

        for (size_t i = 0; i < num && ok; i++)
            ok = blobseal_secret_alloc(len) != NULL;
        n = bs_secret_counters();
        _exit(ok && write(pipes[1], &n, sizeof n) == sizeof n ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_assert_eq(read(pipes[0], &n, sizeof n), sizeof n);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    return n;
}

Test(secret, a_low_limit_is_used_to_its_last_page)
{
    struct bs_secret_counters n = with_little_locked(16 * 32, 128);

    cr_expect_eq(n.locked_bytes, 65536);
    cr_expect_eq(n.unlocked_bytes, 0);
    cr_expect_eq(n.unlocked_secrets, 0);
    n = with_little_locked(17 * 32, 128);
    cr_expect_eq(n.locked_bytes, 65536);
    cr_expect_eq(n.unlocked_bytes, 4096);
    cr_expect_eq(n.unlocked_secrets, 32);
    n = with_little_locked(17, 3000);
    cr_expect_eq(n.locked_bytes, 65536);
    cr_expect_eq(n.unlocked_bytes, 4096);
    cr_expect_eq(n.unlocked_secrets, 1);
}

/* Pages that are only kept for later must not cause others to stay unlocked. */
Test(secret, pages_that_are_kept_make_room)
{
    const struct rlimit limit = {65536, 65536};
    struct bs_secret_counters n;
    uint8_t *p[16];
    pid_t child = fork();
    int status;

    if (child == 0) {
        bool ok = setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (geteuid() != 0 || setuid(65534) == 0);

        for (int i = 0; i < 8; i++)
            p[i] = blobseal_secret_alloc(3000);
        for (int i = 0; i < 8; i++)
            blobseal_secret_free(p[i]);
        for (int i = 0; i < 16; i++)
            ok = ok && (p[i] = blobseal_secret_alloc(6000)) != NULL;
        n = bs_secret_counters();
        _exit(ok && n.locked_bytes == 65536 && n.unlocked_bytes == 65536 && n.unlocked_secrets == 8 ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

#endif
