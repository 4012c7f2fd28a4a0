/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of other programs: bytes in base64, as Go writes them, or in arrays of numbers, as Rust does; parameters. */
#include "core/oci/keys.h"

/* Read an array of numbers from 0 to 255. Each takes at least two characters, so the bytes fit where the text is. */
static bool read_numbers(struct bs_json *j, struct bs_slice *out)
{
    uint8_t *start = j->p, *at = start;
    uint64_t n;

    bs_json_array(j);
    while (bs_json_element(j)) {
        if (!bs_json_uint(j, &n) || n > 255) {
            j->ok = false;
            return false;
        }
        *at++ = (uint8_t)n;
    }
    *out = (struct bs_slice){start, (size_t)(at - start)};
    return j->ok;
}

bool bs_oci_read_bytes(struct bs_json *j, struct bs_slice *out)
{
    size_t len;

    *out = (struct bs_slice){0};
    if (bs_json_null(j))
        return true;
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\r' || *j->p == '\n'))
        j->p++;
    if (j->p < j->end && *j->p == '[')
        return read_numbers(j, out);
    if (!bs_json_string(j, out))
        return false;
    len = out->len;
    if (!bs_base64_decode((uint8_t *)out->p, &len))
        j->ok = false;
    out->len = len;
    return j->ok;
}

bool bs_oci_read_list(struct bs_json *j, struct bs_slice *list, size_t *num)
{
    const size_t max = *num;

    *num = 0;
    if (bs_json_null(j))
        return true;
    bs_json_array(j);
    while (bs_json_element(j)) {
        if (*num == max) {
            j->ok = false;
            return false;
        }
        if (!bs_oci_read_bytes(j, &list[*num]))
            return false;
        ++*num;
    }
    return j->ok;
}

void bs_oci_read_parameters(struct bs_json *j, bs_oci_parameter_fn fn, void *ctx)
{
    struct bs_slice name;

    if (bs_json_null(j))
        return;
    bs_json_object(j);
    while (bs_json_member(j, &name)) {
        if (!bs_slice_is(name, "Parameters")) {
            bs_json_skip(j);
            continue;
        }
        if (bs_json_null(j))
            continue;
        bs_json_object(j);
        while (bs_json_member(j, &name))
            fn(ctx, name, j);
    }
}
