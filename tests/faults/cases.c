/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tests/faults/files.h"
#include "tests/faults/token.h"
#include "tests/faults/vault.h"

/* Abort if something succeeded, but with a wrong result. */
static void expect(bool right, const char *what)
{
    if (!right)
        test_support_failed(what);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static enum blobseal_status generate(struct blobseal_error *err)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    enum blobseal_status st = blobseal_keygen_rsa(&pair, 2048, NULL, err);

    expect(st != BLOBSEAL_OK || (pair.private_len > 1000 && pair.public_len > 300), "generate a key");
    blobseal_keypair_clear(&pair);
    return st;
}

static enum blobseal_status give_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx;
    (void)err;
    expect(cap > strlen(PASSPHRASE), "room for a passphrase");
    *len = strlen(PASSPHRASE);
    memcpy(buf, PASSPHRASE, *len);
    return BLOBSEAL_OK;
}

static enum blobseal_status open_key(enum file_name name, struct blobseal_error *err)
{
    const struct blobseal_kek_options o = {.size = sizeof o, .passphrase = give_passphrase};
    struct blobseal_kek *k;
    enum blobseal_status st = blobseal_kek_open(&k, NULL, files[name].path, &o, err);

    expect(st != BLOBSEAL_OK || blobseal_kek_can_unwrap(k) == (name != FILE_PUBLIC_KEY), "open a key");
    blobseal_kek_close(k);
    return st;
}

static enum blobseal_status open_private_key(struct blobseal_error *err)
{
    return open_key(FILE_KEY, err);
}

static enum blobseal_status open_public_key(struct blobseal_error *err)
{
    return open_key(FILE_PUBLIC_KEY, err);
}

static enum blobseal_status open_encrypted_key(struct blobseal_error *err)
{
    return open_key(FILE_ENCRYPTED_KEY, err);
}

static enum blobseal_status wrap_and_unwrap(struct blobseal_kek *k, struct blobseal_error *err)
{
    static const struct blobseal_secret32 known = {{1}};
    struct blobseal_secret32 secret;
    char *jwe = NULL;
    size_t len;
    enum blobseal_status st = blobseal_kek_wrap(k, PURPOSE, &known, NULL, &jwe, &len, err);

    blobseal_free(jwe);
    if (st == BLOBSEAL_OK)
        st = blobseal_kek_unwrap(&k, 1, PURPOSE, files[FILE_WRAPPED].text, files[FILE_WRAPPED].len, NULL, &secret, err);
    expect(st != BLOBSEAL_OK || memcmp(&secret, &known, sizeof secret) == 0, "unwrap a secret");
    return st;
}

/* ---- Sealing ----------------------------------------------------------------------------------------------------- */

static const struct blobseal_annotation annotation = {"a", "b"};
static const struct blobseal_metadata metadata = {
    .size = sizeof metadata, .name = "n", .type = "a/b", .num_annotations = 1, .annotations = &annotation};

#define EVERY_DIGEST (BLOBSEAL_DIGEST_CORE | BLOBSEAL_DIGEST_OUTPUT | BLOBSEAL_DIGEST_PLAIN)

static enum blobseal_status seal_as(struct blobseal_kek *k, const struct blobseal_seal_options *o, size_t len,
                                    struct blobseal_error *err)
{
    struct blobseal_seal_result result = {.size = sizeof result};
    struct blobseal_memory in, out = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_source_memory(&source, &in, plain, len);
    blobseal_sink_memory(&sink, &out);
    st = blobseal_seal(&sink, &source, &k, 1, o, &result, err);
    expect(st != BLOBSEAL_OK || (result.plain_bytes == len && out.len == result.sealed_bytes), "seal");
    blobseal_free(out.data);
    blobseal_free(result.envelope);
    return st;
}

static enum blobseal_status seal_plain(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = 1, .metadata = &metadata, .digests = EVERY_DIGEST};

    return seal_as(k, &o, PLAIN, err);
}

static enum blobseal_status seal_detached_zstd(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_seal_options o = {
        .size = sizeof o, .threads = 1, .zstd = true, .layout = BLOBSEAL_LAYOUT_DETACHED};

    return seal_as(k, &o, PLAIN, err);
}

