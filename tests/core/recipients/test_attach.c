/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a blob with another envelope: every layout to every layout, through files and pipes that misbehave. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define GEN 6u
#define MIB ((size_t)1 << 20)

static struct fake_kek fake = {.kid = "a-key"}, fake_two = {.kid = "b-key", .twist = 9};
static struct blobseal_kek *kek, *kek_two;
static uint8_t *plain;

static void start(void)
{
    kek = fake_kek_open(&fake);
    kek_two = fake_kek_open(&fake_two);
    plain = must_alloc(3 * MIB);
    fill_random(plain, 3 * MIB, 1);
}

static void stop(void)
{
    blobseal_kek_close(kek);
    blobseal_kek_close(kek_two);
    free(plain);
}

SUITE_WITH(attach, start, stop);

static const enum blobseal_layout layouts[] = {BLOBSEAL_LAYOUT_COMPACT, BLOBSEAL_LAYOUT_AB, BLOBSEAL_LAYOUT_DETACHED};

/* A blob built by the test: core, envelope, and both together. */
struct piece {
    struct recipe r;
    char *envelope;
    uint8_t *core, *blob;
    size_t core_len, len, plain_len;
};

static void piece_make(struct piece *p, uint64_t seed, enum blobseal_layout layout, unsigned segments, size_t plain_len)
{
    struct slot_text t;

    recipe_make(&p->r, seed, segments);
    p->plain_len = plain_len;
    p->envelope = recipe_envelope(&p->r, GEN, &kek, 1);
    p->core = recipe_core(&p->r, plain, plain_len, &p->core_len);
    t = (struct slot_text){p->envelope, GEN};
    if (layout == BLOBSEAL_LAYOUT_DETACHED) {
        p->len = p->core_len;
        p->blob = must_copy(p->core, p->core_len);
    } else {
        p->blob = put_in_frame(&p->r.core, layout, t, t, p->core, p->core_len, &p->len);
    }
}

static void piece_clear(struct piece *p)
{
    free(p->envelope);
    free(p->core);
    free(p->blob);
}

/* How the bytes are read and written. */
struct route {
    bool pipe_in, pipe_out;
    size_t max_piece;
    struct fault in, out;
};

/* Attach an envelope. The output is in @to; end it with test_sink_end(). */
static enum blobseal_status attach(struct test_sink *to, const uint8_t *blob, size_t len, const char *envelope,
                                   enum blobseal_layout layout, uint32_t capacity, const struct route *route,
                                   struct blobseal_error *err)
{
    struct test_source from = {
        .data = blob, .len = len, .seekable = !route->pipe_in, .max_piece = route->max_piece, .fault = route->in};
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st;

    *to = (struct test_sink){.seekable = !route->pipe_out, .cap = len + 300000, .fault = route->out};
    test_source_start(&source, &from);
    test_sink_start(&sink, to);
    st = blobseal_attach(&sink, &source,
                         ATTACH(.envelope = envelope, .envelope_len = envelope != NULL ? strlen(envelope) : 0,
                                .layout = layout, .slot_capacity = capacity),
                         err);
    cr_assert_not(from.misused);
    cr_assert_not(to->misused);
    test_source_end(&from);
    return st;
}

/* Expect that the output is a blob of this layout with the core of @p and the envelope @text. */
static void expect_blob(const struct piece *p, const struct test_sink *to, enum blobseal_layout layout,
                        const char *text)
{
    size_t len = (size_t)to->bytes, core = core_offset_of(to->data, len);
    struct how_to_open how = {0};
    struct opened o;

    cr_assert(test_sink_is(to, to->data, len), "bytes in between were not written");
    cr_assert_eq(len - core, p->core_len);
    cr_assert(memcmp(to->data + core, p->core, p->core_len) == 0, "the core");
    cr_assert_eq(core == 0, layout == BLOBSEAL_LAYOUT_DETACHED);
    cr_assert(core == 0 || to->data[10] == (layout == BLOBSEAL_LAYOUT_AB ? 2 : 1));
    for (unsigned i = 0; core > 0 && i < to->data[10]; i++) {
        const uint8_t *slot = to->data + bs_load32(to->data + 12) + i * (size_t)bs_load32(to->data + 16);

        cr_assert(bs_load32(slot + 4) == strlen(text) && memcmp(slot + 24, text, strlen(text)) == 0, "the envelope");
        cr_assert_eq(bs_load64(slot + 8), GEN);
    }
    if (core == 0) {
        how.envelope = text;
        how.envelope_len = strlen(text);
    }
    cr_assert_eq(open_bytes(&o, to->data, len, &kek, 1, &how, NULL), BLOBSEAL_OK);
    cr_assert(o.len == p->plain_len && (o.len == 0 || memcmp(o.data, plain, o.len) == 0) && o.notes == 0);
    opened_clear(&o);
}

