/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a blob in place: which slot counts, which unfinished change is completed, what an attacker may have written,
 * and how much is read and written. Crashes are in test_in_place_crash.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/changes.h"
#include "tests/support/suite.h"

#define GEN 6u

SUITE_WITH(in_place, keys_start, keys_end);

#define CHANGE(...) (&(const struct blobseal_change){.size = sizeof(struct blobseal_change), __VA_ARGS__})

/* ---- Blobs with two slots of any content ------------------------------------------------------------------------- */

static uint8_t *core_of(const struct recipe *r, size_t *len)
{
    uint8_t plain[KEPT_PLAIN];

    fill_random(plain, sizeof plain, 77);
    return recipe_core(r, plain, sizeof plain, len);
}

static void two_slots(struct kept *k, const struct recipe *r, struct slot_text a, struct slot_text b)
{
    size_t len;
    uint8_t *core = core_of(r, &len);

    *k = (struct kept){.way = WAY_AB};
    k->blob = put_in_frame(&r->core, BLOBSEAL_LAYOUT_AB, a, b, core, len, &k->len);
    free(core);
}

static uint8_t *slot_of(const struct kept *k, unsigned i)
{
    return k->blob + 4096 + i * (size_t)bs_load32(k->blob + 16);
}

static bool slots_agree(const struct kept *k)
{
    return memcmp(slot_of(k, 0), slot_of(k, 1), bs_load32(k->blob + 16)) == 0 && memcmp(slot_of(k, 0), "BSKS", 4) == 0;
}

static uint64_t generation_of(const struct kept *k)
{
    return bs_load64(slot_of(k, 0) + 8);
}

/* ---- Unfinished changes ------------------------------------------------------------------------------------------ */

/* What the other slot contains, on either side of the one that counts: an older envelope, nothing, or a damaged one. */
enum undone { OLDER, EMPTY, DAMAGED, NUM_UNDONE };

static void undone(struct kept *k, const struct recipe *r, const char *older, const char *newest, enum undone what,
                   bool swapped)
{
    const struct slot_text good = {newest, GEN + 1};
    const struct slot_text bad = {what == EMPTY ? NULL : what == OLDER ? older : newest, what == OLDER ? GEN : GEN + 1};

    two_slots(k, r, swapped ? bad : good, swapped ? good : bad);
    if (what == DAMAGED)
        slot_of(k, swapped ? 0 : 1)[100] ^= 1;
}

/* The old envelope is for keys 0 and 1, the new one for 1 and 2. */
static void finish_with(const struct blobseal_change *change, bool changes, const char *name)
{
    struct blobseal_kek *keks[] = {keys[1], keys[2]};
    struct blobseal_change_result *r;
    struct blobseal_error err;
    struct recipe rec;
    struct kept k;
    char *older, *newest;

    recipe_make(&rec, 1, 1);
    older = recipe_envelope(&rec, GEN, keys, 2);
    newest = recipe_envelope(&rec, GEN + 1, keys + 1, 2);
    for (unsigned i = 0; i < 2 * NUM_UNDONE; i++) {
        undone(&k, &rec, older, newest, i / 2, i % 2 == 1);
        cr_assert_eq(kept_change(&k, keks, 2, change, &r, &err), BLOBSEAL_OK, "%s, case %u: %s", name, i, err.text);
        cr_expect(r->finished && r->verified && r->changed == changes, "%s, case %u", name, i);
        cr_expect_eq(r->generation, changes ? GEN + 2 : GEN + 1);
        cr_expect(slots_agree(&k), "%s, case %u", name, i);
        cr_expect_eq(generation_of(&k), r->generation);
        cr_expect(changes || strcmp(r->envelope, newest) == 0);
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_E_NO_KEY);
        cr_expect_eq(kept_open(&k, keys[2]), BLOBSEAL_OK);
        blobseal_change_result_free(r);
        cr_assert_eq(kept_change(&k, keks, 2, CHANGE(.repair = true), &r, &err), BLOBSEAL_OK);
        cr_expect_not(r->finished, "%s, case %u: finished is finished", name, i);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
    free(older);
    free(newest);
}

