/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation fails: once, and from then on. The library must say that it has no memory. It must not crash, not
 * leak, and not claim that a good blob or a good key is damaged, forged, foreign or malformed. Afterwards everything
 * works again with the same objects.
 *
 *     test_memory [warm]     in a process that has used OpenSSL
 *     test_memory cold       each time in a new process, where OpenSSL needs thousands of allocations to start
 *     test_memory random     in four threads, some of whose allocations fail
 *
 * A new connection to a vault takes thousands: each by this program fails, and some by libcurl and OpenSSL; with
 * `campaign` each by libcurl, too. In cold processes, and while keys are generated, the first 200 allocations of a case
 * and every 50th after them fail. In the quick tier of BLOBSEAL_TEST_TIER fewer of them do while keys are generated.
 * With `campaign` each of the thousands that cold processes have in common fails in one of the cases.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "tests/faults/cases.h"
#include "tests/faults/memory.h"
#include "tests/faults/token.h"
#include "tests/faults/vault.h"
#include "tests/support/tier.h"

/* ---- Complaints -------------------------------------------------------------------------------------------------- */

#define MAX_MESSAGES 5 /* for each case */

static struct {
    const char *name;
    enum failing how;
    unsigned long at;
} now; /* what is being tried */

static _Atomic unsigned failures, messages;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
    va_list args;

    failures++;
    if (messages++ >= MAX_MESSAGES)
        return;
    va_start(args, format);
    flockfile(stderr);
    (void)fprintf(stderr, "%s, allocation %lu%s: ", now.name, now.at,
                  now.how == FAIL_FROM   ? " and later"
                  : now.how == FAIL_SOME ? " at random"
                                         : "");
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    funlockfile(stderr);
    va_end(args);
}

static bool may_be_internal;    /* OpenSSL can fail without a cause: when it has just started, and for a moment */
static bool may_be_unavailable; /* libcurl reports a lack of memory in TLS as a failure of the connection */

/* Return true if @st may be the result of an operation in which an allocation failed. */
static bool is_honest(enum blobseal_status st)
{
    return st == BLOBSEAL_OK || st == BLOBSEAL_E_NOMEM || (st == BLOBSEAL_E_INTERNAL && may_be_internal) ||
           (st == BLOBSEAL_E_UNAVAILABLE && may_be_unavailable);
}

static void judge(enum blobseal_status st, const struct blobseal_error *err, const char *when)
{
    if (!is_honest(st))
        complain("%s%s %s", when, blobseal_status_code(st), err->text);
    else if (st != err->status && st != BLOBSEAL_OK)
        complain("%s%s, but the error has %s", when, blobseal_status_code(st), blobseal_status_code(err->status));
}

/* Run a case. Return the number of its allocations. */
static unsigned long run_case(const struct test_case *c, enum failing how, unsigned long at)
{
    struct blobseal_error err = {0};
    enum blobseal_status st;
    unsigned long count;

    now.name = c->name;
    now.how = how;
    now.at = at;
    may_be_unavailable = (c->properties & CASE_VAULT) != 0;
    memory_start(how, at);
    st = case_run(c, &err);
    ERR_clear_error(); /* the queue of errors is no leak */
    count = memory_end();
    judge(st, &err, "");
    if (how == FAIL_NONE && st != BLOBSEAL_OK)
        complain("with memory: %s %s", blobseal_status_code(st), err.text);
    return count;
}

/* Run a case, which must succeed, because there is memory again. */
static void run_again(const struct test_case *c)
{
    struct blobseal_error err = {0};
    enum blobseal_status st = BLOBSEAL_OK;

    if ((c->properties & CASE_CHANGES) != 0)
        st = changes_undo(&err);
    if (st == BLOBSEAL_OK && (c->properties & CASE_KEYGEN) == 0)
        st = case_run(c, &err);
    if (st != BLOBSEAL_OK)
        complain("afterwards: %s %s", blobseal_status_code(st), err.text);
}

extern const char __executable_start, etext; /* the library is linked statically, so its code is between these */

static bool is_ours(const void *address)
{
    return (const char *)address >= &__executable_start && (const char *)address < &etext;
}

static _Thread_local volatile bool for_openssl; /* volatile: a compiler knows that malloc() does not read it */

