/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key-provider protocol of ocicrypt. The sender of a message may have fewer rights than this process. So a message
 * can only choose among names that the program knows, or bring a key of its own.
 */
#include <stdlib.h>

#include "core/oci/keys.h"

#define OUR_NAME   "blobseal"
#define MAX_VALUES 64
#define MAX_NAME   64

/* What was read of a message. The slices are in its memory. */
struct message {
    bool wrap, unwrap; /* the operation */
    struct bs_slice options;
    struct bs_slice annotation;
    bool has_parameters[2]; /* for wrapping, for unwrapping */
    size_t num[2];
    struct bs_slice values[2][MAX_VALUES];
};
enum { FOR_WRAP, FOR_UNWRAP };

static enum blobseal_status malformed(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed message to the key provider: %s", what);
}

/* ---- Parsing ----------------------------------------------------------------------------------------------------- */

/* The parameters of one operation. */
struct parameters {
    struct message *m;
    int which;
};

/* Read our own parameter. The others, which contain the keys of other schemes, are skipped. */
static void read_parameter(void *ctx, struct bs_slice name, struct bs_json *j)
{
    const struct parameters *p = ctx;
    struct message *m = p->m;

    if (!bs_slice_is(name, OUR_NAME)) {
        bs_json_skip(j);
        return;
    }
    j->ok = j->ok && !m->has_parameters[p->which]; /* not twice */
    m->has_parameters[p->which] = true;
    m->num[p->which] = MAX_VALUES;
    bs_oci_read_list(j, m->values[p->which], &m->num[p->which]);
}

/* Read the parameters of one operation: a configuration, and bytes. */
static void read_parameters(struct bs_json *j, struct message *m, int which)
{
    const char *config = which == FOR_WRAP ? "ec" : "dc", *data = which == FOR_WRAP ? "optsdata" : "annotation";
    struct bs_slice *bytes = which == FOR_WRAP ? &m->options : &m->annotation, name;

    if (bs_json_null(j))
        return;
    bs_json_object(j);
    while (bs_json_member(j, &name)) {
        if (bs_slice_is(name, config)) {
            bs_oci_read_parameters(j, read_parameter, &(struct parameters){m, which});
        } else if (bs_slice_is(name, data)) {
            j->ok = j->ok && bytes->p == NULL; /* not twice */
            bs_oci_read_bytes(j, bytes);
        } else {
            bs_json_skip(j);
        }
    }
}

static enum blobseal_status parse(struct message *m, char *text, size_t len, struct blobseal_error *err)
{
    struct bs_json j = bs_json_start((uint8_t *)text, len);
    struct bs_slice name, op = {0};

    j.lenient = true;
    bs_json_object(&j);
    while (bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "op")) {
            j.ok = j.ok && op.p == NULL;
            bs_json_string(&j, &op);
        } else if (bs_slice_is(name, "keywrapparams")) {
            read_parameters(&j, m, FOR_WRAP);
        } else if (bs_slice_is(name, "keyunwrapparams")) {
            read_parameters(&j, m, FOR_UNWRAP);
        } else {
            bs_json_skip(&j);
        }
    }
    if (!bs_json_end(&j))
        return malformed(err, "it is not JSON, or a value is neither base64 nor an array of bytes");
    m->wrap = op.p != NULL && bs_slice_is(op, "keywrap");
    m->unwrap = op.p != NULL && bs_slice_is(op, "keyunwrap");
    if (!m->wrap && !m->unwrap)
        return op.p == NULL
                   ? malformed(err, "the operation is missing")
                   : blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                                   "the key provider does not support the operation %.32s", (const char *)op.p);
    if ((m->wrap ? m->options : m->annotation).len == 0)
        return malformed(err, m->wrap ? "the options to wrap are missing" : "the annotation to unwrap is missing");
    return BLOBSEAL_OK;
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* The keys that a message names. */
struct keys {
    size_t num;
    struct blobseal_kek *list[BLOBSEAL_MAX_RECIPIENTS];
};

static bool is_name(struct bs_slice s)
{
    if (s.len == 0 || s.len > MAX_NAME)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        if (!alphanumeric && (i == 0 || (c != '.' && c != '-' && c != '_')))
            return false;
    }
    return true;
}

static bool is_pem(struct bs_slice s)
{
    static const char begin[] = "-----BEGIN ";

    return s.len > sizeof begin && memcmp(s.p, begin, sizeof begin - 1) == 0;
}

static enum blobseal_status refuse_value(struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0,
                        "the message to the key provider names a key in a way that is not allowed");
    blobseal_hint(err, "pass the name of a key of the configuration, without a scheme or a path, or a key in PEM");
    return BLOBSEAL_E_POLICY;
}

