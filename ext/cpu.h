/* What this processor can do, asked once, and the level that the kernels run at.
 *
 * LEVEL_PORTABLE is plain C with no vector types; LEVEL_BASE is what every x86-64 (SSE2) or ARM64 (NEON) has, with
 * the SHA-256 instructions where the processor has them; the rest is x86 only. Tests force each in turn. */
#ifndef RUNSTONE_CPU_H
#define RUNSTONE_CPU_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the kernels read little-endian words from memory"
#endif

#pragma GCC visibility push(hidden)

enum { LEVEL_PORTABLE = 0, LEVEL_BASE = 1, LEVEL_AVX2 = 2, LEVEL_AVX512 = 3 };

/* The level in use. */
int cpu_level(void);
/* The best level of this processor. */
int cpu_best_level(void);
/* Use `level` from now on; -1 when this processor does not have it, else 0. For tests: not to be raced with work. */
int cpu_force_level(int level);
/* Whether the SHA-256 instructions are there and the level allows them. */
int cpu_has_sha256(void);

#pragma GCC visibility pop

#endif
