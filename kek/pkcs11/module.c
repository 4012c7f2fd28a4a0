/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules. A module exists once in a process, so all keys share it: its threads, its login, and the knowledge that one
 * of its calls hangs. p11-kit counts who has initialised a module, and accepts one that the program has initialised
 * itself, which is then not finalised here.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kek/pkcs11/pkcs11.h"

#define CLOSE_MS 5000 /* how long C_Finalize may take */

/* The modules of this process. */
static struct {
    pthread_mutex_t lock;
    struct bs_p11_module *first;
} modules = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- Modules that lose tokens ------------------------------------------------------------------------------------ */

/*
 * SoftHSM before 2.7 rewrites the file of a token at every login. The file is empty, and not locked, until the new
 * contents are flushed. A process that reads it then does not see the token, or sees one without a name; or
 * C_GetTokenInfo or C_Login return CKR_GENERAL_ERROR, or C_Login returns CKR_USER_PIN_NOT_INITIALIZED. That may last
 * until the module is initialised again. Another login is safe then: one that fails in these ways has not looked at the
 * PIN, and a wrong PIN has its own code.
 */
bool bs_p11_loses_tokens(CK_FUNCTION_LIST *f)
{
    static const char maker[] = "SoftHSM ";
    CK_INFO info;

    return f->C_GetInfo(&info) == CKR_OK && memcmp(info.manufacturerID, maker, strlen(maker)) == 0 &&
           info.libraryVersion.major == 2 && info.libraryVersion.minor < 7;
}

/* Let modules that lose tokens read them again. All handles become invalid, so the job must run alone. */
static void read_again(struct bs_p11_module *m)
{
    for (size_t i = 0; i < m->num; i++)
        if (bs_p11_loses_tokens(m->list[i])) {
            (void)p11_kit_module_finalize(m->list[i]);
            (void)p11_kit_module_initialize(m->list[i]); /* if that fails, so does the next call */
        }
    atomic_fetch_add(&m->epoch, 1);
}

/* ---- Loading, on a worker ---------------------------------------------------------------------------------------- */

/* Load one module, or the registered ones. */
static enum blobseal_status load(struct bs_p11_module *m, struct blobseal_error *err)
{
    CK_FUNCTION_LIST *one;

    p11_kit_be_quiet(); /* this library writes nothing to stderr */
    if (!m->one) {
        m->list = p11_kit_modules_load(NULL, 0);
    } else if ((one = p11_kit_module_load(m->path, 0)) != NULL) {
        m->single[0] = one;
        m->list = m->single;
    }
    if (m->list == NULL) {
        const char *why = p11_kit_message();

        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "load %.150s: %s", bs_p11_module_name(m),
                            why != NULL ? why : "that failed");
        blobseal_hint(err, "check module-path=; the command p11-kit list-modules shows what is installed");
        return BLOBSEAL_E_CONFIG;
    }
    for (m->num = 0; m->list[m->num] != NULL; m->num++)
        ;
    return BLOBSEAL_OK;
}

/* Initialise what was loaded. A registered module that fails is left out: it may not concern this key. */
static enum blobseal_status initialise(struct bs_p11_module *m, struct blobseal_error *err)
{
    for (size_t i = 0; i < m->num; i++) {
        CK_RV rv = p11_kit_module_initialize(m->list[i]);

        if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED && m->one)
            return bs_p11_fail(err, rv, "initialise the module", m->path);
        if (bs_p11_loses_tokens(m->list[i]))
            atomic_store(&m->loses_tokens, true);
    }
    m->ready = true;
    return BLOBSEAL_OK;
}

enum blobseal_status bs_p11_module_load(struct bs_p11_module *m, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    (void)pthread_mutex_lock(&m->lock);
    if (m->list == NULL)
        st = load(m, err);
    if (st == BLOBSEAL_OK && !m->ready)
        st = initialise(m, err);
    else if (st == BLOBSEAL_OK && m->pool.alone)
        read_again(m);
    (void)pthread_mutex_unlock(&m->lock);
    return st;
}

void bs_p11_module_lost(struct bs_p11_module *m)
{
    (void)pthread_mutex_lock(&m->lock);
    m->ready = false;
    (void)pthread_mutex_unlock(&m->lock);
    atomic_fetch_add(&m->epoch, 1);
}

/* ---- References -------------------------------------------------------------------------------------------------- */

const char *bs_p11_module_name(const struct bs_p11_module *m)
{
    return m->one ? m->path : "the registered PKCS#11 modules";
}

