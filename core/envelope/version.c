/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes of later versions. Such an envelope can have members, values and lengths that this version refuses. So a
 * malformed envelope is parsed once more, with any members, to find its version. FORMAT.md section 4.3.
 */
#include <stdlib.h>

#include "core/envelope/envelope.h"

enum blobseal_status bs_other_envelope_version(struct blobseal_error *err, uint64_t version)
{
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "envelope version %llu is not supported",
                         (unsigned long long)version);
}

enum blobseal_status bs_other_envelope_layer(struct blobseal_error *err, uint64_t layer)
{
    return blobseal_fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "envelope layer %llu is not supported",
                         (unsigned long long)layer);
}

/* Move to the value of the first member called @name of the object that comes next. Return false if there is none. */
static bool find_member(struct bs_json *j, const char *name)
{
    struct bs_slice found;

    if (!bs_json_object(j))
        return false;
    while (bs_json_member(j, &found)) {
        if (bs_slice_is(found, name))
            return true;
        if (!bs_json_skip(j))
            return false;
    }
    return false;
}

/* Decode the protected header of the JWE in @text in place. Return false if there is none. */
static bool find_header(uint8_t *text, size_t len, struct bs_slice *header)
{
    struct bs_json j = bs_json_start(text, len);

    return find_member(&j, "protected") && bs_json_string(&j, header) &&
           blobseal_base64url_decode((uint8_t *)header->p, header->len, &header->len, (const char *)header->p,
                                     header->len);
}

/*
 * Find the number @name of the member `bs` of a protected header. Return 1, which this version supports, if it is not
 * there. @work has room for the header, and is overwritten.
 */
static uint64_t find_number(struct bs_slice header, uint8_t *work, const char *name)
{
    struct bs_json j = bs_json_start(work, header.len);
    uint64_t n;

    memcpy(work, header.p, header.len);
    return find_member(&j, "bs") && find_member(&j, name) && bs_json_uint(&j, &n) ? n : 1;
}

enum blobseal_status bs_envelope_check_version(const char *text, size_t len, struct blobseal_error *err)
{
    struct bs_slice header;
    uint64_t version = 1, layer = 1;
    uint8_t *copy;

    if (len == 0 || len > BLOBSEAL_MAX_ENVELOPE)
        return BLOBSEAL_E_FORMAT;
    copy = malloc(2 * len);
    if (copy == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "parse the envelope: no memory");
    memcpy(copy, text, len);
    if (find_header(copy, len, &header)) {
        version = find_number(header, copy + len, "v");
        layer = find_number(header, copy + len, "layer");
    }
    free(copy);
    if (version != 1)
        return bs_other_envelope_version(err, version);
    return layer != 1 ? bs_other_envelope_layer(err, layer) : BLOBSEAL_E_FORMAT;
}
