/* chain.c - several element-wise ops in one node, run block by block: what a step computes the next
 * one finds in the first cache. The steps are ops of the table and run through their own `run`, so
 * every bit is what the ops one by one give (only a NaN made of two may have the other's sign).
 *
 * An input has the chain's shape, or is spread to it: one number goes as one number to the ops that
 * take one; other inputs are walked, and where a block is not one run of them, or the op needs a
 * vector, copied into a slot of the scratch memory. An input that repeats with a period (a bias) is
 * copied once where blocks can be whole periods. */
#include "ops/chain.h"

#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

enum {
    SCRATCH = 16384,        /* bytes: half of a small first cache; the rest is for what streams */
    LONGEST = 2048,         /* elements of a block */
    LONG_ROW = 256          /* from here on blocks end where rows end */
};

/* ---- packing ---- */

int64_t nnc_chain_pack(const nnc_chain_step *step)
{
    int64_t packed = (int64_t)step->op;
    for (int k = 0; k < 3; k++)
        packed |= (int64_t)step->operands[k] << (12 + 6 * k);
    return packed | (int64_t)step->parameter << 30 | (int64_t)step->dtype << 33 |
        (int64_t)step->slot << 38;
}

nnc_chain_step nnc_chain_unpack(int64_t packed)
{
    nnc_chain_step step = {.op = (nnc_op)(packed & 0xfff), .parameter = (int)(packed >> 30 & 7),
                           .dtype = (nnc_dtype)(packed >> 33 & 31),
                           .slot = (int)(packed >> 38 & 31)};
    for (int k = 0; k < 3; k++)
        step.operands[k] = (int)(packed >> (12 + 6 * k) & 63);
    return step;
}

/* Every operand is read as a vector. */
static bool takes_vectors(nnc_op op)
{
    switch ((int)op) {
#define UNARY(name, ...) case NNC_OP_##name: case NNC_OP_##name##_grad:
#include "ops/unary.def"
#undef UNARY
    case NNC_OP_cast:
    case NNC_OP_round_bf16:
    case NNC_OP_round_f16:
    case NNC_OP_logical_not:
    case NNC_OP_isnan:
    case NNC_OP_isinf:
    case NNC_OP_isfinite:
    case NNC_OP_where:
        return true;
    default:
        return false;
    }
}

bool nnc_chain_takes(nnc_op op)
{
    switch ((int)op) {
#define BINARY(name, ...) case NNC_OP_##name:
#include "ops/binary.def"
#undef BINARY
#define COMPARE(name, ...) case NNC_OP_##name:
#include "ops/compare.def"
#undef COMPARE
    case NNC_OP_logical_and:
    case NNC_OP_logical_or:
    case NNC_OP_logical_xor:
        return true;
    default:
        return takes_vectors(op);
    }
}

/* ---- shapes ---- */

static nnc_status wrong_step(int j, const char *what)
{
    return nnc_fail(NNC_EVALUE, "chain: step %d: %s", j, what);
}

/* The dtype of step j's result, from the op's own rule. */
static nnc_status step_infer(const nnc_chain_step *step, int j, const nnc_attrs *attrs,
                             const nnc_array *in, int input_count, nnc_dtype *results)
{
    nnc_status status;
    nnc_array operands[3], out;
    nnc_attrs own = {.dtype = step->dtype};
    int count;
    if (step->op >= NNC_OP_COUNT || !nnc_chain_takes(step->op))
        return wrong_step(j, "no element-wise op");
    if (step->parameter >= NNC_CHAIN_PARAMETERS || step->dtype > NNC_DTYPE_COUNT)
        return wrong_step(j, "a parameter or a dtype is out of range");
    own.f[0] = attrs->f[step->parameter];
    count = nnc_ops[step->op].inputs;
    for (int k = 0; k < count; k++) {
        int operand = step->operands[k], result = operand - NNC_CHAIN_RESULT;
        if (result < 0 ? operand >= input_count : result >= j)
            return wrong_step(j, "an operand is out of range");
        operands[k] = (nnc_array){.dtype = result < 0 ? in[operand].dtype : results[result],
                                  .shape = {.rank = 1, .dim = {1}}};
    }
    NNC_TRY(nnc_ops[step->op].infer(step->op, &own, operands, count, &out));
    if (out.dtype != (step->dtype == NNC_DTYPE_COUNT ? operands[count - 1].dtype : step->dtype))
        return wrong_step(j, "its result has another dtype");
    results[j] = out.dtype;
done:
    return status;
}

