/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: settings, counters and a lifetime for what calls share. scratch.c has the buffers. */
#include <pthread.h>
#include <stdlib.h>

#include "core/io/io.h"

/* The default context. After fork() the child starts with an empty one. */
static struct blobseal_context shared = {.max_scratch = BLOBSEAL_DEFAULT_SCRATCH};

/* Return the default context. Calls that run for the first time after fork() wait for each other. */
static struct blobseal_context *default_context(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    uint64_t process = bs_process_id();

    if (atomic_load_explicit(&shared.process, memory_order_acquire) == process)
        return &shared;
    pthread_mutex_lock(&lock);
    if (atomic_load_explicit(&shared.process, memory_order_relaxed) != process) {
        bs_scratch_abandon(&shared);
        atomic_store(&shared.seals, 0);
        atomic_store(&shared.opens, 0);
        atomic_store(&shared.failures, 0);
        atomic_store_explicit(&shared.process, process, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    return &shared;
}

enum blobseal_status blobseal_context_new(struct blobseal_context **context,
                                          const struct blobseal_context_options *options, struct blobseal_error *err)
{
    struct blobseal_context_options o = {.size = sizeof o};
    struct blobseal_context *c;

    *context = NULL;
    if (!blobseal_struct_import(&o, sizeof o, options))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "make a context: the size of the options is not set, or they are newer than the library");
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "make a context: no memory");
    c->threads = o.threads;
    c->max_scratch = o.max_scratch != 0 ? o.max_scratch : BLOBSEAL_DEFAULT_SCRATCH;
    atomic_init(&c->references, 1);
    atomic_init(&c->process, bs_process_id());
    *context = c;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_context_ref(struct blobseal_context **own, struct blobseal_context *theirs,
                                    struct blobseal_error *err)
{
    enum blobseal_status st;

    *own = NULL;
    if (theirs == NULL) {
        *own = default_context();
        return BLOBSEAL_OK;
    }
    st = bs_check_process(atomic_load_explicit(&theirs->process, memory_order_relaxed), "context", err);
    if (st != BLOBSEAL_OK)
        return st;
    (void)atomic_fetch_add_explicit(&theirs->references, 1, memory_order_relaxed);
    *own = theirs;
    return BLOBSEAL_OK;
}

void bs_context_unref(struct blobseal_context *c)
{
    if (c == NULL || c == &shared || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) > 1)
        return;
    bs_scratch_abandon(c);
    free(c);
}

void blobseal_context_free(struct blobseal_context *context)
{
    bs_context_unref(context);
}

void blobseal_context_trim(struct blobseal_context *context)
{
    struct blobseal_context *c = context != NULL ? context : default_context();

    if (atomic_load_explicit(&c->process, memory_order_relaxed) != bs_process_id())
        return;
    bs_scratch_trim(c);
    bs_secret_trim();
}

unsigned bs_context_threads(const struct blobseal_context *c, unsigned wanted)
{
    return wanted != 0 ? wanted : c->threads;
}

enum blobseal_status bs_context_count(struct blobseal_context *c, enum bs_counted what, enum blobseal_status st)
{
    if (st != BLOBSEAL_OK)
        (void)atomic_fetch_add_explicit(&c->failures, 1, memory_order_relaxed);
    else if (what == BS_COUNTED_SEAL)
        (void)atomic_fetch_add_explicit(&c->seals, 1, memory_order_relaxed);
    else if (what == BS_COUNTED_OPEN)
        (void)atomic_fetch_add_explicit(&c->opens, 1, memory_order_relaxed);
    return st;
}

enum blobseal_status blobseal_context_counters(struct blobseal_context *context, struct blobseal_counters *counters,
                                               struct blobseal_error *err)
{
    struct bs_secret_counters secrets = bs_secret_counters();
    struct blobseal_counters n = {.size = sizeof n};
    struct blobseal_context *c;
    enum blobseal_status st;

    if (!bs_struct_export(counters, &n, sizeof n))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "count: the size of the counters is not set");
    st = bs_context_ref(&c, context, err);
    if (st != BLOBSEAL_OK)
        return st;
    n.seals = atomic_load(&c->seals);
    n.opens = atomic_load(&c->opens);
    n.failures = atomic_load(&c->failures);
    n.scratch_bytes = atomic_load(&c->scratch_bytes);
    n.unlocked_secrets = secrets.unlocked_secrets;
    n.unlocked_bytes = secrets.unlocked_bytes;
    n.locked_bytes = secrets.locked_bytes;
    bs_context_unref(c);
    return bs_struct_export(counters, &n, sizeof n) ? BLOBSEAL_OK : BLOBSEAL_E_ARG; /* the size was checked above */
}

/*
 * Release what the library keeps when it is unloaded. This also runs when the process exits, perhaps while threads of
 * the program still use the library: what is in use is left alone, and the library remains usable.
 */
__attribute__((destructor)) static void release_all(void)
{
    bool ours = atomic_load(&shared.process) == bs_process_id(); /* not the parent's */
    struct bs_secret_counters left;

    if (ours && bs_openssl_is_usable()) /* keys may belong to OpenSSL, which ends first when the process exits */
        bs_scratch_trim(&shared);
    bs_secret_trim();
    left = bs_secret_counters();
    /* Without a secret there is no reader, so no thread is looking at the list. */
    if (ours && left.locked_bytes + left.unlocked_bytes == 0)
        bs_scratch_abandon(&shared);
}
