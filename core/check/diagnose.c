/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether what blobseal stands on is as it should be: the CPU, OpenSSL, limits of the process, self-tests, keys. Each
 * finding is told as it is made, and none stops the others.
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
    const struct bs_diagnosed *what;
    blobseal_finding_fn tell;
    void *ctx;
};

__attribute__((format(printf, 5, 6))) static void
tell(const struct diagnosis *d, const char *name, enum blobseal_level level, const char *hint, const char *format, ...)
{
    char value[400];
    struct blobseal_finding f = {.name = name, .value = value, .level = level, .hint = hint};
    va_list ap;

    va_start(ap, format);
    if (vsnprintf(value, sizeof value, format, ap) < 0)
        value[0] = '\0';
    va_end(ap);
    blobseal_make_printable(value);
    d->tell(d->ctx, &f);
}

static void tell_test(const struct diagnosis *d, const char *name, bool ok, const char *value)
{
    if (ok)
        tell(d, name, BLOBSEAL_LEVEL_OK, "", "%s", value);
    else
        tell(d, name, BLOBSEAL_LEVEL_FAILURE,
             "do not seal here: the CPU, its microcode or a library gives wrong answers", "%s: the self-test failed",
             value);
}

/* ---- The CPU, and what OpenSSL makes of it ----------------------------------------------------------------------- */

static void check_cpu(const struct diagnosis *d, uint32_t features)
{
    char list[200] = "";
    size_t used = 0;
    const char *name;

    for (unsigned i = 0; (name = bs_cpu_feature_name(i)) != NULL; i++)
        if ((features >> i & 1) != 0 && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? " " : "", name);
    if (features == 0)
        tell(d, "cpu", BLOBSEAL_LEVEL_WARNING, "", "no features known");
    else if ((features & BS_CPU_AES) == 0 || (features & BS_CPU_PCLMUL) == 0)
        tell(d, "cpu", BLOBSEAL_LEVEL_WARNING, "AES-GCM is slow without aes and pclmul: does a hypervisor hide them?",
             "%s", list);
    else
        tell(d, "cpu", BLOBSEAL_LEVEL_OK, "", "%s", list);
}

static void check_cpus(const struct diagnosis *d)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        tell(d, "cpus", BLOBSEAL_LEVEL_OK, "", "%d of %ld: as many threads by default", CPU_COUNT(&set), online);
    else
        tell(d, "cpus", BLOBSEAL_LEVEL_WARNING, "name the number of threads",
             "it is not known which of %ld may be used", online);
}

/* Bits of OpenSSL's capability vector, see OPENSSL_ia32cap(3). */
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

/* OpenSSL says what it uses, and whether the environment had a say: "OPENSSL_ia32cap=0x...:0x... env:...". */
static void check_openssl_cpu(const struct diagnosis *d, uint32_t features)
{
    static const char hint[] = "sealing gets slower, a lot without aes: unset OPENSSL_ia32cap";
    const char *info = OPENSSL_info(OPENSSL_INFO_CPU_SETTINGS), *env = info != NULL ? strstr(info, "env:") : NULL;
    unsigned long long words[2] = {0, 0};
    char masked[100] = "";
    size_t used = 0;

    if (info == NULL ||
        sscanf(info, "OPENSSL_ia32cap=0x%llx:0x%llx", &words[0], &words[1]) != 2) // NOLINT(cert-err34-c)
        return;                                                                   /* not on this kind of CPU */
    for (size_t i = 0; i < sizeof openssl_bits / sizeof openssl_bits[0]; i++)
        if ((features & openssl_bits[i].feature) != 0 && (words[openssl_bits[i].word] >> openssl_bits[i].bit & 1) == 0)
            used += (size_t)snprintf(masked + used, sizeof masked - used, " %s", openssl_bits[i].name);
    if (used > 0)
        tell(d, "OPENSSL_ia32cap", BLOBSEAL_LEVEL_WARNING, hint, "%s%s%s: OpenSSL does not use%s",
             env != NULL ? "'" : "not set", env != NULL ? env + 4 : "", env != NULL ? "'" : "", masked);
    else
        tell(d, "OPENSSL_ia32cap", BLOBSEAL_LEVEL_OK, "", "%s", env != NULL ? env + 4 : "not set");
}

