/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process has seen of a set: the highest generation that it accepted and the digest of that object, and the last
 * check. It is in memory, and in a file if a folder is configured, so that an older object is noticed after a restart,
 * and by all processes that share the folder.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/set/set.h"

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static bool read_member(struct bs_set_seen *s, struct bs_json *j, struct bs_slice name)
{
    struct bs_slice text;

    if (bs_slice_is(name, "generation"))
        return bs_json_uint(j, &s->generation);
    if (bs_slice_is(name, "sha256"))
        return bs_json_fixed(j, s->sha256, sizeof s->sha256);
    if (bs_slice_is(name, "last_check"))
        return bs_json_uint(j, &s->last_check);
    if (!bs_slice_is(name, "last_error") || !bs_json_string(j, &text))
        return false;
    (void)snprintf(s->last_error, sizeof s->last_error, "%s", (const char *)text.p);
    blobseal_make_printable(s->last_error);
    return true;
}

bool bs_set_seen_parse(struct bs_set_seen *s, uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    struct bs_slice name;
    bool ok = len <= BS_SET_MAX_STATE;

    *s = (struct bs_set_seen){0};
    bs_json_object(&j);
    while (ok && bs_json_member(&j, &name))
        ok = read_member(s, &j, name);
    return ok && bs_json_end(&j);
}

static enum blobseal_status read_file(struct bs_set_seen *s, const char *path, struct blobseal_error *err)
{
    char *text;
    size_t len;
    enum blobseal_status st = bs_set_file_read(&text, &len, path, BS_SET_MAX_STATE, err);
    bool ok;

    *s = (struct bs_set_seen){0};
    if (st != BLOBSEAL_OK || text == NULL)
        return st;
    ok = bs_set_seen_parse(s, (uint8_t *)text, len);
    free(text);
    if (ok)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%.200s is damaged", path);
    blobseal_hint(err, "it says which generation of a set was seen last: remove it if the set in the store is right");
    return BLOBSEAL_E_CONFIG;
}

static void put_number(struct bs_builder *w, const char *name, uint64_t n)
{
    char text[64];

    (void)snprintf(text, sizeof text, "\"%s\": %llu, ", name, (unsigned long long)n);
    bs_put_text(w, text);
}

size_t bs_set_seen_format(uint8_t out[BS_SET_MAX_STATE], const struct bs_set_seen *s)
{
    struct bs_builder w = bs_builder_start(out, BS_SET_MAX_STATE);

    bs_put_text(&w, "{");
    put_number(&w, "generation", s->generation);
    put_number(&w, "last_check", s->last_check);
    bs_put_text(&w, "\"sha256\": \"");
    bs_put_base64url(&w, s->sha256, sizeof s->sha256);
    bs_put_text(&w, "\"");
    if (s->last_error[0] != '\0') {
        bs_put_text(&w, ", \"last_error\": ");
        bs_put_json_string(&w, s->last_error);
    }
    bs_put_text(&w, "}\n");
    return w.len;
}

static enum blobseal_status write_file(const struct bs_set_seen *s, const char *path, struct blobseal_error *err)
{
    uint8_t text[BS_SET_MAX_STATE];
    size_t len = bs_set_seen_format(text, s);

    return bs_set_file_write(path, (const char *)text, len, true, err);
}

/* ---- Rollback ---------------------------------------------------------------------------------------------------- */

static enum blobseal_status went_back(uint64_t generation, uint64_t seen, struct blobseal_error *err)
{
    (void)blobseal_fail(
        err, BLOBSEAL_E_POLICY, 0,
        "the stored object of the set has generation %llu, but %llu was seen before: it is an older one",
        (unsigned long long)generation, (unsigned long long)seen);
    blobseal_hint(err, "restore the newest object; if it is lost, blobseal-set(7) describes how to use an older one");
    return BLOBSEAL_E_POLICY;
}

enum blobseal_status bs_set_seen_check(const struct bs_set_seen *s, const struct bs_set_object *o, uint64_t min,
                                       struct blobseal_error *err)
{
    if (o->generation < min) {
        (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                            "the stored object of the set has generation %llu, but the definition requires %llu",
                            (unsigned long long)o->generation, (unsigned long long)min);
        return BLOBSEAL_E_POLICY;
    }
    if (o->generation < s->generation)
        return went_back(o->generation, s->generation, err);
    if (o->generation == s->generation && memcmp(o->sha256, s->sha256, sizeof o->sha256) != 0) {
        (void)blobseal_fail(
            err, BLOBSEAL_E_POLICY, 0,
            "the stored object of the set has generation %llu like the one seen before, but other bytes",
            (unsigned long long)o->generation);
        blobseal_hint(err, "somebody restored an older object and changed it; restore the newest object");
        return BLOBSEAL_E_POLICY;
    }
    return BLOBSEAL_OK;
}

/* Take over what another process has noted, if that is newer. */
static void catch_up(struct bs_set_seen *s, const struct bs_set_seen *other)
{
    if (other->generation > s->generation) {
        s->generation = other->generation;
        memcpy(s->sha256, other->sha256, sizeof s->sha256);
    }
    if (other->last_check > s->last_check) {
        s->last_check = other->last_check;
        memcpy(s->last_error, other->last_error, sizeof s->last_error);
    }
}

enum blobseal_status bs_set_seen_load(struct bs_set_seen *s, const struct bs_set_state_file *f,
                                      struct blobseal_error *err)
{
    struct bs_set_seen other;
    enum blobseal_status st;

    if (f->path[0] == '\0')
        return BLOBSEAL_OK;
    st = read_file(&other, f->path, err);
    if (st == BLOBSEAL_OK)
        catch_up(s, &other);
    return st;
}

bool bs_set_seen_save(struct bs_set_seen *s, const struct bs_set_state_file *f, const struct blobseal_call *call)
{
    struct bs_set_seen other;
    bool ok = false;
    int lock;

    if (f->path[0] == '\0')
        return false;
    if (!bs_set_make_folder(f->folder, 0700))
        return false;
    if (bs_set_file_lock(&lock, f->lock, call, NULL) != BLOBSEAL_OK)
        return false;
    if (read_file(&other, f->path, NULL) == BLOBSEAL_OK) {
        catch_up(s, &other);
        ok = other.generation == s->generation && memcmp(other.sha256, s->sha256, sizeof s->sha256) == 0 &&
             other.last_check == s->last_check && strcmp(other.last_error, s->last_error) == 0;
        ok = ok || write_file(s, f->path, NULL) == BLOBSEAL_OK;
    }
    bs_set_file_unlock(lock);
    return ok;
}

bool bs_set_state_file_init(struct bs_set_state_file *f, const char *folder, const uint8_t id[BS_SET_ID_LEN])
{
    char name[BLOBSEAL_BASE64URL_LEN(BS_SET_ID_LEN) + 1] = "";
    int n;

    *f = (struct bs_set_state_file){0};
    if (folder == NULL)
        return true;
    blobseal_base64url_encode(name, id, BS_SET_ID_LEN);
    (void)snprintf(f->folder, sizeof f->folder, "%s", folder);
    n = snprintf(f->path, sizeof f->path, "%s/set-%s.json", folder, name);
    (void)snprintf(f->lock, sizeof f->lock, "%s/set-%s.lock", folder, name);
    return n > 0 && (size_t)n < sizeof f->path - 32;
}
