/* graph.c - the type Graph, a trace, and which one is on in a thread.
 * `with graph:` and `with no_trace():` put a frame on a stack of this thread; the topmost counts.
 */
#include "python.h"

#include "graph/flow.h"

typedef struct frame {
    PyObject *owner;            /* a reference: the object whose __enter__ it was */
    PyObject *graph;            /* owner, or NULL: nothing is recorded */
    struct frame *below;
} frame;

static _Thread_local frame *frames;

PyObject *py_graph_current(void)
{
    return frames == NULL ? NULL : frames->graph;
}

static PyObject *enter(PyObject *owner, PyObject *graph)
{
    frame *top = PyMem_Malloc(sizeof *top);
    if (top == NULL)
        return PyErr_NoMemory();
    Py_INCREF(owner);
    *top = (frame){.owner = owner, .graph = graph, .below = frames};
    frames = top;
    Py_INCREF(owner);
    return owner;
}

static PyObject *leave(PyObject *owner, PyObject *args)
{
    frame *top = frames;
    if (top == NULL || top->owner != owner) {
        PyErr_SetString(PyExc_RuntimeError,
                        "__exit__: this is not what was entered last in this thread");
        return NULL;
    }
    frames = top->below;
    if (top->graph != NULL && args != NULL)
        py_forget_rules(((py_graph *)top->graph)->graph);
    PyMem_Free(top);
    Py_DECREF(owner);
    Py_RETURN_NONE;
}

/* ---- gradients, of traces and tapes ---- */

/* The values of a sequence; `value` and `seq` are for the caller to free and release. */
static int find_values(py_state *state, const py_differentiable *of, PyObject *sequence, bool seeds,
                       PyObject **seq, int **value)
{
    nnc_status status;
    *seq = PySequence_Tuple(sequence);
    if (*seq == NULL)
        return -1;
    Py_ssize_t n = PyTuple_Size(*seq);
    status = nnc_alloc((n + 1) * (int64_t)sizeof **value, value);
    if (status != NNC_OK) {
        py_raise(state, status);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *object = PyTuple_GetItem(*seq, i);
        (*value)[i] = -1;
        if (seeds && object == Py_None)
            continue;
        if (!py_is_tensor(state, object) && !py_is_variable(state, object)) {
            PyErr_Format(PyExc_TypeError, "gradients: expected Tensors and Variables. Received: %R",
                         object);
            return -1;
        }
        (*value)[i] = of->find(state, of->context, object, seeds);
        if ((*value)[i] == -2)
            return -1;
    }
    return 0;
}

/* Targets that are not there depend on nothing; they are left out, with their seeds. */
static int keep_known(int *targets, int *seeds, Py_ssize_t n)
{
    int kept = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (targets[i] < 0)
            continue;
        targets[kept] = targets[i];
        if (seeds != NULL)
            seeds[kept] = seeds[i];
        kept++;
    }
    return kept;
}

/* Checks that each seed has its target's shape and dtype. */
static int check_seeds(const nnc_graph *graph, const int *targets, const int *seeds, int n)
{
    char have[NNC_SHAPE_TEXT], want[NNC_SHAPE_TEXT];
    for (int i = 0; i < n; i++) {
        if (seeds[i] < 0)
            continue;
        const nnc_array *t = &graph->values[targets[i]].array, *s = &graph->values[seeds[i]].array;
        if (t->dtype == s->dtype && nnc_shape_equal(&t->shape, &s->shape))
            continue;
        PyErr_Format(PyExc_ValueError,
                     "gradients: a seed must be like its target. Received: seed of shape %s, "
                     "%s; target of shape %s, %s",
                     nnc_shape_text(&s->shape, have), nnc_dtype_name(s->dtype),
                     nnc_shape_text(&t->shape, want), nnc_dtype_name(t->dtype));
        return -1;
    }
    return 0;
}

