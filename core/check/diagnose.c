/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking what blobseal depends on: the CPU, OpenSSL, limits of the process, self-tests and keys. Each finding is
 * reported when it is made, and a failure does not stop the checks after it.
 */
#define _GNU_SOURCE /* sched_getaffinity, MAP_ANONYMOUS */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "core/check/check.h"

struct diagnosis {
    const struct bs_selftest_parts *parts; /* NULL if only a key is checked */
    blobseal_finding_fn fn;
    void *ctx;
};

__attribute__((format(printf, 5, 6))) static void report(const struct diagnosis *d, const char *name,
                                                         enum blobseal_level level, const char *hint,
                                                         const char *format, ...)
{
    char value[400];
    struct blobseal_finding f = {.name = name, .value = value, .level = level, .hint = hint};
    va_list ap;

    va_start(ap, format);
    if (vsnprintf(value, sizeof value, format, ap) < 0)
        value[0] = '\0';
    va_end(ap);
    blobseal_make_printable(value);
    d->fn(d->ctx, &f);
}

static void report_test(const struct diagnosis *d, const char *name, bool ok, const char *value)
{
    if (ok)
        report(d, name, BLOBSEAL_LEVEL_OK, "", "%s", value);
    else
        report(d, name, BLOBSEAL_LEVEL_FAILURE,
               "do not seal on this machine: the CPU, its microcode or a library computes wrong results",
               "%s: the self-test failed", value);
}

/* ---- The CPU, and which of its features OpenSSL uses ------------------------------------------------------------- */

static void check_cpu(const struct diagnosis *d, uint32_t features)
{
    char list[200] = "";
    size_t used = 0;
    const char *name;

    for (unsigned i = 0; (name = bs_cpu_feature_name(i)) != NULL; i++)
        if ((features >> i & 1) != 0 && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? " " : "", name);
    if (features == 0)
        report(d, "cpu", BLOBSEAL_LEVEL_WARNING, "", "none of the features that blobseal knows");
    else if ((features & BS_CPU_AES) == 0 || (features & BS_CPU_PCLMUL) == 0)
        report(d, "cpu", BLOBSEAL_LEVEL_WARNING,
               "AES-GCM is slow without aes and pclmul: check whether a hypervisor hides them", "%s", list);
    else
        report(d, "cpu", BLOBSEAL_LEVEL_OK, "", "%s", list);
}

static void check_cpus(const struct diagnosis *d)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        report(d, "cpus", BLOBSEAL_LEVEL_OK, "", "%d of %ld usable, which is the default number of threads",
               CPU_COUNT(&set), online);
    else
        report(d, "cpus", BLOBSEAL_LEVEL_WARNING, "set the number of threads explicitly",
               "cannot determine which of %ld are usable", online);
}

/* Bits of OpenSSL's capability vector: see OPENSSL_ia32cap(3). */
static const struct {
    uint32_t feature;
    unsigned word, bit;
    const char *name;
} openssl_bits[] = {
    {BS_CPU_PCLMUL, 0, 33, "pclmul"},   {BS_CPU_AES, 0, 57, "aes"},
    {BS_CPU_AVX, 0, 60, "avx"},         {BS_CPU_AVX2, 1, 5, "avx2"},
    {BS_CPU_AVX512F, 1, 16, "avx512f"}, {BS_CPU_SHA, 1, 29, "sha"},
    {BS_CPU_VAES, 1, 41, "vaes"},       {BS_CPU_VPCLMULQDQ, 1, 42, "vpclmulqdq"},
};

/*
 * Check that OpenSSL uses the CPU features that exist. OpenSSL reports its capability vector, and the environment
 * variable if that changed it, as "OPENSSL_ia32cap=0x...:0x... env:...".
 */
