/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local definition of a set: which keys, which identity, which store. It is trusted, so it is refused if others can
 * write its file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

#define MAX_DEFINITION 65536

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status malformed(const struct bs_set_definition *d, const char *what, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the definition of the set %s: %s", d->name, what);
    blobseal_hint(err, "blobseal-set(7) describes definitions");
    return BLOBSEAL_E_CONFIG;
}

bool bs_set_name_is_valid(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");

    return len >= 1 && len <= BLOBSEAL_SET_MAX_NAME && name[len] == '\0' && name[0] != '.' && name[0] != '-' &&
           name[0] != '_';
}

/* Read a string without control characters and store a pointer to it. Return false if it is anything else. */
static bool read_text(struct bs_json *j, const char **out)
{
    struct bs_slice s;

    if (*out != NULL || !bs_json_string(j, &s) || s.len == 0 || s.len > BLOBSEAL_CONFIG_MAX_TEXT)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] == 0x7F)
            return false;
    *out = (const char *)s.p;
    return true;
}

static bool read_keks(struct bs_set_definition *d, struct bs_json *j)
{
    if (d->num_keks > 0 || !bs_json_array(j))
        return false;
    while (bs_json_element(j))
        if (d->num_keks == BLOBSEAL_SET_MAX_KEKS || !read_text(j, &d->keks[d->num_keks++]))
            return false;
    return d->num_keks > 0;
}

static bool read_recovery_key(struct bs_set_recovery *r, struct bs_json *j)
{
    struct bs_slice name, text = {0};
    size_t len;

    bs_json_object(j);
    while (bs_json_member(j, &name)) {
        if (bs_slice_is(name, "kid")) {
            if (!read_text(j, &r->kid) || !bs_is_token(r->kid, BLOBSEAL_MAX_KID))
                return false;
        } else if (!bs_slice_is(name, "key") || text.p != NULL || !bs_json_string(j, &text)) {
            return false;
        }
    }
    if (r->kid == NULL || text.p == NULL ||
        !blobseal_base64url_decode((uint8_t *)text.p, text.len, &len, (const char *)text.p, text.len))
        return false;
    r->spki = text.p;
    r->spki_len = len;
    return true;
}

static bool read_recovery(struct bs_set_definition *d, struct bs_json *j)
{
    if (d->num_recovery > 0 || !bs_json_array(j))
        return false;
    while (bs_json_element(j))
        if (d->num_recovery == BLOBSEAL_SET_MAX_RECOVERY || !read_recovery_key(&d->recovery[d->num_recovery++], j))
            return false;
    return true;
}

/* Read one of two words. */
static bool read_choice(struct bs_json *j, const char *no, const char *yes, bool *out)
{
    struct bs_slice s;

    if (!bs_json_string(j, &s))
        return false;
    *out = bs_slice_is(s, yes);
    return *out || bs_slice_is(s, no);
}

/* The members, in the order of the enumerators, with what messages say of their values. */
enum member { ID, KEKS, IDENTITY, STORE, RECOVERY, WRAP, NEW_KEYS, MIN_GENERATION, NUM_MEMBERS };

static const struct {
    const char *name, *expected;
} members[NUM_MEMBERS] = {
    [ID] = {"id", "the id of the set, which has 22 characters"},
    [KEKS] = {"keks", "a list of 1 to 8 references to keys"},
    [IDENTITY] = {"identity", "the name of an identity"},
    [STORE] = {"store", "an absolute path"},
    [RECOVERY] = {"recovery", "a list of at most 8 objects with \"kid\" and \"key\""},
    [WRAP] = {"wrap", "\"hierarchy\" or \"direct\""},
    [NEW_KEYS] = {"new_keys", "\"automatic\" or \"manual\""},
    [MIN_GENERATION] = {"min_generation", "a number"},
};

static bool read_value(struct bs_set_definition *d, struct bs_json *j, enum member member)
{
    switch (member) {
    case ID:
        return bs_json_fixed(j, d->id, sizeof d->id) && j->ok;
    case KEKS:
        return read_keks(d, j);
    case IDENTITY:
        return read_text(j, &d->identity);
    case STORE:
        return read_text(j, &d->store) && d->store[0] == '/';
    case RECOVERY:
        return read_recovery(d, j);
    case WRAP:
        return read_choice(j, "hierarchy", "direct", &d->direct);
    case NEW_KEYS:
        return read_choice(j, "automatic", "manual", &d->manual);
    default:
        return bs_json_uint(j, &d->min_generation);
    }
}

