/* SPDX-License-Identifier: Apache-2.0 */
/* Cases with the keys of layers: annotations, changes, and messages to a key provider. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <blobseal_oci.h>

#include "kek/kek.h"
#include "tests/faults/files.h"

/* Encrypt an empty layer, and wrap its keys in all annotations. */
static enum blobseal_status wrap(struct blobseal_kek *k, struct blobseal_oci_annotations **list,
                                 struct blobseal_error *err)
{
    const struct blobseal_oci_run_options run = {.size = sizeof run, .threads = 1};
    const struct blobseal_oci_wrap_options o = {.size = sizeof o, .provider = true, .pkcs11 = true};
    struct blobseal_oci_layer *layer = NULL;
    struct blobseal_memory in, out = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st = blobseal_oci_layer_new(&layer, err);

    *list = NULL;
    blobseal_source_memory(&source, &in, plain, 0);
    blobseal_sink_memory(&sink, &out);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_encrypt(layer, &source, &sink, &run, NULL, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_wrap(layer, &k, 1, &o, list, err);
    blobseal_oci_layer_free(layer);
    blobseal_free(out.data);
    return st;
}

enum blobseal_status layer_keys(struct blobseal_kek *k, struct blobseal_error *err)
{
    struct blobseal_oci_annotations *list, *changed = NULL;
    const struct blobseal_oci_change change = {.size = sizeof change, .to = &other, .num_to = 1, .replace = true};
    struct blobseal_oci_change_result result = {.size = sizeof result};
    struct blobseal_oci_recipients *recipients = NULL;
    struct blobseal_oci_layer *layer = NULL;
    enum blobseal_status st = wrap(k, &list, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_oci_recipients(list->list, list->num, &recipients, err);
    if (st == BLOBSEAL_OK && recipients->num != 3)
        test_support_failed("list the recipients of a layer");
    /* Each annotation alone, after the public options. */
    for (size_t i = 1; st == BLOBSEAL_OK && i < list->num; i++) {
        const struct blobseal_oci_annotation two[] = {list->list[0], list->list[i]};

        st = blobseal_oci_unwrap(&layer, two, 2, &k, 1, NULL, err);
        blobseal_oci_layer_free(layer);
    }
    if (st == BLOBSEAL_OK)
        st = blobseal_oci_change(list->list, list->num, &k, 1, &change, &changed, &result, err);
    if (st == BLOBSEAL_OK && (!result.changed || result.added != 1 || result.removed != 1))
        test_support_failed("change the recipients of a layer");
    blobseal_oci_recipients_free(recipients);
    blobseal_oci_annotations_free(list);
    blobseal_oci_annotations_free(changed);
    return st;
}

static enum blobseal_status give_key(void *ctx, const char *name, struct blobseal_kek **keks, size_t *num,
                                     struct blobseal_error *err)
{
    (void)name;
    (void)err;
    keks[0] = bs_kek_ref(ctx);
    *num = 1;
    return BLOBSEAL_OK;
}

/* Answer a message, and return the base64 text in the answer, in secret memory. */
static enum blobseal_status ask(struct blobseal_kek *k, const char *format, const char *text, char **answer,
                                struct blobseal_error *err)
{
    const struct blobseal_oci_keyprovider_options o = {.size = sizeof o, .keys = give_key, .keys_ctx = k};
    size_t cap = strlen(format) + strlen(text), len;
    char *message = malloc(cap), *start;
    enum blobseal_status st;

    *answer = NULL;
    if (message == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "no memory");
    len = (size_t)snprintf(message, cap, "%.*s%s%s", (int)(strchr(format, '$') - format), format, text,
                           strchr(format, '$') + 1);
    st = blobseal_oci_keyprovider(message, len, &o, answer, &len, err);
    free(message);
    if (st != BLOBSEAL_OK)
        return st;
    (*answer)[len - 3] = '\0'; /* before the quote and two braces at the end */
    start = strrchr(*answer, '"') + 1;
    memmove(*answer, start, strlen(start) + 1);
    return BLOBSEAL_OK;
}

enum blobseal_status layer_messages(struct blobseal_kek *k, struct blobseal_error *err)
{
    static const char options[] =
        "eyJzeW1rZXkiOiJBQUVDQXdRRkJnY0lDUW9MREEwT0R4QVJFaE1VRlJZWEdCa2FHeHdkSGg4PSIsImRpZ2VzdCI6IiIs"
        "ImNpcGhlcm9wdGlvbnMiOnsibm9uY2UiOiJBQUVDQXdRRkJnY0lDUW9MREEwT0R3PT0ifX0=";
    static const char wrap_text[] = "{\"op\":\"keywrap\",\"keywrapparams\":{\"ec\":{\"Parameters\":{\"blobseal\":"
                                    "[\"dGVhbQ==\"]}},\"optsdata\":\"$\"}}";
    static const char unwrap_text[] = "{\"op\":\"keyunwrap\",\"keyunwrapparams\":{\"dc\":null,\"annotation\":\"$\"}}";
    char *annotation = NULL, *back = NULL;
    enum blobseal_status st = ask(k, wrap_text, options, &annotation, err);

    if (st == BLOBSEAL_OK)
        st = ask(k, unwrap_text, annotation, &back, err);
    if (st == BLOBSEAL_OK && strcmp(back, options) != 0)
        test_support_failed("answer messages to the key provider");
    blobseal_secret_free(annotation);
    blobseal_secret_free(back);
    return st;
}
