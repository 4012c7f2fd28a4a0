/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of opening, with a key that the target knows. Whatever the input, the status is one of the documented ones, and
 * plaintext is released only if the core is byte for byte one of the known cores: nobody can make another without the
 * data key. The first byte of the input:
 *
 *   bits 0, 1   0: the rest is a blob.
 *               1: the rest is a list of edits of a known blob.
 *               2: the rest is what a sealer writes into an envelope: length of the protected header (u16), header,
 *                  content.
 *               3: the rest is an envelope that is passed explicitly, for a known core.
 *   bit 2       recompute the checksums
 *   bit 3       read from a pipe
 *   bit 4       also read at offsets
 *   bits 6, 7   the number of the known blob
 */
#include "tests/fuzz/known.h"
#include "tests/support/blobs.c" /* a fuzz target is a single file */
#include "tests/support/envelopes.c"
#include "tests/support/keks.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { BLOB, EDITS, CONTENT, ENVELOPE };

static struct known known[NUM_KNOWN];
static struct fake_kek fake = {.kid = KNOWN_KID};
static struct blobseal_kek *kek;

static void require(bool cond)
{
    if (!cond)
        test_support_failed("the fuzz target found something");
}

static void start(void)
{
    if (kek != NULL)
        return;
    kek = fake_kek_open(&fake);
    for (unsigned i = 0; i < NUM_KNOWN; i++)
        known_make(&known[i], i, kek);
}

/* Return the known blob that has this core, or NULL. */
static const struct known *known_core(const uint8_t *blob, size_t len)
{
    size_t at = core_offset_of(blob, len);

    for (unsigned i = 0; i < NUM_KNOWN; i++)
        if (at <= len && len - at == known[i].core_len && memcmp(blob + at, known[i].core, len - at) == 0)
            return &known[i];
    return NULL;
}

static bool is_prefix_of_known(const uint8_t *p, size_t len)
{
    bool found = len == 0;

    for (unsigned i = 0; i < NUM_KNOWN; i++)
        found = found || (len <= known[i].plain_len && memcmp(p, known[i].plain, len) == 0);
    return found;
}

static bool is_defined(enum blobseal_status st)
{
    return st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_AUTH ||
           st == BLOBSEAL_E_UNSUPPORTED || st == BLOBSEAL_E_NO_KEY || st == BLOBSEAL_E_CONFIG;
}

static enum blobseal_status open_blob(const uint8_t *blob, size_t len, const struct how_to_open *how)
{
    const struct known *k = known_core(blob, len);
    struct blobseal_error err = {0};
    struct opened o;
    enum blobseal_status st = open_bytes(&o, blob, len, &kek, 1, how, &err);

    require(is_defined(st) && (st == BLOBSEAL_OK || err.status == st));
    require(is_prefix_of_known(o.data, o.len));
    if (st == BLOBSEAL_OK)
        require(k != NULL && o.len == k->plain_len && (o.len == 0 || memcmp(o.data, k->plain, o.len) == 0));
    opened_clear(&o);
    return st;
}

/* Read some ranges that are chosen by the bytes of the blob. */
static void read_at_offsets(const uint8_t *blob, size_t len)
{
    uint64_t seed = bs_xxh3(0, blob, len);
    uint8_t dst[1000];
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_reader *reader;
    size_t n;

    blobseal_source_memory(&source, &memory, blob, len);
    if (blobseal_reader_open(&reader, &source, &kek, 1, NULL, NULL) != BLOBSEAL_OK)
        return;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t off = random_below(&seed, blobseal_reader_size(reader) + 2);
        size_t want = random_below(&seed, sizeof dst);
        enum blobseal_status st = blobseal_reader_pread(reader, dst, want, off, &n, NULL);

        require(st == BLOBSEAL_OK || st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_ARG);
        require(st == BLOBSEAL_OK ? n <= want : n == 0 && bs_all_zero(dst, want));
    }
    blobseal_reader_close(reader);
}

