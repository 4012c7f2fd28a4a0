/* SPDX-License-Identifier: Apache-2.0 */
/* The registry, which finds the provider for a key reference. */
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "core/config/config.h"
#include "kek/kek.h"
#include "kek/pem.h"

#define MAX_SCHEME    31
#define MAX_PROVIDERS 32

#define NAMED "key" /* the scheme of names that the configuration defines */

/* Schemes of providers that a build of this library may lack. A reference with such a scheme is never a path. */
static const struct {
    const char *scheme, *hint;
} reserved[] = {
    {"pkcs11", "use a build with p11-kit"},
    {"https", "use a build with libcurl"},
    {"http", "a key in a vault starts with https:"},
};

struct blobseal_registry {
    size_t num;
    const struct blobseal_provider *providers[MAX_PROVIDERS + 1]; /* NULL after the last */
};

/* ---- Registry ---------------------------------------------------------------------------------------------------- */

enum blobseal_status blobseal_registry_new(struct blobseal_registry **registry, struct blobseal_error *err)
{
    struct blobseal_registry *r = calloc(1, sizeof *r);

    *registry = r;
    if (r == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "create the provider registry: no memory");
    for (; bs_builtin_providers[r->num] != NULL; r->num++)
        r->providers[r->num] = bs_builtin_providers[r->num];
    return BLOBSEAL_OK;
}

void blobseal_registry_free(struct blobseal_registry *registry)
{
    free(registry);
}

/* Return true if @s matches [a-z][a-z0-9+.-]{0,30}. */
static bool scheme_is_valid(const char *s)
{
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+.-");

    return len >= 1 && len <= MAX_SCHEME && s[len] == '\0' && s[0] >= 'a' && s[0] <= 'z';
}

enum blobseal_status bs_provider_check(const struct blobseal_provider *p, struct blobseal_error *err)
{
    if (p == NULL || p->abi != BLOBSEAL_PROVIDER_ABI || p->scheme == NULL || p->open == NULL || p->owns == NULL ||
        p->wrap == NULL || p->unwrap == NULL || !scheme_is_valid(p->scheme))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a provider lacks a function, or its abi or scheme is not valid");
    return BLOBSEAL_OK;
}

enum blobseal_status blobseal_registry_add(struct blobseal_registry *registry, const struct blobseal_provider *provider,
                                           struct blobseal_error *err)
{
    enum blobseal_status st = bs_provider_check(provider, err);
    size_t i = 0;

    if (st != BLOBSEAL_OK)
        return st;
    if (strcmp(provider->scheme, NAMED) == 0)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "the scheme %s is that of names in the configuration", NAMED);
    while (i < registry->num && strcmp(registry->providers[i]->scheme, provider->scheme) != 0)
        i++;
    if (i == MAX_PROVIDERS)
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "a registry holds at most %zu providers", i);
    registry->providers[i] = provider;
    registry->num += i == registry->num ? 1 : 0;
    return BLOBSEAL_OK;
}

/* ---- Opening by reference -----------------------------------------------------------------------------------------
 */

/* Return the length of @scheme if it is the scheme of @ref, otherwise 0. */
static size_t scheme_len(const char *ref, const char *scheme)
{
    size_t len = strlen(scheme);

    return strncmp(ref, scheme, len) == 0 && ref[len] == ':' ? len : 0;
}

/*
 * Find the provider for @ref, and set *@rest to the part of @ref after the scheme. A reference without a known scheme
 * is a path. Return NULL if there is no provider. Errors: E_CONFIG.
 */
static const struct blobseal_provider *resolve(const char **rest, const struct blobseal_registry *registry,
                                               const char *ref, struct blobseal_error *err)
{
    const struct blobseal_provider *const *list = registry != NULL ? registry->providers : bs_builtin_providers;
    const struct blobseal_provider *files = NULL;

    for (size_t i = 0; list[i] != NULL; i++) {
        size_t len = scheme_len(ref, list[i]->scheme);

        *rest = ref + len + 1;
        if (len > 0)
            return list[i];
        if (strcmp(list[i]->scheme, "file") == 0) /* not always bs_pem_provider: programs may replace it */
            files = list[i];
    }
    *rest = ref;
    for (size_t i = 0; i < BS_COUNT(reserved); i++)
        if (scheme_len(ref, reserved[i].scheme) > 0) {
            (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "this build has no provider for keys of the form %s:...",
                                reserved[i].scheme);
            blobseal_hint(err, "%s; if this is the name of a file, use file:NAME", reserved[i].hint);
            return NULL;
        }
    return files;
}

