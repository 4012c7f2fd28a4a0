/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This program runs under valgrind. Memcheck follows undefined bytes through every instruction and reports each branch
 * and each address that depends on one. The program marks secrets as undefined, so that memcheck reports branches and
 * addresses that depend on secrets, in the same object files that are shipped.
 *
 * Whether a message is authentic is public, and the code branches on it: exactly one report is allowed for each tag
 * that is compared. A value that a function returns is public as well, and is marked as defined before this program
 * examines it. Functions that leak on purpose run first, and must be reported. The output of valgrind shows where each
 * report comes from.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "blobseal_provider.h"
#include "core/envelope/envelope.h"
#include "tests/support/entries.h"

static unsigned failures, passed;

static void secret(void *p, size_t len)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(p, len);
}

static void reveal(void *p, size_t len)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(p, len);
}

static bool revealed(bool verdict)
{
    reveal(&verdict, sizeof verdict);
    return verdict;
}

static void must(bool ok, const char *what, const char *name)
{
    if (!ok)
        (void)fprintf(stderr, "FAIL %s: %s does not work\n", name, what);
    failures += !ok;
    passed += ok;
}

/* Expect exactly @verdicts new reports of valgrind since @before. */
static void expect_reports(unsigned before, unsigned verdicts, const char *what, const char *name)
{
    unsigned n = (unsigned)VALGRIND_COUNT_ERRORS - before;

    if (n != verdicts)
        (void)fprintf(stderr, "FAIL %s: %s: %u reports where there should be %u\n", name, what, n, verdicts);
    failures += n != verdicts;
    passed += n == verdicts;
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((i + seed) * 167 >> 3);
}

/* ---- Functions that leak, to check that leaks are found ---------------------------------------------------------- */

static __attribute__((noinline)) bool leaky_equal(const volatile uint8_t *a, const volatile uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static __attribute__((noinline)) unsigned leaky_lookup(const volatile uint8_t *table, const volatile uint8_t *index)
{
    return table[*index];
}

/* Expect a leak. A verdict causes one report; a leak causes more, or a report without a verdict. */
static void expect_leak(unsigned before, unsigned verdicts, const char *what)
{
    bool found = (unsigned)VALGRIND_COUNT_ERRORS - before > verdicts;

    if (!found)
        (void)fprintf(stderr, "FAIL control: %s is not found\n", what);
    failures += !found;
    passed += found;
}

static void check_that_leaks_are_found(void)
{
    uint8_t a[16], table[256];
    unsigned before = (unsigned)VALGRIND_COUNT_ERRORS;

    fill(table, sizeof table, 0);
    fill(a, sizeof a, 0);
    secret(a, sizeof a);
    must(revealed(leaky_equal(a, table, sizeof a)), "a comparison", "control");
    expect_leak(before, 1, "a comparison that stops early");
    before = (unsigned)VALGRIND_COUNT_ERRORS;
    (void)leaky_lookup(table, a);
    expect_leak(before, 0, "a table with a secret index");
}

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

#define MOST_PLAIN  21000
#define MOST_SEALED (MOST_PLAIN + 3 * BS_GCM_TAG_LEN)

struct trial {
    const struct bs_gcm_impl *impl;
    struct bs_gcm_run run;
    struct bs_gcm_key key;
    uint8_t plain[MOST_PLAIN], back[MOST_SEALED];
    uint8_t sealed[MOST_SEALED], expected[MOST_SEALED];
};

/* Check the results, without marking anything as secret. */
static void prepare(struct trial *t, const uint8_t *raw)
{
    struct bs_gcm_key key = {.impl = bs_gcm_pick(0)};

    fill(t->plain, sizeof t->plain, 5);
    must(key.impl->init(&key, raw) == BS_GCM_OK && key.impl->seal(&key, &t->run, t->expected, t->plain), "sealing",
         "openssl");
    bs_gcm_clear(&key);
}

static void seal(struct trial *t)
{
    unsigned before = (unsigned)VALGRIND_COUNT_ERRORS;
    bool ok;

    secret(t->plain, sizeof t->plain);
    ok = revealed(t->impl->seal(&t->key, &t->run, t->sealed, t->plain));
    expect_reports(before, 0, "seal", t->impl->name);
    reveal(t->sealed, sizeof t->sealed);
    must(ok && memcmp(t->sealed, t->expected, bs_gcm_sealed_len(&t->run)) == 0, "seal", t->impl->name);
}

/* Open what was sealed into @back, with the tag of message @bad changed if there is one. */
static void open_run(struct trial *t, const char *what, uint8_t *back, const uint8_t *sealed, size_t bad)
{
    size_t verdicts = bad < t->run.num ? bad + 1 : t->run.num;
    unsigned before;
    bool ok;

    memcpy(t->sealed, t->expected, sizeof t->sealed);
    memcpy(t->back, t->expected, sizeof t->back);
    if (bad < t->run.num)
        t->sealed[bad * (t->run.msg_len + BS_GCM_TAG_LEN) + bs_gcm_message_len(&t->run, bad) + 15] ^= 1;
    secret(t->sealed, sizeof t->sealed);
    secret(t->back, sizeof t->back);
    before = (unsigned)VALGRIND_COUNT_ERRORS;
    ok = revealed(t->impl->open(&t->key, &t->run, back, sealed));
    expect_reports(before, (unsigned)verdicts, what, t->impl->name);
    must(ok == (bad >= t->run.num), what, t->impl->name);
    reveal(t->back, sizeof t->back);
    reveal(t->plain, sizeof t->plain);
    if (ok)
        must(memcmp(back, t->plain, bs_gcm_sealed_len(&t->run) - t->run.num * BS_GCM_TAG_LEN) == 0, what,
             t->impl->name);
}

static void check_kernel(const struct bs_gcm_impl *impl)
{
    static const uint8_t nonce[BS_GCM_NONCE_LEN] = {1, 2, 3};
    static const struct {
        size_t num, msg_len, last_len;
    } shapes[] = {{1, 0, 0}, {2, 5, 5}, {2, 1024, 1024}, {3, 1040, 77}, {2, 300, 0}, {3, 10400, 77}};
    uint8_t raw[BS_GCM_KEY_LEN];
    unsigned failed = failures;

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct trial t = {.impl = impl, .run = {nonce, 254, shapes[i].num, shapes[i].msg_len, shapes[i].last_len}};
        unsigned before = (unsigned)VALGRIND_COUNT_ERRORS;

        fill(raw, sizeof raw, 3);
        prepare(&t, raw);
        secret(raw, sizeof raw);
        must(revealed(impl->init(&t.key, raw) == BS_GCM_OK), "init", impl->name);
        expect_reports(before, 0, "init", impl->name);
        t.key.impl = impl;
        seal(&t);
        open_run(&t, "open", t.back, t.sealed, t.run.num);
        open_run(&t, "open in place", t.back, t.back, t.run.num);
        for (size_t bad = 0; bad < t.run.num; bad++)
            open_run(&t, "open a forgery", t.back, t.sealed, bad);
        bs_gcm_clear(&t.key);
        reveal(raw, sizeof raw);
    }
    if (failures == failed)
        (void)printf("constant time: %s\n", impl->name);
}