static enum blobseal_status seal_with_threads(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .threads = 3};

    return seal_as(k, &o, MAX_PLAIN, err);
}

static enum blobseal_status write_as(struct blobseal_kek *k, bool zstd, struct blobseal_error *err)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .zstd = zstd, .metadata = &metadata};
    struct blobseal_seal_result result = {.size = sizeof result};
    struct blobseal_writer *w = NULL;
    struct blobseal_memory out = {0};
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_sink_memory(&sink, &out);
    st = blobseal_writer_open(&w, &sink, &k, 1, &o, err);
    for (size_t i = 0; i < 2 && st == BLOBSEAL_OK; i++)
        st = blobseal_writer_write(w, plain, PLAIN, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_writer_finish(w, &result, err);
    expect(st != BLOBSEAL_OK || out.len == result.sealed_bytes, "write");
    blobseal_writer_close(w);
    blobseal_free(out.data);
    return st;
}

static enum blobseal_status write_plain(struct blobseal_kek *k, struct blobseal_error *err)
{
    return write_as(k, false, err);
}

static enum blobseal_status write_zstd(struct blobseal_kek *k, struct blobseal_error *err)
{
    return write_as(k, true, err);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* A file as a source. */
struct input {
    struct blobseal_source source;
    struct blobseal_fd state;
};

static enum blobseal_status open_input(struct input *in, enum file_name name, struct blobseal_error *err)
{
    return blobseal_source_fd_at(&in->source, &in->state, files[name].fd, "blob", 0, BLOBSEAL_SIZE_UNKNOWN, err);
}

/* Check content that was opened, and release it. */
static void check_content(enum blobseal_status st, struct blobseal_memory *out, size_t off, size_t len)
{
    expect(st != BLOBSEAL_OK || (out->len == len && memcmp(out->data, plain + off, len) == 0), "open a blob");
    blobseal_free(out->data);
}

static enum blobseal_status stream(struct blobseal_reader *r, size_t len, struct blobseal_error *err)
{
    struct blobseal_memory out = {0};
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_sink_memory(&sink, &out);
    st = blobseal_reader_stream(r, &sink, NULL, err);
    check_content(st, &out, 0, len);
    return st;
}

static enum blobseal_status stream_part(struct blobseal_reader *r, struct blobseal_error *err)
{
    struct blobseal_memory out = {0};
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_sink_memory(&sink, &out);
    st = blobseal_reader_stream_range(r, &sink, 40000, 20000, NULL, err);
    check_content(st, &out, 40000, 20000);
    return st;
}

static enum blobseal_status read_part(struct blobseal_reader *r, struct blobseal_error *err)
{
    static uint8_t part[20000];
    size_t n;
    enum blobseal_status st = blobseal_reader_pread(r, part, sizeof part, 30000, &n, err);

    expect(st != BLOBSEAL_OK || (n == sizeof part && memcmp(part, plain + 30000, n) == 0), "read a part");
    return st;
}

static enum blobseal_status pull(struct blobseal_reader *r, struct blobseal_error *err)
{
    static uint8_t part[30000];
    enum blobseal_status st;
    size_t n, all = 0;

    do {
        st = blobseal_reader_read(r, part, sizeof part, &n, err);
        expect(st != BLOBSEAL_OK || (all + n <= PLAIN && memcmp(part, plain + all, n) == 0), "pull a blob");
        all += n;
    } while (st == BLOBSEAL_OK && n > 0);
    expect(st != BLOBSEAL_OK || all == PLAIN, "pull all of a blob");
    return st;
}

static enum blobseal_status stream_blob(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 1, .digests = EVERY_DIGEST};
    struct blobseal_reader *r = NULL;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_AB, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&r, &in.source, &k, 1, &o, err);
    if (st == BLOBSEAL_OK)
        st = stream(r, PLAIN, err);
    blobseal_reader_close(r);
    return st;
}