static void check_openssl_cpu(const struct diagnosis *d, uint32_t features)
{
    static const char hint[] = "sealing is slower, and much slower without aes: unset OPENSSL_ia32cap";
    const char *info = OPENSSL_info(OPENSSL_INFO_CPU_SETTINGS), *env = info != NULL ? strstr(info, "env:") : NULL;
    unsigned long long words[2] = {0, 0};
    char masked[100] = "";
    size_t used = 0;

    if (info == NULL ||
        sscanf(info, "OPENSSL_ia32cap=0x%llx:0x%llx", &words[0], &words[1]) != 2) // NOLINT(cert-err34-c)
        return;                                                                   /* not an x86 CPU */
    for (size_t i = 0; i < BS_COUNT(openssl_bits); i++)
        if ((features & openssl_bits[i].feature) != 0 && (words[openssl_bits[i].word] >> openssl_bits[i].bit & 1) == 0)
            used += (size_t)snprintf(masked + used, sizeof masked - used, " %s", openssl_bits[i].name);
    if (used > 0)
        report(d, "OPENSSL_ia32cap", BLOBSEAL_LEVEL_WARNING, hint, "%s%s%s: OpenSSL does not use%s",
               env != NULL ? "'" : "not set", env != NULL ? env + 4 : "", env != NULL ? "'" : "", masked);
    else
        report(d, "OPENSSL_ia32cap", BLOBSEAL_LEVEL_OK, "", "%s", env != NULL ? env + 4 : "not set");
}

/* ---- The process ------------------------------------------------------------------------------------------------- */

#define NEEDED_LOCKED ((size_t)128 * 1024) /* twice what the keys of a reader or of sealing need */

/* Check that memory can be locked, by locking some: a privileged process may lock more than the limit. */
static void check_locked_memory(const struct diagnosis *d)
{
    void *p = mmap(NULL, NEEDED_LOCKED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool ok = p != MAP_FAILED && mlock(p, NEEDED_LOCKED) == 0;
    struct rlimit limit;

    if (p != MAP_FAILED)
        (void)munmap(p, NEEDED_LOCKED);
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        report(d, "locked memory", ok ? BLOBSEAL_LEVEL_OK : BLOBSEAL_LEVEL_WARNING, "", "no limit%s",
               ok ? "" : ", but keys cannot be locked");
    else if (ok)
        report(d, "locked memory", BLOBSEAL_LEVEL_OK, "", "up to %llu KiB", (unsigned long long)limit.rlim_cur / 1024);
    else
        report(d, "locked memory", BLOBSEAL_LEVEL_WARNING,
               "keys may be written to swap space: raise the limit (ulimit -l)", "up to %llu KiB: too little for keys",
               (unsigned long long)limit.rlim_cur / 1024);
}

static void check_core_files(const struct diagnosis *d)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0)
        report(d, "core files", BLOBSEAL_LEVEL_OK, "", "none");
    else
        report(d, "core files", BLOBSEAL_LEVEL_WARNING,
               "they would contain OpenSSL's copies of keys: set RLIMIT_CORE to 0", "possible");
}

/* ---- FIPS mode --------------------------------------------------------------------------------------------------- */

/*
 * Return the provider from which OpenSSL takes an algorithm under the default properties, which is how this library
 * fetches all algorithms. NULL if no provider offers it.
 */
static const OSSL_PROVIDER *cipher_provider(void)
{
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    const OSSL_PROVIDER *by = gcm != NULL ? EVP_CIPHER_get0_provider(gcm) : NULL;

    EVP_CIPHER_free(gcm);
    return by;
}

static const OSSL_PROVIDER *digest_provider(void)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    const OSSL_PROVIDER *by = md != NULL ? EVP_MD_get0_provider(md) : NULL;

    EVP_MD_free(md);
    return by;
}

static const OSSL_PROVIDER *kdf_provider(void)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    const OSSL_PROVIDER *by = kdf != NULL ? EVP_KDF_get0_provider(kdf) : NULL;

    EVP_KDF_free(kdf);
    return by;
}

static const OSSL_PROVIDER *rsa_provider(void)
{
    EVP_ASYM_CIPHER *rsa = EVP_ASYM_CIPHER_fetch(NULL, "RSA", NULL);
    const OSSL_PROVIDER *by = rsa != NULL ? EVP_ASYM_CIPHER_get0_provider(rsa) : NULL;

    EVP_ASYM_CIPHER_free(rsa);
    return by;
}

/* Return the provider of the generator in use. It is not the FIPS provider if it was made before FIPS mode was on. */
static const OSSL_PROVIDER *random_provider(void)
{
    EVP_RAND_CTX *ctx = RAND_get0_private(NULL);

    return ctx != NULL ? EVP_RAND_get0_provider(EVP_RAND_CTX_get0_rand(ctx)) : NULL;
}

/*
 * Write name and version of @provider, which identify its FIPS certificate, as " (OpenSSL FIPS Provider 3.5.4)". The
 * text is empty if the provider does not report them.
 */
