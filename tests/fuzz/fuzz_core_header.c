/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core header and the arithmetic of lengths. The first byte of the input chooses whether the checksum is
 * recomputed.
 */
#include <stdlib.h>

#include "core/format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

/* Check that a possible payload length belongs to exactly one plaintext length, and the other way round. */
static void check_length(const struct bs_core_header *h, uint64_t n)
{
    uint64_t plain, tail;

    if (bs_payload_plain_len(h, n, &plain)) {
        require(plain <= BS_MAX_PLAIN);
        require(bs_core_len(h, plain) == BS_CORE_HEADER_LEN + n);
    }
    if (n <= BS_MAX_PLAIN) {
        require(bs_payload_plain_len(h, bs_core_len(h, n) - BS_CORE_HEADER_LEN, &plain) && plain == n);
        require(bs_chunk_offset(h, n / BS_CHUNK_LEN) + n % BS_CHUNK_LEN + BS_GCM_TAG_LEN <= bs_core_len(h, n));
    }
    if (bs_tail_plain_len(n, &tail) && n < SIZE_MAX / 2)
        require(bs_sealed_tail_len((size_t)tail) == n);
}

static void check_header(const uint8_t *p, size_t len, uint64_t n)
{
    struct bs_core_header h, again;
    struct blobseal_error err;
    enum blobseal_status st = bs_core_decode(&h, p, len, &err);

    require(st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_DAMAGED || st == BLOBSEAL_E_UNSUPPORTED);
    if (st != BLOBSEAL_OK) {
        require(err.status == st);
        return;
    }
    again = h;
    bs_core_encode(&again); /* an accepted header has exactly one encoding */
    require(memcmp(again.raw, p, BS_CORE_HEADER_LEN) == 0);
    check_length(&h, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy;
    uint64_t n;

    if (len < 9)
        return 0;
    n = bs_load64(data + 1);
    len -= 9;
    copy = malloc(len + 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 9, len);
    if ((data[0] & 1) != 0 && len >= BS_CORE_HEADER_LEN)
        bs_store64(copy + 88, bs_xxh3(0, copy, 88));
    check_header(copy, len, n);
    free(copy);
    return 0;
}
