/* widen.c - keeps 16-bit floats of a program in float32, rounded, where products of them have no
 * instructions of their own: of both kinds, but for bfloat16 on levels with tiles.
 *
 * A value that the program computes becomes a float32 value that holds only numbers of its 16-bit
 * dtype: who makes it rounds, who reads it need not widen. The numbers are those of before: an op
 * on 16-bit floats is the same op on float32 whose results are rounded to nearest even.
 *   cast to float32     -> nothing
 *   cast from float32   -> round_*, where it is first read; of a variable that this program does not
 *                          write -> a twin, rounded again only once some variable has been written
 *   product, dense      -> the same of float32; it rounds what it has finished. A second operand
 *                          that is a cast of a large variable, and the bias, have twins in 16 bits,
 *                          of which half as much is read. Where there may be none, bfloat16 is
 *                          rounded as it is read, and so is the bias
 *   element-wise, moves, ops by way of float32 (graph/wide.c)
 *                       -> the same, then round_*, unless it makes no new numbers
 * All else is left as it is, between casts there and back; so are what comes in and what goes
 * out.
 *
 * With excess precision (a program of a trainer) bfloat16 goes first, before other passes have seen
 * it, and is not rounded: a value stays what float32 arithmetic gives, so that the program becomes
 * that of float32. Rounded is what leaves it in bfloat16 (outputs, as they leave; what is written to
 * variables of that dtype; inputs of ops that are left) and what a user casts (NNC_CAST_KEPT).
 * float16 is always rounded: a scaled loss relies on its range. */
#include "graph/tape.h"
#include "graph/wide.h"
#include "ops/optimizer.h"
#include "passes/passes.h"


enum {
    MOST_NARROW_TWINS = 1 << 25 /* numbers of a program's twins in 16 bits */
};

typedef struct {
    nnc_pass *pass;
    nnc_graph *graph;
    nnc_node *nodes;        /* those of before; the graph's are written anew */
    int64_t count, values;
    nnc_dtype *dtype;       /* (values) of before */
    int *wide;              /* (values) what is read for it in float32; -1: not known yet. Of other
                             * dtypes: itself, or what a cast gave back */
    int *narrow;            /* (values) of a widened one: the 16 bits again, or its twin of them; or
                             * -1 */
    int *source;            /* (values) the float32 value that it is the rounding of, or -1 */
    bool takes_bf16, takes_f16;     /* which 16-bit dtypes are kept in float32 */
    bool excess;            /* not rounded */
    bool twins;             /* whether there may be any */
    int64_t twin_numbers, narrow_twin_numbers;
} widening;

static bool applies(const widening *w, nnc_dtype dtype)
{
    return dtype == NNC_F16 ? w->takes_f16 : dtype == NNC_BF16 && w->takes_bf16;
}

static bool is_half(const widening *w, int value)
{
    return applies(w, w->dtype[value]);
}

static nnc_op rounding(nnc_dtype dtype)
{
    return dtype == NNC_BF16 ? NNC_OP_round_bf16 : NNC_OP_round_f16;
}

/* ---- values ---- */

static nnc_status append(widening *w, nnc_op op, nnc_dtype dtype, int value, int *out)
{
    nnc_attrs attrs = {.dtype = dtype};
    return nnc_graph_append(w->graph, op, &attrs, &value, 1, out);
}

/* A constant in float32. */
static nnc_status widen_constant(widening *w, int value, int *out)
{
    nnc_status status;
    nnc_attrs attrs = {.dtype = NNC_F32};
    nnc_tensor *wide = NULL;
    NNC_TRY(nnc_eager_compute(NNC_OP_cast, &attrs, &w->graph->values[value].tensor, 1, &wide));
    NNC_TRY(nnc_graph_tensor(w->graph, wide, NNC_CONSTANT, out));
done:
    nnc_tensor_release(wide);
    return status;
}

/* The value is float32 from now on; `wide` is what is read for it, -1: yet to be made. */
static void become_wide(widening *w, int value, int wide)
{
    w->graph->values[value].array.dtype = NNC_F32;
    w->wide[value] = wide;
}

/* ---- variables ---- */

static bool is_written(const widening *w, const nnc_tensor *tensor)
{
    return nnc_nodes_write(w->graph, w->nodes, w->count, tensor) ||
        nnc_nodes_write(w->graph, w->graph->nodes, w->graph->node_count, tensor);
}

/* Whether a value is the rounding of a variable. */
static bool is_of_variable(const widening *w, int value)
{
    return w->source[value] >= 0 && w->graph->values[w->source[value]].kind == NNC_VARIABLE;
}

/* The numbers of a twin that it may have, none of which is written here, and whose memory is nobody
 * else's; INT64_MAX: it may have none. */
