/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork() with a set and a key in a vault, connections to it, and an audit record. While no thread is inside the
 * library, a child goes on with the keys of its parent, with requests of its own, and so does the parent. While threads
 * are inside, a child may call exec(), and inherits no connection.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "blobseal_config.h"
#include "blobseal_set.h"
#include "tests/support/blobs.h"
#include "tests/support/vault.h"

#define THREADS  4
#define CHILDREN 3
#define EXECS    8
#define ROUNDS   2

static struct test_vault v;
static char audit[80];
static struct blobseal_config *config;
static struct blobseal_set *set;
static struct blobseal_kek *keks[2]; /* of the set, and of the key */
static struct sealed sealed[2];      /* for each of them */
static const char content[] = "content of a blob";
static pthread_barrier_t barrier;
static atomic_bool ended;

static void expect(bool ok, const char *what)
{
    if (!ok)
        test_support_failed(what);
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void open_one(const struct sealed *blob, struct blobseal_kek *kek)
{
    struct blobseal_error err = {0};
    struct opened o;

    if (open_bytes(&o, blob->data, blob->len, &kek, 1, NULL, &err) != BLOBSEAL_OK)
        test_support_failed(err.text);
    expect(o.len == sizeof content && memcmp(o.data, content, sizeof content) == 0, "the content of a blob");
    opened_clear(&o);
}

/* Open what was sealed before, and seal and open something new, with both keys. */
static void use(void)
{
    struct blobseal_error err = {0};

    for (size_t i = 0; i < 2; i++) {
        struct sealed s;

        open_one(&sealed[i], keks[i]);
        if (seal_bytes(&s, content, sizeof content, &keks[i], 1, NULL, &err) != BLOBSEAL_OK)
            test_support_failed(err.text);
        open_one(&s, keks[i]);
        sealed_clear(&s);
    }
}

static void *worker(void *ctx)
{
    (void)ctx;
    use();
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier); /* meanwhile nobody is inside the library */
    for (unsigned i = 0; i < ROUNDS || !atomic_load(&ended); i++)
        use();
    return NULL;
}

/* ---- Children that go on ----------------------------------------------------------------------------------------- */

static bool child_succeeds(void (*what)(unsigned), unsigned n)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        what(n);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

#ifndef __SANITIZE_THREAD__ /* which permits no child of a process with threads to start one, as libcurl does */
static void be_child(unsigned generations)
{
    struct blobseal_error err = {0};

    use();
    if (blobseal_set_check(set, NULL, &err) != BLOBSEAL_OK)
        test_support_failed(err.text);
    if (generations > 1)
        expect(child_succeeds(be_child, generations - 1), "a child of a child");
    use();
    blobseal_kek_close(keks[0]);
    blobseal_kek_close(keks[1]);
    blobseal_set_close(set);
    blobseal_config_free(config);
}

static void check_children(void)
{
    unsigned tokens = test_vault_count(&v, "{\"op\": \"identity\"}");

    for (unsigned i = 0; i < CHILDREN; i++)
        expect(child_succeeds(be_child, 2), "a child");
    expect(test_vault_count(&v, "{\"op\": \"identity\"}") == tokens + 2 * CHILDREN, "each has a token of its own");
}
#else
static void check_children(void)
{
}
#endif

/* ---- Children that call exec() ----------------------------------------------------------------------------------- */

/* End with 0 unless a connection over TCP is among the descriptors. libcurl has pairs of sockets of its own. */
static void be_program(unsigned n)
{
    static const char script[] =
        "for n in $(ls -l /proc/$$/fd 2>/dev/null | sed -n 's/.*socket:.\\([0-9]*\\).*/\\1/p'); do "
        "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v n=\"$n\" '$10 == n { found = 1 } END { exit found }' || "
        "exit 1; done";

    (void)n;
    (void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    _exit(127);
}

static void check_programs(void)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    for (unsigned i = 0; i < EXECS; i++) {
        expect(child_succeeds(be_program, 0), "a child that calls exec(), without connections");
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- The audit record -------------------------------------------------------------------------------------------- */

/* Each line is whole, and those of the children are there. */
static void check_records(void)
{
    static char line[4096];
    char own[32];
    unsigned ours = 0, theirs = 0;
    FILE *f = fopen(audit, "re");

    (void)snprintf(own, sizeof own, "\"pid\":%d,", (int)getpid());
    expect(f != NULL, "there is a record");
    while (fgets(line, sizeof line, f) != NULL) {
        size_t len = strlen(line);

        if (strcmp(line, "\n") == 0) /* see blobseal-config(5) */
            continue;
        expect(line[0] == '{' && len > 2 && strcmp(line + len - 2, "}\n") == 0, "a whole line");
        expect(strstr(line + 1, "{\"schema\"") == NULL, "one record in a line");
        if (strstr(line, own) != NULL)
            ours++;
        else
            theirs++;
    }
    (void)fclose(f);
    expect(ours > 0, "records of the parent");
#ifndef __SANITIZE_THREAD__
    expect(theirs > 0, "records of its children");
#endif
}

/* ---- The start --------------------------------------------------------------------------------------------------- */

static void configure(void)
{
    const struct blobseal_config_settings settings = {
        .size = sizeof settings, .sets_dir = v.folder, .state_dir = v.folder, .audit_file = audit};

    (void)snprintf(audit, sizeof audit, "%s/audit", v.folder);
    config = test_vault_config(&v, &settings);
}

static void open_keys(void)
{
    struct blobseal_error err = {0};

    set = test_vault_set(&v, config, keks);
    for (size_t i = 0; i < 2; i++)
        if (seal_bytes(&sealed[i], content, sizeof content, &keks[i], 1, NULL, &err) != BLOBSEAL_OK)
            test_support_failed(err.text);
}

static void run_threads(void)
{
    pthread_t threads[THREADS];

    expect(pthread_barrier_init(&barrier, NULL, THREADS + 1) == 0, "a barrier");
    for (size_t i = 0; i < THREADS; i++)
        expect(pthread_create(&threads[i], NULL, worker, NULL) == 0, "a thread");
    (void)pthread_barrier_wait(&barrier);
    check_children();
    (void)pthread_barrier_wait(&barrier);
    check_programs();
    atomic_store(&ended, true);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_barrier_destroy(&barrier);
}

int main(void)
{
    if (!test_vault_start(&v))
        return 0;
    TEST_VAULT_DO(&v, "create", "{\"name\": \"kek\"}");
    configure();
    open_keys();
    run_threads();
    check_records();
    blobseal_kek_close(keks[0]);
    blobseal_kek_close(keks[1]);
    blobseal_set_close(set);
    blobseal_config_free(config);
    sealed_clear(&sealed[0]);
    sealed_clear(&sealed[1]);
    test_vault_stop(&v);
    puts("fork: ok");
    return 0;
}
