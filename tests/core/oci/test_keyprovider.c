/* SPDX-License-Identifier: Apache-2.0 */
/* The key-provider protocol: messages that skopeo sent, with our name, and what a message cannot make this process do.
 */
#include "tests/core/oci/keys.h"

SUITE(keyprovider);

static struct blobseal_error err;

/* What the program was asked for. */
static char asked[256];

/* A program that allows the names "team" and "backup", and nothing else. */
static enum blobseal_status keys(void *ctx, const char *name, struct blobseal_kek **keks, size_t *num,
                                 struct blobseal_error *e)
{
    size_t n = 0;

    (void)ctx;
    (void)snprintf(asked + strlen(asked), sizeof asked - strlen(asked), "%s;", name != NULL ? name : "*");
    if (name == NULL || strcmp(name, "team") == 0)
        keks[n++] = vector_key("priv.pem");
    if (name == NULL || strcmp(name, "backup") == 0)
        keks[n++] = vector_key("priv2.pem");
    *num = n;
    return n > 0 ? BLOBSEAL_OK : blobseal_fail(e, BLOBSEAL_E_POLICY, 0, "the key %s may not be used", name);
}

/* Answer a message. Returns a copy of the answer, to be released with free(), or NULL. */
static char *answer(const char *message, enum blobseal_status *st)
{
    const struct blobseal_oci_keyprovider_options o = {.size = sizeof o, .keys = keys};
    size_t len = strlen(message), reply_len;
    char *request = malloc(len + 1), *reply, *copy = NULL;

    memcpy(request, message, len + 1);
    memset(&err, 0, sizeof err);
    asked[0] = '\0';
    *st = blobseal_oci_keyprovider(request, len, &o, &reply, &reply_len, &err);
    cr_assert(bs_all_zero((const uint8_t *)request, len), "the message was not wiped");
    cr_assert_eq(reply != NULL, *st == BLOBSEAL_OK);
    if (reply != NULL) {
        cr_assert_eq(strlen(reply), reply_len);
        copy = strdup(reply);
    }
    blobseal_secret_free(reply);
    free(request);
    return copy;
}

static enum blobseal_status outcome(const char *message)
{
    enum blobseal_status st;

    free(answer(message, &st));
    return st;
}

/* Return @text in base64. */
static char *base64(const char *text)
{
    size_t cap = BS_BASE64_LEN(strlen(text)) + 1;
    struct bs_builder w = bs_builder_start(malloc(cap), cap);

    bs_put_base64(&w, text, strlen(text));
    w.p[w.len] = '\0';
    return (char *)w.p;
}

/* The message that skopeo 1.18 sent for keywrap, with one value for our name in addition to the one that it had. */
static char *wrap_message(const char *value)
{
    struct vec_bytes file = vec_read("ocicrypt/keyprovider/1-keywrap.stdin.json");
    const char *at = strstr((const char *)file.p, "{\"demo\":");
    char *encoded = base64(value), *text = malloc(file.len + strlen(encoded) + 64);
    int n;

    cr_assert_not_null(at);
    n = sprintf(text, "%.*s", (int)(at - (const char *)file.p), (const char *)file.p);
    n += sprintf(text + n, "{\"blobseal\":[\"%s\"],\"demo\":", encoded);
    (void)sprintf(text + n, "%s", at + strlen("{\"demo\":"));
    free(encoded);
    free(file.p);
    return text;
}

/* The private options in that message, in base64. */
static const char *optsdata(void)
{
    static char text[512];
    json_t *file = vec_json("ocicrypt/keyprovider/1-keywrap.stdin.json");

    (void)snprintf(text, sizeof text, "%s", vec_text(json_object_get(file, "keywrapparams"), "optsdata"));
    json_decref(file);
    return text;
}

/* Wrap for the key with a value, and return the annotation in base64. */
static char *wrapped_for(const char *value)
{
    char *message = wrap_message(value), *reply, *annotation;
    enum blobseal_status st;
    json_t *json;

    reply = answer(message, &st);
    cr_assert_eq(st, BLOBSEAL_OK, "%s", err.text);
    json = json_loads(reply, 0, NULL);
    annotation = strdup(vec_text(json_object_get(json, "keywrapresults"), "annotation"));
    json_decref(json);
    free(reply);
    free(message);
    return annotation;
}

