/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded when the first client is made. It brings some thirty other libraries with it, which programs that use
 * no key in a vault should not have to load.
 */
#ifndef BLOBSEAL_LIBCURL_H
#define BLOBSEAL_LIBCURL_H

#include <curl/curl.h>

#include "core/base/base.h"

/* The functions that are used: F(name in the table, name in libcurl). */
#define BS_LIBCURL_FUNCTIONS(F)                                                                                        \
    F(global_init, curl_global_init)                                                                                   \
    F(version_info, curl_version_info)                                                                                 \
    F(getdate, curl_getdate)                                                                                           \
    F(easy_init, curl_easy_init)                                                                                       \
    F(easy_cleanup, curl_easy_cleanup)                                                                                 \
    F(easy_reset, curl_easy_reset)                                                                                     \
    F(easy_setopt, curl_easy_setopt)                                                                                   \
    F(easy_getinfo, curl_easy_getinfo)                                                                                 \
    F(multi_init, curl_multi_init)                                                                                     \
    F(multi_cleanup, curl_multi_cleanup)                                                                               \
    F(multi_add_handle, curl_multi_add_handle)                                                                         \
    F(multi_remove_handle, curl_multi_remove_handle)                                                                   \
    F(multi_perform, curl_multi_perform)                                                                               \
    F(multi_poll, curl_multi_poll)                                                                                     \
    F(multi_info_read, curl_multi_info_read)

#define BS_LIBCURL_MEMBER(name, function) __typeof__(function) *(name);
struct bs_libcurl {
    BS_LIBCURL_FUNCTIONS(BS_LIBCURL_MEMBER)
};
#undef BS_LIBCURL_MEMBER

/* The table, which is complete once bs_libcurl_load() has succeeded. */
extern struct bs_libcurl bs_curl;

/*
 * Load and initialise libcurl, unless this was done in this process. It is never released: it counts its users, and
 * another part of the program may still need it. Errors: E_CONFIG (it is not installed, or cannot be used), E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_libcurl_load(struct blobseal_error *err);

#endif
