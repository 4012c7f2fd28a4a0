/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What attackers can do who write to the store of a set or send blobs, and what two machines do that change a set at
 * the same time.
 */
#include "tests/support/two_machines.h"

SUITE_WITH(set_attacks, start, stop);

/* ---- Attacks on the store ---------------------------------------------------------------------------------------- */

/* An object that somebody makes who knows the public KEK and the id of the set. */
static char *planted(uint64_t generation, const char *ref, size_t *len)
{
    struct bs_set_keys *keys = bs_set_keys_new(2);
    struct blobseal_kek *public_kek;
    char *text;

    cr_assert_eq(bs_set_keys_add(keys, 1, NULL), BLOBSEAL_OK);
    memcpy(keys->id, set->definition.id, sizeof keys->id);
    cr_assert(bs_set_check(keys->list[0].check, keys->id, 1, &keys->list[0].k));
    cr_assert_eq(blobseal_kek_open(&public_kek, registry, ref, NULL, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_set_object_write(&text, len, keys, generation,
                                     (struct bs_set_recipients){{&public_kek, 1, NULL}, NULL}, NULL),
                 BLOBSEAL_OK);
    blobseal_kek_close(public_kek);
    blobseal_secret_free(keys);
    return text;
}

Test(set_attacks, a_planted_object_plants_no_key)
{
    struct sealed s;
    size_t len;
    char *text;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    text = planted(99, "vault:k", &len);
    memory_store_plant(&memory, text, len);
    cr_expect_eq(seal(other_kek, &s), BLOBSEAL_E_POLICY, "no fault of a blob");
    cr_expect_eq(check(other), BLOBSEAL_E_AUTH);
    cr_expect_eq(rekey(other), BLOBSEAL_E_AUTH);
    sealed_clear(&s);
    free(text);
}

Test(set_attacks, an_object_that_names_another_vault_is_never_sent_there)
{
    struct sealed s;
    unsigned before;
    size_t len;
    char *text;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    text = planted(99, "vault:evil", &len);
    memory_store_plant(&memory, text, len);
    before = vault.num_unwraps + vault.num_gets;
    cr_expect_eq(seal(other_kek, &s), BLOBSEAL_E_CONFIG);
    cr_expect_eq(check(other), BLOBSEAL_E_NO_KEY);
    cr_expect_eq(vault.num_unwraps + vault.num_gets, before);
    sealed_clear(&s);
    free(text);
}

Test(set_attacks, a_set_that_goes_back_is_refused)
{
    struct sealed s;
    char *old;
    size_t len;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    len = memory.len;
    old = must_copy(memory.object, len);
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    memory_store_plant(&memory, old, len);
    vault.lease_ms = 1;
    set->loaded->lease.valid_until_unix_ms = 1;
    cr_expect_eq(seal(kek, &s), BLOBSEAL_E_POLICY);
    cr_expect_eq(check(set), BLOBSEAL_E_POLICY);
    cr_expect_eq(memory.puts, 2, "it does not write over it either");
    sealed_clear(&s);
    free(old);
}

Test(set_attacks, other_bytes_of_the_same_generation_are_refused)
{
    struct sealed s;
    char *first;
    size_t len;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    len = memory.len;
    first = must_copy(memory.object, len);
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    memory_store_plant(&memory, first, len); /* a former member who has the old object makes another generation 2 */
    cr_assert_eq(rekey(other), BLOBSEAL_OK);
    set->loaded->lease.valid_until_unix_ms = 1;
    cr_expect_eq(seal(kek, &s), BLOBSEAL_E_POLICY);
    sealed_clear(&s);
    free(first);
}

Test(set_attacks, a_definition_can_require_a_generation)
{
    struct sealed s;
    char text[1024];

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    (void)snprintf(text, sizeof text, "{\"min_generation\": 2,%s", definition + 1);
    free(definition);
    definition = strdup(text);
    blobseal_kek_close(other_kek);
    blobseal_set_close(other);
    other = open_set();
    cr_assert_eq(blobseal_set_kek(other, &other_kek, NULL), BLOBSEAL_OK);
    cr_expect_eq(seal(other_kek, &s), BLOBSEAL_E_POLICY);
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    cr_expect_eq(seal(other_kek, &s), BLOBSEAL_OK);
    sealed_clear(&s);
}

/* Unwrap what an outsider makes: the recipient names key @n of the set, which does not exist. */
static enum blobseal_status open_outsiders(unsigned n)
{
    uint8_t check_bytes[BS_SET_CHECK_LEN] = {(uint8_t)n, (uint8_t)(n >> 8)}, key[BS_A256KW_LEN] = {0};
    char kid[BS_SET_MAX_KID + 1];
    const struct blobseal_wrapped wrapped = {"A256KW", kid, key, sizeof key};
    struct blobseal_secret32 secret;

    bs_set_kid(kid, set->definition.id, 7 + n, check_bytes);
    return bs_kek_unwrap(kek, &secret, &wrapped, NULL, NULL, NULL);
}

/* Make the set, and let it read the store. Turns to read it again come back after hours, longer than any machine
 * stalls. */
static void make_loaded(void)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    set->timing.reread_ms = 3600000;
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    sealed_clear(&s);
}