Test(in_place, every_change_finishes_what_was_left_undone)
{
    struct blobseal_kek *both[] = {public_keys[1], public_keys[2]};

    finish_with(CHANGE(.repair = true), false, "repair");
    finish_with(CHANGE(.min_generation = 1), false, "nothing");
    finish_with(CHANGE(.add = &public_keys[2], .num_add = 1), false, "add a recipient that exists");
    finish_with(CHANGE(.remove = &fakes[9].kid, .num_remove = 1), false, "remove a recipient that does not exist");
    finish_with(CHANGE(.add = both, .num_add = 2, .only = true), false, "only recipients that exist");
    finish_with(CHANGE(.add = &public_keys[3], .num_add = 1), true, "add");
    finish_with(CHANGE(.add = &public_keys[3], .num_add = 1, .remove = &fakes[1].kid, .num_remove = 1), true, "swap");
}

Test(in_place, a_dry_run_leaves_it_undone)
{
    struct blobseal_change_result *r;
    struct recipe rec;
    struct kept k;
    char *older, *newest;
    uint8_t *was;

    recipe_make(&rec, 1, 1);
    older = recipe_envelope(&rec, GEN, keys, 2);
    newest = recipe_envelope(&rec, GEN + 1, keys + 1, 2);
    for (unsigned i = 0; i < 2 * NUM_UNDONE; i++) {
        undone(&k, &rec, older, newest, i / 2, i % 2 == 1);
        was = must_copy(k.blob, k.len);
        cr_assert_eq(kept_change(&k, keys + 1, 1, CHANGE(.repair = true, .dry_run = true), &r, NULL), BLOBSEAL_OK);
        cr_expect(r->finished && !r->changed);
        cr_expect_arr_eq(k.blob, was, k.len);
        blobseal_change_result_free(r);
        free(was);
        kept_clear(&k);
    }
    free(older);
    free(newest);
}

/*
 * A replacement crashed after writing one of its two slots. The old key no longer opens the slot that counts, and this
 * must be reported.
 */
