/* SPDX-License-Identifier: Apache-2.0 */
/* Loading libcurl. */
#define _GNU_SOURCE /* RTLD_NODELETE */
#include <dlfcn.h>
#include <pthread.h>

#include "kek/http/libcurl.h"

#define LIBRARY "libcurl.so.4"

struct bs_libcurl bs_curl;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_loaded;

/* Find each function. Return false if one is missing. */
static bool find_functions(void *library)
{
    bool all = true;
    void *found;

#define FIND(name, function)                                                                                           \
    found = dlsym(library, #function);                                                                                 \
    all = all && found != NULL;                                                                                        \
    memcpy(&bs_curl.name, &found, sizeof found);
    BS_LIBCURL_FUNCTIONS(FIND)
#undef FIND
    return all;
}

static enum blobseal_status cannot_load(struct blobseal_error *err)
{
    const char *why = dlerror();

    if (bs_memory_is_exhausted())
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "load " LIBRARY ": no memory");
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "use a key in a vault: load " LIBRARY ": %.200s",
                        why != NULL ? why : "a function is missing");
    blobseal_hint(err, "install libcurl 7.85 or newer (Debian: libcurl4)");
    return BLOBSEAL_E_CONFIG;
}

static enum blobseal_status load(struct blobseal_error *err)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const curl_version_info_data *version;

    if (library == NULL || !find_functions(library))
        return cannot_load(err);
    if (bs_curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return bs_memory_is_exhausted()
                   ? blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "use a key in a vault: no memory")
                   : blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "use a key in a vault: libcurl cannot be initialised");
    version = bs_curl.version_info(CURLVERSION_NOW);
    if (version->version_num < 0x075500 || (version->features & CURL_VERSION_SSL) == 0)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0,
                             "use a key in a vault: libcurl %.20s was built without TLS, or is older than 7.85",
                             version->version);
    return BLOBSEAL_OK;
}

enum blobseal_status bs_libcurl_load(struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    (void)pthread_mutex_lock(&lock);
    if (!is_loaded)
        st = load(err);
    is_loaded = st == BLOBSEAL_OK;
    (void)pthread_mutex_unlock(&lock);
    return st;
}
