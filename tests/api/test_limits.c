/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines and cancellation: every function that calls a provider passes on the limits of its caller. The key used
 * here takes as long as it may, as a provider does whose network hangs.
 */
#include <stdlib.h>
#include <time.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

SUITE(limits, .timeout = 60);

static uint8_t plain[1000];

struct scene {
    struct fake_kek fake;
    struct blobseal_kek *kek;
    struct sealed sealed; /* for this key, with two slots */
    char *jwe;            /* an application's key */
    size_t jwe_len;
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_unlocked *unlocked; /* of the blob, with a lease that has ended */
    struct blobseal_reader *reader;     /* likewise */
    /* The limits of the operation under test. */
    uint32_t timeout_ms;
    const int *cancel;
    struct blobseal_error err;
};

static void scene_start(struct scene *s, uint32_t timeout_ms, const int *cancel)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .layout = BLOBSEAL_LAYOUT_AB};
    const struct blobseal_reader_options ro = {.size = sizeof ro, .timeout_ms = timeout_ms, .cancel = cancel};
    const struct blobseal_secret32 secret = {{5}};

    *s = (struct scene){.fake = {.kid = "slow", .late = true, .revocable = true}};
    s->timeout_ms = timeout_ms;
    s->cancel = cancel;
    s->fake.lease.valid_until_boottime_ms = 1; /* so that each use asks for more time */
    s->kek = fake_kek_open(&s->fake);
    cr_assert_eq(seal_bytes(&s->sealed, plain, sizeof plain, &s->kek, 1, &o, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_kek_wrap(s->kek, "test", &secret, NULL, &s->jwe, &s->jwe_len, NULL), BLOBSEAL_OK);
    blobseal_source_memory(&s->source, &s->memory, s->sealed.data, s->sealed.len);
    cr_assert_eq(blobseal_unlock(&s->unlocked, &s->source, &s->kek, 1, NULL, NULL), BLOBSEAL_OK);
    while (blobseal_reader_open(&s->reader, &s->source, &s->kek, 1, &ro, &s->err) != BLOBSEAL_OK)
        cr_assert_eq(s->err.status, BLOBSEAL_E_UNAVAILABLE, "only a machine that stalls: %s", s->err.text);
}

static void scene_end(struct scene *s)
{
    blobseal_reader_close(s->reader);
    blobseal_unlocked_release(s->unlocked);
    blobseal_free(s->jwe);
    sealed_clear(&s->sealed);
    blobseal_kek_close(s->kek);
    cr_expect_eq(s->fake.closes, 1);
}

static unsigned calls(const struct scene *s)
{
    return s->fake.wraps + s->fake.unwraps + s->fake.renews + s->fake.describes;
}

/* ---- The operations ---------------------------------------------------------------------------------------------- */

static enum blobseal_status do_seal(struct scene *s)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .timeout_ms = s->timeout_ms, .cancel = s->cancel};
    struct sealed sealed;
    enum blobseal_status st = seal_bytes(&sealed, plain, sizeof plain, &s->kek, 1, &o, &s->err);

    sealed_clear(&sealed);
    return st;
}

static enum blobseal_status do_writer(struct scene *s)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .timeout_ms = s->timeout_ms, .cancel = s->cancel};
    struct blobseal_memory memory;
    struct blobseal_writer *writer;
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_sink_memory(&sink, &memory);
    st = blobseal_writer_open(&writer, &sink, &s->kek, 1, &o, &s->err);
    blobseal_writer_close(writer);
    blobseal_free(memory.data);
    return st;
}

static enum blobseal_status do_open(struct scene *s)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .timeout_ms = s->timeout_ms, .cancel = s->cancel};
    struct blobseal_reader *reader;
    enum blobseal_status st = blobseal_reader_open(&reader, &s->source, &s->kek, 1, &o, &s->err);

    blobseal_reader_close(reader);
    return st;
}

static enum blobseal_status do_pread(struct scene *s)
{
    uint8_t byte;
    size_t n;

    return blobseal_reader_pread(s->reader, &byte, 1, 0, &n, &s->err);
}

static enum blobseal_status do_unlock(struct scene *s)
{
    const struct blobseal_unlock_options o = {.size = sizeof o, .timeout_ms = s->timeout_ms, .cancel = s->cancel};
    struct blobseal_unlocked *u;
    enum blobseal_status st = blobseal_unlock(&u, &s->source, &s->kek, 1, &o, &s->err);