static void describe_provider(char *buf, size_t cap, const OSSL_PROVIDER *provider)
{
    const char *name = NULL, *version = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, (char **)&name, 0),
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION, (char **)&version, 0),
        OSSL_PARAM_construct_end(),
    };

    buf[0] = '\0';
    if (provider != NULL && OSSL_PROVIDER_get_params(provider, params) == 1 && name != NULL && version != NULL)
        (void)snprintf(buf, cap, " (%s %s)", name, version);
}

/* Check that in FIPS mode the same provider supplies all algorithms. */
static void check_fips(const struct diagnosis *d)
{
    static const struct {
        const char *what;
        const OSSL_PROVIDER *(*provider)(void);
    } uses[] = {{"AES-256-GCM", cipher_provider},
                {"SHA-256", digest_provider},
                {"HKDF", kdf_provider},
                {"RSA", rsa_provider},
                {"random numbers", random_provider}};
    const OSSL_PROVIDER *first = NULL;
    enum blobseal_level level = BLOBSEAL_LEVEL_OK;
    char list[200] = "", module[100];
    size_t used = 0;

    if (EVP_default_properties_is_fips_enabled(NULL) != 1) {
        report(d, "fips", BLOBSEAL_LEVEL_OK, "", "off");
        return;
    }
    for (size_t i = 0; i < BS_COUNT(uses); i++) {
        const OSSL_PROVIDER *by = uses[i].provider();

        first = i == 0 ? by : first;
        if (by == NULL || by != first)
            level = BLOBSEAL_LEVEL_FAILURE;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s by %s", i > 0 ? ", " : "", uses[i].what,
                                     by != NULL ? OSSL_PROVIDER_get0_name(by) : "none");
    }
    describe_provider(module, sizeof module, first);
    report(d, "fips", level,
           level == BLOBSEAL_LEVEL_OK
               ? ""
               : "one FIPS provider must supply all of them: load it before any other, see fips_module(7)",
           "on: %s%s", list, module);
}

/* ---- Self-tests -------------------------------------------------------------------------------------------------- */

/* Test the AES-GCM kernel. A cipher that OpenSSL does not offer is reported as missing, not as a failed self-test. */
static void check_gcm(const struct diagnosis *d)
{
    enum bs_gcm_status st = bs_gcm_selftest(d->parts->gcm);

    if (st == BS_GCM_NO_CIPHER)
        report(d, "aes-256-gcm", BLOBSEAL_LEVEL_FAILURE,
               "load a provider that offers AES-256-GCM under OpenSSL's default properties",
               "%s: no provider offers it", d->parts->gcm->name);
    else
        report_test(d, "aes-256-gcm", st == BS_GCM_OK, d->parts->gcm->name);
}

static bool sha256_works(void)
{
    static const uint8_t want[4] = {0xBA, 0x78, 0x16, 0xBF}; /* start of the digest of "abc": FIPS 180-4 */
    struct bs_sha256 h = bs_sha256_start();
    uint8_t got[BS_SHA256_LEN];

    bs_sha256_add(&h, "abc", 3);
    return bs_sha256_end(&h, got) && memcmp(got, want, sizeof want) == 0 && got[BS_SHA256_LEN - 1] == 0xAD;
}

/* Test HKDF-Expand (RFC 5869) with a DEK and a context of bytes 0, 1, ... 31 and a salt of bytes 0, 1, ... 23. */
static bool derivation_works(void)
{
    static const uint8_t first[8] = {0x78, 0x0D, 0x52, 0x21, 0xAF, 0x9E, 0x83, 0x52};
    static const uint8_t last[8] = {0x07, 0x85, 0x79, 0x69, 0x2E, 0xF0, 0xE7, 0x63};
    struct blobseal_secret32 dek;
    struct bs_chunked_keys keys;
    bool ok;

    for (unsigned i = 0; i < sizeof dek.b; i++)
        dek.b[i] = (uint8_t)i;
    ok = bs_chunked_derive(&keys, &dek, dek.b, dek.b, sizeof dek.b);
    return ok && memcmp(keys.key, first, sizeof first) == 0 &&
           memcmp(keys.commitment + BS_COMMITMENT_LEN - sizeof last, last, sizeof last) == 0;
}

/*
 * Test that the generator delivers bytes, that they are not all zero, and that no two draws are equal. Whether they are
 * random cannot be tested.
 */