static nnc_status chain_shape(const nnc_attrs *attrs, const nnc_array *in, int input_count,
                              nnc_shape *out)
{
    int64_t bytes;
    nnc_shape both;
    nnc_attrs as_shape = {.list_count = 0};
    if (attrs->list_count < 2 || attrs->list_count > NNC_CHAIN_STEPS + 1 || attrs->list[0] < 0 ||
        attrs->list[0] > NNC_MAX_RANK || input_count > NNC_CHAIN_INPUTS)
        return nnc_fail(NNC_EVALUE, "chain: expected a rank, 1 to %d steps and at most %d inputs",
                        (int)NNC_CHAIN_STEPS, (int)NNC_CHAIN_INPUTS);
    as_shape.list_count = (int)attrs->list[0];
    memcpy(as_shape.list, attrs->k, sizeof attrs->k);
    nnc_status status = nnc_check_shape(NNC_OP_chain, &as_shape, NNC_F64, out);
    for (int k = 0; k < input_count && status == NNC_OK; k++) {
        if (!nnc_shape_broadcast(&in[k].shape, out, &both) || !nnc_shape_equal(&both, out))
            status = nnc_fail(NNC_EVALUE, "chain: input %d does not broadcast to the shape", k);
        else
            status = nnc_shape_bytes(&in[k].shape, in[k].dtype, &bytes);
    }
    return status;
}

nnc_status nnc_op_chain_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                              int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_dtype results[NNC_CHAIN_STEPS];
    nnc_shape shape;
    int outputs = 1, last = attrs->list_count - 2;
    (void)op;
    NNC_TRY(chain_shape(attrs, in, input_count, &shape));
    for (int j = 0; j <= last; j++) {
        nnc_chain_step step = nnc_chain_unpack(attrs->list[j + 1]);
        NNC_TRY(step_infer(&step, j, attrs, in, input_count, results));
        bool output = step.slot == NNC_CHAIN_OUTPUT;
        if (j == last ? !output : output && outputs == NNC_MAX_OUTPUTS)
            return wrong_step(j, "the last must be an output, of at most 8");
        if (output)
            out[j == last ? 0 : outputs++] = (nnc_array){.dtype = results[j], .shape = shape};
    }
done:
    return status;
}

void nnc_op_chain_plan(const nnc_call *call, nnc_work *work)
{
    int64_t n = nnc_shape_size(&call->out[0].shape);
    double cost = 0;
    for (int j = 1; j < call->attrs->list_count; j++) {
        nnc_op op = nnc_chain_unpack(call->attrs->list[j]).op;
        nnc_array in[3] = {call->out[0], call->out[0], call->out[0]};
        nnc_call one = {.op = op, .attrs = call->attrs, .in = in,
                        .input_count = nnc_ops[op].inputs, .output_count = 1};
        nnc_work part = {.cost = 0.3 * (double)n};
        one.out[0] = call->out[0];
        if (nnc_ops[op].plan != NULL)
            nnc_ops[op].plan(&one, &part);
        cost += part.cost;
    }
    nnc_plan_elements(work, n, 0);
    work->cost += cost;
}

/* ---- running ---- */

typedef enum {
    FULL,       /* of the chain's shape */
    NUMBER,     /* one number, to ops that take one */
    REPEATED,   /* lies in its slot for good: one number, or whole periods of a row */
    WALKED      /* sought for each block */
} spread;

/* What a step reads: n elements at data, or one. */
typedef struct {
    const char *data;
    nnc_dtype dtype;
    bool single;
} operand;

typedef struct {
    operand block;          /* what the steps see */
    const char *data;
    int64_t size;           /* bytes of an element */
    spread spread;
    bool expand;            /* an op reads it that takes no single number */
    char *slot;             /* for a copy, or NULL */
    nnc_walk walk;
} input;

