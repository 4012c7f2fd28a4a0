/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: options, lifetime, counters, and what a forked child sees of them. */
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/io.h"
#include "tests/support/suite.h"

#define LEN ((size_t)300000)

SUITE_WITH_PLAIN(context, LEN);

static struct blobseal_counters counters_of(struct blobseal_context *c)
{
    struct blobseal_counters n = {.size = sizeof n};

    cr_assert_eq(blobseal_context_counters(c, &n, NULL), BLOBSEAL_OK);
    return n;
}

static struct blobseal_context *new_context(unsigned threads, uint64_t max_scratch)
{
    const struct blobseal_context_options o = {.size = sizeof o, .threads = threads, .max_scratch = max_scratch};
    struct blobseal_context *c;

    cr_assert_eq(blobseal_context_new(&c, &o, NULL), BLOBSEAL_OK);
    return c;
}

static void seal(struct sealed *sealed, struct blobseal_context *c)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .context = c};

    cr_assert_eq(seal_bytes(sealed, plain, LEN, &kek, 1, &o, NULL), BLOBSEAL_OK);
}

/* A blob in memory, and a reader of it. */
struct held {
    struct sealed sealed;
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_reader *reader;
};

static void open_blob(struct held *o, struct blobseal_context *c)
{
    const struct blobseal_reader_options options = {.size = sizeof options, .context = c};

    seal(&o->sealed, c);
    blobseal_source_memory(&o->source, &o->memory, o->sealed.data, o->sealed.len);
    cr_assert_eq(blobseal_reader_open(&o->reader, &o->source, &kek, 1, &options, NULL), BLOBSEAL_OK);
}

static void close_blob(struct held *o)
{
    blobseal_reader_close(o->reader);
    sealed_clear(&o->sealed);
}

Test(context, options_have_defaults)
{
    const struct blobseal_context_options no_size = {0};
    struct blobseal_context *c, *own;

    cr_assert_eq(blobseal_context_new(&c, NULL, NULL), BLOBSEAL_OK);
    cr_expect_eq(c->max_scratch, BLOBSEAL_DEFAULT_SCRATCH);
    cr_expect_eq(bs_context_threads(c, 0), 0);
    blobseal_context_free(c);
    c = new_context(3, 1);
    cr_expect_eq(c->max_scratch, 1);
    cr_expect_eq(bs_context_threads(c, 0), 3);
    cr_expect_eq(bs_context_threads(c, 7), 7);
    blobseal_context_free(c);
    cr_expect_eq(blobseal_context_new(&c, &no_size, NULL), BLOBSEAL_E_ARG);
    cr_expect_null(c);
    cr_assert_eq(bs_context_ref(&own, NULL, NULL), BLOBSEAL_OK);
    cr_expect_not_null(own);
    bs_context_unref(own);
    blobseal_context_free(NULL);
    blobseal_context_trim(NULL);
}

Test(context, what_is_done_is_counted)
{
    struct blobseal_context *c = new_context(0, 0), *other = new_context(0, 0);
    struct held o;
    uint8_t byte;
    size_t n;

    open_blob(&o, c);
    cr_expect_eq(counters_of(c).seals, 1);
    cr_expect_eq(counters_of(c).opens, 1);
    cr_expect_eq(counters_of(c).failures, 0);
    cr_expect_eq(counters_of(other).seals, 0);
    cr_expect_eq(counters_of(other).opens, 0);
    cr_assert_eq(blobseal_reader_pread(o.reader, &byte, 1, 5, &n, NULL), BLOBSEAL_OK);
    cr_expect_gt(counters_of(c).scratch_bytes, 0);
    cr_expect_eq(counters_of(other).scratch_bytes, 0);
    cr_expect_gt(counters_of(NULL).locked_bytes + counters_of(NULL).unlocked_bytes, 0);
    o.sealed.data[o.sealed.len - 1] ^= 1; /* the checksum at the end, and then the tag before it */
    cr_assert_eq(blobseal_reader_verify(o.reader, NULL, NULL), BLOBSEAL_E_DAMAGED);
    cr_expect_eq(counters_of(c).failures, 1);
    close_blob(&o);
    blobseal_context_trim(c);
    cr_expect_eq(counters_of(c).scratch_bytes, 0);
    blobseal_context_free(c);
    blobseal_context_free(other);
}

