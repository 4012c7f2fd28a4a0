/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a URI: its state, and finding it in a token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/config.h"
#include "kek/pkcs11/pkcs11.h"

#define DEFAULT_LIMIT_MS 30000 /* for one operation, if neither the caller nor the options limit it */

/* ---- The state --------------------------------------------------------------------------------------------------- */

static void destroy(struct bs_p11_key *k)
{
    bs_p11_module_unref(k->module);
    bs_p11_uri_clear(&k->uri);
    blobseal_secret_free(k->pin);
    bs_rsa_wrapper_clear(&k->wrapper);
    EVP_PKEY_free(k->public);
    (void)pthread_mutex_destroy(&k->finding);
    (void)pthread_mutex_destroy(&k->lock);
    (void)pthread_cond_destroy(&k->returned);
    free(k);
}

struct bs_p11_found bs_p11_where(struct bs_p11_key *k)
{
    struct bs_p11_found copy;

    (void)pthread_mutex_lock(&k->lock);
    copy = k->where;
    (void)pthread_mutex_unlock(&k->lock);
    return copy;
}

struct bs_p11_key *bs_p11_key_ref(struct bs_p11_key *k)
{
    atomic_fetch_add(&k->references, 1);
    return k;
}

void bs_p11_key_unref(struct bs_p11_key *k)
{
    if (k != NULL && atomic_fetch_sub(&k->references, 1) == 1)
        destroy(k);
}

/* Return the limit of one operation: that of the caller, or the configured one. */
static uint32_t choose_limit(const struct blobseal_kek_options *o)
{
    uint64_t seconds = UINT32_MAX / 1000;

    if (o->timeout_ms != 0)
        return o->timeout_ms;
    if (bs_config_is_set(o->config, BS_CONFIG_REQUEST_TIMEOUT))
        seconds = bs_config_number(o->config, BS_CONFIG_REQUEST_TIMEOUT);
    if (bs_config_is_set(o->config, BS_CONFIG_DEADLINE) && bs_config_number(o->config, BS_CONFIG_DEADLINE) < seconds)
        seconds = bs_config_number(o->config, BS_CONFIG_DEADLINE);
    return seconds < UINT32_MAX / 1000 ? (uint32_t)seconds * 1000 : DEFAULT_LIMIT_MS;
}

/* Check that the reference may load the module it names. Errors: E_POLICY. */
static enum blobseal_status check_module(const struct bs_p11_uri *u, const struct blobseal_kek_options *o,
                                         struct blobseal_error *err)
{
    if (o->listed_in == NULL || u->module_path == NULL ||
        bs_config_list_has(o->config, BS_CONFIG_MODULES, u->module_path))
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the key %.100s: the configuration does not list its module %.120s",
                        u->name, u->module_path);
    blobseal_hint(err, "add the module to the list \"modules\" of \"pkcs11\" in %s", o->listed_in);
    return BLOBSEAL_E_POLICY;
}

enum blobseal_status bs_p11_key_new(struct bs_p11_key **key, const char *rest, const struct blobseal_kek_options *o,
                                    struct blobseal_error *err)
{
    struct bs_p11_key *k = calloc(1, sizeof *k);
    enum blobseal_status st;

    *key = NULL;
    if (k == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use a key in a token: no memory");
    k->references = 1;
    k->oaep = o->oaep;
    k->limit_ms = choose_limit(o);
    k->max_used = BS_P11_MAX_SESSIONS;
    (void)pthread_mutex_init(&k->finding, NULL);
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->returned, NULL);
    st = bs_p11_uri_parse(&k->uri, rest, err);
    if (st == BLOBSEAL_OK)
        st = check_module(&k->uri, o, err);
    if (st == BLOBSEAL_OK) {
        k->wraps_only = k->uri.has_type && k->uri.type == CKO_PUBLIC_KEY;
        k->pin = blobseal_secret_alloc(sizeof *k->pin);
        if (k->pin == NULL)
            st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->uri.name);
        else
            memset(k->pin, 0, sizeof *k->pin);
    }
    if (st == BLOBSEAL_OK)
        st = bs_p11_module_get(&k->module, &k->uri, err);
    if (st == BLOBSEAL_OK)
        *key = k;
    else
        bs_p11_key_unref(k);
    return st;
}

