/* SPDX-License-Identifier: Apache-2.0 */
/* The case with an encryption set: made, used, rotated, and opened again. */
#include <stdlib.h>
#include <string.h>

#include "tests/faults/cases.h"
#include "tests/support/memory_vault.h"

/* A store that needs no memory of its own. */
static struct {
    char object[BLOBSEAL_MAX_ENVELOPE];
    size_t len;
    unsigned version;
} kept;

static enum blobseal_status get(void *ctx, char **object, size_t *len, char token[BLOBSEAL_SET_MAX_TOKEN],
                                const struct blobseal_call *call, struct blobseal_error *err)
{
    (void)ctx;
    (void)call;
    if (kept.len == 0)
        return BLOBSEAL_OK;
    *object = malloc(kept.len);
    if (*object == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "no memory");
    memcpy(*object, kept.object, kept.len);
    *len = kept.len;
    token[0] = 'v';
    token[1] = (char)('0' + kept.version % 50);
    return BLOBSEAL_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters of the function in struct blobseal_set_store */
static enum blobseal_status put(void *ctx, const char *object, size_t len, const char *token,
                                enum blobseal_set_put *result, const struct blobseal_call *call,
                                struct blobseal_error *err)
{
    (void)ctx;
    (void)token;
    (void)call;
    (void)err;
    memcpy(kept.object, object, len);
    kept.len = len;
    kept.version++;
    *result = BLOBSEAL_SET_STORED;
    return BLOBSEAL_OK;
}

static const uint8_t content[300] = {1, 2, 3};

static enum blobseal_status seal_with(struct blobseal_set *set, struct blobseal_memory *to, struct blobseal_error *err)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .threads = 1};
    struct blobseal_source source;
    struct blobseal_memory from;
    struct blobseal_sink sink;
    struct blobseal_kek *kek = NULL;
    enum blobseal_status st = blobseal_set_kek(set, &kek, err);

    blobseal_source_memory(&source, &from, content, sizeof content);
    blobseal_sink_memory(&sink, to);
    if (st == BLOBSEAL_OK)
        st = blobseal_seal(&sink, &source, &kek, 1, &o, NULL, err);
    blobseal_kek_close(kek);
    return st;
}

static enum blobseal_status open_with(struct blobseal_set *set, const struct blobseal_memory *blob,
                                      struct blobseal_error *err)
{
    struct blobseal_source source;
    struct blobseal_memory from;
    struct blobseal_reader *r = NULL;
    struct blobseal_kek *kek = NULL;
    uint8_t back[sizeof content];
    size_t n = 0;
    enum blobseal_status st = blobseal_set_kek(set, &kek, err);

    blobseal_source_memory(&source, &from, blob->data, blob->len);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&r, &source, &kek, 1, NULL, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_pread(r, back, sizeof back, 0, &n, err);
    if (st == BLOBSEAL_OK && (n != sizeof back || memcmp(back, content, sizeof back) != 0))
        test_support_failed("open a blob of a set");
    blobseal_reader_close(r);
    blobseal_kek_close(kek);
    return st;
}

/* Make a set, seal, and rotate. *@definition is from malloc(). */
static enum blobseal_status make(struct blobseal_memory *blob, char **definition, const struct blobseal_set_options *o,
                                 struct blobseal_error *err)
{
    const struct blobseal_set_new how = {.size = sizeof how, .kek = "vault:k"};
    struct blobseal_set *set = NULL;
    enum blobseal_status st = blobseal_set_create(&set, "s", &how, o, err);

    if (st == BLOBSEAL_OK)
        st = seal_with(set, blob, err);
    vault.newest = 2;
    if (st == BLOBSEAL_OK)
        st = blobseal_set_check(set, NULL, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_set_rekey(set, NULL, err);
    if (st == BLOBSEAL_OK && (*definition = strdup(blobseal_set_definition(set))) == NULL)
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "no memory");
    blobseal_set_close(set);
    return st;
}

/* Open the set again, its blob, and export it. */
static enum blobseal_status use(const struct blobseal_memory *blob, const struct blobseal_set_options *o,
                                struct blobseal_error *err)
{
    struct blobseal_set_info *info = NULL;
    struct blobseal_set *set = NULL;
    char *object = NULL;
    size_t len;
    enum blobseal_status st = blobseal_set_open(&set, "s", o, err);

    if (st == BLOBSEAL_OK)
        st = open_with(set, blob, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_set_info_get(set, NULL, &info, err);
    if (st == BLOBSEAL_OK && info->state == BLOBSEAL_SET_ACTIVE && info->num_keys != 2)
        test_support_failed("describe a set");
    if (st == BLOBSEAL_OK)
        st = blobseal_set_export(set, NULL, &object, &len, err);
    blobseal_free(object);
    blobseal_set_info_free(info);
    blobseal_set_close(set);
    return st;
}

enum blobseal_status set_make_and_use(struct blobseal_error *err)
{
    const struct blobseal_set_store store = {.get = get, .put = put};
    struct blobseal_set_options o = {.size = sizeof o, .store = &store};
    struct blobseal_registry *registry = NULL;
    struct blobseal_memory blob = {0};
    char *definition = NULL;
    enum blobseal_status st = blobseal_registry_new(&registry, err);

    kept.len = 0;
    vault_reset();
    if (st == BLOBSEAL_OK)
        st = blobseal_registry_add(registry, &vault_provider, err);
    o.registry = registry;
    if (st == BLOBSEAL_OK)
        st = make(&blob, &definition, &o, err);
    o.definition = definition;
    if (st == BLOBSEAL_OK)
        st = use(&blob, &o, err);
    blobseal_free(blob.data);
    blobseal_registry_free(registry);
    free(definition);
    return st;
}
