/* SPDX-License-Identifier: Apache-2.0 */
/* Cobblestone-256 without blobs: the test vectors of the C2SP project, read by three readers, and a writer. */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "core/format/format.h"
#include "tests/support/suite.h"

SUITE(chunked);

#define FILE_NAME    "c2sp/c2sp_chunked_encryption_aes_256_gcm_test.json"
#define C2SP_HEADER  (BS_SALT_LEN + BS_COMMITMENT_LEN)
#define MOST_CHUNKS  300
#define FILLER       0xA5
#define NUM_TESTS    35u
#define NUM_VALID    10u
#define NUM_HEADERS  10u /* tests with the flag HeaderFailure */
#define NUM_KEY_SIZE 2u  /* those of the NUM_HEADERS tests whose key is not 32 bytes long */

/* ---- One vector -------------------------------------------------------------------------------------------------- */

struct vector {
    int id;
    bool valid, header_failure, bad_key_size, partial, valid_final;
    struct vec_bytes key, ctx, ct, aead_key, base_nonce;
    bool has_prefix;   /* msgLength and msgSha512 are present, for the message or its longest authentic prefix
                        */
    size_t prefix_len; /* 0 where has_prefix is false: then no byte may be released */
    struct vec_bytes sha512;
};

static struct vector vector_open(const json_t *t)
{
    struct vec_bytes packed = vec_member(t, "ct");
    struct vector v = {
        .id = vec_int(t, "tcId"),
        .valid = strcmp(vec_text(t, "result"), "valid") == 0,
        .header_failure = vec_has_flag(t, "HeaderFailure"),
        .bad_key_size = vec_has_flag(t, "InvalidKeySize"),
        .partial = vec_has_flag(t, "PartialPlaintext"),
        .valid_final = vec_has_flag(t, "ValidFinalChunk"),
        .key = vec_member(t, "key"),
        .ctx = vec_member(t, "ctx"),
        .ct = vec_inflate(packed),
    };

    free(packed.p);
    if (!v.header_failure) {
        v.aead_key = vec_member(t, "aeadKey");
        v.base_nonce = vec_member(t, "baseNonce");
    }
    if (v.valid || v.partial) {
        v.has_prefix = true;
        v.prefix_len = (size_t)vec_int(t, "msgLength");
        v.sha512 = vec_member(t, "msgSha512");
    }
    return v;
}

static void vector_close(struct vector *v)
{
    struct vec_bytes all[] = {v->key, v->ctx, v->ct, v->aead_key, v->base_nonce, v->sha512};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i].p);
}

static bool is_sha512(const uint8_t *p, size_t len, struct vec_bytes expected)
{
    uint8_t digest[64];

    cr_assert_eq(EVP_Digest(p, len, digest, NULL, EVP_sha512(), NULL), 1);
    return expected.len == sizeof digest && memcmp(digest, expected.p, sizeof digest) == 0;
}

/* ---- Readers: each writes a prefix to @out and returns true if the message was accepted -------------------------- */

struct reader {
    struct bs_chunked c;
    const uint8_t *payload; /* the chunks, without the C2SP header */
    size_t payload_len;
    uint8_t *out;
    size_t out_len, out_cap;
    size_t limit; /* plaintext bytes from this offset on are in a chunk that is not authentic, or after such a chunk */
};

/* Read the header: check the key size, derive the keys and check the commitment, as envelope.c does. */
static bool reader_start(struct reader *r, const struct vector *v)
{
    struct bs_chunked_keys keys;
    struct blobseal_secret32 dek;

    if (v->key.len != sizeof dek.b || v->ct.len < C2SP_HEADER)
        return false;
    memcpy(dek.b, v->key.p, sizeof dek.b);
    cr_assert(bs_chunked_derive(&keys, &dek, v->ct.p, v->ctx.p, v->ctx.len));
    if (!blobseal_equal(keys.commitment, v->ct.p + BS_SALT_LEN, sizeof keys.commitment))
        return false;
    cr_assert_arr_eq(keys.key, v->aead_key.p, sizeof keys.key, "aeadKey of %d", v->id);
    cr_assert_arr_eq(keys.nonce, v->base_nonce.p, sizeof keys.nonce, "baseNonce of %d", v->id);
    cr_assert_eq(bs_chunked_init(&r->c, &keys, NULL), BLOBSEAL_OK);
    return true;
}

