/* tape.c - the type Tape: records eager ops of this thread between push() and pop().
 *
 * Whatever reads or changes a tape holds the GIL: an assignment to a variable, in any thread, gives
 * every tape alive a copy of what the variable was (nnc_tape_detach), and a rule's op reads the
 * arrays of the tape as it runs. gradients() of a long tape gives the GIL back, if nothing else
 * records what it does: whoever would change that tape, or what it holds, waits meanwhile
 * (nnc_tape_begin); rules in Python run with the GIL. */
#include "python.h"

typedef struct py_tape {
    PyObject_HEAD
    nnc_graph *graph;
    bool watch_variables;
    bool pushed;
    int asked;                  /* how many calls of gradients() are under way */
    PyObject *watched;          /* a list of the Variables that are watched, or NULL */
    unsigned long thread;       /* where it was pushed */
    struct py_tape *below;      /* the next active one of that thread; each holds a reference */
} py_tape;

enum { MANY_ELEMENTS = 16384 };     /* from there on the GIL is dropped */

static _Thread_local py_tape *active;

static py_tape *self_of(PyObject *object)
{
    return (py_tape *)object;
}

/* Watches a Variable and notes it. */
static int watch_variable(py_state *state, py_tape *tape, py_variable *variable)
{
    nnc_tape_wait(tape->graph);
    int value = nnc_graph_find(tape->graph, variable->tensor);
    if (value < 0 || !tape->graph->values[value].differentiable) {
        if (tape->watched == NULL)
            tape->watched = PyList_New(0);
        if (tape->watched == NULL || PyList_Append(tape->watched, (PyObject *)variable) < 0)
            return -1;
    }
    nnc_status status = nnc_tape_watch(tape->graph, variable->tensor);
    if (status != NNC_OK)
        py_raise(state, status);
    return status == NNC_OK ? 0 : -1;
}

int py_tape_read(py_state *state, py_variable *variable)
{
    if (active == NULL || !variable->trainable ||
        !nnc_dtype_differentiable(variable->tensor->array.dtype))
        return 0;
    for (py_tape *tape = active; tape != NULL; tape = tape->below) {
        if (tape->watch_variables && watch_variable(state, tape, variable) < 0)
            return -1;
    }
    return 0;
}

static PyObject *tape_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Tape", names))
        return NULL;
    py_tape *self = (py_tape *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    self->watch_variables = true;
    nnc_status status = nnc_graph_new(true, &self->graph);
    if (status == NNC_OK)
        return (PyObject *)self;
    Py_DECREF(self);
    return py_raise(PyType_GetModuleState(type), status);
}

static void tape_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    nnc_graph_release(self_of(object)->graph);
    Py_XDECREF(self_of(object)->watched);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *tape_push(PyObject *object, PyObject *unused)
{
    py_tape *self = self_of(object);
    (void)unused;
    if (self->pushed) {
        PyErr_SetString(PyExc_RuntimeError, "Tape.push: the tape is recording already");
        return NULL;
    }
    nnc_tape_push(self->graph);
    self->pushed = true;
    self->thread = PyThread_get_thread_ident();
    self->below = active;
    Py_INCREF(object);
    active = self;
    Py_RETURN_NONE;
}

/* Taken off wherever it stands: contexts may end in any order. */
static PyObject *tape_pop(PyObject *object, PyObject *unused)
{
    py_tape *self = self_of(object), **link = &active;
    (void)unused;
    while (*link != NULL && *link != self)
        link = &(*link)->below;
    if (*link == NULL) {
        PyErr_SetString(PyExc_RuntimeError, self->pushed
                        ? "Tape.pop: the tape records in another thread"
                        : "Tape.pop: the tape is not recording");
        return NULL;
    }
    *link = self->below;
    self->below = NULL;
    self->pushed = false;
    nnc_tape_pop(self->graph);
    Py_DECREF(object);
    Py_RETURN_NONE;
}