/* ---- Choosing one of the keys that match ------------------------------------------------------------------------- */

static bool may_be_rsa(const struct bs_p11_found *f)
{
    return f->type == CKK_RSA || f->type == CK_UNAVAILABLE_INFORMATION;
}

/* Return the only RSA key, or NULL if there is none, or more than one. */
static struct bs_p11_found *only_key(struct bs_p11_keys *keys)
{
    struct bs_p11_found *one = NULL;

    for (size_t i = 0; i < keys->num && i < BS_P11_MAX_FOUND; i++)
        if (may_be_rsa(&keys->list[i])) {
            if (one != NULL)
                return NULL;
            one = &keys->list[i];
        }
    return keys->num <= BS_P11_MAX_FOUND ? one : NULL;
}

/* Report that several keys match. The hint has as many of their URIs as fit, which can be pasted into a shell. */
static enum blobseal_status fail_several(const struct bs_p11_key *k, const struct bs_p11_keys *keys, size_t num,
                                         struct blobseal_error *err)
{
    char uris[sizeof err->hint] = "", one[sizeof err->hint];
    size_t len = 0, shown = 0;

    for (size_t i = 0; i < keys->num && i < BS_P11_MAX_FOUND; i++) {
        struct bs_p11_uri plain = {.uri = k->uri.uri};

        if (!may_be_rsa(&keys->list[i]) || !bs_p11_uri_format(one, sizeof one, &plain, &keys->list[i]) ||
            len + strlen(one) + 4 > sizeof uris - 40)
            continue;
        len += (size_t)snprintf(uris + len, sizeof uris - len, " '%s'", one);
        shown++;
    }
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s: %zu keys match", k->uri.name, num);
    if (shown == 0)
        blobseal_hint(err, "name one of them with token=, object= or id=");
    else
        blobseal_hint(err, "name one of:%s%s", uris, shown < num ? " ..." : "");
    return BLOBSEAL_E_CONFIG;
}

static enum blobseal_status fail_none(const struct bs_p11_key *k, const struct bs_p11_keys *keys, bool logged_in,
                                      struct blobseal_error *err)
{
    if (keys->num > 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s: it is not an RSA key, which is needed",
                            k->uri.name);
        blobseal_advise(err, BLOBSEAL_ADVICE_RSA_KEY, NULL, "generate or choose an RSA key of 2048, 3072 or 4096 bits");
    } else if (logged_in) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s: the token has no such key", k->uri.name);
        blobseal_hint(err, "check object= and id= of the URI");
    } else {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s: no such key is visible without the PIN",
                            k->uri.name);
        blobseal_advise(err, BLOBSEAL_ADVICE_PASSPHRASE, NULL, "supply the PIN, or check object= and id= of the URI");
    }
    return BLOBSEAL_E_CONFIG;
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

/* The state of a search for a key. It is allocated, because it is too large for a stack. */
struct search {
    struct bs_p11_slots slots;
    struct bs_p11_keys keys;
    struct bs_p11_found *one;
    struct bs_p11_slot *slot; /* in which `session` is */
    CK_SESSION_HANDLE session;
    bool open, logged_in;
};

static void close_session(struct search *s)
{
    if (s->open)
        (void)s->slot->f->C_CloseSession(s->session);
    s->open = false;
}

/* Open a session in @slot, unless that is where the open one is. */
static enum blobseal_status open_session(const struct bs_p11_key *k, struct search *s, struct bs_p11_slot *slot,
                                         struct blobseal_error *err)
{
    CK_RV rv;

    if (s->open && s->slot == slot)
        return BLOBSEAL_OK;
    close_session(s);
    rv = slot->f->C_OpenSession(slot->id, CKF_SERIAL_SESSION, NULL, NULL, &s->session);
    if (rv != CKR_OK)
        return bs_p11_fail(err, rv, "open a session for", k->uri.name);
    s->slot = slot;
    s->open = true;
    return BLOBSEAL_OK;
}

