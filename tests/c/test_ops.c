/* test_ops.c - the op families of logic, reduce, shape, gather, softmax, loss, random and state
 * against plain loops written from their definitions; what must be refused; the same bits on 1 and
 * 3 threads. */
#include "ops_cases.inc"

static nnc_tensor *run(nnc_op op, nnc_attrs attrs, nnc_tensor *a, nnc_tensor *b)
{
    nnc_tensor *in[2] = {a, b}, *out[NNC_MAX_OUTPUTS] = {NULL};
    nnc_status status = nnc_eager(op, &attrs, in, a == NULL ? 0 : b == NULL ? 1 : 2, out);
    if (status != NNC_OK)
        printf("    %s\n", nnc_error_text());
    CHECK(status == NNC_OK);
    return out[0];
}

/* The op fails with this status and a text that contains `text`. */
static void refused(nnc_op op, nnc_attrs attrs, nnc_tensor *const *in, int count, nnc_status want,
                    const char *text)
{
    nnc_tensor *out[NNC_MAX_OUTPUTS] = {NULL};
    nnc_status status = nnc_eager(op, &attrs, in, count, out);
    bool right = status == want && strstr(nnc_error_text(), text) != NULL;
    if (!right)
        printf("    status %d, \"%s\" instead of \"%s\"\n", (int)status, nnc_error_text(), text);
    CHECK(right);
}

static bool same_shape(const nnc_tensor *t, nnc_shape shape)
{
    return nnc_shape_equal(&t->array.shape, &shape);
}

/* Multi-index of linear index i. */
static void unravel(const nnc_shape *shape, int64_t i, int64_t *index)
{
    for (int d = shape->rank - 1; d >= 0; d--) {
        index[d] = i % shape->dim[d];
        i /= shape->dim[d];
    }
}

static int64_t ravel(const nnc_shape *shape, const int64_t *index)
{
    int64_t i = 0;
    for (int d = 0; d < shape->rank; d++)
        i = i * shape->dim[d] + index[d];
    return i;
}

/* ---- reductions ---- */

enum { MOST_OUTPUTS = 4096 };

static double start_of(nnc_op op)
{
    return op == NNC_OP_prod || op == NNC_OP_all ? 1.0 :
           op == NNC_OP_max ? -INFINITY : op == NNC_OP_min ? INFINITY : 0.0;
}

static double joined(nnc_op op, double s, double v)
{
    switch (op) {
    case NNC_OP_prod: return s * v;
    case NNC_OP_max: return s > v ? s : v;
    case NNC_OP_min: return s < v ? s : v;
    case NNC_OP_any: return s != 0.0 || v != 0.0;
    case NNC_OP_all: return s != 0.0 && v != 0.0;
    default: return s + v;
    }
}

/* Half a unit in the last place for each of n additions to sums below 2 n; long sums wander no
 * further than 5 sqrt(n), and a block adds at most 512 in a row, whose errors wander too. */
static double slack_of(nnc_op op, nnc_dtype dtype, double n, double expected)
{
    double unit = dtype == NNC_F64 ? 0x1p-52 : 0x1p-24;     /* float64's reference rounds as well */
    double sum = fmin(2 * n * n, 5 * sqrt(n) * sqrt(600)) * unit;
    if (op == NNC_OP_prod)
        return 2 * n * unit * fabs(expected);
    if (op == NNC_OP_mean)
        return sum / n + unit * fabs(expected);
    return op == NNC_OP_sum ? sum : 0.0;
}

static void check_reduce(nnc_op op, nnc_dtype dtype, nnc_shape shape, unsigned mask, bool keepdims)
{
    static double want[MOST_OUTPUTS];
    nnc_attrs attrs = {.k = {keepdims}};
    nnc_shape kept = shape;
    int64_t index[NNC_MAX_RANK], reduced = 1;
    for (int d = 0; d < shape.rank; d++) {
        if (mask >> d & 1) {
            attrs.list[attrs.list_count++] = d % 2 ? d : d - shape.rank;
            reduced *= shape.dim[d];
            kept.dim[d] = 1;
        }
    }
    nnc_tensor *x = noise(dtype, shape, 3), *y = run(op, attrs, x, NULL);
    CHECK(size_of(y) == nnc_shape_size(&kept) && size_of(y) <= MOST_OUTPUTS);
    CHECK(y->array.shape.rank == shape.rank - (keepdims ? 0 : attrs.list_count));
    for (int64_t i = 0; i < size_of(y); i++)
        want[i] = start_of(op);
    for (int64_t i = 0; i < size_of(x); i++) {
        unravel(&shape, i, index);
        for (int d = 0; d < shape.rank; d++)
            index[d] = mask >> d & 1 ? 0 : index[d];
        int64_t at = ravel(&kept, index);
        want[at] = joined(op, want[at], get(x, i));
    }
    int bad = 0;
    for (int64_t i = 0; i < size_of(y); i++) {
        double expected = op == NNC_OP_mean ? want[i] / (double)reduced : want[i];
        double slack = nnc_dtype_kind(y->array.dtype) != NNC_KIND_FLOAT ? 0.0 :
                       slack_of(op, y->array.dtype, (double)reduced, expected);
        bad += !(fabs(get(y, i) - expected) <= slack);
    }
    if (bad > 0)
        printf("    %s %s mask %u: %d wrong\n", nnc_ops[op].name, nnc_dtype_name(dtype), mask, bad);
    CHECK(bad == 0);
    nnc_tensor_release(x);
    nnc_tensor_release(y);
}

