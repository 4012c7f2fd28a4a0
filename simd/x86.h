/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels for x86 CPUs share: attributes, and wiping. */
#ifndef BLOBSEAL_SIMD_X86_H
#define BLOBSEAL_SIMD_X86_H

#include <immintrin.h>
#include <string.h>

#define INLINE   inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

/* Clear @len bytes in a way that the compiler does not optimise away. */
static INLINE void wipe(void *p, size_t len)
{
    memset(p, 0, len);
    __asm__ volatile("" : : "r"(p) : "memory");
}

#endif