static enum blobseal_status range_of_blob(struct blobseal_kek *k, struct blobseal_error *err)
{
    struct blobseal_reader *r = NULL;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_COMPACT, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&r, &in.source, &k, 1, NULL, err);
    if (st == BLOBSEAL_OK)
        st = read_part(r, err);
    if (st == BLOBSEAL_OK)
        st = stream_part(r, err);
    blobseal_reader_close(r);
    return st;
}

/* Read a file in order, as from a pipe. */
static enum blobseal_status read_on(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    struct bs_slice *left = ctx;

    (void)err;
    *nread = len < left->len ? len : left->len;
    memcpy(buf, left->p, *nread);
    *left = (struct bs_slice){left->p + *nread, left->len - *nread};
    return BLOBSEAL_OK;
}

/* Open a detached core that arrives in order, in a context of its own. */
static enum blobseal_status pull_core(struct blobseal_kek *k, struct blobseal_error *err)
{
    struct blobseal_reader_options o = {.size = sizeof o, .envelope = files[FILE_ENVELOPE].text};
    const struct blobseal_context_options limits = {.size = sizeof limits, .threads = 1, .max_scratch = 1};
    struct blobseal_counters counters = {.size = sizeof counters};
    struct blobseal_reader *r = NULL;
    struct bs_slice left = {(const uint8_t *)files[FILE_CORE].text, files[FILE_CORE].len};
    const struct blobseal_source source = {.ctx = &left, .read = read_on, .size = BLOBSEAL_SIZE_UNKNOWN};
    enum blobseal_status st = blobseal_context_new(&o.context, &limits, err);

    o.envelope_len = files[FILE_ENVELOPE].len;
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&r, &source, &k, 1, &o, err);
    if (st == BLOBSEAL_OK)
        st = pull(r, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_context_counters(o.context, &counters, err);
    blobseal_reader_close(r);
    blobseal_context_trim(o.context);
    blobseal_context_free(o.context);
    return st;
}

static enum blobseal_status use_zstd(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 1};
    struct blobseal_reader *r = NULL;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_ZSTD, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&r, &in.source, &k, 1, &o, err);
    if (st == BLOBSEAL_OK)
        st = read_part(r, err);
    if (st == BLOBSEAL_OK)
        st = stream(r, PLAIN, err);
    if (st == BLOBSEAL_OK)
        st = pull(r, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_verify(r, NULL, err);
    blobseal_reader_close(r);
    return st;
}

static enum blobseal_status use_threads(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_reader_options o = {.size = sizeof o, .threads = 3};
    struct blobseal_reader *r = NULL;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_LARGE, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&r, &in.source, &k, 1, &o, err);
    if (st == BLOBSEAL_OK)
        st = stream(r, MAX_PLAIN, err);
    blobseal_reader_close(r);
    return st;
}