/* Start in raw mode: key and nonce are given, and nothing is derived. */
static void reader_start_raw(struct reader *r, const struct vector *v)
{
    struct bs_chunked_keys keys = {{0}, {0}, {0}};

    cr_assert(v->aead_key.len == sizeof keys.key && v->base_nonce.len == sizeof keys.nonce);
    memcpy(keys.key, v->aead_key.p, sizeof keys.key);
    memcpy(keys.nonce, v->base_nonce.p, sizeof keys.nonce);
    cr_assert_eq(bs_chunked_init(&r->c, &keys, NULL), BLOBSEAL_OK);
}

/* Open @len sealed bytes as a run, into exact buffers. */
static bool open_run(struct reader *r, uint64_t first, bool last, const uint8_t *sealed, size_t len)
{
    struct vec_bytes in = vec_copy(sealed, len), out = vec_copy(NULL, len);
    size_t n = 0;
    bool ok;

    memset(out.p, FILLER, out.len);
    ok = bs_chunked_open(&r->c, first, last, out.p, (struct bs_slice){in.p, in.len}, &n);
    cr_assert(ok || n == 0);
    cr_assert_leq(r->out_len + n, r->out_cap);
    for (size_t i = r->limit > r->out_len ? r->limit - r->out_len : 0; !ok && i < out.len; i++)
        cr_assert(out.p[i] == 0 || out.p[i] == FILLER, "a byte that is not authentic in the buffer");
    memcpy(r->out + r->out_len, out.p, n);
    r->out_len += n;
    free(in.p);
    free(out.p);
    return ok;
}

static bool read_whole(struct reader *r)
{
    return open_run(r, 0, true, r->payload, r->payload_len);
}

/* Open groups of @chunks chunks, divided as in a pipe reader: a group that is not full is the last. */
static bool read_stream(struct reader *r, size_t chunks)
{
    size_t group = chunks * BS_SEALED_CHUNK_LEN, at = 0;
    uint64_t index = 0;

    for (;; at += group, index += chunks) {
        size_t left = r->payload_len - at;

        if (!open_run(r, index, left < group, r->payload + at, left < group ? left : group))
            return false;
        if (left < group)
            return true;
    }
}

/* Authenticate the length using only the last chunk. */
static bool read_last(struct reader *r, size_t *plain_len)
{
    size_t at = r->payload_len / BS_SEALED_CHUNK_LEN * BS_SEALED_CHUNK_LEN, n = 0;
    struct vec_bytes out = vec_copy(NULL, BS_CHUNK_LEN);
    bool ok = bs_chunked_open(&r->c, at / BS_SEALED_CHUNK_LEN, true, out.p,
                              (struct bs_slice){r->payload + at, r->payload_len - at}, &n);

    *plain_len = at / BS_SEALED_CHUNK_LEN * BS_CHUNK_LEN + n;
    free(out.p);
    return ok;
}

/* Open the chunks one by one in a shuffled order, each into its place. Return true if all are authentic. */
static bool read_shuffled(struct reader *r, bool good[MOST_CHUNKS], size_t *chunks)
{
    size_t n = r->payload_len / BS_SEALED_CHUNK_LEN + 1, order[MOST_CHUNKS], total;
    uint64_t random = 1;
    bool all = read_last(r, &total);

    cr_assert_leq(n, (size_t)MOST_CHUNKS);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = vec_random(&random) % (i + 1), swap = order[i];

        order[i] = order[k];
        order[k] = swap;
    }
    for (size_t i = 0; i < n; i++) {
        size_t k = order[i], at = k * BS_SEALED_CHUNK_LEN, len;

        r->out_len = k * BS_CHUNK_LEN;
        len = k + 1 < n ? BS_SEALED_CHUNK_LEN : r->payload_len - at;
        good[k] = open_run(r, k, k + 1 == n, r->payload + at, len);
        all = all && good[k];
    }
    r->out_len = total;
    *chunks = n;
    return all;
}

/* ---- Every vector through every reader --------------------------------------------------------------------------- */

enum { WHOLE, STREAM_1, STREAM_3, STREAM_16, SHUFFLED, NUM_DRIVERS };

