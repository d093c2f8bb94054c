#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_SHA2
#define HWCAP_SHA2 (1 << 6)
#endif
#endif

static int forced = -1;

static int detect_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return LEVEL_AVX512;
    if (__builtin_cpu_supports("avx2")) return LEVEL_AVX2;
    return LEVEL_BASE;
#elif defined(__aarch64__)
    return LEVEL_BASE;
#else
    return LEVEL_PORTABLE;
#endif
}

static int detect_sha256(void) {
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    /* __builtin_cpu_supports does not know "sha" before GCC 11 and clang 19: leaf 7, EBX bit 29. */
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
    return (ebx >> 29 & 1) && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0;
#else
    return 0;
#endif
}

/* Answers are cached as value + 1; two threads that race here store the same number. */
int cpu_best_level(void) {
    static int cached;
    int known = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (!known) {
        known = detect_level() + 1;
        __atomic_store_n(&cached, known, __ATOMIC_RELAXED);
    }
    return known - 1;
}

int cpu_level(void) {
    int level = __atomic_load_n(&forced, __ATOMIC_RELAXED);
    return level < 0 ? cpu_best_level() : level;
}

int cpu_force_level(int level) {
    if (level < 0 || level > cpu_best_level()) return -1;
    __atomic_store_n(&forced, level, __ATOMIC_RELAXED);
    return 0;
}

int cpu_has_sha256(void) {
    static int cached;
    int known = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (!known) {
        known = detect_sha256() + 1;
        __atomic_store_n(&cached, known, __ATOMIC_RELAXED);
    }
    return known == 2 && cpu_level() >= LEVEL_BASE;
}
