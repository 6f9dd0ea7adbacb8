/* blocksizes.h - the sizes that the matrix product is cut by, a row a level.
 *
 * Letters: mr x nv vectors is the tile of C that stays in registers; kc, the steps of k summed in
 * one go; a panel is kc rows of B, nv vectors wide.
 *
 *            level     bytes nv  mr1 mr2 mr3 mr4  kc  narrow  pack  clash
 * bytes      of a vector
 * nv         vectors in the widest tile
 * mr1..mr4   most rows of a tile that is 1, 2, 3, 4 vectors wide (0: there is none)
 * kc         most steps of k in a block
 * narrow     the same, where one panel holds all columns
 * pack       strips of rows from which on copying a panel of B pays, if it can be read in place,
 * clash      and whose steps are so many times the power of two in the bytes of a row, in KB
 *
 * portable: 16 registers of 4 floats. 4 x 2 vectors are 8 sums, 2 of B, a broadcast and a product
 *   (there is no fused one). A panel of 8 KB leaves half of a 16 KB first-level cache to A.
 * avx2: 16 registers of 8 floats. 4 x 3 and 6 x 2 are 12 sums, enough to hide 4 cycles of latency
 *   on two pipes, beside 3 or 2 of B and a broadcast; 8 x 1 is as far as the loads go. 24 floats x
 *   256 are 24 KB: a panel stays in the 32 KB of the first-level cache, for a tile takes 96 bytes
 *   of it every 6 cycles, about as much as the second level can give.
 * avx512: 32 registers of 16 floats. 6 x 4 are 24 sums, 4 of B, a broadcast: 34 instructions for 12
 *   cycles of products, where 14 x 2 take 45 for 14, which tells where two threads share a core. A
 *   tile takes 256 bytes in 12 cycles: the second level gives that, so that a panel need not stay in
 *   the first. C comes from further away, and each block of k reads and writes it: kc is as large as
 *   leaves two panels of 128 KB and 512 KB of A in a second level of 1 MB. From there a panel is read
 *   in place as fast as from a copy, unless its rows meet in few sets: 512 steps that are multiples
 *   of 4 KB apart have 512 lines for 2048 (a way is 128 KB). */
#ifndef NNC_BLOCKSIZES_H
#define NNC_BLOCKSIZES_H

#include <stdint.h>

/*    level     bytes nv  mr1 mr2 mr3 mr4  kc  narrow  pack  clash */
#define NNC_BLOCKSIZES(X)                          \
    X(portable, 16, 2, 4, 4, 0, 0, 256, 256, 4, 0) \
    X(avx2, 32, 3, 8, 6, 4, 0, 256, 256, 4, 0)     \
    X(avx512, 64, 4, 14, 14, 9, 6, 512, 256, 4, 1536)

typedef struct {
    const char *level;
    int bytes, nv, mr[5], kc, narrow, pack, clash;
} nnc_blocksizes;

/* The row of a level; NULL if there is none of that name. */
const nnc_blocksizes *nnc_blocksizes_find(const char *level);

/* The same as constants: NNC_BLOCK_avx2_kc. */
#define NNC_BLOCK_ENUM(level, bytes, nv, mr1, mr2, mr3, mr4, kc, narrow, pack, clash)         \
    NNC_BLOCK_##level##_nv = nv, NNC_BLOCK_##level##_mr1 = mr1, NNC_BLOCK_##level##_mr2 = mr2,\
    NNC_BLOCK_##level##_mr3 = mr3, NNC_BLOCK_##level##_mr4 = mr4,                             \
    NNC_BLOCK_##level##_kc = kc, NNC_BLOCK_##level##_narrow = narrow,                         \
    NNC_BLOCK_##level##_pack = pack, NNC_BLOCK_##level##_clash = clash,
enum { NNC_BLOCKSIZES(NNC_BLOCK_ENUM) };
#undef NNC_BLOCK_ENUM

#endif