/* Ask the program for the keys with a name (NULL: all), and check its answer. */
static enum blobseal_status ask(struct keys *keys, const struct blobseal_oci_keyprovider_options *o, const char *name,
                                struct blobseal_error *err)
{
    static const uint32_t allowed = BS_MAY_RETURN(BLOBSEAL_E_CONFIG) | BS_MAY_RETURN(BLOBSEAL_E_POLICY) |
                                    BS_MAY_RETURN(BLOBSEAL_E_INPUT) | BS_MAY_RETURN(BLOBSEAL_E_NOMEM) |
                                    BS_MAY_RETURN(BLOBSEAL_E_UNAVAILABLE) | BS_MAY_RETURN(BLOBSEAL_E_DENIED) |
                                    BS_MAY_RETURN(BLOBSEAL_E_UNSUPPORTED) | BS_MAY_RETURN(BLOBSEAL_E_CANCELED);
    size_t room = BLOBSEAL_MAX_RECIPIENTS - keys->num, num = room;
    enum blobseal_status st;

    if (o->keys == NULL)
        return name == NULL ? BLOBSEAL_OK : refuse_value(err);
    bs_error_clear(err);
    st = o->keys(o->keys_ctx, name, keys->list + keys->num, &num, err);
    st = bs_callback_status(st, allowed, err, "open the key %.64s", name != NULL ? name : "(any)");
    if (st == BLOBSEAL_OK && num > room)
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "open keys: there was room for %zu, not for %zu", room, num);
    if (st == BLOBSEAL_OK)
        keys->num += num;
    return st;
}

static enum blobseal_status open_value(struct keys *keys, const struct blobseal_oci_keyprovider_options *o,
                                       struct bs_slice value, struct blobseal_error *err)
{
    const struct blobseal_kek_options kek = {.size = sizeof kek, .timeout_ms = o->timeout_ms, .cancel = o->cancel};
    size_t num = BLOBSEAL_MAX_RECIPIENTS - keys->num;
    char name[MAX_NAME + 1];
    enum blobseal_status st;

    if (num == 0)
        return blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the message to the key provider names more than %u keys",
                             BLOBSEAL_MAX_RECIPIENTS);
    if (bs_slice_is(value, "Enabled"))
        return ask(keys, o, NULL, err);
    if (is_pem(value)) {
        st = blobseal_keks_from_pem(keys->list + keys->num, &num, (const char *)value.p, value.len, &kek, err);
        keys->num += num;
        return st;
    }
    if (!is_name(value))
        return refuse_value(err);
    memcpy(name, value.p, value.len);
    name[value.len] = '\0';
    return ask(keys, o, name, err);
}

/* Remove keys that appear again, for wrapping. Public and private half of a key count as the same. */
static void remove_twins(struct keys *keys)
{
    size_t num = 0;

    for (size_t i = 0; i < keys->num; i++) {
        const char *kid = blobseal_kek_kid(keys->list[i]);
        bool twin = false;

        for (size_t k = 0; k < num && kid != NULL && !twin; k++)
            twin = blobseal_kek_kid(keys->list[k]) != NULL && strcmp(kid, blobseal_kek_kid(keys->list[k])) == 0;
        if (twin)
            blobseal_kek_close(keys->list[i]);
        else
            keys->list[num++] = keys->list[i];
    }
    keys->num = num;
}

static enum blobseal_status open_keys(struct keys *keys, const struct blobseal_oci_keyprovider_options *o,
                                      const struct message *m, struct blobseal_error *err)
{
    int which = m->wrap ? FOR_WRAP : FOR_UNWRAP;
    enum blobseal_status st = BLOBSEAL_OK;

    for (size_t i = 0; i < m->num[which] && st == BLOBSEAL_OK; i++)
        st = open_value(keys, o, m->values[which][i], err);
    if (st == BLOBSEAL_OK && m->num[which] == 0 && m->unwrap)
        st = ask(keys, o, NULL, err);
    if (st == BLOBSEAL_OK && m->wrap)
        remove_twins(keys);
    if (st == BLOBSEAL_OK && keys->num == 0) {
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                           "the key provider has no key: the message names none, and the configuration allows none");
        blobseal_hint(err, "list the names of the keys that it may use in the configuration");
    }
    return st;
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

/* Write {"RESULTS":{"MEMBER":"<base64>"}} into secret memory. */
static enum blobseal_status answer(char **reply, size_t *len, const char *start, struct bs_slice bytes,
                                   struct blobseal_error *err)
{
    size_t cap = strlen(start) + BS_BASE64_LEN(bytes.len) + 8;
    struct bs_builder w = bs_builder_start(blobseal_secret_alloc(cap), cap);