static int64_t twin_size(const widening *w, int value)
{
    if (!w->twins || !is_of_variable(w, value))
        return INT64_MAX;
    const nnc_tensor *plain = w->graph->values[w->source[value]].tensor;
    return plain->owner == NULL && !is_written(w, plain) ? nnc_shape_size(&plain->array.shape)
                                                         : INT64_MAX;
}

static bool may_have_twin(const widening *w, int value)
{
    int64_t numbers = twin_size(w, value);
    return numbers <= NNC_LARGEST_TWIN && numbers <= NNC_MOST_TWINS - w->twin_numbers;
}

static bool may_have_narrow_twin(const widening *w, int value)
{
    return w->narrow[value] >= 0 ||
        twin_size(w, value) <= MOST_NARROW_TWINS - w->narrow_twin_numbers;
}

/* A twin of the variable that `value` is the rounding of, as a constant. */
static nnc_status twin_of(widening *w, int value, bool turned, int *out)
{
    nnc_status status = NNC_OK;
    nnc_tensor *plain = w->graph->values[w->source[value]].tensor, *twin = NULL;
    NNC_TRY(nnc_twins_add(w->pass->twins, plain, NNC_F32, nnc_half_of(w->dtype[value]), turned,
                          false, &twin));
    NNC_TRY(nnc_graph_tensor(w->graph, twin, NNC_CONSTANT, out));
    w->twin_numbers += nnc_shape_size(&plain->array.shape);
done:
    nnc_tensor_release(twin);
    return status;
}

/* The twin in 16 bits, for who reads them. */
static nnc_status narrow_twin_of(widening *w, int value, int *out)
{
    nnc_status status = NNC_OK;
    nnc_tensor *plain = w->graph->values[w->source[value]].tensor, *twin = NULL;
    if (w->narrow[value] < 0) {
        NNC_TRY(nnc_twins_add(w->pass->twins, plain, w->dtype[value],
                              nnc_half_of(w->dtype[value]), false, false, &twin));
        NNC_TRY(nnc_graph_tensor(w->graph, twin, NNC_CONSTANT, &w->narrow[value]));
        w->narrow_twin_numbers += nnc_shape_size(&plain->array.shape);
    }
    *out = w->narrow[value];
done:
    nnc_tensor_release(twin);
    return status;
}

/* What is read for a value by who reads float32. */
static nnc_status wide_of(widening *w, int value, int *out)
{
    nnc_status status = NNC_OK;
    int *wide = &w->wide[value];
    if (*wide >= 0)
        status = NNC_OK;
    else if (may_have_twin(w, value))
        NNC_TRY(twin_of(w, value, false, wide));
    else if (w->source[value] >= 0)
        NNC_TRY(append(w, rounding(w->dtype[value]), NNC_DTYPE_COUNT, w->source[value], wide));
    else if (w->graph->values[value].kind == NNC_CONSTANT)
        NNC_TRY(widen_constant(w, value, wide));
    else
        NNC_TRY(append(w, NNC_OP_cast, NNC_F32, value, wide));
    *out = *wide;
done:
    return status;
}

/* The same by who reads what the value was. */
static nnc_status narrow_of(widening *w, int value, int *out)
{
    nnc_status status = NNC_OK;
    int wide;
    *out = is_half(w, value) ? value : w->wide[value];
    if (w->graph->values[*out].array.dtype == w->dtype[value])
        return NNC_OK;
    if (w->narrow[value] < 0) {
        NNC_TRY(wide_of(w, value, &wide));
        NNC_TRY(append(w, NNC_OP_cast, w->dtype[value], wide, &w->narrow[value]));
    }
    *out = w->narrow[value];
done:
    return status;
}

/* ---- nodes ---- */

/* The node goes to the end of the graph's. */
static nnc_status keep(widening *w, nnc_node *node)
{
    nnc_graph *graph = w->graph;
    nnc_status status = nnc_grow(&graph->nodes, &graph->node_capacity, graph->node_count + 1,
                                 sizeof *graph->nodes);
    if (status == NNC_OK) {
        graph->nodes[graph->node_count++] = *node;
        *node = (nnc_node){.inputs = NULL};
    }
    return status;
}

/* A cast from or to 16 bits that need not be. *gone: there is nothing left of it. */
static nnc_status widen_cast(widening *w, nnc_node *node, bool *gone)
{
    nnc_status status = NNC_OK;
    int x = node->inputs[0], y = node->outputs[0];
    nnc_dtype from = w->dtype[x], to = w->dtype[y];
    bool exceeds = w->excess && !node->attrs.k[NNC_CAST_KEPT];
    if (!is_half(w, x) && from != NNC_F32) {
        /* Of float64 it rounds once, by way of float32 twice. */
        if (exceeds && applies(w, to)) {
            node->attrs.dtype = NNC_F32;
            become_wide(w, y, y);
        }
        return NNC_OK;
    }
    NNC_TRY(wide_of(w, x, &node->inputs[0]));
    *gone = to == NNC_F32 || applies(w, to);
    if (to == NNC_F32)
        w->wide[y] = node->inputs[0];
    if (!applies(w, to))
        goto done;
    w->source[y] = exceeds ? -1 : node->inputs[0];
    become_wide(w, y, exceeds ? node->inputs[0] : -1);
done:
    return status;
}

