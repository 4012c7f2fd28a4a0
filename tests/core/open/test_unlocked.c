/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unlocked keys: one unwrap for any number of readers, bound to the core header of one blob; references, leases shared
 * by readers, and nothing usable after fork().
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define LEN     ((size_t)300000)
#define THREADS 8

SUITE_WITH_PLAIN(unlocked, LEN);

/* ---- One blob and its unlocked key ------------------------------------------------------------------------------- */

struct scene {
    struct sealed blob;
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_unlocked *unlocked;
    struct blobseal_error err;
};

static void seal(struct scene *s, struct blobseal_seal_options o)
{
    o.size = sizeof o;
    cr_assert_eq(seal_bytes(&s->blob, plain, LEN, &kek, 1, &o, &s->err), BLOBSEAL_OK, "%s", s->err.text);
    blobseal_source_memory(&s->source, &s->memory, s->blob.data, s->blob.len);
}

static enum blobseal_status unlock(struct scene *s, struct blobseal_unlock_options o)
{
    o.size = sizeof o;
    if (o.envelope == NULL) {
        o.envelope = s->blob.result.envelope;
        o.envelope_len = s->blob.result.envelope_len;
    }
    return blobseal_unlock(&s->unlocked, &s->source, &kek, 1, &o, &s->err);
}

static void scene_start(struct scene *s, struct blobseal_seal_options o)
{
    *s = (struct scene){0};
    seal(s, o);
    cr_assert_eq(unlock(s, (struct blobseal_unlock_options){0}), BLOBSEAL_OK, "%s", s->err.text);
}

static void scene_end(struct scene *s)
{
    blobseal_unlocked_release(s->unlocked);
    sealed_clear(&s->blob);
}

static enum blobseal_status open_with(struct scene *s, struct blobseal_reader **r)
{
    return blobseal_reader_open_with(r, &s->source, s->unlocked, NULL, &s->err);
}

static enum blobseal_status read_some(struct blobseal_reader *r, struct blobseal_error *err)
{
    uint8_t buf[1000];
    size_t n;
    enum blobseal_status st = blobseal_reader_pread(r, buf, sizeof buf, 12345, &n, err);

    cr_assert(st != BLOBSEAL_OK || (n == sizeof buf && memcmp(buf, plain + 12345, n) == 0));
    return st;
}

static void expect_readable(struct scene *s)
{
    struct blobseal_reader *r;

    cr_assert_eq(open_with(s, &r), BLOBSEAL_OK, "%s", s->err.text);
    cr_expect_eq(blobseal_reader_size(r), LEN);
    cr_expect_eq(read_some(r, &s->err), BLOBSEAL_OK);
    cr_expect_eq(blobseal_reader_verify(r, NULL, &s->err), BLOBSEAL_OK);
    blobseal_reader_close(r);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

Test(unlocked, opens_every_layout_with_one_unwrap)
{
    static const struct blobseal_annotation note = {"a", "b"};
    static const struct blobseal_metadata metadata = {
        .size = sizeof metadata, .name = "disk.img", .num_annotations = 1, .annotations = &note};

    for (unsigned i = 0; i < 6; i++) {
        struct blobseal_reader *r;
        struct scene s;

        scene_start(&s, (struct blobseal_seal_options){.layout = (enum blobseal_layout)(1 + i % 3),
                                                       .zstd = i >= 3,
                                                       .metadata = i % 2 == 0 ? &metadata : NULL});
        fake.unwraps = 0;
        for (unsigned k = 0; k < 3; k++)
            expect_readable(&s);
        cr_assert_eq(open_with(&s, &r), BLOBSEAL_OK);
        cr_expect_eq(blobseal_reader_info(r)->generation, 1);
        cr_expect_eq(blobseal_reader_info(r)->num_recipients, 1);
        cr_expect_eq(blobseal_reader_info(r)->layout, (enum blobseal_layout)(1 + i % 3));
        cr_expect_eq(blobseal_reader_info(r)->metadata != NULL, i % 2 == 0);
        cr_expect_arr_eq(blobseal_reader_info(r)->envelope_sha256, s.blob.result.envelope_sha256, BLOBSEAL_SHA256_LEN);
        scene_end(&s); /* the reader has a reference of its own */
        if (i % 2 == 0)
            cr_expect_str_eq(blobseal_reader_info(r)->metadata->name, "disk.img");
        cr_expect_eq(fake.unwraps, 0);
        blobseal_reader_close(r);
    }
}

Test(unlocked, opens_a_pipe)
{
    struct test_source from;
    struct blobseal_reader *r;
    struct scene s;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    from = (struct test_source){.data = s.blob.data, .len = s.blob.len, .max_piece = 5000};
    test_source_start(&s.source, &from);
    cr_assert_eq(open_with(&s, &r), BLOBSEAL_OK, "%s", s.err.text);
    cr_expect_eq(blobseal_reader_verify(r, NULL, &s.err), BLOBSEAL_OK);
    blobseal_reader_close(r);
    test_source_end(&from);
    scene_end(&s);
}

Test(unlocked, an_envelope_is_enough)
{
    struct blobseal_unlock_options o = {.size = sizeof o};
    struct scene s = {0};

    seal(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_DETACHED});
    o.envelope = s.blob.result.envelope;
    o.envelope_len = s.blob.result.envelope_len;
    cr_assert_eq(blobseal_unlock(&s.unlocked, NULL, &kek, 1, &o, &s.err), BLOBSEAL_OK, "%s", s.err.text);
    expect_readable(&s);
    scene_end(&s);
}