/* Sources that are there go to the front, and back to their places afterwards. */
static nnc_status run_backward(nnc_graph *graph, const int *targets, const int *seeds,
                               int target_count, const int *sources, Py_ssize_t source_count,
                               int *found)
{
    nnc_status status = NNC_OK;
    int *known = NULL, count = 0;
    NNC_TRY(nnc_alloc(2 * (source_count + 1) * (int64_t)sizeof *known, &known));
    int *result = known + source_count + 1;
    for (Py_ssize_t i = 0; i < source_count; i++) {
        found[i] = -1;
        if (sources[i] >= 0)
            known[count++] = sources[i];
    }
    if (count > 0 && target_count > 0)
        NNC_TRY(nnc_graph_backward(graph, targets, seeds, target_count, known, count, 0, result));
    else
        count = 0;
    for (Py_ssize_t i = 0, k = 0; i < source_count && count > 0; i++) {
        if (sources[i] >= 0)
            found[i] = result[k++];
    }
done:
    nnc_free(known);
    return status;
}

static bool is_loose(py_state *state, PyObject *object)
{
    return py_is_tensor(state, object) && ((py_tensor *)object)->loose;
}

/* The gradients of the sources; that of a loose one is loose. */
static PyObject *wrap_all(py_state *state, const py_differentiable *of, const int *value,
                          PyObject *sources)
{
    Py_ssize_t n = PyTuple_Size(sources);
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *object = Py_None;
        if (value[i] >= 0)
            object = of->wrap(state, of->context, value[i]);
        else
            Py_INCREF(object);
        if (object == NULL) {
            Py_CLEAR(list);
            break;
        }
        if (value[i] >= 0 && is_loose(state, PyTuple_GetItem(sources, i)))
            ((py_tensor *)object)->loose = true;
        PyList_SetItem(list, i, object);
    }
    return list;
}

nnc_status py_match_dtype(nnc_graph *graph, int like, int *value)
{
    nnc_attrs attrs = {.dtype = graph->values[like].array.dtype};
    nnc_dtype own = graph->values[*value].array.dtype;
    bool differ = (own == NNC_BF16 && attrs.dtype == NNC_F32) ||
        (own == NNC_F32 && attrs.dtype == NNC_BF16);
    return differ ? nnc_graph_append(graph, NNC_OP_cast, &attrs, value, 1, value) : NNC_OK;
}

/* The seeds of loose targets as what these hold. */
static int match_seeds(py_state *state, nnc_graph *graph, PyObject *targets, const int *target,
                       int *seeds)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(targets); i++) {
        if (target[i] < 0 || seeds[i] < 0 || !is_loose(state, PyTuple_GetItem(targets, i)))
            continue;
        nnc_status status = py_match_dtype(graph, target[i], &seeds[i]);
        if (status != NNC_OK) {
            py_raise(state, status);
            return -1;
        }
    }
    return 0;
}

PyObject *py_gradients(py_state *state, py_differentiable *of, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"targets", "sources", "seeds", NULL};
    PyObject *targets, *sources, *seeds = Py_None, *seq[3] = {NULL}, *result = NULL;
    int *value[3] = {NULL}, *found = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O:gradients", names, &targets, &sources,
                                     &seeds))
        return NULL;
    if (find_values(state, of, targets, false, &seq[0], &value[0]) < 0 ||
        find_values(state, of, sources, false, &seq[1], &value[1]) < 0 ||
        (seeds != Py_None && find_values(state, of, seeds, true, &seq[2], &value[2]) < 0))
        goto done;
    Py_ssize_t n = PyTuple_Size(seq[0]), m = PyTuple_Size(seq[1]);
    if (seq[2] != NULL && PyTuple_Size(seq[2]) != n) {
        PyErr_Format(PyExc_ValueError,
                     "gradients: one seed a target was expected. Received: %zd seeds, %zd "
                     "targets",
                     PyTuple_Size(seq[2]), n);
        goto done;
    }
    if (value[2] != NULL && match_seeds(state, of->graph, seq[0], value[0], value[2]) < 0)
        goto done;
    int count = keep_known(value[0], value[2], n);
    if (value[2] != NULL && check_seeds(of->graph, value[0], value[2], count) < 0)
        goto done;
    nnc_status status = nnc_alloc((m + 1) * (int64_t)sizeof *found, &found);
    py_differentiable *outer = py_host_within(of);
    if (of->alone) {
        nnc_tape_begin(of->graph);
        py_gil_release(&of->saved);
    }
    if (status == NNC_OK)
        status = run_backward(of->graph, value[0], value[2], count, value[1], m, found);
    if (of->alone) {
        py_gil_take(&of->saved);
        nnc_tape_end(of->graph);
    }
    py_host_within(outer);
    result = status == NNC_OK ? wrap_all(state, of, found, seq[1]) : py_raise(state, status);
