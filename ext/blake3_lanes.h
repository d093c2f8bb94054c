/* One vector width of BLAKE3: included by blake3.c once for each, with
 *   LANES   4, 8 or 16: nodes hashed side by side
 *   TARGET  the target attribute of the functions, or nothing
 *   NAME(x) the name of this instance's x
 *   ROTATES 1 where the target rotates 32-bit lanes in one instruction, 2 where it shuffles bytes in one, else 0 */

typedef uint32_t NAME(words) __attribute__((vector_size(4 * LANES)));
typedef uint16_t NAME(halves) __attribute__((vector_size(4 * LANES)));
typedef uint8_t NAME(octets) __attribute__((vector_size(4 * LANES)));
#define V NAME(words)

#define INLINE TARGET static inline __attribute__((always_inline))

#if LANES == 4
#define UNPACK_LO32(a, b) SHUFFLE(V, a, b, 0, 4, 1, 5)
#define UNPACK_HI32(a, b) SHUFFLE(V, a, b, 2, 6, 3, 7)
#define UNPACK_LO64(a, b) SHUFFLE(V, a, b, 0, 1, 4, 5)
#define UNPACK_HI64(a, b) SHUFFLE(V, a, b, 2, 3, 6, 7)
#elif LANES == 8
#define UNPACK_LO32(a, b) SHUFFLE(V, a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define UNPACK_HI32(a, b) SHUFFLE(V, a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define UNPACK_LO64(a, b) SHUFFLE(V, a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define UNPACK_HI64(a, b) SHUFFLE(V, a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define LOW_QUARTERS(a, b) SHUFFLE(V, a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH_QUARTERS(a, b) SHUFFLE(V, a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#else
#define UNPACK_LO32(a, b) SHUFFLE(V, a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define UNPACK_HI32(a, b) SHUFFLE(V, a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define UNPACK_LO64(a, b) SHUFFLE(V, a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define UNPACK_HI64(a, b) SHUFFLE(V, a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define LOW_QUARTERS(a, b) SHUFFLE(V, a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define HIGH_QUARTERS(a, b) SHUFFLE(V, a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define EVEN_QUARTERS(a, b) SHUFFLE(V, a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_QUARTERS(a, b) SHUFFLE(V, a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#endif

#define SHIFT_ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))