static const nnc_op reductions[] = {NNC_OP_sum, NNC_OP_mean, NNC_OP_prod, NNC_OP_max, NNC_OP_min,
                                    NNC_OP_any, NNC_OP_all};

TEST(reduce_every_set_of_axes)
{
    static const nnc_dtype dtypes[] = {NNC_F32, NNC_F64, NNC_I64, NNC_I32, NNC_I8, NNC_U8, NNC_U16,
                                       NNC_U32, NNC_U64, NNC_I16, NNC_BOOL};
    for (size_t k = 0; k < sizeof reductions / sizeof *reductions; k++) {
        for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++) {
            bool real = nnc_dtype_kind(dtypes[t]) == NNC_KIND_FLOAT;
            bool wraps = reductions[k] == NNC_OP_prod && !real;     /* unless small */
            for (unsigned mask = 1; mask < 16; mask++)
                check_reduce(reductions[k], dtypes[t],
                             wraps ? SHAPE(2, 3, 1, 2) : SHAPE(3, 4, 2, 5), mask, mask & 1);
        }
    }
}

TEST(reduce_long_and_wide)
{
    static const nnc_op ops[] = {NNC_OP_sum, NNC_OP_mean, NNC_OP_max, NNC_OP_any};
    static const nnc_dtype dtypes[] = {NNC_F32, NNC_F64, NNC_I32};
    for (int k = 0; k < 4; k++) {
        for (int t = 0; t < 3; t++) {
            check_reduce(ops[k], dtypes[t], SHAPE(40001), 1, false);
            check_reduce(ops[k], dtypes[t], SHAPE(2, 20000), 2, false);
            check_reduce(ops[k], dtypes[t], SHAPE(1300, 300), 1, false);
            check_reduce(ops[k], dtypes[t], SHAPE(3, 2000, 7), 2, false);
            check_reduce(ops[k], dtypes[t], SHAPE(600, 3, 70), 5, false);
            check_reduce(ops[k], dtypes[t], SHAPE(3, 2, 2, 3, 2, 2, 2, 3), 0x55, false);
            check_reduce(ops[k], dtypes[t], SHAPE(2, 3, 2, 3, 2, 2, 2, 600), 0xaa, true);
            check_reduce(ops[k], dtypes[t], SHAPE(1, 4000, 1), 5, false);
        }
    }
}

TEST(reduce_dtypes_empties_and_refusals)
{
    nnc_tensor *x = noise(NNC_U8, SHAPE(4, 0), 1), *y;
    y = run(NNC_OP_sum, (nnc_attrs){LIST(1)}, x, NULL);
    CHECK(y->array.dtype == NNC_U32 && size_of(y) == 4 && get(y, 3) == 0.0);
    nnc_tensor_release(y);
    y = run(NNC_OP_mean, (nnc_attrs){LIST(1)}, x, NULL);
    CHECK(y->array.dtype == NNC_F32 && isnan(get(y, 0)));
    nnc_tensor_release(y);
    y = run(NNC_OP_prod, (nnc_attrs){LIST(1)}, x, NULL);
    CHECK(get(y, 2) == 1.0);
    nnc_tensor_release(y);
    y = run(NNC_OP_max, (nnc_attrs){LIST(0)}, x, NULL);
    CHECK(y->array.dtype == NNC_U8 && size_of(y) == 0);
    nnc_tensor_release(y);
    refused(NNC_OP_max, (nnc_attrs){LIST(1)}, &x, 1, NNC_EVALUE, "axis of size 0");
    refused(NNC_OP_sum, (nnc_attrs){LIST(2)}, &x, 1, NNC_EVALUE,
            "sum: axis 2 is out of range for shape (4, 0)");
    refused(NNC_OP_sum, (nnc_attrs){LIST(1, -1)}, &x, 1, NNC_EVALUE, "given twice");
    nnc_tensor_release(x);
    x = noise(NNC_BF16, SHAPE(3), 1);
    y = run(NNC_OP_sum, (nnc_attrs){.list_count = 0}, x, NULL);
    CHECK(y->array.dtype == NNC_BF16);
    nnc_tensor_release(y);
    set(x, 0, -0.0), set(x, 1, 0.0), set(x, 2, NAN);
    y = run(NNC_OP_any, (nnc_attrs){.list_count = 0}, x, NULL);
    CHECK(y->array.dtype == NNC_BOOL && get(y, 0) == 1.0);
    nnc_tensor_release(y);
    y = run(NNC_OP_all, (nnc_attrs){.list_count = 0}, x, NULL);
    CHECK(get(y, 0) == 0.0);
    nnc_tensor_release(y);
    nnc_tensor_release(x);
    x = noise(NNC_F64, SHAPE(2, 3, 4), 5);
    y = run(NNC_OP_sum_to, (nnc_attrs){LIST(3, 1)}, x, NULL);
    CHECK(same_shape(y, SHAPE(3, 1)));
    double sum = 0;
    for (int k = 0; k < 4; k++)
        sum += get(x, 4 + k) + get(x, 16 + k);
    CHECK(fabs(get(y, 1) - sum) < 1e-14);
    refused(NNC_OP_sum_to, (nnc_attrs){LIST(2, 4)}, &x, 1, NNC_EVALUE, "does not broadcast");
    nnc_tensor_release(x);
    nnc_tensor_release(y);
}