/* Check what @driver releases of a vector whose header was accepted. */
static void check_reader(const struct vector *v, struct reader *r, int driver)
{
    static const size_t group[] = {0, 1, 3, 16};
    bool good[MOST_CHUNKS] = {false}, ok;
    size_t chunks = 0, prefix = 0;

    r->payload = v->ct.p + C2SP_HEADER;
    r->payload_len = v->ct.len - C2SP_HEADER;
    r->out_len = 0;
    if (driver == WHOLE)
        ok = read_whole(r);
    else if (driver == SHUFFLED)
        ok = read_shuffled(r, good, &chunks);
    else
        ok = read_stream(r, group[driver]);
    cr_assert_eq(ok, v->valid, "%d by reader %d", v->id, driver);
    if (v->valid) {
        cr_assert_eq(r->out_len, v->prefix_len, "length of %d", v->id);
        cr_assert(is_sha512(r->out, r->out_len, v->sha512), "message of %d", v->id);
        return;
    }
    if (driver == SHUFFLED) {
        /* The authentic prefix is readable, and the chunk after it is not. */
        while (prefix < chunks && good[prefix])
            prefix++;
        cr_assert_eq(prefix * BS_CHUNK_LEN, v->prefix_len, "%d: %zu chunks", v->id, prefix);
        r->out_len = v->prefix_len;
    } else {
        cr_assert_leq(r->out_len, v->prefix_len, "%d: bytes beyond the prefix", v->id);
        if (driver == STREAM_1) /* with groups of one chunk, no authentic chunk is held back */
            cr_assert_eq(r->out_len, v->prefix_len);
    }
    if (v->has_prefix && r->out_len == v->prefix_len)
        cr_assert(is_sha512(r->out, r->out_len, v->sha512), "prefix of %d", v->id);
}

static void check_length(const struct vector *v, struct reader *r)
{
    size_t len;
    bool ok;

    r->payload = v->ct.p + C2SP_HEADER;
    r->payload_len = v->ct.len - C2SP_HEADER;
    ok = read_last(r, &len);
    cr_assert_eq(ok, v->valid || v->valid_final, "length of %d", v->id);
    if (v->valid)
        cr_assert_eq(len, v->prefix_len);
}

static struct reader reader_room(const struct vector *v)
{
    return (struct reader){.out = vec_copy(NULL, v->ct.len).p, .out_cap = v->ct.len, .limit = v->prefix_len};
}

static void check_vector(const struct vector *v)
{
    struct reader r = reader_room(v);
    bool accepted = reader_start(&r, v);

    cr_assert_eq(accepted, !v->header_failure, "header of %d", v->id);
    for (int driver = 0; accepted && driver < NUM_DRIVERS; driver++)
        check_reader(v, &r, driver);
    if (accepted)
        check_length(v, &r);
    bs_chunked_clear(&r.c);
    free(r.out);
}

/* Call @check with every vector. Return the number of vectors. */
static unsigned each_vector(void (*check)(const struct vector *v))
{
    json_t *root = vec_json(FILE_NAME), *g, *t;
    unsigned n = 0;
    size_t i, k;

    cr_assert_eq(vec_int(root, "numberOfTests"), NUM_TESTS);
    json_array_foreach(vec_list(root, "testGroups"), i, g)
    {
        cr_assert_str_eq(vec_text(g, "aead"), "AEAD_AES_256_GCM");
        json_array_foreach(vec_list(g, "tests"), k, t)
        {
            struct vector v = vector_open(t);

            check(&v);
            vector_close(&v);
            n++;
        }
    }
    json_decref(root);
    return n;
}

Test(chunked, readers_agree_with_c2sp)
{
    cr_assert_eq(each_vector(check_vector), NUM_TESTS);
}

static struct {
    unsigned valid, header, key_size, partial, final;
} counts;

static void count(const struct vector *v)
{
    counts.valid += v->valid;
    counts.header += v->header_failure;
    counts.key_size += v->bad_key_size;
    counts.partial += v->partial;
    counts.final += v->valid_final;
    cr_assert_eq(v->bad_key_size, v->key.len != BLOBSEAL_SECRET_LEN);
}

Test(chunked, vectors_are_all_there)
{
    cr_assert_eq(each_vector(count), NUM_TESTS);
    cr_assert_eq(counts.valid, NUM_VALID);
    cr_assert_eq(counts.header, NUM_HEADERS);
    cr_assert_eq(counts.key_size, NUM_KEY_SIZE);
    cr_assert_eq(counts.partial, 9);
    cr_assert_eq(counts.final, 4);
}

/* ---- Raw mode and writing ---------------------------------------------------------------------------------------- */

static void check_raw(const struct vector *v)
{
    struct reader r = reader_room(v);

    if (v->header_failure) {
        free(r.out);
        return;
    }
    reader_start_raw(&r, v);
    for (int driver = 0; driver < NUM_DRIVERS; driver++)
        check_reader(v, &r, driver);
    bs_chunked_clear(&r.c);
    free(r.out);
}

Test(chunked, raw_mode_agrees_with_c2sp)
{
    cr_assert_eq(each_vector(check_raw), NUM_TESTS);
}