/* ---- Every combination ------------------------------------------------------------------------------------------- */

static void try_all_routes(const struct piece *p, enum blobseal_layout from, enum blobseal_layout to, bool named)
{
    for (unsigned i = 0; i < 8; i++) {
        const struct route route = {i % 2 == 1, i / 2 % 2 == 1, i / 4 == 1 ? 5000 : 0, {0}, {0}};
        bool possible = named || from != BLOBSEAL_LAYOUT_DETACHED || to == BLOBSEAL_LAYOUT_DETACHED;
        struct blobseal_error err;
        struct test_sink sink;
        enum blobseal_status st = attach(&sink, p->blob, p->len, named ? p->envelope : NULL, to, 0, &route, &err);

        cr_assert_eq(st, possible ? BLOBSEAL_OK : BLOBSEAL_E_CONFIG, "%d to %d: %s", from, to, err.text);
        if (possible)
            expect_blob(p, &sink, to, p->envelope);
        else
            cr_expect_eq(sink.bytes, 0);
        test_sink_end(&sink);
    }
}

Test(attach, every_layout_to_every_layout)
{
    static const size_t sizes[] = {0, 1, 16384, MIB - 1, MIB, 2 * MIB + 70000};

    for (size_t i = 0; i < 2 * COUNT(sizes); i++)
        for (size_t k = 0; k < COUNT(layouts) * COUNT(layouts); k++) {
            struct piece p;

            piece_make(&p, i + 1, layouts[k / COUNT(layouts)], (unsigned)i % 2, sizes[i / 2]);
            for (unsigned named = 0; named <= 1; named++)
                try_all_routes(&p, layouts[k / COUNT(layouts)], layouts[k % COUNT(layouts)], named == 1);
            piece_clear(&p);
        }
}

Test(attach, auto_keeps_the_layout)
{
    for (size_t i = 0; i < COUNT(layouts); i++) {
        struct test_sink sink;
        struct piece p;

        piece_make(&p, 1, layouts[i], 1, 1000);
        cr_assert_eq(attach(&sink, p.blob, p.len, NULL, BLOBSEAL_LAYOUT_AUTO, 0, &(struct route){0}, NULL),
                     BLOBSEAL_OK);
        cr_expect(test_sink_is(&sink, p.blob, p.len), "nothing changes at all");
        test_sink_end(&sink);
        piece_clear(&p);
    }
}

/* An envelope that is passed by the caller replaces that of the source, whatever the state of the source's slots. */
Test(attach, a_named_envelope_takes_the_place)
{
    for (size_t i = 0; i < COUNT(layouts) * COUNT(layouts); i++) {
        enum blobseal_layout from = layouts[i / COUNT(layouts)], to = layouts[i % COUNT(layouts)];
        struct test_sink sink;
        struct piece p;
        char *other;

        piece_make(&p, 1, from, 1, 1000);
        other = recipe_envelope(&p.r, GEN, &kek, 1);
        cr_assert_str_neq(other, p.envelope);
        if (from != BLOBSEAL_LAYOUT_DETACHED)
            memset(p.blob + bs_load32(p.blob + 12), 0xEE, p.len - p.core_len - bs_load32(p.blob + 12));
        cr_assert_eq(attach(&sink, p.blob, p.len, other, to, 0, &(struct route){0}, NULL), BLOBSEAL_OK);
        expect_blob(&p, &sink, to, other);
        test_sink_end(&sink);
        free(other);
        piece_clear(&p);
    }
}

/* ---- Capacity ---------------------------------------------------------------------------------------------------- */

static uint32_t capacity_after(const uint8_t *blob, size_t len, const char *envelope, uint32_t wanted,
                               enum blobseal_status *st)
{
    struct test_sink sink;
    uint32_t capacity = 0;

    *st = attach(&sink, blob, len, envelope, BLOBSEAL_LAYOUT_AB, wanted, &(struct route){0}, NULL);
    if (*st == BLOBSEAL_OK)
        capacity = bs_load32(sink.data + 16);
    else
        cr_expect_eq(sink.bytes, 0, "nothing is written before it is known to fit");
    test_sink_end(&sink);
    return capacity;
}