static void check_arg(nnc_dtype dtype, nnc_shape shape, int axis, bool nan)
{
    for (int smallest = 0; smallest < 2; smallest++) {
        nnc_tensor *x = noise(dtype, shape, 9);
        if (nan)
            set(x, size_of(x) / 2, NAN);
        nnc_tensor *y = run(smallest ? NNC_OP_argmin : NNC_OP_argmax, (nnc_attrs){.k = {axis}}, x,
                            NULL);
        CHECK(y->array.dtype == NNC_I32 && y->array.shape.rank == shape.rank - 1);
        int64_t b = 1, r = shape.dim[axis];
        for (int d = axis + 1; d < shape.rank; d++)
            b *= shape.dim[d];
        for (int64_t o = 0; o < size_of(y); o++) {
            int64_t best = 0, from = o / b * r * b + o % b;
            for (int64_t i = 1; i < r; i++) {
                double v = get(x, from + i * b), top = get(x, from + best * b);
                if (!isnan(top) && (isnan(v) || (smallest ? v < top : v > top)))
                    best = i;
            }
            CHECK(get(y, o) == (double)best);
        }
        nnc_tensor_release(x);
        nnc_tensor_release(y);
    }
}

TEST(argmax_finds_the_first)
{
    static const nnc_dtype dtypes[] = {NNC_F32, NNC_F64, NNC_I32, NNC_U8, NNC_I64, NNC_BOOL};
    for (int t = 0; t < 6; t++) {
        for (int axis = 0; axis < 3; axis++)
            check_arg(dtypes[t], SHAPE(5, 40, 7), axis, t < 2);
    }
    check_arg(NNC_F32, SHAPE(3, 600), 0, false);
}

/* ---- logic ---- */

TEST(compare_broadcasts_every_dtype)
{
    static const nnc_op ops[] = {NNC_OP_equal, NNC_OP_not_equal, NNC_OP_less, NNC_OP_less_equal,
                                 NNC_OP_greater, NNC_OP_greater_equal};
    static const nnc_dtype dtypes[] = {NNC_F32, NNC_F64, NNC_I32, NNC_U8, NNC_I8, NNC_U64,
                                       NNC_BOOL};
    for (int t = 0; t < 7; t++) {
        nnc_tensor *a = noise(dtypes[t], SHAPE(4, 1, 9), 1), *b = noise(dtypes[t], SHAPE(3, 1), 2);
        for (int k = 0; k < 6; k++) {
            nnc_tensor *y = run(ops[k], (nnc_attrs){.list_count = 0}, a, b);
            CHECK(y->array.dtype == NNC_BOOL && same_shape(y, SHAPE(4, 3, 9)));
            for (int64_t i = 0; i < size_of(y); i++) {
                double p = get(a, i / 27 * 9 + i % 9), q = get(b, i / 9 % 3);
                bool want[] = {p == q, p != q, p < q, p <= q, p > q, p >= q};
                CHECK(get(y, i) == want[k]);
            }
            nnc_tensor_release(y);
        }
        nnc_tensor_release(a);
        nnc_tensor_release(b);
    }
}

TEST(logic_and_float_tests)
{
    nnc_attrs none = {.list_count = 0};
    nnc_tensor *a = noise(NNC_BOOL, SHAPE(2, 50), 1), *b = noise(NNC_BOOL, SHAPE(50), 4);
    nnc_tensor *both = run(NNC_OP_logical_and, none, a, b);
    nnc_tensor *any = run(NNC_OP_logical_or, none, a, b);
    nnc_tensor *one = run(NNC_OP_logical_xor, none, a, b);
    nnc_tensor *no = run(NNC_OP_logical_not, none, a, NULL);
    for (int64_t i = 0; i < 100; i++) {
        bool p = get(a, i) != 0, q = get(b, i % 50) != 0;
        CHECK(get(both, i) == (p && q) && get(any, i) == (p || q));
        CHECK(get(one, i) == (p != q) && get(no, i) == !p);
    }
    nnc_tensor *float_in = noise(NNC_F32, SHAPE(2), 1);
    refused(NNC_OP_logical_not, none, &float_in, 1, NNC_ETYPE, "expected dtype bool");
    nnc_tensor *all[] = {a, b, both, any, one, no, float_in};
    for (int i = 0; i < 7; i++)
        nnc_tensor_release(all[i]);
    static const nnc_dtype dtypes[] = {NNC_F16, NNC_BF16, NNC_F32, NNC_F64};
    for (int t = 0; t < 4; t++) {
        static const double values[] = {0, -0.0, 1, INFINITY, -INFINITY, NAN, -3};
        nnc_tensor *x = empty(dtypes[t], SHAPE(7));
        for (int i = 0; i < 7; i++)
            set(x, i, values[i]);
        nnc_tensor *nan = run(NNC_OP_isnan, none, x, NULL), *inf = run(NNC_OP_isinf, none, x, NULL);
        nnc_tensor *finite = run(NNC_OP_isfinite, none, x, NULL);
        for (int i = 0; i < 7; i++)
            CHECK(get(nan, i) == !!isnan(values[i]) && get(inf, i) == !!isinf(values[i]) &&
                  get(finite, i) == !!isfinite(values[i]));
        nnc_tensor_release(x), nnc_tensor_release(nan);
        nnc_tensor_release(inf), nnc_tensor_release(finite);
    }
}