/*
 * Apply edits of at least 4 bytes each: a position (u24), then the kind. Below 128 the kind is a byte to XOR with; 128
 * truncates at the position, 129 inserts, 130 deletes, 131 copies 64 bytes from the position that follows, and any
 * other value sets to zero.
 */
static uint8_t *edit(const struct known *k, const uint8_t *p, size_t len, size_t *out_len)
{
    size_t cap = k->len + len, n = k->len;
    uint8_t *blob = must_alloc(cap);

    memcpy(blob, k->blob, n);
    for (; len >= 4 && n > 0; p += 4, len -= 4) {
        size_t at = ((size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16) % n;
        size_t from = (at * 31 + p[1]) % n, most = n - (from > at ? from : at);

        if (p[3] < 128) {
            blob[at] ^= p[3];
        } else if (p[3] == 128) {
            n = at;
        } else if (p[3] == 129 && n < cap) {
            memmove(blob + at + 1, blob + at, n++ - at);
        } else if (p[3] == 130) {
            memmove(blob + at, blob + at + 1, --n - at);
        } else if (p[3] == 131) {
            memmove(blob + at, blob + from, most < 64 ? most : 64);
        } else {
            blob[at] = 0;
        }
    }
    *out_len = n;
    return blob;
}

/* Open an envelope that is sealed correctly around an arbitrary header and content. */
static void open_content(const struct known *k, const uint8_t *p, size_t len)
{
    uint8_t wrapped[256];
    struct bs_jwe jwe = {
        .num = 1, .recipients = {{.alg = "RSA-OAEP-256", .kid = KNOWN_KID, .key = wrapped, .key_len = sizeof wrapped}}};
    struct bs_builder w = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_MAX_ENVELOPE);
    size_t header_len = len >= 2 ? ((size_t)p[0] | (size_t)p[1] << 8) : 0;
    struct bs_chunked_keys keys = {0};
    struct bs_envelope e;
    enum blobseal_status st;

    if (len >= 2 && header_len <= len - 2) {
        fake_wrap(wrapped, sizeof wrapped, &k->r.cek);
        st = bs_jwe_write(&w, &jwe, (struct bs_slice){(const uint8_t *)(const char *)p + 2, header_len}, &k->r.cek,
                          (struct bs_slice){p + 2 + header_len, len - 2 - header_len}, NULL);
        if (st == BLOBSEAL_OK) {
            st = bs_envelope_parse(&e, (const char *)w.p, w.len, NULL);
            if (st == BLOBSEAL_OK)
                st = open_envelope(&e, &k->r.core, &kek, 1, &keys, NULL);
            bs_envelope_clear(&e);
            require(is_defined(st) && st != BLOBSEAL_E_DAMAGED && st != BLOBSEAL_E_NO_KEY);
            /* `rcpt` identifies the wrapped key, so an accepted header must have been made for it. */
            require(st == BLOBSEAL_OK ? memcmp(&keys, &k->r.keys, sizeof keys) == 0
                                      : bs_all_zero((const uint8_t *)&keys, sizeof keys));
        }
    }
    free(w.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct how_to_open how = {0};
    const struct known *k;
    uint8_t *blob;

    if (len < 1)
        return 0;
    start();
    k = &known[data[0] >> 6];
    how.sequential = (data[0] & 8) != 0;
    how.max_piece = how.sequential ? 5000 : 0;
    if (data[0] % 4 == CONTENT) {
        open_content(k, data + 1, len - 1);
        return 0;
    }
    if (data[0] % 4 == ENVELOPE) {
        uint8_t *text = must_copy(data + 1, len - 1);

        how.envelope = (const char *)text;
        how.envelope_len = len - 1;
        (void)open_blob(k->core, k->core_len, &how);
        free(text);
        return 0;
    }
    len--;
    blob = data[0] % 4 == EDITS ? edit(k, data + 1, len, &len) : must_copy(data + 1, len);
    if ((data[0] & 4) != 0)
        refix(blob, len);
    (void)open_blob(blob, len, &how);
    if ((data[0] & 16) != 0)
        read_at_offsets(blob, len);
    free(blob);
    return 0;
}