done:
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(seq[i]);
        nnc_free(value[i]);
    }
    nnc_free(found);
    return result;
}

/* ---- Graph ---- */

int py_graph_note(PyObject *graph, PyObject *variable)
{
    py_graph *self = (py_graph *)graph;
    if (nnc_graph_find(self->graph, ((py_variable *)variable)->tensor) >= 0)
        return 0;
    if (self->variables == NULL)
        self->variables = PyList_New(0);
    return self->variables == NULL ? -1 : PyList_Append(self->variables, variable);
}

int py_graph_value(py_state *state, PyObject *graph, PyObject *object)
{
    nnc_tensor *tensor;
    nnc_value_kind kind = NNC_CONSTANT;
    int value;
    if (py_is_tensor(state, object)) {
        py_tensor *t = (py_tensor *)object;
        if (t->graph != NULL)
            return py_graph_capture(state, graph, t->graph, t->value);
        tensor = py_tensor_shown(state, t);
        if (tensor == NULL)
            return -1;
    } else {
        if (py_variable_check((py_variable *)object) < 0)
            return -1;
        if (py_graph_note(graph, object) < 0)
            return -1;
        tensor = ((py_variable *)object)->tensor;
        kind = NNC_VARIABLE;
    }
    nnc_status status = nnc_graph_tensor(((py_graph *)graph)->graph, tensor, kind, &value);
    if (status == NNC_OK)
        return value;
    py_raise(state, status);
    return -1;
}

static PyObject *graph_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    py_state *state = PyType_GetModuleState(type);
    static char *names[] = {"outer", NULL};
    PyObject *outer = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Graph", names, &outer))
        return NULL;
    if (outer != Py_None && Py_TYPE(outer) != type) {
        PyErr_Format(PyExc_TypeError, "Graph: `outer` must be a Graph. Received: %R", outer);
        return NULL;
    }
    py_graph *self = (py_graph *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    if (outer != Py_None) {
        Py_INCREF(outer);
        self->outer = outer;
    }
    nnc_status status = nnc_graph_new(false, &self->graph);
    if (status == NNC_OK)
        return (PyObject *)self;
    Py_DECREF(self);
    return py_raise(state, status);
}

static void graph_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    nnc_graph_release(((py_graph *)object)->graph);
    Py_XDECREF(((py_graph *)object)->variables);
    Py_XDECREF(((py_graph *)object)->outer);
    nnc_free(((py_graph *)object)->captured);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *graph_input(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"shape", "dtype", NULL};
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    PyObject *shape_object, *dtype_object;
    nnc_shape shape;
    nnc_dtype dtype;
    int value;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:input", names, &shape_object, &dtype_object))
        return NULL;
    if (py_shape_parse(shape_object, "Graph.input", &shape) < 0 ||
        py_dtype_parse(dtype_object, &dtype) < 0)
        return NULL;
    nnc_status status = nnc_graph_input(((py_graph *)object)->graph, &shape, dtype, &value);
    return status == NNC_OK ? py_tensor_symbolic(state, object, value) : py_raise(state, status);
}