Test(attach, slots_have_the_capacity_asked_for_or_that_of_the_source)
{
    struct blobseal_kek *many[30];
    struct fake_kek fakes[30];
    char kids[30][8], *large;
    enum blobseal_status st;
    struct piece p;
    struct test_sink wide;

    for (unsigned i = 0; i < 30; i++) {
        memcpy(kids[i], "key-000", 8);
        kids[i][5] = (char)('0' + i / 10);
        kids[i][6] = (char)('0' + i % 10);
        fakes[i] = (struct fake_kek){.kid = kids[i]};
        many[i] = fake_kek_open(&fakes[i]);
    }
    piece_make(&p, 1, BLOBSEAL_LAYOUT_AB, 1, 1000);
    large = recipe_envelope(&p.r, GEN, many, 30);
    cr_assert(strlen(large) > 8192 && strlen(large) < 16384 - 24);
    cr_expect_eq(capacity_after(p.blob, p.len, NULL, 0, &st), 4096, "as the source has");
    cr_expect_eq(capacity_after(p.core, p.core_len, p.envelope, 0, &st), 16384, "the default");
    cr_expect_eq(capacity_after(p.blob, p.len, NULL, 65536, &st), 65536);
    cr_expect_eq(capacity_after(p.blob, p.len, large, 0, &st), (strlen(large) + 24 + 4096 + 4095) / 4096 * 4096,
                 "with room for later recipients");
    cr_expect_eq(capacity_after(p.blob, p.len, large, 16384, &st), 16384);
    (void)capacity_after(p.blob, p.len, large, 8192, &st);
    cr_expect_eq(st, BLOBSEAL_E_POLICY, "it does not fit");
    (void)capacity_after(p.blob, p.len, NULL, 5000, &st);
    cr_expect_eq(st, BLOBSEAL_E_ARG, "not a multiple of 4096");
    (void)capacity_after(p.blob, p.len, NULL, 65536 + 4096, &st);
    cr_expect_eq(st, BLOBSEAL_E_ARG);
    cr_assert_eq(attach(&wide, p.blob, p.len, NULL, BLOBSEAL_LAYOUT_AB, 20480, &(struct route){0}, NULL), BLOBSEAL_OK);
    cr_expect_eq(capacity_after(wide.data, (size_t)wide.bytes, NULL, 0, &st), 20480, "room that was chosen stays");
    test_sink_end(&wide);
    free(large);
    piece_clear(&p);
    for (unsigned i = 0; i < 30; i++)
        blobseal_kek_close(many[i]);
}

/* ---- Damaged sources --------------------------------------------------------------------------------------------- */

/* The slots of an A/B source: which one counts, and what cannot be decided without a key. */
Test(attach, the_newest_valid_slot_counts_and_a_tie_is_refused)
{
    struct blobseal_error err;
    struct test_sink sink;
    struct piece p;
    char *other;

    piece_make(&p, 1, BLOBSEAL_LAYOUT_DETACHED, 1, 1000);
    other = recipe_envelope(&p.r, GEN, &kek, 1);
    for (unsigned i = 0; i < 8; i++) {
        static const uint64_t gens[] = {GEN - 1, GEN, 0, GEN + 1}; /* generation of the other slot; 0: empty */
        struct slot_text a = {p.envelope, GEN}, b = {gens[i / 2] != 0 ? other : NULL, gens[i / 2]};
        enum blobseal_status want = i / 2 == 1 ? BLOBSEAL_E_DAMAGED : i / 2 == 3 ? BLOBSEAL_E_FORMAT : BLOBSEAL_OK;
        size_t len;
        uint8_t *blob = put_in_frame(&p.r.core, BLOBSEAL_LAYOUT_AB, i % 2 == 0 ? a : b, i % 2 == 0 ? b : a, p.core,
                                     p.core_len, &len);

        for (size_t to = 0; to < COUNT(layouts); to++) {
            bool cut = layouts[to] == BLOBSEAL_LAYOUT_DETACHED;
            enum blobseal_status st = attach(&sink, blob, len, NULL, layouts[to], 0, &(struct route){0}, &err);

            cr_expect_eq(st, cut ? BLOBSEAL_OK : want, "case %u to %zu: %s", i, to, blobseal_status_code(st));
            if (st == BLOBSEAL_OK)
                expect_blob(&p, &sink, layouts[to], p.envelope);
            else
                cr_expect_eq(sink.bytes, 0);
            cr_expect(st != BLOBSEAL_E_DAMAGED || strstr(err.hint, "repair") != NULL);
            test_sink_end(&sink);
        }
        cr_assert_eq(attach(&sink, blob, len, p.envelope, BLOBSEAL_LAYOUT_COMPACT, 0, &(struct route){0}, NULL),
                     BLOBSEAL_OK, "a named one settles it");
        test_sink_end(&sink);
        free(blob);
    }
    free(other);
    piece_clear(&p);
}