Test(in_place, finishing_needs_a_key_that_opens_what_counts)
{
    struct blobseal_change change = {.size = sizeof change, .add = &public_keys[2], .num_add = 1, .replace = true};
    struct blobseal_kek *keks[] = {keys[0], public_keys[2], keys[2]};
    struct blobseal_change_result *r;
    struct blobseal_error err;
    struct recipe rec;
    struct kept k;
    char *older, *newest;

    recipe_make(&rec, 1, 1);
    older = recipe_envelope(&rec, GEN, keys, 1);
    newest = recipe_envelope(&rec, GEN + 1, keys + 2, 1);
    undone(&k, &rec, older, newest, OLDER, false);
    cr_expect_eq(kept_change(&k, keks, 2, &change, &r, &err), BLOBSEAL_E_NO_KEY);
    cr_expect_not_null(strstr(err.hint, "opens it now"), "%s", err.hint);
    cr_assert_eq(kept_change(&k, keks, 3, &change, &r, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect(!r->changed && r->finished && r->verified && slots_agree(&k));
    blobseal_change_result_free(r);
    kept_clear(&k);
    free(older);
    free(newest);
}

/* ---- Ties -------------------------------------------------------------------------------------------------------- */

Test(in_place, a_tie_gets_a_new_generation)
{
    struct blobseal_change_result *r;
    struct recipe rec, other;
    struct kept k;
    char *one, *two, *forged;

    recipe_make(&rec, 1, 1);
    other = rec;
    fill_random(other.dek.b, sizeof other.dek.b, 5); /* an envelope for the same blob and key, with another DEK */
    one = recipe_envelope(&rec, GEN, keys, 2);
    two = recipe_envelope(&rec, GEN, keys, 2);
    forged = recipe_envelope(&other, GEN, keys, 2);
    for (unsigned i = 0; i < 4; i++) {
        const char *a = i == 2 ? forged : one, *b = i == 3 ? forged : i == 2 ? one : two;

        two_slots(&k, &rec, (struct slot_text){a, GEN}, (struct slot_text){b, GEN});
        cr_assert_eq(kept_change(&k, keys, 1, CHANGE(.repair = true), &r, NULL), BLOBSEAL_OK, "case %u", i);
        cr_expect(r->finished && !r->changed && !r->fresh_key && r->generation == GEN + 1);
        cr_expect(slots_agree(&k) && generation_of(&k) == GEN + 1);
        cr_expect(kept_open(&k, keys[0]) == BLOBSEAL_OK && kept_open(&k, keys[1]) == BLOBSEAL_OK);
        blobseal_change_result_free(r);
        kept_clear(&k);
    }
    two_slots(&k, &rec, (struct slot_text){forged, GEN}, (struct slot_text){forged, GEN});
    cr_expect_eq(kept_change(&k, keys, 1, CHANGE(.repair = true), &r, NULL), BLOBSEAL_E_AUTH, "none of them opens");
    kept_clear(&k);
    free(one);
    free(two);
    free(forged);
}

/* If the caller stores the result, the result must show that there is a new envelope to store. */
Test(in_place, a_tie_is_resolved_outside_as_well)
{
    struct blobseal_change_result *r;
    struct blobseal_memory from;
    struct blobseal_source source;
    struct recipe rec;
    struct kept k;
    char *one, *two;

    recipe_make(&rec, 1, 1);
    one = recipe_envelope(&rec, GEN, keys, 2);
    two = recipe_envelope(&rec, GEN, keys, 2);
    two_slots(&k, &rec, (struct slot_text){one, GEN}, (struct slot_text){two, GEN});
    blobseal_source_memory(&source, &from, k.blob, k.len);
    cr_assert_eq(blobseal_change_envelope(&r, &source, keys, 1, CHANGE(.repair = true), NULL), BLOBSEAL_OK);
    cr_expect(r->finished && !r->changed && r->generation == GEN + 1);
    cr_expect(strcmp(r->envelope, one) != 0 && strcmp(r->envelope, two) != 0);
    blobseal_change_result_free(r);
    kept_clear(&k);
    free(one);
    free(two);
}

/* ---- Slots written by an attacker -------------------------------------------------------------------------------- */

static void expect_untouched(struct kept *k, const struct blobseal_change *change, enum blobseal_status want,
                             const char *what)
{
    uint8_t *was = must_copy(k->blob, k->len);
    struct blobseal_change_result *r;

    cr_expect_eq(kept_change(k, keys, 3, change, &r, NULL), want, "%s", what);
    cr_expect_arr_eq(k->blob, was, k->len, "%s", what);
    blobseal_change_result_free(r);
    free(was);
}

/*
 * An attacker who can write to the file and knows the public keys can make a slot that is valid, newer, and even
 * decrypts.
 */
Test(in_place, a_planted_slot_never_takes_the_place_of_a_good_one)
{
    static const char *const names[] = {"a tag that fits nothing",
                                        "another DEK under the right key",
                                        "a slot that claims more than its envelope",
                                        "rubbish",
                                        "the envelope of another blob",
                                        "the right content for recipients that were not named"};
    const struct blobseal_change *changes[] = {CHANGE(.repair = true), CHANGE(.add = &public_keys[5], .num_add = 1),
                                               CHANGE(.add = &public_keys[5], .num_add = 1, .replace = true),
                                               CHANGE(.remove = &fakes[1].kid, .num_remove = 1)};
    struct recipe rec, other, elsewhere;
    char *good, *tag, *texts[6];

    recipe_make(&rec, 1, 1);
    recipe_make(&elsewhere, 50, 1);
    other = rec;
    fill_random(other.dek.b, sizeof other.dek.b, 5);
    good = recipe_envelope(&rec, GEN, keys, 3);
    texts[0] = recipe_envelope(&rec, 99, keys, 3);
    tag = strstr(texts[0], "\"tag\":\"") + 10;
    *tag = *tag == 'A' ? 'B' : 'A';
    texts[1] = recipe_envelope(&other, 99, keys, 3);
    texts[2] = recipe_envelope(&rec, GEN, keys, 3);
    texts[3] = must_copy("{\"protected\":\"e30\"}", 20);
    texts[4] = recipe_envelope(&elsewhere, 99, keys, 3);
    texts[5] = recipe_envelope(&rec, 99, keys, 3);
    strstr(texts[5], "key-02")[4] = '7';
    for (size_t i = 0; i < 2 * COUNT(texts); i++) {
        const struct slot_text real = {good, GEN}, planted = {texts[i / 2], 99};
        enum blobseal_status want = i / 2 <= 1 || i / 2 == 5 ? BLOBSEAL_E_AUTH : BLOBSEAL_E_FORMAT;
        struct kept k;

        two_slots(&k, &rec, i % 2 == 0 ? real : planted, i % 2 == 0 ? planted : real);
        for (size_t c = 0; c < COUNT(changes); c++)
            expect_untouched(&k, changes[c], want, names[i / 2]);
        memset(slot_of(&k, i % 2 == 0 ? 1 : 0), 0, 24); /* the authentic slot still opens alone */
        cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_OK, "%s", names[i / 2]);
        kept_clear(&k);
    }
    for (size_t i = 0; i < COUNT(texts); i++)
        free(texts[i]);
    free(good);
}

/* Both slots are replaced by an old state. Only a generation number that was kept elsewhere reveals it. */
Test(in_place, an_old_envelope_is_refused_by_its_number)
{
    struct recipe rec;
    struct kept k;
    char *text;

    recipe_make(&rec, 1, 1);
    text = recipe_envelope(&rec, GEN, keys, 3);
    two_slots(&k, &rec, (struct slot_text){text, GEN}, (struct slot_text){text, GEN});
    expect_untouched(&k, CHANGE(.add = &public_keys[5], .num_add = 1, .min_generation = GEN + 1), BLOBSEAL_E_POLICY,
                     "");
    expect_untouched(&k, CHANGE(.min_generation = GEN), BLOBSEAL_OK, "");
    kept_clear(&k);
    free(text);
}

/* The recipient has the kid of another key of ours, whose unwrapped key does not decrypt the content. */
Test(in_place, the_name_of_another_recipient)
{
    struct recipe rec;
    struct kept k;
    char *text;

    recipe_make(&rec, 1, 1);
    text = recipe_envelope(&rec, GEN, keys, 1);
    strstr(text, "key-00")[5] = '1';
    two_slots(&k, &rec, (struct slot_text){text, GEN}, (struct slot_text){text, GEN});
    expect_untouched(&k, CHANGE(.add = &public_keys[5], .num_add = 1), BLOBSEAL_E_AUTH, "");
    cr_expect_eq(kept_open(&k, keys[0]), BLOBSEAL_E_NO_KEY);
    cr_expect_eq(kept_open(&k, keys[1]), BLOBSEAL_E_AUTH);
    cr_expect_eq(fakes[0].unwraps, 0, "a name that is not its own is none of its business");
    kept_clear(&k);
    free(text);
}

/* ---- Capacity ---------------------------------------------------------------------------------------------------- */

Test(in_place, what_does_not_fit_is_not_begun)
{
    struct blobseal_change_result *r;
    struct blobseal_error err;
    struct kept k;
    size_t added = 0;

    kept_make(&k, WAY_AB, 1);
    while (kept_change(&k, keys, 1, CHANGE(.add = &public_keys[added + 1], .num_add = 1), &r, &err) == BLOBSEAL_OK) {
        blobseal_change_result_free(r);
        added++;
        cr_assert_lt(added, 40);
    }
    cr_expect_eq(err.status, BLOBSEAL_E_POLICY);
    cr_expect_eq(err.advice, BLOBSEAL_ADVICE_REWRITE);
    cr_expect_gt(added, 10);
    expect_untouched(&k, CHANGE(.add = &public_keys[added + 1], .num_add = 1), BLOBSEAL_E_POLICY, "once more");
    expect_untouched(&k, CHANGE(.add = &public_keys[added + 1], .num_add = 1, .dry_run = true), BLOBSEAL_E_POLICY,
                     "dry");
    cr_expect_eq(kept_open(&k, keys[added]), BLOBSEAL_OK);
    kept_clear(&k);
}

Test(in_place, one_slot_or_none_is_not_changed_in_place)
{
    for (enum way way = WAY_COMPACT; way < NUM_WAYS; way++) {
        struct kept k;

        if (way == WAY_AB)
            continue;
        kept_make(&k, way, 3);
        k.way = WAY_AB;
        expect_untouched(&k, CHANGE(.add = &public_keys[5], .num_add = 1), BLOBSEAL_E_CONFIG, way_names[way]);
        kept_clear(&k);
    }
}

/* ---- Locks ------------------------------------------------------------------------------------------------------- */

Test(in_place, the_lock_is_taken_first_and_given_back)
{
    struct blobseal_change_result *r;
    struct blobseal_target target;
    struct test_disk disk = {.no_lock = true};
    struct kept k;

    kept_make(&k, WAY_AB, 1);
    disk_start(&target, &disk, k.blob, k.len);
    cr_expect_eq(blobseal_change_in_place(&r, &target, keys, 1, CHANGE(.repair = true), NULL), BLOBSEAL_E_EXISTS);
    cr_expect(disk.ops == 0 && disk.unlocks == 0, "a lock of another process is not released");
    disk.no_lock = false;
    cr_expect_eq(blobseal_change_in_place(&r, &target, keys, 1, CHANGE(.repair = true), NULL), BLOBSEAL_OK);
    blobseal_change_result_free(r);
    cr_expect_eq(blobseal_change_in_place(&r, &target, keys + 1, 1, CHANGE(.repair = true), NULL), BLOBSEAL_E_NO_KEY);
    cr_expect(disk.locks == 2 && disk.unlocks == 2 && !disk.locked && !disk.misused);
    target.lock = NULL; /* the caller excludes other writers */
    disk.locked = true;
    cr_expect_eq(blobseal_change_in_place(&r, &target, keys, 1, CHANGE(.add = &keys[1], .num_add = 1), NULL),
                 BLOBSEAL_OK);
    blobseal_change_result_free(r);
    cr_expect(disk.locks == 2 && disk.writes == 2 && !disk.misused);
    disk_end(&disk);
    kept_clear(&k);
}

/* ---- Cost -------------------------------------------------------------------------------------------------------- */

/* A file target that counts reads and writes. */
struct counted {
    struct blobseal_target file;
    struct blobseal_fd fd;
    uint64_t bytes_read, bytes_written;
};

static enum blobseal_status count_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                        struct blobseal_error *err)
{
    struct counted *c = ctx;
    enum blobseal_status st = c->file.source.pread(c->file.source.ctx, buf, len, off, nread, err);

