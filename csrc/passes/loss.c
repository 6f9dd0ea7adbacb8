/* loss.c - joins what a step makes of a cross-entropy into one node, softmax_loss, which goes over
 * the logits once:
 *   the loss of each row, perhaps weighted, its mean, and that times a number;
 *   the gradient of the logits;
 *   where the largest stands where it should (accuracy), and how often.
 * It keeps every bit: the ops by themselves call the same kernels, sums have the same order.
 *
 * The joint node stands where the last part stood that reads something from elsewhere. So nobody
 * may read a result before that place. Effects stand behind (order.c), or the parts stay as they
 * are. */
#include "ops/loss.h"
#include "passes/passes.h"

enum {
    MOST_ROWS = 16384,          /* that mean and sum add in one go */
    MOST_PARTS = 12
};

typedef struct {
    nnc_pass *pass;
    nnc_graph *graph;
    int *uses;
    int node;                   /* the cross-entropy */
    int64_t rows;
    int logits, target;         /* values; the target as the joint node reads it */
    bool dense;
    int dloss, weights;         /* values, or -1 */
    bool hit_of_x;
    int result[NNC_LOSS_OUTPUTS];       /* values that the joint node makes, or -1 */
    int part[MOST_PARTS], parts;        /* nodes that it replaces: nobody else reads them */
    int place;                  /* the last part that reads something from elsewhere */
} join;

static const nnc_node *maker(const join *j, int value, nnc_op op)
{
    const nnc_value *v = &j->graph->values[value];
    bool right = v->kind == NNC_COMPUTED && j->graph->nodes[v->node].op == op;
    return right ? &j->graph->nodes[v->node] : NULL;
}

static int index_of(const join *j, const nnc_node *node)
{
    return (int)(node - j->graph->nodes);
}

static const nnc_array *array_of(const join *j, int value)
{
    return &j->graph->values[value].array;
}

/* The first node with the op that reads the value; NULL if there is none. */
static const nnc_node *reader(const join *j, int value, nnc_op op)
{
    for (int64_t i = 0; i < j->graph->node_count; i++) {
        const nnc_node *node = &j->graph->nodes[i];
        for (int k = 0; k < node->input_count && node->op == op; k++) {
            if (node->inputs[k] == value)
                return node;
        }
    }
    return NULL;
}

static bool is_read_once(const join *j, int value)
{
    return j->uses[value] == 1;
}

/* A number of the logits' dtype for each row. */
static bool is_rows(const join *j, int value)
{
    const nnc_array *array = array_of(j, value);
    return array->dtype == array_of(j, j->logits)->dtype &&
        nnc_shape_size(&array->shape) == j->rows;
}

static void take(join *j, const nnc_node *node, bool reads_elsewhere)
{
    j->part[j->parts++] = index_of(j, node);
    if (reads_elsewhere && index_of(j, node) > j->place)
        j->place = index_of(j, node);
}

/* ---- labels ---- */

static bool is_integer(nnc_dtype dtype)
{
    return nnc_dtype_kind(dtype) == NNC_KIND_INT ||
        (nnc_dtype_kind(dtype) == NNC_KIND_UINT && dtype != NNC_U64);
}

/* The value that one comes from through other shapes, wider integers and floats that hold every
 * class: what is a class in the one is the same class in the other. */
static int source_of(const join *j, int value)
{
    for (;;) {
        int root = nnc_rewrite_root(j->graph, value);
        const nnc_node *cast = maker(j, root, NNC_OP_cast);
        if (cast == NULL)
            return root;
        nnc_dtype from = array_of(j, cast->inputs[0])->dtype, to = array_of(j, root)->dtype;
        bool wide = to == NNC_F32 || to == NNC_F64 ||
            (is_integer(to) && nnc_dtype_size(to) >= nnc_dtype_size(from));
        if (!is_integer(from) || !wide)
            return root;
        value = cast->inputs[0];
    }
}

/* ---- the parts ---- */

