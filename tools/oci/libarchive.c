/* SPDX-License-Identifier: Apache-2.0 */
/* Loading libarchive. */
#include "tools/oci/libarchive.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libarchive.so.13"

struct libarchive libarchive;

/* Find each function. Return false if one is missing. */
/* NOLINTNEXTLINE(readability-function-cognitive-complexity): three lines for each function */
static bool find_functions(void *library)
{
    bool all = true;
    void *found;

#define FIND(name, function)                                                                                           \
    found = dlsym(library, #function);                                                                                 \
    all = all && found != NULL;                                                                                        \
    memcpy(&libarchive.name, &found, sizeof found);
    LIBARCHIVE_FUNCTIONS(FIND)
#undef FIND
    return all;
}

bool libarchive_load(struct blobseal_error *err)
{
    static bool is_loaded;
    void *library;
    const char *why;

    if (is_loaded)
        return true;
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    is_loaded = library != NULL && find_functions(library);
    if (is_loaded)
        return true;
    why = dlerror();
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "use an image in a tar file: load " LIBRARY ": %.200s",
               why != NULL ? why : "a function is missing");
    blobseal_hint(err, "install libarchive (Debian: libarchive13), or use an image layout in a folder");
    return false;
}
