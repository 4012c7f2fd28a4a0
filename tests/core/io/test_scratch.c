/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that users of a context share: who gets which, what is wiped, and how much memory is kept. */
#include <stdlib.h>

#include "core/io/io.h"
#include "tests/support/suite.h"

#define IN  ((size_t)1000)
#define OUT ((size_t)2000)

SUITE(scratch);

static unsigned ended;

static size_t state_bytes(const void *state)
{
    return *(const size_t *)state;
}

static void wipe(struct bs_worker *worker)
{
    blobseal_wipe(worker->out, worker->out_size);
}

static void end(void *state)
{
    ended++;
    free(state);
}

static const struct bs_scratch_kind kind = {
    .in_size = IN, .out_size = OUT, .state_bytes = state_bytes, .wipe = wipe, .end = end};

static struct blobseal_context *context_for(uint64_t workers)
{
    const struct blobseal_context_options o = {.size = sizeof o, .max_scratch = workers * (IN + OUT)};
    struct blobseal_context *c;

    cr_assert_eq(blobseal_context_new(&c, &o, NULL), BLOBSEAL_OK);
    ended = 0;
    return c;
}

static struct bs_scratch *take(struct bs_scratch_user *user, uint64_t tag, bool want_kept)
{
    bool kept = false;
    struct bs_scratch *s = bs_scratch_take(user, tag, &kept);

    cr_assert_not_null(s);
    cr_expect_eq(kept, want_kept);
    if (s->worker.state == NULL)
        s->worker.state = calloc(1, sizeof(size_t));
    return s;
}

Test(scratch, a_user_finds_what_it_left_and_others_find_nothing)
{
    struct blobseal_context *c = context_for(1);
    struct bs_scratch_user a, b;
    struct bs_scratch *s;

    bs_scratch_user_init(&a, c, &kind);
    bs_scratch_user_init(&b, c, &kind);
    s = take(&a, BS_NO_TAG, false);
    memset(s->worker.out, 1, OUT);
    bs_scratch_return(&a, s, 5);
    s = take(&a, BS_NO_TAG, true);
    cr_expect_eq(s->worker.out[OUT - 1], 1);
    bs_scratch_return(&a, s, 5);
    s = take(&b, BS_NO_TAG, false);
    cr_expect(bs_all_zero(s->worker.out, OUT), "wiped before another user gets it");
    memset(s->worker.out, 2, OUT);
    bs_scratch_return(&b, s, BS_NO_TAG);
    bs_scratch_user_clear(&a);
    cr_expect_eq(s->worker.out[0], 2, "it is no longer the first user's");
    bs_scratch_user_clear(&b);
    cr_expect(bs_all_zero(s->worker.out, OUT), "wiped when its user ends");
    cr_expect_eq(ended, 0);
    blobseal_context_free(c);
    cr_expect_eq(ended, 1);
}

Test(scratch, users_keep_their_own_while_there_is_room)
{
    struct blobseal_context *c = context_for(3);
    struct bs_scratch_user users[4];
    struct bs_scratch *own[4];

    for (int i = 0; i < 4; i++) {
        bs_scratch_user_init(&users[i], c, &kind);
        own[i] = take(&users[i], BS_NO_TAG, false);
        bs_scratch_return(&users[i], own[i], BS_NO_TAG);
    }
    cr_expect(own[0] != own[1] && own[0] != own[2] && own[1] != own[2]);
    cr_expect(own[3] == own[0] || own[3] == own[1] || own[3] == own[2], "the fourth takes that of another");
    cr_expect_eq(atomic_load(&c->scratch_bytes), 3 * (IN + OUT));
    blobseal_context_free(c);
}

Test(scratch, the_content_that_is_wanted_comes_first)
{
    struct blobseal_context *c = context_for(10);
    struct bs_scratch_user user;
    struct bs_scratch *s[3], *got;

    bs_scratch_user_init(&user, c, &kind);
    for (int i = 0; i < 3; i++)
        s[i] = take(&user, BS_NO_TAG, false);
    for (unsigned i = 0; i < 3; i++)
        bs_scratch_return(&user, s[i], i);
    for (unsigned i = 0; i < 9; i++) {
        got = take(&user, i * 2 % 3, true);
        cr_expect_eq(got, s[i * 2 % 3]);
        bs_scratch_return(&user, got, i * 2 % 3);
    }
    blobseal_context_free(c);
}

Test(scratch, what_exceeds_the_limit_is_released)
{
    struct blobseal_context *c = context_for(2);
    struct bs_scratch_user user;
    struct bs_scratch *s[5];

    bs_scratch_user_init(&user, c, &kind);
    for (int i = 0; i < 5; i++)
        s[i] = take(&user, BS_NO_TAG, false);
    cr_expect_eq(atomic_load(&c->scratch_bytes), 5 * (IN + OUT), "calls never wait for memory");
    for (int i = 0; i < 5; i++)
        bs_scratch_return(&user, s[i], BS_NO_TAG);
    cr_expect_eq(atomic_load(&c->scratch_bytes), 2 * (IN + OUT));
    cr_expect_eq(ended, 3);
    s[0] = take(&user, BS_NO_TAG, true);
    *(size_t *)s[0]->worker.state = 1; /* a state that grew counts as well */
    bs_scratch_return(&user, s[0], BS_NO_TAG);
    cr_expect_eq(atomic_load(&c->scratch_bytes), IN + OUT);
    s[0] = take(&user, BS_NO_TAG, true);
    blobseal_context_trim(c);
    cr_expect_eq(atomic_load(&c->scratch_bytes), IN + OUT, "one is in use");
    bs_scratch_return(&user, s[0], BS_NO_TAG);
    blobseal_context_trim(c);
    cr_expect_eq(atomic_load(&c->scratch_bytes), 0);
    cr_expect_eq(ended, 5);
    s[0] = take(&user, BS_NO_TAG, false);
    bs_scratch_discard(&user, s[0]);
    cr_expect_eq(atomic_load(&c->scratch_bytes), 0);
    blobseal_context_free(c);
}