    blobseal_unlocked_release(u);
    return st;
}

static enum blobseal_status do_open_with(struct scene *s)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .timeout_ms = s->timeout_ms, .cancel = s->cancel};
    struct blobseal_reader *reader;
    enum blobseal_status st = blobseal_reader_open_with(&reader, &s->source, s->unlocked, &o, &s->err);

    blobseal_reader_close(reader);
    return st;
}

static struct blobseal_change change_of(const struct scene *s)
{
    return (struct blobseal_change){
        .size = sizeof(struct blobseal_change), .repair = true, .timeout_ms = s->timeout_ms, .cancel = s->cancel};
}

static enum blobseal_status do_change(struct scene *s)
{
    const struct blobseal_change change = change_of(s);
    struct blobseal_change_result *result;
    enum blobseal_status st = blobseal_change_envelope(&result, &s->source, &s->kek, 1, &change, &s->err);

    blobseal_change_result_free(result);
    return st;
}

static enum blobseal_status do_in_place(struct scene *s)
{
    const struct blobseal_change change = change_of(s);
    struct blobseal_change_result *result;
    struct blobseal_target target;
    struct test_disk disk = {0};
    enum blobseal_status st;

    disk_start(&target, &disk, s->sealed.data, s->sealed.len);
    st = blobseal_change_in_place(&result, &target, &s->kek, 1, &change, &s->err);
    cr_expect_not(disk.locked, "the lock is released");
    cr_expect_eq(disk.writes, 0);
    disk_end(&disk);
    blobseal_change_result_free(result);
    return st;
}

static enum blobseal_status do_rewrite(struct scene *s)
{
    const struct blobseal_change change = change_of(s);
    struct blobseal_change_result *result;
    struct blobseal_memory memory;
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_sink_memory(&sink, &memory);
    st = blobseal_change_rewrite(&result, &sink, &s->source, &s->kek, 1, &change, NULL, &s->err);
    blobseal_free(memory.data);
    blobseal_change_result_free(result);
    return st;
}

static enum blobseal_status do_wrap(struct scene *s)
{
    const struct blobseal_call_options o = {sizeof o, s->timeout_ms, s->cancel};
    const struct blobseal_secret32 secret = {{5}};
    char *jwe;
    size_t len;
    enum blobseal_status st = blobseal_kek_wrap(s->kek, "test", &secret, &o, &jwe, &len, &s->err);

    blobseal_free(jwe);
    return st;
}

static enum blobseal_status do_unwrap(struct scene *s)
{
    const struct blobseal_call_options o = {sizeof o, s->timeout_ms, s->cancel};
    struct blobseal_secret32 secret;

    return blobseal_kek_unwrap(&s->kek, 1, "test", s->jwe, s->jwe_len, &o, &secret, &s->err);
}

static void ignore(void *ctx, const struct blobseal_finding *finding)
{
    (void)ctx;
    (void)finding;
}

static enum blobseal_status do_diagnose(struct scene *s)
{
    const struct blobseal_call_options o = {sizeof o, s->timeout_ms, s->cancel};

    return blobseal_diagnose_kek(s->kek, &o, ignore, NULL, &s->err);
}

static const struct {
    const char *name;
    enum blobseal_status (*run)(struct scene *s);
    bool shares; /* several attempts share a deadline, if the owner of the key can be asked */
} operations[] = {
    {"seal", do_seal, true},       {"writer", do_writer, true},
    {"open", do_open, true},       {"pread", do_pread, false},
    {"unlock", do_unlock, true},   {"open_with", do_open_with, false},
    {"change", do_change, true},   {"change in place", do_in_place, true},
    {"rewrite", do_rewrite, true}, {"wrap", do_wrap, false},
    {"unwrap", do_unwrap, true},   {"diagnose", do_diagnose, false},
};

/* ---- The limits -------------------------------------------------------------------------------------------------- */

Test(limits, without_limits_attempts_share_the_default_and_a_single_call_has_none)
{
    for (size_t i = 0; i < COUNT(operations); i++) {
        struct scene s;
        unsigned before;

        scene_start(&s, 0, NULL);
        before = calls(&s);
        s.fake.deadline_ms = 1;
        cr_expect_eq(operations[i].run(&s), BLOBSEAL_OK, "%s: %s", operations[i].name, s.err.text);
        cr_expect_gt(calls(&s), before, "%s", operations[i].name);
        cr_expect_eq(s.fake.deadline_ms != 0, operations[i].shares, "%s", operations[i].name);
        scene_end(&s);
    }
}