static bool is_by_program(const void *caller)
{
    return !for_openssl && is_ours(caller);
}

static const char *libcurl_start, *libcurl_end; /* its code */

static int find_libcurl(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    for (int i = 0; strstr(info->dlpi_name, "/libcurl") != NULL && i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0) {
            libcurl_start = (const char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            libcurl_end = libcurl_start + info->dlpi_phdr[i].p_memsz;
        }
    return 0;
}

static bool is_by_libcurl(const void *caller)
{
    return (const char *)caller >= libcurl_start && (const char *)caller < libcurl_end;
}

/* Whose allocations fail, where there are thousands. */
static const struct owner {
    const char *name;
    bool (*is_by)(const void *caller);
} owners[] = {{" by the program", is_by_program}, {" by libcurl", is_by_libcurl}};
static const struct owner *owner; /* NULL: whose ever they are */
static bool cold;                 /* each time in a new process */

/* Return how many cases before @end are tried in cold processes, without the one that generates keys. */
static unsigned long count_cold(const struct test_case *end)
{
    unsigned long n = 0;

    for (const struct test_case *c = cases; c < end; c++)
        n += (c->properties & (CASE_COLD | CASE_KEYGEN)) == CASE_COLD;
    return n;
}

/*
 * Return the number of the allocation to fail after number @i; 0 is before the first one. Cold processes take turns,
 * because all of them start OpenSSL in the same way: in the quick tier they do together what each does in the tier
 * `all`, and in the campaign each allocation fails in one of them.
 */
static unsigned long next(const struct test_case *c, unsigned long i)
{
    unsigned long turns = tier_has_all() && !tier_has_campaign() ? 1 : count_cold(&cases[num_cases]);

    if ((c->properties & CASE_KEYGEN) != 0 && !tier_has_all())
        return i + (i < 200 ? 80 : cold ? 2000 : 1000);
    if ((c->properties & CASE_KEYGEN) != 0 && !(cold && tier_has_campaign()))
        return i + (i < 200 ? 1 : 50);
    if ((c->properties & CASE_KEYGEN) != 0) /* the search for primes allocates in the same places again and again */
        return i + (i < 4000 ? turns : 10 * turns);
    if ((c->properties & CASE_TLS) != 0 && owner == NULL) /* most are by OpenSSL, and libcurl tries again */
        return i + (tier_has_campaign() ? 23 : tier_has_all() ? 211 : 997);
    if (owner == &owners[1] && !tier_has_campaign())
        return i + (tier_has_all() ? 5 : 29);
    if (!cold)
        return i + 1;
    if (i == 0)
        return 1 + count_cold(c) % turns;
    return i + (tier_has_campaign() || i < 200 ? turns : 50 * turns);
}

/* ---- Leaks ------------------------------------------------------------------------------------------------------- */

/* Describe the way to an allocation: the names of public functions of libraries, up to the code of this program. */
static void describe(char *text, size_t cap, const struct unreleased *u)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < u->depth && used < cap; i++) {
        Dl_info where = {0};

        if (is_ours(u->stack[i])) {
            (void)snprintf(text + used, cap - used, " program+%#lx",
                           (unsigned long)((const char *)u->stack[i] - &__executable_start));
            return;
        }
        if (dladdr((char *)u->stack[i] - 1, &where) != 0 && where.dli_sname != NULL)
            used += (size_t)snprintf(text + used, cap - used, " %s", where.dli_sname);
    }
}

#define REPEATS 4

/* Return true if as many blocks are left from one place as it was tried. Fewer are a cache that was filled again. */
static bool repeats(const struct unreleased *u)
{
    struct unreleased other;
    size_t i = 0, same = 0;

    while ((other = memory_unreleased(&i)).stack != NULL)
        same += other.depth == u->depth && memcmp(other.stack, u->stack, u->depth * sizeof *u->stack) == 0;
    return same >= REPEATS;
}

/* After a run that left something, try again to see whether it leaves the same each time. */
static void check_leaks(const struct test_case *c)
{
    struct unreleased u;
    size_t i = 0;
    char text[400], last[400] = "";

    if (memory_unreleased(&i).stack == NULL)
        return;
    memory_watch(WATCH_STACKS);
    memory_forget();
    for (int k = 0; k < REPEATS; k++) {
        (void)run_case(c, now.how, now.at);
        run_again(c);
    }
    memory_watch(WATCH_CALLERS);
    for (i = 0; (u = memory_unreleased(&i)).stack != NULL;) {
        describe(text, sizeof text, &u);
        if (repeats(&u) && strcmp(text, last) != 0)
            complain("not released:%s", text);
        memcpy(last, text, sizeof text);
    }
}

