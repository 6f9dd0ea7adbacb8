/* read.h - parts of files, read by all threads into memory that is there already; and CRC-32. */
#ifndef NNC_CORE_READ_H
#define NNC_CORE_READ_H

#include "nnc.h"

/* Reads `bytes` bytes of an open file from `offset` on into `to`; NULL: only for the checksum. crc:
 * NULL, or where their CRC-32 is put. The file's own position is neither used nor moved.
 * NNC_EVALUE: the file ends before, or cannot be read; NNC_EINTERRUPT; NNC_ENOMEM before anything
 * is read. After an error what is in `to` is undefined. */
nnc_status nnc_read(int file, int64_t offset, int64_t bytes, void *to, uint32_t *crc);

/* The CRC-32 (of zip, zlib, PNG) of what has the checksum `crc` and the bytes that follow it. The
 * checksum of nothing is 0. */
uint32_t nnc_crc32(uint32_t crc, const void *data, int64_t bytes);

/* The CRC-32 of two parts one behind the other, of theirs and the length of the second. */
uint32_t nnc_crc32_join(uint32_t first, uint32_t second, int64_t bytes);

#endif
