#include "xet.h"

#include <string.h>

#include "blake3.h"

const uint8_t XET_DATA_KEY[32] = {102, 151, 245, 119, 91,  149, 80,  222, 49,  53,  203, 172, 165, 151, 24,  28,
                                  157, 228, 33,  16,  155, 235, 43,  88,  180, 208, 176, 75,  147, 173, 242, 41};

static const uint8_t XET_NODE_KEY[32] = {1,  126, 197, 199, 165, 71,  41,  150, 253, 148, 102, 102, 180, 138, 2,  230,
                                         93, 221, 83,  111, 55,  199, 109, 210, 248, 99,  82,  230, 74,  83,  113, 63};

#define BRANCHING 4
#define LINE_MAX (64 + 3 + 20 + 1)

void xet_hex(const uint8_t hash[32], char out[64]) {
    static const char digits[] = "0123456789abcdef";
    for (int word = 0; word < 32; word += 8)
        for (int i = 0; i < 8; i++) {
            uint8_t byte = hash[word + 7 - i];
            *out++ = digits[byte >> 4];
            *out++ = digits[byte & 15];
        }
}

static size_t write_line(char *out, const xet_node *node) {
    char decimal[20];
    size_t digits = 0, at = 64 + 3;
    uint64_t rest = node->size;
    xet_hex(node->hash, out);
    memcpy(out + 64, " : ", 3);
    do {
        decimal[digits++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    while (digits) out[at++] = decimal[--digits];
    out[at++] = '\n';
    return at;
}

static xet_node merge(const xet_node *members, size_t count) {
    char text[XET_GROUP_MAX * LINE_MAX];
    size_t length = 0;
    xet_node merged = {.size = 0};
    for (size_t i = 0; i < count; i++) {
        length += write_line(text + length, &members[i]);
        merged.size += members[i].size;
    }
    blake3_hash(XET_NODE_KEY, (const uint8_t *)text, length, merged.hash);
    return merged;
}

static int ends_group(const xet_node *node, size_t count) {
    /* The last word modulo four is the low two bits of its first byte. */
    return count == XET_GROUP_MAX || (count >= 3 && node->hash[24] % BRANCHING == 0);
}

void xet_tree_init(xet_tree *tree) {
    memset(tree->seen, 0, sizeof tree->seen);
    memset(tree->pending, 0, sizeof tree->pending);
}

static void add_at(xet_tree *tree, size_t level, xet_node node) {
    for (; level < XET_LEVELS; level++) {
        xet_node *group = tree->group[level];
        uint32_t count = ++tree->pending[level];
        group[count - 1] = node;
        tree->seen[level]++;
        if (!ends_group(&node, count)) return;
        node = merge(group, count);
        tree->pending[level] = 0;
    }
}

void xet_tree_add(xet_tree *tree, const uint8_t hash[32], uint64_t size) {
    xet_node node = {.size = size};
    memcpy(node.hash, hash, 32);
    add_at(tree, 0, node);
}

void xet_tree_root(xet_tree *tree, uint8_t out[32]) {
    memset(out, 0, 32);
    for (size_t level = 0; level < XET_LEVELS && tree->seen[level]; level++) {
        uint32_t count = tree->pending[level];
        if (tree->seen[level] == 1) {
            memcpy(out, tree->group[level][0].hash, 32);
            return;
        }
        if (count && level + 1 < XET_LEVELS) {
            add_at(tree, level + 1, merge(tree->group[level], count));
            tree->pending[level] = 0;
        }
    }
}

void xet_file_hash(const uint8_t root[32], int empty, uint8_t out[32]) {
    static const uint8_t no_salt[32];
    if (empty)
        memset(out, 0, 32);
    else
        blake3_hash(no_salt, root, 32, out);
}