Test(context, counters_need_their_size)
{
    struct blobseal_counters n = {0};

    cr_expect_eq(blobseal_context_counters(NULL, &n, NULL), BLOBSEAL_E_ARG);
}

Test(context, lives_as_long_as_what_was_made_with_it)
{
    struct blobseal_context *c = new_context(0, 0);
    struct held o;
    uint8_t byte;
    size_t n;

    open_blob(&o, c);
    blobseal_context_free(c);
    cr_assert_eq(blobseal_reader_pread(o.reader, &byte, 1, 77, &n, NULL), BLOBSEAL_OK);
    cr_expect_eq(byte, plain[77]);
    close_blob(&o);
}

/* ---- After fork() ------------------------------------------------------------------------------------------------ */

/* Run @check in a child, and assert that it returned true. */
static void in_child(bool (*check)(void *ctx), void *ctx)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(check(ctx) ? 0 : 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

struct parents {
    struct blobseal_context *context;
    struct held held;
    struct blobseal_writer *writer;
};

static bool refused(enum blobseal_status st, const struct blobseal_error *err)
{
    return st == BLOBSEAL_E_ARG && strstr(err->text, "belongs to the parent process") != NULL;
}

static bool child_uses_parents(void *ctx)
{
    struct parents *p = ctx;
    struct blobseal_counters counters = {.size = sizeof counters};
    struct blobseal_error err;
    struct held own;
    uint8_t bytes[10];
    size_t n;
    bool ok = refused(blobseal_reader_pread(p->held.reader, bytes, 10, 0, &n, &err), &err) && bs_all_zero(bytes, 10);

    ok = ok && refused(blobseal_reader_read(p->held.reader, bytes, 10, &n, &err), &err);
    ok = ok && refused(blobseal_reader_verify(p->held.reader, NULL, &err), &err);
    ok = ok && refused(blobseal_reader_stream_range(p->held.reader, NULL, 0, 1, NULL, &err), &err);
    ok = ok && refused(blobseal_writer_write(p->writer, bytes, 10, &err), &err);
    ok = ok && refused(blobseal_writer_finish(p->writer, NULL, &err), &err);
    ok = ok && refused(blobseal_context_counters(p->context, &counters, &err), &err);
    blobseal_context_trim(p->context);
    ok = ok && blobseal_context_counters(NULL, &counters, &err) == BLOBSEAL_OK && counters.seals == 0;
    open_blob(&own, NULL);
    ok = ok && blobseal_reader_pread(own.reader, bytes, 10, 100000, &n, &err) == BLOBSEAL_OK;
    ok = ok && memcmp(bytes, plain + 100000, 10) == 0;
    close_blob(&own);
    blobseal_reader_close(p->held.reader);
    blobseal_writer_close(p->writer);
    blobseal_context_free(p->context);
    return ok;
}

static void check_fork(bool own_context)
{
    struct blobseal_context *c = own_context ? new_context(0, 0) : NULL;
    const struct blobseal_seal_options o = {.size = sizeof o, .context = c};
    struct parents p = {.context = own_context ? c : new_context(0, 0)};
    struct blobseal_memory memory;
    struct blobseal_sink sink;
    uint8_t byte;
    size_t n;

    open_blob(&p.held, c);
    cr_assert_eq(blobseal_reader_pread(p.held.reader, &byte, 1, 5, &n, NULL), BLOBSEAL_OK);
    blobseal_sink_memory(&sink, &memory);
    cr_assert_eq(blobseal_writer_open(&p.writer, &sink, &kek, 1, &o, NULL), BLOBSEAL_OK);
    for (int i = 0; i < 2; i++)
        in_child(child_uses_parents, &p);
    cr_assert_eq(blobseal_reader_pread(p.held.reader, &byte, 1, 99999, &n, NULL), BLOBSEAL_OK);
    cr_expect_eq(byte, plain[99999]);
    cr_expect_eq(blobseal_writer_finish(p.writer, NULL, NULL), BLOBSEAL_OK);
    blobseal_writer_close(p.writer);
    blobseal_free(memory.data);
    close_blob(&p.held);
    blobseal_context_free(p.context);
}

Test(context, a_child_is_refused_the_objects_of_its_parent)
{
    check_fork(false);
}

Test(context, a_child_is_refused_the_objects_of_a_context_of_its_parent)
{
    check_fork(true);
}
