/* Which entries of a pool of text have a needle in them.
 *
 * The pool is searched as one stretch of bytes: two bytes of the needle that are rare in text are compared at once for a vector of
 * places, and only where both fit the whole needle is (the idea of "packed pair", BurntSushi/memchr). A match counts when it lies
 * within one entry. Needles and pools that make that verify too much go to the C library's search, which is linear. */
#define _GNU_SOURCE
#include "columns_impl.h"

#include <string.h>

#include "cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    const uint8_t* pool;
    size_t size;
    const int64_t* offsets64;
    const int32_t* offsets32;
    size_t entries;
    const uint8_t* needle;
    size_t length;
    int fold;
    size_t first, second; /* places of the two bytes in the needle */
    size_t entry;         /* no place before this entry is searched any more */
    uint64_t work, allowed;
    uint64_t* out;
} search;

INLINE int64_t offset_at(const search* s, size_t entry) { return s->offsets64 ? s->offsets64[entry] : s->offsets32[entry]; }

INLINE uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; }

/* How common a byte is in names and texts, roughly: 0 is rare. */
static int commonness(uint8_t c) {
    if (c >= 'a' && c <= 'z') return strchr("etaoinsrl", c) ? 9 : c == 'j' || c == 'q' || c == 'x' || c == 'z' ? 2 : 5;
    if (c >= '0' && c <= '9') return c < '2' ? 8 : 7;
    if (c == ' ' || c == '-' || c == '_' || c == '.' || c == '/') return 8;
    return c >= 'A' && c <= 'Z' ? 3 : 1;
}

static void choose(search* s) {
    const size_t reach = s->length < 250 ? s->length : 250;
    s->first = 0;
    for (size_t i = 1; i < reach; i++)
        if (commonness(s->needle[i]) < commonness(s->needle[s->first])) s->first = i;
    s->second = s->first ? 0 : s->length > 1;
    for (size_t i = 0; i < reach; i++)
        if (i != s->first && s->needle[i] != s->needle[s->first] && commonness(s->needle[i]) < commonness(s->needle[s->second])) s->second = i;
}