/* A number for each row, beside the classes. */
static bool is_column(const join *j, int value)
{
    const nnc_shape *shape = &array_of(j, value)->shape;
    return is_rows(j, value) && shape->rank == array_of(j, j->logits)->shape.rank &&
        shape->dim[shape->rank - 1] == 1;
}

/* multiply(multiply(p, sum(t)) - t, dloss as a column) */
static bool take_dense_gradient(join *j, int p)
{
    const nnc_node *product = reader(j, p, NNC_OP_multiply);
    if (product == NULL || product->inputs[0] != p || !is_read_once(j, product->outputs[0]))
        return false;
    const nnc_node *sum = maker(j, product->inputs[1], NNC_OP_sum);
    const nnc_node *less = reader(j, product->outputs[0], NNC_OP_subtract);
    if (sum == NULL || sum->inputs[0] != j->target || less == NULL ||
        less->inputs[0] != product->outputs[0] || less->inputs[1] != j->target ||
        !is_column(j, sum->outputs[0]) || !is_read_once(j, less->outputs[0]))
        return false;
    const nnc_node *gradient = reader(j, less->outputs[0], NNC_OP_multiply);
    if (gradient == NULL || gradient->inputs[0] != less->outputs[0])
        return false;
    if (!is_column(j, gradient->inputs[1]))
        return false;
    j->dloss = gradient->inputs[1];
    j->result[NNC_LOSS_GRADIENT] = gradient->outputs[0];
    take(j, product, false);
    take(j, less, false);
    take(j, gradient, true);
    return true;
}

static bool take_gradient(join *j, int p)
{
    if (j->dense)
        return take_dense_gradient(j, p);
    const nnc_node *gradient = reader(j, p, NNC_OP_sparse_softmax_crossentropy_grad);
    if (gradient == NULL || gradient->inputs[0] != p ||
        gradient->inputs[1] != j->graph->nodes[j->node].inputs[1])
        return false;
    j->dloss = gradient->inputs[2];
    j->result[NNC_LOSS_GRADIENT] = gradient->outputs[0];
    take(j, gradient, true);
    return true;
}

/* Over all axes. */
static const nnc_node *total(const join *j, int value, nnc_op op)
{
    const nnc_node *node = reader(j, value, op);
    bool right = node != NULL && array_of(j, node->outputs[0])->shape.rank == 0 &&
        j->rows <= MOST_ROWS;
    return right ? node : NULL;
}

static bool take_mean(join *j, int loss)
{
    const nnc_node *weighted = reader(j, loss, NNC_OP_multiply), *mean;
    int rows = loss;
    if (weighted != NULL && is_read_once(j, loss) && is_read_once(j, weighted->outputs[0]) &&
        is_rows(j, weighted->inputs[0]) && is_rows(j, weighted->inputs[1]) &&
        is_rows(j, weighted->outputs[0])) {
        rows = weighted->outputs[0];
        j->weights = weighted->inputs[weighted->inputs[0] == loss];
    }
    mean = total(j, rows, NNC_OP_mean);
    if (mean == NULL) {
        j->weights = -1;
        return false;
    }
    take(j, mean, false);
    j->result[NNC_LOSS_MEAN] = mean->outputs[0];
    if (rows != loss) {
        take(j, weighted, true);
        j->result[NNC_LOSS_ROWS] = -1;
    }
    const nnc_node *scaled = reader(j, mean->outputs[0], NNC_OP_multiply);
    if (scaled == NULL || array_of(j, scaled->outputs[0])->shape.rank != 0)
        return true;
    const nnc_value *by = &j->graph->values[scaled->inputs[scaled->inputs[0] == mean->outputs[0]]];
    if (by->kind == NNC_CONSTANT && by->tensor != NULL && by->array.dtype == NNC_F32) {
        take(j, scaled, false);
        j->result[NNC_LOSS_SCALED] = scaled->outputs[0];
    }
    return true;
}

/* argmax over the last axis. */
static const nnc_node *places_of(const join *j, int value)
{
    const nnc_node *node = value < 0 ? NULL : reader(j, value, NNC_OP_argmax);
    int rank = node == NULL ? 0 : array_of(j, value)->shape.rank;
    bool right = node != NULL && !node->attrs.k[1] &&
        (node->attrs.k[0] == -1 || node->attrs.k[0] == rank - 1);
    return right ? node : NULL;
}