/* The message for keyunwrap. @annotation is JSON; @value may be NULL. */
static char *unwrap_message(const char *annotation, const char *value)
{
    char *encoded = base64(value != NULL ? value : ""), *text = malloc(strlen(annotation) + strlen(encoded) + 512);

    (void)sprintf(text,
                  "{\"op\":\"keyunwrap\",\"keywrapparams\":{\"ec\":null,\"optsdata\":null},\"keyunwrapparams\":"
                  "{\"dc\":{\"Parameters\":{\"privkeys\":[\"c2VjcmV0\"]%s%s%s}},\"annotation\":%s}}",
                  value != NULL ? ",\"blobseal\":[\"" : "", encoded, value != NULL ? "\"]" : "", annotation);
    free(encoded);
    return text;
}

static enum blobseal_status unwraps(const char *annotation, const char *value)
{
    char *message = unwrap_message(annotation, value), *reply, expected[1024];
    enum blobseal_status st;

    reply = answer(message, &st);
    (void)snprintf(expected, sizeof expected, "{\"keyunwrapresults\":{\"optsdata\":\"%s\"}}", optsdata());
    cr_assert(st != BLOBSEAL_OK || strcmp(reply, expected) == 0, "%s", reply);
    free(message);
    free(reply);
    return st;
}

