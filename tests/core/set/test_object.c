/* SPDX-License-Identifier: Apache-2.0 */
/* The stored object of a set (FORMAT.md section 11): round trips, limits, the test vectors, and planted objects. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/set/set.h"
#include "tests/support/suite.h"

#define FOR(list, num) ((struct bs_set_recipients){{list, num, NULL}, NULL})

static struct fake_kek fake = {.kid = "a-key"}, other_fake = {.kid = "another-key", .twist = 1};
static struct blobseal_kek *kek, *other;

static void start(void)
{
    kek = fake_kek_open(&fake);
    other = fake_kek_open(&other_fake);
}

static void stop(void)
{
    blobseal_kek_close(kek);
    blobseal_kek_close(other);
}

SUITE_WITH(set_object, start, stop);

static struct bs_set_keys *keys_of(size_t num)
{
    struct bs_set_keys *keys = bs_set_keys_new(BS_SET_MAX_KEYS);

    cr_assert_not_null(keys);
    for (size_t i = 0; i < num; i++)
        cr_assert_eq(bs_set_keys_add(keys, 1700000000 + i, NULL), BLOBSEAL_OK);
    keys->rotated = 1700000000;
    return keys;
}

static enum blobseal_status reopen(const char *text, size_t len, const uint8_t *id, struct blobseal_kek *with,
                                   struct bs_set_keys **keys, uint64_t *generation)
{
    struct bs_set_object o;
    enum blobseal_status st = bs_set_object_parse(&o, text, len, id, NULL);

    *keys = NULL;
    if (st == BLOBSEAL_OK)
        st = bs_set_object_open(keys, &o, (struct bs_keks){&with, 1, NULL}, NULL, NULL);
    *generation = o.generation;
    bs_set_object_clear(&o);
    return st;
}

Test(set_object, what_is_written_is_read)
{
    static const size_t nums[] = {1, 2, 100, 256};
    struct blobseal_kek *both[] = {kek, other};

    for (size_t i = 0; i < COUNT(nums); i++) {
        struct bs_set_keys *keys = keys_of(nums[i]), *back;
        uint64_t generation;
        char *text;
        size_t len;

        cr_assert_eq(bs_set_object_write(&text, &len, keys, 7 + i, FOR(both, 2), NULL), BLOBSEAL_OK);
        cr_assert_eq(strlen(text), len);
        for (size_t k = 0; k < 2; k++) {
            cr_assert_eq(reopen(text, len, keys->id, both[k], &back, &generation), BLOBSEAL_OK);
            cr_assert(generation == 7 + i && back->num == keys->num && back->rotated == keys->rotated);
            cr_assert_eq(memcmp(back->list, keys->list, keys->num * sizeof keys->list[0]), 0);
            blobseal_secret_free(back);
        }
        free(text);
        blobseal_secret_free(keys);
    }
}

Test(set_object, a_set_has_at_most_256_keys)
{
    struct bs_set_keys *keys = keys_of(256);
    struct blobseal_error err;

    cr_assert_eq(bs_set_keys_add(keys, 0, &err), BLOBSEAL_E_POLICY);
    cr_assert_eq(keys->num, 256);
    blobseal_secret_free(keys);
}

Test(set_object, no_secret_of_a_set_is_in_its_object)
{
    struct bs_set_keys *keys = keys_of(3);
    char *text, secret[BLOBSEAL_BASE64URL_LEN(32) + 1] = "";
    size_t len;

    cr_assert_eq(bs_set_object_write(&text, &len, keys, 1, FOR(&kek, 1), NULL), BLOBSEAL_OK);
    for (size_t i = 0; i < keys->num; i++) {
        blobseal_base64url_encode(secret, keys->list[i].k.b, 32);
        cr_expect_null(strstr(text, secret));
    }
    free(text);
    blobseal_secret_free(keys);
}

Test(set_object, a_set_planted_under_the_public_kek_is_not_authentic)
{
    struct bs_set_keys *ours = keys_of(1), *theirs = keys_of(2), *back;
    uint64_t generation;
    char *text;
    size_t len;

    memcpy(theirs->id, ours->id, sizeof theirs->id); /* the attacker knows the id, which every blob names */
    for (size_t i = 0; i < theirs->num; i++)
        cr_assert(bs_set_check(theirs->list[i].check, theirs->id, theirs->list[i].n, &theirs->list[i].k));
    cr_assert_eq(bs_set_object_write(&text, &len, theirs, 9, FOR(&kek, 1), NULL), BLOBSEAL_OK);
    cr_expect_eq(reopen(text, len, ours->id, kek, &back, &generation), BLOBSEAL_E_AUTH);
    cr_expect_null(back);
    free(text);
    blobseal_secret_free(ours);
    blobseal_secret_free(theirs);
}

