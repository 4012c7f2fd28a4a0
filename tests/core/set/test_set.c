/* SPDX-License-Identifier: Apache-2.0 */
/* Sets with a vault and a store in memory: what rotation, new keys, leases, revocation, export and import do. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/two_machines.h"

SUITE_WITH(set, start, stop);

/* ---- Use --------------------------------------------------------------------------------------------------------- */

Test(set, many_blobs_cost_few_requests)
{
    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.num_unwraps = vault.num_gets = 0;
    vault.lease_ms = 3600000;
    for (unsigned i = 0; i < 10000; i++) {
        struct sealed s = must_seal(kek);

        cr_assert_eq(open_blob(kek, &s), BLOBSEAL_OK);
        sealed_clear(&s);
    }
    cr_assert_lt(vault.num_unwraps + vault.num_gets, 20);
    cr_assert_lt(memory.gets, 20);
}

Test(set, a_blob_names_the_key_of_the_set)
{
    struct blobseal_source source;
    struct blobseal_memory state;
    struct blobseal_info *info;
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    s = must_seal(kek);
    blobseal_source_memory(&source, &state, s.data, s.len);
    cr_assert_eq(blobseal_inspect(&info, &source, NULL, 0, NULL), BLOBSEAL_OK);
    cr_expect_str_eq(info->recipients[0].alg, "A256KW");
    cr_expect_eq(strncmp(info->recipients[0].kid, "blobseal-set:", 13), 0);
    cr_expect_eq(info->recipients[0].kid[13 + 22 + 1], '1');
    blobseal_info_free(info);
    cr_expect_eq(open_blob(other_kek, &s), BLOBSEAL_OK, "another machine");
    sealed_clear(&s);
}

Test(set, rotation_of_the_kek_rewraps_one_object_and_no_blob)
{
    struct sealed old, new;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    old = must_seal(kek);
    vault.newest = 2;
    cr_assert_eq(check(set), BLOBSEAL_OK);
    cr_expect(change.changed && change.rotated && !change.new_key && change.generation == 2);
    cr_assert_eq(check(set), BLOBSEAL_OK);
    cr_expect_not(change.changed, "a second check finds nothing to do");
    new = must_seal(kek);
    vault.disabled[1] = true; /* the old version is not needed any more */
    cr_expect_eq(open_blob(kek, &old), BLOBSEAL_OK);
    cr_expect_eq(open_blob(other_kek, &old), BLOBSEAL_OK, "a machine that reads the set now");
    cr_expect_eq(open_blob(other_kek, &new), BLOBSEAL_OK);
    sealed_clear(&old);
    sealed_clear(&new);
}

Test(set, a_version_that_is_named_is_not_left)
{
    make("vault:k/1", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.newest = 2;
    cr_assert_eq(check(set), BLOBSEAL_OK);
    cr_expect_not(change.changed);
    change = (struct blobseal_set_change){.size = sizeof change};
    const struct blobseal_set_options o = options();
    cr_assert_eq(blobseal_set_rotate(set, "vault:k/2", NULL, &o, &change, NULL), BLOBSEAL_OK);
    cr_expect(change.changed && change.rotated);
    cr_expect_not_null(strstr(blobseal_set_definition(set), "[\"vault:k/2\", \"vault:k/1\"]"));
}

Test(set, a_new_key_is_used_and_old_blobs_still_open)
{
    struct sealed old, new;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    old = must_seal(kek);
    cr_assert_eq(rekey(set), BLOBSEAL_OK);
    cr_expect(change.new_key && change.changed && !change.rotated);
    new = must_seal(kek);
    cr_expect_eq(open_blob(kek, &old), BLOBSEAL_OK);
    cr_expect_eq(open_blob(other_kek, &old), BLOBSEAL_OK);
    cr_expect_eq(open_blob(other_kek, &new), BLOBSEAL_OK, "it reads the set once more for the new key");
    sealed_clear(&old);
    sealed_clear(&new);
}

/* Let the time for a check come, and expect that the next one is planned in @min to @max milliseconds. */
static void poll_again(uint64_t min, uint64_t max)
{
    uint64_t before = bs_set_now_ms();
    struct sealed s;

    set->poll_at_ms = 1;
    s = must_seal(kek);
    sealed_clear(&s);
    cr_expect(set->poll_at_ms >= before + min && set->poll_at_ms <= bs_set_now_ms() + max,
              "in %llu ms, and not in %llu to %llu", (unsigned long long)(set->poll_at_ms - before),
              (unsigned long long)min, (unsigned long long)max);
}

Test(set, a_process_that_seals_checks_from_time_to_time)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    s = must_seal(kek);
    sealed_clear(&s);
    vault.newest = 2;
    poll_again(2970000, 3300000); /* below one hour, and at most ten percent early */
    cr_expect_eq(generation_of(set), 2);
}

