/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a layer is ciphertext, as far as that can be seen without a key. A media type is only a claim. Ciphertext
 * looks random, and starts like no known format; what fails this test is certainly not encrypted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/oci.h"

#define SAMPLE_BYTES (64U << 10)
#define FEW_BYTES    4096U /* of less, the counts of bytes say too little */

/* Return the name of the format that a file starts like, or NULL. All of them have at least 24 bits that are fixed. */
static const char *format_of(const uint8_t *p, size_t len)
{
    static const struct {
        size_t offset, len;
        const char *magic, *name;
    } formats[] = {
        {0, 4, "\x28\xB5\x2F\xFD", "zstd"},
        {0, 6,
         "\xFD"
         "7zXZ\0",
         "xz"},
        {0, 3, "BZh", "bzip2"},
        {257, 5, "ustar", "tar"},
        {0, 4, "QFI\xFB", "qcow2"},
        {0, 4, "PK\x03\x04", "zip"},
        {0, 4,
         "\x7F"
         "ELF",
         "ELF"},
        {0, 4, "hsqs", "squashfs"},
        {0, 4, "GGUF", "GGUF"},
    };

    if (len >= 10 && p[0] == 0x1F && p[1] == 0x8B && p[2] == 8 && (p[3] & 0xE0) == 0)
        return "gzip";
    for (size_t i = 0; i < COUNT(formats); i++)
        if (len >= formats[i].offset + formats[i].len &&
            memcmp(p + formats[i].offset, formats[i].magic, formats[i].len) == 0)
            return formats[i].name;
    return NULL;
}

/*
 * Return true unless the counts of byte values are those of random bytes. Their chi-square has 255 degrees of freedom,
 * so a standard deviation of 22.6; random bytes exceed this limit of 13 deviations less than once in 10^20 layers.
 */
static bool is_uneven(const uint8_t *p, size_t len)
{
    double expected = (double)len / 256, sum = 0;
    size_t counts[256] = {0};

    if (len < FEW_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        counts[p[i]]++;
    for (size_t i = 0; i < COUNT(counts); i++)
        sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    return sum > 255 + 13 * 22.6;
}

/* Return true for at least 64 bytes without any that is 128 or more: one in 10^19 layers of random bytes is like that.
 */
static bool is_text(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] >= 0x80)
            return false;
    return len >= 64;
}

/* Read the start of a file. */
static bool sample(int fd, uint8_t *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    ssize_t n;

    *len = 0;
    do {
        n = pread(fd, buf + *len, cap - *len, (off_t)*len);
        if (n > 0)
            *len += (size_t)n;
    } while ((n > 0 && *len < cap) || (n < 0 && errno == EINTR));
    return n >= 0 || fail(err, BLOBSEAL_E_INPUT, errno, "read a layer");
}

/* Judge the content. */
static const char *judge_content(const struct oci_layer *layer, int fd, struct blobseal_error *err)
{
    uint8_t *buf = malloc(SAMPLE_BYTES);
    const char *doubt = NULL;
    size_t len = 0;

    if (buf == NULL || !sample(fd, buf, SAMPLE_BYTES, &len, err))
        doubt = "it cannot be read";
    else if (format_of(buf, len) != NULL)
        doubt = "its content starts like a file of a known format";
    else if (is_uneven(buf, len) || is_text(buf, len))
        doubt = "its content does not look random";
    else if (!oci_copy(fd, -1, &layer->d, err))
        doubt = "its content does not have its digest";
    free(buf);
    return doubt;
}

/* Judge the annotations. */
static const char *judge_keys(const struct oci_layer *layer, struct blobseal_error *err)
{
    struct blobseal_oci_recipients *recipients = NULL;
    struct oci_annotations a;
    const char *doubt = NULL;

    if (!oci_annotations_get(&a, layer->descriptor, err) ||
        blobseal_oci_recipients(a.list, a.num, &recipients, err) != BLOBSEAL_OK)
        doubt = "its annotations are malformed";
    else if (!recipients->has_cipher)
        doubt = "its annotations name no known cipher";
    else if (recipients->num == 0)
        doubt = "its annotations name no recipient";
    for (size_t i = 0; doubt == NULL && i < recipients->num; i++)
        if (recipients->list[i].malformed)
            doubt = "the key of a recipient is malformed";
    blobseal_oci_recipients_free(recipients);
    free(a.list);
    return doubt;
}

const char *oci_doubt_place(const json_t *descriptor)
{
    if (json_object_get(descriptor, "data") == NULL && json_object_get(descriptor, "urls") == NULL)
        return NULL;
    return "its descriptor has a copy of the content, or an address of one";
}

const char *oci_doubt(const struct oci_layer *layer, int fd, struct blobseal_error *err)
{
    const char *doubt = NULL;

    if (!layer->encrypted)
        return "its media type is that of a layer in clear";
    doubt = judge_keys(layer, err);
    return doubt != NULL || fd < 0 ? doubt : judge_content(layer, fd, err);
}