static bool random_works(const struct diagnosis *d)
{
    uint8_t draws[4][32] = {{0}}, zero[32] = {0};

    for (unsigned i = 0; i < 4; i++) {
        if (!d->parts->random(draws[i], sizeof draws[i], i % 2 == 0) || memcmp(draws[i], zero, sizeof zero) == 0)
            return false;
        for (unsigned k = 0; k < i; k++)
            if (memcmp(draws[i], draws[k], sizeof draws[i]) == 0)
                return false;
    }
    return true;
}

void bs_diagnose(const struct bs_selftest_parts *parts, blobseal_finding_fn fn, void *ctx)
{
    const struct diagnosis d = {parts, fn, ctx};
    uint32_t features = bs_cpu_features();

    (void)ERR_set_mark();
    report(&d, "blobseal", BLOBSEAL_LEVEL_OK, "", "%s", blobseal_version());
    report(&d, "openssl", BLOBSEAL_LEVEL_OK, "", "%s", OpenSSL_version(OPENSSL_VERSION));
    check_cpu(&d, features);
    check_cpus(&d);
    check_openssl_cpu(&d, features);
    check_fips(&d);
    check_locked_memory(&d);
    check_core_files(&d);
    report_test(&d, "random", random_works(&d), "OpenSSL's generator");
    check_gcm(&d);
    report_test(&d, "xxh3", bs_xxh3_selftest(parts->xxh3), "libxxhash");
    report_test(&d, "sha-256", sha256_works(), "openssl");
    report_test(&d, "key derivation", derivation_works(), "openssl");
    (void)ERR_pop_to_mark(); /* failures have been reported as findings */
}

void blobseal_diagnose(blobseal_finding_fn fn, void *ctx)
{
    const struct bs_selftest_parts parts = {.gcm = bs_gcm_choose(), .xxh3 = bs_xxh3, .random = blobseal_random};

    bs_diagnose(&parts, fn, ctx);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* Wrap a random @secret[0] and, if the key can unwrap, unwrap it to @secret[1]. */
static enum blobseal_status try_kek(struct blobseal_kek *kek, struct blobseal_secret32 secret[2],
                                    struct blobseal_error *err)
{
    const struct blobseal_kek_info *info = bs_kek_info(kek);
    uint8_t key[BLOBSEAL_MAX_WRAPPED];
    const struct blobseal_wrapped wrapped = {
        .alg = info->alg, .kid = info->kid, .key = key, .key_len = info->wrapped_len};
    enum blobseal_status st = BLOBSEAL_OK;

    if (!blobseal_random(&secret[0], sizeof secret[0], true))
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "try key %s: the random number generator failed", info->kid);
    if (st == BLOBSEAL_OK)
        st = bs_kek_wrap(kek, key, &secret[0], err);
    if (st == BLOBSEAL_OK && info->can_unwrap)
        st = bs_kek_unwrap(kek, &secret[1], &wrapped, err);
    return st;
}

enum blobseal_status blobseal_diagnose_kek(struct blobseal_kek *kek, blobseal_finding_fn fn, void *ctx,
                                           struct blobseal_error *err)
{
    const struct blobseal_kek_info *info = bs_kek_info(kek);
    const struct diagnosis d = {NULL, fn, ctx};
    struct blobseal_secret32 *secret = blobseal_secret_alloc(2 * sizeof *secret);
    enum blobseal_status st;

    if (secret == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "try key %s: no memory", info->kid);
    report(&d, "key", BLOBSEAL_LEVEL_OK, "", "%s", info->kid);
    report(&d, "key type", BLOBSEAL_LEVEL_OK, "", "%s, %zu bits, %s", info->alg, 8 * info->wrapped_len,
           info->can_unwrap ? "private" : "public");
    st = try_kek(kek, secret, err);
    if (st == BLOBSEAL_OK && !info->can_unwrap)
        report(&d, "key works", BLOBSEAL_LEVEL_OK, "", "wraps; a public key cannot unwrap");
    else if (st == BLOBSEAL_OK)
        report_test(&d, "key works", blobseal_equal(&secret[0], &secret[1], sizeof secret[0]), "wraps and unwraps");
    else
        report(&d, "key works", BLOBSEAL_LEVEL_FAILURE, "", "no: %s",
               err != NULL ? err->text : blobseal_status_code(st));
    blobseal_secret_free(secret);
    return st;
}
