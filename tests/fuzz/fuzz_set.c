/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encryption sets: stored objects, their content, definitions, key ids and state files. The first byte of the input
 * chooses what the rest is. Content follows 16 bytes with the id of the set, and is encrypted here, so that it is
 * reached.
 */
#include "core/set/set.h"
#include "tests/support/blobs.c" /* a fuzz target is a single file */
#include "tests/support/keks.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct fake_kek fake = {.kid = "a-key"};
static struct blobseal_kek *kek;

static void require(bool cond)
{
    if (!cond)
        test_support_failed("the fuzz target found something");
}

static void check_object(const uint8_t *data, size_t len)
{
    struct bs_set_object o, again;
    struct blobseal_error err = {0};
    enum blobseal_status st = bs_set_object_parse(&o, (const char *)data, len, NULL, &err);

    require(st == BLOBSEAL_OK || ((st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED) && err.status == st));
    if (st == BLOBSEAL_OK) {
        require(o.generation >= 1 && o.generation <= BS_SET_MAX_GENERATION && o.jwe.num >= 1);
        require(o.jwe.ciphertext.len <= BS_JWE_MAX_LARGE);
        require(bs_set_object_parse(&again, (const char *)data, len, o.id, NULL) == BLOBSEAL_OK);
        bs_set_object_clear(&again);
    }
    bs_set_object_clear(&o);
}

/* ---- Content ----------------------------------------------------------------------------------------------------- */