/* An operand of a product that is a 16-bit variable, which the kernels take as it is. */
static bool stays(const widening *w, int value)
{
    return is_half(w, value) && w->graph->values[value].kind == NNC_VARIABLE;
}

/* A cast of a variable without a twin in float32. */
static bool is_large(const widening *w, int value)
{
    return is_half(w, value) && w->wide[value] < 0 && is_of_variable(w, value) &&
        !may_have_twin(w, value);
}

/* Whether the dense, whose arrays are of float32 already, runs along k. */
static bool is_dot(const widening *w, const nnc_node *node)
{
    nnc_array in[3];
    nnc_call call = {.op = NNC_OP_dense, .attrs = &node->attrs, .in = in, .input_count = 3,
                     .output_count = 1};
    for (int k = 0; k < 3; k++)
        in[k] = w->graph->values[node->inputs[k]].array;
    call.out[0] = w->graph->values[node->outputs[0]].array;
    return in[0].dtype == NNC_F32 && in[1].dtype == NNC_F32 && nnc_dense_is_dot(&call);
}

/* Inputs 1 and 2 of a product. */
static nnc_status widen_factors(widening *w, nnc_node *node, int64_t *flags)
{
    nnc_status status = NNC_OK;
    bool dense = node->op == NNC_OP_dense;
    int *in = node->inputs, k = 1;
    bool large = is_large(w, in[1]), narrow = large && !(*flags & NNC_WIDE_C);
    bool reads = large && w->dtype[in[1]] == NNC_BF16 && !w->excess;
    if (stays(w, in[1]) && !(*flags & NNC_WIDE_C) && (!dense || stays(w, in[2])))
        return NNC_OK;
    for (int i = 1; i < node->input_count; i++)
        narrow = narrow && may_have_narrow_twin(w, in[i]);
    for (int i = 1; i < node->input_count && narrow; i++)
        NNC_TRY(narrow_twin_of(w, in[i], &in[i]));
    if (narrow)
        return NNC_OK;
    if (dense && w->wide[in[1]] < 0 && may_have_twin(w, in[1]) && is_dot(w, node)) {
        NNC_TRY(twin_of(w, in[1], true, &in[1]));
        node->attrs.k[NNC_DENSE_TURNED] = 1;
        k = 2;
    }
    for (; k < node->input_count; k++) {
        if (reads && w->source[in[k]] >= 0)
            in[k] = w->source[in[k]];
        else
            NNC_TRY(wide_of(w, in[k], &in[k]));
    }
    *flags |= reads ? NNC_WIDE_B : 0;
done:
    return status;
}

static nnc_status widen_product(widening *w, nnc_node *node)
{
    nnc_status status = NNC_OK;
    bool dense = node->op == NNC_OP_dense;
    int *in = node->inputs, x = in[0], y = node->outputs[0];
    int64_t *flags = &node->attrs.k[dense ? NNC_DENSE_WIDE : NNC_MATMUL_WIDE];
    bool rounds = !(*flags & NNC_WIDE_C);
    NNC_TRY(wide_of(w, x, &in[0]));
    NNC_TRY(widen_factors(w, node, flags));
    if (rounds) {
        if (!w->excess || w->graph->values[in[1]].array.dtype != NNC_F32)
            *flags |= w->dtype[x] == NNC_BF16 ? NNC_ROUND_BF16 : NNC_ROUND_F16;
        become_wide(w, y, y);
    }
    *flags &= ~(int64_t)NNC_WIDE_C;
done:
    return status;
}

/* Rounds what the node, which is the last of the graph's, has made. */
static nnc_status round_results(widening *w, const nnc_node *node)
{
    nnc_status status = NNC_OK;
    for (int k = 0; k < node->output_count; k++) {
        int value = node->outputs[k], wide = value;
        if (!is_half(w, value))
            continue;
        if (!w->excess && !nnc_makes_no_numbers(node->op))
            NNC_TRY(append(w, rounding(w->dtype[value]), NNC_DTYPE_COUNT, value, &wide));
        become_wide(w, value, wide);
    }
done:
    return status;
}

