/* SPDX-License-Identifier: Apache-2.0 */
/* Repairing what is before the payload: any byte of it may be corrupted, and is restored. */

#include "tests/support/suite.h"

SUITE(salvage);

#define PREAMBLE (4096 + 2 * 16384)

/* A blob in memory that is changed in place. */
struct memory_target {
    uint8_t *data;
    size_t len;
    unsigned writes;
};

static enum blobseal_status target_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *n,
                                         struct blobseal_error *err)
{
    const struct memory_target *t = ctx;

    (void)err;
    *n = off >= t->len ? 0 : len < t->len - off ? len : t->len - (size_t)off;
    memcpy(buf, t->data + off, *n);
    return BLOBSEAL_OK;
}

static enum blobseal_status target_write(void *ctx, const void *buf, size_t len, uint64_t off,
                                         struct blobseal_error *err)
{
    struct memory_target *t = ctx;

    (void)err;
    cr_assert(off + len <= t->len, "a repair never makes a blob longer");
    memcpy(t->data + off, buf, len);
    t->writes++;
    return BLOBSEAL_OK;
}

static enum blobseal_status target_sync(void *ctx, uint64_t off, uint64_t len, struct blobseal_error *err)
{
    (void)ctx, (void)off, (void)len, (void)err;
    return BLOBSEAL_OK;
}

static struct fake_kek fake = {.kid = "somebody"};

static struct blobseal_kek *make_blob(struct sealed *s)
{
    struct blobseal_seal_options o = {.size = sizeof o, .threads = 1, .layout = BLOBSEAL_LAYOUT_AB};
    struct blobseal_kek *kek = fake_kek_open(&fake);
    uint8_t plain[30000];
    struct blobseal_error err;

    fill_random(plain, sizeof plain, 3);
    cr_assert_eq(seal_bytes(s, plain, sizeof plain, &kek, 1, &o, &err), BLOBSEAL_OK, "%s", err.text);
    return kek;
}

static enum blobseal_status repair(struct memory_target *m, struct blobseal_kek *kek, bool dry_run, bool *finished,
                                   struct blobseal_error *err)
{
    const struct blobseal_change change = {.size = sizeof change, .repair = true, .dry_run = dry_run};
    const struct blobseal_target target = {
        .ctx = m,
        .source = {.ctx = m, .size = m->len, .name = "blob", .pread = target_pread},
        .write = target_write,
        .sync = target_sync,
    };
    struct blobseal_change_result *result;
    enum blobseal_status st = blobseal_change_in_place(&result, &target, &kek, 1, &change, err);

    if (st == BLOBSEAL_OK) {
        cr_expect(!result->changed && result->verified);
        *finished = result->finished;
    }
    blobseal_change_result_free(result);
    return st;
}

/* Return true if a scrub without the key reports the blob as repairable. */
static bool scrub_says_curable(const struct memory_target *m)
{
    struct blobseal_scrub_result result = {.size = sizeof result};
    struct blobseal_memory state;
    struct blobseal_source source;

    blobseal_source_memory(&source, &state, m->data, m->len);
    cr_assert_eq(blobseal_scrub(&source, NULL, &result, NULL), BLOBSEAL_OK);
    cr_assert_not(result.ok);
    return result.repairable;
}

Test(salvage, every_byte_before_the_payload_comes_back)
{
    struct blobseal_error err;
    struct memory_target m;
    struct blobseal_kek *kek;
    struct sealed s;
    bool finished;

    kek = make_blob(&s);
    m = (struct memory_target){.data = must_copy(s.data, s.len), .len = s.len};
    for (size_t i = 0; i < PREAMBLE + 96; i++) {
        if (i == 8 || i == PREAMBLE + 8)
            continue; /* an unknown version is not repaired, because it may be a newer one */
        m.data[i] ^= (uint8_t)(1 + i % 255);
        m.writes = 0;
        cr_assert(i % 64 != 0 || scrub_says_curable(&m), "byte %zu", i);
        cr_assert_eq(repair(&m, kek, true, &finished, &err), BLOBSEAL_OK, "byte %zu: %s", i, err.text);
        cr_assert(finished && m.writes == 0, "a dry run tells and writes nothing: byte %zu", i);
        cr_assert_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_OK, "byte %zu: %s", i, err.text);
        cr_assert(finished);
        cr_assert_arr_eq(m.data, s.data, s.len, "byte %zu", i);
    }
    cr_assert_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_OK);
    cr_expect(!finished, "nothing to repair");
    free(m.data);
    sealed_clear(&s);
    blobseal_kek_close(kek);
}

