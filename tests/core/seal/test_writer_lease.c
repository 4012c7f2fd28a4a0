/* SPDX-License-Identifier: Apache-2.0 */
/* Writers that seal for a key which its owner can revoke: they stop when the owner says so, and not before. */
#include <stdlib.h>

#include "tests/support/suite.h"

SUITE(writer_lease);

#define PIECE 300000 /* more than a run, so that each piece reaches the sink */

static uint8_t plain[3 * PIECE];

struct scene {
    struct fake_kek fakes[2]; /* the first key can be revoked, the second one is a file */
    struct blobseal_kek *keks[2];
    struct blobseal_memory memory;
    struct blobseal_sink sink;
    struct blobseal_writer *writer;
    struct blobseal_error err;
};

/* Open a writer whose lease has ended unless @boottime_ms is in the future; 0: it has none. */
static void scene_start(struct scene *s, uint64_t boottime_ms)
{
    *s = (struct scene){.fakes = {{.kid = "vault-key", .revocable = true}, {.kid = "file-key"}}};
    s->fakes[0].lease.valid_until_boottime_ms = boottime_ms;
    for (size_t i = 0; i < 2; i++)
        s->keks[i] = fake_kek_open(&s->fakes[i]);
    fill_random(plain, sizeof plain, 3);
    blobseal_sink_memory(&s->sink, &s->memory);
    cr_assert_eq(blobseal_writer_open(&s->writer, &s->sink, s->keks, 2, NULL, &s->err), BLOBSEAL_OK);
    cr_expect_eq(s->fakes[0].renews, 0);
}

static void scene_end(struct scene *s)
{
    for (size_t i = 0; i < 2; i++)
        blobseal_kek_close(s->keks[i]);
    cr_expect_eq(s->fakes[0].closes, s->fakes[0].lease.valid_until_boottime_ms == 0 ? 1 : 0,
                 "a writer with a lease keeps its key");
    blobseal_writer_close(s->writer);
    cr_expect_eq(s->fakes[0].closes, 1);
    cr_expect_eq(s->fakes[1].closes, 1);
    blobseal_free(s->memory.data);
}

static enum blobseal_status write_piece(struct scene *s, unsigned i)
{
    s->err = (struct blobseal_error){0};
    return blobseal_writer_write(s->writer, plain + (size_t)i * PIECE, PIECE, &s->err);
}

static void expect_whole(struct scene *s)
{
    struct opened o;

    cr_assert_eq(blobseal_writer_finish(s->writer, NULL, &s->err), BLOBSEAL_OK, "%s", s->err.text);
    cr_assert_eq(open_bytes(&o, s->memory.data, s->memory.len, &s->keks[1], 1, &(struct how_to_open){0}, NULL),
                 BLOBSEAL_OK);
    cr_expect(o.len == sizeof plain && memcmp(o.data, plain, o.len) == 0);
    opened_clear(&o);
}

Test(writer_lease, without_a_limit_nobody_is_asked)
{
    struct scene s;

    scene_start(&s, 0);
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(write_piece(&s, i), BLOBSEAL_OK);
    expect_whole(&s);
    cr_expect_eq(s.fakes[0].renews, 0);
    scene_end(&s);
}

Test(writer_lease, the_end_of_the_lease_is_extended_once)
{
    struct scene s;

    scene_start(&s, 1);
    s.fakes[0].lease.valid_until_boottime_ms = UINT64_MAX;
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(write_piece(&s, i), BLOBSEAL_OK);
    expect_whole(&s);
    cr_expect_eq(s.fakes[0].renews, 1);
    scene_end(&s);
}

Test(writer_lease, what_could_not_be_asked_can_be_repeated)
{
    struct scene s;
    size_t len;

    scene_start(&s, 1);
    cr_expect_eq(write_piece(&s, 0), BLOBSEAL_OK);
    len = s.memory.len;
    s.fakes[0].renew = (struct fault){.at_call = 2, .status = BLOBSEAL_E_UNAVAILABLE, .once = true};
    cr_expect_eq(write_piece(&s, 1), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_neq(s.err.text[0], '\0');
    cr_expect_eq(s.memory.len, len);
    cr_expect_eq(write_piece(&s, 1), BLOBSEAL_OK);
    cr_expect_eq(write_piece(&s, 2), BLOBSEAL_OK);
    s.fakes[0].renew = (struct fault){.at_call = 5, .status = BLOBSEAL_E_UNAVAILABLE, .once = true};
    cr_expect_eq(blobseal_writer_finish(s.writer, NULL, &s.err), BLOBSEAL_E_UNAVAILABLE);
    expect_whole(&s);
    scene_end(&s);
}

Test(writer_lease, a_denial_is_final)
{
    struct blobseal_seal_result result = {.size = sizeof result};
    struct scene s;
    size_t len;

    scene_start(&s, 1);
    cr_expect_eq(write_piece(&s, 0), BLOBSEAL_OK);
    s.fakes[0].renew = (struct fault){.at_call = 2, .status = BLOBSEAL_E_DENIED, .once = true};
    len = s.memory.len;
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(write_piece(&s, 1), BLOBSEAL_E_DENIED);
    cr_expect_eq(blobseal_writer_finish(s.writer, &result, &s.err), BLOBSEAL_E_DENIED);
    cr_expect_eq(result.sealed_bytes, 0);
    cr_expect_eq(s.err.status, BLOBSEAL_E_DENIED);
    cr_expect_eq(s.memory.len, len, "nothing more reaches the sink");
    cr_expect_eq(s.fakes[0].renews, 2, "it is not asked again");
    scene_end(&s);
}

/* One call is one use of the key: it is completed even if its lease ends meanwhile. */
Test(writer_lease, a_call_that_has_begun_is_completed)
{
    struct scene s;
    struct sealed sealed;

    scene_start(&s, 1);
    cr_expect_eq(seal_bytes(&sealed, plain, sizeof plain, s.keks, 2, NULL, NULL), BLOBSEAL_OK);
    cr_expect_eq(s.fakes[0].renews, 0);
    sealed_clear(&sealed);
    scene_end(&s);
}
