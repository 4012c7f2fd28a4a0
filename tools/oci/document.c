/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents of an image layout, and what their descriptors say. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "tools/oci/oci.h"

/* A value takes up to 130 bytes of memory when parsed, and as little as three characters of text. */
#define FREE_VALUES ((size_t)1 << 16)
#define MIN_BYTES   16 /* of text for each value after the first ones: those of descriptors take 30 and more */

/* ---- Documents --------------------------------------------------------------------------------------------------- */

/* Return true if a text may have too many values for its length. Characters in strings are counted as well. */
static bool has_too_many_values(const char *text, size_t len)
{
    size_t num = 0;

    for (size_t i = 0; i < len; i++)
        num += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return num > FREE_VALUES + len / MIN_BYTES;
}

json_t *oci_parse(const char *text, size_t len, const char *name, struct blobseal_error *err)
{
    json_error_t why;
    json_t *document;
    enum json_error_code code;

    if (has_too_many_values(text, len)) {
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "read %.160s: it has too many values", name);
        return NULL;
    }
    document = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (document != NULL && json_is_object(document))
        return document;
    code = document == NULL ? json_error_code(&why) : json_error_unknown;
    if (document != NULL)
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "read %.160s: it is no JSON object", name);
    else if (code == json_error_out_of_memory)
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "read %.160s: no memory", name);
    else if (code == json_error_numeric_overflow)
        (void)fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "read %.160s: a number in it does not fit 64 bits", name);
    else if (code == json_error_duplicate_key)
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "read %.160s: a member appears twice in line %d", name, why.line);
    else
        (void)fail(err, BLOBSEAL_E_FORMAT, 0, "read %.160s: not valid JSON in line %d", name, why.line);
    json_decref(document);
    return NULL;
}

bool oci_print(const json_t *document, char **text, size_t *len, struct blobseal_error *err)
{
    *text = json_dumps(document, JSON_COMPACT);
    *len = *text != NULL ? strlen(*text) : 0;
    return *text != NULL || fail(err, BLOBSEAL_E_NOMEM, 0, "write a manifest: no memory");
}

const char *oci_string(const json_t *value, const char *name)
{
    return json_string_value(json_object_get(value, name));
}

/* ---- Digests ----------------------------------------------------------------------------------------------------- */

const char *oci_digest(char out[OCI_DIGEST_LEN], const uint8_t sha256[BLOBSEAL_SHA256_LEN])
{
    static const char hex[] = "0123456789abcdef";
    size_t n = strlen("sha256:");

    memcpy(out, "sha256:", n);
    for (size_t i = 0; i < BLOBSEAL_SHA256_LEN; i++) {
        out[n++] = hex[sha256[i] >> 4];
        out[n++] = hex[sha256[i] & 0x0F];
    }
    out[n] = '\0';
    return out;
}

bool oci_digest_of(char out[OCI_DIGEST_LEN], const void *data, size_t len, struct blobseal_error *err)
{
    uint8_t sha256[BLOBSEAL_SHA256_LEN];

    if (EVP_Digest(data, len, sha256, NULL, EVP_sha256(), NULL) != 1)
        return fail(err, BLOBSEAL_E_INTERNAL, 0, "compute a digest: OpenSSL failed");
    (void)oci_digest(out, sha256);
    return true;
}

/* Return true for "algorithm:encoded" of the image specification, in lower case. */
static bool looks_like_digest(const char *text)
{
    size_t algorithm = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+._-"), encoded;

    if (algorithm == 0 || algorithm > 32 || text[algorithm] != ':')
        return false;
    encoded = strspn(text + algorithm + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=_-");
    return encoded >= 32 && encoded <= 256 && text[algorithm + 1 + encoded] == '\0';
}

static bool read_digest(const char *text, struct oci_descriptor *d, const char *where, struct blobseal_error *err)
{
    static const char prefix[] = "sha256:";
    size_t n = sizeof prefix - 1;

    if (text != NULL && strncmp(text, prefix, n) == 0 && strlen(text) == OCI_DIGEST_LEN - 1 &&
        strspn(text + n, "0123456789abcdef") == OCI_DIGEST_LEN - 1 - n) {
        memcpy(d->digest, text, OCI_DIGEST_LEN);
        return true;
    }
    if (text != NULL && strncmp(text, prefix, n) != 0 && looks_like_digest(text))
        return fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "%.120s names a blob by %.100s: only sha256 is supported", where,
                    text);
    return fail(err, BLOBSEAL_E_FORMAT, 0, "a descriptor in %.160s has no valid digest", where);
}

/* ---- Descriptors ------------------------------------------------------------------------------------------------- */

/* Return true for a media type of characters that need no quotes anywhere. */
static bool is_media_type(const char *text)
{
    size_t len = strlen(text), main_part = strcspn(text, "/");

    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"\\,<>()[]@?", text[i]) != NULL)
            return false;
    return len <= OCI_MAX_MEDIA_TYPE && main_part > 0 && main_part + 1 < len;
}

bool oci_descriptor_read(const json_t *value, struct oci_descriptor *d, const char *where, struct blobseal_error *err)
{
    const json_t *size = json_object_get(value, "size"), *annotations = json_object_get(value, "annotations");
    const char *media_type = oci_string(value, "mediaType"), *name;
    json_t *text;

    *d = (struct oci_descriptor){.size = 0};
    if (!json_is_object(value))
        return fail(err, BLOBSEAL_E_FORMAT, 0, "a descriptor in %.160s is no object", where);
    if (!read_digest(oci_string(value, "digest"), d, where, err))
        return false;
    if (media_type == NULL || !is_media_type(media_type))
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.100s: the descriptor of %s has no valid media type", where,
                    d->digest);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.100s: the descriptor of %s has no valid size", where, d->digest);
    if (annotations != NULL && !json_is_object(annotations))
        return fail(err, BLOBSEAL_E_FORMAT, 0, "%.100s: the annotations of %s are no object", where, d->digest);
    json_object_foreach((json_t *)annotations, name, text)
    {
        if (!json_is_string(text))
            return fail(err, BLOBSEAL_E_FORMAT, 0, "%.100s: an annotation of %s is no text", where, d->digest);
    }
    memcpy(d->media_type, media_type, strlen(media_type) + 1);
    d->size = (uint64_t)json_integer_value(size);
    return true;
}

bool oci_is_encrypted(const char *media_type)
{
    size_t len = strlen(media_type), suffix = strlen(OCI_ENCRYPTED);

    return len > suffix && strcmp(media_type + len - suffix, OCI_ENCRYPTED) == 0;
}