static void check_kernels(void)
{
    for (size_t i = 0; bs_gcm_impls[i]->needs != 0; i++)
        if (bs_gcm_runs_here(bs_gcm_impls[i]))
            check_kernel(bs_gcm_impls[i]);
        else
            (void)printf("NOT PROVED HERE: constant time of %s (valgrind lacks its instructions; "
                         "its source is that of aesni)\n",
                         bs_gcm_impls[i]->name);
}

/* ---- What core does with keys ------------------------------------------------------------------------------------ */

static void check_equal(void)
{
    uint8_t a[32], b[32];

    for (unsigned differ = 0; differ <= sizeof a; differ++) {
        unsigned before = (unsigned)VALGRIND_COUNT_ERRORS;
        bool equal;

        fill(a, sizeof a, 9);
        fill(b, sizeof b, 9);
        if (differ < sizeof a)
            b[differ] ^= 0x10;
        secret(a, sizeof a);
        equal = revealed(blobseal_equal(a, b, sizeof a));
        expect_reports(before, 0, "at any difference", "blobseal_equal");
        must(equal == (differ == sizeof a), "comparing", "blobseal_equal");
    }
}

/* Test lengths with every remainder. That a text is base64url is public. */
static void check_base64url(void)
{
    for (size_t len = 30; len < 33; len++) {
        uint8_t in[32], back[32];
        char text[BLOBSEAL_BASE64URL_LEN(sizeof in)];
        size_t n = 0;
        unsigned before = (unsigned)VALGRIND_COUNT_ERRORS;
        bool ok;

        fill(in, sizeof in, 77);
        secret(in, sizeof in);
        blobseal_base64url_encode(text, in, len);
        expect_reports(before, 0, "encode", "base64url");
        ok = revealed(blobseal_base64url_decode(back, sizeof back, &n, text, BLOBSEAL_BASE64URL_LEN(len)));
        expect_reports(before, 1, "decode", "base64url");
        reveal(in, sizeof in);
        reveal(back, sizeof back);
        must(ok && n == len && memcmp(in, back, len) == 0, "a round trip", "base64url");
    }
}

/*
 * Writing has no reports. Reading branches on every character, as JSON requires: quote, backslash, control character,
 * length of a UTF-8 sequence. Each branch goes the same way for all 64 characters of base64url, so every key causes the
 * same number of reports.
 */
static void check_jwk(void)
{
    unsigned first = 0;

    for (unsigned i = 0; i < 8; i++) {
        struct bs_core_header core = {0};
        struct blobseal_secret32 dek;
        struct bs_jwk back;
        uint8_t text[1024];
        unsigned before = (unsigned)VALGRIND_COUNT_ERRORS, reports;
        size_t len;
        bool ok;

        fill(dek.b, sizeof dek.b, i * 32);
        secret(&dek, sizeof dek);
        len = bs_jwk_write(text, sizeof text, &core, &dek, (struct bs_slice){0});
        expect_reports(before, 0, "write", "jwk");
        before = (unsigned)VALGRIND_COUNT_ERRORS;
        ok = revealed(bs_jwk_read(&back, text, len));
        reports = (unsigned)VALGRIND_COUNT_ERRORS - before;
        reveal(&dek, sizeof dek);
        reveal(&back, sizeof back);
        must(ok && memcmp(&back.k, &dek, sizeof dek) == 0, "a round trip", "jwk");
        first = i == 0 ? reports : first;
        must(reports == first, "as many branches for any key", "jwk");
    }
}

int main(void)
{
    if (RUNNING_ON_VALGRIND == 0) {
        (void)fprintf(stderr, "run this under valgrind: tests/secrets/check_constant_time.sh\n");
        return 2;
    }
    check_that_leaks_are_found();
    check_kernels();
    check_equal();
    check_base64url();
    check_jwk();
    (void)printf("constant time: %u checks passed, %u failed\n", passed, failures);
    return failures == 0 ? 0 : 1;
}
