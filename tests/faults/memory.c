/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/faults/memory.h"

/*
 * Sanitizers have an allocator of their own. In a program with one, the linker redirects the calls of the library and
 * the test (--wrap), OpenSSL is told to use the same functions, and other libraries cannot be reached.
 */
#if defined(__SANITIZE_ADDRESS__)
#    define OWN(name)           __wrap_##name
#    define LIBC(name)          __real_##name
#    define REAL_PTHREAD_CREATE __real_pthread_create
int REAL_PTHREAD_CREATE(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
#else
#    define OWN(name)           name
#    define LIBC(name)          __libc_##name
#    define REAL_PTHREAD_CREATE ((__typeof__(&pthread_create))dlsym(RTLD_NEXT, "pthread_create"))
#endif

#define STANDS_IN __attribute__((visibility("default"))) /* also visible to OpenSSL */

void *LIBC(malloc)(size_t len);
void *LIBC(calloc)(size_t num, size_t len);
void *LIBC(realloc)(void *p, size_t len);
void LIBC(free)(void *p);

STANDS_IN void *OWN(malloc)(size_t len);
STANDS_IN void *OWN(calloc)(size_t num, size_t len);
STANDS_IN void *OWN(realloc)(void *p, size_t len);
STANDS_IN void OWN(free)(void *p);
STANDS_IN void *OWN(mmap)(void *addr, size_t len, int prot, int flags, int fd, off_t off);
STANDS_IN int OWN(mprotect)(void *addr, size_t len, int prot);
STANDS_IN int OWN(pthread_create)(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

static _Atomic bool active;
static enum failing how;
static unsigned long at;
static _Atomic unsigned long count;
static enum watch watching;
static const char *mark; /* FAIL_MEMORY_MARK */

/* Set while this thread is inside a function of this file that may allocate. */
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

/* ---- What fails -------------------------------------------------------------------------------------------------- */

/* Return a number that looks random: the finalizer of SplitMix64. */
static uint64_t mix(uint64_t n)
{
    n = (n ^ n >> 30) * 0xBF58476D1CE4E5B9;
    n = (n ^ n >> 27) * 0x94D049BB133111EB;
    return n ^ n >> 31;
}

static bool is_due(unsigned long n)
{
    switch (how) {
    case FAIL_ONCE:
        return n == at;
    case FAIL_FROM:
        return n >= at;
    case FAIL_SOME:
        return mix(n) % at == 0;
    default:
        return false;
    }
}

static _Thread_local bool paused;

void memory_pause(bool pause)
{
    paused = pause;
}

static bool (*is_wanted)(const void *caller); /* NULL: all are */

void memory_only(bool (*wanted)(const void *caller))
{
    is_wanted = wanted;
}

/* Count an allocation by the code at @caller. Return true if it is to fail. */
static bool fails(const void *caller)
{
    if (!active || inside || paused || (is_wanted != NULL && !is_wanted(caller)) || !is_due(++count))
        return false;
    if (mark != NULL)
        (void)syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    mark = NULL;
    errno = ENOMEM;
    return true;
}

/* ---- What is not released ---------------------------------------------------------------------------------------- */

#define DEPTH  24
#define BLOCKS ((size_t)1 << 15)

/* Blocks that were allocated while active, in a hash table. A block that was released keeps its place, with depth 0. */
static struct block {
    const void *p;
    size_t depth;
    void *stack[DEPTH];
} blocks[BLOCKS];
static size_t used[BLOCKS]; /* indices of the blocks, to empty the table quickly */
static _Atomic size_t num_used;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct block *find(const void *p)
{
    size_t i = (uintptr_t)p / 16 * 0x9E3779B97F4A7C15 >> 49;

    while (blocks[i].p != p && blocks[i].p != NULL)
        i = (i + 1) % BLOCKS;
    return &blocks[i];
}

static void *remember(void *p, void *caller)
{
    void *stack[DEPTH + 2];
    size_t depth = 1;
    struct block *b;

    if (!active || p == NULL || inside || watching == WATCH_NOTHING)
        return p;
    inside = true;
    if (watching == WATCH_STACKS)
        depth = (size_t)backtrace(stack, DEPTH + 2);
    (void)pthread_mutex_lock(&lock);
    b = find(p);
    if (b->p == NULL && num_used < BLOCKS / 2) {
        used[num_used++] = (size_t)(b - blocks);
        b->p = p;
    }
    if (b->p != NULL && depth > 2) { /* without this function and the one that was called */
        b->depth = depth - 2;
        memcpy(b->stack, stack + 2, b->depth * sizeof *stack);
    } else if (b->p != NULL) {
        b->depth = 1;
        b->stack[0] = caller;
    }
    (void)pthread_mutex_unlock(&lock);
    inside = false;
    return p;
}

static void forget(const void *p)
{
    if (num_used == 0 || p == NULL || inside)
        return;
    (void)pthread_mutex_lock(&lock);
    find(p)->depth = 0;
    (void)pthread_mutex_unlock(&lock);
}

/* ---- The functions that stand in --------------------------------------------------------------------------------- */

void *OWN(malloc)(size_t len)
{
    return fails(__builtin_return_address(0)) ? NULL : remember(LIBC(malloc)(len), __builtin_return_address(0));
}

void *OWN(calloc)(size_t num, size_t len)
{
    return fails(__builtin_return_address(0)) ? NULL : remember(LIBC(calloc)(num, len), __builtin_return_address(0));
}

void *OWN(realloc)(void *p, size_t len)
{
    void *new;

    if (fails(__builtin_return_address(0)))
        return NULL;
    forget(p);
    new = LIBC(realloc)(p, len);
    return remember(new != NULL ? new : p, __builtin_return_address(0)) == new ? new : NULL;
}

void OWN(free)(void *p)
{
    forget(p);
    LIBC(free)(p);
}

void *OWN(mmap)(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
    return fails(__builtin_return_address(0)) ? MAP_FAILED
                                              : (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off); /* NOLINT */
}

int OWN(mprotect)(void *addr, size_t len, int prot)
{
    return fails(__builtin_return_address(0)) ? -1 : (int)syscall(SYS_mprotect, addr, len, prot);
}

int OWN(pthread_create)(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int rc;

    if (fails(__builtin_return_address(0)))
        return EAGAIN;
    inside = true;
    rc = REAL_PTHREAD_CREATE(thread, attr, run, arg);
    inside = false;
    return rc;
}

/* ---- Control ----------------------------------------------------------------------------------------------------- */

void memory_forget(void)
{
    while (num_used > 0)
        blocks[used[--num_used]].p = NULL;
}

void memory_start(enum failing new_how, unsigned long new_at)
{
    how = new_how;
    at = new_at;
    count = 0;
    active = true;
}

unsigned long memory_end(void)
{
    active = false;
    return count;
}

void memory_watch(enum watch what)
{
    void *stack[1];

    if (what == WATCH_STACKS)
        (void)backtrace(stack, 1); /* the first call loads a library */
    watching = what;
}

struct unreleased memory_unreleased(size_t *i)
{
    while (*i < num_used) {
        const struct block *b = &blocks[used[(*i)++]];

        if (b->depth > 0)
            return (struct unreleased){b->stack, b->depth};
    }
    return (struct unreleased){NULL, 0};
}

/* Follow FAIL_MEMORY. */
__attribute__((constructor)) static void start_from_environment(void)
{
    const char *rule = getenv("FAIL_MEMORY");

    mark = getenv("FAIL_MEMORY_MARK");
    if (rule != NULL && strncmp(rule, "once:", 5) == 0)
        memory_start(FAIL_ONCE, strtoul(rule + 5, NULL, 10));
    else if (rule != NULL && strncmp(rule, "from:", 5) == 0)
        memory_start(FAIL_FROM, strtoul(rule + 5, NULL, 10));
}
