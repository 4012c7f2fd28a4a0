/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs of other versions: programs compiled with an older header have shorter structs, and with a newer header
 * longer ones. The caller's struct is at the end of a page, and the next page cannot be accessed.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define LEN  ((size_t)70000)
#define MORE 64 /* bytes of members that this version does not know */

SUITE_WITH_PLAIN(struct_sizes, LEN);

/*
 * Return a caller's struct of @size bytes, whatever the size of its type. It starts with @from and is filled up with
 * zeros. Reading beyond it crashes.
 */
static void *callers(const void *from, size_t from_size, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *own =
        map + page - (size + 15) / 16 * 16; /* aligned; the gap is filled with 0xEE, which no member contains */

    cr_assert(map != MAP_FAILED && mprotect(map + page, page, PROT_NONE) == 0);
    memset(own, 0xEE, page - (size_t)(own - map));
    memset(own, 0, size);
    memcpy(own, from, size < from_size ? size : from_size);
    memcpy(own, &size, sizeof size);
    return own;
}

static void release(void *own)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    (void)munmap((void *)((uintptr_t)own / page * page), 2 * page);
}

/* Return true if nothing was written after the first @size bytes. */
static bool ends_at(const void *own, size_t size)
{
    const uint8_t *p = own;

    for (; size % 16 != 0; size++)
        if (p[size] != 0xEE)
            return false;
    return true;
}

/* The sizes that a struct may have in other versions: every size from the first member on, and larger than now. */
#define EACH_SIZE(s, type)                                                                                             \
    for (size_t s = sizeof(size_t); s <= sizeof(type) + MORE; s += s < sizeof(type) ? sizeof(size_t) : MORE)

/* Sizes that no struct can have, because not even the member `size` fits. */
static const size_t no_sizes[] = {0, 1, sizeof(size_t) - 1};

/* ---- Sealing ----------------------------------------------------------------------------------------------------- */

struct sealing {
    struct blobseal_memory from, to;
    struct blobseal_source source;
    struct blobseal_sink sink;
};

static enum blobseal_status seal(struct sealing *s, bool push, const struct blobseal_seal_options *o,
                                 struct blobseal_seal_result *result, struct blobseal_error *err)
{
    struct blobseal_writer *w;
    enum blobseal_status st;