TEST(where_picks_any_dtype)
{
    static const nnc_dtype dtypes[] = {NNC_F32, NNC_F64, NNC_I16, NNC_BOOL, NNC_BF16};
    for (int t = 0; t < 5; t++) {
        nnc_tensor *in[3] = {noise(NNC_BOOL, SHAPE(6, 5), 1), noise(dtypes[t], SHAPE(5), 2),
                             noise(dtypes[t], SHAPE(6, 1), 3)};
        nnc_tensor *y = NULL;
        nnc_attrs none = {.list_count = 0};
        OK(nnc_eager(NNC_OP_where, &none, in, 3, &y));
        for (int64_t i = 0; i < 30; i++)
            CHECK(get(y, i) == (get(in[0], i) != 0 ? get(in[1], i % 5) : get(in[2], i / 5)));
        for (int i = 0; i < 3; i++)
            nnc_tensor_release(in[i]);
        nnc_tensor_release(y);
    }
}

/* ---- shapes ---- */

static void check_transpose(nnc_dtype dtype, nnc_shape shape, const int *perm)
{
    nnc_attrs attrs = {.list_count = shape.rank};
    nnc_tensor *x = noise(dtype, shape, 2);
    int64_t index[NNC_MAX_RANK], from[NNC_MAX_RANK];
    for (int d = 0; d < shape.rank; d++)
        attrs.list[d] = perm[d];
    nnc_tensor *y = run(NNC_OP_transpose, attrs, x, NULL);
    int bad = 0;
    for (int64_t i = 0; i < size_of(y); i++) {
        unravel(&y->array.shape, i, index);
        for (int d = 0; d < shape.rank; d++)
            from[perm[d]] = index[d];
        bad += get(y, i) != get(x, ravel(&shape, from));
    }
    CHECK(bad == 0);
    nnc_tensor_release(x);
    nnc_tensor_release(y);
}

TEST(transpose_every_permutation)
{
    static const nnc_dtype dtypes[] = {NNC_F32, NNC_U8, NNC_F64, NNC_BF16};
    for (int t = 0; t < 4; t++) {
        for (int p = 0; p < 256; p++) {
            int perm[4] = {p & 3, p >> 2 & 3, p >> 4 & 3, p >> 6 & 3};
            if ((1 << perm[0] | 1 << perm[1] | 1 << perm[2] | 1 << perm[3]) == 15)
                check_transpose(dtypes[t], SHAPE(3, 35, 1, 9), perm);
        }
        check_transpose(dtypes[t], SHAPE(70, 300), (int[]){1, 0});
        check_transpose(dtypes[t], SHAPE(5, 0), (int[]){1, 0});
    }
    nnc_tensor *x = noise(NNC_F32, SHAPE(2, 3), 1);
    refused(NNC_OP_transpose, (nnc_attrs){LIST(0, 0)}, &x, 1, NNC_EVALUE, "given twice");
    nnc_tensor_release(x);
}

TEST(slice_and_unslice)
{
    nnc_tensor *x = noise(NNC_I16, SHAPE(5, 8, 6), 2);
    nnc_attrs ranges = {LIST(1, 7, 5, 4, 0, -1, 1, -3, -1)};
    nnc_tensor *y = run(NNC_OP_slice, ranges, x, NULL);
    CHECK(same_shape(y, SHAPE(3, 3, 6)));
    for (int64_t i = 0; i < size_of(y); i++)
        CHECK(get(y, i) == get(x, ((1 + i / 18) * 8 + 7 - i / 6 % 3 * 3) * 6 + 5 - i % 6));
    ranges.k[0] = 5, ranges.k[1] = 8, ranges.k[2] = 6;
    nnc_tensor *z = run(NNC_OP_unslice, ranges, y, NULL);
    double sum_y = 0, sum_z = 0;
    for (int64_t i = 0; i < size_of(z); i++) {
        CHECK(get(z, i) == 0.0 || get(z, i) == get(x, i));
        sum_z += fabs(get(z, i));
    }
    for (int64_t i = 0; i < size_of(y); i++)
        sum_y += fabs(get(y, i));
    CHECK(sum_y == sum_z && same_shape(z, SHAPE(5, 8, 6)));
    refused(NNC_OP_slice, (nnc_attrs){LIST(0, 0, 0, 6, 8, 6, 1, 1, 1)}, &x, 1, NNC_EVALUE,
            "do not fit axis 0 of size 5");
    refused(NNC_OP_slice, (nnc_attrs){LIST(0, 0, 0, 5, 8, 6, 1, 0, 1)}, &x, 1, NNC_EVALUE,
            "step 0");
    nnc_tensor_release(x), nnc_tensor_release(y), nnc_tensor_release(z);
}