static nnc_status widen_node(widening *w, nnc_node *node, bool wide)
{
    nnc_status status = NNC_OK;
    nnc_node kept;
    for (int k = 0; k < node->input_count; k++) {
        if (k < nnc_effects(node->op, &node->attrs))
            continue;                   /* a variable, and it itself */
        if (wide)
            NNC_TRY(wide_of(w, node->inputs[k], &node->inputs[k]));
        else
            NNC_TRY(narrow_of(w, node->inputs[k], &node->inputs[k]));
    }
    for (int k = 0; k < node->output_count && wide; k++) {
        if (is_half(w, node->outputs[k]))
            w->graph->values[node->outputs[k]].array.dtype = NNC_F32;
    }
    kept = *node;
    NNC_TRY(keep(w, node));
    if (wide)
        NNC_TRY(round_results(w, &kept));
done:
    return status;
}

static bool touches_half(const widening *w, const nnc_node *node)
{
    for (int k = 0; k < node->input_count; k++) {
        if (is_half(w, node->inputs[k]))
            return true;
    }
    for (int k = 0; k < node->output_count; k++) {
        if (is_half(w, node->outputs[k]))
            return true;
    }
    return false;
}

static nnc_status take_node(widening *w, nnc_node *node)
{
    nnc_status status = NNC_OK;
    bool gone = false;
    w->graph->label = node->label;
    w->graph->segment = node->segment;
    if (!touches_half(w, node)) {
        NNC_TRY(widen_node(w, node, false));
    } else if (node->op == NNC_OP_cast) {
        NNC_TRY(widen_cast(w, node, &gone));
        if (!gone)
            NNC_TRY(keep(w, node));
    } else if ((node->op == NNC_OP_matmul || node->op == NNC_OP_dense) &&
               is_half(w, node->inputs[0])) {
        NNC_TRY(widen_product(w, node));
        NNC_TRY(keep(w, node));
    } else {
        NNC_TRY(widen_node(w, node, nnc_is_same_wide(node->op, &node->attrs)));
    }
done:
    return status;
}

/* ---- the pass ---- */

static nnc_status begin(widening *w)
{
    nnc_status status;
    int64_t bytes = w->values * (int64_t)sizeof(int);
    NNC_TRY(nnc_alloc(w->values * (int64_t)sizeof *w->dtype, &w->dtype));
    NNC_TRY(nnc_alloc(bytes, &w->wide));
    NNC_TRY(nnc_alloc(bytes, &w->narrow));
    NNC_TRY(nnc_alloc(bytes, &w->source));
    for (int v = 0; v < (int)w->values; v++) {
        w->dtype[v] = w->graph->values[v].array.dtype;
        w->wide[v] = is_half(w, v) ? -1 : v;
        w->narrow[v] = w->source[v] = -1;
    }
    w->twins = w->pass->twins != NULL && 
        nnc_nodes_call_nobody(w->graph->nodes, w->graph->node_count);
    w->nodes = w->graph->nodes;
    w->count = w->graph->node_count;
    w->graph->nodes = NULL;
    w->graph->node_count = w->graph->node_capacity = 0;
done:
    return status;
}

static bool has_halves(const widening *w)
{
    for (int64_t v = 0; v < w->values; v++) {
        if (applies(w, w->graph->values[v].array.dtype))
            return true;
    }
    return false;
}

static nnc_status run(widening *w)
{
    nnc_status status = NNC_OK;
    nnc_pass *pass = w->pass;
    w->graph = pass->graph;
    w->values = pass->graph->value_count;
    if (!has_halves(w))
        return NNC_OK;
    NNC_TRY(begin(w));
    for (int64_t i = 0; i < w->count; i++)
        NNC_TRY(take_node(w, &w->nodes[i]));
    for (int k = 0; k < pass->output_count; k++) {
        int wide = w->wide[pass->outputs[k]];
        if (w->excess && pass->rounds_outputs && wide >= 0)
            pass->outputs[k] = wide;
        else
            NNC_TRY(narrow_of(w, pass->outputs[k], &pass->outputs[k]));
    }
    nnc_rewrite_renumber(pass->graph, 0);
done:
    pass->graph->label = pass->graph->segment = 0;
    for (int64_t i = 0; i < w->count; i++)
        nnc_node_clear(&w->nodes[i]);
    nnc_free(w->nodes);
    nnc_free(w->dtype);
    nnc_free(w->wide);
    nnc_free(w->narrow);
    nnc_free(w->source);
    return status;
}

nnc_status nnc_pass_excess(nnc_pass *pass)
{
    widening w = {.pass = pass, .takes_bf16 = !nnc_tiles_there(), .excess = true};
    return pass->excess ? run(&w) : NNC_OK;
}

nnc_status nnc_pass_widen(nnc_pass *pass)
{
    widening w = {.pass = pass, .takes_bf16 = !nnc_tiles_there() && !pass->excess,
                  .takes_f16 = true};
    return run(&w);
}
