/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking what blobseal depends on: the CPU, OpenSSL, limits of the process, self-tests and keys. Each finding is
 * reported when it is made, and a failure does not stop the checks after it.
 */
#define _GNU_SOURCE /* sched_getaffinity, MAP_ANONYMOUS */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

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

static void report_no_memory(const struct diagnosis *d, const char *name, const char *value)
{
    report(d, name, BLOBSEAL_LEVEL_FAILURE, "", "%s: not tested: no memory", value);
}

static void report_test(const struct diagnosis *d, const char *name, bool ok, const char *value)
{
    if (ok)
        report(d, name, BLOBSEAL_LEVEL_OK, "", "%s", value);
    else if (bs_memory_is_exhausted())
        report_no_memory(d, name, value);
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

/* Store a secret, and report how much memory for secrets is locked and what could not be. */
static void check_secrets(const struct diagnosis *d)
{
    void *secret = blobseal_secret_alloc(32);
    struct bs_secret_counters n = bs_secret_counters();

    blobseal_secret_free(secret);
    if (secret == NULL)
        report(d, "secrets", BLOBSEAL_LEVEL_FAILURE, "", "no memory for secrets");
    else if (n.unlocked_secrets > 0)
        report(d, "secrets", BLOBSEAL_LEVEL_WARNING, "they may be written to swap space: raise the limit (ulimit -l)",
               "%llu stored in memory that could not be locked", (unsigned long long)n.unlocked_secrets);
    else
        report(d, "secrets", BLOBSEAL_LEVEL_OK, "", "all in locked memory, now %llu KiB",
               (unsigned long long)n.locked_bytes / 1024);
}

#define FEW_MAPPINGS 10000 /* thousands of open blobs need about 1000, a program with many libraries as many again */

static void check_mappings(const struct diagnosis *d)
{
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    char line[32] = "";
    unsigned long long max;

    if (f != NULL && fgets(line, sizeof line, f) == NULL)
        line[0] = '\0';
    if (f != NULL)
        (void)fclose(f);
    max = strtoull(line, NULL, 10);
    if (max == 0)
        report(d, "mappings", BLOBSEAL_LEVEL_OK, "", "unknown limit");
    else if (max < FEW_MAPPINGS)
        report(d, "mappings", BLOBSEAL_LEVEL_WARNING,
               "a program with many open blobs needs more: raise vm.max_map_count", "up to %llu", max);
    else
        report(d, "mappings", BLOBSEAL_LEVEL_OK, "", "up to %llu (vm.max_map_count)", max);
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

/* ---- Providers and FIPS mode ------------------------------------------------------------------------------------- */

/* Check that OpenSSL has all algorithms. If it has not, the configuration is at fault, not the machine. */
static void check_algorithms(const struct diagnosis *d)
{
    struct blobseal_error err = {0};

    if (bs_algorithms_check(&err) == BLOBSEAL_OK)
        report(d, "providers", BLOBSEAL_LEVEL_OK, "", "all algorithms are available");
    else
        report(d, "providers", BLOBSEAL_LEVEL_FAILURE, err.hint, "%s", err.text);
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
    const OSSL_PROVIDER *first = NULL;
    enum blobseal_level level = BLOBSEAL_LEVEL_OK;
    char list[200] = "", module[100];
    size_t used = 0;

    if (!bs_fips_mode()) {
        report(d, "fips", BLOBSEAL_LEVEL_OK, "", "off");
        return;
    }
    for (size_t i = 0; i < BS_NUM_ALGORITHMS; i++) {
        const OSSL_PROVIDER *by = bs_algorithms[i].provider();

        first = i == 0 ? by : first;
        if (by == NULL || by != first)
            level = BLOBSEAL_LEVEL_FAILURE;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s by %s", i > 0 ? ", " : "",
                                     bs_algorithms[i].name, by != NULL ? OSSL_PROVIDER_get0_name(by) : "none");
    }
    describe_provider(module, sizeof module, first);
    report(d, "fips", level,
           level == BLOBSEAL_LEVEL_OK
               ? ""
               : "one FIPS provider must supply all of them: load it before any other, see fips_module(7)",
           "on: %s%s", list, module);
}

/* ---- Self-tests -------------------------------------------------------------------------------------------------- */

static bool is_available(const char *algorithm)
{
    for (size_t i = 0; i < BS_NUM_ALGORITHMS; i++)
        if (strcmp(bs_algorithms[i].name, algorithm) == 0)
            return bs_algorithms[i].provider() != NULL;
    return false;
}

/* Report that a self-test was not run, because OpenSSL lacks the algorithm. The providers were reported before. */
static void report_missing(const struct diagnosis *d, const char *name, const char *value)
{
    if (bs_memory_is_exhausted()) {
        report_no_memory(d, name, value);
        return;
    }
    report(d, name, BLOBSEAL_LEVEL_FAILURE, "the configuration of OpenSSL is at fault, not this machine",
           "%s: not tested, because no active provider has it", value);
}

/* Report the result of a self-test of simd. */
static void report_simd_test(const struct diagnosis *d, const char *name, enum bs_gcm_status st, const char *value)
{
    if (st == BS_GCM_NO_CIPHER)
        report_missing(d, name, value);
    else if (st == BS_GCM_NO_MEMORY)
        report_no_memory(d, name, value);
    else
        report_test(d, name, st == BS_GCM_OK, value);
}

/* Run the known answers of what OpenSSL computes. */
static void check_answers(const struct diagnosis *d)
{
    for (size_t i = 0; i < BS_NUM_KNOWN_ANSWERS; i++) {
        const struct bs_known_answer *a = &bs_known_answers[i];
        char value[80];

        (void)snprintf(value, sizeof value, "openssl, %s", a->algorithm);
        if (is_available(a->needs))
            report_test(d, a->name, a->run() == BLOBSEAL_OK, value);
        else
            report_missing(d, a->name, value);
    }
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
    check_algorithms(&d);
    check_fips(&d);
    check_locked_memory(&d);
    check_secrets(&d);
    check_mappings(&d);
    check_core_files(&d);
    if (is_available("random numbers"))
        report_test(&d, "random", random_works(&d), "OpenSSL's generator");
    else
        report_missing(&d, "random", "OpenSSL's generator");
    report_simd_test(&d, "aes-256-gcm", bs_gcm_selftest(parts->gcm), parts->gcm->name);
    check_answers(&d);
    report_simd_test(&d, "xxh3", bs_xxh3_selftest(parts->xxh3), "libxxhash");
    (void)ERR_pop_to_mark(); /* failures have been reported as findings */
}

void blobseal_diagnose(blobseal_finding_fn fn, void *ctx)
{
    struct bs_selftest_parts parts = {.xxh3 = bs_xxh3, .random = blobseal_random};
    struct blobseal_error err;

    if (bs_openssl_start(&err) == BLOBSEAL_OK) {
        parts.gcm = bs_gcm_choose();
        bs_diagnose(&parts, fn, ctx);
    } else {
        report(&(const struct diagnosis){NULL, fn, ctx}, "openssl", BLOBSEAL_LEVEL_FAILURE, err.hint, "%s", err.text);
    }
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* Wrap a random @secret[0] into @w and, if the key can unwrap, unwrap it to @secret[1]. */
static enum blobseal_status try_kek(struct blobseal_kek *kek, struct blobseal_wrapping *w,
                                    struct blobseal_secret32 secret[2], const struct blobseal_call *call,
                                    struct blobseal_error *err)
{
    struct blobseal_trace trace = {.size = sizeof trace};
    struct blobseal_call own = *call;
    struct bs_kek_event event = {.operation = "unwrap", .trace = &trace};
    struct blobseal_wrapped wrapped;
    enum blobseal_status st = BLOBSEAL_OK;

    own.trace = &trace;
    if (!blobseal_random(&secret[0], sizeof secret[0], true))
        st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "try a key: the random number generator failed");
    if (st == BLOBSEAL_OK)
        st = bs_kek_wrap(kek, w, &secret[0], call, err);
    if (st == BLOBSEAL_OK && blobseal_kek_can_unwrap(kek)) {
        wrapped = (struct blobseal_wrapped){.alg = w->alg, .kid = w->kid, .key = w->key, .key_len = w->key_len};
        event.kid = w->kid;
        st = bs_kek_unwrap(kek, &secret[1], &wrapped, NULL, &own, err);
        st = bs_kek_record(kek, &event, st, err);
        if (st == BLOBSEAL_E_NOT_MINE)
            st = blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "the key does not own what it wrapped");
    }
    return st;
}