Test(set, a_check_that_fails_does_not_stop_sealing)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    sealed_clear(&s);
    vault.gets = BLOBSEAL_E_UNAVAILABLE;
    set->poll_at_ms = 1;
    s = must_seal(kek);
    sealed_clear(&s);
    cr_expect_neq(set->seen.last_error[0], '\0');
}

Test(set, a_check_that_fails_is_made_again_soon)
{
    static const uint64_t delays[] = {30000, 60000, 120000, 240000, 300000, 300000};

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    poll_again(2970000, 3300000);
    vault.newest = 2;
    vault.gets = BLOBSEAL_E_UNAVAILABLE;
    for (size_t i = 0; i < COUNT(delays); i++)
        poll_again(delays[i] / 4 * 3, delays[i]);
    vault.gets = BLOBSEAL_OK;
    poll_again(2970000, 3300000);
    cr_expect_eq(generation_of(set), 2);
    vault.gets = BLOBSEAL_E_UNAVAILABLE;
    poll_again(22500, 30000); /* it starts from the beginning */
}

Test(set, a_check_is_not_made_later_because_it_fails)
{
    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    set->timing.poll_ms = 60000;
    poll_again(0, 60000);
    vault.gets = BLOBSEAL_E_UNAVAILABLE;
    for (unsigned i = 0; i < 5; i++)
        poll_again(0, 60000);
}

Test(set, direct_wrapping_needs_no_right_to_unwrap)
{
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_DIRECT);
    cr_expect_neq(blobseal_kek_notes(kek) & BLOBSEAL_KEK_NOTE_REMOTE, 0, "each blob takes a request");
    cr_expect_neq(blobseal_kek_notes(other_kek) & BLOBSEAL_KEK_NOTE_REMOTE, 0);
    vault.unwraps = BLOBSEAL_E_DENIED;
    s = must_seal(kek);
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_E_DENIED);
    vault.unwraps = BLOBSEAL_OK;
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK);
    sealed_clear(&s);
}

/* ---- Leases and revocation --------------------------------------------------------------------------------------- */

Test(set, revocation_is_seen_when_the_lease_ends_and_restoring_needs_no_restart)
{
    struct sealed s, t;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    cr_assert_eq(open_blob(other_kek, &s), BLOBSEAL_OK);
    vault.disabled[1] = true;
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK, "during the lease");
    end_lease(set);
    end_lease(other);
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_E_DENIED);
    cr_expect_eq(seal(kek, &t), BLOBSEAL_E_DENIED);
    cr_expect_eq(open_blob(other_kek, &s), BLOBSEAL_E_DENIED, "the other machine too");
    cr_expect_null(set->loaded, "the keys are gone");
    vault.disabled[1] = false;
    set->denied_until_ms = other->denied_until_ms = 0; /* after a second */
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK);
    cr_expect_eq(open_blob(other_kek, &s), BLOBSEAL_OK);
    sealed_clear(&s);
    sealed_clear(&t);
}

Test(set, a_denial_ends_the_leases_of_open_readers)
{
    struct blobseal_source source;
    struct blobseal_memory state;
    struct blobseal_reader *reader;
    struct sealed s;
    uint8_t byte;
    size_t n;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    blobseal_source_memory(&source, &state, s.data, s.len);
    cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, NULL, NULL), BLOBSEAL_OK);
    vault.disabled[1] = true;
    cr_expect_eq(blobseal_reader_pread(reader, &byte, 1, 0, &n, NULL), BLOBSEAL_OK, "during the lease");
    end_lease(set);
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_E_DENIED);
    cr_expect_eq(blobseal_reader_pread(reader, &byte, 1, 0, &n, NULL), BLOBSEAL_E_DENIED);
    blobseal_reader_close(reader);
    sealed_clear(&s);
}

Test(set, a_refused_set_does_not_flood_the_vault)
{
    struct sealed s;
    unsigned before;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    s = must_seal(kek);
    vault.lease_ms = 1;
    vault.unwraps = BLOBSEAL_E_DENIED;
    end_lease(set);
    set->timing.first_delay_ms = set->timing.max_delay_ms = 3600000; /* longer than any machine stalls */
    before = vault.num_unwraps;
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(open_blob(kek, &s), BLOBSEAL_E_DENIED);
    cr_expect_eq(vault.num_unwraps, before + 1);
    sealed_clear(&s);
}

Test(set, a_network_that_blocks_unwrap_alone_ends_the_lease)
{
    struct sealed s, t;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    vault.unwraps = BLOBSEAL_E_UNAVAILABLE; /* GET passes */
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK, "the lease still holds");
    end_lease(set);
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(seal(kek, &t), BLOBSEAL_E_UNAVAILABLE, "looking at the key starts no lease");
    vault.unwraps = BLOBSEAL_OK;
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK);
    sealed_clear(&s);
    sealed_clear(&t);
}