Test(set_attacks, blobs_of_an_outsider_flood_neither_store_nor_vault)
{
    unsigned gets, requests;

    make_loaded();
    gets = memory.gets;
    requests = vault.num_unwraps + vault.num_gets;
    for (unsigned i = 0; i < 1001; i++)
        cr_assert_eq(open_outsiders(i), i < set->timing.max_rereads ? BLOBSEAL_E_NOT_MINE : BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(memory.gets, gets + set->timing.max_rereads);
    cr_expect_eq(vault.num_unwraps + vault.num_gets, requests, "nothing is new in the store");
    set->rested_at_ms -= set->timing.reread_ms + 1000; /* after an hour */
    for (unsigned i = 0; i < 1001; i++)
        (void)open_outsiders(i);
    cr_expect_eq(memory.gets, gets + set->timing.max_rereads + 1);
    cr_expect_eq(vault.num_unwraps + vault.num_gets, requests);
}

/* Use up all turns to read the store because of an unknown key. */
static void use_up_turns(void)
{
    for (unsigned i = 0; i < set->timing.max_rereads; i++)
        cr_assert_eq(open_outsiders(i), BLOBSEAL_E_NOT_MINE);
}

Test(set_attacks, a_flood_does_not_wait_for_a_request_of_another_thread)
{
    make_loaded();
    use_up_turns();
    (void)pthread_mutex_lock(&set->request);
    cr_expect_eq(open_outsiders(99), BLOBSEAL_E_UNAVAILABLE);
    (void)pthread_mutex_unlock(&set->request);
}

Test(set_attacks, a_flood_while_the_vault_is_asked_each_time)
{
    unsigned gets;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.ends_at_once = true;
    gets = memory.gets;
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(open_outsiders(i), BLOBSEAL_E_NOT_MINE, "the object was read for this very call");
    cr_expect_eq(memory.gets, gets + 10, "once for each, as for any blob");
}

static void rekey_other(void)
{
    cr_assert_eq(blobseal_set_rekey(other, NULL, NULL), BLOBSEAL_OK);
}

/* The lease ends between the look at the keys and the read because one is missing: any blob would cause that read. */
Test(set_attacks, a_read_after_the_end_of_the_lease_takes_no_turn)
{
    struct bs_set_loaded *l;

    make_loaded();
    use_up_turns();
    cr_assert_eq(bs_set_get(set, &l, NULL, NULL), BLOBSEAL_OK);
    rekey_other();
    end_lease(set);
    cr_assert_eq(bs_set_reread(set, &l, set->reads, NULL, NULL), BLOBSEAL_OK);
    cr_expect_eq(l->generation, 2);
    bs_set_loaded_unref(l);
    cr_expect_eq(open_outsiders(99), BLOBSEAL_E_UNAVAILABLE);
}

/* A store that has an older object than one that was seen, by another process of this machine. */
Test(set_attacks, a_store_that_went_back_is_noticed_by_an_unknown_key)
{
    make_loaded();
    set->seen.generation = 2;
    cr_expect_eq(open_outsiders(0), BLOBSEAL_E_POLICY);
}

/* ---- Two machines ------------------------------------------------------------------------------------------------ */

Test(set_attacks, new_keys_by_two_machines_at_once_are_both_kept)
{
    struct sealed a, b;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    memory.before_put = rekey_other;
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    cr_expect_eq(change.generation, 3);
    a = must_seal(kek);
    b = must_seal(other_kek);
    cr_expect_eq(open_blob(kek, &b), BLOBSEAL_OK);
    cr_expect_eq(open_blob(other_kek, &a), BLOBSEAL_OK);
    sealed_clear(&a);
    sealed_clear(&b);
}

/* New keys are served as fast as honest machines make them, even while an outsider sends blobs. */
Test(set_attacks, each_of_many_new_keys_of_another_machine_is_found_at_once)
{
    make_loaded();
    for (unsigned i = 0; i < 20; i++) {
        struct sealed s;

        rekey_other();
        s = must_seal(other_kek);
        cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK, "%u", i);
        sealed_clear(&s);
        if (i % 6 == 0)
            cr_expect_eq(open_outsiders(i), BLOBSEAL_E_NOT_MINE);
    }
}

Test(set_attacks, threads_that_meet_a_new_key_share_one_read)
{
    struct sealed s;
    unsigned before;

    make_loaded();
    rekey_other();
    s = must_seal(other_kek);
    vault.wait_ms = 200;
    before = vault.num_unwraps;
    open_in_threads(16, &s);
    cr_expect_eq(vault.num_unwraps, before + 1);
    sealed_clear(&s);
}

static void check_other(void)
{
    cr_assert_eq(blobseal_set_check(other, NULL, NULL), BLOBSEAL_OK);
}

Test(set_attacks, rotation_by_two_machines_at_once_is_done_once)
{
    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.newest = 2;
    memory.before_put = check_other;
    cr_assert_eq(check(set), BLOBSEAL_OK);
    cr_expect_not(change.changed);
    cr_expect_eq(generation_of(set), 2);
    cr_expect_eq(generation_of(other), 2);
}

Test(set_attacks, a_put_that_may_have_worked_is_read_back)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    memory.unknown = 1; /* it did */
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    cr_expect_eq(change.generation, 2);
    memory.lost = 1; /* it did not: done again */
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    cr_expect_eq(change.generation, 3);
    s = must_seal(kek);
    cr_expect_eq(open_blob(other_kek, &s), BLOBSEAL_OK);
    sealed_clear(&s);
}

Test(set_attacks, no_key_is_used_that_was_not_stored)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    memory.put_fails = BLOBSEAL_E_OUTPUT;
    cr_assert_eq(rekey(set), BLOBSEAL_E_OUTPUT);
    s = must_seal(kek);
    cr_expect_eq(open_blob(other_kek, &s), BLOBSEAL_OK, "sealed with the old key");
    sealed_clear(&s);
}