/* The entry that holds byte `at`, looked for from the one before on: near first, then by halves. */
static size_t entry_of(search* s, size_t at) {
    size_t low = s->entry, step = 1, high;
    while (low + step < s->entries && (size_t)offset_at(s, low + step) <= at) low += step, step *= 2;
    high = low + step < s->entries ? low + step : s->entries;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if ((size_t)offset_at(s, middle) <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

INLINE int is_needle(search* s, size_t at) {
    const uint8_t* p = s->pool + at;
    if (!s->fold) {
        s->work += 8 + (s->length >> 2);
        return !memcmp(p, s->needle, s->length);
    }
    size_t i = 0;
    while (i < s->length && lower(p[i]) == s->needle[i]) i++;
    s->work += 8 + i;
    return i == s->length;
}

/* A match at `at`: marks its entry if it lies within one, and says from where to go on. A match that crosses the end of its entry
 * rules out every later place in it, and entries shorter than the needle are passed over: so no entry is searched twice. */
static size_t take(search* s, size_t at) {
    size_t entry = entry_of(s, at);
    if (at + s->length <= (size_t)offset_at(s, entry + 1)) s->out[entry / 64] |= UINT64_C(1) << (entry % 64);
    do entry++;
    while (entry < s->entries && (size_t)(offset_at(s, entry + 1) - offset_at(s, entry)) < s->length);
    if (entry == s->entries) return s->size;
    s->entry = entry;
    return (size_t)offset_at(s, entry);
}

/* Searches place by place from `at`, or with the C library's search; used for the tail, and everywhere without vectors. Whether the
 * answer is exact. */
static int search_rest(search* s, size_t at) {
    while (at + s->length <= s->size) {
        if (s->fold) {
            if (s->work > s->allowed) {
                for (size_t e = entry_of(s, at); e < s->entries; e++) s->out[e / 64] |= UINT64_C(1) << (e % 64);
                return 0;
            }
            at = is_needle(s, at) ? take(s, at) : at + 1;
        } else {
            const uint8_t* found = memmem(s->pool + at, s->size - at, s->needle, s->length);
            if (!found) return 1;
            at = take(s, (size_t)(found - s->pool));
        }
    }
    return 1;
}

#if defined(__x86_64__)
/* One vector type at a time: TYPE's lanes are BYTES bytes. `hits` has a bit for each place where both bytes fit. */
#define SEARCH(NAME, TARGET, BYTES, TYPE, LOAD, SET1, EQ, AND, OR, MASK)                                   \
    TARGET static size_t NAME(search* s) {                                                                 \
        const TYPE one = SET1((char)s->needle[s->first]), two = SET1((char)s->needle[s->second]);          \
        const TYPE one_case = SET1(s->fold && s->needle[s->first] >= 'a' && s->needle[s->first] <= 'z' ? 32 : 0); \
        const TYPE two_case = SET1(s->fold && s->needle[s->second] >= 'a' && s->needle[s->second] <= 'z' ? 32 : 0); \
        const size_t reach = s->first > s->second ? s->first : s->second;                                  \
        size_t at = 0;                                                                                     \
        while (at + reach + BYTES <= s->size && at + s->length <= s->size) {                               \
            const TYPE a = LOAD((const void*)(s->pool + at + s->first));                                   \
            const TYPE b = LOAD((const void*)(s->pool + at + s->second));                                  \
            uint32_t hits = (uint32_t)MASK(AND(EQ(OR(a, one_case), one), EQ(OR(b, two_case), two)));       \
            size_t next = at + BYTES;                                                                      \
            while (hits) {                                                                                 \
                const size_t place = at + (size_t)__builtin_ctz(hits);                                     \
                hits &= hits - 1;                                                                          \
                if (place + s->length > s->size) return place;                                             \
                if (!is_needle(s, place)) continue;                                                        \
                const size_t resume = take(s, place);                                                      \
                if (resume >= next) {                                                                      \
                    next = resume;                                                                         \
                    break;                                                                                 \
                }                                                                                          \
                hits &= resume - at < 32 ? ~UINT32_C(0) << (resume - at) : 0;                              \
            }                                                                                              \
            at = next;                                                                                     \
            if (s->work > s->allowed) return at;                                                           \
        }                                                                                                  \
        return at;                                                                                         \
    }

SEARCH(search_sse2, , 16, __m128i, _mm_loadu_si128, _mm_set1_epi8, _mm_cmpeq_epi8, _mm_and_si128, _mm_or_si128, _mm_movemask_epi8)
SEARCH(search_avx2, __attribute__((target("avx2,bmi"))), 32, __m256i, _mm256_loadu_si256, _mm256_set1_epi8, _mm256_cmpeq_epi8,
       _mm256_and_si256, _mm256_or_si256, _mm256_movemask_epi8)
#endif

#define ASCEND(name, type)                                                           \
    static int name(const type* offsets, size_t entries) {                           \
        int wrong = 0;                                                               \
        for (size_t e = 0; e < entries; e++) wrong |= offsets[e] > offsets[e + 1];   \
        return !wrong;                                                               \
    }
ASCEND(ascend32, int32_t)
ASCEND(ascend64, int64_t)

int columns_find(const uint8_t* pool, size_t size, const int64_t* offsets64, const int32_t* offsets32, size_t entries,
                 const uint8_t* needle, size_t length, int fold, uint64_t* out) {
    search s = {.pool = pool, .size = size, .offsets64 = offsets64, .offsets32 = offsets32, .entries = entries,
                .needle = needle, .length = length, .fold = fold, .out = out};
    size_t at = 0;
    memset(out, 0, WORDS(entries) * 8);
    if (!entries) return 1;
    if (!(offsets64 ? ascend64(offsets64, entries) : ascend32(offsets32, entries))) return -1;
    if (offset_at(&s, 0) != 0 || (size_t)offset_at(&s, entries) > size) return -1;
    s.size = (size_t)offset_at(&s, entries);
    s.allowed = 4096 + 4 * (uint64_t)s.size;
    if (!length) {
        for (size_t e = 0; e < entries; e++) out[e / 64] |= UINT64_C(1) << (e % 64);
        return 1;
    }
    choose(&s);
#if defined(__x86_64__)
    if (cpu_level() >= LEVEL_AVX2)
        at = search_avx2(&s);
    else if (cpu_level() >= LEVEL_BASE)
        at = search_sse2(&s);
#endif
    return search_rest(&s, at);
}