Test(salvage, several_faults_at_once)
{
    struct blobseal_error err;
    struct memory_target m;
    struct blobseal_kek *kek;
    struct sealed s;
    bool finished;

    kek = make_blob(&s);
    m = (struct memory_target){.data = must_copy(s.data, s.len), .len = s.len};
    memset(m.data, 0xEE, 4096 + 16384); /* the frame header, the padding after it, and slot A */
    cr_expect(scrub_says_curable(&m));
    cr_assert_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_arr_eq(m.data, s.data, s.len);
    m.data[5000] ^= 1; /* one slot, and the core header */
    m.data[PREAMBLE + 40] ^= 1;
    cr_expect(scrub_says_curable(&m));
    cr_assert_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_arr_eq(m.data, s.data, s.len);
    free(m.data);
    sealed_clear(&s);
    blobseal_kek_close(kek);
}

Test(salvage, what_cannot_be_repaired_stays_as_it_is)
{
    static const struct {
        size_t off[2];
        enum blobseal_status want;
    } cases[] = {
        {{20, PREAMBLE + 40}, BLOBSEAL_E_DAMAGED},            /* both headers: the position of the core is unknown */
        {{4096 + 30, 4096 + 16384 + 30}, BLOBSEAL_E_DAMAGED}, /* both slots */
        {{8, 8}, BLOBSEAL_E_UNSUPPORTED},                     /* a frame of another version */
        {{8, 5000}, BLOBSEAL_E_UNSUPPORTED},                  /* a frame of another version, and a slot */
        {{PREAMBLE + 8, 5000}, BLOBSEAL_E_UNSUPPORTED},       /* a core of another version, and a slot */
        {{0, PREAMBLE}, BLOBSEAL_E_FORMAT},                   /* both magic values */
        {{1000, PREAMBLE + 40}, BLOBSEAL_E_FORMAT},           /* padding, and a core header */
    };
    struct blobseal_error err;
    struct memory_target m;
    struct blobseal_kek *kek;
    struct sealed s;
    bool finished;

    kek = make_blob(&s);
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t *before;

        m = (struct memory_target){.data = must_copy(s.data, s.len), .len = s.len};
        m.data[cases[i].off[0]] ^= 0x10;
        m.data[cases[i].off[1]] ^= 0x20;
        before = must_copy(m.data, m.len);
        cr_expect_not(scrub_says_curable(&m), "case %zu", i);
        cr_expect_eq(repair(&m, kek, false, &finished, &err), cases[i].want, "case %zu: %s", i, err.text);
        cr_expect_arr_eq(m.data, before, m.len);
        cr_expect_eq(m.writes, 0);
        free(before);
        free(m.data);
    }
    sealed_clear(&s);
    blobseal_kek_close(kek);
}

/* A core header that is valid but belongs to another blob is refused, and nothing is written. */
Test(salvage, a_core_of_another_blob_is_not_believed)
{
    struct blobseal_error err;
    struct memory_target m;
    struct blobseal_kek *kek, *other;
    struct sealed s, t;
    bool finished;

    kek = make_blob(&s);
    other = make_blob(&t);
    m = (struct memory_target){.data = must_copy(s.data, s.len), .len = s.len};
    memcpy(m.data + PREAMBLE, t.data + PREAMBLE, 96);
    cr_expect_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_E_FORMAT, "%s", err.text);
    memcpy(m.data, t.data, 64); /* and the frame header of the same other blob */
    cr_expect_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_E_FORMAT, "%s", err.text);
    cr_expect_eq(m.writes, 0);
    free(m.data);
    sealed_clear(&s);
    sealed_clear(&t);
    blobseal_kek_close(kek);
    blobseal_kek_close(other);
}