Test(set, a_wall_clock_that_goes_back_ends_the_lease)
{
    struct sealed s;
    unsigned before;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    cr_assert_eq(open_blob(kek, &s), BLOBSEAL_OK);
    before = vault.num_unwraps;
    set->latest_unix_ms += 30000;
    cr_assert_eq(open_blob(kek, &s), BLOBSEAL_OK);
    cr_expect_eq(vault.num_unwraps, before, "30 seconds are corrections of the clock");
    set->latest_unix_ms += 3600000;
    cr_assert_eq(open_blob(kek, &s), BLOBSEAL_OK);
    cr_expect_eq(vault.num_unwraps, before + 1);
    sealed_clear(&s);
}

Test(set, a_lease_of_no_length_serves_those_who_were_there)
{
    struct sealed s;
    unsigned before;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.ends_at_once = true;
    s = must_seal(kek);
    before = vault.num_unwraps;
    cr_expect_eq(open_blob(kek, &s), BLOBSEAL_OK);
    cr_expect_gt(vault.num_unwraps, before, "each call asks");
    sealed_clear(&s);
}

Test(set, threads_that_wait_share_one_request)
{
    struct sealed s;
    unsigned before;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    end_lease(set);
    vault.wait_ms = 200;
    before = vault.num_unwraps;
    open_in_threads(8, &s);
    cr_expect_eq(vault.num_unwraps, before + 1);
    sealed_clear(&s);
}

