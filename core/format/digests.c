/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digests of a blob that a caller has requested, computed while the blob is written or read. The caller adds the
 * bytes in order; a digest that was not requested costs nothing.
 */
#include "core/format/format.h"

#define ALL_DIGESTS (BLOBSEAL_DIGEST_CORE | BLOBSEAL_DIGEST_OUTPUT | BLOBSEAL_DIGEST_PLAIN)

enum blobseal_status bs_digests_check(uint32_t wanted, struct blobseal_error *err)
{
    if ((wanted & ~ALL_DIGESTS) == 0)
        return BLOBSEAL_OK;
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "unknown digests are requested: %#x", wanted & ~ALL_DIGESTS);
}

struct bs_digests bs_digests_start(uint32_t wanted, bool framed)
{
    struct bs_digests d = {.wanted = wanted};

    d.framed = framed && (wanted & BLOBSEAL_DIGEST_OUTPUT) != 0;
    d.hashes_core = (wanted & BLOBSEAL_DIGEST_CORE) != 0 || (!framed && (wanted & BLOBSEAL_DIGEST_OUTPUT) != 0);
    d.hashes_plain = (wanted & BLOBSEAL_DIGEST_PLAIN) != 0;
    if (d.framed)
        d.output = bs_sha256_start();
    if (d.hashes_core)
        d.core = bs_sha256_start();
    if (d.hashes_plain)
        d.plain = bs_sha256_start();
    return d;
}

struct bs_digests bs_digests_copy(const struct bs_digests *d)
{
    struct bs_digests copy = *d;

    if (d->framed)
        copy.output = bs_sha256_copy(&d->output);
    if (d->hashes_core)
        copy.core = bs_sha256_copy(&d->core);
    if (d->hashes_plain)
        copy.plain = bs_sha256_copy(&d->plain);
    return copy;
}

void bs_digests_add_frame(struct bs_digests *d, const void *p, size_t len)
{
    if (d->framed)
        bs_sha256_add(&d->output, p, len);
}

void bs_digests_add_core(struct bs_digests *d, const void *p, size_t len)
{
    if (d->framed)
        bs_sha256_add(&d->output, p, len);
    if (d->hashes_core)
        bs_sha256_add(&d->core, p, len);
}

void bs_digests_add_plain(struct bs_digests *d, const void *p, size_t len)
{
    if (d->hashes_plain)
        bs_sha256_add(&d->plain, p, len);
}

enum blobseal_status bs_digests_end(struct bs_digests *d, struct blobseal_digests *out, struct blobseal_error *err)
{
    struct blobseal_digests r = {.size = sizeof r, .computed = d->wanted};
    uint8_t core[BS_SHA256_LEN] = {0};
    bool ok = true;

    if (d->hashes_core)
        ok = bs_sha256_end(&d->core, core);
    if (d->framed)
        ok = bs_sha256_end(&d->output, r.output_sha256) && ok;
    else if ((d->wanted & BLOBSEAL_DIGEST_OUTPUT) != 0)
        memcpy(r.output_sha256, core, sizeof r.output_sha256);
    if ((d->wanted & BLOBSEAL_DIGEST_CORE) != 0)
        memcpy(r.core_sha256, core, sizeof r.core_sha256);
    if (d->hashes_plain)
        ok = bs_sha256_end(&d->plain, r.plain_sha256) && ok;
    *d = (struct bs_digests){0};
    *out = ok ? r : (struct blobseal_digests){.size = sizeof r};
    return ok ? BLOBSEAL_OK : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "compute a digest: no memory");
}

void bs_digests_clear(struct bs_digests *d)
{
    bs_sha256_clear(&d->output);
    bs_sha256_clear(&d->core);
    bs_sha256_clear(&d->plain);
    *d = (struct bs_digests){0};
}
