/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of the public header that grow from version to version: each starts with the size that its owner compiled. */
#include "core/base/base.h"

/* No struct of any version is as long: a size beyond is no size. */
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
        if (((const uint8_t *)theirs)[i] != 0) /* a wish that this version cannot fulfil */
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