/* An RSA key wraps into as many bytes as it has; AES key wrap adds eight. */
static size_t key_bits(const struct blobseal_kek_info *info)
{
    return strcmp(info->alg, "A256KW") == 0 ? 256 : 8 * info->wrapped_len;
}

enum blobseal_status blobseal_diagnose_kek(struct blobseal_kek *kek, const struct blobseal_call_options *options,
                                           blobseal_finding_fn fn, void *ctx, struct blobseal_error *err)
{
    const struct diagnosis d = {NULL, fn, ctx};
    const struct blobseal_kek_info *info;
    struct blobseal_wrapping *wrapped = NULL;
    struct blobseal_secret32 *secret;
    struct blobseal_error found;
    struct blobseal_call call;
    enum blobseal_status st = bs_call_import(&call, options, "try a key", err);

    if (st == BLOBSEAL_OK)
        st = bs_kek_describe(kek, &call, err);
    if (st != BLOBSEAL_OK) {
        if (st == BLOBSEAL_E_DENIED) /* what the provider finds may say why */
            (void)!bs_kek_diagnose(kek, fn, ctx, &call, &found);
        return st;
    }
    info = bs_kek_info(kek);
    secret = blobseal_secret_alloc(2 * sizeof *secret);
    wrapped = malloc(sizeof *wrapped);
    if (secret == NULL || wrapped == NULL) {
        st = blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "try key %s: no memory", info->kid);
        goto out;
    }
    report(&d, "key", BLOBSEAL_LEVEL_OK, "", "%s", info->kid);
    report(&d, "key type", BLOBSEAL_LEVEL_OK, "", "%s, %zu bits, %s", info->alg, key_bits(info),
           info->can_unwrap ? "private" : "public");
    st = bs_kek_diagnose(kek, fn, ctx, &call, err);
    if (st != BLOBSEAL_OK)
        goto out;
    st = try_kek(kek, wrapped, secret, &call, err);
    if (st == BLOBSEAL_OK && !info->can_unwrap)
        report(&d, "key works", BLOBSEAL_LEVEL_OK, "", "wraps; a public key cannot unwrap");
    else if (st == BLOBSEAL_OK)
        report_test(&d, "key works", blobseal_equal(&secret[0], &secret[1], sizeof secret[0]), "wraps and unwraps");
    else
        report(&d, "key works", BLOBSEAL_LEVEL_FAILURE, "", "no: %s",
               err != NULL ? err->text : blobseal_status_code(st));
out:
    free(wrapped);
    blobseal_secret_free(secret);
    return st;
}
