/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about the machine, the clock rate of a core, and the rate of AES rounds alone: the base of all other figures.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <blobseal.h>
#include <openssl/crypto.h>

#include "bench/bench.h"
#include "simd/simd.h"

/* ---- Facts ------------------------------------------------------------------------------------------------------- */

/* Read the first line "model name : ..." of /proc/cpuinfo, and not the rest, which is long on large machines. */
static void cpu_model(char *out, size_t cap)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    bool found = false;

    (void)snprintf(out, cap, "unknown");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        const char *value = strchr(line, ':');

        found = strncmp(line, "model name", 10) == 0 && value != NULL;
        if (found) {
            (void)snprintf(out, cap, "%s", value + 1 + strspn(value + 1, " \t"));
            out[strcspn(out, "\n")] = '\0';
        }
    }
    if (f != NULL)
        (void)fclose(f);
}

static void add_word(char *list, size_t cap, const char *separator, const char *word)
{
    size_t len = strlen(list);

    (void)snprintf(list + len, cap - len, "%s%s", len > 0 ? separator : "", word);
}

static void add_features(void)
{
    uint32_t features = bs_cpu_features();
    char list[256] = "";

    for (unsigned bit = 0; bs_cpu_feature_name(bit) != NULL; bit++)
        if ((features >> bit & 1) != 0)
            add_word(list, sizeof list, " ", bs_cpu_feature_name(bit));
    bench_fact("cpu_features", list);
}

static void add_threads(const struct bench_plan *plan)
{
    char list[256] = "", number[16];

    for (size_t i = 0; plan->threads[i] != 0; i++) {
        (void)snprintf(number, sizeof number, "%u", plan->threads[i]);
        add_word(list, sizeof list, ",", number);
    }
    bench_fact("threads", list);
}

void add_facts(const struct bench_plan *plan)
{
    const char *mask = getenv("OPENSSL_ia32cap");
    struct utsname system;
    char model[200];

    cpu_model(model, sizeof model);
    bench_fact("cpu_model", model);
    add_features();
    add_threads(plan);
    bench_fact("kernel", bs_gcm_choose()->name);
    bench_fact("kernel_release", uname(&system) == 0 ? system.release : "unknown");
    bench_fact("openssl", OpenSSL_version(OPENSSL_VERSION));
    bench_fact("openssl_ia32cap", mask != NULL ? mask : "unset");
    bench_fact("blobseal_version", blobseal_version());
}

/* ---- The clock --------------------------------------------------------------------------------------------------- */

/*
 * A chain of dependent additions takes one cycle for each on every current CPU. Both operands are registers, because
 * some CPUs add constants when they decode the instruction.
 */
#if defined(__x86_64__)
#    define ADD "add %1, %0\n\t"
#elif defined(__aarch64__)
#    define ADD "add %0, %0, %1\n\t"
#endif

#ifdef ADD
#    define ADD_10  ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD
#    define ADD_100 ADD_10 ADD_10 ADD_10 ADD_10 ADD_10 ADD_10 ADD_10 ADD_10 ADD_10 ADD_10

static void clock_chain(struct bench *b, const void *arg)
{
    const unsigned turns = 1000;
    uint64_t sum = 1, step = 3;

    (void)arg;
    while (bench_next(b))
        for (unsigned i = 0; i < turns; i++)
            __asm__ volatile(ADD_100 : "+r"(sum) : "r"(step));
    bench_keep(&sum);
    bench_items_each(b, 100ULL * turns);
}
#else
#    define clock_chain NULL /* the instruction for this kind of CPU is not known here */
#endif

/* ---- The ceiling ------------------------------------------------------------------------------------------------- */

#ifdef __x86_64__
#    include <immintrin.h>

#    define BLOCKS_IN_FLIGHT 12 /* vectors: enough to hide the latency of a round, with registers left for the key */
#    define TURNS            100

/* The 14 rounds of AES-256 on BLOCKS_IN_FLIGHT vectors, and nothing else. */
#    define CEILING(name, target_list, vector, set1, aes, remark)                                                      \
        __attribute__((target(target_list))) static void name(struct bench *b, const void *arg)                        \
        {                                                                                                              \
            const vector key = set1(0x5A);                                                                             \
            vector v[BLOCKS_IN_FLIGHT];                                                                                \
                                                                                                                       \
            (void)arg;                                                                                                 \
            for (int i = 0; i < BLOCKS_IN_FLIGHT; i++)                                                                 \
                v[i] = set1((char)i);                                                                                  \
            while (bench_next(b)) {                                                                                    \
                for (int turn = 0; turn < TURNS; turn++)                                                               \
                    for (int round = 0; round < 14; round++)                                                           \
                        _Pragma("GCC unroll 12") for (int i = 0; i < BLOCKS_IN_FLIGHT; i++) v[i] = aes(v[i], key);     \
                bench_keep(v);                                                                                         \
            }                                                                                                          \
            bench_bytes_each(b, (uint64_t)TURNS * sizeof v);                                                           \
            bench_remark(b, remark);                                                                                   \
        }

CEILING(ceiling_128, "aes", __m128i, _mm_set1_epi8, _mm_aesenc_si128, "aesenc, 128 bits")
CEILING(ceiling_256, "avx2,vaes", __m256i, _mm256_set1_epi8, _mm256_aesenc_epi128, "vaesenc, 256 bits")
CEILING(ceiling_512, "avx512f,avx512bw,vaes", __m512i, _mm512_set1_epi8, _mm512_aesenc_epi128, "vaesenc, 512 bits")

static bench_fn widest(uint32_t features)
{
    if ((features & BS_CPU_WIDE) != 0)
        return ceiling_512;
    if ((features & BS_CPU_VAES) != 0)
        return ceiling_256;
    return (features & BS_CPU_AES) != 0 ? ceiling_128 : NULL;
}
#else
static bench_fn widest(uint32_t features)
{
    (void)features;
    return NULL;
}
#endif

void add_ceiling(void)
{
    bench_fn clock = clock_chain, ceiling = widest(bs_cpu_features());

    if (clock != NULL)
        bench_add(BENCH_CLOCK_CPU, clock, NULL, "clock/add-chain");
    if (ceiling != NULL)
        bench_add(BENCH_CLOCK_CPU, ceiling, NULL, "ceiling/vaesenc");
}