/* Find the keys that are visible in all slots that match. */
static enum blobseal_status look(const struct bs_p11_key *k, struct search *s, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    s->keys.num = 0;
    for (size_t i = 0; i < s->slots.num && st == BLOBSEAL_OK; i++) {
        CK_RV rv;

        st = open_session(k, s, &s->slots.list[i], err);
        if (st != BLOBSEAL_OK)
            break;
        rv = bs_p11_find_keys(&s->keys, s->slot, s->session, &k->uri);
        if (rv != CKR_OK)
            st = bs_p11_fail(err, rv, "look for the key", k->uri.name);
    }
    s->one = only_key(&s->keys);
    return st;
}

/* Return the slot of the one key, or the only slot, or NULL. */
static struct bs_p11_slot *slot_of(struct search *s)
{
    for (size_t i = 0; s->one != NULL && i < s->slots.num; i++)
        if (s->slots.list[i].f == s->one->slot.f && s->slots.list[i].id == s->one->slot.id)
            return &s->slots.list[i];
    return s->slots.num == 1 ? &s->slots.list[0] : NULL;
}

/* Log in where the key is or must be, and look again. */
static enum blobseal_status look_with_pin(struct bs_p11_key *k, struct search *s, struct bs_p11_wish *wish,
                                          struct blobseal_error *err)
{
    struct bs_p11_slot *slot = slot_of(s);
    enum blobseal_status st;

    if (slot == NULL && s->keys.num == 0) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                            "the key %.150s: %zu tokens match, and the key is not visible without a PIN", k->uri.name,
                            s->slots.num);
        blobseal_hint(err, "name the token with token= or serial=");
        return BLOBSEAL_E_CONFIG;
    }
    if (slot == NULL || (s->one == NULL && s->keys.num > 0))
        return BLOBSEAL_OK; /* several keys, or none that is RSA: nothing that a login changes */
    st = open_session(k, s, slot, err);
    if (st != BLOBSEAL_OK)
        return st;
    s->logged_in = !bs_p11_must_login(slot, s->session);
    if (s->logged_in && s->one != NULL)
        return BLOBSEAL_OK; /* there is no private key */
    if (!s->logged_in && !bs_p11_pin_is_set(k->pin) && (slot->token.flags & CKF_PROTECTED_AUTHENTICATION_PATH) == 0) {
        wish->needs_pin = true;
        return BLOBSEAL_OK;
    }
    if (!s->logged_in && !wish->login)
        return BLOBSEAL_OK;
    st = bs_p11_login(k, slot, s->session, err);
    if (st != BLOBSEAL_OK)
        return st;
    s->logged_in = true;
    s->slots.list[0] = *slot;
    s->slot = &s->slots.list[0];
    s->slots.num = 1;
    return look(k, s, err);
}

/* Read the public half, or compare it with the one that is known. */
static enum blobseal_status read_public(struct bs_p11_key *k, const struct search *s, struct blobseal_error *err)
{
    EVP_PKEY *public;
    enum blobseal_status st = bs_p11_public_half(&public, s->one, s->session, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (public == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s: its public half cannot be read", k->uri.name);
        blobseal_hint(err, "store its public key or its certificate in the token, with the same id");
        return BLOBSEAL_E_CONFIG;
    }
    if (k->public != NULL) {
        st = EVP_PKEY_eq(k->public, public) == 1
                 ? BLOBSEAL_OK
                 : blobseal_fail(err, BLOBSEAL_E_DENIED, 0, "the key %.150s: the token now has another key",
                                 k->uri.name);
        EVP_PKEY_free(public);
        return st;
    }
    st = bs_p11_check_public(public, k->uri.name, err);
    if (st == BLOBSEAL_OK && !bs_rsa_kid(k->kid, public))
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->uri.name);
    if (st == BLOBSEAL_OK) {
        k->modulus_len = (size_t)EVP_PKEY_get_size(public);
        k->public = public;
        bs_rsa_wrapper_init(&k->wrapper, public, k->oaep);
    } else {
        EVP_PKEY_free(public);
    }
    return st;
}

