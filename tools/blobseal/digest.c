/* SPDX-License-Identifier: Apache-2.0 */
/* How digests are shown, and the option --digest: which of them are computed along with the work. */
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

const char *digest_hex(char hex[DIGEST_HEX], const uint8_t sha256[BLOBSEAL_SHA256_LEN])
{
    for (size_t i = 0; i < BLOBSEAL_SHA256_LEN; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
    return hex;
}

static const uint8_t *digest_of(const struct blobseal_digests *d, uint32_t bit)
{
    if (bit == BLOBSEAL_DIGEST_CORE)
        return d->core_sha256;
    return bit == BLOBSEAL_DIGEST_OUTPUT ? d->output_sha256 : d->plain_sha256;
}

/* Return true if there is a digest: no digest is zero. */
static bool is_set(const uint8_t *sha256)
{
    static const uint8_t zero[BLOBSEAL_SHA256_LEN];

    return sha256 != NULL && memcmp(sha256, zero, sizeof zero) != 0;
}

void digest_json_envelope(struct json *j, const uint8_t *sha256)
{
    char hex[DIGEST_HEX];

    json_text(j, "envelope_sha256", is_set(sha256) ? digest_hex(hex, sha256) : NULL);
}

void digest_print_envelope(FILE *to, const uint8_t *sha256, const char *name)
{
    char hex[DIGEST_HEX], shown[320];

    if (is_set(sha256))
        fprintf(to, "%s: envelope sha256:%s\n", printable(shown, sizeof shown, name), digest_hex(hex, sha256));
}

void digest_json(struct json *j, const struct blobseal_digests *d)
{
    char hex[DIGEST_HEX];

    for (size_t i = 0; i < NUM_DIGESTS; i++)
        if ((d->computed & digests[i].bit) != 0)
            json_text(j, digests[i].member, digest_hex(hex, digest_of(d, digests[i].bit)));
}

void digest_print(FILE *to, const struct blobseal_digests *d, const char *name)
{
    char hex[DIGEST_HEX], shown[320];

    for (size_t i = 0; i < NUM_DIGESTS; i++)
        if ((d->computed & digests[i].bit) != 0)
            fprintf(to, "%s: %s sha256:%s\n", printable(shown, sizeof shown, name), digests[i].name,
                    digest_hex(hex, digest_of(d, digests[i].bit)));
}
