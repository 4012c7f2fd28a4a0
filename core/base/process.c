/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling a process from its parent, so that objects of the parent are refused after fork(). The number of the process
 * is stored in a page that the kernel clears in a forked child, which makes the check much cheaper than getpid().
 */
#define _DEFAULT_SOURCE /* madvise */
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/base.h"

#define PAGE 4096

/* The page is part of the library's own data, so it needs no release when the library is unloaded. */
static _Alignas(PAGE) struct {
    _Atomic uint64_t id; /* 0: not numbered yet */
    uint8_t rest[PAGE - sizeof(uint64_t)];
} process;

static _Atomic uint64_t last; /* the last number that this process or an ancestor of it was given */

/* Ask the kernel to clear the page in forked children. Return false if it cannot. */
static bool wiped_on_fork(void)
{
    static _Atomic int answer; /* 0: not asked yet; 1: yes; 2: no */
    int known = atomic_load_explicit(&answer, memory_order_acquire);

    if (known == 0) {
        known = sysconf(_SC_PAGESIZE) == PAGE && madvise(&process, sizeof process, MADV_WIPEONFORK) == 0 ? 1 : 2;
        atomic_store_explicit(&answer, known, memory_order_release);
    }
    return known == 1;
}

uint64_t bs_process_id(void)
{
    uint64_t id, own;

    if (!wiped_on_fork())
        return (uint64_t)getpid();
    id = atomic_load_explicit(&process.id, memory_order_acquire);
    if (id != 0)
        return id;
    own = atomic_fetch_add(&last, 1) + 1;
    return atomic_compare_exchange_strong(&process.id, &id, own) ? own : id;
}

enum blobseal_status bs_check_process(uint64_t id, const char *what, struct blobseal_error *err)
{
    enum blobseal_status st;

    if (id == bs_process_id())
        return BLOBSEAL_OK;
    st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the %s belongs to the parent process", what);
    blobseal_hint(err, "after fork() the child makes objects of its own");
    return st;
}
