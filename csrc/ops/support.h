/* support.h - what the op families share: axes, checks, cutting work, walking strided data, and
 * short forms for the gradient rules that append ops. */
#ifndef NNC_OPS_SUPPORT_H
#define NNC_OPS_SUPPORT_H

#include "kernels/kernels.h"
#include "nnc.h"

static inline const char *nnc_op_name(nnc_op op)
{
    return nnc_ops[op].name;
}

/* ---- checks for the infer rules ---- */

/* Floating-point dtypes pass; others are refused, naming the op. */
nnc_status nnc_check_real(nnc_op op, nnc_dtype dtype);
/* Every dtype that there is passes. */
nnc_status nnc_check_number(nnc_op op, nnc_dtype dtype);
nnc_status nnc_check_same_dtype(nnc_op op, const nnc_array *a, const nnc_array *b);
nnc_status nnc_check_same_shape(nnc_op op, const nnc_array *a, const nnc_array *b);
/* *axis in -rank..rank-1 becomes 0..rank-1; else NNC_EVALUE: "sum: axis 3 is out of range for
 * shape (2, 3)". */
nnc_status nnc_check_axis(nnc_op op, const nnc_shape *shape, int64_t axis, int *out);
/* attrs->list as a shape: at most NNC_MAX_RANK sizes, none negative, the product held in int64. */
nnc_status nnc_check_shape(nnc_op op, const nnc_attrs *attrs, nnc_dtype dtype, nnc_shape *out);

/* Product of the dims begin..end-1 of a checked shape. */
static inline int64_t nnc_dims_product(const nnc_shape *shape, int begin, int end)
{
    int64_t product = 1;
    for (int i = begin; i < end; i++)
        product *= shape->dim[i];
    return product;
}

/* ---- cutting work ---- */

/* Elements in a piece of an element-wise call. */
enum { NNC_PIECE = 16384 };

/* One phase of ceil(n / NNC_PIECE) pieces, at least 1; cost from `ns` an element. */
void nnc_plan_elements(nnc_work *work, int64_t n, double ns);
/* One phase: pieces of whole items (rows, say) of `size` elements each, about NNC_PIECE elements
 * a piece; returns the items a piece. */
int64_t nnc_plan_items(nnc_work *work, int64_t items, int64_t size, double ns);

/* The elements first..first+count-1 of pieces begin..end-1. */
static inline int64_t nnc_piece_range(int64_t n, int64_t piece, int64_t begin, int64_t end,
                                      int64_t *count)
{
    int64_t first = begin * piece, last = end * piece;
    first = first < n ? first : n;
    *count = (last < n ? last : n) - first;
    return first;
}

/* ---- walking ---- */

/* Visits the elements first..first+count-1 of a C-ordered shape in runs along its last dimension,
 * with the place of each of up to four operands. Dimensions that lie behind one another in every
 * operand are joined first, so that contiguous data is one long run.
 *
 *     nnc_walk walk;
 *     nnc_walk_broadcast(&walk, &out->shape, in, 2);
 *     nnc_walk_seek(&walk, first, count);
 *     for (int64_t n; (n = nnc_walk_next(&walk)) > 0;)
 *         row(a + walk.at[0], walk.step[0], b + walk.at[1], walk.step[1], y + walk.done - n, n); */
enum { NNC_WALK_OPERANDS = 4 };
typedef struct {
    int rank, operands;
    int64_t dim[NNC_MAX_RANK];
    int64_t stride[NNC_WALK_OPERANDS][NNC_MAX_RANK];   /* in elements; 0: broadcast; may be < 0 */
    int64_t step[NNC_WALK_OPERANDS];                   /* stride of the last dimension */
    int64_t at[NNC_WALK_OPERANDS];                     /* where the run begins, in elements */
    int64_t base[NNC_WALK_OPERANDS];                   /* added to every `at`; 0 unless set later */
    int64_t done;                                      /* linear index of the run's end */
    int64_t end;
    int64_t index[NNC_MAX_RANK];
} nnc_walk;

/* Operands of NumPy's broadcasting; operand shapes must broadcast to `out`. */
void nnc_walk_broadcast(nnc_walk *walk, const nnc_shape *out, const nnc_array *in, int count);
/* Any strides: stride[k][d] of operand k along dimension d. */
void nnc_walk_strided(nnc_walk *walk, const nnc_shape *shape,
                      const int64_t stride[][NNC_MAX_RANK], int count);