TEST(concatenate_pad_broadcast_reshape)
{
    nnc_tensor *a = noise(NNC_F32, SHAPE(3, 2, 4), 1), *b = noise(NNC_F32, SHAPE(3, 5, 4), 2);
    nnc_tensor *y = run(NNC_OP_concatenate, (nnc_attrs){.k = {-2}}, a, b);
    CHECK(same_shape(y, SHAPE(3, 7, 4)));
    for (int64_t i = 0; i < size_of(y); i++) {
        int64_t r = i / 4 % 7, o = i / 28, c = i % 4;
        CHECK(get(y, i) == (r < 2 ? get(a, (o * 2 + r) * 4 + c) : get(b, (o * 5 + r - 2) * 4 + c)));
    }
    nnc_tensor *in[2] = {a, b};
    refused(NNC_OP_concatenate, (nnc_attrs){.k = {0}}, in, 2, NNC_EVALUE, "differ outside axis 0");
    nnc_tensor_release(y);
    y = run(NNC_OP_pad, (nnc_attrs){LIST(1, 0, 2, 0, 1, 3), .f = {0.5}}, a, NULL);
    CHECK(same_shape(y, SHAPE(4, 3, 9)));
    for (int64_t i = 0; i < size_of(y); i++) {
        int64_t p = i / 27 - 1, q = i / 9 % 3, r = i % 9 - 2;
        bool inside = p >= 0 && q < 2 && r >= 0 && r < 4;
        CHECK(get(y, i) == (inside ? get(a, (p * 2 + q) * 4 + r) : 0.5));
    }
    nnc_tensor_release(y);
    nnc_tensor *row = noise(NNC_I8, SHAPE(3, 1), 1);
    y = run(NNC_OP_broadcast_to, (nnc_attrs){LIST(2, 3, 5)}, row, NULL);
    for (int64_t i = 0; i < 30; i++)
        CHECK(get(y, i) == get(row, i / 5 % 3));
    nnc_tensor_release(y);
    y = run(NNC_OP_reshape, (nnc_attrs){LIST(4, -1, 2)}, a, NULL);
    CHECK(same_shape(y, SHAPE(4, 3, 2)) && y->array.data == a->array.data);
    refused(NNC_OP_reshape, (nnc_attrs){LIST(5, -1)}, &a, 1, NNC_EVALUE,
            "cannot reshape (3, 2, 4)");
    nnc_tensor_release(a), nnc_tensor_release(b), nnc_tensor_release(y), nnc_tensor_release(row);
}

TEST(fill_and_arange)
{
    nnc_attrs attrs = {LIST(2, 3), .f = {7}, .dtype = NNC_U16};
    nnc_tensor *y = run(NNC_OP_fill, attrs, NULL, NULL);
    CHECK(same_shape(y, SHAPE(2, 3)) && get(y, 5) == 7.0);
    nnc_tensor_release(y);
    attrs = (nnc_attrs){.f = {1e15, -3}, .k = {1000}, .dtype = NNC_I64};
    y = run(NNC_OP_arange, attrs, NULL, NULL);
    CHECK(((int64_t *)y->array.data)[999] == 1000000000000000 - 2997);
    nnc_tensor_release(y);
    attrs = (nnc_attrs){.f = {0.5, 0.25}, .k = {300}, .dtype = NNC_F32};
    y = run(NNC_OP_arange, attrs, NULL, NULL);
    CHECK(get(y, 299) == 75.25);
    nnc_tensor_release(y);
    refused(NNC_OP_fill, (nnc_attrs){LIST(1LL << 40, 1LL << 40), .dtype = NNC_F32}, NULL, 0,
            NNC_ENOMEM, "");
}

/* ---- by index ---- */

TEST(take_and_take_grad)
{
    static const nnc_dtype index_dtypes[] = {NNC_I64, NNC_I32, NNC_U8, NNC_I16};
    for (int t = 0; t < 4; t++) {
        nnc_tensor *x = noise(NNC_F64, SHAPE(3, 7, 4), 1), *i = noise(NNC_U8, SHAPE(2, 5), 2);
        nnc_tensor *index = run(NNC_OP_cast, (nnc_attrs){.dtype = index_dtypes[t]}, i, NULL);
        nnc_tensor *y = run(NNC_OP_take, (nnc_attrs){.k = {-2}}, x, index);
        CHECK(same_shape(y, SHAPE(3, 2, 5, 4)));
        for (int64_t k = 0; k < size_of(y); k++)
            CHECK(get(y, k) == get(x, (k / 40 * 7 + (int64_t)get(i, k / 4 % 10)) * 4 + k % 4));
        nnc_tensor *g = run(NNC_OP_take_grad, (nnc_attrs){LIST(3, 7, 4), .k = {1}}, y, index);
        for (int64_t k = 0; k < size_of(g); k++) {
            double sum = 0;
            for (int64_t j = 0; j < 10; j++) {
                if ((int64_t)get(i, j) == k / 4 % 7)
                    sum += get(y, (k / 28 * 10 + j) * 4 + k % 4);
            }
            CHECK(get(g, k) == sum);
        }
        nnc_tensor_release(x), nnc_tensor_release(i), nnc_tensor_release(index);
        nnc_tensor_release(y), nnc_tensor_release(g);
    }
}

TEST(indices_out_of_range_are_named)
{
    nnc_tensor *in[3] = {noise(NNC_F32, SHAPE(9, 2), 1), empty(NNC_I32, SHAPE(6)), NULL};
    set(in[1], 3, 9);
    refused(NNC_OP_take, (nnc_attrs){.k = {0}}, in, 2, NNC_EINDEX,
            "take: index 9 at position 3 is outside 0..8");
    set(in[1], 1, -1);
    refused(NNC_OP_take, (nnc_attrs){.k = {0}}, in, 2, NNC_EINDEX,
            "take: index -1 at position 1 is outside 0..8");
    nnc_tensor *dy = noise(NNC_F32, SHAPE(6, 2), 1), *pair[2] = {dy, in[1]};
    refused(NNC_OP_take_grad, (nnc_attrs){LIST(9, 2), .k = {0}}, pair, 2, NNC_EINDEX,
            "index -1 at position 1");
    refused(NNC_OP_take, (nnc_attrs){.k = {0}}, (nnc_tensor *[]){in[0], in[0]}, 2, NNC_ETYPE,
            "expected integer indices");
    nnc_tensor_release(in[0]), nnc_tensor_release(dy);
    nnc_tensor *logits[2] = {noise(NNC_F32, SHAPE(20, 3), 1), empty(NNC_I64, SHAPE(20))};
    set(logits[1], 12, 7);
    refused(NNC_OP_sparse_softmax_crossentropy, (nnc_attrs){.list_count = 0}, logits, 2, NNC_EINDEX,
            "sparse_categorical_crossentropy: label 7 at row 12 is outside 0..2 (3 classes)");
    nnc_tensor_release(logits[1]);
    logits[1] = empty(NNC_F32, SHAPE(20));
    set(logits[1], 5, 1.5);
    refused(NNC_OP_sparse_softmax_crossentropy, (nnc_attrs){.list_count = 0}, logits, 2, NNC_EINDEX,
            "label 1.5 at row 5 is no whole number");
    nnc_tensor_release(logits[0]), nnc_tensor_release(logits[1]), nnc_tensor_release(in[1]);
}