Test(attach, no_valid_slot)
{
    struct test_sink sink;
    struct piece p;

    for (size_t i = 0; i < 2; i++) {
        piece_make(&p, 1, layouts[i], 1, 1000);
        for (unsigned s = 0; s < p.blob[10]; s++)
            p.blob[bs_load32(p.blob + 12) + s * bs_load32(p.blob + 16) + 200] ^= 1;
        cr_expect_eq(attach(&sink, p.blob, p.len, NULL, BLOBSEAL_LAYOUT_AB, 0, &(struct route){0}, NULL),
                     BLOBSEAL_E_DAMAGED);
        cr_expect_eq(sink.bytes, 0);
        test_sink_end(&sink);
        piece_clear(&p);
    }
}

/* Return true if a core can have @len bytes. Its truncation is then found only by opening it. */
static bool is_possible(const struct piece *p, size_t core_len)
{
    uint64_t n;

    return core_len >= 96 && bs_payload_plain_len(&p->r.core, core_len - 96, &n);
}

/* The blob is truncated at every length. What cannot be a blob is refused, and a truncated blob never opens. */
Test(attach, a_truncated_source)
{
    for (unsigned i = 0; i < 2 * COUNT(layouts); i++) {
        struct piece p;

        piece_make(&p, 1, layouts[i / 2], i % 2, 16384 + 300);
        for (size_t len = 0; len < p.len; len += len < p.len - p.core_len + 120 || len > p.len - 60 ? 1 : 97) {
            const struct route route = {len % 2 == 1, len % 3 == 0, 0, {0}, {0}};
            size_t frame = p.len - p.core_len;
            struct test_sink sink;
            enum blobseal_status st = attach(&sink, p.blob, len, p.envelope, BLOBSEAL_LAYOUT_COMPACT, 0, &route, NULL);
            struct opened o;

            cr_expect_eq(st == BLOBSEAL_OK, len >= frame && is_possible(&p, len - frame), "truncated at %zu: %s", len,
                         blobseal_status_code(st));
            cr_expect(st == BLOBSEAL_OK || st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_FORMAT);
            cr_expect_neq(open_bytes(&o, sink.data, (size_t)sink.bytes, &kek, 1, NULL, NULL), BLOBSEAL_OK);
            opened_clear(&o);
            test_sink_end(&sink);
        }
        piece_clear(&p);
    }
}

