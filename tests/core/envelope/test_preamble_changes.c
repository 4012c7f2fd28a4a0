/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the slots while another process changes them: without a lock, and repeatedly. Section 5. */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define PLAIN "some plaintext"

/*
 * A source whose slots look different at each reading: one letter for each reading, the last one for all later
 * readings.
 */
struct changing {
    const char *views; /* o: the old generation in both slots. n: new and old. x and y: no valid slot. t: a tie. c: a
                          truncated file. e: an error */
    unsigned readings; /* of the slots that were made */
};

static struct recipe recipe;
static struct fake_kek fake = {.kid = "a"};
static struct blobseal_kek *kek;
static char *old_text, *new_text, *other_text;
static uint8_t *core, *views['z' + 1];
static size_t core_len, len;

static void make_view(char name, struct slot_text a, struct slot_text b)
{
    views[(int)name] = put_in_frame(&recipe.core, BLOBSEAL_LAYOUT_AB, a, b, core, core_len, &len);
}

static void start(void)
{
    recipe_make(&recipe, 3, 1);
    kek = fake_kek_open(&fake);
    old_text = recipe_envelope(&recipe, 1, &kek, 1);
    new_text = recipe_envelope(&recipe, 2, &kek, 1);
    other_text = recipe_envelope(&recipe, 2, &kek, 1); /* an envelope with another CEK */
    core = recipe_core(&recipe, PLAIN, strlen(PLAIN), &core_len);
    make_view('o', (struct slot_text){old_text, 1}, (struct slot_text){old_text, 1});
    make_view('n', (struct slot_text){old_text, 1}, (struct slot_text){new_text, 2});
    make_view('t', (struct slot_text){new_text, 2}, (struct slot_text){other_text, 2});
    make_view('x', (struct slot_text){new_text, 2}, (struct slot_text){new_text, 2});
    views['x'][4096 + 300] ^= 1;
    views['x'][2 * 4096 + 300] ^= 1;
    make_view('y', (struct slot_text){new_text, 2}, (struct slot_text){new_text, 2});
    views['y'][4096 + 300] ^= 2;
    views['y'][2 * 4096 + 300] ^= 2;
}

static void stop(void)
{
    for (size_t i = 0; i < COUNT(views); i++)
        free(views[i]);
    free(core);
    free(old_text);
    free(new_text);
    free(other_text);
    blobseal_kek_close(kek);
}

SUITE_WITH(preamble_changes, start, stop);

static enum blobseal_status changing_pread(void *ctx, void *buf, size_t n, uint64_t off, size_t *nread,
                                           struct blobseal_error *err)
{
    struct changing *c = ctx;
    size_t at = c->readings, end = len;

