/* flow.c - recorded branches and loops: traces within traces.
 *
 * `Graph(outer)` records a body. What it reads of the traces around it becomes an input of its own
 * (a capture). `_branch` and `_loop` close the bodies and append the node; a body is spent then. */
#include "python.h"

#include "graph/flow.h"

static int note_capture(py_graph *self, int outer_value)
{
    int64_t room = self->captured_room;
    nnc_graph *graph = self->graph;
    nnc_status status = nnc_grow(&self->captured, &room, graph->input_count + 1,
                                 sizeof *self->captured);
    if (status != NNC_OK) {
        PyErr_NoMemory();
        return -1;
    }
    for (int64_t i = self->captured_count; i < graph->input_count; i++)
        self->captured[i] = -1;                 /* inputs that were made by hand */
    self->captured_room = room;
    self->captured[graph->input_count] = outer_value;
    self->captured_count = graph->input_count + 1;
    return 0;
}

int py_graph_capture(py_state *state, PyObject *graph, PyObject *of, int value)
{
    py_graph *self = (py_graph *)graph;
    int inner;
    if (graph == of)
        return value;
    if (self->outer == NULL) {
        PyErr_SetString(PyExc_ValueError, "a symbolic tensor of another trace");
        return -1;
    }
    int outer = py_graph_capture(state, self->outer, of, value);
    if (outer < 0)
        return -1;
    for (int64_t i = 0; i < self->captured_count; i++) {
        if (self->captured[i] == outer)
            return self->graph->inputs[i];
    }
    const nnc_array *array = &((py_graph *)self->outer)->graph->values[outer].array;
    if (note_capture(self, outer) < 0)
        return -1;
    nnc_status status = nnc_graph_input(self->graph, &array->shape, array->dtype, &inner);
    if (status == NNC_OK)
        return inner;
    self->captured_count--;
    py_raise(state, status);
    return -1;
}

/* ---- bodies ---- */

/* A body of the trace and its outputs. */
static int take_body(py_state *state, PyObject *outer, PyObject *graph, PyObject *outputs,
                     nnc_body *body)
{
    py_graph *self = (py_graph *)graph;
    PyObject *seq = PySequence_Tuple(outputs);
    nnc_status status = NNC_OK;
    int failed = -1;
    *body = (nnc_body){.graph = NULL};
    if (seq == NULL)
        return -1;
    if (Py_TYPE(graph) != state->graph_type || self->outer != outer) {
        PyErr_SetString(PyExc_TypeError, "a body must be a Graph made within the one that it "
                        "belongs to");
        goto done;
    }
    body->output_count = (int)PyTuple_Size(seq);
    body->graph = nnc_graph_retain(self->graph);
    NNC_TRY(nnc_alloc((body->output_count + 1) * (int64_t)sizeof(int), &body->outputs));
    for (int k = 0; k < body->output_count; k++) {
        body->outputs[k] = py_graph_value(state, graph, PyTuple_GetItem(seq, k));
        if (body->outputs[k] < 0)
            goto done;
    }
    NNC_TRY(nnc_alloc((self->graph->input_count + 1) * (int64_t)sizeof(int), &body->feeds));
    for (int64_t k = 0; k < self->graph->input_count; k++)
        body->feeds[k] = k < self->captured_count ? self->captured[k] : -1;
    Py_ssize_t n = self->variables == NULL ? 0 : PyList_Size(self->variables);
    for (Py_ssize_t k = 0; k < n; k++) {
        if (py_graph_note(outer, PyList_GetItem(self->variables, k)) < 0)
            goto done;
    }
    failed = 0;
done:
    if (status != NNC_OK)
        py_raise(state, status);
    Py_DECREF(seq);
    return failed;
}

static void clear_bodies(nnc_body *bodies, Py_ssize_t n)
{
    for (Py_ssize_t b = 0; bodies != NULL && b < n; b++)
        nnc_body_clear(&bodies[b]);
    nnc_free(bodies);
}

