/* SPDX-License-Identifier: Apache-2.0 */
/* Implementations of AES-256-GCM by others, as an entry of the table of simd/. OpenSSL has an entry there already. */
#ifndef BLOBSEAL_BENCH_PEERS_H
#define BLOBSEAL_BENCH_PEERS_H

#include "simd/simd.h"

/* Intel's multi-buffer library for IPsec, called for each message of a run. Defined only if CMake found the library. */
extern const struct bs_gcm_impl peer_ipsec_mb;

#endif