void nnc_walk_seek(nnc_walk *walk, int64_t first, int64_t count);
int64_t nnc_walk_next(nnc_walk *walk);   /* length of the next run; 0: done */

/* How the two operands of a broadcast walk run: both vectors, the second one number, the first
 * one number. */
static inline int nnc_walk_form(const nnc_walk *walk)
{
    if (walk->step[0] == walk->step[1])
        return NNC_VV;
    return walk->step[1] == 0 ? NNC_VS : NNC_SV;
}

/* stride[d] of a C-contiguous shape. */
void nnc_strides(const nnc_shape *shape, int64_t stride[NNC_MAX_RANK]);

/* ---- elements by size: what moves data needs no dtype ---- */

/* y[i] = x[i * step] for n elements of `size` bytes (1, 2, 4, 8); step may be 0 or negative. */
void nnc_move(const char *x, int64_t step, char *y, int64_t n, int64_t size);
/* y[i * step] = x[i] */
void nnc_scatter(const char *x, char *y, int64_t step, int64_t n, int64_t size);
/* n elements of dtype at y := value */
void nnc_fill(void *y, nnc_dtype dtype, int64_t n, double value);

/* Element i of an array as a whole number; false if it is none (a fraction, NaN, out of int64). */
bool nnc_integer_at(const void *data, nnc_dtype dtype, int64_t i, int64_t *out);

/* ---- float16 and bfloat16, a block at a time: read into floats, worked on, rounded back ---- */

enum { NNC_BLOCK = 1024 };

/* y[0..n-1] := x[first..], and back; x of a 16-bit floating-point dtype. */
static inline void nnc_widen(const nnc_array *x, int64_t first, float *y, int64_t n)
{
    nnc_kernels->half->widen[nnc_half_of(x->dtype)]((const uint16_t *)x->data + first, y, n);
}
static inline void nnc_narrow(const float *x, const nnc_array *y, int64_t first, int64_t n)
{
    nnc_kernels->half->narrow[nnc_half_of(y->dtype)](x, (uint16_t *)y->data + first, n);
}
static inline bool nnc_is_half(const nnc_array *array)
{
    return nnc_half_of(array->dtype) != NNC_HALF_NONE;
}

/* ---- gradient rules: append an op, get its value ---- */

static inline nnc_array nnc_value_array(const nnc_graph *graph, int value)
{
    return graph->values[value].array;
}

/* attrs may be NULL: none. */
nnc_status nnc_emit(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, const int *in, int count,
                    int *out);
nnc_status nnc_emit1(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, int a, int *out);
nnc_status nnc_emit2(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, int a, int b, int *out);
nnc_status nnc_emit3(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, int a, int b, int c,
                     int *out);
/* A constant () of the dtype. */
nnc_status nnc_emit_scalar(nnc_graph *graph, double value, nnc_dtype dtype, int *out);
/* A constant of a shape: the op fill. */
nnc_status nnc_emit_fill(nnc_graph *graph, double value, const nnc_shape *shape, nnc_dtype dtype,
                         int *out);
/* op(a, value): the second operand a constant of a's dtype. */
nnc_status nnc_emit_with(nnc_graph *graph, nnc_op op, int a, double value, int *out);
/* These give `a` itself where nothing is to be done. */
nnc_status nnc_emit_reshape(nnc_graph *graph, int a, const nnc_shape *shape, int *out);
nnc_status nnc_emit_broadcast(nnc_graph *graph, int a, const nnc_shape *shape, int *out);
nnc_status nnc_emit_sum_to(nnc_graph *graph, int a, const nnc_shape *shape, int *out);
nnc_status nnc_emit_cast(nnc_graph *graph, int a, nnc_dtype dtype, int *out);
/* sum, mean, max ... of a over the one axis (>= 0). */
nnc_status nnc_emit_reduce(nnc_graph *graph, nnc_op op, int a, int axis, bool keepdims, int *out);

/* A shape in an attribute list. */
nnc_attrs nnc_shape_attrs(const nnc_shape *shape);

#endif
