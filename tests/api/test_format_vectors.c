/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test vectors of the blob format (FORMAT.md section 9), each from a file and from a pipe. The program that made
 * them shares no code with blobseal.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/set_keys.h"
#include "tests/support/suite.h"

#define MAX_VECTORS 2000
#define MAX_NAME    128

SUITE(format_vectors);

/* The header of one vector file, and the bytes of the vector. */
struct vector {
    struct vec_bytes file;
    char expect[16], key[64], plain_sha256[72];
    uint64_t plain_len;
    bool named; /* an envelope is passed together with the blob; it may be empty */
    size_t envelope_len;
    const uint8_t *raw;
    size_t raw_len;
};

/* If @line, of @len characters, has the form `name: value` with that name, copy its value. */
static bool field(const char *line, size_t len, const char *name, char *value, size_t cap)
{
    size_t n = strlen(name);

    if (len < n + 2 || memcmp(line, name, n) != 0 || memcmp(line + n, ": ", 2) != 0)
        return false;
    cr_assert_lt(len - n - 2, cap, "a value is too long: %s", name);
    memcpy(value, line + n + 2, len - n - 2);
    value[len - n - 2] = '\0';
    return true;
}

static void read_line(struct vector *v, const char *name, const char *line, size_t len)
{
    char text[1024];

    if (field(line, len, "expect", v->expect, sizeof v->expect) || field(line, len, "key", v->key, sizeof v->key) ||
        field(line, len, "plain-sha256", v->plain_sha256, sizeof v->plain_sha256) ||
        field(line, len, "comment", text, sizeof text))
        return;
    if (field(line, len, "plain-length", text, sizeof text)) {
        v->plain_len = strtoull(text, NULL, 10);
    } else if (field(line, len, "envelope-length", text, sizeof text)) {
        v->named = true;
        v->envelope_len = (size_t)strtoull(text, NULL, 10);
    } else {
        cr_assert_fail("%s: a line that FORMAT.md does not name: %.*s", name, (int)len, line);
    }
}

/* Some verdicts changed before version 1.0: FORMAT.md section 9. */
static void use_changed_class(struct vector *v, const char *name)
{
    struct vec_bytes list = vec_read("format/changed");
    char line[2 * MAX_NAME], was[sizeof v->expect];
    const char *at;

    (void)snprintf(line, sizeof line, "%.*s ", (int)(strlen(name) - strlen(".vec")), name);
    at = strstr((const char *)list.p, line);
    if (at != NULL && (at == (const char *)list.p || at[-1] == '\n')) {
        memcpy(was, v->expect, sizeof was);
        cr_assert_eq(sscanf(at + strlen(line), "%15s %15s", line, v->expect), 2, "%s", name);
        cr_assert_str_eq(line, was, "%s", name);
    }
    free(list.p);
}