static enum blobseal_status unlock_and_open(struct blobseal_kek *k, struct blobseal_error *err)
{
    struct blobseal_unlocked_info info = {.size = sizeof info};
    struct blobseal_unlocked *u = NULL;
    struct blobseal_reader *r = NULL;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_AB, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_unlock(&u, &in.source, &k, 1, NULL, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_unlocked_info(u, &info, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open_with(&r, &in.source, u, NULL, err);
    if (st == BLOBSEAL_OK)
        st = pull(r, err);
    blobseal_reader_close(r);
    blobseal_unlocked_release(u);
    return st;
}

/* ---- Changing recipients ----------------------------------------------------------------------------------------- */

static enum blobseal_status change_in_place(struct blobseal_kek *from, struct blobseal_kek *to,
                                            struct blobseal_error *err)
{
    const struct blobseal_change change = {.size = sizeof change, .add = &to, .num_add = 1, .only = true};
    struct blobseal_kek *const both[] = {from, to};
    struct blobseal_change_result *result = NULL;
    struct blobseal_target target;
    struct blobseal_fd state;
    enum blobseal_status st = blobseal_target_fd(&target, &state, files[FILE_AB].fd, "blob", err);

    if (st == BLOBSEAL_OK)
        st = blobseal_change_in_place(&result, &target, both, 2, &change, err);
    blobseal_change_result_free(result);
    return st;
}

/* Replace the key by another one and that one by the first, so that the blob is as before. */
static enum blobseal_status rewrap_twice(struct blobseal_kek *k, struct blobseal_error *err)
{
    struct blobseal_kek *to = other;
    enum blobseal_status st = BLOBSEAL_OK;

    if (to == NULL)
        st = blobseal_kek_open(&to, NULL, files[FILE_OTHER_KEY].path, NULL, err);
    if (st == BLOBSEAL_OK)
        st = change_in_place(k, to, err);
    if (st == BLOBSEAL_OK)
        st = change_in_place(to, k, err);
    if (to != other)
        blobseal_kek_close(to);
    return st;
}

enum blobseal_status changes_undo(struct blobseal_error *err)
{
    return change_in_place(other, kek, err);
}

static enum blobseal_status rewrite_compact(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_change change = {.size = sizeof change, .add = &other, .num_add = other != NULL};
    struct blobseal_change_result *result = NULL;
    struct blobseal_memory out = {0};
    struct blobseal_sink sink;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_COMPACT, err);

    blobseal_sink_memory(&sink, &out);
    if (st == BLOBSEAL_OK)
        st = blobseal_change_rewrite(&result, &sink, &in.source, &k, 1, &change, NULL, err);
    blobseal_change_result_free(result);
    blobseal_free(out.data);
    return st;
}

/* Change a detached envelope, and attach it to its core. */
static enum blobseal_status change_and_attach(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_change change = {.size = sizeof change,
                                           .add = &other,
                                           .num_add = other != NULL,
                                           .envelope = files[FILE_ENVELOPE].text,
                                           .envelope_len = files[FILE_ENVELOPE].len};
    struct blobseal_attach_options o = {.size = sizeof o, .layout = BLOBSEAL_LAYOUT_AB};
    struct blobseal_change_result *result = NULL;
    struct blobseal_memory out = {0};
    struct blobseal_sink sink;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_CORE, err);

    blobseal_sink_memory(&sink, &out);
    if (st == BLOBSEAL_OK)
        st = blobseal_change_envelope(&result, &in.source, &k, 1, &change, err);
    if (st == BLOBSEAL_OK) {
        o.envelope = result->envelope;
        o.envelope_len = result->envelope_len;
        st = blobseal_attach(&sink, &in.source, &o, err);
    }
    blobseal_change_result_free(result);
    blobseal_free(out.data);
    return st;
}

/* Find out how the damaged core header would be repaired. */
static enum blobseal_status plan_repair(struct blobseal_kek *k, struct blobseal_error *err)
{
    const struct blobseal_change change = {.size = sizeof change, .repair = true, .dry_run = true};
    struct blobseal_change_result *result = NULL;
    struct blobseal_target target;
    struct blobseal_fd state;
    enum blobseal_status st = blobseal_target_fd(&target, &state, files[FILE_DAMAGED].fd, "blob", err);

    if (st == BLOBSEAL_OK)
        st = blobseal_change_in_place(&result, &target, &k, 1, &change, err);
    expect(st != BLOBSEAL_OK || result->finished, "repair");
    blobseal_change_result_free(result);
    return st;
}

/* ---- Without a key ----------------------------------------------------------------------------------------------- */

static enum blobseal_status inspect(struct blobseal_error *err)
{
    struct blobseal_info *info = NULL;
    char *envelope = NULL;
    uint64_t core;
    size_t len;
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_AB, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_inspect(&info, &in.source, NULL, 0, err);
    expect(st != BLOBSEAL_OK || (info->num_recipients == 1 && info->notes == 0), "inspect");
    if (st == BLOBSEAL_OK)
        st = blobseal_preamble_read(&in.source, &envelope, &len, &core, err);
    blobseal_info_free(info);
    blobseal_free(envelope);
    return st;
}