/* Seal @plain in runs of @chunks chunks; 0 means a single run. */
static struct vec_bytes seal(struct bs_chunked *c, const uint8_t *plain, size_t len, size_t chunks)
{
    struct vec_bytes sealed = vec_copy(NULL, bs_sealed_tail_len(len));
    size_t group = chunks * BS_CHUNK_LEN, at = 0, out = 0;
    uint64_t index = 0;

    while (chunks > 0 && len - at >= group) {
        cr_assert(bs_chunked_seal(c, index, false, sealed.p + out, (struct bs_slice){plain + at, group}));
        at += group;
        index += chunks;
        out += chunks * BS_SEALED_CHUNK_LEN;
    }
    cr_assert(bs_chunked_seal(c, index, true, sealed.p + out, (struct bs_slice){plain + at, len - at}));
    return sealed;
}

static unsigned sealed_again;

static void check_writer(const struct vector *v)
{
    static const size_t groups[] = {0, 1, 3, 16};
    struct reader r = reader_room(v);

    if (!v->valid) {
        free(r.out);
        return;
    }
    cr_assert(reader_start(&r, v)); /* compares what was derived with the salt's commitment, aeadKey and baseNonce */
    r.payload = v->ct.p + C2SP_HEADER;
    r.payload_len = v->ct.len - C2SP_HEADER;
    cr_assert(read_whole(&r));
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        struct vec_bytes again = seal(&r.c, r.out, r.out_len, groups[i]);

        cr_assert_eq(again.len, r.payload_len);
        cr_assert_arr_eq(again.p, r.payload, again.len, "%d in groups of %zu", v->id, groups[i]);
        free(again.p);
    }
    sealed_again++;
    bs_chunked_clear(&r.c);
    free(r.out);
}