    *nread = 0;
    if (off == BS_FRAME_HEADER_LEN) { /* the offset at which the slots are read */
        c->readings++;
    } else if (at > 0) {
        at--;
    }
    if (at >= strlen(c->views))
        at = strlen(c->views) - 1;
    if (c->views[at] == 'e')
        return blobseal_fail(err, BLOBSEAL_E_CANCELED, 0, "the fault that was asked for");
    if (c->views[at] == 'c')
        end = 4096;
    if (off < end) {
        *nread = n < end - off ? n : (size_t)(end - off);
        memcpy(buf, views[c->views[at] == 'c' ? 'o' : (int)c->views[at]] + off, *nread);
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status changing_read(void *ctx, void *buf, size_t n, size_t *nread, struct blobseal_error *err)
{
    struct changing *c = ctx;
    static size_t pos;

    if (n == BS_FRAME_HEADER_LEN && c->readings == 0)
        pos = 0;
    if (changing_pread(ctx, buf, n, pos, nread, err) == BLOBSEAL_OK)
        pos += *nread;
    return BLOBSEAL_OK;
}

static struct blobseal_source source_of(struct changing *c)
{
    return (struct blobseal_source){.ctx = c, .size = len, .name = "changing", .pread = changing_pread};
}

static enum blobseal_status read_it(struct changing *c, const struct blobseal_source *source, struct bs_preamble *f)
{
    struct bs_input in = {source, 0};
    struct blobseal_error err = {0};
    enum blobseal_status st = bs_preamble_read(f, &in, NULL, 0, &err);

    cr_assert_eq(st, err.status, "%s: %s", c->views, err.text);
    if (st == BLOBSEAL_OK)
        cr_assert_eq(in.pos, len - core_len + BS_CORE_HEADER_LEN, "%s: the input stands at the payload", c->views);
    return st;
}

/*
 * Read the preamble of a source with these views. Expect that its slots are read @readings times, and that it then has
 * the newest @generation, or fails with @want.
 */
static void expect(const char *shown, enum blobseal_status want, unsigned readings, uint64_t generation, uint32_t notes)
{
    struct changing c = {.views = shown};
    const struct blobseal_source source = source_of(&c);
    struct bs_preamble f;

    cr_expect_eq(read_it(&c, &source, &f), want, "%s", shown);
    cr_expect_eq(c.readings, readings, "%s: %u readings", shown, c.readings);
    if (want == BLOBSEAL_OK) {
        cr_expect_eq(f.notes, notes, "%s: notes %x", shown, f.notes);
        cr_expect_eq(f.num_candidates, (notes & BLOBSEAL_NOTE_TIE) != 0 ? 2 : 1, "%s", shown);
        cr_expect_eq(f.candidates[0].generation, generation, "%s", shown);
    }
    bs_preamble_clear(&f);
}

Test(preamble_changes, a_valid_slot_is_enough)
{
    expect("ox", BLOBSEAL_OK, 1, 1, 0);
    expect("nx", BLOBSEAL_OK, 1, 2, BLOBSEAL_NOTE_UNFINISHED);
}

Test(preamble_changes, torn_slots_are_read_again_up_to_five_times)
{
    char shown[8] = "";

    for (unsigned torn = 1; torn <= 6; torn++) {
        for (unsigned i = 0; i < torn; i++)
            shown[i] = i % 2 == 0 ? 'x' : 'y';
        shown[torn] = 'n';
        if (torn <= 5)
            expect(shown, BLOBSEAL_OK, torn + 1, 2, BLOBSEAL_NOTE_UNFINISHED);
        else
            expect(shown, BLOBSEAL_E_DAMAGED, 6, 0, 0);
    }
}

Test(preamble_changes, a_tie_is_looked_at_again_and_may_be_one)
{
    expect("to", BLOBSEAL_OK, 2, 1, 0);
    expect("txtn", BLOBSEAL_OK, 4, 2, BLOBSEAL_NOTE_UNFINISHED);
    expect("xyxyxt", BLOBSEAL_OK, 6, 2, BLOBSEAL_NOTE_TIE | BLOBSEAL_NOTE_UNFINISHED);
}

/* Both slots had these bytes at one moment, so no change is in progress. */
Test(preamble_changes, the_same_bytes_twice_are_what_there_is)
{
    expect("t", BLOBSEAL_OK, 2, 2, BLOBSEAL_NOTE_TIE | BLOBSEAL_NOTE_UNFINISHED);
    expect("xytt", BLOBSEAL_OK, 4, 2, BLOBSEAL_NOTE_TIE | BLOBSEAL_NOTE_UNFINISHED);
    expect("xxn", BLOBSEAL_E_DAMAGED, 2, 0, 0);
}

Test(preamble_changes, an_error_while_looking_again_counts)
{
    expect("xe", BLOBSEAL_E_CANCELED, 2, 0, 0);
    expect("xc", BLOBSEAL_E_DAMAGED, 2, 0, 0);
    expect("xyec", BLOBSEAL_E_CANCELED, 3, 0, 0);
}

/* Whoever reports the notes waits for the end of a change, so that it is not reported as one that did not finish. */
Test(preamble_changes, a_change_in_progress_is_not_reported_as_unfinished)
{
    static const struct {
        const char *views;
        unsigned readings;
        uint32_t notes;
    } cases[] = {{"o", 1, 0}, {"nno", 3, 0}, {"nxtno", 5, 0}, {"n", 6, BLOBSEAL_NOTE_UNFINISHED}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct changing c = {.views = cases[i].views};
        const struct blobseal_source source = source_of(&c);
        struct blobseal_info *info;
        struct blobseal_error err;

        cr_assert_eq(blobseal_inspect(&info, &source, NULL, 0, &err), BLOBSEAL_OK, "%s", err.text);
        cr_expect_eq(info->notes & BLOBSEAL_NOTE_UNFINISHED, cases[i].notes, "%s: notes %x", c.views, info->notes);
        cr_expect_eq(c.readings, cases[i].readings, "%s: %u readings", c.views, c.readings);
        blobseal_info_free(info);
    }
}

/* Memory does not change while it is read, and a stream is read once, whatever its slots contain. */
Test(preamble_changes, what_nobody_changes_is_read_once)
{
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct changing c = {.views = "xn"};
    struct bs_preamble f;

    source = source_of(&c);
    source.pread = NULL;
    source.read = changing_read;
    cr_expect_eq(read_it(&c, &source, &f), BLOBSEAL_E_DAMAGED);
    cr_expect_eq(c.readings, 1);
    bs_preamble_clear(&f);
    blobseal_source_memory(&source, &memory, views['x'], len);
    cr_expect_eq(read_it(&c, &source, &f), BLOBSEAL_E_DAMAGED);
    bs_preamble_clear(&f);
}

Test(preamble_changes, slots_that_do_not_count_are_read_once)
{
    struct changing c = {.views = "xn"};
    const struct blobseal_source source = source_of(&c);
    struct bs_input in = {&source, 0};
    struct blobseal_error err;
    struct bs_preamble f;

    cr_expect_eq(bs_preamble_read(&f, &in, old_text, strlen(old_text), &err), BLOBSEAL_OK, "an envelope was named");
    cr_expect(c.readings == 1);
    bs_preamble_clear(&f);

    c = (struct changing){.views = "x"};
    in.pos = 0;
    free(views['x']);
    views['x'] = put_in_frame(&recipe.core, BLOBSEAL_LAYOUT_COMPACT, (struct slot_text){old_text, 1},
                              (struct slot_text){0}, core, core_len, &len);
    views['x'][300] ^= 1;
    cr_expect_eq(bs_preamble_read(&f, &in, NULL, 0, &err), BLOBSEAL_E_DAMAGED, "one slot is never changed in place");
    cr_expect(c.readings == 1);
    bs_preamble_clear(&f);
}

/* ---- Locks of files ---------------------------------------------------------------------------------------------- */

/* An exclusive lock on the whole file, held by whoever is allowed to take one, does not hinder readers. */
Test(preamble_changes, a_file_is_read_whatever_is_locked)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct blobseal_source source;
    struct blobseal_fd state;
    struct blobseal_error err;
    struct bs_preamble f;
    struct bs_input in;
    char path[VEC_PATH];
    int fds[2];

    vec_temp_file(path, views['o'], len, 0600);
    fds[0] = open(path, O_RDONLY | O_CLOEXEC);
    fds[1] = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(fds[0] >= 0 && fds[1] >= 0);
    cr_assert_eq(fcntl(fds[1], F_OFD_SETLK, &whole), 0);
    cr_assert_eq(blobseal_source_fd(&source, &state, fds[0], NULL, &err), BLOBSEAL_OK);
    in = (struct bs_input){&source, 0};
    cr_expect_eq(bs_preamble_inspect(&f, &in, NULL, 0, &err), BLOBSEAL_OK, "%s", err.text);
    bs_preamble_clear(&f);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)unlink(path);
}

/* A reader leaves no lock behind, so it cannot hinder a change either. */
Test(preamble_changes, readers_take_no_lock)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct blobseal_source file;
    struct blobseal_reader *reader;
    struct blobseal_fd state;
    struct blobseal_error err;
    char path[VEC_PATH];
    int fds[2];

    vec_temp_file(path, views['o'], len, 0600);
    fds[0] = open(path, O_RDWR | O_CLOEXEC);
    fds[1] = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(fds[0] >= 0 && fds[1] >= 0);
    cr_assert_eq(blobseal_source_fd(&file, &state, fds[0], NULL, &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_reader_open(&reader, &file, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect_eq(fcntl(fds[1], F_OFD_GETLK, &whole), 0);
    cr_expect_eq(whole.l_type, F_UNLCK);
    blobseal_reader_close(reader);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)unlink(path);
}