Test(set_object, the_object_of_another_set_is_refused_before_any_key_is_used)
{
    struct bs_set_keys *ours = keys_of(1), *theirs = keys_of(1), *back;
    uint64_t generation;
    unsigned before;
    char *text;
    size_t len;

    cr_assert_eq(bs_set_object_write(&text, &len, theirs, 1, FOR(&kek, 1), NULL), BLOBSEAL_OK);
    before = fake.unwraps;
    cr_expect_eq(reopen(text, len, ours->id, kek, &back, &generation), BLOBSEAL_E_FORMAT);
    cr_expect_eq(fake.unwraps, before);
    free(text);
    blobseal_secret_free(ours);
    blobseal_secret_free(theirs);
}

Test(set_object, merging_keeps_both_keys_of_one_number)
{
    struct bs_set_keys *a = keys_of(1), *b = bs_set_keys_new(4);

    memcpy(b, a, sizeof *a);
    b->cap = 4;
    b->list[0] = a->list[0];
    cr_assert_eq(bs_set_keys_add(a, 1, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_set_keys_add(b, 2, NULL), BLOBSEAL_OK);
    cr_assert_eq(bs_set_keys_merge(a, b, NULL), BLOBSEAL_OK);
    cr_expect(a->num == 3 && a->list[1].n == 2 && a->list[2].n == 2 && bs_set_in_order(a));
    cr_assert_eq(bs_set_keys_merge(a, b, NULL), BLOBSEAL_OK);
    cr_expect_eq(a->num, 3);
    blobseal_secret_free(a);
    blobseal_secret_free(b);
}

Test(set_object, names_of_keys_are_parsed_exactly)
{
    struct bs_set_keys *keys = keys_of(1);
    char kid[BS_SET_MAX_KID + 1], text[96];
    uint8_t check[BS_SET_CHECK_LEN];
    uint32_t n;

    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t numbers[] = {1, 77, UINT32_MAX};

        bs_set_kid(kid, keys->id, numbers[i], keys->list[0].check);
        cr_expect(bs_set_kid_parse(kid, keys->id, &n, check) && n == numbers[i]);
        cr_expect_eq(memcmp(check, keys->list[0].check, sizeof check), 0);
        for (size_t cut = 0; cut < strlen(kid); cut++) {
            (void)snprintf(text, sizeof text, "%.*s", (int)cut, kid);
            cr_expect_not(bs_set_kid_parse(text, keys->id, &n, check), "%s", text);
        }
        (void)snprintf(text, sizeof text, "%sA", kid);
        cr_expect_not(bs_set_kid_parse(text, keys->id, &n, check));
    }
    for (size_t i = 0; i < 5; i++) {
        static const char *const bad[] = {"0", "01", "4294967296", "99999999999", ""};

        bs_set_kid(kid, keys->id, 1, keys->list[0].check);
        (void)snprintf(text, sizeof text, "%.36s%s%s", kid, bad[i], kid + 37);
        cr_expect_not(bs_set_kid_parse(text, keys->id, &n, check), "%s", text);
    }
    kid[20] ^= 1;
    cr_expect_not(bs_set_kid_parse(kid, keys->id, &n, check), "another set");
    blobseal_secret_free(keys);
}