/* Kernels that are called directly; all other ops through their `run`. */
typedef enum { UNARY_KERNEL, GRAD_KERNEL, BINARY_KERNEL, COMPARE_KERNEL, SELECT_KERNEL, ANY } kind;

typedef struct {
    nnc_chain_step step;
    kind kind;
    int row;                /* of the kernels' table */
    const operand *in[3];
    double alpha;
    operand block;          /* the result */
    int64_t size;
    char *output, *scratch; /* the node's output, or NULL; a slot */
    bool waits;             /* the output lies over an input, which the op does not bear */
} result;

typedef struct {
    nnc_call *call;
    input inputs[NNC_CHAIN_INPUTS];
    result results[NNC_CHAIN_STEPS];
    int steps;
    int64_t block, row;     /* elements of a block; where blocks must end, or 0 */
    _Alignas(64) char scratch[SCRATCH];
} chain;

static kind kind_of(nnc_op op, nnc_dtype dtype, int *row)
{
    static const short kinds[NNC_OP_COUNT][2] = {
#define UNARY(name, ...)                                                                           \
    [NNC_OP_##name] = {UNARY_KERNEL + 1, NNC_UNARY_##name},                                        \
    [NNC_OP_##name##_grad] = {GRAD_KERNEL + 1, NNC_UNARY_##name},
#include "ops/unary.def"
#undef UNARY
#define BINARY(name, ...) [NNC_OP_##name] = {BINARY_KERNEL + 1, NNC_BINARY_##name},
#include "ops/binary.def"
#undef BINARY
#define COMPARE(name, ...) [NNC_OP_##name] = {COMPARE_KERNEL + 1, NNC_COMPARE_##name},
#include "ops/compare.def"
#undef COMPARE
        [NNC_OP_where] = {SELECT_KERNEL + 1, 0},
    };
    *row = kinds[op][1];
    return (dtype == NNC_F32 || dtype == NNC_F64) && kinds[op][0] > 0 ? kinds[op][0] - 1 : ANY;
}

static void prepare_inputs(chain *c)
{
    const nnc_shape *shape = &c->call->out[0].shape;
    int64_t n = nnc_shape_size(shape);
    for (int k = 0; k < c->call->input_count; k++) {
        const nnc_array *whole = &c->call->in[k];
        input *in = &c->inputs[k];
        int64_t own = nnc_shape_size(&whole->shape);
        in->data = whole->data;
        in->size = nnc_dtype_size(whole->dtype);
        in->block = (operand){.data = in->data, .dtype = whole->dtype, .single = own != n};
        in->spread = own == n ? FULL : own == 1 ? NUMBER : WALKED;
        in->expand = false;
        in->slot = NULL;
        if (in->spread == WALKED)
            nnc_walk_broadcast(&in->walk, shape, whole, 1);
    }
}

static void prepare_step(chain *c, int j, char *output)
{
    result *r = &c->results[j];
    int count = nnc_ops[r->step.op].inputs;
    bool vectors = takes_vectors(r->step.op);
    for (int i = 0; i < count; i++) {
        int from = r->step.operands[i] - NNC_CHAIN_RESULT;
        r->in[i] = from < 0 ? &c->inputs[r->step.operands[i]].block : &c->results[from].block;
        if (from < 0)
            c->inputs[r->step.operands[i]].expand |= vectors;
    }
    for (int i = count; i < 3; i++)
        r->in[i] = r->in[0];
    r->kind = kind_of(r->step.op, r->in[count - 1]->dtype, &r->row);
    r->alpha = c->call->attrs->f[r->step.parameter];
    if (r->step.dtype == NNC_DTYPE_COUNT)
        r->step.dtype = r->in[count - 1]->dtype;
    r->block = (operand){.dtype = r->step.dtype};
    r->size = nnc_dtype_size(r->step.dtype);
    r->output = output;
    r->waits = output != NULL && output == c->inputs[0].data &&
        !(nnc_ops[r->step.op].flags & NNC_INPLACE);
}

static void prepare_steps(chain *c)
{
    const nnc_call *call = c->call;
    int outputs = 1;
    c->steps = call->attrs->list_count - 1;
    for (int j = 0; j < c->steps; j++) {
        int k = -1;
        c->results[j].step = nnc_chain_unpack(call->attrs->list[j + 1]);
        if (c->results[j].step.slot == NNC_CHAIN_OUTPUT)
            k = j + 1 == c->steps ? 0 : outputs++;
        prepare_step(c, j, k >= 0 && k < call->output_count ? call->out[k].data : NULL);
    }
}

/* The one period of all inputs that are walked; 0: there is none. */
static int64_t common_period(const chain *c, bool *walked)
{
    int64_t period = -1;
    *walked = false;
    for (int k = 0; k < c->call->input_count; k++) {
        const input *in = &c->inputs[k];
        if (in->spread != WALKED)
            continue;
        int64_t own = in->walk.rank == 2 && in->walk.step[0] == 1 ? in->walk.dim[1] : 0;
        *walked = true;
        period = period < 0 || period == own ? own : 0;
    }
    return period < 0 ? 0 : period;
}

/* Copies an input's elements at .. at+n-1 to its slot. */
static void copy_input(input *in, int64_t at, int64_t n)
{
    char *to = in->slot;
    in->block.data = to;
    in->block.single = false;
    if (in->spread == NUMBER) {
        nnc_move(in->data, 0, to, n, in->size);
        return;
    }
    nnc_walk_seek(&in->walk, at, n);
    for (int64_t run; (run = nnc_walk_next(&in->walk)) > 0; to += run * in->size)
        nnc_move(in->data + in->walk.at[0] * in->size, in->walk.step[0], to, run, in->size);
}

/* Cuts the scratch memory into slots, one more than there are results for an output that nobody
 * wants or that has to wait; gives the inputs theirs. Returns the bytes of a slot. */
static int64_t cut_scratch(chain *c)
{
    int slots = 0, widest = 1;
    for (int j = 0; j < c->steps; j++) {
        int slot = c->results[j].step.slot, size = (int)c->results[j].size;
        slots = slot != NNC_CHAIN_OUTPUT && slot >= slots ? slot + 1 : slots;
        widest = size > widest ? size : widest;
    }
    int spare = slots, next = slots + 1;
    slots = next;
    for (int k = 0; k < c->call->input_count; k++) {
        const input *in = &c->inputs[k];
        slots += in->spread == WALKED || (in->spread == NUMBER && in->expand);
        widest = in->size > widest ? (int)in->size : widest;
    }
    int64_t bytes = SCRATCH / slots / 64 * 64;
    for (int j = 0; j < c->steps; j++) {
        int slot = c->results[j].step.slot;
        c->results[j].scratch = c->scratch + bytes * (slot == NNC_CHAIN_OUTPUT ? spare : slot);
    }
    for (int k = 0; k < c->call->input_count; k++) {
        input *in = &c->inputs[k];
        if (in->spread == WALKED || (in->spread == NUMBER && in->expand))
            in->slot = c->scratch + bytes * next++;
    }
    return bytes / widest;
}

/* Blocks as long as a slot; whole periods where all inputs repeat with one, or ending with the rows
 * where rows are long. */
static void prepare_blocks(chain *c, int64_t first)
{
    bool walked;
    const nnc_shape *shape = &c->call->out[0].shape;
    int64_t longest = cut_scratch(c), period = common_period(c, &walked);
    int64_t last = shape->rank > 0 ? shape->dim[shape->rank - 1] : 1;
    c->block = longest < LONGEST ? longest : LONGEST;
    c->row = walked && last >= LONG_ROW ? last : 0;
    if (c->row > 0 || period > c->block)
        period = 0;
    if (period > 0)
        c->block = c->block / period * period;
    int64_t left = nnc_shape_size(shape) - first;
    for (int k = 0; k < c->call->input_count; k++) {
        input *in = &c->inputs[k];
        if (in->slot == NULL || (in->spread == WALKED && period == 0))
            continue;
        copy_input(in, first, left < c->block ? left : c->block);
        in->spread = REPEATED;
    }
}

/* Points an input at elements at .. at+n-1. */
static void seek_input(input *in, int64_t at, int64_t n)
{
    if (in->spread == FULL)
        in->block.data = in->data + at * in->size;
    if (in->spread != WALKED)
        return;
    nnc_walk_seek(&in->walk, at, n);
    int64_t step = in->walk.step[0];
    if (nnc_walk_next(&in->walk) == n && (step == 1 || (step == 0 && !in->expand))) {
        in->block.data = in->data + in->walk.at[0] * in->size;
        in->block.single = step == 0 && n > 1;
        return;
    }
    copy_input(in, at, n);
}

/* Through the op's own `run`. */
static void run_any(const chain *c, const result *r, char *y, int64_t n)
{
    nnc_array in[3];
    nnc_attrs attrs = {.f = {r->alpha}, .dtype = r->step.dtype};
    nnc_call call = {.op = r->step.op, .attrs = &attrs, .in = in, .output_count = 1,
                     .input_count = nnc_ops[r->step.op].inputs, .fault = c->call->fault};
    for (int i = 0; i < call.input_count; i++)
        in[i] = (nnc_array){.data = (void *)r->in[i]->data, .dtype = r->in[i]->dtype,
                            .shape = {.rank = 1, .dim = {r->in[i]->single ? 1 : n}}};
    call.out[0] = (nnc_array){.data = y, .dtype = r->step.dtype, .shape = {.rank = 1, .dim = {n}}};
    nnc_ops[r->step.op].run(&call, 0, 0, 1);
}

#define RUN_KERNEL(suffix, real)                                                                   \
    do {                                                                                           \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        const real *a = (const real *)(const void *)r->in[0]->data;                                \
        const real *b = (const real *)(const void *)r->in[1]->data;                                \
        real *y = (real *)(void *)target;                                                          \
        switch (r->kind) {                                                                         \
        case UNARY_KERNEL:                                                                         \
            k->unary[r->row](a, y, n, (real)r->alpha);                                             \
            break;                                                                                 \
        case GRAD_KERNEL:                                                                          \
            k->unary_grad[r->row](a, b, (const real *)(const void *)r->in[2]->data, y, n,          \
                                  (real)r->alpha);                                                 \
            break;                                                                                 \
        case BINARY_KERNEL:                                                                        \
            k->binary[r->row][form](a, b, y, n);                                                   \
            break;                                                                                 \
        case COMPARE_KERNEL:                                                                       \
            k->compare[r->row][form](a, b, (uint8_t *)target, n);                                  \
            break;                                                                                 \
        default:                                                                                   \
            k->select((const uint8_t *)r->in[0]->data, b,                                          \
                      (const real *)(const void *)r->in[2]->data, y, n);                           \
        }                                                                                          \
    } while (0)

/* Step j on n elements, from element `at` of the outputs on. */
static void run_step(const chain *c, result *r, int64_t at, int64_t n)
{
    char *output = r->output == NULL ? NULL : r->output + at * r->size;
    char *target = output == NULL || r->waits ? r->scratch : output;
    int form = NNC_VV;
    bool direct = r->kind != ANY;
    if (r->kind == BINARY_KERNEL || r->kind == COMPARE_KERNEL) {
        form = r->in[1]->single ? NNC_VS : r->in[0]->single ? NNC_SV : NNC_VV;
        direct = !(r->in[0]->single && r->in[1]->single);
    }
    if (!direct)
        run_any(c, r, target, n);
    else if (r->in[1]->dtype == NNC_F32)
        RUN_KERNEL(f32, float);
    else
        RUN_KERNEL(f64, double);
    r->block.data = target;
    if (r->waits)
        memcpy(output, target, (size_t)(n * r->size));
}

void nnc_op_chain_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    chain c;
    int64_t count, n = nnc_shape_size(&call->out[0].shape);
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count), last = first + count;
    (void)phase;
    if (count <= 0)
        return;
    c.call = call;
    prepare_inputs(&c);
    prepare_steps(&c);
    prepare_blocks(&c, first);
    for (int64_t at = first, next; at < last; at = next) {
        next = at + c.block < last ? at + c.block : last;
        if (c.row > 0 && next > at - at % c.row + c.row)
            next = at - at % c.row + c.row;
        for (int k = 0; k < call->input_count; k++)
            seek_input(&c.inputs[k], at, next - at);
        for (int j = 0; j < c.steps; j++)
            run_step(&c, &c.results[j], at, next - at);
    }
}
