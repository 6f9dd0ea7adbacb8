/* convert.c - conversion between any two dtypes: one loop for each pair, made from convert.h. */
#include "core/convert.h"
#include "nnc.h"

typedef void convert_fn(const void *restrict source, void *restrict target, int64_t n);

#define FROM BOOL
#include "core/convert.inc"
#define FROM U8
#include "core/convert.inc"
#define FROM U16
#include "core/convert.inc"
#define FROM U32
#include "core/convert.inc"
#define FROM U64
#include "core/convert.inc"
#define FROM I8
#include "core/convert.inc"
#define FROM I16
#include "core/convert.inc"
#define FROM I32
#include "core/convert.inc"
#define FROM I64
#include "core/convert.inc"
#define FROM F16
#include "core/convert.inc"
#define FROM BF16
#include "core/convert.inc"
#define FROM F32
#include "core/convert.inc"
#define FROM F64
#include "core/convert.inc"
#define FROM C64
#include "core/convert.inc"

static convert_fn *const *const table[NNC_DTYPE_COUNT] = {
#define ROW(name, ...) [NNC_##name] = convert_from_##name,
    NNC_DTYPES(ROW)     /* does not compile if a dtype is missing above */
#undef ROW
};

void nnc_convert(const void *source, nnc_dtype from, void *target, nnc_dtype to, int64_t n)
{
    if (n <= 0)
        return;
    if (from == to && from != NNC_BOOL)
        memcpy(target, source, (size_t)(n * nnc_dtype_size(from)));
    else
        table[from][to](source, target, n);
}