/* ---- The process ------------------------------------------------------------------------------------------------- */

#define NEEDED_LOCKED ((size_t)128 * 1024) /* keys of a reader or a seal, twice over */

/* The limit is one thing, the right to lock without it another: try. */
static void check_locked_memory(const struct diagnosis *d)
{
    void *p = mmap(NULL, NEEDED_LOCKED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool ok = p != MAP_FAILED && mlock(p, NEEDED_LOCKED) == 0;
    struct rlimit limit;

    if (p != MAP_FAILED)
        (void)munmap(p, NEEDED_LOCKED);
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        tell(d, "locked memory", ok ? BLOBSEAL_LEVEL_OK : BLOBSEAL_LEVEL_WARNING, "", "no limit%s",
             ok ? "" : ", yet keys cannot be locked");
    else if (ok)
        tell(d, "locked memory", BLOBSEAL_LEVEL_OK, "", "up to %llu KiB", (unsigned long long)limit.rlim_cur / 1024);
    else
        tell(d, "locked memory", BLOBSEAL_LEVEL_WARNING,
             "keys may be written to swap space: raise the limit (ulimit -l)", "up to %llu KiB: too little for keys",
             (unsigned long long)limit.rlim_cur / 1024);
}

static void check_core_files(const struct diagnosis *d)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0)
        tell(d, "core files", BLOBSEAL_LEVEL_OK, "", "none");
    else
        tell(d, "core files", BLOBSEAL_LEVEL_WARNING, "OpenSSL's copies of keys would be in them: set RLIMIT_CORE to 0",
             "possible");
}

/* ---- FIPS mode --------------------------------------------------------------------------------------------------- */

/* The provider that serves with the default properties, as all of this library asks for what it needs. */
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

/* Of the generator in use: one that was made before FIPS mode was switched on is the old one still. */
static const OSSL_PROVIDER *random_provider(void)
{
    EVP_RAND_CTX *ctx = RAND_get0_private(NULL);

    return ctx != NULL ? EVP_RAND_get0_provider(EVP_RAND_CTX_get0_rand(ctx)) : NULL;
}

/* " (OpenSSL FIPS Provider 3.5.4)": whom a certificate is about. Empty where the provider does not say. */
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
        tell(d, "fips", BLOBSEAL_LEVEL_OK, "", "off");
        return;
    }
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        const OSSL_PROVIDER *by = uses[i].provider();

        first = i == 0 ? by : first;
        if (by == NULL || by != first)
            level = BLOBSEAL_LEVEL_FAILURE;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s by %s", i > 0 ? ", " : "", uses[i].what,
                                     by != NULL ? OSSL_PROVIDER_get0_name(by) : "none");
    }
    describe_provider(module, sizeof module, first);
    tell(d, "fips", level,
         level == BLOBSEAL_LEVEL_OK
             ? ""
             : "one FIPS provider shall serve all: load it before anything else, see fips_module(7)",
         "on: %s%s", list, module);
}

/* ---- Self-tests -------------------------------------------------------------------------------------------------- */

/* A kernel that is not there is no wrong one. */
static void check_gcm(const struct diagnosis *d)
{
    enum bs_gcm_status st = bs_gcm_selftest(d->what->gcm);

    if (st == BS_GCM_NO_CIPHER)
        tell(d, "aes-256-gcm", BLOBSEAL_LEVEL_FAILURE,
             "load a provider that has it with the default properties of OpenSSL", "%s: no provider has it",
             d->what->gcm->name);
    else
        tell_test(d, "aes-256-gcm", st == BS_GCM_OK, d->what->gcm->name);
}