/* ---- A warm process ---------------------------------------------------------------------------------------------- */

/* More mappings than at the start that are no leak, because malloc() keeps them. */
#if defined(__SANITIZE_ADDRESS__)
#    define ALLOWED_MAPPINGS 1000
#else
#    define ALLOWED_MAPPINGS 16
#endif

static unsigned long count_mappings(void)
{
    static char text[1 << 16];
    FILE *f = fopen("/proc/self/maps", "re");
    unsigned long n = 0;

    for (size_t len; f != NULL && (len = fread(text, 1, sizeof text, f)) > 0;)
        for (size_t i = 0; i < len; i++)
            n += text[i] == '\n';
    if (f != NULL)
        (void)fclose(f);
    return n;
}

static void run_warm(const struct test_case *c, enum failing how)
{
    unsigned long total = 0, mappings, tried = 0;

    messages = 0;
    memory_watch(WATCH_CALLERS);
    for (int i = 0; i < ((c->properties & CASE_KEYGEN) != 0 ? 1 : 3); i++) {
        unsigned long n = run_case(c, FAIL_NONE, 0);

        total = n > total ? n : total;
    }
    mappings = count_mappings();
    for (unsigned long i = next(c, 0); i <= total; i = next(c, i)) {
        memory_forget();
        (void)run_case(c, how, i);
        if ((c->properties & (CASE_THREADS | CASE_KEYGEN | CASE_KEEPS)) == 0)
            check_leaks(c);
        if (i % 4 == 0 || i == total || (c->properties & CASE_CHANGES) != 0)
            run_again(c);
        tried++;
    }
    if (count_mappings() > mappings + ALLOWED_MAPPINGS)
        complain("%lu mappings instead of %lu", count_mappings(), mappings);
    (void)printf("%s: %lu of %lu allocations%s, %s\n", c->name, tried, total, owner != NULL ? owner->name : "",
                 how == FAIL_ONCE ? "each fails" : "each and all after it fail");
}

/* Let the allocations of each owner fail. */
static void run_warm_by_owner(const struct test_case *c, enum failing how)
{
    (void)dl_iterate_phdr(find_libcurl, NULL);
    for (owner = owners; owner < owners + sizeof owners / sizeof owners[0]; owner++) {
        memory_only(owner->is_by);
        run_warm(c, how);
    }
    memory_only(NULL);
    owner = NULL;
}

/* ---- Cold processes ---------------------------------------------------------------------------------------------- */