/* The callback of the caller for the passphrase of a key. */
struct asking {
    const struct blobseal_kek_options *options;
    const char *ref; /* of the key */
};

/* Get the passphrase from the caller, and check what the callback returned, so that providers need not. */
static enum blobseal_status ask_passphrase(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    static const uint32_t allowed = BS_MAY_RETURN(BLOBSEAL_E_CONFIG) | BS_MAY_RETURN(BLOBSEAL_E_INPUT) |
                                    BS_MAY_RETURN(BLOBSEAL_E_NOMEM) | BS_MAY_RETURN(BLOBSEAL_E_CANCELED);
    const struct asking *a = ctx;
    enum blobseal_status st;

    *len = 0;
    bs_error_clear(err);
    st = a->options->passphrase(a->options->passphrase_ctx, buf, cap, len, err);
    st = bs_callback_status(st, allowed, err, "get the passphrase of the key %.100s", a->ref);
    if (st == BLOBSEAL_OK && *len > cap)
        st =
            blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0,
                          "get the passphrase of the key %.100s: the callback reported %zu bytes, but has room for %zu",
                          a->ref, *len, cap);
    if (st != BLOBSEAL_OK)
        *len = 0;
    return st;
}

/* What it takes to open a reference: its provider, and the limits and options that the provider gets. */
struct opening {
    const struct blobseal_provider *provider;
    const char *ref, *rest; /* with and without the scheme */
    struct blobseal_kek_options options, for_provider;
    struct asking asking;
    struct blobseal_call call;
    char listed_in[160];
};

/* Find the provider for the reference that the configuration has for the name in @ref. Errors: E_CONFIG. */
static enum blobseal_status resolve_name(struct opening *o, const struct blobseal_registry *registry, const char *name,
                                         struct blobseal_error *err)
{
    const struct blobseal_config *config = o->options.config;
    const struct bs_config_kek *kek = bs_config_kek(config, name);
    char place[160];

    if (kek == NULL) {
        (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the configuration has no key named %.100s", name);
        blobseal_hint(err, "define it under \"keks\"; if this is the name of a file, use file:%.80s", o->ref);
        return BLOBSEAL_E_CONFIG;
    }
    o->provider = resolve(&o->rest, registry, kek->ref, err);
    if (o->provider == NULL)
        return BLOBSEAL_E_CONFIG;
    if (strcmp(o->provider->scheme, "file") == 0 && o->rest[0] != '/')
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "%s: the path of the key \"%.64s\" must be absolute",
                             bs_config_place(place, &kek->from), name);
    o->options.listed_in = bs_config_modules_file(o->listed_in, config, &kek->from);
    return BLOBSEAL_OK;
}

/* Choose the hash: that of the caller, or for a token the configured one. */
static enum blobseal_oaep choose_oaep(const struct opening *o)
{
    if (o->options.oaep == BLOBSEAL_OAEP_SHA256 && strcmp(o->provider->scheme, "pkcs11") == 0)
        return (enum blobseal_oaep)bs_config_number(o->options.config, BS_CONFIG_OAEP);
    return o->options.oaep == BLOBSEAL_OAEP_SHA256_ALWAYS ? BLOBSEAL_OAEP_SHA256 : o->options.oaep;
}

static enum blobseal_status start(struct opening *o, const struct blobseal_registry *registry, const char *ref,
                                  const struct blobseal_kek_options *options, struct blobseal_error *err)
{
    *o = (struct opening){.ref = ref, .options.size = sizeof o->options};
    if (!blobseal_struct_import(&o->options, sizeof o->options, options)) /* so the provider gets all members */
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "open a key: options without their size, or newer than the library");
    bs_config_use(o->options.config);
    if (scheme_len(ref, NAMED) > 0) {
        enum blobseal_status st = resolve_name(o, registry, ref + sizeof NAMED, err);

        if (st != BLOBSEAL_OK)
            return st;
    } else {
        o->provider = resolve(&o->rest, registry, ref, err);
        if (o->provider == NULL)
            return BLOBSEAL_E_CONFIG;
    }
    o->options.oaep = choose_oaep(o);
    o->options.registry = registry;
    o->asking = (struct asking){&o->options, ref};
    o->for_provider = o->options;
    if (o->options.passphrase != NULL) {
        o->for_provider.passphrase = ask_passphrase;
        o->for_provider.passphrase_ctx = &o->asking;
    }
    o->call = bs_call_start(o->options.timeout_ms, o->options.cancel);
    return bs_call_check(&o->call, err);
}

