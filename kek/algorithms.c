/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the key algorithms that recipients may have, with their names and lengths. FORMAT.md section 4.2. */
#include <string.h>

#include "kek/kek.h"

static const struct bs_key_algorithm algorithms[] = {
    {"RSA-OAEP-256", {256, 384, 512}, false}, /* RFC 7518 section 4.3, with a modulus of 2048, 3072 or 4096 bits */
    {"RSA-OAEP", {256, 384, 512}, false},     /* the same with SHA-1                                             */
    {"A256KW", {40}, true},                   /* RFC 7518 section 4.4; keys of encryption sets                   */
};

const struct bs_key_algorithm *bs_key_algorithm(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (strlen(algorithms[i].name) == len && memcmp(algorithms[i].name, name, len) == 0)
            return &algorithms[i];
    return NULL;
}

bool bs_key_algorithm_wraps_to(const struct bs_key_algorithm *alg, size_t wrapped_len)
{
    for (size_t i = 0; i < BS_MAX_WRAPPED_LENGTHS; i++)
        if (alg->wrapped_lengths[i] == wrapped_len && wrapped_len > 0)
            return true;
    return false;
}