/* Keep what was found, with its session. */
static void keep(struct bs_p11_key *k, struct search *s, unsigned epoch)
{
    CK_FUNCTION_LIST *f = s->slot->f;
    CK_OBJECT_HANDLE private_key = s->one->private_key;
    bool decrypts = private_key == 0 || bs_p11_flag(f, s->session, private_key, CKA_DECRYPT, true);
    bool unwraps = private_key != 0 && bs_p11_flag(f, s->session, private_key, CKA_UNWRAP, false);
    bool always = private_key != 0 && bs_p11_flag(f, s->session, private_key, CKA_ALWAYS_AUTHENTICATE, false);
    CK_SESSION_HANDLE before;
    bool close_before;

    (void)pthread_mutex_lock(&k->lock);
    before = k->keeper;
    close_before = k->has_keeper && k->epoch == epoch;
    k->where = *s->one;
    k->where.slot.token = s->slot->token;
    k->with_unwrap = !decrypts && unwraps;
    k->always_auth = always;
    k->epoch = epoch;
    k->keeper = s->session;
    k->has_keeper = true;
    k->located = true;
    (void)pthread_mutex_unlock(&k->lock);
    s->open = false;
    if (close_before)
        (void)f->C_CloseSession(before);
}

static enum blobseal_status search(struct bs_p11_key *k, struct search *s, struct bs_p11_wish *wish,
                                   struct blobseal_error *err)
{
    enum blobseal_status st = bs_p11_module_load(k->module, err);
    unsigned epoch = atomic_load(&k->module->epoch);
    struct bs_p11_slot *slot;
    size_t num = 0;

    if (st == BLOBSEAL_OK)
        st = bs_p11_find_slots(&s->slots, k, err);
    if (st == BLOBSEAL_OK)
        st = look(k, s, err);
    if (st == BLOBSEAL_OK && !k->wraps_only && (s->one == NULL || s->one->private_key == 0))
        st = look_with_pin(k, s, wish, err);
    for (size_t i = 0; i < s->keys.num; i++)
        num += i >= BS_P11_MAX_FOUND || may_be_rsa(&s->keys.list[i]) ? 1 : 0;
    if (st == BLOBSEAL_OK && s->one == NULL)
        st = num > 0 ? fail_several(k, &s->keys, num, err) : fail_none(k, &s->keys, s->logged_in, err);
    slot = slot_of(s);
    if (st == BLOBSEAL_OK && slot != NULL)
        st = open_session(k, s, slot, err);
    if (st == BLOBSEAL_OK)
        st = read_public(k, s, err);
    if (st == BLOBSEAL_OK)
        keep(k, s, epoch);
    return st;
}

/* Drop handles of another epoch, which are not valid in this process. Return true if all that the caller wants is
 * known. */
static bool is_located(struct bs_p11_key *k, const struct bs_p11_wish *wish)
{
    bool known;

    (void)pthread_mutex_lock(&k->lock);
    if (k->epoch != atomic_load(&k->module->epoch)) {
        k->located = k->has_keeper = false;
        k->num_idle = 0;
        k->generation++;
    }
    known = k->located && (!wish->login || k->where.private_key != 0 || k->wraps_only);
    (void)pthread_mutex_unlock(&k->lock);
    return known;
}

enum blobseal_status bs_p11_locate(struct bs_p11_key *k, struct bs_p11_wish *wish, struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;
    struct search *s;

    wish->needs_pin = false;
    if (is_located(k, wish))
        return BLOBSEAL_OK;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "the key %.150s: no memory", k->uri.name);
    (void)pthread_mutex_lock(&k->finding);
    if (!is_located(k, wish))
        st = search(k, s, wish, err);
    (void)pthread_mutex_unlock(&k->finding);
    close_session(s);
    free(s);
    return st;
}