Test(set, a_child_asks_the_vault_itself)
{
    struct sealed s;
    int status;
    pid_t child;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    vault.lease_ms = 3600000;
    s = must_seal(kek);
    child = fork();
    if (child == 0) {
        unsigned before = vault.num_unwraps;
        bool ok = open_blob(kek, &s) == BLOBSEAL_OK && vault.num_unwraps == before + 1;

        vault.disabled[1] = true;
        _exit(ok ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    sealed_clear(&s);
}

/* ---- Limits of callers ------------------------------------------------------------------------------------------- */

Test(set, a_caller_without_time_has_no_answer_for_others)
{
    const struct blobseal_call late = {.size = sizeof late, .deadline_ms = 1, .cancel = &(int){0}};
    struct bs_set_loaded *l;
    uint64_t finished;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    finished = set->finished;
    cr_expect_eq(bs_set_load(set, &l, &late, NULL), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(set->finished, finished);
}

Test(set, a_busy_state_takes_no_longer_than_allowed)
{
    const int canceled = 1;
    const struct blobseal_call gone = bs_call_start(0, &canceled), patient = bs_call_start(0, NULL);
    struct bs_set_seen note = {.generation = 3};
    struct bs_set_state_file file;
    char folder[] = "/tmp/set-state-XXXXXX";
    int lock;

    cr_assert_not_null(mkdtemp(folder));
    cr_assert(bs_set_state_file_init(&file, folder, (uint8_t[BS_SET_ID_LEN]){7}));
    cr_assert_eq(bs_set_file_lock(&lock, file.lock, &patient, NULL), BLOBSEAL_OK);
    cr_expect_not(bs_set_seen_save(&note, &file, &gone));
    bs_set_file_unlock(lock);
    cr_expect(bs_set_seen_save(&note, &file, &gone), "nobody has to be waited for");
    (void)unlink(file.path);
    (void)unlink(file.lock);
    (void)rmdir(folder);
}

static void ignore_finding(void *ctx, const struct blobseal_finding *finding)
{
    (void)ctx;
    (void)finding;
}

Test(set, findings_take_no_longer_than_allowed)
{
    const struct blobseal_call late = {.size = sizeof late, .deadline_ms = 1, .cancel = &(int){0}};
    unsigned gets;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    gets = memory.gets;
    cr_expect_eq(bs_set_provider.diagnose(set, ignore_finding, NULL, &late, NULL), BLOBSEAL_OK);
    cr_expect_eq(memory.gets, gets);
}

Test(set, a_rotation_waits_no_longer_than_allowed)
{
    struct blobseal_set_options o = options();

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    o.timeout_ms = 1;
    (void)pthread_mutex_lock(&set->request); /* another thread is busy */
    cr_expect_eq(blobseal_set_rotate(set, "vault:k/1", NULL, &o, NULL, NULL), BLOBSEAL_E_UNAVAILABLE);
    (void)pthread_mutex_unlock(&set->request);
}

Test(set, a_rotation_that_fails_leaves_the_keks_in_place)
{
    const struct blobseal_set_options o = options();
    struct blobseal_kek *before;
    struct sealed s;

    make("vault:k", BLOBSEAL_SET_WRAP_DIRECT);
    before = set->keks[0];
    vault.unwraps = BLOBSEAL_E_DENIED;
    cr_expect_eq(blobseal_set_rotate(set, "vault:other", "somebody", &o, NULL, NULL), BLOBSEAL_E_DENIED);
    cr_expect_eq(set->keks[0], before);
    cr_expect_not_null(strstr(blobseal_set_definition(set), "[\"vault:k\"]"));
    s = must_seal(kek);
    sealed_clear(&s);
}

/* ---- Recovery, export, import ------------------------------------------------------------------------------------ */

/* Import the object again where there is a definition, with a KEK that the definition does not permit, and make a new
 * key with the same handle. */
static void import_again(const struct blobseal_set_options *o, const char *text, size_t len)
{
    struct blobseal_set_new how = {.size = sizeof how, .kek = "vault:k"};
    struct blobseal_set *copy;

    cr_assert_eq(blobseal_set_import(&copy, "c", set->definition.id, text, len, &how, o, NULL), BLOBSEAL_OK);
    blobseal_set_close(copy);
    how.kek = "vault:k/1";
    cr_assert_eq(blobseal_set_import(&copy, "c", set->definition.id, text, len, &how, o, NULL), BLOBSEAL_OK);
    cr_expect_str_eq(blobseal_set_definition(copy), copy->definition_text);
    cr_expect_null(strstr(blobseal_set_definition(copy), "vault:k/1"));
    cr_assert_eq(rekey(copy), BLOBSEAL_OK);
    cr_expect_not_null(strstr(blobseal_set_definition(copy), "automatic"), "it was written anew");
    cr_expect_null(strstr(blobseal_set_definition(copy), "vault:k/1"));
    blobseal_set_close(copy);
}

Test(set, a_kek_that_only_opened_an_import_is_not_permitted)
{
    char folder[] = "/tmp/blobseal-set-XXXXXX", path[64];
    const struct blobseal_config_settings s = {.size = sizeof s, .sets_dir = folder};
    struct blobseal_config *files;
    struct blobseal_set_options o;
    char *text;
    size_t len;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    cr_assert_eq(blobseal_set_export(set, NULL, &text, &len, NULL), BLOBSEAL_OK);
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(blobseal_config_new(&files, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_set(files, &s, NULL), BLOBSEAL_OK);
    o = (struct blobseal_set_options){.size = sizeof o, .config = files, .registry = registry};
    import_again(&o, text, len);
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/c.%s", folder,
                       (const char *[]){"json", "jwe", "jwe.backup", "jwe.lock"}[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
    blobseal_config_free(files);
    free(text);
}

/* Wait until the keys that there are were made in a second that has passed. */
static void wait_for_next_second(void)
{
    for (uint64_t now = bs_set_now_s(); bs_set_now_s() <= now;)
        (void)sleep(1);
}

Test(set, an_export_opens_elsewhere)
{
    const struct blobseal_set_new how = {.size = sizeof how, .kek = "vault:k"};
    struct blobseal_set_options o = options();
    struct memory_store empty;
    struct blobseal_set_store elsewhere = memory_store_start(&empty);
    struct blobseal_set *copy;
    struct blobseal_kek *copy_kek;
    struct sealed s;
    uint8_t id[BS_SET_ID_LEN] = {0};
    char *text;
    size_t len;

    make("vault:k", BLOBSEAL_SET_WRAP_HIERARCHY);
    s = must_seal(kek);
    cr_assert_eq(blobseal_set_export(set, NULL, &text, &len, NULL), BLOBSEAL_OK);
    o.store = &elsewhere;
    cr_expect_eq(blobseal_set_import(&copy, "c", id, text, len, &how, &o, NULL), BLOBSEAL_E_FORMAT, "another id");
    cr_assert_eq(blobseal_set_import(&copy, "c", set->definition.id, text, len, &how, &o, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_set_kek(copy, &copy_kek, NULL), BLOBSEAL_OK);
    cr_expect_eq(open_blob(copy_kek, &s), BLOBSEAL_OK);
    copy->timing.rekey_s = 0;
    wait_for_next_second();
    cr_assert_eq(check(copy), BLOBSEAL_OK);
    cr_expect_not(change.new_key, "an imported set makes no key by itself");
    cr_assert_eq(rekey(copy), BLOBSEAL_OK);
    wait_for_next_second();
    cr_assert_eq(check(copy), BLOBSEAL_OK);
    cr_expect(change.new_key, "after it was told to once");
    blobseal_kek_close(copy_kek);
    blobseal_set_close(copy);
    memory_store_end(&empty);
    sealed_clear(&s);
    free(text);
}