static PyObject *tape_watch(PyObject *object, PyObject *what)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    nnc_tensor *tensor;
    if (py_is_tensor(state, what)) {
        if (((py_tensor *)what)->graph != NULL)
            return py_trace_error(state, "`Tape.watch`");
        tensor = ((py_tensor *)what)->tensor;
    } else if (py_is_variable(state, what)) {
        if (py_variable_check((py_variable *)what) < 0)
            return NULL;
        tensor = ((py_variable *)what)->tensor;
    } else {
        PyErr_Format(PyExc_TypeError, "Tape.watch: expected a Tensor or a Variable. Received: %R",
                     what);
        return NULL;
    }
    if (!nnc_dtype_differentiable(tensor->array.dtype)) {
        PyErr_Format(PyExc_TypeError,
                     "Tape.watch: only floating-point and complex values have gradients. Received: "
                     "dtype=%s",
                     nnc_dtype_name(tensor->array.dtype));
        return NULL;
    }
    if (py_is_variable(state, what)) {
        if (watch_variable(state, self_of(object), (py_variable *)what) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    nnc_status status = nnc_tape_watch(self_of(object)->graph, tensor);
    if (status != NNC_OK)
        return py_raise(state, status);
    Py_RETURN_NONE;
}

static int find_on_tape(py_state *state, void *context, PyObject *object, bool seed)
{
    nnc_graph *graph = self_of(context)->graph;
    nnc_tensor *tensor;
    int value;
    if (py_is_tensor(state, object)) {
        tensor = ((py_tensor *)object)->tensor;
        if (((py_tensor *)object)->graph != NULL) {
            py_trace_error(state, "A gradient by a tape");
            return -2;
        }
    } else {
        if (py_variable_check((py_variable *)object) < 0)
            return -2;
        tensor = ((py_variable *)object)->tensor;
    }
    nnc_tape_wait(graph);
    if (!seed)
        return nnc_graph_find(graph, tensor);
    nnc_status status = nnc_graph_tensor(graph, tensor, NNC_CONSTANT, &value);
    if (status == NNC_OK)
        return value;
    py_raise(state, status);
    return -2;
}

static PyObject *wrap_on_tape(py_state *state, void *context, int value)
{
    return py_tensor_wrap(state, nnc_tensor_retain(self_of(context)->graph->values[value].tensor));
}

static int enter_tape(void *context)
{
    if (self_of(context)->pushed)
        return 0;
    nnc_tape_push(self_of(context)->graph);
    return 1;
}

static void leave_tape(void *context)
{
    nnc_tape_pop(self_of(context)->graph);
}

/* Whether others should run while gradients() does: see is_long in ops.c. */
static bool is_long(const nnc_graph *graph)
{
    int64_t sum = 0;
    nnc_tape_wait(graph);
    for (int64_t i = 0; i < graph->value_count && sum <= MANY_ELEMENTS; i++)
        sum += nnc_shape_size(&graph->values[i].array.shape);
    return sum > MANY_ELEMENTS && !nnc_tape_active_beside(graph);
}

static PyObject *tape_gradients(PyObject *object, PyObject *args, PyObject *kwargs)
{
    self_of(object)->asked++;
    py_differentiable of = {.graph = self_of(object)->graph, .context = object,
                            .find = find_on_tape, .wrap = wrap_on_tape,
                            .enter = enter_tape, .leave = leave_tape,
                            .alone = is_long(self_of(object)->graph)};
    PyObject *result = py_gradients(PyType_GetModuleState(Py_TYPE(object)), &of, args, kwargs);
    self_of(object)->asked--;
    return result;
}

/* An empty tape in place of this one, recording if it was. */
static PyObject *tape_clear(PyObject *object, PyObject *unused)
{
    py_tape *self = self_of(object);
    nnc_graph *fresh = NULL;
    (void)unused;
    if (self->pushed && self->thread != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "Tape.clear: the tape records in another thread");
        return NULL;
    }
    nnc_status status = nnc_graph_new(true, &fresh);
    if (status != NNC_OK)
        return py_raise(PyType_GetModuleState(Py_TYPE(object)), status);
    nnc_tape_wait(self->graph);
    if (self->asked > 0) {
        nnc_graph_release(fresh);
        PyErr_SetString(PyExc_RuntimeError, "Tape.clear: its gradients are being computed");
        return NULL;
    }
    if (self->pushed) {
        nnc_tape_pop(self->graph);
        nnc_tape_push(fresh);
    }
    nnc_graph_release(self->graph);
    self->graph = fresh;
    Py_CLEAR(self->watched);
    Py_RETURN_NONE;
}

static PyObject *get_watch(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self_of(object)->watch_variables);
}

static int set_watch(PyObject *object, PyObject *value, void *unused)
{
    (void)unused;
    int truth = value == NULL ? 1 : PyObject_IsTrue(value);
    if (truth < 0)
        return -1;
    self_of(object)->watch_variables = truth;
    return 0;
}

static PyObject *get_watched(PyObject *object, void *unused)
{
    (void)unused;
    PyObject *list = self_of(object)->watched;
    return list == NULL ? PyTuple_New(0) : PyList_AsTuple(list);
}

static void *release_gil(void)
{
    return PyEval_SaveThread();
}

static void take_gil(void *state)
{
    PyEval_RestoreThread(state);
}

void py_tape_init(void)
{
    nnc_tape_around_waits((nnc_tape_around){.release = release_gil, .take = take_gil});
}

static PyMethodDef methods[] = {
    {"push", tape_push, METH_NOARGS, "Begins to record in this thread."},
    {"pop", tape_pop, METH_NOARGS, "Ends recording."},
    {"watch", tape_watch, METH_O, "Follows a Tensor or a Variable."},
    {"gradients", (PyCFunction)(void (*)(void))tape_gradients, METH_VARARGS | METH_KEYWORDS,
     "gradients(targets, sources, seeds=None): a list, None where nothing depends on a source."},
    {"clear", tape_clear, METH_NOARGS, "Forgets what was recorded."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef getset[] = {{"watch_variables", get_watch, set_watch,
                                "Whether trainable variables are watched when read.", NULL},
                               {"watched", get_watched, NULL, "The Variables watched.", NULL},
                               {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Tape(): records eager ops between push() and pop()."}, {Py_tp_new, tape_new},
    {Py_tp_dealloc, tape_dealloc}, {Py_tp_methods, methods}, {Py_tp_getset, getset}, {0, NULL}};
PyType_Spec py_tape_spec = {.name = "nnc._core.Tape", .basicsize = sizeof(py_tape),
                            .flags = Py_TPFLAGS_DEFAULT, .slots = slots};