static int find_in_trace(py_state *state, void *context, PyObject *object, bool seed)
{
    PyObject *graph = context;
    if (seed || (py_is_tensor(state, object) && ((py_tensor *)object)->graph != NULL)) {
        int value = py_graph_value(state, graph, object);
        return value < 0 ? -2 : value;
    }
    if (!py_is_tensor(state, object) && py_variable_check((py_variable *)object) < 0)
        return -2;
    const nnc_tensor *tensor = py_is_tensor(state, object)
        ? py_tensor_shown(state, (py_tensor *)object) : ((py_variable *)object)->tensor;
    return tensor == NULL ? -2 : nnc_graph_find(((py_graph *)graph)->graph, tensor);
}

static PyObject *wrap_in_trace(py_state *state, void *context, int value)
{
    return py_tensor_symbolic(state, context, value);
}

static int enter_trace(void *context)
{
    PyObject *entered = enter(context, context);
    Py_XDECREF(entered);
    return entered == NULL ? -1 : 1;
}

static void leave_trace(void *context)
{
    Py_XDECREF(leave(context, NULL));
}

static PyObject *graph_gradients(PyObject *object, PyObject *args, PyObject *kwargs)
{
    py_differentiable of = {.graph = ((py_graph *)object)->graph, .context = object,
                            .find = find_in_trace, .wrap = wrap_in_trace,
                            .enter = enter_trace, .leave = leave_trace};
    return py_gradients(PyType_GetModuleState(Py_TYPE(object)), &of, args, kwargs);
}

/* Whether a node from `first` on reads the storage of a Variable, in whatever version. */
static bool reads_variable(const nnc_graph *graph, int64_t first, const nnc_tensor *tensor)
{
    for (int64_t i = first; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++) {
            if (graph->values[graph->nodes[i].inputs[k]].tensor == tensor)
                return true;
        }
    }
    return false;
}