    c->bytes_read += *nread;
    return st;
}

static enum blobseal_status count_write(void *ctx, const void *buf, size_t len, uint64_t off,
                                        struct blobseal_error *err)
{
    struct counted *c = ctx;

    c->bytes_written += len;
    return c->file.write(c->file.ctx, buf, len, off, err);
}

static enum blobseal_status count_sync(void *ctx, uint64_t off, uint64_t len, struct blobseal_error *err)
{
    struct counted *c = ctx;

    return c->file.sync(c->file.ctx, off, len, err);
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    return fd;
}

static void change_file(struct counted *c, int fd)
{
    struct blobseal_change_result *r;
    struct blobseal_target target;
    struct blobseal_error err;

    *c = (struct counted){0};
    cr_assert_eq(blobseal_target_fd(&c->file, &c->fd, fd, "a file", &err), BLOBSEAL_OK, "%s", err.text);
    target = (struct blobseal_target){.ctx = c, .source = c->file.source, .write = count_write, .sync = count_sync};
    target.source.ctx = c;
    target.source.pread = count_pread;
    cr_assert_eq(blobseal_change_in_place(&r, &target, keys, 1,
                                          CHANGE(.add = &public_keys[1], .num_add = 1, .replace = true), &err),
                 BLOBSEAL_OK, "%s", err.text);
    cr_expect(r->changed && r->fresh_key);
    blobseal_change_result_free(r);
}

