/* optimizer.c - one step of an optimizer on one variable, in place. Formulas: Keras 3.
 *
 * Inputs: w and its slots (written), the gradient g, lr (), and for Adam t (), the steps done
 * before. The step number enters through alpha = lr sqrt(1 - beta_2^(t+1)) / (1 - beta_1^(t+1)), in
 * double. Adam: Kingma & Ba 2014, arXiv:1412.6980; AMSGrad: Reddi 2019; Adagrad: Duchi 2011;
 * RMSprop: Hinton 2012; Adadelta: Zeiler 2012, arXiv:1212.5701; Adamax: Kingma & Ba; Ftrl: McMahan
 * 2013; Lion: Chen 2023, arXiv:2302.06675; Nadam: Dozat 2015; schedule-free: Defazio 2024,
 * arXiv:2405.15682. Nadam has one input more, the product of its momenta so far. Numbers below the
 * smallest normal one count as zero (core/flush.h). */
#include "ops/optimizer.h"

#include "core/flush.h"
#include "kernels/kernels.h"
#include "ops/support.h"
#include "ops/table.h"

#include <math.h>

/* How many leading inputs have the variable's shape: w, slots and g. */
static int shaped_inputs(nnc_op op)
{
    int effects = nnc_op_effects(&nnc_ops[op]);
    return op == NNC_OP_decay_weights ? effects : effects + 1;
}

nnc_status nnc_optimizer_check_numbers(nnc_op op, const nnc_array *in, int first, int input_count)
{
    for (int k = first; k < input_count; k++) {
        if (nnc_shape_size(&in[k].shape) != 1 ||
            (k == first && nnc_dtype_kind(in[k].dtype) != NNC_KIND_FLOAT))
            return nnc_fail(NNC_EVALUE, "%s: %s must be one number", nnc_op_name(op),
                            k == first ? "the learning rate" : "the step counter");
    }
    return NNC_OK;
}

nnc_status nnc_op_optimizer_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                  int input_count, nnc_array *out)
{
    nnc_status status;
    int shaped = shaped_inputs(op);
    (void)attrs, (void)out;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    for (int k = 1; k < shaped; k++) {
        NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[k]));
        NNC_TRY(nnc_check_same_shape(op, &in[0], &in[k]));
    }
    NNC_TRY(nnc_optimizer_check_numbers(op, in, shaped, input_count));
done:
    return status;
}

void nnc_op_optimizer_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, nnc_shape_size(&call->in[0].shape), 0.6);
}

double nnc_optimizer_number(const nnc_array *array)
{
    double value = 0;
    nnc_convert(array->data, array->dtype, &value, NNC_F64, 1);
    return value;
}

static double adam_alpha(const nnc_call *call, double lr)
{
    double t = nnc_optimizer_number(&call->in[call->input_count - 1]) + 1;
    const double *beta = call->attrs->f;
    return lr * sqrt(1 - pow(beta[1], t)) / (1 - pow(beta[0], t));
}

double nnc_optimizer_rate(const nnc_call *call)
{
    double lr = nnc_optimizer_number(&call->in[shaped_inputs(call->op)]);
    return call->op == NNC_OP_adam || call->op == NNC_OP_adam_amsgrad ? adam_alpha(call, lr) : lr;
}

/* What m, g and v are multiplied with; momentum u(t) = beta_1 (1 - 0.96^t / 2). */
static void nadam_factors(const nnc_call *call, double lr, double *by)
{
    double step = nnc_optimizer_number(&call->in[5]) + 1;
    double product = nnc_optimizer_number(&call->in[6]);
    const double *beta = call->attrs->f;
    double now = beta[0] * (1 - 0.5 * pow(0.96, step));
    double next = beta[0] * (1 - 0.5 * pow(0.96, step + 1));
    by[0] = lr * next / (1 - product * next);
    by[1] = lr * (1 - now) / (1 - product);
    by[2] = 1 / (1 - pow(beta[1], step));
}

static double warm(double lr, double step, double warmup)
{
    return step < warmup ? lr * step / warmup : lr;
}

/* Elements first.. of input k. */
#define IN(k) ((real *)call->in[k].data + first)

