/* SPDX-License-Identifier: Apache-2.0 */
/* Secret memory: pages that are locked, guarded, wiped in the child of fork(), and wiped before they are used again. */
#define _DEFAULT_SOURCE /* madvise */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
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
