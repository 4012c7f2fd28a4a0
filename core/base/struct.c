/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of the public header that gain members in later versions. Each starts with its size as the caller's compiler
 * saw it. */
#include "core/base/base.h"

/* No struct of any version is larger, so a larger size is invalid. */
#define MAX_STRUCT ((size_t)4096)

bool blobseal_struct_import(void *own, size_t own_size, const void *theirs)
{
    size_t size;

    if (theirs == NULL)
        return true;
    memcpy(&size, theirs, sizeof size);
    if (size < sizeof size || size > MAX_STRUCT)
        return false;
    for (size_t i = own_size; i < size; i++)
        if (((const uint8_t *)theirs)[i] != 0) /* a non-zero member that this version does not know */
            return false;
    memcpy((uint8_t *)own + sizeof size, (const uint8_t *)theirs + sizeof size,
           (size < own_size ? size : own_size) - sizeof size);
    return true;
}

bool bs_struct_export(void *theirs, const void *own, size_t own_size)
{
    size_t size;

    if (theirs == NULL)
        return true;
    memcpy(&size, theirs, sizeof size);
    if (size < sizeof size)
        return false;
    memcpy((uint8_t *)theirs + sizeof size, (const uint8_t *)own + sizeof size,
           (size < own_size ? size : own_size) - sizeof size);
    return true;
}
