/* SPDX-License-Identifier: Apache-2.0 */
/* Detecting CPU features whose registers the operating system has enabled. Source: Intel SDM, CPUID and XGETBV. */
#include <string.h>

#include "simd/simd.h"

#if defined(__x86_64__) || defined(__i386__)
#    include <cpuid.h>
#    define HAVE_CPUID 1
#endif

static const char *const names[] = {"sse4.1",     "aes",     "pclmul",   "sha",      "avx",      "avx2", "vaes",
                                    "vpclmulqdq", "avx512f", "avx512dq", "avx512bw", "avx512vl", "wide"};

const char *bs_cpu_feature_name(unsigned bit)
{
    return bit < sizeof names / sizeof names[0] ? names[bit] : NULL;
}

static bool has_bit(uint32_t word, unsigned bit)
{
    return (word >> bit & 1) != 0;
}

/* Return @feature if @condition is true, otherwise 0. */
static uint32_t when(bool condition, uint32_t feature)
{
    return condition ? feature : 0;
}

uint32_t bs_cpu_decode(const struct bs_cpu_words *w)
{
    bool os = has_bit(w->leaf1_ecx, 27); /* the operating system uses XSAVE, so XCR0 is valid */
    bool ymm = os && (w->xcr0 & 0x06) == 0x06 && has_bit(w->leaf1_ecx, 28);
    bool zmm = ymm && (w->xcr0 & 0xE0) == 0xE0 && has_bit(w->leaf7_ebx, 16);
    uint32_t f = when(has_bit(w->leaf1_ecx, 19), BS_CPU_SSE41) | when(has_bit(w->leaf1_ecx, 25), BS_CPU_AES) |
                 when(has_bit(w->leaf1_ecx, 1), BS_CPU_PCLMUL) | when(has_bit(w->leaf7_ebx, 29), BS_CPU_SHA);

    f |= when(ymm, BS_CPU_AVX) | when(ymm && has_bit(w->leaf7_ebx, 5), BS_CPU_AVX2) |
         when(ymm && has_bit(w->leaf7_ecx, 9), BS_CPU_VAES) | when(ymm && has_bit(w->leaf7_ecx, 10), BS_CPU_VPCLMULQDQ);
    f |= when(zmm, BS_CPU_AVX512F) | when(zmm && has_bit(w->leaf7_ebx, 17), BS_CPU_AVX512DQ) |
         when(zmm && has_bit(w->leaf7_ebx, 30), BS_CPU_AVX512BW) |
         when(zmm && has_bit(w->leaf7_ebx, 31), BS_CPU_AVX512VL);
    if ((f & BS_CPU_FOR_WIDE) == BS_CPU_FOR_WIDE)
        f |= BS_CPU_WIDE;
    return f;
}

uint32_t bs_cpu_features(void)
{
    struct bs_cpu_words w = {0};
#ifdef HAVE_CPUID
    uint32_t eax, ebx, ecx, edx, low, high;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0)
        w.leaf1_ecx = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
        w.leaf7_ebx = ebx;
        w.leaf7_ecx = ecx;
    }
    if (has_bit(w.leaf1_ecx, 27)) {
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        w.xcr0 = (uint64_t)high << 32 | low;
    }
#endif
    return bs_cpu_decode(&w);
}

bool bs_cpu_is_amd(void)
{
#ifdef HAVE_CPUID
    uint32_t eax, ebx = 0, ecx = 0, edx = 0;
    char vendor[12];

    if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0)
        return false;
    memcpy(vendor, &ebx, sizeof ebx);
    memcpy(vendor + 4, &edx, sizeof edx);
    memcpy(vendor + 8, &ecx, sizeof ecx);
    return memcmp(vendor, "AuthenticAMD", sizeof vendor) == 0 || memcmp(vendor, "HygonGenuine", sizeof vendor) == 0;
#else
    return false;
#endif
}
