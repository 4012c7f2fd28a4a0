/* SPDX-License-Identifier: Apache-2.0 */
/* FIPS mode. A header of its own, because blobseal-bench needs nothing else of this module. */
#ifndef BLOBSEAL_FIPS_H
#define BLOBSEAL_FIPS_H

#include <blobseal.h>

/*
 * Make OpenSSL use algorithms of its FIPS provider only, for the rest of the process. Call it before anything else uses
 * OpenSSL. The library follows OpenSSL's default properties, so nothing else needs to know. Errors: E_CONFIG.
 */
bool fips_start(struct blobseal_error *err);

#endif