Test(unlocked, outlives_its_kek_and_a_change_of_recipients)
{
    struct fake_kek next_fake = {.kid = "next"};
    struct blobseal_kek *next = fake_kek_open(&next_fake);
    struct blobseal_change change = {.size = sizeof change, .add = &next, .num_add = 1, .replace = true};
    struct blobseal_change_result *result;
    struct scene s;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_COMPACT});
    cr_assert_eq(blobseal_change_envelope(&result, &s.source, &kek, 1, &change, &s.err), BLOBSEAL_OK);
    memset(s.blob.data + 64, 0x20, core_offset_of(s.blob.data, s.blob.len) - 64); /* the slot is no longer readable */
    expect_readable(&s);
    blobseal_change_result_free(result);
    blobseal_kek_close(next);
    scene_end(&s);
}

/* ---- What it is bound to ----------------------------------------------------------------------------------------- */

Test(unlocked, opens_no_other_blob)
{
    struct blobseal_reader *r;
    struct scene a, b;

    scene_start(&a, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    scene_start(&b, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    r = (struct blobseal_reader *)&a;
    cr_expect_eq(blobseal_reader_open_with(&r, &b.source, a.unlocked, NULL, &a.err), BLOBSEAL_E_NO_KEY);
    cr_expect_null(r);
    cr_expect_not_null(strstr(a.err.text, "another blob"), "%s", a.err.text);
    scene_end(&a);
    scene_end(&b);
}

/* Each byte of the core header changed, with every checksum that needs no key put right. */
Test(unlocked, is_bound_to_every_byte_of_the_core_header)
{
    struct blobseal_reader *r;
    struct scene s;
    size_t core;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_COMPACT});
    core = core_offset_of(s.blob.data, s.blob.len);
    for (size_t i = 0; i < 88; i++) {
        enum blobseal_status want = i < 32 ? BLOBSEAL_E_FORMAT : BLOBSEAL_E_AUTH, st;

        s.blob.data[core + i] ^= 1;
        refix(s.blob.data, s.blob.len);
        st = open_with(&s, &r);
        cr_expect_neq(st, BLOBSEAL_OK);
        if (i >= 32)
            cr_expect_eq(st, want, "byte %u", (unsigned)i);
        s.blob.data[core + i] ^= 1;
        refix(s.blob.data, s.blob.len);
    }
    expect_readable(&s);
    s.blob.data[s.blob.len - 9] ^= 1;
    cr_expect_eq(open_with(&s, &r), BLOBSEAL_E_AUTH, "the last chunk is opened as usual");
    scene_end(&s);
}