TEST(one_hot_any_axis)
{
    nnc_tensor *x = noise(NNC_I32, SHAPE(4, 6), 1);     /* from -3 to 3: outside gives zeros */
    for (int axis = -1; axis < 3; axis++) {
        nnc_attrs attrs = {.k = {3, axis}, .dtype = NNC_F32};
        nnc_tensor *y = run(NNC_OP_one_hot, attrs, x, NULL);
        int64_t inner = axis == 0 ? 24 : axis == 1 ? 6 : 1;
        for (int64_t i = 0; i < size_of(y); i++) {
            int64_t at = i / (3 * inner) * inner + i % inner;
            CHECK(get(y, i) == (get(x, at) == (double)(i / inner % 3)));
        }
        nnc_tensor_release(y);
    }
    nnc_tensor_release(x);
}

/* ---- softmax and cross-entropy ---- */

TEST(softmax_over_every_axis)
{
    for (int t = 0; t < 2; t++) {
        /* exp is good to 2 units in the last place; c <= 300 terms are added */
        double eps = t == 0 ? 2e-6 : 1e-14;
        for (int axis = 0; axis < 3; axis++) {
            nnc_tensor *x = noise(t == 0 ? NNC_F32 : NNC_F64, SHAPE(3, 10, 300), 1);
            nnc_tensor *y = run(NNC_OP_softmax, (nnc_attrs){.k = {axis}}, x, NULL);
            nnc_tensor *z = run(NNC_OP_log_softmax, (nnc_attrs){.k = {axis - 3}}, x, NULL);
            int64_t b = axis == 0 ? 3000 : axis == 1 ? 300 : 1, c = x->array.shape.dim[axis];
            int bad = 0;
            for (int64_t i = 0; i < size_of(x); i++) {
                double sum = 0;
                int64_t from = i / (b * c) * b * c + i % b;
                for (int64_t j = 0; j < c && i % 7 == 0; j++)
                    sum += exp(get(x, from + j * b));
                if (i % 7 != 0)
                    continue;
                bad += !(fabs(get(y, i) - exp(get(x, i)) / sum) <= eps);
                bad += !(fabs(get(z, i) - get(x, i) + log(sum)) <= 2 * eps);
            }
            CHECK(bad == 0);
            nnc_tensor_release(x), nnc_tensor_release(y), nnc_tensor_release(z);
        }
    }
    nnc_tensor *x = noise(NNC_I32, SHAPE(3), 1);
    refused(NNC_OP_softmax, (nnc_attrs){.k = {0}}, &x, 1, NNC_ETYPE,
            "softmax: expected a floating-point dtype, received int32");
    nnc_tensor_release(x);
}

/* Large logits: the loss is formed from shifted numbers, so 2^-24 relative to the loss is kept. */
static void check_crossentropy(nnc_dtype dtype, int64_t rows, int64_t c, double offset)
{
    double eps = dtype == NNC_F32 ? 1e-6 : 1e-14;
    nnc_tensor *x = noise(dtype, SHAPE(rows, c), 1), *t = noise(dtype, SHAPE(rows, c), 2);
    nnc_tensor *labels = empty(NNC_U8, SHAPE(rows));
    for (int64_t i = 0; i < size_of(x); i++)
        set(x, i, get(x, i) + offset);
    for (int64_t i = 0; i < rows; i++)
        set(labels, i, (double)(word_of(4, i) % (uint32_t)c));
    nnc_tensor *dense[2] = {NULL}, *sparse[2] = {NULL};
    nnc_attrs none = {.list_count = 0}, last = {.k = {-1}};
    nnc_tensor *in[2] = {x, t};
    OK(nnc_eager(NNC_OP_softmax_crossentropy, &none, in, 2, dense));
    in[1] = labels;
    OK(nnc_eager(NNC_OP_sparse_softmax_crossentropy, &none, in, 2, sparse));
    nnc_tensor *p = run(NNC_OP_softmax, last, x, NULL);
    CHECK(memcmp(p->array.data, sparse[1]->array.data, (size_t)p->bytes) == 0);
    CHECK(memcmp(p->array.data, dense[1]->array.data, (size_t)p->bytes) == 0);
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0, want = 0, size = 0;
        for (int64_t j = 0; j < c; j++)
            sum += exp(get(x, i * c + j) - offset);
        for (int64_t j = 0; j < c; j++) {
            double part = -get(t, i * c + j) * (get(x, i * c + j) - offset - log(sum));
            want += part;
            size += fabs(part);
        }
        CHECK(fabs(get(dense[0], i) - want) <= eps * (size + 1) * 4);
        want = log(sum) - (get(x, i * c + (int64_t)get(labels, i)) - offset);
        CHECK(fabs(get(sparse[0], i) - want) <= eps * (fabs(want) + 1));
    }
    for (int k = 0; k < 2; k++)
        nnc_tensor_release(dense[k]), nnc_tensor_release(sparse[k]);
    nnc_tensor_release(x), nnc_tensor_release(t), nnc_tensor_release(labels), nnc_tensor_release(p);
}