#define MORE_STEPS(suffix, type)                                                                   \
    static void more_##suffix(nnc_call *call, int64_t first, int64_t n, double lr)                 \
    {                                                                                              \
        typedef type real;                                                                         \
        const nnc_kernels_##suffix *kernels = nnc_kernels->suffix;                                 \
        const double *f = call->attrs->f;                                                          \
        double step = call->input_count > 5 ? nnc_optimizer_number(&call->in[5]) + 1 : 1, by[3];   \
        switch ((int)call->op) {                                                                   \
        case NNC_OP_adadelta:                                                                      \
            kernels->adadelta(IN(0), IN(1), IN(2), IN(3), n, lr, f[0], f[1]);                      \
            break;                                                                                 \
        case NNC_OP_adamax:                                                                        \
            kernels->adamax(IN(0), IN(1), IN(2), IN(3), n, lr / (1 - pow(f[0], step)), f[0], f[1], \
                            f[2]);                                                                 \
            break;                                                                                 \
        case NNC_OP_ftrl:                                                                          \
            kernels->ftrl(IN(0), IN(1), IN(2), IN(3), n, lr, f);                                   \
            break;                                                                                 \
        case NNC_OP_lion:                                                                          \
            kernels->lion(IN(0), IN(1), IN(2), n, lr, f[0], f[1]);                                 \
            break;                                                                                 \
        case NNC_OP_nadam:                                                                         \
            nadam_factors(call, lr, by);                                                           \
            kernels->nadam(IN(0), IN(1), IN(2), IN(3), n, by, f[0], f[1], f[2]);                   \
            break;                                                                                 \
        case NNC_OP_schedule_free_adamw:                                                           \
            kernels->schedule_free(IN(0), IN(1), IN(2), IN(3), n, warm(lr, step, f[3]), step, f);  \
            break;                                                                                 \
        default:                                                                                   \
            kernels->adagrad(IN(0), IN(1), IN(2), n, lr, f[0]);                                    \
        }                                                                                          \
    }
MORE_STEPS(f32, float)
MORE_STEPS(f64, double)

#define STEP(suffix, type)                                                                         \
    static void step_##suffix(nnc_call *call, double lr, int64_t first, int64_t n)                 \
    {                                                                                              \
        typedef type real;                                                                         \
        const nnc_kernels_##suffix *kernels = nnc_kernels->suffix;                                 \
        const double *f = call->attrs->f;                                                          \
        switch ((int)call->op) {                                                                   \
        case NNC_OP_decay_weights: {                                                               \
            type keep = (type)(1 - lr * f[0]);                                                     \
            kernels->binary[NNC_BINARY_multiply][NNC_VS](IN(0), &keep, IN(0), n);                  \
            break;                                                                                 \
        }                                                                                          \
        case NNC_OP_sgd:                                                                           \
            kernels->sgd(IN(0), IN(1), n, lr);                                                     \
            break;                                                                                 \
        case NNC_OP_momentum:                                                                      \
            kernels->momentum(IN(0), IN(1), IN(2), n, lr, f[0], call->attrs->k[0] != 0);           \
            break;                                                                                 \
        case NNC_OP_rmsprop:                                                                       \
            kernels->rmsprop(IN(0), IN(1), NULL, NULL, IN(2), n, lr, f[0], 0, f[1]);               \
            break;                                                                                 \
        case NNC_OP_rmsprop_centered:                                                              \
            kernels->rmsprop(IN(0), IN(1), IN(2), NULL, IN(3), n, lr, f[0], 0, f[1]);              \
            break;                                                                                 \
        case NNC_OP_rmsprop_momentum:                                                              \
            kernels->rmsprop(IN(0), IN(1), NULL, IN(2), IN(3), n, lr, f[0], f[2], f[1]);           \
            break;                                                                                 \
        case NNC_OP_rmsprop_centered_momentum:                                                     \
            kernels->rmsprop(IN(0), IN(1), IN(2), IN(3), IN(4), n, lr, f[0], f[2], f[1]);          \
            break;                                                                                 \
        case NNC_OP_adam:                                                                          \
            kernels->adam(IN(0), IN(1), IN(2), NULL, IN(3), n, lr, f[0], f[1], f[2]);              \
            break;                                                                                 \
        case NNC_OP_adam_amsgrad:                                                                  \
            kernels->adam(IN(0), IN(1), IN(2), IN(3), IN(4), n, lr, f[0], f[1], f[2]);             \
            break;                                                                                 \
        default:                                                                                   \
            more_##suffix(call, first, n, lr);                                                     \
        }                                                                                          \
    }
STEP(f32, float)
STEP(f64, double)

void nnc_optimizer_rows(nnc_call *call, double rate, int64_t first, int64_t rows, int64_t columns,
                        int64_t apart, const void *gradient, int64_t gradient_apart)
{
    nnc_array *g = &call->in[shaped_inputs(call->op) - 1];
    int64_t size = nnc_dtype_size(g->dtype);
    if (columns == apart && gradient == NULL) {
        columns *= rows;
        rows = rows > 0;
    }
    unsigned before = nnc_flush_begin();
    for (int64_t i = 0; i < rows; i++) {
        int64_t at = first + i * apart;
        if (gradient != NULL)       /* such that its element `at` is there */
            g->data = (void *)((uintptr_t)gradient +
                               (uintptr_t)((i * gradient_apart - at) * size));
        if (call->in[0].dtype == NNC_F32)
            step_f32(call, rate, at, columns);
        else
            step_f64(call, rate, at, columns);
    }
    nnc_flush_end(before);
}

void nnc_op_optimizer_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t count, n = nnc_shape_size(&call->in[0].shape);
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count);
    (void)phase;
    nnc_optimizer_rows(call, nnc_optimizer_rate(call), first, 1, count, count, NULL, 0);
}