/* cast(equal(argmax(scores), labels, or argmax(targets))), and the sum of that */
static bool take_hits(join *j, int scores)
{
    const nnc_node *place = places_of(j, scores), *cast, *equal, *match, *sum;
    if (place == NULL || !is_read_once(j, place->outputs[0]))
        return false;
    cast = reader(j, place->outputs[0], NNC_OP_cast);
    int found = cast == NULL ? place->outputs[0] : cast->outputs[0];
    equal = reader(j, found, NNC_OP_equal);
    if (equal == NULL || !is_read_once(j, found) || !is_read_once(j, equal->outputs[0]))
        return false;
    int other = equal->inputs[equal->inputs[0] == found];
    const nnc_node *wanted = maker(j, nnc_rewrite_root(j->graph, other), NNC_OP_argmax);
    if (nnc_shape_size(&array_of(j, other)->shape) != j->rows ||
        nnc_dtype_size(array_of(j, other)->dtype) < 4 ||
        nnc_shape_size(&array_of(j, equal->outputs[0])->shape) != j->rows ||
        (j->dense ? wanted == NULL || wanted != places_of(j, j->target)
                  : source_of(j, other) != source_of(j, j->target)))
        return false;
    match = reader(j, equal->outputs[0], NNC_OP_cast);
    if (match == NULL || !is_rows(j, match->outputs[0]) ||
        !nnc_shape_equal(&array_of(j, match->outputs[0])->shape,
                         &array_of(j, place->outputs[0])->shape))
        return false;
    j->hit_of_x = scores == j->logits;
    j->result[NNC_LOSS_HIT] = match->outputs[0];
    take(j, place, false);
    if (cast != NULL)
        take(j, cast, false);
    take(j, equal, false);
    take(j, match, false);
    sum = total(j, match->outputs[0], NNC_OP_sum);
    if (sum != NULL) {
        j->result[NNC_LOSS_HITS] = sum->outputs[0];
        take(j, sum, false);
    }
    return true;
}

/* ---- joining ---- */

static bool contains(const int *list, int count, int item)
{
    for (int i = 0; i < count; i++) {
        if (list[i] == item)
            return true;
    }
    return false;
}

/* Whether somebody reads a result before the joint node is there. */
static bool is_read_before(const join *j)
{
    for (int i = 0; i <= j->place; i++) {
        const nnc_node *node = &j->graph->nodes[i];
        for (int k = 0; k < node->input_count && !contains(j->part, j->parts, i); k++) {
            if (contains(j->result, NNC_LOSS_OUTPUTS, node->inputs[k]))
                return true;
        }
    }
    return false;
}

static void begin(join *j, int node)
{
    const nnc_node *loss = &j->graph->nodes[node];
    j->node = j->place = node;
    j->parts = 0;
    j->logits = loss->inputs[0];
    j->target = loss->inputs[1];
    j->dense = loss->op == NNC_OP_softmax_crossentropy;
    j->dloss = j->weights = -1;
    j->hit_of_x = false;
    j->rows = nnc_shape_size(&array_of(j, loss->outputs[0])->shape);
    for (int k = 0; k < NNC_LOSS_OUTPUTS; k++)
        j->result[k] = -1;
    j->result[NNC_LOSS_ROWS] = loss->outputs[0];
    j->result[NNC_LOSS_P] = loss->outputs[1];
    take(j, loss, true);
}

/* Labels are read as they came in. (With the shape of the logits they would be a target.) */
static void read_source(join *j)
{
    int source = j->dense ? j->target : source_of(j, j->target);
    if (!nnc_shape_equal(&array_of(j, source)->shape, &array_of(j, j->logits)->shape))
        j->target = source;
}

/* Finds the parts, without a gradient the second time; false if there is nothing to join. */
static bool find_parts(join *j, int node, bool gradient)
{
    begin(j, node);
    int loss = j->result[NNC_LOSS_ROWS], p = j->result[NNC_LOSS_P];
    bool any = gradient && take_gradient(j, p);
    any |= take_mean(j, loss);
    read_source(j);
    any |= take_hits(j, p) || take_hits(j, j->logits);
    return any && !is_read_before(j);
}