TEST(crossentropy_values)
{
    for (int t = 0; t < 2; t++) {
        nnc_dtype dtype = t == 0 ? NNC_F32 : NNC_F64;
        check_crossentropy(dtype, 33, 10, 0.0);
        check_crossentropy(dtype, 4000, 3, 0.0);
        check_crossentropy(dtype, 3, 700, 0.0);
        check_crossentropy(dtype, 5, 1, 0.0);
        check_crossentropy(dtype, 33, 10, t == 0 ? 4096.0 : 1048576.0);
    }
    nnc_tensor *in[2] = {empty(NNC_F32, SHAPE(1, 2)), empty(NNC_I32, SHAPE(1))}, *out[2] = {NULL};
    set(in[0], 0, -500.0);      /* p vanishes, the loss must not */
    nnc_attrs none = {.list_count = 0};
    OK(nnc_eager(NNC_OP_sparse_softmax_crossentropy, &none, in, 2, out));
    CHECK(get(out[0], 0) == 500.0 && get(out[1], 0) == 0.0);
    for (int k = 0; k < 2; k++)
        nnc_tensor_release(in[k]), nnc_tensor_release(out[k]);
    in[0] = empty(NNC_F32, SHAPE(4, 2)), in[1] = empty(NNC_I32, SHAPE(4, 1));
    refused(NNC_OP_sparse_softmax_crossentropy, none, in, 2, NNC_EVALUE,
            "labels of shape (4, 1) do not fit logits of shape (4, 2)");
    nnc_tensor_release(in[0]), nnc_tensor_release(in[1]);
}

/* ---- random numbers and state ---- */

TEST(random_numbers_follow_the_state)
{
    nnc_tensor *state = empty(NNC_U32, SHAPE(2)), *was;
    set(state, 0, 42), set(state, 1, 4294967295.0);
    was = run(NNC_OP_seed_next, (nnc_attrs){.list_count = 0}, state, NULL);
    CHECK(get(was, 0) == 42 && get(was, 1) == 4294967295.0 && get(state, 1) == 0 &&
          get(state, 0) == 42);
    nnc_attrs attrs = {LIST(40000), .k = {-3, 5}, .dtype = NNC_I8};
    nnc_tensor *y = run(NNC_OP_random_integers, attrs, was, NULL);
    int64_t count[8] = {0};
    for (int64_t i = 0; i < 40000; i++) {
        CHECK(get(y, i) >= -3 && get(y, i) < 5);
        count[(int)get(y, i) + 3]++;
    }
    for (int k = 0; k < 8; k++)
        CHECK(llabs(count[k] - 5000) < 400);        /* 6 standard deviations of 66 */
    nnc_tensor *again = run(NNC_OP_random_integers, attrs, was, NULL);
    nnc_tensor *next = run(NNC_OP_random_integers, attrs, state, NULL);
    CHECK(memcmp(y->array.data, again->array.data, 40000) == 0);
    CHECK(memcmp(y->array.data, next->array.data, 40000) != 0);
    refused(NNC_OP_random_integers, (nnc_attrs){LIST(2), .k = {0, 300}, .dtype = NNC_U8}, &was, 1,
            NNC_EVALUE, "low < high within uint8");
    refused(NNC_OP_random_normal, (nnc_attrs){LIST(2), .f = {0, 1}, .dtype = NNC_F32}, &y, 1,
            NNC_EVALUE, "expected a random state of shape (2,)");
    nnc_tensor_release(y), nnc_tensor_release(again), nnc_tensor_release(next);
    static const nnc_op ops[] = {NNC_OP_random_uniform, NNC_OP_random_normal,
                                 NNC_OP_random_truncated_normal};
    static const double spread[] = {0.57735, 1.0, 0.87962};     /* of [1, 3), N, N within 2 sigma */
    for (int k = 0; k < 3; k++) {
        attrs = (nnc_attrs){LIST(40000), .f = {k == 0 ? 1 : 2, k == 0 ? 3 : 1}, .dtype = NNC_F32};
        y = run(ops[k], attrs, was, NULL);
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < 40000; i++) {
            sum += get(y, i) - 2, squares += (get(y, i) - 2) * (get(y, i) - 2);
            CHECK(k == 1 || fabs(get(y, i) - 2) <= (k == 0 ? 1.0 : 2.0));
        }
        CHECK(fabs(sum / 40000) < 0.03 && fabs(sqrt(squares / 40000) - spread[k]) < 0.02);
        nnc_tensor_release(y);
    }
    nnc_tensor_release(state), nnc_tensor_release(was);
}