static enum blobseal_status scrub(struct blobseal_error *err)
{
    const struct blobseal_scrub_options o = {.size = sizeof o, .threads = 1};
    struct blobseal_scrub_result result = {.size = sizeof result};
    struct input in;
    enum blobseal_status st = open_input(&in, FILE_AB, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_scrub(&in.source, &o, &result, err);
    expect(st != BLOBSEAL_OK || (result.ok && result.payload_checked), "scrub");
    return st;
}

/* A lack of memory must not be taken for a broken machine. */
static void look_at_finding(void *ctx, const struct blobseal_finding *f)
{
    (void)ctx;
    expect(f->level != BLOBSEAL_LEVEL_FAILURE || strstr(f->value, "no memory") != NULL, f->value);
}

static enum blobseal_status diagnose_with(struct blobseal_kek *k, struct blobseal_error *err)
{
    blobseal_diagnose(look_at_finding, NULL);
    return blobseal_diagnose_kek(k, NULL, look_at_finding, NULL, err);
}

static enum blobseal_status selftest(struct blobseal_error *err)
{
    return blobseal_selftest(err);
}

enum blobseal_status case_run(const struct test_case *c, struct blobseal_error *err)
{
    struct blobseal_kek *k = NULL;
    enum blobseal_status st = BLOBSEAL_OK;

    if (c->run != NULL)
        return c->run(err);
    if (kek == NULL)
        st = blobseal_kek_open(&k, NULL, files[FILE_KEY].path, NULL, err);
    if (st == BLOBSEAL_OK)
        st = c->use(kek != NULL ? kek : k, err);
    blobseal_kek_close(k);
    return st;
}

const struct test_case cases[] = {
    {"self-test", selftest, NULL, CASE_COLD},
    {"generate a key", generate, NULL, CASE_KEYGEN | CASE_COLD},
    {"open a private key", open_private_key, NULL, CASE_KEY | CASE_COLD},
    {"open a public key", open_public_key, NULL, CASE_KEY},
    {"open an encrypted key", open_encrypted_key, NULL, CASE_KEY},
    {"wrap and unwrap a secret", NULL, wrap_and_unwrap, 0},
    {"seal", NULL, seal_plain, CASE_COLD | CASE_RANDOM},
    {"seal, zstd", NULL, seal_detached_zstd, 0},
    {"seal, three threads", NULL, seal_with_threads, CASE_THREADS},
    {"write", NULL, write_plain, 0},
    {"write, zstd", NULL, write_zstd, 0},
    {"open", NULL, stream_blob, CASE_COLD | CASE_RANDOM},
    {"open a range", NULL, range_of_blob, CASE_COLD},
    {"open in order", NULL, pull_core, 0},
    {"open, zstd", NULL, use_zstd, 0},
    {"open, three threads", NULL, use_threads, CASE_THREADS},
    {"unlock and open", NULL, unlock_and_open, 0},
    {"rewrap", NULL, rewrap_twice, CASE_CHANGES | CASE_COLD},
    {"rewrite", NULL, rewrite_compact, 0},
    {"change and attach", NULL, change_and_attach, 0},
    {"repair", NULL, plan_repair, 0},
    {"layer", layer_small, NULL, CASE_COLD | CASE_RANDOM},
    {"layer, three threads", layer_in_threads, NULL, CASE_THREADS},
    {"keys of a layer", NULL, layer_keys, CASE_RANDOM},
    {"messages to a key provider", NULL, layer_messages, CASE_RANDOM},
    {"set", set_make_and_use, NULL, CASE_COLD},
    {"inspect", inspect, NULL, 0},
    {"scrub", scrub, NULL, CASE_COLD},
    {"diagnose", NULL, diagnose_with, 0},
    {"load a configuration", config_load, NULL, 0},
#ifdef FAKE_MODULE
    {"open a key in a token", token_open_key, NULL, CASE_KEY | CASE_THREADS},
    {"unwrap in a token", token_unwrap, NULL, CASE_THREADS},
    {"list the keys of a token", token_list, NULL, CASE_THREADS},
#endif
#ifdef WITH_VAULT
    {"open a key in a vault", vault_open_key, NULL, CASE_VAULT | CASE_TLS},
    {"use a key in a vault", vault_use_key, NULL, CASE_VAULT | CASE_KEEPS},
#endif
};
const size_t num_cases = COUNT(cases);
