/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata that is sealed with a blob: name, media type, annotations. Checks them, writes them as a JSON object, which
 * becomes a member of the JWK and is bound to the core header, and reads that object. FORMAT.md section 4.4.
 */
#include "core/envelope/envelope.h"

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static bool is_utf8(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t left = strlen(text), len;

    for (; left > 0; left -= len, p += len) {
        len = blobseal_utf8_len(p, left);
        if (len == 0)
            return false;
    }
    return true;
}

/*
 * Return the length of the `restricted-name` (RFC 6838 section 4.2) at @p, which is one half of a media type, or 0 if
 * there is none.
 */
static size_t restricted_name_len(const char *p)
{
    static const char letters_and_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&-^_.+";
    size_t len = strspn(p, all);

    return strspn(p, letters_and_digits) > 0 && len <= 127 ? len : 0;
}

static bool is_media_type(const char *p)
{
    size_t type = restricted_name_len(p), subtype = type > 0 && p[type] == '/' ? restricted_name_len(p + type + 1) : 0;

    return subtype > 0 && p[type + 1 + subtype] == '\0';
}

static enum blobseal_status reject(struct blobseal_error *err, const char *what, const char *text)
{
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "metadata: %s: %.120s", what, text);
}

static enum blobseal_status check_annotations(const struct blobseal_annotation *list, size_t num,
                                              struct blobseal_error *err)
{
    if (num > BLOBSEAL_MAX_ANNOTATIONS)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "metadata: %zu annotations, but at most %d are allowed", num,
                             BLOBSEAL_MAX_ANNOTATIONS);
    for (size_t i = 0; i < num; i++) {
        if (list[i].name == NULL || list[i].value == NULL || list[i].name[0] == '\0')
            return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "metadata: an annotation lacks its name or its value");
        if (!is_utf8(list[i].name) || !is_utf8(list[i].value))
            return reject(err, "an annotation is not UTF-8", list[i].name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(list[i].name, list[k].name) == 0)
                return reject(err, "two annotations have the same name", list[i].name);
    }
    return BLOBSEAL_OK;
}

static enum blobseal_status check(const struct blobseal_metadata *m, struct blobseal_error *err)
{
    if (m->name != NULL && (m->name[0] == '\0' || !is_utf8(m->name)))
        return reject(err, "the name is empty or not UTF-8", m->name);
    if (m->type != NULL && !is_media_type(m->type)) {
        (void)reject(err, "not a media type", m->type);
        blobseal_hint(err, "a media type is TYPE/SUBTYPE without parameters, such as application/x-tar");
        return BLOBSEAL_E_ARG;
    }
    return check_annotations(m->annotations, m->num_annotations, err);
}

/* Append a member of an object, after a comma unless it is the @first. */
static void put_member(struct bs_builder *w, bool first, const char *name, const char *value)
{
    if (!first)
        bs_put8(w, ',');
    bs_put_json_string(w, name);
    bs_put8(w, ':');
    bs_put_json_string(w, value);
}

static void put_metadata(struct bs_builder *w, const struct blobseal_metadata *m)
{
    bs_put8(w, '{');
    if (m->name != NULL)
        put_member(w, true, "name", m->name);
    if (m->type != NULL)
        put_member(w, m->name == NULL, "type", m->type);
    if (m->num_annotations > 0)
        bs_put_text(w, m->name == NULL && m->type == NULL ? "\"ann\":{" : ",\"ann\":{");
    for (size_t i = 0; i < m->num_annotations; i++)
        put_member(w, i == 0, m->annotations[i].name, m->annotations[i].value);
    bs_put_text(w, m->num_annotations > 0 ? "}}" : "}");
}

enum blobseal_status bs_metadata_write(struct bs_slice *text, uint8_t buf[BLOBSEAL_MAX_METADATA],
                                       const struct blobseal_metadata *metadata, struct blobseal_error *err)
{
    struct blobseal_metadata m = {.size = sizeof m};
    struct bs_builder w = bs_builder_start(buf, BLOBSEAL_MAX_METADATA);
    enum blobseal_status st;

    *text = (struct bs_slice){buf, 0};
    if (!blobseal_struct_import(&m, sizeof m, metadata))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "the size of the metadata is not set, or the metadata is newer than the library");
    if (m.name == NULL && m.type == NULL && m.num_annotations == 0)
        return BLOBSEAL_OK;
    st = check(&m, err);
    if (st != BLOBSEAL_OK)
        return st;
    put_metadata(&w, &m);
    if (!w.ok) {
        (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "metadata: more than %d bytes as JSON", BLOBSEAL_MAX_METADATA);
        blobseal_hint(err, "seal longer data as a separate blob");
        return BLOBSEAL_E_POLICY;
    }
    text->len = w.len;
    return BLOBSEAL_OK;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Return true if @s has no U+0000, which JSON can escape. A zero byte follows @s, so that it is then a C string. */
static bool is_c_string(struct bs_slice s)
{
    return memchr(s.p, '\0', s.len) == NULL;
}

/* Read the object `ann`, whose members are strings. Their names must differ. */
static bool read_annotations(struct bs_metadata *m, struct bs_json *j)
{
    struct bs_slice names[BLOBSEAL_MAX_ANNOTATIONS], values[BLOBSEAL_MAX_ANNOTATIONS], more;
    size_t n = 0;

    bs_json_object(j);
    while (n < BLOBSEAL_MAX_ANNOTATIONS && bs_json_member(j, &names[n])) {
        for (size_t i = 0; i < n; i++)
            if (names[i].len == names[n].len && memcmp(names[i].p, names[n].p, names[n].len) == 0)
                return false;
        if (!bs_json_string(j, &values[n]) || !is_c_string(names[n]) || !is_c_string(values[n]))
            return false;
        n++;
    }
    if (n == BLOBSEAL_MAX_ANNOTATIONS && bs_json_member(j, &more))
        return false;
    for (size_t i = 0; i < n && j->ok; i++)
        m->annotations[i] = (struct blobseal_annotation){(const char *)names[i].p, (const char *)values[i].p};
    m->shown.num_annotations = n;
    return j->ok;
}

static bool read_string(const char **out, struct bs_json *j)
{
    struct bs_slice value;

    if (*out != NULL || !bs_json_string(j, &value) || !is_c_string(value))
        return false;
    *out = (const char *)value.p;
    return true;
}

bool bs_metadata_read(struct bs_metadata *m, uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    bool annotations = false, ok = true;
    struct bs_slice name;

    *m = (struct bs_metadata){.shown = {.size = sizeof m->shown, .annotations = m->annotations}};
    bs_json_object(&j);
    while (ok && bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "name"))
            ok = read_string(&m->shown.name, &j);
        else if (bs_slice_is(name, "type"))
            ok = read_string(&m->shown.type, &j);
        else if (bs_slice_is(name, "ann") && !annotations)
            ok = annotations = read_annotations(m, &j);
        else
            ok = false;
    }
    return ok && bs_json_end(&j);
}

/* ---- Binding ----------------------------------------------------------------------------------------------------- */

bool bs_metadata_hash(uint8_t out[BS_SHA256_LEN], struct bs_slice text)
{
    static const char label[] = "blobseal/v1 meta"; /* hashed with its zero byte */
    struct bs_sha256 h = bs_sha256_start();

    bs_sha256_add(&h, label, sizeof label);
    bs_sha256_add(&h, text.p, text.len);
    return bs_sha256_end(&h, out);
}