Test(keyprovider, unwraps_exactly_what_it_wrapped)
{
    char *annotation = wrapped_for("team"), text[8192];

    cr_assert_str_eq(asked, "team;");
    (void)snprintf(text, sizeof text, "\"%s\"", annotation);
    cr_assert_eq(unwraps(text, "team"), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(unwraps(text, NULL), BLOBSEAL_OK, "%s", err.text);
    cr_assert_str_eq(asked, "*;");
    cr_assert_eq(unwraps(text, "Enabled"), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(unwraps(text, "backup"), BLOBSEAL_E_NO_KEY);
    free(annotation);
}

Test(keyprovider, bytes_may_be_arrays_of_numbers)
{
    char *annotation = wrapped_for("Enabled"), *text = malloc(5 * strlen(annotation) + 3);
    size_t len = strlen(annotation), n = 0;

    cr_assert(bs_base64_decode((uint8_t *)annotation, &len));
    for (size_t i = 0; i < len; i++)
        n += (size_t)sprintf(text + n, "%s%u", i == 0 ? "[" : ",", (uint8_t)annotation[i]);
    (void)sprintf(text + n, "]");
    cr_assert_eq(unwraps(text, "backup"), BLOBSEAL_OK, "%s", err.text);
    free(annotation);
    free(text);
}

Test(keyprovider, keys_in_the_message_are_used)
{
    struct vec_bytes public = vec_read("ocicrypt/keys/pub4096.pem"), private = vec_read("ocicrypt/keys/priv4096.pem");
    char *annotation = wrapped_for((const char *)public.p), text[8192];

    cr_assert_str_eq(asked, "");
    (void)snprintf(text, sizeof text, "\"%s\"", annotation);
    cr_assert_eq(unwraps(text, (const char *)private.p), BLOBSEAL_OK, "%s", err.text);
    cr_assert_str_eq(asked, "");
    cr_assert_eq(unwraps(text, "team"), BLOBSEAL_E_NO_KEY);
    free(annotation);
    free(public.p);
    free(private.p);
}

Test(keyprovider, a_message_cannot_choose_a_reference)
{
    static const char *const values[] = {
        "file:/etc/blobseal/kek.pem",
        "/etc/blobseal/kek.pem",
        "../kek.pem",
        "pkcs11:token=a;object=b?module-path=/tmp/evil.so",
        "https://evil.vault.azure.net/keys/k",
        "key:team",
        "set:team",
        "",
        ".",
        "-k",
        "team ",
        "team\n",
        "a234567890a234567890a234567890a234567890a234567890a234567890a2345",
        "pkcs11:\n  uri: pkcs11:token=a\nmodule:\n  env:\n    A: b\n",
        " -----BEGIN PUBLIC KEY-----",
    };

    for (size_t i = 0; i < BS_COUNT(values); i++) {
        char *message = wrap_message(values[i]);

        cr_assert_eq(outcome(message), BLOBSEAL_E_POLICY, "%s", values[i]);
        cr_assert_str_eq(asked, "");
        cr_assert(values[i][0] == '\0' || strstr(err.text, values[i]) == NULL, "the message is repeated");
        free(message);
    }
}

Test(keyprovider, a_name_that_the_program_refuses_is_refused)
{
    char *message = wrap_message("kek.pem");

    cr_assert_eq(outcome(message), BLOBSEAL_E_POLICY);
    cr_assert_str_eq(asked, "kek.pem;");
    free(message);
}

/* The message for keyunwrap with an annotation that is a file of tests/vectors/oci. */
static enum blobseal_status unwrap_vector(const char *name)
{
    struct vec_bytes pem = vec_read("format/kek1.pem"), file = vec_read(name);
    char *jwe = base64(strstr((const char *)file.p, "\n\n") + 2), *text = malloc(strlen(jwe) + 3), *message;
    enum blobseal_status st;

    (void)sprintf(text, "\"%s\"", jwe);
    message = unwrap_message(text, (const char *)pem.p);
    st = outcome(message);
    free(message);
    free(text);
    free(jwe);
    free(pem.p);
    free(file.p);
    return st;
}

Test(keyprovider, other_kinds_of_jwes_are_refused)
{
    cr_assert_eq(unwrap_vector("oci/ok-one.vec"), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(unwrap_vector("oci/unsupported-typ-blobseal.vec"), BLOBSEAL_E_UNSUPPORTED);
    cr_assert_eq(unwrap_vector("oci/auth-tag.vec"), BLOBSEAL_E_AUTH);
    cr_assert_eq(unwrap_vector("keys/ok-one.vec"), BLOBSEAL_E_FORMAT);
    cr_assert_eq(unwrap_vector("oci/no-key-other.vec"), BLOBSEAL_E_NO_KEY);
}

Test(keyprovider, malformed_messages_are_refused)
{
    static const char *const malformed[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"op\":\"keywrap\"}",
        "{\"op\":\"keywrap\",\"op\":\"keyunwrap\"}",
        "{\"op\":\"keywrap\",\"keywrapparams\":null,\"keyunwrapparams\":null}",
        "{\"op\":\"keywrap\",\"keywrapparams\":{\"ec\":null,\"optsdata\":\"***\"}}",
        "{\"op\":\"keywrap\",\"keywrapparams\":{\"ec\":null,\"optsdata\":[256]}}",
        "{\"op\":\"keywrap\",\"keywrapparams\":{\"ec\":null,\"optsdata\":[-1]}}",
        "{\"op\":\"keywrap\",\"keywrapparams\":{\"ec\":{\"Parameters\":{\"blobseal\":\"dGVhbQ==\"}},\"optsdata\":\"e30="
        "\"}}",
        /* not private options */
        "{\"op\":\"keywrap\",\"keywrapparams\":{\"ec\":{\"Parameters\":{\"blobseal\":[\"dGVhbQ==\"]}},\"optsdata\":"
        "\"e30=\"}}",
        "{\"op\":\"keyunwrap\",\"keyunwrapparams\":{\"dc\":null,\"annotation\":\"e30=\"}}",
    };

    for (size_t i = 0; i < BS_COUNT(malformed); i++)
        cr_assert_eq(outcome(malformed[i]), BLOBSEAL_E_FORMAT, "%s: %s", malformed[i], err.text);
    cr_assert_eq(outcome("{\"op\":\"keysteal\"}"), BLOBSEAL_E_UNSUPPORTED);
}

Test(keyprovider, without_a_key_to_wrap_for_nothing_is_wrapped)
{
    char message[2048];

    (void)snprintf(message, sizeof message,
                   "{\"op\":\"keywrap\",\"keywrapparams\":{\"ec\":{\"Parameters\":{\"demo\":[\"dGVhbQ==\"]}},"
                   "\"optsdata\":\"%s\"}}",
                   optsdata());
    cr_assert_eq(outcome(message), BLOBSEAL_E_CONFIG);
    cr_assert_str_eq(asked, "");
}
