/* SPDX-License-Identifier: Apache-2.0 */
/* Digests that are computed while a blob passes: which bytes each covers, and that none appears unrequested. */
#include "tests/support/suite.h"

SUITE(digests);

#define CORE   BLOBSEAL_DIGEST_CORE
#define OUTPUT BLOBSEAL_DIGEST_OUTPUT
#define PLAIN  BLOBSEAL_DIGEST_PLAIN

/* Return the digest of @text, or zeros if it was not @requested. */
static const uint8_t *digest_of(const char *text, bool requested)
{
    static uint8_t out[BS_SHA256_LEN];

    memset(out, 0, sizeof out);
    if (requested)
        cr_assert(bs_sha256(out, text, strlen(text)));
    return out;
}

static void add_all(struct bs_digests *d, bool framed)
{
    if (framed)
        bs_digests_add_frame(d, "fra", 3);
    bs_digests_add_core(d, "co", 2);
    bs_digests_add_plain(d, "plain", 5);
    bs_digests_add_core(d, "re", 2);
    bs_digests_add_plain(d, "text", 4);
}

static void expect(const struct blobseal_digests *out, uint32_t wanted, bool framed)
{
    cr_expect_eq(out->computed, wanted);
    cr_expect_eq(out->size, sizeof *out);
    cr_expect_arr_eq(out->core_sha256, digest_of("core", (wanted & CORE) != 0), BS_SHA256_LEN);
    cr_expect_arr_eq(out->output_sha256, digest_of(framed ? "fracore" : "core", (wanted & OUTPUT) != 0), BS_SHA256_LEN);
    cr_expect_arr_eq(out->plain_sha256, digest_of("plaintext", (wanted & PLAIN) != 0), BS_SHA256_LEN);
}

Test(digests, each_covers_its_bytes)
{
    for (uint32_t wanted = 0; wanted < 8; wanted++)
        for (unsigned framed = 0; framed < 2; framed++) {
            struct bs_digests d = bs_digests_start(wanted, framed != 0), copy;
            struct blobseal_digests out;

            copy = bs_digests_copy(&d);
            cr_expect_eq(bs_digests_need_core(&d), (wanted & (CORE | OUTPUT)) != 0);
            add_all(&d, framed != 0);
            cr_assert_eq(bs_digests_end(&d, &out, NULL), BLOBSEAL_OK);
            expect(&out, wanted, framed != 0);
            add_all(&copy, framed != 0);
            cr_assert_eq(bs_digests_end(&copy, &out, NULL), BLOBSEAL_OK);
            expect(&out, wanted, framed != 0);
            d = bs_digests_start(wanted, framed != 0);
            bs_digests_clear(&d);
            bs_digests_clear(&d);
        }
}

Test(digests, a_failure_leaves_none)
{
    struct bs_digests d = bs_digests_start(CORE | PLAIN, true);
    struct blobseal_digests out, none = {.size = sizeof none};

    memset(&out, 0x55, sizeof out);
    d.plain.ok = false; /* as if there had been no memory */
    cr_expect_eq(bs_digests_end(&d, &out, NULL), BLOBSEAL_E_NOMEM);
    cr_expect_arr_eq(&out, &none, sizeof out);
}

Test(digests, unknown_ones_are_refused)
{
    struct blobseal_error err;

    for (uint32_t wanted = 0; wanted < 8; wanted++)
        cr_expect_eq(bs_digests_check(wanted, &err), BLOBSEAL_OK);
    cr_expect_eq(bs_digests_check(8, &err), BLOBSEAL_E_ARG);
    cr_expect_eq(bs_digests_check(CORE | (uint32_t)1 << 31, &err), BLOBSEAL_E_ARG);
}
