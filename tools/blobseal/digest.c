/* SPDX-License-Identifier: Apache-2.0 */
/* The option --digest: which digests are computed along with the work, and how they are shown. */
#include <string.h>

#include "tools/blobseal/verbs.h"

static const struct {
    const char *name, *member;
    uint32_t bit;
} digests[] = {
    {"core", "core_sha256", BLOBSEAL_DIGEST_CORE},
    {"output", "output_sha256", BLOBSEAL_DIGEST_OUTPUT},
    {"plain", "plain_sha256", BLOBSEAL_DIGEST_PLAIN},
};

#define NUM_DIGESTS (sizeof digests / sizeof digests[0])

/* Return the bit of the digest that is named by @len characters, or 0. */
static uint32_t bit_of(const char *name, size_t len)
{
    for (size_t i = 0; i < NUM_DIGESTS; i++)
        if (strlen(digests[i].name) == len && memcmp(digests[i].name, name, len) == 0)
            return digests[i].bit;
    return 0;
}

int digest_option(const struct ui *ui, const char *arg, uint32_t *wanted)
{
    const char *at = arg != NULL ? arg : "core";

    for (size_t len;; at += len + 1) {
        uint32_t bit;

        len = strcspn(at, ",");
        bit = bit_of(at, len);
        if (bit == 0)
            return usage_error(ui, "--digest takes core, output and plain, separated by commas, not %s", arg);
        *wanted |= bit;
        if (at[len] == '\0')
            return EXIT_OK;
    }
}

/* Write a digest in hexadecimal. Return @hex. */
static const char *to_hex(char hex[2 * BLOBSEAL_SHA256_LEN + 1], const struct blobseal_digests *d, uint32_t bit)
{
    const uint8_t *p = bit == BLOBSEAL_DIGEST_CORE
                           ? d->core_sha256
                           : (bit == BLOBSEAL_DIGEST_OUTPUT ? d->output_sha256 : d->plain_sha256);

    for (size_t i = 0; i < BLOBSEAL_SHA256_LEN; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", p[i]);
    return hex;
}

void digest_json(struct json *j, const struct blobseal_digests *d)
{
    char hex[2 * BLOBSEAL_SHA256_LEN + 1];

    for (size_t i = 0; i < NUM_DIGESTS; i++)
        if ((d->computed & digests[i].bit) != 0)
            json_text(j, digests[i].member, to_hex(hex, d, digests[i].bit));
}

void digest_print(FILE *to, const struct blobseal_digests *d, const char *name)
{
    char hex[2 * BLOBSEAL_SHA256_LEN + 1], shown[320];

    for (size_t i = 0; i < NUM_DIGESTS; i++)
        if ((d->computed & digests[i].bit) != 0)
            fprintf(to, "%s: %s sha256:%s\n", printable(shown, sizeof shown, name), digests[i].name,
                    to_hex(hex, d, digests[i].bit));
}