/* Let an operation wait for @timeout_ms. Return false if that time was over before the key was called. */
static bool waits_until_deadline(size_t i, uint32_t timeout_ms)
{
    unsigned before;
    struct scene s;
    bool called;

    scene_start(&s, timeout_ms, NULL);
    s.fake.waits = true;
    before = calls(&s);
    cr_expect_eq(operations[i].run(&s), BLOBSEAL_E_UNAVAILABLE, "%s", operations[i].name);
    called = calls(&s) > before;
    if (called)
        cr_expect_str_eq(s.err.text, "the fake key took too long", "%s: %s", operations[i].name, s.err.text);
    scene_end(&s);
    return called;
}

Test(limits, every_operation_ends_at_its_deadline)
{
    for (size_t i = 0; i < COUNT(operations); i++) {
        uint32_t timeout_ms = 20;

        while (!waits_until_deadline(i, timeout_ms) && timeout_ms < 10000)
            timeout_ms *= 4; /* on a machine that stalls */
        cr_expect_lt(timeout_ms, 10000, "%s", operations[i].name);
    }
}

static void *cancel_soon(void *flag)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    (void)nanosleep(&pause, NULL);
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

Test(limits, every_operation_can_be_canceled)
{
    for (size_t i = 0; i < COUNT(operations); i++) {
        int flag = 0;
        pthread_t other;
        struct scene s;

        scene_start(&s, 0, &flag);
        s.fake.waits = true;
        cr_assert_eq(pthread_create(&other, NULL, cancel_soon, &flag), 0);
        cr_expect_eq(operations[i].run(&s), BLOBSEAL_E_CANCELED, "%s", operations[i].name);
        (void)pthread_join(other, NULL);
        scene_end(&s);
    }
}

Test(limits, a_canceled_operation_calls_no_provider)
{
    for (size_t i = 0; i < COUNT(operations); i++) {
        unsigned before;
        int flag = 0;
        struct scene s;

        scene_start(&s, 0, &flag);
        before = calls(&s);
        flag = 1;
        cr_expect_eq(operations[i].run(&s), BLOBSEAL_E_CANCELED, "%s", operations[i].name);
        cr_expect_neq(s.err.text[0], '\0');
        cr_expect_eq(calls(&s), before, "%s", operations[i].name);
        scene_end(&s);
    }
}

Test(limits, one_deadline_is_for_all_keys)
{
    struct scene a, b;
    struct blobseal_kek *keks[2];
    struct sealed sealed;
    const struct blobseal_seal_options o = {.size = sizeof o, .timeout_ms = 60000};

    scene_start(&a, 0, NULL);
    scene_start(&b, 0, NULL);
    a.fake.kid = "other";
    keks[0] = a.kek;
    keks[1] = b.kek;
    cr_assert_eq(seal_bytes(&sealed, plain, sizeof plain, keks, 2, &o, NULL), BLOBSEAL_OK);
    cr_expect_neq(a.fake.deadline_ms, 0);
    cr_expect_eq(a.fake.deadline_ms, b.fake.deadline_ms);
    sealed_clear(&sealed);
    scene_end(&a);
    scene_end(&b);
}

Test(limits, opening_a_reference_has_limits)
{
    const int canceled = 1;
    const struct blobseal_kek_options o = {.size = sizeof o, .cancel = &canceled};
    struct blobseal_kek *kek;

    cr_expect_eq(blobseal_kek_open(&kek, NULL, "/nothing/here", &o, NULL), BLOBSEAL_E_CANCELED);
    cr_expect_null(kek);
}

Test(limits, options_without_their_size_are_refused)
{
    const struct blobseal_call_options none = {0};
    const struct blobseal_secret32 secret = {{5}};
    struct blobseal_secret32 out;
    struct scene s;
    char *jwe;
    size_t len;

    scene_start(&s, 0, NULL);
    cr_expect_eq(blobseal_kek_wrap(s.kek, "test", &secret, &none, &jwe, &len, NULL), BLOBSEAL_E_ARG);
    cr_expect(jwe == NULL && len == 0);
    cr_expect_eq(blobseal_kek_unwrap(&s.kek, 1, "test", s.jwe, s.jwe_len, &none, &out, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_diagnose_kek(s.kek, &none, ignore, NULL, NULL), BLOBSEAL_E_ARG);
    scene_end(&s);
}