static enum blobseal_status read_member(struct bs_set_definition *d, struct bs_json *j, struct bs_slice name,
                                        bool given[NUM_MEMBERS], struct blobseal_error *err)
{
    char what[160];
    size_t m = 0;

    while (m < NUM_MEMBERS && !bs_slice_is(name, members[m].name))
        m++;
    if (m == NUM_MEMBERS)
        (void)snprintf(what, sizeof what, "the member \"%.64s\" is not known", (const char *)name.p);
    else if (given[m])
        (void)snprintf(what, sizeof what, "the member \"%s\" appears twice", members[m].name);
    else if (read_value(d, j, (enum member)m)) {
        given[m] = true;
        return BLOBSEAL_OK;
    } else
        (void)snprintf(what, sizeof what, "the member \"%s\" must be %s", members[m].name, members[m].expected);
    return malformed(d, what, err);
}

enum blobseal_status bs_set_definition_parse(struct bs_set_definition *d, const char *name, const char *text,
                                             size_t len, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    bool given[NUM_MEMBERS] = {false};
    struct bs_slice member;
    struct bs_json j;

    *d = (struct bs_set_definition){0};
    if (!bs_set_name_is_valid(name))
        return blobseal_fail(
            err, BLOBSEAL_E_CONFIG, 0,
            "the name of a set is 1 to 64 letters, digits, '.', '-' and '_', the first a letter or digit");
    (void)snprintf(d->name, sizeof d->name, "%s", name);
    if (len > MAX_DEFINITION)
        return malformed(d, "it is longer than 64 KiB", err);
    d->buf = malloc(len + 1);
    if (d->buf == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the definition of a set: no memory");
    memcpy(d->buf, text, len);
    d->buf[len] = '\0';
    j = bs_json_start(d->buf, len);
    bs_json_object(&j);
    while (st == BLOBSEAL_OK && bs_json_member(&j, &member))
        st = read_member(d, &j, member, given, err);
    if (st == BLOBSEAL_OK && !bs_json_end(&j))
        st = malformed(d, "it is not a single JSON object in strict form", err);
    if (st == BLOBSEAL_OK && (!given[ID] || !given[KEKS]))
        st = malformed(d, "\"id\" or \"keks\" is missing", err);
    if (st != BLOBSEAL_OK)
        bs_set_definition_clear(d);
    return st;
}

void bs_set_definition_clear(struct bs_set_definition *d)
{
    free(d->buf);
    d->buf = NULL;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void put_member(struct bs_builder *w, const char *name, const char *value)
{
    bs_put_text(w, ",\n  \"");
    bs_put_text(w, name);
    bs_put_text(w, "\": ");
    bs_put_json_string(w, value);
}

static void put_recovery(struct bs_builder *w, const struct bs_set_definition *d)
{
    bs_put_text(w, ",\n  \"recovery\": [");
    for (size_t i = 0; i < d->num_recovery; i++) {
        bs_put_text(w, i > 0 ? ",\n    {\"kid\": " : "\n    {\"kid\": ");
        bs_put_json_string(w, d->recovery[i].kid);
        bs_put_text(w, ", \"key\": \"");
        bs_put_base64url(w, d->recovery[i].spki, d->recovery[i].spki_len);
        bs_put_text(w, "\"}");
    }
    bs_put_text(w, "\n  ]");
}

enum blobseal_status bs_set_definition_write(char **text, size_t *len, const struct bs_set_definition *d,
                                             struct blobseal_error *err)
{
    struct bs_builder w = bs_builder_start(malloc(MAX_DEFINITION + 1), MAX_DEFINITION);
    char number[24];

    *text = (char *)w.p;
    *len = 0;
    if (w.p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write the definition of a set: no memory");
    bs_put_text(&w, "{\n  \"id\": \"");
    bs_put_base64url(&w, d->id, sizeof d->id);
    bs_put_text(&w, "\",\n  \"keks\": [");
    for (size_t i = 0; i < d->num_keks; i++) {
        bs_put_text(&w, i > 0 ? ", " : "");
        bs_put_json_string(&w, d->keks[i]);
    }
    bs_put_text(&w, "]");
    if (d->identity != NULL)
        put_member(&w, "identity", d->identity);
    put_member(&w, "wrap", d->direct ? "direct" : "hierarchy");
    put_member(&w, "new_keys", d->manual ? "manual" : "automatic");
    if (d->store != NULL)
        put_member(&w, "store", d->store);
    if (d->min_generation > 0) {
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)d->min_generation);
        bs_put_text(&w, ",\n  \"min_generation\": ");
        bs_put_text(&w, number);
    }
    if (d->num_recovery > 0)
        put_recovery(&w, d);
    bs_put_text(&w, "\n}\n");
    if (!w.ok) {
        free(w.p);
        *text = NULL;
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the definition of the set %s would be too long", d->name);
    }
    w.p[w.len] = '\0';
    *len = w.len;
    return BLOBSEAL_OK;
}
