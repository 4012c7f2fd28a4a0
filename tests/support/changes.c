/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs for tests that change recipients: see changes.h. */
#include "tests/support/changes.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void give_up(const char *what)
{
    (void)fprintf(stderr, "test support: %s\n", what);
    abort();
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

struct fake_kek fakes[NUM_KEYS], public_fakes[NUM_KEYS];
struct blobseal_kek *keys[NUM_KEYS], *public_keys[NUM_KEYS];
static char kids[NUM_KEYS][16];

void keys_start(void)
{
    for (size_t i = 0; i < NUM_KEYS; i++) {
        (void)snprintf(kids[i], sizeof kids[i], "key-%02zu", i);
        fakes[i] = (struct fake_kek){.kid = kids[i], .twist = (uint8_t)(i + 1)};
        public_fakes[i] = (struct fake_kek){.kid = kids[i], .twist = (uint8_t)(i + 1), .public_only = true};
        keys[i] = fake_kek_open(&fakes[i]);
        public_keys[i] = fake_kek_open(&public_fakes[i]);
    }
}

void keys_end(void)
{
    for (size_t i = 0; i < NUM_KEYS; i++) {
        blobseal_kek_close(keys[i]);
        blobseal_kek_close(public_keys[i]);
    }
}

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

const char *const way_names[NUM_WAYS] = {"compact", "A/B", "detached", "envelope alone"};

static const uint8_t *plaintext(void)
{
    static uint8_t plain[KEPT_PLAIN];

    fill_random(plain, sizeof plain, 77);
    return plain;
}

void kept_from(struct kept *k, enum way way, const struct recipe *r, const char *text, uint64_t generation)
{
    bool outside = way == WAY_DETACHED || way == WAY_ENVELOPE_ALONE;
    const struct slot_text slot = {text, generation};
    size_t core_len;
    uint8_t *core = recipe_core(r, plaintext(), KEPT_PLAIN, &core_len);

    *k = (struct kept){.way = way};
    if (outside) {
        k->blob = core;
        k->len = core_len;
        k->envelope_len = strlen(text);
        k->envelope = must_copy(text, k->envelope_len + 1);
        return;
    }
    k->blob = put_in_frame(&r->core, way == WAY_AB ? BLOBSEAL_LAYOUT_AB : BLOBSEAL_LAYOUT_COMPACT, slot, slot, core,
                           core_len, &k->len);
    free(core);
}

void kept_make(struct kept *k, enum way way, size_t num)
{
    static const enum blobseal_layout layouts[NUM_WAYS] = {BLOBSEAL_LAYOUT_COMPACT, BLOBSEAL_LAYOUT_AB,
                                                           BLOBSEAL_LAYOUT_DETACHED, BLOBSEAL_LAYOUT_DETACHED};
    const struct blobseal_annotation ann = {"team", "a \"b\" \\ \xC3\xA9"};
    const struct blobseal_metadata metadata = {
        .size = sizeof metadata, .name = "a.img", .type = "image/raw", .num_annotations = 1, .annotations = &ann};
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = 1, .layout = layouts[way], .metadata = &metadata};
    struct sealed s;

    if (seal_bytes(&s, plaintext(), KEPT_PLAIN, keys, num, &o, NULL) != BLOBSEAL_OK)
        give_up("sealing failed");
    *k = (struct kept){.way = way, .blob = s.data, .len = s.len};
    k->envelope = s.result.envelope;
    k->envelope_len = s.result.envelope_len;
}

void kept_clear(struct kept *k)
{
    free(k->blob);
    free(k->envelope);
    *k = (struct kept){0};
}

enum blobseal_status kept_open(const struct kept *k, struct blobseal_kek *kek)
{
    const struct how_to_open how = {.envelope = k->envelope, .envelope_len = k->envelope_len};
    struct opened o;
    enum blobseal_status st = open_bytes(&o, k->blob, k->len, &kek, 1, &how, NULL);

    if (st == BLOBSEAL_OK ? o.len != KEPT_PLAIN || memcmp(o.data, plaintext(), KEPT_PLAIN) != 0 : o.len != 0)
        give_up("a blob opened to something else");
    opened_clear(&o);
    return st;
}

static size_t newest_slot(const struct kept *k)
{
    size_t offset = bs_load32(k->blob + 12), capacity = bs_load32(k->blob + 16);

    if (k->blob[10] == 1 || bs_load64(k->blob + offset + 8) >= bs_load64(k->blob + offset + capacity + 8))
        return offset;
    return offset + capacity;
}

const char *kept_envelope(const struct kept *k, size_t *len)
{
    size_t slot;

    if (k->envelope != NULL) {
        *len = k->envelope_len;
        return k->envelope;
    }
    slot = newest_slot(k);
    *len = bs_load32(k->blob + slot + 4);
    return (const char *)k->blob + slot + BS_SLOT_HEADER_LEN;
}