/* ---- Test vectors ------------------------------------------------------------------------------------------------ */

/* Copy the value of the line `name: value` before the first empty line. */
static void field(const char *file, const char *name, char *value, size_t cap)
{
    const char *end;

    value[0] = '\0';
    for (const char *at = file; (end = strchr(at, '\n')) != NULL && end != at; at = end + 1)
        if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == ':')
            (void)snprintf(value, cap, "%.*s", (int)(end - at - (ptrdiff_t)strlen(name) - 2), at + strlen(name) + 2);
}

static const char *class_of(enum blobseal_status st)
{
    return st == BLOBSEAL_OK              ? "success"
           : st == BLOBSEAL_E_FORMAT      ? "format"
           : st == BLOBSEAL_E_AUTH        ? "auth"
           : st == BLOBSEAL_E_NO_KEY      ? "no-key"
           : st == BLOBSEAL_E_UNSUPPORTED ? "unsupported"
                                          : "another class";
}

/* Write "KID HEX", as the field `newest` does. */
static void describe_newest(char *out, size_t cap, const struct bs_set_keys *keys)
{
    const struct bs_set_key *key = &keys->list[keys->num - 1];
    char kid[BS_SET_MAX_KID + 1];
    int at;

    bs_set_kid(kid, keys->id, key->n, key->check);
    at = snprintf(out, cap, "%s ", kid);
    for (size_t i = 0; i < sizeof key->k.b; i++)
        at += snprintf(out + at, cap - (size_t)at, "%02x", key->k.b[i]);
}

static void run_vector(const char *name, struct blobseal_kek *with)
{
    char path[300], expect[32], set[64], gen[32], num[32], newest[160], found[160];
    struct vec_bytes file, id;
    struct bs_set_keys *keys;
    uint64_t generation;
    enum blobseal_status st;
    const char *object;

    (void)snprintf(path, sizeof path, "sets/%s", name);
    file = vec_read(path);
    object = strstr((const char *)file.p, "\n\n");
    cr_assert_not_null(object);
    object += 2;
    field((const char *)file.p, "expect", expect, sizeof expect);
    field((const char *)file.p, "set", set, sizeof set);
    field((const char *)file.p, "gen", gen, sizeof gen);
    field((const char *)file.p, "keys", num, sizeof num);
    field((const char *)file.p, "newest", newest, sizeof newest);
    id = vec_b64(set);
    cr_assert_eq(id.len, BS_SET_ID_LEN);
    st = reopen(object, file.len - (size_t)(object - (const char *)file.p), id.p, with, &keys, &generation);
    cr_expect_str_eq(class_of(st), expect, "%s", name);
    if (st == BLOBSEAL_OK) {
        describe_newest(found, sizeof found, keys);
        cr_expect(generation == strtoull(gen, NULL, 10) && keys->num == strtoull(num, NULL, 10), "%s", name);
        cr_expect_str_eq(found, newest, "%s", name);
    }
    blobseal_secret_free(keys);
    free(id.p);
    free(file.p);
}

Test(set_object, vectors)
{
    struct vec_bytes pem = vec_read("format/kek1.pem");
    DIR *folder = opendir(TEST_VECTORS "/sets");
    struct blobseal_kek *rsa;
    char copy[VEC_PATH];
    unsigned num = 0;

    vec_temp_file(copy, pem.p, pem.len, 0600);
    cr_assert_eq(blobseal_kek_open(&rsa, NULL, copy, NULL, NULL), BLOBSEAL_OK);
    (void)unlink(copy);
    free(pem.p);
    cr_assert_not_null(folder);
    for (const struct dirent *e; (e = readdir(folder)) != NULL;)
        if (strstr(e->d_name, ".vec") != NULL) {
            run_vector(e->d_name, rsa);
            num++;
        }
    (void)closedir(folder);
    blobseal_kek_close(rsa);
    cr_assert_geq(num, 50);
}
