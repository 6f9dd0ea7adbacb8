/* tensors.h - tensors and nodes for the tests of graphs and programs. Behind check.h. */
#ifndef TENSORS_H
#define TENSORS_H

#include "nnc.h"

#include <string.h>

#define OK(call) CHECK((call) == NNC_OK)

static inline nnc_tensor *tensor_of(nnc_dtype dtype, int rank, int64_t d0, int64_t d1)
{
    nnc_shape shape = {.rank = rank, .dim = {d0, d1}};
    nnc_tensor *t = NULL;
    OK(nnc_tensor_new(&shape, dtype, &t));
    memset(t->array.data, 0, (size_t)t->bytes);
    return t;
}

/* Numbers in [-0.5, 0.5), the same each time. */
static inline nnc_tensor *noise(nnc_dtype dtype, int rank, int64_t d0, int64_t d1, uint64_t seed)
{
    nnc_tensor *t = tensor_of(dtype, rank, d0, d1);
    nnc_rng rng = {.seed = seed};
    for (int64_t i = 0; i < nnc_shape_size(&t->array.shape); i++) {
        uint32_t word[4];
        nnc_rng_block(&rng, (uint64_t)i, word);
        double value = word[0] / 4294967296.0 - 0.5;
        if (dtype == NNC_F32)
            ((float *)t->array.data)[i] = (float)value;
        else
            ((double *)t->array.data)[i] = value;
    }
    return t;
}

static inline nnc_tensor *labels_of(int64_t n, int64_t classes)
{
    nnc_tensor *t = tensor_of(NNC_I64, 1, n, 0);
    for (int64_t i = 0; i < n; i++)
        ((int64_t *)t->array.data)[i] = i % classes;
    return t;
}

/* A node of one to three inputs (others: -1) without attributes. */
static inline nnc_status append(nnc_graph *graph, nnc_op op, int a, int b, int c, int *out)
{
    nnc_attrs none = {0};
    int in[3] = {a, b, c};
    return nnc_graph_append(graph, op, &none, in, c >= 0 ? 3 : b >= 0 ? 2 : 1, out);
}

static inline bool same_bits(const nnc_tensor *a, const nnc_tensor *b)
{
    return a->bytes == b->bytes && memcmp(a->array.data, b->array.data, (size_t)a->bytes) == 0;
}

#endif
