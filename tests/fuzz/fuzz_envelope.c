/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything before the payload: frame, slots, core header, and the envelopes that are found. The first byte of the
 * input chooses whether the checksums are recomputed, and whether the input comes from a file or a pipe or is only an
 * envelope.
 */
#include "tests/support/blobs.c" /* a fuzz target is a single file */
#include "tests/support/keks.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        test_support_failed("the fuzz target found something");
}

static bool is_refusal(enum blobseal_status st)
{
    return st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_UNSUPPORTED;
}

static void check_envelope(const struct bs_envelope *e, enum blobseal_status st)
{
    require(st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED);
    if (st == BLOBSEAL_OK)
        require(e->generation >= 1 && e->generation <= BS_MAX_GENERATION && e->jwe.num >= 1);
}

static void read_envelope(const char *text, size_t len)
{
    struct blobseal_error err;
    struct bs_envelope e;

    check_envelope(&e, bs_envelope_parse(&e, text, len, &err));
    bs_envelope_clear(&e);
}

static void check_front(const struct bs_preamble *f)
{
    bool tie = (f->notes & BLOBSEAL_NOTE_TIE) != 0;
    struct blobseal_error err;
    struct bs_envelope e;

    require(f->num_candidates <= 2 && (f->num_candidates == 2) == tie);
    require(f->layout == BLOBSEAL_LAYOUT_DETACHED ? f->core_offset == 0 : f->core_offset <= 4096 + 2 * 65536);
    require(f->layout == BLOBSEAL_LAYOUT_AB || f->notes == 0);
    for (size_t i = 0; i < f->num_candidates; i++) {
        enum blobseal_status st;

        require(f->candidates[i].len >= 1 && f->candidates[i].len <= BLOBSEAL_MAX_ENVELOPE);
        require((const uint8_t *)f->candidates[i].text >= f->frame + BS_FRAME_HEADER_LEN + BS_SLOT_HEADER_LEN);
        require((const uint8_t *)f->candidates[i].text + f->candidates[i].len <= f->frame + f->core_offset);
        st = bs_preamble_envelope(f, i, &e, &err);
        check_envelope(&e, st);
        if (st == BLOBSEAL_OK)
            require(e.generation == f->candidates[i].generation && memcmp(e.blob_id, f->core.blob_id, 16) == 0);
        bs_envelope_clear(&e);
    }
}

static void read_preamble(const uint8_t *blob, size_t len, bool pipe)
{
    struct test_source state = {.data = blob, .len = len, .seekable = !pipe, .max_piece = pipe ? 100 : 0};
    struct blobseal_error err = {0};
    struct blobseal_source source;
    struct blobseal_info *info;
    struct bs_input in = {&source, 0};
    enum blobseal_status st;
    struct bs_preamble f;

    test_source_start(&source, &state);
    source.size = pipe ? BLOBSEAL_SIZE_UNKNOWN : len;
    st = bs_preamble_read(&f, &in, NULL, 0, &err);
    require(st == BLOBSEAL_OK || (is_refusal(st) && err.status == st));
    if (st == BLOBSEAL_OK)
        check_front(&f);
    bs_preamble_clear(&f);
    state.pos = 0;
    st = blobseal_inspect(&info, &source, NULL, 0, &err);
    require(st == BLOBSEAL_OK || is_refusal(st));
    blobseal_info_free(info);
    test_source_end(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy;

    if (len < 1)
        return 0;
    copy = must_copy(data + 1, len - 1);
    if ((data[0] & 1) != 0)
        refix(copy, len - 1);
    if ((data[0] & 2) != 0)
        read_envelope((const char *)copy, len - 1);
    else
        read_preamble(copy, len - 1, (data[0] & 4) != 0);
    free(copy);
    return 0;
}
