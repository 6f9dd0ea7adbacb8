/* blocksizes.h - the sizes that the matrix product is cut by, a row a level.
 *
 * Letters: mr x nv vectors is the tile of C that stays in registers; kc, the steps of k summed in
 * one go; a panel is kc rows of B, nv vectors wide.
 *
 *            level     bytes nv  mr1 mr2 mr3  kc  narrow  pack
 * bytes      of a vector
 * nv         vectors in the widest tile
 * mr1..mr3   most rows of a tile that is 1, 2, 3 vectors wide (0: there is none)
 * kc         most steps of k in a block
 * narrow     the same, where one panel holds all columns
 * pack       strips of rows from which on copying a panel of B pays, if it can be read in place
 *
 * portable: 16 registers of 4 floats. 4 x 2 vectors are 8 sums, 2 of B, a broadcast and a product
 *   (there is no fused one). A panel of 8 KB leaves half of a 16 KB first-level cache to A.
 * avx2: 16 registers of 8 floats. 4 x 3 and 6 x 2 are 12 sums, enough to hide 4 cycles of latency
 *   on two pipes, beside 3 or 2 of B and a broadcast; 8 x 1 is as far as the loads go. 24 floats x
 *   256 are 24 KB: a panel stays in the 32 KB of the first-level cache, for a tile takes 96 bytes
 *   of it every 6 cycles, about as much as the second level can give.
 * avx512: 32 registers of 16 floats. 14 x 2 are 28 sums, 2 of B, a broadcast. A tile takes 128
 *   bytes in 14 cycles: the second level gives that with ease, so that kc may be larger than what
 *   the first level holds. */
#ifndef NNC_BLOCKSIZES_H
#define NNC_BLOCKSIZES_H

#include <stdint.h>

/*    level     bytes nv  mr1 mr2 mr3  kc  narrow  pack */
#define NNC_BLOCKSIZES(X)                    \
    X(portable, 16, 2, 4, 4, 0, 256, 256, 4) \
    X(avx2, 32, 3, 8, 6, 4, 256, 256, 4)     \
    X(avx512, 64, 2, 14, 14, 0, 384, 256, 4)

typedef struct {
    const char *level;
    int bytes, nv, mr[4], kc, narrow, pack;
} nnc_blocksizes;

/* The row of a level; NULL if there is none of that name. */
const nnc_blocksizes *nnc_blocksizes_find(const char *level);

/* The same as constants: NNC_BLOCK_avx2_kc. */
#define NNC_BLOCK_ENUM(level, bytes, nv, mr1, mr2, mr3, kc, narrow, pack)                     \
    NNC_BLOCK_##level##_nv = nv, NNC_BLOCK_##level##_mr1 = mr1, NNC_BLOCK_##level##_mr2 = mr2,\
    NNC_BLOCK_##level##_mr3 = mr3, NNC_BLOCK_##level##_kc = kc,                               \
    NNC_BLOCK_##level##_narrow = narrow,                                                      \
    NNC_BLOCK_##level##_pack = pack,
enum { NNC_BLOCKSIZES(NNC_BLOCK_ENUM) };
#undef NNC_BLOCK_ENUM

#endif