/* Repair a copy of @len bytes of @s with byte @damaged changed, and expect that it is refused and stays as it is. */
static void expect_no_repair(const struct sealed *s, size_t len, size_t damaged, struct blobseal_kek *kek)
{
    struct memory_target m = {.data = calloc(1, s->len + 100), .len = len};
    uint8_t *before = calloc(1, s->len + 100);
    struct blobseal_error err;
    bool finished;

    cr_assert(m.data != NULL && before != NULL);
    memcpy(m.data, s->data, len < s->len ? len : s->len);
    m.data[damaged] ^= 4;
    memcpy(before, m.data, m.len);
    cr_expect_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_E_DAMAGED, "%zu bytes: %s", len, err.text);
    cr_expect_eq(repair(&m, kek, true, &finished, &err), BLOBSEAL_E_DAMAGED, "%zu bytes: %s", len, err.text);
    cr_expect_eq(m.writes, 0, "%zu bytes", len);
    cr_expect_arr_eq(m.data, before, m.len, "%zu bytes", len);
    free(before);
    free(m.data);
}

Test(salvage, a_blob_of_another_length_is_not_repaired)
{
    static const size_t damaged[] = {20, 1000, 5000, PREAMBLE + 40};
    struct blobseal_kek *kek;
    struct sealed s;

    kek = make_blob(&s);
    for (size_t len = PREAMBLE; len <= PREAMBLE + 96; len++)
        expect_no_repair(&s, len, 5000, kek); /* truncated inside the core header, or after it */
    for (size_t i = 0; i < COUNT(damaged); i++) {
        const size_t lengths[] = {PREAMBLE + 96 + 16, s.len - 8, s.len - 1, s.len + 1, s.len + 8, s.len + 16};

        for (size_t k = 0; k < COUNT(lengths); k++)
            expect_no_repair(&s, lengths[k], damaged[i], kek);
    }
    sealed_clear(&s);
    blobseal_kek_close(kek);
}

Test(salvage, a_changed_end_is_not_repaired)
{
    struct blobseal_kek *kek;
    struct sealed s;

    kek = make_blob(&s);
    s.data[s.len - 9] ^= 1; /* the tag of the last chunk */
    expect_no_repair(&s, s.len, 20, kek);
    expect_no_repair(&s, s.len, 5000, kek);
    expect_no_repair(&s, s.len, PREAMBLE + 40, kek);
    sealed_clear(&s);
    blobseal_kek_close(kek);
}

/*
 * The core header is public, so anybody who can write to a blob can copy it into a slot, where a core of a blob with
 * smaller slots would start. With the frame header lost, only the payload shows which of the two is the core.
 */
Test(salvage, a_copy_of_the_core_header_in_a_slot_is_not_taken_for_the_core)
{
    struct blobseal_error err;
    struct memory_target m;
    struct blobseal_kek *kek;
    struct sealed s;
    bool finished;

    kek = make_blob(&s);
    m = (struct memory_target){.data = must_copy(s.data, s.len), .len = s.len};
    m.data[20] ^= 1;
    memcpy(m.data + 4096 + 16384, m.data + PREAMBLE, 96); /* where slot B, or a core after smaller slots, begins */
    cr_assert_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_OK, "%s", err.text);
    cr_expect(finished);
    cr_assert_arr_eq(m.data, s.data, s.len);
    m.data[20] ^= 1;
    memcpy(m.data + 4096 + 16384, m.data + PREAMBLE, 96);
    m.data[4096 + 100] ^= 1; /* no slot is left */
    m.writes = 0;
    cr_expect_eq(repair(&m, kek, false, &finished, &err), BLOBSEAL_E_DAMAGED, "%s", err.text);
    cr_expect_eq(m.writes, 0);
    free(m.data);
    sealed_clear(&s);
    blobseal_kek_close(kek);
}