    blobseal_source_memory(&s->source, &s->from, plain, LEN);
    blobseal_sink_memory(&s->sink, &s->to);
    if (!push)
        return blobseal_seal(&s->sink, &s->source, &kek, 1, o, result, err);
    st = blobseal_writer_open(&w, &s->sink, &kek, 1, o, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_writer_write(w, plain, LEN, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_writer_finish(w, result, err);
    blobseal_writer_close(w);
    return st;
}

static bool progress_was_called;

static bool note_progress(void *ctx, uint64_t done)
{
    (void)done;
    progress_was_called = ctx == &progress_was_called;
    return true;
}

/* The blob must depend on the members that the caller's struct has, and on no byte after it. */
static void expect_blob(const struct sealing *s, size_t size, bool push)
{
    struct blobseal_reader *r;
    struct blobseal_source source;
    struct blobseal_memory state;
    struct blobseal_error err;
    const struct blobseal_info *info;

    blobseal_source_memory(&source, &state, s->to.data, s->to.len);
    cr_assert_eq(blobseal_reader_open(&r, &source, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    info = blobseal_reader_info(r);
    cr_expect_eq(info->layout, size > offsetof(struct blobseal_seal_options, layout) || push ? BLOBSEAL_LAYOUT_AB
                                                                                             : BLOBSEAL_LAYOUT_COMPACT);
    if (info->layout == BLOBSEAL_LAYOUT_AB)
        cr_expect_eq(info->slot_capacity,
                     size > offsetof(struct blobseal_seal_options, slot_capacity) ? 12288u : 16384u);
    cr_expect_eq(info->segments, size > offsetof(struct blobseal_seal_options, no_checksums) ? 0 : 1);
    cr_expect_eq(info->content, size > offsetof(struct blobseal_seal_options, zstd) ? 1 : 0);
    if (!push)
        cr_expect_eq(progress_was_called, size > offsetof(struct blobseal_seal_options, progress_ctx));
    blobseal_reader_close(r);
}

static void seal_with_every_size(bool push)
{
    const struct blobseal_seal_options want = {.threads = 1,
                                               .layout = BLOBSEAL_LAYOUT_AB,
                                               .slot_capacity = 12288,
                                               .no_checksums = true,
                                               .progress = note_progress,
                                               .progress_ctx = &progress_was_called,
                                               .zstd = true};
    struct blobseal_error err;
    struct sealing s;

    EACH_SIZE(size, struct blobseal_seal_options)
    {
        void *o = callers(&want, sizeof want, size);

        progress_was_called = false;
        cr_assert_eq(seal(&s, push, o, NULL, &err), BLOBSEAL_OK, "%s", err.text);
        expect_blob(&s, size, push);
        blobseal_free(s.to.data);
        release(o);
    }
    for (size_t i = 0; i < COUNT(no_sizes); i++) {
        struct blobseal_seal_options o = {.size = no_sizes[i]};

        cr_expect_eq(seal(&s, push, &o, NULL, &err), BLOBSEAL_E_ARG);
        cr_expect_eq(s.to.len, 0, "nothing was written");
    }
}

Test(struct_sizes, options_for_sealing)
{
    seal_with_every_size(false);
}

Test(struct_sizes, options_for_pushing)
{
    seal_with_every_size(true);
}

Test(struct_sizes, metadata)
{
    static const struct blobseal_annotation annotation = {"a", "b"};
    const struct blobseal_metadata want = {
        .name = "n", .type = "a/b", .num_annotations = 1, .annotations = &annotation};

    EACH_SIZE(size, struct blobseal_metadata)
    {
        /* no version has a count without the list that belongs to it */
        bool torn = size > offsetof(struct blobseal_metadata, num_annotations) && size < sizeof want;
        struct blobseal_metadata *metadata = callers(&want, sizeof want, size);
        struct blobseal_seal_options o = {.size = sizeof o, .metadata = metadata};
        struct blobseal_memory state;
        struct blobseal_source source;
        struct blobseal_reader *r;
        struct sealing s;

        if (torn)
            metadata->num_annotations = 0;
        cr_assert_eq(seal(&s, false, &o, NULL, NULL), BLOBSEAL_OK);
        blobseal_source_memory(&source, &state, s.to.data, s.to.len);
        cr_assert_eq(blobseal_reader_open(&r, &source, &kek, 1, NULL, NULL), BLOBSEAL_OK);
        if (size > offsetof(struct blobseal_metadata, name)) {
            const struct blobseal_metadata *got = blobseal_reader_info(r)->metadata;

            cr_assert_not_null(got);
            cr_expect_str_eq(got->name, "n");
            cr_expect_eq(got->type != NULL, size > offsetof(struct blobseal_metadata, type));
            cr_expect_eq(got->num_annotations, size >= sizeof want);
        }
        blobseal_reader_close(r);
        blobseal_free(s.to.data);
        release(metadata);
    }
    for (size_t i = 0; i < COUNT(no_sizes); i++) {
        struct blobseal_metadata metadata = {.size = no_sizes[i], .name = "n"};
        struct blobseal_seal_options o = {.size = sizeof o, .metadata = &metadata};
        struct sealing s;

        cr_expect_eq(seal(&s, false, &o, NULL, NULL), BLOBSEAL_E_ARG);
    }
}

static void result_of_every_size(bool push)
{
    struct blobseal_error err;
    struct sealing s;

    EACH_SIZE(size, struct blobseal_seal_result)
    {
        const struct blobseal_seal_result none = {0};
        struct blobseal_seal_result all = {0}, *r = callers(&none, sizeof none, size);

        cr_assert_eq(seal(&s, push, NULL, r, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(r->size, size, "the size is the caller's");
        cr_expect(ends_at(r, size), "size %zu", size);
        if (size > sizeof all)
            cr_expect(bs_all_zero((const uint8_t *)r + sizeof all, size - sizeof all), "what is not known stays zero");
        memcpy(&all, r, size < sizeof all ? size : sizeof all);
        cr_expect_eq(all.plain_bytes, size > offsetof(struct blobseal_seal_result, plain_bytes) ? LEN : 0);
        cr_expect_eq(all.sealed_bytes, size > offsetof(struct blobseal_seal_result, sealed_bytes) ? s.to.len : 0);
        cr_expect_eq(all.generation, size > offsetof(struct blobseal_seal_result, generation) ? 1 : 0);
        blobseal_free(s.to.data);
        release(r);
    }
    for (size_t i = 0; i < COUNT(no_sizes); i++) {
        struct blobseal_seal_result r = {.size = no_sizes[i]};

        cr_expect_eq(seal(&s, push, NULL, &r, &err), BLOBSEAL_E_ARG);
        blobseal_free(s.to.data);
    }
}

Test(struct_sizes, results_of_sealing)
{
    result_of_every_size(false);
}

Test(struct_sizes, results_of_pushing)
{
    result_of_every_size(true);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

Test(struct_sizes, options_for_opening)
{
    const struct blobseal_seal_options detached = {.size = sizeof detached, .layout = BLOBSEAL_LAYOUT_DETACHED};
    struct blobseal_source source;
    struct blobseal_memory state;
    struct blobseal_reader *r;
    struct blobseal_error err;
    struct sealed sealed;

    cr_assert_eq(seal_bytes(&sealed, plain, LEN, &kek, 1, &detached, &err), BLOBSEAL_OK);
    EACH_SIZE(size, struct blobseal_reader_options)
    {
        const struct blobseal_reader_options want = {.envelope = sealed.result.envelope,
                                                     .envelope_len = sealed.result.envelope_len,
                                                     .threads = 1,
                                                     .progress = note_progress,
                                                     .progress_ctx = &progress_was_called,
                                                     .min_generation = 99};
        void *o = callers(&want, sizeof want, size);

        progress_was_called = false;
        blobseal_source_memory(&source, &state, sealed.data, sealed.len);
        if (size > offsetof(struct blobseal_reader_options, min_generation)) {
            cr_expect_eq(blobseal_reader_open(&r, &source, &kek, 1, o, &err), BLOBSEAL_E_POLICY);
        } else if (size > offsetof(struct blobseal_reader_options, envelope_len)) {
            cr_assert_eq(blobseal_reader_open(&r, &source, &kek, 1, o, &err), BLOBSEAL_OK, "%s", err.text);
            cr_expect_eq(blobseal_reader_verify(r, NULL, &err), BLOBSEAL_OK);
            cr_expect_eq(progress_was_called, size > offsetof(struct blobseal_reader_options, progress_ctx));
            blobseal_reader_close(r);
        } else if (size == sizeof(size_t)) {
            cr_expect_eq(blobseal_reader_open(&r, &source, &kek, 1, o, &err), BLOBSEAL_E_CONFIG, "no envelope");
        }
        release(o);
    }
    for (size_t i = 0; i < COUNT(no_sizes); i++) {
        struct blobseal_reader_options o = {.size = no_sizes[i]};

        cr_expect_eq(blobseal_reader_open(&r, &source, &kek, 1, &o, &err), BLOBSEAL_E_ARG);
        cr_expect_null(r);
    }
    sealed_clear(&sealed);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static struct blobseal_kek_options seen;

static enum blobseal_status look(void **state, struct blobseal_kek_info *info, const char *ref,
                                 const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                 struct blobseal_error *err)
{
    (void)info;
    (void)ref;
    (void)call;
    *state = NULL;
    seen = *options;
    return blobseal_fail(err, BLOBSEAL_E_DENIED, 0, "only looking");
}

static enum blobseal_status ask(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx;
    (void)buf;
    (void)cap;
    *len = 0;
    return blobseal_fail(err, BLOBSEAL_E_DENIED, 0, "no passphrase");
}

/* A provider receives every member of this version, whatever members the caller's struct has. */
Test(struct_sizes, options_for_keys)
{
    struct blobseal_provider provider = fake_provider("look");
    const struct blobseal_kek_options want = {.passphrase = ask, .passphrase_ctx = &seen, .oaep = BLOBSEAL_OAEP_SHA1};
    struct blobseal_registry *registry;
    struct blobseal_kek *opened;

    provider.open = look;
    provider.close = NULL;
    cr_assert_eq(blobseal_registry_new(&registry, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_registry_add(registry, &provider, NULL), BLOBSEAL_OK);
    EACH_SIZE(size, struct blobseal_kek_options)
    {
        void *o = callers(&want, sizeof want, size);

        cr_expect_eq(blobseal_kek_open(&opened, registry, "look:here", o, NULL), BLOBSEAL_E_DENIED);
        cr_expect_eq(seen.size, sizeof seen);
        cr_expect_eq(seen.passphrase != NULL, size > offsetof(struct blobseal_kek_options, passphrase));
        cr_expect_eq(seen.oaep == BLOBSEAL_OAEP_SHA1, size > offsetof(struct blobseal_kek_options, oaep));
        release(o);
    }
    for (size_t i = 0; i < COUNT(no_sizes); i++) {
        struct blobseal_kek_options o = {.size = no_sizes[i]};

        cr_expect_eq(blobseal_kek_open(&opened, registry, "look:here", &o, NULL), BLOBSEAL_E_ARG);
        cr_expect_null(opened);
    }
    blobseal_registry_free(registry);
}

/* ---- Changing recipients ----------------------------------------------------------------------------------------- */

Test(struct_sizes, changes)
{
    struct fake_kek other_state = {.kid = "another-key"};
    struct blobseal_kek *other = fake_kek_open(&other_state);
    struct blobseal_memory state;
    struct blobseal_source source;
    struct blobseal_error err;
    struct sealed sealed;

    cr_assert_eq(seal_bytes(&sealed, plain, LEN, &kek, 1, NULL, &err), BLOBSEAL_OK);
    blobseal_source_memory(&source, &state, sealed.data, sealed.len);
    EACH_SIZE(size, struct blobseal_change)
    {
        const struct blobseal_change want = {.add = &other, .num_add = 1, .min_generation = 99};
        bool has_add = size > offsetof(struct blobseal_change, num_add),
             has_min = size > offsetof(struct blobseal_change, min_generation);
        struct blobseal_change_result *result;
        void *change = callers(&want, sizeof want, size);
        enum blobseal_status st = blobseal_change_envelope(&result, &source, &kek, 1, change, &err);

        cr_expect_eq(st, has_min ? BLOBSEAL_E_POLICY : BLOBSEAL_OK, "size %zu: %s", size, blobseal_status_code(st));
        if (st == BLOBSEAL_OK)
            cr_expect_eq(result->changed, has_add);
        blobseal_change_result_free(result);
        release(change);
    }
    for (size_t i = 0; i < COUNT(no_sizes); i++) {
        struct blobseal_change change = {.size = no_sizes[i]};
        struct blobseal_change_result *result;

        cr_expect_eq(blobseal_change_envelope(&result, &source, &kek, 1, &change, &err), BLOBSEAL_E_ARG);
        cr_expect_null(result);
    }
    sealed_clear(&sealed);
    blobseal_kek_close(other);
}

/* ---- Members of a later version ---------------------------------------------------------------------------------- */

/* A non-zero member that this version does not know is refused. */
Test(struct_sizes, a_member_of_a_later_version_is_refused)
{
    for (size_t at = sizeof(struct blobseal_seal_options); at < sizeof(struct blobseal_seal_options) + MORE; at++) {
        const struct blobseal_seal_options o = {.size = sizeof o};
        uint8_t *own = callers(&o, sizeof o, sizeof o + MORE);
        struct blobseal_error err;
        struct sealing s;

        own[at] = 1;
        cr_expect_eq(seal(&s, false, (const void *)own, NULL, &err), BLOBSEAL_E_ARG);
        cr_expect_not_null(strstr(err.text, "newer"), "%s", err.text);
        blobseal_free(s.to.data);
        own[at] = 0;
        cr_expect_eq(seal(&s, false, (const void *)own, NULL, &err), BLOBSEAL_OK, "%s", err.text);
        blobseal_free(s.to.data);
        release(own);
    }
}