/* Make an object with this content for `kek`. Release it with free(). */
static char *make_object(const uint8_t id[BS_SET_ID_LEN], struct bs_slice content, size_t *len)
{
    const struct blobseal_secret32 cek = {{1, 2, 3}};
    struct bs_builder out = bs_builder_start(must_alloc(BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_MAX_ENVELOPE);
    char set[BLOBSEAL_BASE64URL_LEN(BS_SET_ID_LEN) + 1] = "", rcpt[BLOBSEAL_BASE64URL_LEN(BS_SHA256_LEN) + 1] = "";
    char header[512];
    static struct blobseal_wrapping w;
    uint8_t digest[BS_SHA256_LEN];
    struct bs_jwe jwe;
    int n;

    w = (struct blobseal_wrapping){0};
    require(bs_jwe_new(&jwe, NULL) == BLOBSEAL_OK && bs_kek_wrap(kek, &w, &cek, NULL, NULL) == BLOBSEAL_OK);
    require(bs_jwe_add_wrapped(&jwe, &w, NULL) == BLOBSEAL_OK && bs_jwe_recipients_digest(digest, &jwe));
    blobseal_base64url_encode(set, id, BS_SET_ID_LEN);
    blobseal_base64url_encode(rcpt, digest, sizeof digest);
    n = snprintf(
        header, sizeof header,
        "{\"enc\":\"A256GCM\",\"cty\":\"jwk-set+json\",\"typ\":\"blobseal-set\",\"bs\":{\"v\":1,\"set\":\"%s\","
        "\"gen\":1,\"rcpt\":\"%s\"}}",
        set, rcpt);
    require(bs_jwe_write(&out, &jwe, (struct bs_slice){(const uint8_t *)header, (size_t)n}, &cek, content, NULL) ==
            BLOBSEAL_OK);
    bs_jwe_clear(&jwe);
    *len = out.len;
    return (char *)out.p;
}

static enum blobseal_status open_object(struct bs_set_keys **keys, const char *text, size_t len)
{
    struct bs_set_object o;
    struct blobseal_error err;
    enum blobseal_status st;

    require(bs_set_object_parse(&o, text, len, NULL, &err) == BLOBSEAL_OK);
    st = bs_set_object_open(keys, &o, (struct bs_keks){&kek, 1, NULL}, NULL, &err);
    bs_set_object_clear(&o);
    return st;
}

/* Write the keys that were read, and read them again. */
static void write_again(const struct bs_set_keys *keys)
{
    struct bs_set_keys *again;
    size_t len;
    char *text;

    require(keys->num >= 1 && keys->num <= BS_SET_MAX_KEYS && bs_set_in_order(keys));
    require(bs_set_object_write(&text, &len, keys, 2, (struct bs_set_recipients){{&kek, 1, NULL}, NULL}, NULL) ==
            BLOBSEAL_OK);
    require(open_object(&again, text, len) == BLOBSEAL_OK);
    require(again->num == keys->num && again->rotated == keys->rotated);
    require(memcmp(again->id, keys->id, sizeof keys->id) == 0);
    for (size_t i = 0; i < keys->num; i++) {
        const struct bs_set_key *a = &again->list[i], *b = &keys->list[i];

        require(a->n == b->n && a->made == b->made && memcmp(a->check, b->check, sizeof a->check) == 0);
        require(memcmp(a->k.b, b->k.b, sizeof a->k.b) == 0);
    }
    blobseal_secret_free(again);
    free(text);
}

static void check_content(const uint8_t *data, size_t len)
{
    struct bs_set_keys *keys = NULL;
    enum blobseal_status st;
    size_t object_len;
    char *object;

    if (len < BS_SET_ID_LEN || len - BS_SET_ID_LEN > BS_JWE_MAX_LARGE)
        return;
    object = make_object(data, (struct bs_slice){data + BS_SET_ID_LEN, len - BS_SET_ID_LEN}, &object_len);
    st = open_object(&keys, object, object_len);
    require(st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_AUTH);
    require((st == BLOBSEAL_OK) == (keys != NULL));
    if (keys != NULL)
        write_again(keys);
    blobseal_secret_free(keys);
    free(object);
}

/* ---- Definitions and key ids ------------------------------------------------------------------------------------- */

static void check_definition(const uint8_t *data, size_t len)
{
    struct bs_set_definition d, again;
    struct blobseal_error err = {0};
    enum blobseal_status st = bs_set_definition_parse(&d, "fuzz", (const char *)data, len, &err);
    size_t text_len;
    char *text;

    require(st == BLOBSEAL_OK || (st == BLOBSEAL_E_CONFIG && err.status == st));
    if (st != BLOBSEAL_OK)
        return;
    require(d.num_keks >= 1 && d.num_keks <= BLOBSEAL_SET_MAX_KEKS && d.num_recovery <= BLOBSEAL_SET_MAX_RECOVERY);
    /* Escaped characters can be longer than in the input, so a definition that was read may be too long to write. */
    if (bs_set_definition_write(&text, &text_len, &d, &err) == BLOBSEAL_OK) {
        require(bs_set_definition_parse(&again, "fuzz", text, text_len, &err) == BLOBSEAL_OK);
        require(again.num_keks == d.num_keks && again.num_recovery == d.num_recovery && again.direct == d.direct);
        require(again.min_generation == d.min_generation && memcmp(again.id, d.id, sizeof d.id) == 0);
        for (size_t i = 0; i < d.num_keks; i++)
            require(strcmp(again.keks[i], d.keks[i]) == 0);
        bs_set_definition_clear(&again);
        free(text);
    }
    bs_set_definition_clear(&d);
}

static void check_kid(const uint8_t *data, size_t len)
{
    uint8_t check[BS_SET_CHECK_LEN];
    char text[BLOBSEAL_MAX_KID + 1], again[BS_SET_MAX_KID + 1];
    uint32_t n;

    if (len < BS_SET_ID_LEN || len - BS_SET_ID_LEN > BLOBSEAL_MAX_KID)
        return;
    memcpy(text, data + BS_SET_ID_LEN, len - BS_SET_ID_LEN);
    text[len - BS_SET_ID_LEN] = '\0';
    if (bs_set_kid_parse(text, data, &n, check)) {
        bs_set_kid(again, data, n, check);
        require(n >= 1 && strcmp(text, again) == 0);
    }
}

/* ---- State files ------------------------------------------------------------------------------------------------- */

/* What was read can be written, and is the same when it is read again. */
static void check_state(const uint8_t *data, size_t len)
{
    uint8_t *text = must_copy(data, len), again_text[BS_SET_MAX_STATE];
    struct bs_set_seen seen, again;
    size_t again_len;

    if (bs_set_seen_parse(&seen, text, len)) {
        require(len <= BS_SET_MAX_STATE && memchr(seen.last_error, 0, sizeof seen.last_error) != NULL);
        again_len = bs_set_seen_format(again_text, &seen);
        require(bs_set_seen_parse(&again, again_text, again_len));
        require(again.generation == seen.generation && again.last_check == seen.last_check);
        require(memcmp(again.sha256, seen.sha256, sizeof seen.sha256) == 0);
        require(strcmp(again.last_error, seen.last_error) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const checks[])(const uint8_t *, size_t) = {check_object, check_content, check_definition, check_kid,
                                                              check_state};

    if (kek == NULL)
        kek = fake_kek_open(&fake);
    if (len >= 1)
        checks[data[0] % COUNT(checks)](data + 1, len - 1);
    return 0;
}
