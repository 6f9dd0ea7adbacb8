/* twins.c - variables kept in another form beside themselves: turned, and written by the program,
 * while a run lasts (turn.c), or, for as long as nobody writes a variable, turned (turn.c) or rounded
 * to 16-bit floats, in float32 or in 16 bits (widen.c). */
#include "kernels/kernels.h"
#include "passes/passes.h"

nnc_status nnc_twins_add(nnc_twins *twins, nnc_tensor *plain, nnc_dtype dtype, int half,
                         bool turned, bool written, nnc_tensor **out)
{
    nnc_status status;
    nnc_shape shape = plain->array.shape;
    nnc_tensor *other = NULL;
    if (turned)
        shape = (nnc_shape){.rank = 2, .dim = {shape.dim[1], shape.dim[0]}};
    NNC_TRY(nnc_grow(&twins->items, &twins->capacity, twins->count + 1, sizeof *twins->items));
    NNC_TRY(nnc_tensor_new(&shape, dtype, &other));
    twins->items[twins->count++] =
        (nnc_twin){nnc_tensor_retain(plain), nnc_tensor_retain(other), half, turned, written};
    *out = other;
done:
    return status;
}

static void turn_copy(const nnc_array *x, nnc_array *y)
{
    enum { SIDE = 16 };
    int64_t rows = x->shape.dim[0], columns = x->shape.dim[1];
    const float *from = x->data;
    const double *from_wide = x->data;
    float *to = y->data;
    double *to_wide = y->data;
    for (int64_t r0 = 0; r0 < rows; r0 += SIDE)
        for (int64_t c0 = 0; c0 < columns; c0 += SIDE) {
            int64_t r1 = r0 + SIDE < rows ? r0 + SIDE : rows;
            int64_t c1 = c0 + SIDE < columns ? c0 + SIDE : columns;
            for (int64_t c = c0; c < c1; c++)
                for (int64_t r = r0; r < r1; r++) {
                    if (x->dtype == NNC_F32)
                        to[c * rows + r] = from[r * columns + c];
                    else
                        to_wide[c * rows + r] = from_wide[r * columns + c];
                }
        }
}

static void load_twin(const nnc_twin *twin)
{
    const nnc_array *x = &twin->plain->array;
    nnc_array *y = &twin->other->array;
    int64_t n = nnc_shape_size(&x->shape);
    if (y->dtype != x->dtype) {
        nnc_kernels->half->narrow[twin->half](x->data, y->data, n);
        return;
    }
    if (twin->turned)
        turn_copy(x, y);
    if (twin->half != NNC_HALF_NONE)
        nnc_kernels->half->round[twin->half](twin->turned ? y->data : x->data, y->data, n);
}

void nnc_twins_load(nnc_twins *twins)
{
    uint64_t writes = nnc_tensor_writes();
    for (int64_t i = 0; i < twins->count; i++) {
        if (twins->items[i].written || twins->loaded != writes)
            load_twin(&twins->items[i]);
    }
    twins->loaded = writes;
}

void nnc_twins_store(const nnc_twins *twins)
{
    for (int64_t i = 0; i < twins->count; i++) {
        if (twins->items[i].written)
            turn_copy(&twins->items[i].other->array, &twins->items[i].plain->array);
    }
}

void nnc_twins_stand(nnc_twins *twins, uint64_t before)
{
    if (twins->loaded == before && nnc_tensor_writes() == before + 1)
        twins->loaded = before + 1;
}

bool nnc_nodes_write(const nnc_graph *graph, const nnc_node *nodes, int64_t count,
                     const nnc_tensor *tensor)
{
    for (int64_t i = 0; i < count; i++) {
        const nnc_node *node = &nodes[i];
        for (int k = 0; node->inputs != NULL && k < nnc_effects(node->op, &node->attrs); k++) {
            if (graph->values[node->inputs[k]].tensor == tensor)
                return true;
        }
    }
    return false;
}

bool nnc_nodes_call_nobody(const nnc_node *nodes, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (nnc_ops[nodes[i].op].flags & NNC_SHARED || nodes[i].op == NNC_OP_host)
            return false;
    }
    return true;
}

void nnc_twins_clear(nnc_twins *twins)
{
    for (int64_t i = 0; i < twins->count; i++) {
        nnc_tensor_release(twins->items[i].plain);
        nnc_tensor_release(twins->items[i].other);
    }
    nnc_free(twins->items);
    *twins = (nnc_twins){.items = NULL};
}
