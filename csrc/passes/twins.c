/* twins.c - variables kept in another form beside themselves: turned while a run lasts (turn.c), or
 * rounded to 16-bit floats, in float32, for as long as nobody writes a variable (widen.c). */
#include "kernels/kernels.h"
#include "passes/passes.h"

nnc_status nnc_twins_add(nnc_twins *twins, nnc_tensor *plain, nnc_tensor *other, int half)
{
    nnc_status status = nnc_grow(&twins->items, &twins->capacity, twins->count + 1,
                                 sizeof *twins->items);
    if (status == NNC_OK)
        twins->items[twins->count++] =
            (nnc_twin){nnc_tensor_retain(plain), nnc_tensor_retain(other), half};
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

void nnc_twins_load(nnc_twins *twins)
{
    uint64_t writes = nnc_tensor_writes();
    for (int64_t i = 0; i < twins->count; i++) {
        const nnc_twin *twin = &twins->items[i];
        const nnc_array *plain = &twin->plain->array;
        if (twin->half == NNC_HALF_NONE)
            turn_copy(plain, &twin->other->array);
        else if (twins->loaded != writes)
            nnc_kernels->half->round[twin->half](plain->data, twin->other->array.data,
                                                 nnc_shape_size(&plain->shape));
    }
    twins->loaded = writes;
}

void nnc_twins_store(const nnc_twins *twins)
{
    for (int64_t i = 0; i < twins->count; i++) {
        if (twins->items[i].half == NNC_HALF_NONE)
            turn_copy(&twins->items[i].other->array, &twins->items[i].plain->array);
    }
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