static PyObject *graph_variables(PyObject *object, PyObject *args)
{
    py_graph *self = (py_graph *)object;
    PyObject *list = PyList_New(0);
    Py_ssize_t first = 0, n = self->variables == NULL ? 0 : PyList_Size(self->variables);
    if (list == NULL || !PyArg_ParseTuple(args, "|n:variables", &first)) {
        Py_XDECREF(list);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *variable = PyList_GetItem(self->variables, i);
        if (reads_variable(self->graph, first < 0 ? 0 : first, ((py_variable *)variable)->tensor) &&
            PyList_Append(list, variable) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

static PyObject *get_node_count(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(((py_graph *)object)->graph->node_count);
}

static PyObject *graph_begin_segment(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(nnc_graph_begin_segment(((py_graph *)object)->graph));
}

/* end_segment(tensors): those of this trace are what it gives; None: it is no segment after all. */
static PyObject *graph_end_segment(PyObject *object, PyObject *tensors)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    nnc_graph *graph = ((py_graph *)object)->graph;
    for (int64_t i = graph->node_count - 1; tensors == Py_None && i >= 0; i--) {
        if (graph->nodes[i].segment == graph->segment)
            graph->nodes[i].segment = 0;
    }
    PyObject *seq = tensors == Py_None ? PyTuple_New(0) : PySequence_Tuple(tensors);
    if (seq == NULL)
        return NULL;
    for (Py_ssize_t k = 0; k < PyTuple_Size(seq); k++) {
        PyObject *tensor = PyTuple_GetItem(seq, k);
        if (py_is_tensor(state, tensor) && ((py_tensor *)tensor)->graph == object)
            graph->values[((py_tensor *)tensor)->value].kept = true;
    }
    Py_DECREF(seq);
    nnc_graph_end_segment(graph);
    Py_RETURN_NONE;
}

static bool has_rules(const nnc_graph *graph)
{
    for (int64_t i = 0; i < graph->node_count; i++) {
        const nnc_node *node = &graph->nodes[i];
        if (node->op == NNC_OP_host || node->op == NNC_OP_custom)
            return true;
        if (!(nnc_ops[node->op].flags & NNC_SHARED))
            continue;
        const nnc_flow *flow = nnc_flow_of(&node->attrs);
        for (int b = 0; b < flow->body_count; b++) {
            if (has_rules(flow->bodies[b].graph))
                return true;
        }
    }
    return false;
}

static PyObject *get_rules(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(has_rules(((py_graph *)object)->graph));
}

static PyObject *graph_enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    return enter(object, object);
}

static PyMethodDef methods[] = {
    {"input", (PyCFunction)(void (*)(void))graph_input, METH_VARARGS | METH_KEYWORDS,
     "input(shape, dtype): a symbolic tensor, fed before each replay."},
    {"gradients", (PyCFunction)(void (*)(void))graph_gradients, METH_VARARGS | METH_KEYWORDS,
     "gradients(targets, sources, seeds=None): a list, None where nothing depends on a source."},
    {"nodes", py_graph_nodes, METH_NOARGS,
     "nodes(): a list of (op, values in, values out, attributes)."},
    {"values", py_graph_values, METH_NOARGS, "values(): a list of (kind, shape, dtype)."},
    {"find", py_graph_find, METH_O, "find(tensor): the number of its value, -1 if it has none."},
    {"held", py_graph_held, METH_O,
     "held(value): a copy of what a constant or a variable holds, as a Tensor."},
    {"variables", graph_variables, METH_VARARGS,
     "variables(first=0): the Variables that are read from node `first` on."},
    {"begin_segment", graph_begin_segment, METH_NOARGS,
     "What is recorded until end_segment is computed again for gradients. False: one is open."},
    {"end_segment", graph_end_segment, METH_O,
     "end_segment(tensors): what the segment gives, which is kept."},
    {"__enter__", graph_enter, METH_NOARGS, NULL},
    {"__exit__", leave, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

static PyObject *get_label(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((py_graph *)object)->graph->label);
}

static int set_label(PyObject *object, PyObject *value, void *unused)
{
    long label = value == NULL ? -1 : PyLong_AsLong(value);
    (void)unused;
    if (label < 0 || label >= NNC_LABEL_BACKWARD) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "Graph: label must be an integer from 0 to 2**30 - 1");
        return -1;
    }
    ((py_graph *)object)->graph->label = (int)label;
    return 0;
}

static PyGetSetDef getset[] = {
    {"label", get_label, set_label, "An integer that nodes recorded from now on carry.", NULL},
    {"node_count", get_node_count, NULL, "Ops recorded so far.", NULL},
    {"python_rules", get_rules, NULL, "Whether Python makes the gradient of an op in it.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Graph(outer=None): a trace; `with graph:` makes it the current one of this "
                "thread. outer: the trace that it is a part of."},
    {Py_tp_new, graph_new}, {Py_tp_dealloc, graph_dealloc}, {Py_tp_methods, methods},
    {Py_tp_getset, getset}, {0, NULL}};
PyType_Spec py_graph_spec = {.name = "nnc._core.Graph", .basicsize = sizeof(py_graph),
                             .flags = Py_TPFLAGS_DEFAULT, .slots = slots};

/* ---- no_trace() ---- */

static PyObject *no_trace_enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    return enter(object, NULL);
}

static void no_trace_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyMethodDef no_trace_methods[] = {{"__enter__", no_trace_enter, METH_NOARGS, NULL},
                                         {"__exit__", leave, METH_VARARGS, NULL},
                                         {NULL, NULL, 0, NULL}};
static PyType_Slot no_trace_slots[] = {
    {Py_tp_doc,
     "no_trace(): a context in which ops run now, whatever is being recorded around it."},
    {Py_tp_dealloc, no_trace_dealloc},
    {Py_tp_methods, no_trace_methods},
    {0, NULL}};
PyType_Spec py_no_trace_spec = {.name = "nnc._core.no_trace", .basicsize = sizeof(PyObject),
                                .flags = Py_TPFLAGS_DEFAULT, .slots = no_trace_slots};
