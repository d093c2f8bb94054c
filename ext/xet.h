/* Hashes of the Hugging Face Xet format over chunks (huggingface/xet-core, xet_core_structures/src/merklehash:
 * data_hash.rs, aggregated_hashes.rs).
 *
 * A chunk's hash is BLAKE3 keyed with XET_DATA_KEY. A file's or a xorb's is a tree over (hash, size) pairs: a level is
 * cut into groups, each group after the third or a later member whose hash has its last 64-bit word divisible by 4, or
 * after the ninth, or at the end; a group becomes one node, the BLAKE3 keyed with XET_NODE_KEY of one line
 * "<hash as xet hex> : <size in decimal>\n" a member, with the sum of the sizes; until one node is left. That is the
 * xorb's hash; the file's is the BLAKE3 of it keyed with 32 zero bytes. With no chunks both are 32 zero bytes. */
#ifndef RUNSTONE_XET_H
#define RUNSTONE_XET_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define XET_GROUP_MAX 9
/* A group that is not the last of its level has three members or more: 3^40 leaves are more than 2^63. */
#define XET_LEVELS 41

extern const uint8_t XET_DATA_KEY[32];

typedef struct {
    uint8_t hash[32];
    uint64_t size;
} xet_node;

/* The unfinished group of every level, so that a file of any length needs a constant amount of memory. */
typedef struct {
    xet_node group[XET_LEVELS][XET_GROUP_MAX];
    uint64_t seen[XET_LEVELS]; /* nodes that reached the level */
    uint32_t pending[XET_LEVELS];
} xet_tree;

void xet_tree_init(xet_tree *tree);
void xet_tree_add(xet_tree *tree, const uint8_t hash[32], uint64_t size);
/* The xorb hash; the tree takes no more chunks after it. */
void xet_tree_root(xet_tree *tree, uint8_t out[32]);
/* The file hash whose xorb hash is `root`; `empty` says that there are no chunks. */
void xet_file_hash(const uint8_t root[32], int empty, uint8_t out[32]);
/* 64 characters: the four 8-byte words of a hash, each printed as a little-endian number. */
void xet_hex(const uint8_t hash[32], char out[64]);

#pragma GCC visibility pop

#endif