static void close_state(const struct blobseal_provider *provider, void *state)
{
    if (provider->close != NULL)
        provider->close(state);
}

/* Record it if a rule forbids to open a key. Return @st. */
static enum blobseal_status record_refusal(const struct opening *o, enum blobseal_status st)
{
    const struct blobseal_audit_event event = {
        .size = sizeof event, .operation = "refuse", .result = st, .provider = o->provider->scheme, .subject = o->ref};

    if (st == BLOBSEAL_E_POLICY) /* nothing is handed out, so it does not matter whether this succeeds */
        (void)!bs_audit(o->options.config, &event, NULL);
    return st;
}

static enum blobseal_status open_one(struct blobseal_kek **kek, const struct opening *o, struct blobseal_error *err)
{
    const struct blobseal_provider *p = o->provider;
    struct blobseal_kek_info info = {.size = sizeof info};
    void *state = NULL;
    enum blobseal_status st;

    st = bs_provider_status(p->open(&state, &info, o->rest, &o->for_provider, &o->call, err), p, o->ref, err);
    if (st != BLOBSEAL_OK)
        return record_refusal(o, st);
    st = blobseal_kek_new(kek, p, state, &info, err);
    if (st == BLOBSEAL_OK)
        bs_kek_set_config(*kek, o->options.config);
    else
        close_state(p, state);
    return st;
}

enum blobseal_status blobseal_kek_open(struct blobseal_kek **kek, const struct blobseal_registry *registry,
                                       const char *ref, const struct blobseal_kek_options *options,
                                       struct blobseal_error *err)
{
    struct opening o;
    enum blobseal_status st = start(&o, registry, ref, options, err);

    *kek = NULL;
    return st == BLOBSEAL_OK ? open_one(kek, &o, err) : st;
}

/* ---- Several keys ------------------------------------------------------------------------------------------------ */

/* Collects the keys that a provider opens. */
struct collection {
    const struct opening *opening;
    struct blobseal_kek **keks;
    size_t num, max;
};

static enum blobseal_status add(void *ctx, void *state, const struct blobseal_kek_info *info,
                                struct blobseal_error *err)
{
    struct collection *c = ctx;
    const struct blobseal_provider *p = c->opening->provider;
    enum blobseal_status st;

    if (c->num == c->max) {
        st = blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "open the keys of %s: there is room for %zu, and it has more",
                           c->opening->ref, c->max);
        blobseal_hint(err, "use fewer keys, or a file that has only those that are needed");
    } else {
        st = blobseal_kek_new(&c->keks[c->num], p, state, info, err);
    }
    if (st == BLOBSEAL_OK)
        bs_kek_set_config(c->keks[c->num++], c->opening->options.config);
    else
        close_state(p, state);
    return st;
}

static enum blobseal_status open_all(struct collection *c, struct blobseal_error *err)
{
    const struct opening *o = c->opening;
    const struct blobseal_kek_list list = {c, add};
    enum blobseal_status st;

    if (o->provider->open_all == NULL) {
        st = open_one(c->keks, o, err);
        c->num = st == BLOBSEAL_OK;
        return st;
    }
    st = o->provider->open_all(&list, o->rest, &o->for_provider, &o->call, err);
    st = record_refusal(o, bs_provider_status(st, o->provider, o->ref, err));
    if (st == BLOBSEAL_OK && c->num == 0)
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "open the keys of %s: provider %s returned none", o->ref,
                           o->provider->scheme);
    return st;
}

/* Make room for keys. Errors: E_ARG if there is none. */
static enum blobseal_status start_collection(const struct collection *c, size_t *num, struct blobseal_error *err)
{
    *num = 0;
    for (size_t i = 0; i < c->max; i++)
        c->keks[i] = NULL;
    return c->max > 0 ? BLOBSEAL_OK : blobseal_fail(err, BLOBSEAL_E_ARG, 0, "open keys: there is no room for one");
}