static void vector_read(struct vector *v, const char *name)
{
    char path[MAX_NAME + 16];
    const char *at, *end;

    *v = (struct vector){0};
    (void)snprintf(path, sizeof path, "format/%s", name);
    v->file = vec_read(path);
    at = (const char *)v->file.p;
    while ((end = strchr(at, '\n')) != NULL && end != at) {
        read_line(v, name, at, (size_t)(end - at));
        at = end + 1;
    }
    cr_assert_not_null(end, "%s has no empty line", name);
    v->raw = (const uint8_t *)at + 1;
    v->raw_len = v->file.len - (size_t)(v->raw - v->file.p);
    cr_assert_leq(v->envelope_len, v->raw_len);
    cr_assert(v->expect[0] != '\0' && v->key[0] != '\0', "%s says neither class nor key", name);
    use_changed_class(v, name);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static struct {
    char name[64];
    struct blobseal_kek *kek;
} keys[8];

static struct blobseal_kek *key_named(const char *name);

/* Return a key that has all keys of the set in the file @path, which opens with kek1.pem. */
static struct blobseal_kek *set_in(const char *path)
{
    struct vec_bytes file = vec_read(path);
    struct blobseal_kek *kek = key_named("kek1.pem"), *set = set_kek_open((const char *)file.p, file.len, kek);

    free(file.p);
    return set;
}

/* Return the private key that belongs to the vectors, read from a copy that only this user can read. */
static struct blobseal_kek *key_named(const char *name)
{
    struct blobseal_error err;
    struct vec_bytes pem;
    char path[96], copy[VEC_PATH];
    size_t i = 0;

    if (strstr(name, ".jwe") != NULL)
        (void)key_named("kek1.pem"); /* so that it does not take the place that is found below */
    while (i < COUNT(keys) && keys[i].kek != NULL && strcmp(keys[i].name, name) != 0)
        i++;
    cr_assert_lt(i, COUNT(keys));
    if (keys[i].kek != NULL)
        return keys[i].kek;
    (void)snprintf(path, sizeof path, "format/%s", name);
    if (strstr(name, ".jwe") != NULL) {
        keys[i].kek = set_in(path);
        (void)snprintf(keys[i].name, sizeof keys[i].name, "%s", name);
        return keys[i].kek;
    }
    pem = vec_read(path);
    vec_temp_file(copy, pem.p, pem.len, 0600);
    cr_assert_eq(blobseal_kek_open(&keys[i].kek, NULL, copy, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    (void)snprintf(keys[i].name, sizeof keys[i].name, "%s", name);
    (void)unlink(copy);
    free(pem.p);
    return keys[i].kek;
}

static void close_keys(void)
{
    for (size_t i = 0; i < COUNT(keys); i++) {
        blobseal_kek_close(keys[i].kek);
        keys[i].kek = NULL;
    }
}

/* ---- Running one vector ------------------------------------------------------------------------------------------ */

static const char *class_of(enum blobseal_status st)
{
    static const struct {
        enum blobseal_status st;
        const char *name;
    } classes[] = {
        {BLOBSEAL_OK, "success"},        {BLOBSEAL_E_FORMAT, "format"},
        {BLOBSEAL_E_DAMAGED, "damaged"}, {BLOBSEAL_E_UNSUPPORTED, "unsupported"},
        {BLOBSEAL_E_NO_KEY, "no-key"},   {BLOBSEAL_E_AUTH, "auth"},
    };

    for (size_t i = 0; i < COUNT(classes); i++)
        if (classes[i].st == st)
            return classes[i].name;
    return blobseal_status_code(st);
}

/*
 * If both a tag and a checksum are wrong, either class is correct (section 3). That is possible only in the payload, so
 * only while streaming.
 */
static bool is_expected(const struct vector *v, const char *name, enum blobseal_status st, bool in_stream)
{
    bool payload = in_stream && (strncmp(name, "damaged-", 8) == 0 || strncmp(name, "auth-", 5) == 0);

    return strcmp(class_of(st), v->expect) == 0 || (payload && (st == BLOBSEAL_E_AUTH || st == BLOBSEAL_E_DAMAGED));
}

/* A vector that was not golden when it was made does not name its plaintext. */
static void expect_plaintext(const struct vector *v, const char *name, const struct opened *o, bool pipe)
{
    char hex[65];
    uint8_t digest[32];

    if (v->plain_sha256[0] == '\0')
        return;
    cr_expect_eq(o->len, v->plain_len, "%s", name);
    cr_expect_eq(o->size, pipe ? BLOBSEAL_SIZE_UNKNOWN : v->plain_len, "%s", name);
    cr_assert_eq(EVP_Digest(o->len > 0 ? o->data : digest, o->len, digest, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    cr_expect_str_eq(hex, v->plain_sha256, "%s: another plaintext", name);
}

static void run(const struct vector *v, const char *name, unsigned threads, bool pipe)
{
    struct blobseal_kek *kek = key_named(v->key);
    const struct how_to_open how = {
        .sequential = pipe,
        .max_piece = pipe ? 30011 : 0,
        .threads = threads,
        .envelope = v->named ? (const char *)v->raw : NULL,
        .envelope_len = v->envelope_len,
    };
    struct blobseal_error err = {0};
    struct opened o;
    /* Open a copy of exact length, so that a read beyond the end is detected. */
    uint8_t *blob = must_copy(v->raw + v->envelope_len, v->raw_len - v->envelope_len);
    enum blobseal_status st = open_bytes(&o, blob, v->raw_len - v->envelope_len, &kek, 1, &how, &err);

    cr_expect(is_expected(v, name, st, o.got_reader), "%s from a %s: %s, expected %s (%s)", name,
              pipe ? "pipe" : "file", class_of(st), v->expect, err.text);
    cr_expect(st == BLOBSEAL_OK || err.status == st, "%s: the error says %s", name, blobseal_status_code(err.status));
    if (st == BLOBSEAL_OK && strcmp(v->expect, "success") == 0)
        expect_plaintext(v, name, &o, pipe);
    opened_clear(&o);
    free(blob);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Return the names of all vectors, sorted. */
static size_t list(char (*names)[MAX_NAME])
{
    DIR *dir = opendir(TEST_VECTORS "/format");
    const struct dirent *e;
    size_t n = 0;

    cr_assert_not_null(dir);
    while ((e = readdir(dir)) != NULL) {
        size_t len = strlen(e->d_name);

        if (len < 5 || strcmp(e->d_name + len - 4, ".vec") != 0)
            continue;
        cr_assert_lt(n, MAX_VECTORS);
        cr_assert_lt(len, MAX_NAME);
        memcpy(names[n++], e->d_name, len + 1);
    }
    (void)closedir(dir);
    qsort(names, n, MAX_NAME, by_name);
    return n;
}

Test(format_vectors, every_vector_is_treated_as_it_says)
{
    static char names[MAX_VECTORS][MAX_NAME];
    size_t num = list(names), refused = 0;

    cr_assert_geq(num, 100, "only %zu vectors", num);
    for (size_t i = 0; i < num; i++) {
        struct vector v;

        vector_read(&v, names[i]);
        run(&v, names[i], 1, false);
        run(&v, names[i], 3, true);
        refused += strcmp(v.expect, "success") != 0 ? 1 : 0;
        free(v.file.p);
    }
    cr_assert(refused > 100 && refused < num, "%zu of %zu are to be refused", refused, num);
    close_keys();
}

/* A blob that opens can also be inspected without a key, and read in pieces. */
Test(format_vectors, golden_blobs_are_shown_and_read_at_offsets)
{
    static char names[MAX_VECTORS][MAX_NAME];
    size_t num = list(names);

    for (size_t i = 0; i < num; i++) {
        struct blobseal_reader_options o = {.size = sizeof o};
        struct blobseal_memory memory;
        struct blobseal_source source;
        struct blobseal_reader *reader;
        struct blobseal_kek *kek;
        struct blobseal_info *info;
        struct blobseal_error err;
        struct vector v;
        uint8_t whole[40000], part[100];
        size_t n, m;

        vector_read(&v, names[i]);
        if (strcmp(v.expect, "success") == 0) {
            kek = key_named(v.key);
            o.envelope = v.named ? (const char *)v.raw : NULL;
            o.envelope_len = v.envelope_len;
            blobseal_source_memory(&source, &memory, v.raw + v.envelope_len, v.raw_len - v.envelope_len);
            cr_expect_eq(blobseal_inspect(&info, &source, o.envelope, o.envelope_len, &err), BLOBSEAL_OK, "%s: %s",
                         names[i], err.text);
            cr_expect(v.plain_sha256[0] == '\0' ||
                          info->plain_bytes ==
                              (info->content == BLOBSEAL_CONTENT_ZSTD ? BLOBSEAL_SIZE_UNKNOWN : v.plain_len),
                      "%s", names[i]);
            blobseal_info_free(info);
            cr_assert_eq(blobseal_reader_open(&reader, &source, &kek, 1, &o, &err), BLOBSEAL_OK);
            cr_assert_eq(blobseal_reader_pread(reader, whole, sizeof whole, 0, &n, &err), BLOBSEAL_OK);
            for (size_t off = 0; off < n; off += 7001) {
                cr_assert_eq(blobseal_reader_pread(reader, part, sizeof part, off, &m, &err), BLOBSEAL_OK);
                m = m < n - off ? m : n - off;
                cr_expect_arr_eq(part, whole + off, m, "%s", names[i]);
            }
            blobseal_reader_close(reader);
        }
        free(v.file.p);
    }
    close_keys();
}
