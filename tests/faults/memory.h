/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that fails on demand, for the library, OpenSSL and libzstd. memory.c replaces malloc() and its relatives,
 * mmap(), mprotect() and pthread_create() in a program that is linked with it, or, as a module, in any program that has
 * it in LD_PRELOAD.
 *
 * With LD_PRELOAD the environment variable FAIL_MEMORY is `once:N` or `from:N`: the allocation with this number fails,
 * counted from 1, or that one and all after it. FAIL_MEMORY_MARK is a file that is made when the first one fails.
 */
#ifndef TESTS_FAULTS_MEMORY_H
#define TESTS_FAULTS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

enum failing {
    FAIL_NONE,
    FAIL_ONCE, /* allocation number `at`             */
    FAIL_FROM, /* allocation number `at` and later ones */
    FAIL_SOME, /* one of `at`, at random              */
};

/* Count allocations from now on, and let them fail as @how says. */
void memory_start(enum failing how, unsigned long at);

/* Let no more allocations fail. Return the number of allocations since memory_start(). */
unsigned long memory_end(void);

/* Count and fail only allocations by code for which @wanted returns true. NULL: all. */
void memory_only(bool (*wanted)(const void *caller));

/* Let no allocation of this thread fail for a while, and do not count them: for code that crashes. */
void memory_pause(bool pause);

/* Remember no allocations any more. */
void memory_forget(void);

/* Say what is remembered of allocations: nothing at first. Stacks are slow. */
enum watch {
    WATCH_NOTHING,
    WATCH_CALLERS,
    WATCH_STACKS,
};
void memory_watch(enum watch what);

/* An allocation that was made between memory_start() and memory_end(), and has not been released since. */
struct unreleased {
    void *const *stack; /* the return addresses, the innermost first; only the first one without WATCH_STACKS */
    size_t depth;
};

/* Return the next such allocation, starting at *@i, which is 0 at first. Return a stack of NULL at the end. */
struct unreleased memory_unreleased(size_t *i);

#endif