/* Release the keys after a failure. Return @st. */
static enum blobseal_status end_collection(const struct collection *c, size_t *num, enum blobseal_status st)
{
    for (size_t i = 0; i < c->num && st != BLOBSEAL_OK; i++) {
        blobseal_kek_close(c->keks[i]);
        c->keks[i] = NULL;
    }
    *num = st == BLOBSEAL_OK ? c->num : 0;
    return st;
}

enum blobseal_status blobseal_keks_open(struct blobseal_kek **keks, size_t *num,
                                        const struct blobseal_registry *registry, const char *ref,
                                        const struct blobseal_kek_options *options, struct blobseal_error *err)
{
    struct opening o;
    struct collection c = {.opening = &o, .keks = keks, .max = *num};
    enum blobseal_status st = start_collection(&c, num, err);

    if (st != BLOBSEAL_OK)
        return st;
    st = start(&o, registry, ref, options, err);
    if (st == BLOBSEAL_OK)
        st = open_all(&c, err);
    return end_collection(&c, num, st);
}

enum blobseal_status blobseal_keks_from_pem(struct blobseal_kek **keks, size_t *num, const char *pem, size_t len,
                                            const struct blobseal_kek_options *options, struct blobseal_error *err)
{
    static const char name[] = "file:in the given text"; /* for messages */
    struct opening o;
    struct collection c = {.opening = &o, .keks = keks, .max = *num};
    const struct blobseal_kek_list list = {&c, add};
    enum blobseal_status st = start_collection(&c, num, err);

    if (st != BLOBSEAL_OK)
        return st;
    st = start(&o, NULL, name, options, err);
    if (st == BLOBSEAL_OK)
        st = bs_provider_status(bs_pem_open_text(&list, pem, len, &o.for_provider, err), o.provider, name, err);
    return end_collection(&c, num, st);
}

/* ---- Places with keys -------------------------------------------------------------------------------------------- */

/* Fail for a provider that lacks a function. */
static enum blobseal_status lacks(const struct opening *r, const char *what, const char *who,
                                  struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "the provider %s cannot %s", r->provider->scheme, what);
    blobseal_hint(err, "%s can do that", who);
    return BLOBSEAL_E_UNSUPPORTED;
}

struct listing {
    blobseal_listed_key_fn fn;
    void *ctx;
};

static bool report_key(void *ctx, const struct blobseal_found_key *found)
{
    struct blobseal_found_key f = {.size = sizeof f};
    const struct listing *l = ctx;

    if (!blobseal_struct_import(&f, sizeof f, found) || f.ref == NULL)
        return true; /* from a provider that is newer than the library */
    return l->fn(l->ctx, &(struct blobseal_listed_key){.ref = f.ref,
                                                       .kid = f.kid,
                                                       .bits = f.bits,
                                                       .can_unwrap = f.can_unwrap,
                                                       .type = f.type,
                                                       .disabled = f.disabled,
                                                       .valid_from = f.valid_from,
                                                       .valid_until = f.valid_until});
}

enum blobseal_status blobseal_list_keys(const struct blobseal_registry *registry, const char *ref,
                                        const struct blobseal_kek_options *options, blobseal_listed_key_fn fn,
                                        void *fn_ctx, struct blobseal_error *err)
{
    struct listing listing = {fn, fn_ctx};
    struct opening r;
    enum blobseal_status st = start(&r, registry, ref, options, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (r.provider->list == NULL)
        return lacks(&r, "list keys", "a token (pkcs11:) or a vault (https:)", err);
    return bs_provider_status(r.provider->list(r.rest, &r.for_provider, report_key, &listing, &r.call, err), r.provider,
                              ref, err);
}

enum blobseal_status blobseal_generate_key(const struct blobseal_registry *registry, const char *ref,
                                           const struct blobseal_kek_options *options, unsigned bits,
                                           struct blobseal_error *err)
{
    struct opening r;
    enum blobseal_status st = start(&r, registry, ref, options, err);

    if (st == BLOBSEAL_OK && bits != 2048 && bits != 3072 && bits != 4096)
        st = blobseal_fail(err, BLOBSEAL_E_ARG, 0, "RSA keys have 2048, 3072 or 4096 bits, not %u", bits);
    if (st != BLOBSEAL_OK)
        return st;
    if (r.provider->generate == NULL)
        return lacks(&r, "generate keys", "a token (pkcs11:)", err);
    return bs_provider_status(r.provider->generate(r.rest, &r.for_provider, bits, &r.call, err), r.provider, ref, err);
}
