/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload that containerd passes to a stream processor: a protobuf message of the type Any, whose value is JSON
 * with the descriptor of the layer and the keys that the client sent.
 */
#include "core/oci/keys.h"

#define TYPE_URL        "io.containerd.ocicrypt.v1.Payload"
#define MAX_KEYS        64
#define MAX_ANNOTATIONS 1000

static enum blobseal_status malformed(struct blobseal_error *err, const char *what)
{
    return blobseal_fail(err, BLOBSEAL_E_FORMAT, 0, "malformed payload of containerd: %s", what);
}

/* The payload, and the memory that it points into, in one allocation of secret memory. */
struct memory {
    struct blobseal_oci_payload payload;
    struct blobseal_oci_annotation annotations[MAX_ANNOTATIONS];
    struct blobseal_oci_payload_key keys[MAX_KEYS];
    size_t num_keys, num_passphrases;
    struct bs_slice key_values[MAX_KEYS], passphrases[MAX_KEYS];
    uint8_t text[];
};

/* ---- The protobuf message ---------------------------------------------------------------------------------------- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Read a number of up to 64 bits, seven bits in each byte, the lowest first. */
static uint64_t take_varint(struct bs_parser *p)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = bs_take8(p);

        v |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0)
            return v;
    }
    p->ok = false;
    return 0;
}

/* Read the next field. Only fields of bytes have a value. */
static void take_field(struct bs_parser *p, uint64_t *number, struct bs_slice *value)
{
    uint64_t tag = take_varint(p), len;

    *number = tag >> 3;
    *value = (struct bs_slice){0};
    switch (tag & 7) {
    case WIRE_VARINT:
        (void)take_varint(p);
        break;
    case WIRE_64:
        (void)bs_take(p, 8);
        break;
    case WIRE_32:
        (void)bs_take(p, 4);
        break;
    case WIRE_BYTES:
        len = take_varint(p);
        if (len <= p->left)
            *value = (struct bs_slice){bs_take(p, (size_t)len), (size_t)len};
        else
            p->ok = false;
        break;
    default:
        p->ok = false;
    }
}

/* Find the JSON in the message. */
static enum blobseal_status find_value(struct bs_slice *json, const void *bytes, size_t len, struct blobseal_error *err)
{
    struct bs_parser p = bs_parser_start(bytes, len);
    struct bs_slice type = {0}, value;
    uint64_t number;

    *json = (struct bs_slice){0};
    while (p.ok && p.left > 0) {
        take_field(&p, &number, &value);
        if (number == 1)
            type = value;
        else if (number == 2)
            *json = value;
    }
    if (!p.ok || type.p == NULL || json->p == NULL)
        return malformed(err, "it is not a protobuf message of the type Any");
    return bs_slice_is(type, TYPE_URL) ? BLOBSEAL_OK
                                       : blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0,
                                                       "the payload of containerd is not of the type %s", TYPE_URL);
}

/* ---- The JSON ---------------------------------------------------------------------------------------------------- */

/* Read a list of bytes, once. */
static void read_values(struct bs_json *j, struct bs_slice *list, size_t *num)
{
    if (*num != 0)
        j->ok = false;
    *num = MAX_KEYS;
    bs_oci_read_list(j, list, num);
}

static void read_parameter(void *ctx, struct bs_slice name, struct bs_json *j)
{
    struct memory *m = ctx;

    if (bs_slice_is(name, "privkeys"))
        read_values(j, m->key_values, &m->num_keys);
    else if (bs_slice_is(name, "privkeys-passwords"))
        read_values(j, m->passphrases, &m->num_passphrases);
    else
        bs_json_skip(j);
}

static void read_annotations(struct bs_json *j, struct memory *m)
{
    struct bs_slice name, value;

    if (bs_json_null(j))
        return;
    bs_json_object(j);
    while (bs_json_member(j, &name)) {
        bool room = m->payload.num_annotations < MAX_ANNOTATIONS;

        if (!bs_json_string(j, &value))
            return;
        /* Neither may contain a zero byte, because C strings end there. */
        if (!room || memchr(name.p, 0, name.len) != NULL || memchr(value.p, 0, value.len) != NULL) {
            j->ok = false;
            return;
        }
        m->annotations[m->payload.num_annotations++] =
            (struct blobseal_oci_annotation){(const char *)name.p, (const char *)value.p};
    }
}

static void read_descriptor(struct bs_json *j, struct memory *m)
{
    struct bs_slice name, value;

    bs_json_object(j);
    while (bs_json_member(j, &name)) {
        if (bs_slice_is(name, "mediaType") && bs_json_string(j, &value))
            m->payload.media_type = (const char *)value.p;
        else if (bs_slice_is(name, "digest") && bs_json_string(j, &value))
            m->payload.digest = (const char *)value.p;
        else if (bs_slice_is(name, "size"))
            bs_json_uint(j, &m->payload.size);
        else if (bs_slice_is(name, "annotations"))
            read_annotations(j, m);
        else if (j->ok)
            bs_json_skip(j);
    }
}

/* Parse the JSON in place. */
static bool parse(struct memory *m, size_t len)
{
    struct bs_json j = bs_json_start(m->text, len);
    struct bs_slice name;
    bool descriptor = false;

    j.lenient = true;
    bs_json_object(&j);
    while (bs_json_member(&j, &name)) {
        if (bs_slice_is(name, "DecryptConfig")) {
            bs_oci_read_parameters(&j, read_parameter, m);
        } else if (bs_slice_is(name, "Descriptor") && !descriptor) {
            descriptor = true;
            read_descriptor(&j, m);
        } else if (!bs_slice_is(name, "Descriptor")) {
            bs_json_skip(&j);
        } else {
            return false;
        }
    }
    return bs_json_end(&j) && descriptor;
}

enum blobseal_status blobseal_oci_payload_read(struct blobseal_oci_payload **payload, const void *bytes, size_t len,
                                               struct blobseal_error *err)
{
    struct bs_slice json;
    struct memory *m;
    enum blobseal_status st;

    *payload = NULL;
    if (len > BLOBSEAL_OCI_MAX_MESSAGE)
        return malformed(err, "it is longer than 4 MiB");
    st = find_value(&json, bytes, len, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (json.p == NULL)
        return malformed(err, "it has no value");
    m = blobseal_secret_alloc(sizeof *m + json.len + 1);
    if (m == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the payload of containerd: no memory");
    memset(m, 0, sizeof *m);
    m->payload = (struct blobseal_oci_payload){
        .media_type = "", .digest = "", .size = BLOBSEAL_SIZE_UNKNOWN, .annotations = m->annotations, .keys = m->keys};
    memcpy(m->text, json.p, json.len);
    if (!parse(m, json.len)) {
        blobseal_secret_free(m);
        return malformed(err, "its value is not JSON with a descriptor, or has too many members");
    }
    m->payload.num_keys = m->num_keys;
    for (size_t i = 0; i < m->num_keys; i++) {
        const struct bs_slice key = m->key_values[i];
        const struct bs_slice pass = i < m->num_passphrases ? m->passphrases[i] : (struct bs_slice){0};

        m->keys[i] = (struct blobseal_oci_payload_key){(const char *)key.p, key.len, (const char *)pass.p, pass.len};
    }
    *payload = &m->payload;
    return BLOBSEAL_OK;
}

void blobseal_oci_payload_free(struct blobseal_oci_payload *payload)
{
    blobseal_secret_free(payload); /* the first member of the allocation */
}