Test(unlocked, generations_are_checked)
{
    struct blobseal_reader_options o = {.size = sizeof o, .min_generation = 2};
    struct blobseal_reader *r;
    struct scene s;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    cr_expect_eq(blobseal_reader_open_with(&r, &s.source, s.unlocked, &o, &s.err), BLOBSEAL_E_POLICY);
    blobseal_unlocked_release(s.unlocked);
    cr_expect_eq(unlock(&s, (struct blobseal_unlock_options){.min_generation = 2}), BLOBSEAL_E_POLICY);
    cr_expect_null(s.unlocked);
    cr_expect_eq(unlock(&s, (struct blobseal_unlock_options){.min_generation = 1}), BLOBSEAL_OK);
    scene_end(&s);
}

Test(unlocked, failures_leave_nothing)
{
    struct fake_kek other_fake = {.kid = "other"};
    struct blobseal_kek *other = fake_kek_open(&other_fake);
    struct blobseal_unlock_options o = {.size = sizeof o};
    struct scene s = {0};

    seal(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    s.unlocked = (struct blobseal_unlocked *)&s;
    cr_expect_eq(blobseal_unlock(&s.unlocked, &s.source, &other, 1, &o, &s.err), BLOBSEAL_E_NO_KEY);
    cr_expect_null(s.unlocked);
    cr_expect_eq(blobseal_unlock(&s.unlocked, NULL, &kek, 1, &o, &s.err), BLOBSEAL_E_ARG, "neither blob nor envelope");
    cr_expect_eq(blobseal_unlock(&s.unlocked, &(struct blobseal_source){0}, &kek, 1, &o, &s.err), BLOBSEAL_E_ARG);
    o.size = 0;
    cr_expect_eq(blobseal_unlock(&s.unlocked, &s.source, &kek, 1, &o, &s.err), BLOBSEAL_E_ARG);
    o = (struct blobseal_unlock_options){.size = sizeof o, .envelope = "{}", .envelope_len = 2};
    cr_expect_eq(blobseal_unlock(&s.unlocked, NULL, &kek, 1, &o, &s.err), BLOBSEAL_E_FORMAT);
    s.blob.data[core_offset_of(s.blob.data, s.blob.len) + 60] ^= 1;
    refix(s.blob.data, s.blob.len);
    cr_expect_eq(blobseal_unlock(&s.unlocked, &s.source, &kek, 1, NULL, &s.err), BLOBSEAL_E_AUTH);
    cr_expect_null(s.unlocked);
    blobseal_unlocked_release(NULL);
    blobseal_kek_close(other);
    scene_end(&s);
}

Test(unlocked, an_envelope_is_not_accepted_again)
{
    struct blobseal_reader_options o = {.size = sizeof o, .envelope = "{}", .envelope_len = 2};
    struct blobseal_reader *r;
    struct scene s;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    cr_expect_eq(blobseal_reader_open_with(&r, &s.source, s.unlocked, &o, &s.err), BLOBSEAL_E_ARG);
    scene_end(&s);
}

/* ---- Description and memory -------------------------------------------------------------------------------------- */

Test(unlocked, describes_itself)
{
    struct blobseal_unlocked_info i = {.size = sizeof i}, none = {.size = 3};
    struct scene s;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    cr_assert_eq(blobseal_unlocked_info(s.unlocked, &i, &s.err), BLOBSEAL_OK);
    cr_expect_str_eq(i.kid, "a-key");
    cr_expect_eq(i.generation, 1);
    cr_expect_eq(i.valid_until, 0);
    cr_expect_arr_eq(i.blob_id, s.blob.result.blob_id, sizeof i.blob_id);
    cr_expect_eq(blobseal_unlocked_info(s.unlocked, &none, &s.err), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_unlocked_info(s.unlocked, NULL, &s.err), BLOBSEAL_E_ARG);
    scene_end(&s);
}

static uint64_t secret_bytes(void)
{
    struct bs_secret_counters c = bs_secret_counters();

    return c.locked_bytes + c.unlocked_bytes;
}

Test(unlocked, takes_128_bytes_of_locked_memory)
{
    enum { HANDLES = 1000 };
    struct blobseal_unlocked *list[HANDLES];
    const struct blobseal_context_options nothing_kept = {.size = sizeof nothing_kept, .max_scratch = 1};
    struct blobseal_reader_options o = {.size = sizeof o};
    struct blobseal_reader *readers[HANDLES];
    uint64_t before, after;
    struct scene s;

    cr_assert_eq(blobseal_context_new(&o.context, &nothing_kept, NULL), BLOBSEAL_OK);

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_COMPACT});
    before = secret_bytes();
    for (size_t i = 0; i < HANDLES; i++)
        cr_assert_eq(blobseal_unlock(&list[i], &s.source, &kek, 1, NULL, NULL), BLOBSEAL_OK);
    after = secret_bytes();
    cr_expect_leq(after - before, HANDLES * 128 + HANDLES * 128 / 32 + 65536);
    before = after;
    for (size_t i = 0; i < HANDLES; i++)
        cr_assert_eq(blobseal_reader_open_with(&readers[i], &s.source, s.unlocked, &o, NULL), BLOBSEAL_OK);
    cr_expect_leq(secret_bytes() - before, 65536, "readers use the keys of the unlocked key");
    for (size_t i = 0; i < HANDLES; i++) {
        blobseal_unlocked_release(list[i]);
        blobseal_reader_close(readers[i]);
    }
    blobseal_context_free(o.context);
    scene_end(&s);
}