/* A blob of 50 GiB, most of which is a hole: the cost of a change does not depend on the size of the payload. */
Test(in_place, the_cost_does_not_depend_on_the_size)
{
    const uint64_t plain_len = (uint64_t)50 << 30;
    struct recipe rec;
    struct counted c;
    struct kept k;
    char path[VEC_PATH], *text;
    int fd;

    recipe_make(&rec, 1, 1);
    text = recipe_envelope(&rec, GEN, keys, 1);
    two_slots(&k, &rec, (struct slot_text){text, GEN}, (struct slot_text){text, GEN});
    vec_temp_file(path, k.blob, k.len, 0600);
    fd = open_file(path);
    cr_assert_eq(ftruncate(fd, (off_t)(core_offset_of(k.blob, k.len) + bs_core_len(&rec.core, plain_len))), 0);
    change_file(&c, fd);
    cr_expect_eq(c.bytes_written, 2 * (uint64_t)bs_load32(k.blob + 16));
    cr_expect_leq(c.bytes_read, core_offset_of(k.blob, k.len) + 96 + c.bytes_written, "%u bytes",
                  (unsigned)c.bytes_read);
    (void)close(fd);
    (void)unlink(path);
    kept_clear(&k);
    free(text);
}

static void digest_core(int fd, uint64_t from, uint8_t out[BS_SHA256_LEN])
{
    struct bs_sha256 h = bs_sha256_start();
    uint8_t *piece = must_alloc((size_t)1 << 20);
    ssize_t n;

    while ((n = pread(fd, piece, (size_t)1 << 20, (off_t)from)) > 0) {
        bs_sha256_add(&h, piece, (size_t)n);
        from += (uint64_t)n;
    }
    cr_assert(bs_sha256_end(&h, out));
    free(piece);
}

Test(in_place, the_digest_of_the_core_stays)
{
    const size_t len = (size_t)64 << 20;
    uint8_t *plain = must_alloc(len), before[BS_SHA256_LEN], after[BS_SHA256_LEN];
    const struct blobseal_seal_options o = {.size = sizeof o, .layout = BLOBSEAL_LAYOUT_AB};
    struct blobseal_memory from;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_fd state;
    struct counted c;
    char path[VEC_PATH];
    int fd;

    fill_random(plain, len, 1);
    vec_temp_file(path, "", 0, 0600);
    fd = open_file(path);
    blobseal_source_memory(&source, &from, plain, len);
    cr_assert_eq(blobseal_sink_fd(&sink, &state, fd, "a file", NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_seal(&sink, &source, keys, 1, &o, NULL, NULL), BLOBSEAL_OK);
    digest_core(fd, 4096 + 2 * 16384, before);
    change_file(&c, fd);
    digest_core(fd, 4096 + 2 * 16384, after);
    cr_expect_arr_eq(before, after, sizeof before);
    cr_expect_eq(c.bytes_written, 2 * 16384);
    (void)close(fd);
    (void)unlink(path);
    free(plain);
}