static bool sha256_works(void)
{
    static const uint8_t want[4] = {0xBA, 0x78, 0x16, 0xBF}; /* FIPS 180-4: of "abc" */
    struct bs_sha256 h = bs_sha256_start();
    uint8_t got[BS_SHA256_LEN];

    bs_sha256_add(&h, "abc", 3);
    return bs_sha256_end(&h, got) && memcmp(got, want, sizeof want) == 0 && got[BS_SHA256_LEN - 1] == 0xAD;
}

/* HKDF-Expand with DEK and context 0, 1, ... 31 and salt 0, 1, ... 23, as RFC 5869 has it. */
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

/* It cannot be told whether bytes are random; that they come at all, and not the same twice, can. */
static bool random_works(const struct diagnosis *d)
{
    uint8_t draws[4][32] = {{0}}, zero[32] = {0};

    for (unsigned i = 0; i < 4; i++) {
        if (!d->what->random(draws[i], sizeof draws[i], i % 2 == 0) || memcmp(draws[i], zero, sizeof zero) == 0)
            return false;
        for (unsigned k = 0; k < i; k++)
            if (memcmp(draws[i], draws[k], sizeof draws[i]) == 0)
                return false;
    }
    return true;
}

void bs_diagnose(const struct bs_diagnosed *what, blobseal_finding_fn fn, void *ctx)
{
    const struct diagnosis d = {what, fn, ctx};
    uint32_t features = bs_cpu_features();

    (void)ERR_set_mark();
    tell(&d, "blobseal", BLOBSEAL_LEVEL_OK, "", "%s", blobseal_version());
    tell(&d, "openssl", BLOBSEAL_LEVEL_OK, "", "%s", OpenSSL_version(OPENSSL_VERSION));
    check_cpu(&d, features);
    check_cpus(&d);
    check_openssl_cpu(&d, features);
    check_fips(&d);
    check_locked_memory(&d);
    check_core_files(&d);
    tell_test(&d, "random", random_works(&d), "generator of OpenSSL");
    check_gcm(&d);
    tell_test(&d, "xxh3", bs_xxh3_selftest(what->xxh3), "libxxhash");
    tell_test(&d, "sha-256", sha256_works(), "openssl");
    tell_test(&d, "key derivation", derivation_works(), "openssl");
    (void)ERR_pop_to_mark(); /* what failed has been told */
}

void blobseal_diagnose(blobseal_finding_fn fn, void *ctx)
{
    const struct bs_diagnosed what = {.gcm = bs_gcm_choose(), .xxh3 = bs_xxh3, .random = blobseal_random};

    bs_diagnose(&what, fn, ctx);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* Wrap @secret[0] and unwrap it to @secret[1]. */
static enum blobseal_status try_kek(struct blobseal_kek *kek, struct blobseal_secret32 secret[2],
                                    struct blobseal_error *err)
{
    const struct blobseal_kek_info *info = bs_kek_info(kek);
    uint8_t key[BLOBSEAL_MAX_WRAPPED];
    const struct blobseal_wrapped wrapped = {
        .alg = info->alg, .kid = info->kid, .key = key, .key_len = info->wrapped_len};
    enum blobseal_status st = BLOBSEAL_OK;

    if (!blobseal_random(&secret[0], sizeof secret[0], true))
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "try key %s: no randomness", info->kid);
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
    tell(&d, "key", BLOBSEAL_LEVEL_OK, "", "%s", info->kid);
    tell(&d, "key type", BLOBSEAL_LEVEL_OK, "", "%s, %zu bits, %s", info->alg, 8 * info->wrapped_len,
         info->can_unwrap ? "private" : "public");
    st = try_kek(kek, secret, err);
    if (st == BLOBSEAL_OK && !info->can_unwrap)
        tell(&d, "key works", BLOBSEAL_LEVEL_OK, "", "wraps; a public key cannot unwrap");
    else if (st == BLOBSEAL_OK)
        tell_test(&d, "key works", blobseal_equal(&secret[0], &secret[1], sizeof secret[0]), "wraps and unwraps");
    else
        tell(&d, "key works", BLOBSEAL_LEVEL_FAILURE, "", "no: %s", err != NULL ? err->text : blobseal_status_code(st));
    blobseal_secret_free(secret);
    return st;
}