static void check_core(const struct kept *k, const uint8_t *blob, size_t len)
{
    size_t was = core_offset_of(k->blob, k->len), is = core_offset_of(blob, len);

    if (k->len - was != len - is || memcmp(k->blob + was, blob + is, len - is) != 0)
        give_up("a change of recipients touched the core");
}

static enum blobseal_status change_in_place(struct kept *k, struct blobseal_kek *const *keks, size_t num,
                                            const struct blobseal_change *change,
                                            struct blobseal_change_result **result, struct blobseal_error *err)
{
    struct blobseal_target target;
    struct test_disk disk = {0};
    enum blobseal_status st;
    bool idle;

    disk_start(&target, &disk, k->blob, k->len);
    st = blobseal_change_in_place(result, &target, keks, num, change, err);
    if (disk.misused || disk.locked || memcmp(disk.now, disk.stored, disk.len) != 0)
        give_up("a disk was used without its lock, or beyond its end, or not synced");
    idle = st != BLOBSEAL_OK || change->dry_run || !((*result)->changed || (*result)->finished);
    if (idle != (disk.writes == 0))
        give_up("a disk was written to where nothing was to be done, or not where it was");
    check_core(k, disk.now, disk.len);
    memcpy(k->blob, disk.now, disk.len);
    disk_end(&disk);
    return st;
}

static void rewrite(struct kept *k, const struct blobseal_change_result *r)
{
    struct blobseal_memory from, to;
    struct blobseal_source source;
    struct blobseal_sink sink;

    blobseal_source_memory(&source, &from, k->blob, k->len);
    blobseal_sink_memory(&sink, &to);
    if (blobseal_attach(&sink, &source, ATTACH(.envelope = r->envelope, .envelope_len = r->envelope_len), NULL) !=
        BLOBSEAL_OK)
        give_up("attaching a changed envelope failed");
    check_core(k, to.data, to.len);
    if (!r->changed && !r->finished && (to.len != k->len || memcmp(to.data, k->blob, to.len) != 0))
        give_up("an unchanged blob has other bytes");
    free(k->blob);
    k->blob = to.data;
    k->len = to.len;
}

static enum blobseal_status change_outside(struct kept *k, struct blobseal_kek *const *keks, size_t num,
                                           const struct blobseal_change *change, struct blobseal_change_result **result,
                                           struct blobseal_error *err)
{
    struct blobseal_memory from;
    struct blobseal_source source;
    union {
        struct blobseal_change change;
        uint8_t room[256]; /* room for the larger structs of newer programs */
    } with = {.room = {0}};
    enum blobseal_status st;

    if (change != NULL)
        memcpy(&with, change, change->size > sizeof change->size ? change->size : sizeof change->size);
    if (k->envelope != NULL) {
        if (with.change.size >= sizeof with.change.size && with.change.size < sizeof with.change)
            with.change.size =
                sizeof with.change; /* the struct of an older program sets none of the members after its size */
        with.change.envelope = k->envelope;
        with.change.envelope_len = k->envelope_len;
    }
    blobseal_source_memory(&source, &from, k->blob, k->len);
    st = blobseal_change_envelope(result, k->way == WAY_ENVELOPE_ALONE ? NULL : &source, keks, num,
                                  change != NULL ? &with.change : NULL, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (k->way == WAY_COMPACT) {
        rewrite(k, *result);
        return st;
    }
    if (!(*result)->changed &&
        ((*result)->envelope_len != k->envelope_len || memcmp((*result)->envelope, k->envelope, k->envelope_len) != 0))
        give_up("an unchanged envelope has other bytes");
    free(k->envelope);
    k->envelope_len = (*result)->envelope_len;
    k->envelope = must_copy((*result)->envelope, k->envelope_len + 1);
    return st;
}

/* The result names the envelope that the blob has now by its digest. */
static void check_digest(const struct kept *k, const struct blobseal_change_result *result)
{
    uint8_t sha256[BS_SHA256_LEN];
    size_t len;
    const char *envelope = kept_envelope(k, &len);

    if (!bs_sha256(sha256, envelope, len) || memcmp(sha256, result->envelope_sha256, sizeof sha256) != 0)
        give_up("the digest of a changed envelope is not that of its bytes");
}

enum blobseal_status kept_change(struct kept *k, struct blobseal_kek *const *keks, size_t num,
                                 const struct blobseal_change *change, struct blobseal_change_result **result,
                                 struct blobseal_error *err)
{
    enum blobseal_status st = k->way == WAY_AB ? change_in_place(k, keks, num, change, result, err)
                                               : change_outside(k, keks, num, change, result, err);

    if ((st == BLOBSEAL_OK) != (*result != NULL))
        give_up("a failed change has a result, or the other way round");
    if (st == BLOBSEAL_OK && !change->dry_run)
        check_digest(k, *result);
    return st;
}
