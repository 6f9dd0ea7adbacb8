/* text.h - strings as the preprocessing layers need them: hashes, a table of distinct strings, words,
 * characters and n-grams.
 *
 * A text is a number of strings of bytes (UTF-8) anywhere in one block of memory. Nothing here reads
 * a byte outside of bytes[begin[i]] .. bytes[end[i] - 1]; callers check the bounds once, with
 * nnc_text_valid. The functions that take no status cannot fail.
 *
 * Sources: FarmHash's Fingerprint64 (github.com/google/farmhash); SipHash-2-4, Aumasson and Bernstein
 * 2012; both as TensorFlow's tf.strings.to_hash_bucket_fast and _strong use them. */
#ifndef NNC_TEXT_H
#define NNC_TEXT_H

#include "nnc.h"

typedef struct {
    const char *bytes;
    const int64_t *begin, *end;     /* string i: bytes[begin[i]] .. bytes[end[i] - 1] */
    int64_t count;
} nnc_text;

/* Whether every string lies in a block of `size` bytes. */
bool nnc_text_valid(const nnc_text *text, int64_t size);

/* ---- hashes ---- */

uint64_t nnc_text_fingerprint(const char *bytes, int64_t n);
uint64_t nnc_text_siphash(const uint64_t key[2], const char *bytes, int64_t n);
/* out[i] := the hash of string i modulo bins (> 0): SipHash with `key`, or the fingerprint if that is
 * NULL. bins == 0: the whole fingerprint's bits. */
void nnc_text_hash(const nnc_text *text, const uint64_t *key, uint64_t bins, int64_t *out);
/* The same of whole numbers, as their decimal digits. */
void nnc_integers_hash(const int64_t *x, int64_t n, const uint64_t *key, uint64_t bins,
                       int64_t *out);
/* out[j] := the hash of column j of x (k, n) modulo bins (> 0), as TensorFlow's sparse cross has it:
 * fingerprints joined from the first row on. */
void nnc_integers_cross(const int64_t *x, int64_t k, int64_t n, uint64_t bins, int64_t *out);

/* ---- table.c: distinct strings ---- */

typedef struct {
    uint64_t hash;
    int64_t begin, end;             /* in bytes */
} nnc_table_entry;

typedef struct {
    char *bytes;                    /* the strings, one behind the other */
    nnc_table_entry *entry;         /* one for each */
    int64_t count;
    uint64_t *slot;                 /* upper 16 bits: of the hash; lower: 1 + a number, or 0 */
    int64_t slot_count;             /* 2^k */
    int64_t byte_count, byte_room, entry_room;
} nnc_table;

/* A table of zeros is an empty one. */
void nnc_table_clear(nnc_table *table);
/* id[i] := the number of string i among the distinct ones in the order they were first added. On
 * failure some may have been added. */
nnc_status nnc_table_add(nnc_table *table, const nnc_text *text, int64_t *id);
/* id[i] := the number of string i, or -1. */
void nnc_table_find(const nnc_table *table, const nnc_text *text, int64_t *id);

/* ---- taking text apart ---- */

/* bytes, begin, end := the strings of `count` rows of `width` code points, without the zeros at the
 * end of a row, as UTF-8. bytes == NULL: only counts. Returns how many bytes, or -1 - i if row i holds
 * what is no code point. */
int64_t nnc_text_encode(const uint32_t *codes, int64_t count, int64_t width, char *bytes,
                        int64_t *begin, int64_t *end);

enum { NNC_TEXT_LOWER = 1, NNC_TEXT_STRIP = 2 };
/* bytes, begin, end := the strings with ASCII letters as small ones (LOWER), without ASCII punctuation
 * (STRIP). `bytes` has room for the sum of their lengths, which nnc_text_size gives. */
nnc_status nnc_text_size(const nnc_text *text, int64_t *bytes);
void nnc_text_standardize(const nnc_text *text, int how, char *bytes, int64_t *begin, int64_t *end);

/* row (count + 1), begin, end := the words between ASCII whitespace, or the characters, of string i
 * are those from row[i] on, before row[i + 1]; begin == NULL: only row. begin and end have room for
 * one more, of no meaning. NNC_EVALUE if characters are asked for and a string is not UTF-8. */
nnc_status nnc_text_split(const nnc_text *text, bool characters, int64_t *row, int64_t *begin,
                          int64_t *end);

/* out_row (rows + 1), bytes, begin, end := of the tokens of each row, all runs of width[0] joined by
 * spaces, then those of width[1], ... bytes == NULL: only out_row. *size := how many bytes. */
nnc_status nnc_text_ngrams(const nnc_text *tokens, const int64_t *row, int64_t rows,
                           const int64_t *width, int widths, int64_t *out_row, int64_t *size,
                           char *bytes, int64_t *begin, int64_t *end);

/* out (rows, width) := the first ids of each row, `fill` behind them. */
void nnc_rows_pad(const int64_t *id, const int64_t *row, int64_t rows, int64_t width, int64_t fill,
                  int64_t *out);

#endif