    if (w.p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "answer a message to the key provider: no memory");
    bs_put_text(&w, start);
    bs_put_base64(&w, bytes.p, bytes.len);
    bs_put(&w, "\"}}", sizeof "\"}}");
    *reply = (char *)w.p;
    *len = w.len - 1;
    return BLOBSEAL_OK;
}

/* Check that what is to be wrapped are private options, so that nobody gets something else wrapped as such. */
static enum blobseal_status check_options(struct bs_slice options, struct blobseal_error *err)
{
    struct bs_oci_opened *copy;
    enum blobseal_status st;

    if (options.p == NULL || options.len > BS_OCI_MAX_OPTIONS)
        return malformed(err, "the options to wrap are longer than 4096 bytes");
    copy = blobseal_secret_alloc(sizeof *copy);
    if (copy == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "answer a message to the key provider: no memory");
    memcpy(copy->text, options.p, options.len);
    st = bs_oci_private_read(&copy->key, copy->text, options.len, err);
    blobseal_secret_free(copy);
    return st;
}

static enum blobseal_status wrap(const struct message *m, struct bs_keks keks, char **reply, size_t *reply_len,
                                 struct blobseal_error *err)
{
    const struct bs_oci_sealing sealing = {BS_OCI_OURS, 1, m->options};
    struct bs_builder w = {0};
    enum blobseal_status st = check_options(m->options, err);

    if (st != BLOBSEAL_OK)
        return st;
    w = bs_builder_start(malloc(BLOBSEAL_MAX_ENVELOPE), BLOBSEAL_MAX_ENVELOPE);
    if (w.p == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "answer a message to the key provider: no memory");
    st = bs_oci_seal_jwe(&w, &sealing, keks, err);
    if (st == BLOBSEAL_OK)
        st = answer(reply, reply_len, "{\"keywrapresults\":{\"annotation\":\"", (struct bs_slice){w.p, w.len}, err);
    free(w.p);
    return st;
}

static enum blobseal_status unwrap(const struct message *m, struct bs_keks keks, char **reply, size_t *reply_len,
                                   struct blobseal_error *err)
{
    const struct bs_oci_item item = {.scheme = BS_OCI_OURS, .name = "provider." OUR_NAME, .bytes = m->annotation};
    struct bs_oci_search s = {.keks = keks};
    struct bs_oci_opened *opened = blobseal_secret_alloc(sizeof *opened);
    enum blobseal_status st;

    if (opened == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "answer a message to the key provider: no memory");
    st = bs_selftest_once(err);
    if (st == BLOBSEAL_OK)
        st = bs_oci_open_item(&s, &item, opened, err);
    if (st == BLOBSEAL_E_NO_KEY)
        st = bs_oci_open_failed(&s, err);
    if (st == BLOBSEAL_OK)
        st = answer(reply, reply_len, "{\"keyunwrapresults\":{\"optsdata\":\"",
                    (struct bs_slice){opened->text, opened->len}, err);
    blobseal_secret_free(opened);
    return st;
}

enum blobseal_status blobseal_oci_keyprovider(char *request, size_t len,
                                              const struct blobseal_oci_keyprovider_options *options, char **reply,
                                              size_t *reply_len, struct blobseal_error *err)
{
    struct blobseal_oci_keyprovider_options o = {.size = sizeof o};
    struct message m = {0};
    struct keys keys = {0};
    struct blobseal_call call;
    enum blobseal_status st = BLOBSEAL_OK;

    *reply = NULL;
    *reply_len = 0;
    if (!blobseal_struct_import(&o, sizeof o, options))
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                           "answer a message to the key provider: options without their size, "
                           "or newer than the library");
    else if (len > BLOBSEAL_OCI_MAX_MESSAGE)
        st = malformed(err, "it is longer than 4 MiB");
    call = bs_call_start(o.timeout_ms, o.cancel);
    if (st == BLOBSEAL_OK)
        st = parse(&m, request, len, err);
    if (st == BLOBSEAL_OK)
        st = open_keys(&keys, &o, &m, err);
    if (st == BLOBSEAL_OK)
        st = (m.wrap ? wrap : unwrap)(&m, (struct bs_keks){keys.list, keys.num, &call}, reply, reply_len, err);
    for (size_t i = 0; i < keys.num; i++)
        blobseal_kek_close(keys.list[i]);
    blobseal_wipe(request, len);
    return st;
}