/* Bodies of equal numbers of outputs. */
static nnc_body *take_bodies(py_state *state, PyObject *outer, PyObject *graphs, PyObject *outputs)
{
    nnc_body *bodies = NULL;
    Py_ssize_t n = PyTuple_Size(graphs);
    if (n < 1 || PyTuple_Size(outputs) != n) {
        PyErr_SetString(PyExc_ValueError, "expected outputs for each body");
        return NULL;
    }
    if (nnc_alloc_zero(n * (int64_t)sizeof *bodies, &bodies) != NNC_OK) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t b = 0; b < n; b++) {
        if (take_body(state, outer, PyTuple_GetItem(graphs, b), PyTuple_GetItem(outputs, b),
                      &bodies[b]) < 0) {
            clear_bodies(bodies, n);
            return NULL;
        }
    }
    return bodies;
}

static PyObject *wrap_values(py_state *state, PyObject *graph, const int *value, int n)
{
    PyObject *tuple = PyTuple_New(n);
    for (int k = 0; tuple != NULL && k < n; k++) {
        PyObject *object = py_tensor_symbolic(state, graph, value[k]);
        if (object == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, k, object);
    }
    return tuple;
}

PyObject *py_branch(PyObject *module, PyObject *args)
{
    py_state *state = PyModule_GetState(module);
    PyObject *graph, *index, *graphs, *outputs, *result = NULL;
    int *out = NULL;
    if (!PyArg_ParseTuple(args, "O!OO!O!:_branch", state->graph_type, &graph, &index, &PyTuple_Type,
                          &graphs, &PyTuple_Type, &outputs))
        return NULL;
    nnc_body *bodies = take_bodies(state, graph, graphs, outputs);
    Py_ssize_t n = PyTuple_Size(graphs);
    int at = bodies == NULL ? -1 : py_graph_value(state, graph, index);
    if (at < 0)
        goto done;
    int count = bodies[0].output_count;
    nnc_status status = nnc_alloc((count + 1) * (int64_t)sizeof *out, &out);
    if (status == NNC_OK)
        status = nnc_flow_branch(((py_graph *)graph)->graph, at, bodies, (int)n,
                                 ((py_graph *)graph)->outer == NULL, out);
    result = status == NNC_OK ? wrap_values(state, graph, out, count) : py_raise(state, status);
done:
    nnc_free(out);
    clear_bodies(bodies, n);
    return result;
}

PyObject *py_loop(PyObject *module, PyObject *args)
{
    py_state *state = PyModule_GetState(module);
    PyObject *graph, *graphs, *outputs, *inputs, *result = NULL;
    int *in = NULL, *out = NULL, reverse;
    long long limit, start;
    nnc_flow plan = {.count_input = -1};
    if (!PyArg_ParseTuple(args, "O!O!O!O!iLLp:_loop", state->graph_type, &graph, &PyTuple_Type,
                          &graphs, &PyTuple_Type, &outputs, &PyTuple_Type, &inputs, &plan.carries,
                          &limit, &start, &reverse))
        return NULL;
    plan.limit = limit < 0 ? -1 : limit;
    plan.start = start;
    plan.reverse = reverse;
    nnc_body *bodies = take_bodies(state, graph, graphs, outputs);
    Py_ssize_t n = PyTuple_Size(graphs), given = PyTuple_Size(inputs);
    if (bodies == NULL)
        return NULL;
    plan.slices = (int)given - plan.carries;
    plan.results = bodies[0].output_count - plan.carries;
    if (n > 2 || plan.carries < 0 || plan.slices < 0 || plan.results < 0) {
        PyErr_SetString(PyExc_ValueError, "_loop: expected a value for each carry");
        goto done;
    }
    nnc_status status = nnc_alloc((given + 1) * (int64_t)sizeof *in, &in);
    if (status == NNC_OK)
        status = nnc_alloc((bodies[0].output_count + 1) * (int64_t)sizeof *out, &out);
    for (Py_ssize_t k = 0; status == NNC_OK && k < given; k++) {
        in[k] = py_graph_value(state, graph, PyTuple_GetItem(inputs, k));
        if (in[k] < 0)
            goto done;
    }
    int count = bodies[0].output_count + 1;
    if (status == NNC_OK)
        status = nnc_flow_loop(((py_graph *)graph)->graph, &plan, bodies, (int)n, in, out);
    result = status == NNC_OK ? wrap_values(state, graph, out, count) : py_raise(state, status);
done:
    nnc_free(in);
    nnc_free(out);
    clear_bodies(bodies, n);
    return result;
}