/* A file that grows or shrinks while it is copied. */
Test(attach, a_source_whose_size_changes)
{
    struct piece p;

    piece_make(&p, 1, BLOBSEAL_LAYOUT_COMPACT, 0, 2 * MIB);
    for (unsigned i = 0; i < 2; i++) {
        struct test_source from = {.data = p.blob, .len = p.len, .seekable = true, .size = p.len + 1 - 2 * i};
        struct test_sink to = {.cap = 3 * MIB};
        struct blobseal_source source;
        struct blobseal_sink sink;

        test_source_start(&source, &from);
        test_sink_start(&sink, &to);
        cr_expect_eq(blobseal_attach(&sink, &source, NULL, NULL), BLOBSEAL_E_INPUT);
        test_sink_end(&to);
        test_source_end(&from);
    }
    piece_clear(&p);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

/* Fail at each call of the source, and of the sink, with and without an error text. */
Test(attach, what_fails_ends_it)
{
    struct piece p;

    piece_make(&p, 1, BLOBSEAL_LAYOUT_AB, 1, 2 * MIB + 100);
    for (unsigned i = 0; i < 8; i++) {
        bool of_sink = i % 2 == 1;

        for (uint64_t call = 1;; call++) {
            const struct fault fault = {.at_call = call,
                                        .status = of_sink ? BLOBSEAL_E_OUTPUT : BLOBSEAL_E_INPUT,
                                        .silent = i / 2 % 2 == 1,
                                        .once = true};
            struct route route = {i / 4 == 1, i / 4 == 1, 0, {0}, {0}};
            struct blobseal_error err;
            struct test_sink sink;
            enum blobseal_status st;

            *(of_sink ? &route.out : &route.in) = fault;
            memset(&err, 0x7F, sizeof err);
            st = attach(&sink, p.blob, p.len, NULL, BLOBSEAL_LAYOUT_AUTO, 0, &route, &err);
            cr_expect(test_sink_is_part_of(&sink, p.blob, p.len));
            if (st == BLOBSEAL_OK) {
                cr_expect(test_sink_is(&sink, p.blob, p.len));
                cr_expect_gt(call, 4);
            } else {
                cr_expect_eq(st, fault.status);
                cr_expect_eq(err.status, st);
                cr_expect_not_null(memchr(err.text, '\0', sizeof err.text));
            }
            test_sink_end(&sink);
            if (st == BLOBSEAL_OK)
                break;
        }
    }
    piece_clear(&p);
}

Test(attach, what_does_not_belong_together_is_refused)
{
    struct piece p, other;
    struct test_sink sink;
    char *bad;

    piece_make(&p, 1, BLOBSEAL_LAYOUT_AB, 1, 100);
    piece_make(&other, 50, BLOBSEAL_LAYOUT_AB, 1, 100);
    bad = must_copy(p.envelope, strlen(p.envelope) + 1);
    bad[1] = 'x';
    cr_expect_eq(attach(&sink, p.blob, p.len, other.envelope, BLOBSEAL_LAYOUT_AB, 0, &(struct route){0}, NULL),
                 BLOBSEAL_E_FORMAT, "the envelope of another blob");
    test_sink_end(&sink);
    cr_expect_eq(attach(&sink, p.blob, p.len, bad, BLOBSEAL_LAYOUT_AB, 0, &(struct route){0}, NULL), BLOBSEAL_E_FORMAT);
    test_sink_end(&sink);
    cr_expect_eq(attach(&sink, p.blob, p.len, "", BLOBSEAL_LAYOUT_AB, 0, &(struct route){0}, NULL), BLOBSEAL_E_FORMAT);
    test_sink_end(&sink);
    cr_expect_eq(attach(&sink, plain, 5000, p.envelope, BLOBSEAL_LAYOUT_AB, 0, &(struct route){0}, NULL),
                 BLOBSEAL_E_FORMAT, "no blob");
    test_sink_end(&sink);
    cr_expect_eq(attach(&sink, p.blob, p.len, NULL, BLOBSEAL_LAYOUT_DETACHED + 1, 0, &(struct route){0}, NULL),
                 BLOBSEAL_E_ARG);
    test_sink_end(&sink);
    free(bad);
    piece_clear(&p);
    piece_clear(&other);
}

Test(attach, sources_and_sinks_need_functions)
{
    struct blobseal_memory from, to;
    struct blobseal_source source;
    struct blobseal_sink sink;

    blobseal_source_memory(&source, &from, "x", 1);
    blobseal_sink_memory(&sink, &to);
    sink.write = NULL;
    cr_expect_eq(blobseal_attach(&sink, &source, NULL, NULL), BLOBSEAL_E_ARG);
    blobseal_sink_memory(&sink, &to);
    source.pread = NULL;
    cr_expect_eq(blobseal_attach(&sink, &source, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_null(to.data);
}

/* Real pipes on both sides, and a real file. */
Test(attach, through_pipes_and_files)
{
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_fd in, out;
    char path[VEC_PATH];
    struct piece p;
    int ends[2], fd;
    pid_t child;
    uint8_t *back;

    piece_make(&p, 1, BLOBSEAL_LAYOUT_COMPACT, 1, 2 * MIB + 100);
    vec_temp_file(path, p.blob, p.len, 0600);
    cr_assert_eq(pipe(ends), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        (void)close(ends[0]);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (blobseal_source_fd(&source, &in, fd, "file", NULL) != BLOBSEAL_OK ||
            blobseal_sink_fd(&sink, &out, ends[1], "pipe", NULL) != BLOBSEAL_OK)
            _exit(1);
        _exit(blobseal_attach(&sink, &source, ATTACH(.layout = BLOBSEAL_LAYOUT_AB), NULL) == BLOBSEAL_OK ? 0 : 1);
    }
    (void)close(ends[1]);
    fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    {
        int status, to;
        char result[VEC_PATH];

        vec_temp_file(result, "", 0, 0600);
        to = open(result, O_RDWR | O_CLOEXEC);
        cr_assert_eq(blobseal_source_fd(&source, &in, ends[0], "pipe", NULL), BLOBSEAL_OK);
        cr_assert_eq(blobseal_sink_fd(&sink, &out, to, "file", NULL), BLOBSEAL_OK);
        cr_assert_eq(blobseal_attach(&sink, &source, ATTACH(.layout = BLOBSEAL_LAYOUT_COMPACT), NULL), BLOBSEAL_OK);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0);
        back = must_alloc(p.len + 1);
        cr_expect_eq(pread(to, back, p.len + 1, 0), (ssize_t)p.len);
        cr_expect(memcmp(back, p.blob, p.len) == 0, "there and back again");
        free(back);
        (void)close(to);
        (void)unlink(result);
    }
    (void)close(fd);
    (void)close(ends[0]);
    (void)unlink(path);
    piece_clear(&p);
}