TEST(dropout_scales_what_is_kept)
{
    nnc_tensor *state = empty(NNC_U32, SHAPE(2)), *x = noise(NNC_F32, SHAPE(200, 200), 1);
    nnc_tensor *y = run(NNC_OP_dropout, (nnc_attrs){.f = {0.25}}, x, state);
    int64_t dropped = 0;
    for (int64_t i = 0; i < size_of(x); i++) {
        dropped += get(y, i) == 0.0;
        CHECK(get(y, i) == 0.0 || fabs(get(y, i) - get(x, i) / 0.75) < 1e-6);
    }
    CHECK(llabs(dropped - 10000) < 520);            /* 6 standard deviations of 87 */
    nnc_tensor_release(y);
    y = run(NNC_OP_dropout, (nnc_attrs){.f = {1.0}}, x, state);
    CHECK(get(y, 77) == 0.0);
    nnc_tensor *in[2] = {x, state};
    refused(NNC_OP_dropout, (nnc_attrs){.f = {NAN}}, in, 2, NNC_EVALUE, "rate from 0 to 1");
    nnc_tensor_release(state), nnc_tensor_release(x), nnc_tensor_release(y);
}

TEST(assign_writes_in_place)
{
    static const nnc_dtype dtypes[] = {NNC_F32, NNC_F64, NNC_I32, NNC_U8, NNC_I64};
    for (int t = 0; t < 5; t++) {
        nnc_tensor *in[2] = {noise(dtypes[t], SHAPE(3, 2), 1), noise(dtypes[t], SHAPE(3, 2), 2)};
        nnc_attrs none = {.list_count = 0};
        nnc_tensor *sum = run(NNC_OP_add, none, in[0], in[1]);
        OK(nnc_eager(NNC_OP_assign_add, &none, in, 2, NULL));
        CHECK(memcmp(in[0]->array.data, sum->array.data, (size_t)sum->bytes) == 0);
        OK(nnc_eager(NNC_OP_assign, &none, in, 2, NULL));
        CHECK(get(in[0], 4) == get(in[1], 4));
        nnc_tensor *small = empty(dtypes[t], SHAPE(2));
        refused(NNC_OP_assign, none, (nnc_tensor *[]){in[0], small}, 2, NNC_EVALUE,
                "assign: the variable has shape (3, 2), the value has shape (2,)");
        nnc_tensor_release(in[0]), nnc_tensor_release(in[1]);
        nnc_tensor_release(small), nnc_tensor_release(sum);
    }
}

/* ---- products ---- */

/* x x^T and x^T x as loops give them, and exactly symmetric; blocks of 96 rows. */
TEST(symmetric_products)
{
    int64_t sizes[][2] = {{1, 1}, {3, 2}, {96, 3}, {97, 4}, {300, 5}, {0, 3}, {3, 0}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int form = 0; form < 4; form++) {
            int64_t n = sizes[s][0], k = sizes[s][1];
            bool turned = form & 1;
            nnc_tensor *x = noise(form & 2 ? NNC_F64 : NNC_F32,
                                  turned ? SHAPE(k, n) : SHAPE(n, k), 5);
            nnc_tensor *y = run(NNC_OP_symmetric_product, (nnc_attrs){.k = {turned, !turned}}, x, x);
            int64_t wrong = size_of(y) != n * n;
            for (int64_t i = 0; i < n * n && wrong == 0; i++) {
                double sum = 0;
                for (int64_t p = 0; p < k; p++)
                    sum += turned ? get(x, p * n + i / n) * get(x, p * n + i % n)
                                  : get(x, i / n * k + p) * get(x, i % n * k + p);
                wrong += !(fabs(get(y, i) - sum) < 1e-5 && get(y, i) == get(y, i % n * n + i / n));
            }
            CHECK(wrong == 0);
            nnc_tensor_release(x), nnc_tensor_release(y);
        }
    }
    nnc_tensor *x = noise(NNC_F32, SHAPE(3, 4), 1), *w = noise(NNC_F32, SHAPE(4, 5), 2);
    refused(NNC_OP_symmetric_product, (nnc_attrs){0}, (nnc_tensor *[]){x, w}, 2, NNC_EVALUE,
            "square");
    nnc_tensor_release(x), nnc_tensor_release(w);
}

/* ---- the same bits whatever the threads ---- */

TEST(bits_do_not_depend_on_threads)
{
    nnc_tensor *x = noise(NNC_F32, SHAPE(1500, 200), 1), *state = empty(NNC_U32, SHAPE(2));
    nnc_tensor *index = noise(NNC_U8, SHAPE(1500), 2);
    struct {
        nnc_op op;
        nnc_attrs attrs;
        nnc_tensor *b;
    } calls[] = {
        {NNC_OP_sum, {.list_count = 0}, NULL}, {NNC_OP_mean, {LIST(0)}, NULL},
        {NNC_OP_prod, {LIST(1)}, NULL}, {NNC_OP_argmax, {.k = {0}}, NULL},
        {NNC_OP_softmax, {.k = {0}}, NULL}, {NNC_OP_log_softmax, {.k = {1}}, NULL},
        {NNC_OP_transpose, {.list_count = 0}, NULL}, {NNC_OP_dropout, {.f = {0.3}}, state},
        {NNC_OP_take_grad, {LIST(700, 200), .k = {0}}, index},
        {NNC_OP_symmetric_product, {.k = {0, 1}}, x},
    };
    int before = nnc_pool_threads();
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++) {
        OK(nnc_pool_set_threads(1));
        nnc_tensor *one = run(calls[k].op, calls[k].attrs, x, calls[k].b);
        OK(nnc_pool_set_threads(3));
        nnc_tensor *three = run(calls[k].op, calls[k].attrs, x, calls[k].b);
        CHECK(memcmp(one->array.data, three->array.data, (size_t)one->bytes) == 0);
        nnc_tensor_release(one), nnc_tensor_release(three);
    }
    OK(nnc_pool_set_threads(before));
    nnc_tensor_release(x), nnc_tensor_release(state), nnc_tensor_release(index);
}