static struct bs_p11_module *create(const char *path)
{
    struct bs_p11_module *m = calloc(1, sizeof *m);

    if (m == NULL)
        return NULL;
    m->path = strdup(path);
    if (m->path == NULL) {
        free(m);
        return NULL;
    }
    m->one = path[0] != '\0';
    m->pid = getpid();
    (void)pthread_mutex_init(&m->lock, NULL);
    bs_p11_pool_start(&m->pool, bs_p11_module_name(m));
    return m;
}

enum blobseal_status bs_p11_module_get(struct bs_p11_module **module, const struct bs_p11_uri *uri,
                                       struct blobseal_error *err)
{
    const char *path = uri->module_path != NULL ? uri->module_path : "";
    struct bs_p11_module *m;

    (void)pthread_mutex_lock(&modules.lock);
    for (m = modules.first; m != NULL && strcmp(m->path, path) != 0; m = m->next)
        ;
    if (m == NULL) {
        m = create(path);
        if (m != NULL) {
            m->next = modules.first;
            modules.first = m;
        }
    }
    if (m != NULL)
        m->references++;
    (void)pthread_mutex_unlock(&modules.lock);
    *module = m;
    return m != NULL ? BLOBSEAL_OK : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", uri->name);
}

struct bs_p11_module *bs_p11_module_ref(struct bs_p11_module *m)
{
    (void)pthread_mutex_lock(&modules.lock);
    m->references++;
    (void)pthread_mutex_unlock(&modules.lock);
    return m;
}

void bs_p11_module_enter(struct bs_p11_module *m)
{
    (void)pthread_mutex_lock(&modules.lock);
    if (m->pid != getpid()) { /* threads and handles are those of the parent */
        m->pid = getpid();
        m->ready = false;
        (void)pthread_mutex_init(&m->lock, NULL);
        bs_p11_pool_start(&m->pool, bs_p11_module_name(m));
        atomic_fetch_add(&m->epoch, 1);
    }
    (void)pthread_mutex_unlock(&modules.lock);
}

enum blobseal_status bs_p11_module_run(struct bs_p11_module *m, struct bs_p11_job *job, bool *taken,
                                       const struct blobseal_call *call, uint32_t limit_ms, struct blobseal_error *err)
{
    bs_p11_module_enter(m);
    return bs_p11_pool_run(&m->pool, job, taken, call, limit_ms, err);
}

/* ---- Releasing --------------------------------------------------------------------------------------------------- */

struct closing {
    struct bs_p11_job job;
    struct bs_p11_module *module;
};

/* On a worker: finalise and unload. */
static void close_modules(struct bs_p11_job *job)
{
    struct bs_p11_module *m = ((struct closing *)job)->module;

    if (m->one) {
        (void)p11_kit_module_finalize(m->list[0]);
        p11_kit_module_release(m->list[0]);
    } else {
        (void)p11_kit_modules_finalize(m->list);
        p11_kit_modules_release(m->list);
    }
    m->list = NULL;
}

static void destroy(struct bs_p11_module *m)
{
    bs_p11_pool_stop(&m->pool);
    (void)pthread_mutex_destroy(&m->lock);
    free(m->path);
    free(m);
}

static void closing_release(struct bs_p11_job *job)
{
    destroy(((struct closing *)job)->module);
    free(job);
}

/* Close a module that nobody else uses. If that hangs, a thread of it does the rest. */
static void close_module(struct bs_p11_module *m)
{
    static const int never;
    const struct blobseal_call call = {.size = sizeof call, .cancel = &never};
    struct closing *c = m->list != NULL && m->pid == getpid() ? calloc(1, sizeof *c) : NULL;
    bool taken = false;

    if (c != NULL) {
        c->job.run = close_modules;
        c->job.release = closing_release;
        c->module = m;
        (void)!bs_p11_pool_run(&m->pool, &c->job, &taken, &call, CLOSE_MS, NULL);
    }
    if (taken)
        return;
    free(c);
    if (m->pid != getpid()) /* the threads and the initialised modules are those of the parent */
        bs_p11_pool_start(&m->pool, bs_p11_module_name(m));
    destroy(m);
}

void bs_p11_module_unref(struct bs_p11_module *m)
{
    struct bs_p11_module **at = &modules.first;
    bool last;

    if (m == NULL)
        return;
    (void)pthread_mutex_lock(&modules.lock);
    last = --m->references == 0;
    if (last) {
        while (*at != m)
            at = &(*at)->next;
        *at = m->next;
    }
    (void)pthread_mutex_unlock(&modules.lock);
    if (last)
        close_module(m);
}
