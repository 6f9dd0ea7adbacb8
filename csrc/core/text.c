/* text.c - strings taken apart: small letters, punctuation, words, characters, n-grams. */
#include "core/text.h"

#include <string.h>

bool nnc_text_valid(const nnc_text *text, int64_t size)
{
    bool bad = false;
    for (int64_t i = 0; i < text->count; i++)
        bad |= text->begin[i] < 0 || text->end[i] < text->begin[i] || text->end[i] > size;
    return !bad;
}

nnc_status nnc_text_size(const nnc_text *text, int64_t *bytes)
{
    nnc_status status = NNC_OK;
    int64_t sum = 0;
    for (int64_t i = 0; i < text->count; i++)
        NNC_TRY(nnc_size_add(sum, text->end[i] - text->begin[i], &sum));
    *bytes = sum;
done:
    return status;
}

/* ---- UTF-8 ---- */

static inline int encoded_size(uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static char *encode(uint32_t code, char *to)
{
    int size = encoded_size(code);
    if (size == 1) {
        *to++ = (char)code;
        return to;
    }
    for (int i = size - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    to[0] = (char)((0xf00 >> size & 0xff) | code);
    return to + size;
}

int64_t nnc_text_encode(const uint32_t *codes, int64_t count, int64_t width, char *bytes,
                        int64_t *begin, int64_t *end)
{
    int64_t size = 0;
    for (int64_t i = 0; i < count; i++, codes += width) {
        int64_t n = width;
        while (n > 0 && codes[n - 1] == 0)
            n--;
        if (bytes != NULL)
            begin[i] = size;
        for (int64_t j = 0; j < n; j++) {
            if (codes[j] > 0x10ffff || (codes[j] >= 0xd800 && codes[j] < 0xe000))
                return -1 - i;
            if (bytes != NULL)
                encode(codes[j], bytes + size);
            size += encoded_size(codes[j]);
        }
        if (bytes != NULL)
            end[i] = size;
    }
    return size;
}

/* How many bytes the character at s takes, of `left` (> 0) bytes; 0 if it is none. Overlong forms
 * and surrogates are none. */
static int character_size(const unsigned char *s, int64_t left)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    int size = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8
        ? 4 : 0;
    if (size <= 1)
        return size;
    if (size > left)
        return 0;
    uint32_t code = s[0] & (0xffu >> (size + 1));
    for (int i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    bool none = code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000);
    return none ? 0 : size;
}

/* ---- standardization ---- */

static inline bool is_punctuation(unsigned char c)
{
    return (c > 32 && c < 48) || (c > 57 && c < 65) || (c > 90 && c < 97) || (c > 122 && c < 127);
}

void nnc_text_standardize(const nnc_text *text, int how, char *bytes, int64_t *begin, int64_t *end)
{
    unsigned char as[256], keep[256];
    char *to = bytes;
    for (int c = 0; c < 256; c++) {
        as[c] = (unsigned char)(c + ((how & NNC_TEXT_LOWER) && c >= 'A' && c <= 'Z' ? 32 : 0));
        keep[c] = !((how & NNC_TEXT_STRIP) && is_punctuation((unsigned char)c));
    }
    for (int64_t i = 0; i < text->count; i++) {
        begin[i] = to - bytes;
        for (int64_t j = text->begin[i]; j < text->end[i]; j++) {
            unsigned char c = (unsigned char)text->bytes[j];
            if (keep[c])
                *to++ = (char)as[c];
        }
        end[i] = to - bytes;
    }
}

/* ---- words and characters ---- */

static inline bool is_space(unsigned char c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

/* The words of one string; how many. begin may be NULL. No branch depends on the text: a place is
 * written for each byte, and counts where a word begins or ends. */
static int64_t words(const char *bytes, int64_t at, int64_t last, int64_t *begin, int64_t *end)
{
    int64_t begun = 0, ended = 0;
    bool outside = true;
    if (begin == NULL) {
        for (; at < last; at++) {
            bool space = is_space((unsigned char)bytes[at]);
            begun += outside & !space;
            outside = space;
        }
        return begun;
    }
    for (; at < last; at++) {
        bool space = is_space((unsigned char)bytes[at]);
        begin[begun] = at;
        begun += outside & !space;
        end[ended] = at;
        ended += !outside & space;
        outside = space;
    }
    if (!outside)
        end[ended] = last;
    return begun;
}

/* The characters of one string; -1 if it is not UTF-8. */
static int64_t characters_of(const char *bytes, int64_t at, int64_t last, int64_t *begin,
                             int64_t *end)
{
    int64_t n = 0;
    for (int size; at < last; at += size, n++) {
        size = character_size((const unsigned char *)bytes + at, last - at);
        if (size == 0)
            return -1;
        if (begin != NULL) {
            begin[n] = at;
            end[n] = at + size;
        }
    }
    return n;
}

nnc_status nnc_text_split(const nnc_text *text, bool characters, int64_t *row, int64_t *begin,
                          int64_t *end)
{
    int64_t total = 0;
    for (int64_t i = 0; i < text->count; i++) {
        int64_t *to = begin == NULL ? NULL : begin + total;
        int64_t *to_end = begin == NULL ? NULL : end + total;
        int64_t n = (characters ? characters_of : words)(text->bytes, text->begin[i], text->end[i],
                                                         to, to_end);
        if (n < 0)
            return nnc_fail(NNC_EVALUE, "split: string %lld is not UTF-8, so it has no characters",
                            (long long)i);
        row[i] = total;
        total += n;
    }
    row[text->count] = total;
    return NNC_OK;
}

/* ---- n-grams ---- */

/* The n-gram of `width` tokens from `first` on; its bytes. to may be NULL. */
static nnc_status gram(const nnc_text *tokens, int64_t first, int64_t width, char *to,
                       int64_t *bytes)
{
    nnc_status status = NNC_OK;
    int64_t size = width - 1;
    for (int64_t i = first; i < first + width; i++) {
        int64_t n = tokens->end[i] - tokens->begin[i];
        if (to != NULL) {
            if (n > 0)
                memcpy(to, tokens->bytes + tokens->begin[i], (size_t)n);
            to += n;
            if (i < first + width - 1)
                *to++ = ' ';
        }
        NNC_TRY(nnc_size_add(size, n, &size));
    }
    *bytes = size;
done:
    return status;
}

nnc_status nnc_text_ngrams(const nnc_text *tokens, const int64_t *row, int64_t rows,
                           const int64_t *width, int widths, int64_t *out_row, int64_t *size,
                           char *bytes, int64_t *begin, int64_t *end)
{
    nnc_status status = NNC_OK;
    int64_t total = 0, at = 0, n = 0;
    for (int64_t i = 0; i < rows; i++) {
        out_row[i] = total;
        for (int w = 0; w < widths; w++) {
            for (int64_t first = row[i]; row[i + 1] - first >= width[w]; first++, total++) {
                NNC_TRY(gram(tokens, first, width[w], bytes == NULL ? NULL : bytes + at, &n));
                if (bytes != NULL) {
                    begin[total] = at;
                    end[total] = at + n;
                }
                NNC_TRY(nnc_size_add(at, n, &at));
            }
        }
    }
    out_row[rows] = total;
    *size = at;
done:
    return status;
}

/* ---- rows ---- */

void nnc_rows_pad(const int64_t *id, const int64_t *row, int64_t rows, int64_t width, int64_t fill,
                  int64_t *out)
{
    for (int64_t i = 0; i < rows; i++, out += width) {
        int64_t n = row[i + 1] - row[i] < width ? row[i + 1] - row[i] : width;
        if (n > 0)
            memcpy(out, id + row[i], (size_t)n * sizeof *out);
        for (int64_t j = n; j < width; j++)
            out[j] = fill;
    }
}
