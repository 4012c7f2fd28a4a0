/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS#11 URIs (RFC 7512): parsing those that users write, and writing those of keys that are found. */
#include <stdlib.h>
#include <string.h>

#include "core/base/base.h"
#include "kek/pkcs11/pkcs11.h"

#define SCHEME "pkcs11:"

/* Fill @err for a URI that cannot be used. Return E_CONFIG. */
static enum blobseal_status bad_uri(const struct bs_p11_uri *u, struct blobseal_error *err, const char *why)
{
    return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the key %.150s: %s", u->name, why);
}

/* Set *@path to the file that pin-source names: "file:/path", "file:///path" or "/path". */
static enum blobseal_status pin_file(struct bs_p11_uri *u, const char *source, struct blobseal_error *err)
{
    const char *path = source;

    if (strncmp(path, "file:", 5) == 0)
        path += strncmp(path, "file:///", 8) == 0 ? 7 : 5;
    else if (path[0] != '/') { /* another scheme, such as a program to run (RFC 7512 2.4) */
        (void)bad_uri(u, err, "its pin-source is not a file");
        blobseal_hint(err, "write pin-source=file:PATH; the PIN is the first line of that file");
        return BLOBSEAL_E_CONFIG;
    }
    u->pin_file = strdup(path);
    return u->pin_file != NULL ? BLOBSEAL_OK : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read a key URI: no memory");
}

/* Note the `type` of the URI. */
static enum blobseal_status read_type(struct bs_p11_uri *u, struct blobseal_error *err)
{
    const CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(u->uri, CKA_CLASS);

    if (a == NULL || a->pValue == NULL || a->ulValueLen != sizeof u->type)
        return BLOBSEAL_OK;
    memcpy(&u->type, a->pValue, sizeof u->type);
    u->has_type = true;
    if (u->type == CKO_PUBLIC_KEY || u->type == CKO_PRIVATE_KEY || u->type == CKO_CERTIFICATE)
        return BLOBSEAL_OK;
    return bad_uri(u, err, "its type must be public, private or cert");
}

static enum blobseal_status read_query(struct bs_p11_uri *u, struct blobseal_error *err)
{
    const char *source = p11_kit_uri_get_pin_source(u->uri);
    enum blobseal_status st = BLOBSEAL_OK;

    u->module_path = p11_kit_uri_get_module_path(u->uri);
    u->module_name = p11_kit_uri_get_module_name(u->uri);
    if (p11_kit_uri_get_pin_value(u->uri) != NULL) {
        st = bad_uri(u, err, "it has a pin-value, which other users see in the list of processes");
        blobseal_hint(err, "save the PIN in a file that only you can read, and write pin-source=file:PATH");
    } else if (u->module_path != NULL && u->module_path[0] != '/') {
        st = bad_uri(u, err, "its module-path must start with /");
    } else if (source != NULL) {
        st = pin_file(u, source, err);
    }
    return st;
}

#define TRIES 2 /* memory may be short for a moment, which p11-kit does not always report as such */

/* Parse @text into a new u->uri. Errors: E_NOMEM, E_CONFIG. */
static enum blobseal_status parse(struct bs_p11_uri *u, const char *text, struct blobseal_error *err)
{
    int rc = P11_KIT_URI_NO_MEMORY;

    for (int i = 0; i < TRIES && rc != P11_KIT_URI_OK; i++) {
        if (u->uri != NULL)
            p11_kit_uri_free(u->uri);
        u->uri = p11_kit_uri_new();
        rc = u->uri != NULL ? p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, u->uri) : P11_KIT_URI_NO_MEMORY;
    }
    if (rc == P11_KIT_URI_OK)
        return BLOBSEAL_OK;
    if (rc == P11_KIT_URI_NO_MEMORY || bs_memory_is_exhausted())
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read a key URI: no memory");
    (void)bad_uri(u, err, "it is not a valid PKCS#11 URI");
    blobseal_hint(err, "a URI looks like this, in quotes: 'pkcs11:token=NAME;object=KEY?module-path=/PATH'");
    return BLOBSEAL_E_CONFIG;
}

enum blobseal_status bs_p11_uri_parse(struct bs_p11_uri *u, const char *rest, struct blobseal_error *err)
{
    size_t len = strlen(rest), path_len = strcspn(rest, "?");
    char *text = malloc(sizeof SCHEME + len);
    enum blobseal_status st;

    memset(u, 0, sizeof *u);
    u->name = malloc(sizeof SCHEME + path_len);
    if (text == NULL || u->name == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read a key URI: no memory");
        goto out;
    }
    memcpy(text, SCHEME, sizeof SCHEME - 1);
    memcpy(text + sizeof SCHEME - 1, rest, len + 1);
    memcpy(u->name, text, sizeof SCHEME - 1 + path_len);
    u->name[sizeof SCHEME - 1 + path_len] = '\0';
    if (strstr(u->name, "pin-value") != NULL) /* in the wrong place, but still a secret */
        memcpy(u->name + sizeof SCHEME - 1, "...", 4);
    st = parse(u, text, err);
    if (st == BLOBSEAL_OK && p11_kit_uri_any_unrecognized(u->uri) != 0) {
        st = bad_uri(u, err, "it has an attribute that RFC 7512 does not define");
        blobseal_hint(err, "before the ? are allowed: token, serial, manufacturer, model, object, id, type, slot-id");
    }
    if (st == BLOBSEAL_OK)
        st = read_query(u, err);
    if (st == BLOBSEAL_OK)
        st = read_type(u, err);
out:
    if (text != NULL)
        blobseal_wipe(text, len);
    free(text);
    return st;
}

void bs_p11_uri_clear(struct bs_p11_uri *u)
{
    if (u->uri != NULL)
        p11_kit_uri_free(u->uri);
    free(u->name);
    free(u->pin_file);
    memset(u, 0, sizeof *u);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

bool bs_p11_uri_format(char *out, size_t cap, const struct bs_p11_uri *u, const struct bs_p11_found *found)
{
    CK_ATTRIBUTE label = {CKA_LABEL, (void *)found->label, found->label_len};
    CK_ATTRIBUTE id = {CKA_ID, (void *)found->id, found->id_len};
    P11KitUri *uri = p11_kit_uri_new();
    CK_TOKEN_INFO *token;
    char *text = NULL;
    bool ok = uri != NULL;

    if (ok) {
        token = p11_kit_uri_get_token_info(uri);
        memcpy(token->label, found->slot.token.label, sizeof token->label);
        memcpy(token->serialNumber, found->slot.token.serialNumber, sizeof token->serialNumber);
        if (found->label_len > 0)
            ok = p11_kit_uri_set_attribute(uri, &label) == P11_KIT_URI_OK;
        if (ok && found->id_len > 0)
            ok = p11_kit_uri_set_attribute(uri, &id) == P11_KIT_URI_OK;
        if (u->module_path != NULL)
            p11_kit_uri_set_module_path(uri, u->module_path);
        if (u->module_name != NULL)
            p11_kit_uri_set_module_name(uri, u->module_name);
        ok = ok && p11_kit_uri_format(uri, P11_KIT_URI_FOR_ANY, &text) == P11_KIT_URI_OK && strlen(text) < cap;
    }
    if (ok)
        memcpy(out, text, strlen(text) + 1);
    else
        out[0] = '\0';
    free(text);
    p11_kit_uri_free(uri);
    return ok;
}