/* The joint node is at place + 1; its parts go. */
static nnc_status drop_parts(const join *j)
{
    nnc_status status;
    bool *keep = NULL;
    NNC_TRY(nnc_alloc(j->graph->node_count, &keep));
    for (int i = 0; i < (int)j->graph->node_count; i++)
        keep[i] = i == j->place + 1 || !contains(j->part, j->parts, i - (i > j->place));
    nnc_rewrite_keep(j->graph, keep);
done:
    nnc_free(keep);
    return status;
}

static nnc_status append(join *j)
{
    nnc_status status;
    nnc_graph *graph = j->graph;
    int inputs[4] = {j->logits, j->target}, count = 2, out[NNC_LOSS_OUTPUTS], *map = NULL;
    int64_t values = graph->value_count;
    nnc_attrs attrs = {.f = {1.0}};
    if (j->dloss >= 0)
        inputs[count++] = j->dloss;
    if (j->weights >= 0)
        inputs[count++] = j->weights;
    attrs.k[NNC_LOSS_WEIGHTED] = j->weights >= 0;
    attrs.k[NNC_LOSS_HIT_OF_X] = j->hit_of_x;
    attrs.k[NNC_LOSS_NO_GRADIENT] = j->dloss < 0;
    if (j->result[NNC_LOSS_SCALED] >= 0) {
        const nnc_node *scaled = maker(j, j->result[NNC_LOSS_SCALED], NNC_OP_multiply);
        bool first = scaled->inputs[0] == j->result[NNC_LOSS_MEAN];
        attrs.f[0] = *(const float *)graph->values[scaled->inputs[first]].tensor->array.data;
    }
    NNC_TRY(nnc_rewrite_insert(graph, j->place + 1, NNC_OP_softmax_loss, &attrs, inputs, count,
                               out));
    graph->nodes[j->place + 1].label = graph->nodes[j->node].label;
    NNC_TRY(nnc_alloc(graph->value_count * (int64_t)sizeof *map, &map));
    for (int i = 0; i < (int)graph->value_count; i++)
        map[i] = i;
    for (int k = 0; k < NNC_LOSS_OUTPUTS; k++) {
        if (j->result[k] >= 0 && j->result[k] < values)
            map[j->result[k]] = out[k];
    }
    nnc_rewrite_uses(j->pass, map);
    NNC_TRY(drop_parts(j));
    j->pass->stats->fused += j->parts - 1;
done:
    nnc_free(map);
    return status;
}

static bool is_crossentropy(const nnc_graph *graph, const nnc_node *node)
{
    if (node->op != NNC_OP_softmax_crossentropy && node->op != NNC_OP_sparse_softmax_crossentropy)
        return false;
    const nnc_array *logits = &graph->values[node->inputs[0]].array;
    return (logits->dtype == NNC_F32 || logits->dtype == NNC_F64) &&
        nnc_shape_size(&logits->shape) > 0 &&
        logits->shape.dim[logits->shape.rank - 1] <= MOST_ROWS;
}

nnc_status nnc_pass_loss(nnc_pass *pass)
{
    nnc_status status = NNC_OK;
    join j = {.pass = pass, .graph = pass->graph};
    bool joined = false;
    for (int i = 0; i < (int)pass->graph->node_count; i++) {
        if (!is_crossentropy(pass->graph, &pass->graph->nodes[i]))
            continue;
        NNC_TRY(nnc_rewrite_count_uses(pass, &j.uses));
        if (find_parts(&j, i, true) || find_parts(&j, i, false)) {
            NNC_TRY(append(&j));
            joined = true;
            i = -1;             /* nodes have moved */
        }
        nnc_free(j.uses);
        j.uses = NULL;
    }
    if (joined && nnc_pass_enabled("prune"))
        NNC_TRY(nnc_pass_prune(pass));
done:
    nnc_free(j.uses);
    return status;
}
