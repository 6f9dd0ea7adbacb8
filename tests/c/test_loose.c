/* test_loose.c - ops on float32 that passes for bfloat16: what stays loose, what is rounded, what
 * tapes note, and that a failed allocation leaves nothing behind. */
#include "check.h"
#include "tensors.h"

enum { ROWS = 3, COLUMNS = 5, MANY = 11 };

/* x rounded to bfloat16 and back. */
static nnc_tensor *rounded(nnc_tensor *x)
{
    nnc_attrs none = {0};
    nnc_tensor *y = NULL;
    OK(nnc_eager(NNC_OP_round_bf16, &none, &x, 1, &y));
    return y;
}

static nnc_tensor *cast(nnc_tensor *x, nnc_dtype dtype)
{
    nnc_attrs attrs = {.dtype = dtype};
    nnc_tensor *y = NULL;
    OK(nnc_eager(NNC_OP_cast, &attrs, &x, 1, &y));
    return y;
}

TEST(an_op_that_needs_no_rounding_is_float32s)
{
    nnc_attrs none = {0};
    nnc_tensor *x = noise(NNC_F32, 2, ROWS, COLUMNS, 1), *w = noise(NNC_F32, 2, COLUMNS, ROWS, 2);
    nnc_tensor *want[2], *got[2];
    nnc_op ops[2] = {NNC_OP_tanh, NNC_OP_matmul};
    for (int i = 0; i < 2; i++) {
        bool loose = false;
        OK(nnc_eager(ops[i], &none, (nnc_tensor *[]){x, w}, i + 1, &want[i]));
        OK(nnc_eager_loose(ops[i], &none, (nnc_tensor *[]){x, w}, (bool[]){true, true}, i + 1,
                           &got[i], &loose));
        CHECK(loose && got[i]->array.dtype == NNC_F32 && same_bits(got[i], want[i]));
        nnc_tensor_release(want[i]);
        nnc_tensor_release(got[i]);
    }
    nnc_tensor_release(x);
    nnc_tensor_release(w);
}

TEST(what_is_of_bfloat16_is_widened)
{
    nnc_attrs none = {0};
    bool loose = false;
    nnc_tensor *x = noise(NNC_F32, 2, ROWS, COLUMNS, 1), *y = noise(NNC_F32, 2, ROWS, COLUMNS, 2);
    nnc_tensor *narrow = cast(y, NNC_BF16), *wide = rounded(y), *want, *got;
    OK(nnc_eager(NNC_OP_add, &none, (nnc_tensor *[]){x, wide}, 2, &want));
    OK(nnc_eager_loose(NNC_OP_add, &none, (nnc_tensor *[]){x, narrow}, (bool[]){true, false}, 2,
                       &got, &loose));
    CHECK(loose && same_bits(got, want));
    nnc_tensor *all[] = {x, y, narrow, wide, want, got};
    for (int i = 0; i < 6; i++)
        nnc_tensor_release(all[i]);
}

TEST(an_op_with_a_dtype_of_its_own_takes_rounded_numbers)
{
    nnc_attrs attrs = {.dtype = NNC_F64};
    bool loose = true;
    nnc_tensor *x = noise(NNC_F32, 2, ROWS, COLUMNS, 1), *half = rounded(x), *want, *got;
    want = cast(half, NNC_F64);
    OK(nnc_eager_loose(NNC_OP_cast, &attrs, &x, (bool[]){true}, 1, &got, &loose));
    CHECK(!loose && same_bits(got, want));
    nnc_tensor *all[] = {x, half, want, got};
    for (int i = 0; i < 4; i++)
        nnc_tensor_release(all[i]);
}

TEST(what_does_not_fit_says_so_in_the_dtypes_that_are_seen)
{
    nnc_attrs none = {0};
    bool loose;
    nnc_tensor *x = noise(NNC_F32, 2, ROWS, COLUMNS, 1), *got = NULL;
    CHECK(nnc_eager_loose(NNC_OP_bitwise_and, &none, (nnc_tensor *[]){x, x}, (bool[]){true, true}, 2,
                          &got, &loose) == NNC_ETYPE);
    CHECK(strstr(nnc_error_text(), "bfloat16") != NULL && got == NULL);
    nnc_tensor_release(x);
}

/* The sum of many loose things and one that is not, by an op that rounds nothing and one that
 * rounds all, under a tape: the gradient comes back to the float32 of the loose ones. */
static nnc_status work(nnc_tensor *x, nnc_tensor *narrow, float *slope)
{
    nnc_status status;
    nnc_attrs along = {.k = {0}}, to = {.dtype = NNC_F32};
    nnc_tensor *in[MANY], *joined = NULL, *y = NULL;
    nnc_graph *tape = NULL;
    bool loose[MANY], joined_loose, y_loose, pushed = false;
    int target, source, dx;
    for (int i = 0; i < MANY; i++) {
        in[i] = i < MANY - 1 ? x : narrow;
        loose[i] = i < MANY - 1;
    }
    NNC_TRY(nnc_graph_new(true, &tape));
    NNC_TRY(nnc_tape_watch(tape, x));
    nnc_tape_push(tape);
    pushed = true;
    NNC_TRY(nnc_eager_loose(NNC_OP_concatenate, &along, in, loose, MANY, &joined, &joined_loose));
    NNC_TRY(nnc_eager_loose(NNC_OP_cast, &to, &joined, &joined_loose, 1, &y, &y_loose));
    nnc_tape_pop(tape);
    pushed = false;
    target = nnc_graph_find(tape, y);
    source = nnc_graph_find(tape, x);
    CHECK(target >= 0 && source >= 0 && joined_loose && !y_loose);
    NNC_TRY(nnc_graph_backward(tape, &target, NULL, 1, &source, 1, 0, &dx));
    *slope = ((float *)tape->values[dx].tensor->array.data)[0];
done:
    if (pushed)
        nnc_tape_pop(tape);
    nnc_tensor_release(joined);
    nnc_tensor_release(y);
    nnc_graph_release(tape);
    return status;
}

TEST(a_tape_and_every_allocation)
{
    float slope = 0;
    nnc_tensor *x = noise(NNC_F32, 2, ROWS, COLUMNS, 1), *narrow = cast(x, NNC_BF16);
    OK(work(x, narrow, &slope));
    CHECK(slope == MANY - 1);
    int64_t before = nnc_alloc_count(), live = nnc_alloc_live_blocks();
    OK(work(x, narrow, &slope));
    int64_t count = nnc_alloc_count() - before;
    for (int64_t n = 1; n <= count; n++) {
        nnc_alloc_fail_at(n);
        CHECK(work(x, narrow, &slope) == NNC_ENOMEM);
        nnc_alloc_fail_at(0);
        CHECK(nnc_alloc_live_blocks() == live);
    }
    CHECK(count > 20);
    nnc_tensor_release(x);
    nnc_tensor_release(narrow);
}