/* Run a case in a process of its own. Return false if it has fewer allocations than @at. */
static bool run_cold(const struct test_case *c, enum failing how, unsigned long at)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct blobseal_error err = {0};
        unsigned long n;

        (void)alarm(1800); /* a deadlock ends with a signal */
        failures = 0;
        n = run_case(c, how, at);
        for (int i = 0; i < 2 && (c->properties & CASE_KEYGEN) == 0; i++)
            judge(case_run(c, &err), &err, "afterwards: ");
        _exit(failures > 0 ? 1 : n < at ? 2 : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    now.name = c->name;
    now.how = how;
    now.at = at;
    if (WIFSIGNALED(status))
        complain("it ended with signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) == 1)
        failures++;
    return !WIFEXITED(status) || WEXITSTATUS(status) != 2;
}

static void run_all_cold(const struct test_case *c, enum failing how)
{
    unsigned long i = next(c, 0), tried = 0;

    messages = 0;
    while (run_cold(c, how, i)) {
        i = next(c, i);
        tried++;
    }
    (void)printf("%s, cold: %lu of %lu allocations, %s\n", c->name, tried, i,
                 how == FAIL_ONCE ? "each fails" : "each and all after it fail");
}

static void fill_files_elsewhere(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        files_fill();
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        abort();
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

#define THREADS 4

static pthread_barrier_t phase;

static const struct test_case *in_threads;

static void *run_often(void *arg)
{
    unsigned *succeeded = arg;
    struct blobseal_error err;

    (void)pthread_barrier_wait(&phase);
    for (int i = 0; i < (tier_has_campaign() ? 5000 : 250); i++) {
        enum blobseal_status st;

        err = (struct blobseal_error){0};
        st = case_run(in_threads, &err);
        judge(st, &err, "");
        *succeeded += st == BLOBSEAL_OK;
    }
    (void)pthread_barrier_wait(&phase);
    (void)pthread_barrier_wait(&phase);
    err = (struct blobseal_error){0};
    if (case_run(in_threads, &err) != BLOBSEAL_OK)
        complain("afterwards: %s", err.text);
    return NULL;
}

static void run_random(const struct test_case *c, unsigned long one_of)
{
    pthread_t threads[THREADS];
    unsigned succeeded[THREADS] = {0}, sum = 0;

    messages = 0;
    in_threads = c;
    (void)pthread_barrier_init(&phase, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run_often, &succeeded[i]) != 0)
            abort();
    now.name = c->name;
    now.how = FAIL_SOME;
    now.at = one_of;
    memory_start(FAIL_SOME, one_of);
    (void)pthread_barrier_wait(&phase);
    (void)pthread_barrier_wait(&phase);
    (void)memory_end();
    (void)pthread_barrier_wait(&phase);
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        sum += succeeded[i];
    }
    (void)pthread_barrier_destroy(&phase);
    (void)printf("%s, %d threads: while one of %lu allocations fails, %u succeed\n", c->name, THREADS, one_of, sum);
}

/* The linker redirects the library's calls here. In cold processes OpenSSL computes the AES-GCM of the payload, too. */
uint32_t __real_bs_cpu_features(void);
uint32_t __wrap_bs_cpu_features(void);
uint32_t __wrap_bs_cpu_features(void)
{
    return cold ? 0 : __real_bs_cpu_features();
}

#if defined(__SANITIZE_ADDRESS__)
/* The linker redirects only the calls of this program, so OpenSSL is told to use the same functions. */
static void *crypto_malloc(size_t len, const char *file, int line)
{
    void *p;

    (void)file;
    (void)line;
    for_openssl = true;
    p = malloc(len);
    for_openssl = false;
    return p;
}

static void *crypto_realloc(void *p, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    for_openssl = true;
    p = realloc(p, len);
    for_openssl = false;
    return p;
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static void redirect_openssl(void)
{
    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
        abort();
}
#else
static void redirect_openssl(void)
{
}
#endif

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "warm", *only = argc > 2 ? argv[2] : "";

    cold = strcmp(mode, "cold") == 0;
    may_be_internal = strcmp(mode, "warm") != 0;
    redirect_openssl();
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    files_make();
    if (cold)
        fill_files_elsewhere();
    else
        files_fill();
    files_read();
    if (!cold)
        keys_open();
#ifdef FAKE_MODULE
    if (strcmp(mode, "warm") == 0)
        token_start();
#endif
#ifdef WITH_VAULT
    bool with_vault = strcmp(mode, "warm") == 0 && vault_start();
#else
    bool with_vault = false;
#endif
    for (size_t i = 0; i < num_cases; i++)
        for (enum failing how = FAIL_ONCE; how <= FAIL_FROM; how++) {
            if (strstr(cases[i].name, only) == NULL || ((cases[i].properties & CASE_VAULT) != 0 && !with_vault))
                continue;
            if (cold && (cases[i].properties & CASE_COLD) != 0)
                run_all_cold(&cases[i], how);
            else if (strcmp(mode, "warm") == 0)
                run_warm(&cases[i], how);
            if (strcmp(mode, "warm") == 0 && (cases[i].properties & CASE_TLS) != 0)
                run_warm_by_owner(&cases[i], how);
        }
    for (size_t i = 0; i < num_cases && strcmp(mode, "random") == 0; i++)
        for (unsigned long one_of = 4; one_of <= 1024; one_of *= 4)
            if ((cases[i].properties & CASE_RANDOM) != 0)
                run_random(&cases[i], one_of);
    keys_close();
#ifdef FAKE_MODULE
    if (strcmp(mode, "warm") == 0)
        token_end();
#endif
#ifdef WITH_VAULT
    if (with_vault)
        vault_end();
#endif
    (void)printf("%u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