/* ---- Threads and processes --------------------------------------------------------------------------------------- */

static void *use_from_thread(void *ctx)
{
    struct scene *s = ctx;
    struct scene own = *s;
    uintptr_t good = 0;

    blobseal_source_memory(&own.source, &own.memory, s->blob.data, s->blob.len);
    for (unsigned i = 0; i < 20; i++) {
        struct blobseal_unlocked *u = blobseal_unlocked_ref(s->unlocked);
        struct blobseal_reader *r;

        if (open_with(&own, &r) == BLOBSEAL_OK) {
            blobseal_unlocked_release(u);
            good += read_some(r, &own.err) == BLOBSEAL_OK ? 1 : 0;
            blobseal_reader_close(r);
        }
    }
    return (void *)good;
}

Test(unlocked, many_threads_use_it)
{
    pthread_t threads[THREADS];
    struct scene s;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, use_from_thread, &s), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *good;

        (void)pthread_join(threads[i], &good);
        cr_expect_eq((uintptr_t)good, 20);
    }
    scene_end(&s);
}

Test(unlocked, is_dead_in_a_child)
{
    struct blobseal_unlocked_info i = {.size = sizeof i};
    struct blobseal_reader *r;
    struct scene s;
    int status;
    pid_t child;

    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    child = fork();
    if (child == 0) {
        bool ok = open_with(&s, &r) == BLOBSEAL_E_ARG && strstr(s.err.text, "belongs to the parent process") != NULL &&
                  blobseal_unlocked_info(s.unlocked, &i, &s.err) == BLOBSEAL_E_ARG;

        blobseal_unlocked_release(s.unlocked);
        _exit(ok ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    expect_readable(&s);
    scene_end(&s);
}

/* ---- Leases ------------------------------------------------------------------------------------------------------ */

/* Return a lease that ends in so many seconds. */
static struct blobseal_lease lease_of(int64_t seconds)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (struct blobseal_lease){.size = sizeof(struct blobseal_lease),
                                   .valid_until_unix_ms = (uint64_t)(t.tv_sec + seconds) * 1000};
}

/* Replace the key of the suite by one that can be revoked. */
static void use_revocable_key(int64_t seconds)
{
    blobseal_kek_close(kek);
    fake = (struct fake_kek){.kid = "vault-key", .revocable = true, .lease = lease_of(seconds)};
    kek = fake_kek_open(&fake);
}

Test(unlocked, readers_share_the_lease)
{
    struct blobseal_unlocked_info i = {.size = sizeof i};
    struct blobseal_reader *a, *b;
    struct scene s;

    use_revocable_key(1000);
    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    cr_assert_eq(blobseal_unlocked_info(s.unlocked, &i, &s.err), BLOBSEAL_OK);
    cr_expect_eq(i.valid_until, fake.lease.valid_until_unix_ms);
    cr_assert_eq(open_with(&s, &a), BLOBSEAL_OK);
    cr_assert_eq(open_with(&s, &b), BLOBSEAL_OK);
    cr_expect_eq(read_some(a, &s.err), BLOBSEAL_OK);
    cr_expect_eq(fake.renews, 0);
    blobseal_reader_close(a);
    blobseal_reader_close(b);
    scene_end(&s);
}

Test(unlocked, reads_after_its_end_renew_the_lease_once)
{
    struct blobseal_reader *a, *b;
    struct scene s;

    use_revocable_key(-1);
    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    cr_assert_eq(open_with(&s, &a), BLOBSEAL_OK);
    cr_expect_eq(fake.renews, 1, "to open a reader is a use");
    fake.lease = lease_of(1000);
    cr_assert_eq(open_with(&s, &b), BLOBSEAL_OK);
    cr_expect_eq(fake.renews, 2);
    cr_expect_eq(read_some(a, &s.err), BLOBSEAL_OK);
    cr_expect_eq(read_some(b, &s.err), BLOBSEAL_OK);
    cr_expect_eq(blobseal_reader_verify(b, NULL, &s.err), BLOBSEAL_OK);
    cr_expect_eq(fake.renews, 2);
    blobseal_reader_close(a);
    blobseal_reader_close(b);
    scene_end(&s);
}

/* Every kind of read, of a reader that was opened with the KEK itself. */
Test(unlocked, no_read_passes_a_lease_that_is_denied)
{
    struct blobseal_reader *r;
    struct blobseal_memory m;
    struct blobseal_sink sink;
    struct scene s = {0};
    uint8_t buf[100];
    size_t n;

    use_revocable_key(-1);
    fake.renew = (struct fault){.at_call = 2, .status = BLOBSEAL_E_DENIED};
    seal(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    cr_assert_eq(blobseal_reader_open(&r, &s.source, &kek, 1, NULL, &s.err), BLOBSEAL_OK);
    cr_expect_eq(read_some(r, &s.err), BLOBSEAL_OK);
    cr_expect_eq(fake.renews, 1);
    memset(buf, 0x55, sizeof buf);
    cr_expect_eq(blobseal_reader_read(r, buf, sizeof buf, &n, &s.err), BLOBSEAL_E_DENIED);
    cr_expect(bs_all_zero(buf, sizeof buf));
    cr_expect_eq(fake.renews, 2);
    blobseal_sink_memory(&sink, &m);
    cr_expect_eq(read_some(r, &s.err), BLOBSEAL_E_DENIED);
    cr_expect_eq(blobseal_reader_verify(r, NULL, &s.err), BLOBSEAL_E_DENIED);
    cr_expect_eq(blobseal_reader_stream(r, &sink, NULL, &s.err), BLOBSEAL_E_DENIED);
    cr_expect_eq(blobseal_reader_stream_range(r, &sink, 0, 10, NULL, &s.err), BLOBSEAL_E_DENIED);
    cr_expect_eq(m.len, 0);
    cr_expect_eq(fake.renews, 2, "a denial is final");
    blobseal_reader_close(r);
    scene_end(&s);
}

Test(unlocked, a_read_may_fail_while_the_provider_is_unavailable)
{
    struct blobseal_reader *r;
    struct scene s;

    use_revocable_key(-1);
    fake.renew = (struct fault){.at_call = 2, .status = BLOBSEAL_E_UNAVAILABLE, .once = true};
    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    cr_assert_eq(open_with(&s, &r), BLOBSEAL_OK);
    cr_expect_eq(read_some(r, &s.err), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(read_some(r, &s.err), BLOBSEAL_OK);
    blobseal_reader_close(r);
    scene_end(&s);
}

Test(unlocked, keeps_the_kek_that_renews_it)
{
    struct scene s;

    use_revocable_key(-1);
    scene_start(&s, (struct blobseal_seal_options){.layout = BLOBSEAL_LAYOUT_AB});
    blobseal_kek_close(kek);
    cr_expect_eq(fake.closes, 0);
    expect_readable(&s);
    scene_end(&s);
    cr_expect_eq(fake.closes, 1);
    kek = NULL;
}