INLINE V NAME(rotate16)(V x) {
#if ROTATES == 1 || LANES == 16
    return SHIFT_ROTATE(x, 16);
#elif LANES == 8
    NAME(halves) h = (NAME(halves))x;
    return (V)SHUFFLE(NAME(halves), h, h, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#else
    NAME(halves) h = (NAME(halves))x;
    return (V)SHUFFLE(NAME(halves), h, h, 1, 0, 3, 2, 5, 4, 7, 6);
#endif
}

INLINE V NAME(rotate8)(V x) {
#if ROTATES != 2 || LANES == 16
    return SHIFT_ROTATE(x, 8);
#elif LANES == 8
    NAME(octets) o = (NAME(octets))x;
    return (V)SHUFFLE(NAME(octets), o, o, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 17, 18, 19, 16, 21, 22,
                      23, 20, 25, 26, 27, 24, 29, 30, 31, 28);
#else
    NAME(octets) o = (NAME(octets))x;
    return (V)SHUFFLE(NAME(octets), o, o, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
#endif
}

/* LANES rows of LANES words become columns: 4 x 4 words inside each 128-bit quarter, then the quarters. */
INLINE void NAME(transpose)(V row[LANES]) {
    V q[LANES];
    for (int g = 0; g < LANES; g += 4) {
        V a = UNPACK_LO32(row[g], row[g + 1]), b = UNPACK_HI32(row[g], row[g + 1]);
        V c = UNPACK_LO32(row[g + 2], row[g + 3]), d = UNPACK_HI32(row[g + 2], row[g + 3]);
        q[g] = UNPACK_LO64(a, c);
        q[g + 1] = UNPACK_HI64(a, c);
        q[g + 2] = UNPACK_LO64(b, d);
        q[g + 3] = UNPACK_HI64(b, d);
    }
    for (int k = 0; k < 4; k++) {
#if LANES == 4
        row[k] = q[k];
#elif LANES == 8
        row[k] = LOW_QUARTERS(q[k], q[4 + k]);
        row[4 + k] = HIGH_QUARTERS(q[k], q[4 + k]);
#else
        V s = LOW_QUARTERS(q[k], q[4 + k]), t = HIGH_QUARTERS(q[k], q[4 + k]);
        V u = LOW_QUARTERS(q[8 + k], q[12 + k]), w = HIGH_QUARTERS(q[8 + k], q[12 + k]);
        row[k] = EVEN_QUARTERS(s, u);
        row[4 + k] = ODD_QUARTERS(s, u);
        row[8 + k] = EVEN_QUARTERS(t, w);
        row[12 + k] = ODD_QUARTERS(t, w);
#endif
    }
}

/* Word i of the current block of every lane, in m[i]. */
INLINE void NAME(load_block)(const uint8_t *const data[LANES], size_t offset, V m[16]) {
    for (int part = 0; part < 16; part += LANES) {
        for (int lane = 0; lane < LANES; lane++) memcpy(&m[part + lane], data[lane] + offset + 4 * part, sizeof(V));
        NAME(transpose)(m + part);
    }
}

#define MIX(a, b, c, d, x, y)                  \
    do {                                       \
        v[a] = (v[a] + (x)) + v[b];            \
        v[d] = NAME(rotate16)(v[d] ^ v[a]);    \
        v[c] += v[d];                          \
        v[b] = SHIFT_ROTATE(v[b] ^ v[c], 12);  \
        v[a] = (v[a] + (y)) + v[b];            \
        v[d] = NAME(rotate8)(v[d] ^ v[a]);     \
        v[c] += v[d];                          \
        v[b] = SHIFT_ROTATE(v[b] ^ v[c], 7);   \
    } while (0)

/* Hash `count` <= LANES nodes with one key, each to its own `out`. */
TARGET static void NAME(hash_nodes)(const blake3_node *nodes, unsigned count, const uint32_t key[8]) {
    uint8_t padded[LANES][BLAKE3_LEAF] __attribute__((aligned(64)));
    const uint8_t *data[LANES];
    V counter_lo, counter_hi, flags, first, last, blocks, tail;
    unsigned most = 0;
    for (unsigned lane = 0; lane < LANES; lane++) {
        /* A lane without a node repeats the first one; its result is not stored. */
        const blake3_node *node = &nodes[lane < count ? lane : 0];
        unsigned full = node->length ? (node->length + 63u) / 64u : 1u;
        counter_lo[lane] = (uint32_t)node->counter;
        counter_hi[lane] = (uint32_t)(node->counter >> 32);
        flags[lane] = node->flags;
        first[lane] = node->first;
        last[lane] = node->last;
        blocks[lane] = full;
        tail[lane] = node->length - 64u * (full - 1u);
        if (full > most) most = full;
        data[lane] = node->data;
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        const blake3_node *node = &nodes[lane < count ? lane : 0];
        if (node->length == 64u * most) continue;
        memset(padded[lane], 0, 64u * most);
        if (node->length) memcpy(padded[lane], node->data, node->length);
        data[lane] = padded[lane];
    }

    V cv[8];
    const V zero = {0};
    for (int i = 0; i < 8; i++) cv[i] = zero + key[i];
    for (uint32_t block = 0; block < most; block++) {
        V m[16], v[16];
        V is_last = (V)(blocks == block + 1);
        V live = (V)(blocks > block);
        NAME(load_block)(data, 64 * (size_t)block, m);
        for (int i = 0; i < 8; i++) v[i] = cv[i];
        for (int i = 0; i < 4; i++) v[8 + i] = zero + INITIAL[i];
        v[12] = counter_lo;
        v[13] = counter_hi;
        v[14] = (tail & is_last) | (64u & ~is_last);
        v[15] = flags | (last & is_last);
        if (block == 0) v[15] |= first;
        ROUNDS
        for (int i = 0; i < 8; i++) {
            V next = v[i] ^ v[8 + i];
            cv[i] = (next & live) | (cv[i] & ~live);
        }
    }

    uint32_t result[8][LANES];
    memcpy(result, cv, sizeof result);
    for (unsigned lane = 0; lane < count; lane++) {
        uint32_t words[8];
        for (int i = 0; i < 8; i++) words[i] = result[i][lane];
        memcpy(nodes[lane].out, words, 32);
    }
}

#undef MIX
#undef SHIFT_ROTATE
#undef UNPACK_LO32
#undef UNPACK_HI32
#undef UNPACK_LO64
#undef UNPACK_HI64
#undef LOW_QUARTERS
#undef HIGH_QUARTERS
#undef EVEN_QUARTERS
#undef ODD_QUARTERS
#undef INLINE
#undef V
#undef LANES
#undef TARGET
#undef NAME
#undef ROTATES