Test(chunked, writer_yields_the_bytes_of_c2sp)
{
    cr_assert_eq(each_vector(check_writer), NUM_TESTS);
    cr_assert_eq(sealed_again, NUM_VALID);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

static struct bs_chunked fixed(void)
{
    struct bs_chunked_keys keys = {{4}, {5}, {6}};
    struct bs_chunked c;

    cr_assert_eq(bs_chunked_init(&c, &keys, NULL), BLOBSEAL_OK);
    return c;
}

Test(chunked, only_the_last_run_has_a_short_chunk)
{
    static const size_t bad[] = {0, 1, 16383, 16385, 32767, 32769};
    struct vec_bytes plain = vec_copy(NULL, 3 * BS_CHUNK_LEN), sealed = vec_copy(NULL, 4 * BS_SEALED_CHUNK_LEN);
    struct bs_chunked c = fixed();
    size_t n;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(bs_chunked_seal(&c, 0, false, sealed.p, (struct bs_slice){plain.p, bad[i]}), "%zu", bad[i]);
    cr_assert(bs_chunked_seal(&c, 0, false, sealed.p, (struct bs_slice){plain.p, 2 * BS_CHUNK_LEN}));
    cr_assert_not(bs_chunked_open(&c, 0, true, plain.p, (struct bs_slice){sealed.p, 2 * BS_SEALED_CHUNK_LEN}, &n),
                  "a full last chunk");
    cr_assert_not(bs_chunked_open(&c, 0, false, plain.p, (struct bs_slice){sealed.p, 0}, &n));
    cr_assert_not(bs_chunked_open(&c, 0, false, plain.p, (struct bs_slice){sealed.p, BS_SEALED_CHUNK_LEN - 1}, &n));
    cr_assert_not(bs_chunked_open(&c, 0, false, plain.p, (struct bs_slice){sealed.p, BS_SEALED_CHUNK_LEN + 16}, &n));
    for (size_t len = 0; len < 16; len++) {
        cr_assert_not(bs_chunked_open(&c, 0, true, plain.p, (struct bs_slice){sealed.p, len}, &n));
        cr_assert_not(
            bs_chunked_open(&c, 0, true, plain.p, (struct bs_slice){sealed.p, BS_SEALED_CHUNK_LEN + len}, &n));
    }
    cr_assert(bs_chunked_open(&c, 0, false, plain.p, (struct bs_slice){sealed.p, 2 * BS_SEALED_CHUNK_LEN}, &n));
    cr_assert_eq(n, 2 * BS_CHUNK_LEN);
    bs_chunked_clear(&c);
    free(plain.p);
    free(sealed.p);
}

/* A last chunk cannot be replaced by a middle one, nor moved: its length and its place are authenticated. */
Test(chunked, the_last_chunk_is_bound_to_its_place)
{
    struct vec_bytes plain = vec_copy(NULL, BS_CHUNK_LEN), sealed = vec_copy(NULL, BS_SEALED_CHUNK_LEN);
    struct bs_chunked c = fixed();
    size_t n;

    cr_assert(bs_chunked_seal(&c, 7, true, sealed.p, (struct bs_slice){plain.p, 100}));
    cr_assert(bs_chunked_open(&c, 7, true, plain.p, (struct bs_slice){sealed.p, 116}, &n));
    cr_assert_eq(n, 100);
    cr_assert_not(bs_chunked_open(&c, 6, true, plain.p, (struct bs_slice){sealed.p, 116}, &n));
    cr_assert_eq(n, 0);
    cr_assert_not(bs_chunked_open(&c, 7, true, plain.p, (struct bs_slice){sealed.p, 115}, &n));
    bs_chunked_clear(&c);
    free(plain.p);
    free(sealed.p);
}

Test(chunked, there_are_2_to_38_chunks_and_no_more)
{
    struct vec_bytes plain = vec_copy(NULL, 2 * BS_CHUNK_LEN), sealed = vec_copy(NULL, 3 * BS_SEALED_CHUNK_LEN);
    static const uint64_t beyond[] = {BS_MAX_CHUNKS, BS_MAX_CHUNKS + 1, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
    const uint64_t top = BS_MAX_CHUNKS - 1;
    struct bs_chunked c = fixed();
    size_t n;

    cr_assert(bs_chunked_seal(&c, top, true, sealed.p, (struct bs_slice){plain.p, 16383}));
    cr_assert(bs_chunked_open(&c, top, true, plain.p, (struct bs_slice){sealed.p, 16399}, &n));
    cr_assert(bs_chunked_seal(&c, top, false, sealed.p, (struct bs_slice){plain.p, BS_CHUNK_LEN}));
    cr_assert(bs_chunked_open(&c, top, false, plain.p, (struct bs_slice){sealed.p, BS_SEALED_CHUNK_LEN}, &n));
    cr_assert_not(bs_chunked_seal(&c, top, true, sealed.p, (struct bs_slice){plain.p, BS_CHUNK_LEN}),
                  "one full, one empty");
    cr_assert_not(bs_chunked_seal(&c, top, false, sealed.p, (struct bs_slice){plain.p, 2 * BS_CHUNK_LEN}));
    cr_assert_not(bs_chunked_open(&c, top, true, plain.p, (struct bs_slice){sealed.p, BS_SEALED_CHUNK_LEN + 16}, &n));
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        cr_assert_not(bs_chunked_seal(&c, beyond[i], true, sealed.p, (struct bs_slice){plain.p, 0}));
        cr_assert_not(bs_chunked_seal(&c, beyond[i], false, sealed.p, (struct bs_slice){plain.p, 2 * BS_CHUNK_LEN}));
        cr_assert_not(bs_chunked_open(&c, beyond[i], true, plain.p, (struct bs_slice){sealed.p, 16}, &n));
    }
    bs_chunked_clear(&c);
    free(plain.p);
    free(sealed.p);
}

Test(chunked, a_bad_chunk_leaves_good_ones_before_it_and_zeros_after)
{
    struct vec_bytes plain = vec_copy(NULL, 3 * BS_CHUNK_LEN + 5),
                     sealed = vec_copy(NULL, 3 * BS_SEALED_CHUNK_LEN + 21);
    struct vec_bytes out = vec_copy(NULL, plain.len);
    struct bs_chunked c = fixed();
    uint64_t random = 9;
    size_t n;

    vec_random_fill(&random, plain.p, plain.len);
    cr_assert(bs_chunked_seal(&c, 0, true, sealed.p, (struct bs_slice){plain.p, plain.len}));
    for (size_t bad = 0; bad < 4; bad++) {
        sealed.p[bad * BS_SEALED_CHUNK_LEN + 3] ^= 1;
        memset(out.p, FILLER, out.len);
        cr_assert_not(bs_chunked_open(&c, 0, true, out.p, (struct bs_slice){sealed.p, sealed.len}, &n));
        cr_assert_eq(n, 0);
        cr_assert_arr_eq(out.p, plain.p, bad * BS_CHUNK_LEN);
        cr_assert(bs_all_zero(out.p + bad * BS_CHUNK_LEN, out.len - bad * BS_CHUNK_LEN));
        sealed.p[bad * BS_SEALED_CHUNK_LEN + 3] ^= 1;
    }
    bs_chunked_clear(&c);
    cr_assert(bs_all_zero((const uint8_t *)&c, sizeof c), "something is left of the keys");
    free(plain.p);
    free(sealed.p);
    free(out.p);
}
