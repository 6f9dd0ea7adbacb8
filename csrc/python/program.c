/* program.c - the type Program: replays a trace over a user's arrays with the GIL released.
 *
 * Sources are read where they lie: rows may be strided, a row itself must be contiguous (else NumPy
 * makes one copy); the core converts the dtype as it reads. Everything is checked before the first
 * step: shapes, the range of rows, and (one pass over the part in use) that `order` stays within
 * the rows. */
#include "graph/program.h"
#include "python.h"

typedef struct {
    PyObject_HEAD
    nnc_program *program;
} py_program;

nnc_program *py_program_of(PyObject *object)
{
    return ((py_program *)object)->program;
}

/* Everything that one call holds. */
typedef struct {
    py_state *state;
    nnc_program *program;
    int64_t inputs, outputs;
    nnc_rows *rows;             /* (inputs); what follows lies behind it */
    PyObject **held;            /* (inputs + outputs + 1) references */
    nnc_tensor **tensors;       /* (outputs) what a call returns */
    void **targets;             /* (outputs) */
    const int64_t *order;
    int64_t first, steps, batch;
    double seconds;
    int guard;                  /* the output that must be finite, or -1 */
    bool stopped;               /* it was not */
} run;

static int run_init(run *r, PyObject *object)
{
    nnc_status status;
    *r = (run){.state = PyType_GetModuleState(Py_TYPE(object)), .program = py_program_of(object),
               .guard = -1};
    r->inputs = nnc_program_input_count(r->program);
    r->outputs = nnc_program_output_count(r->program);
    int64_t inputs = r->inputs, outputs = r->outputs;
    NNC_TRY(nnc_alloc_zero(inputs * (int64_t)sizeof *r->rows +
                           (inputs + 3 * outputs + 1) * (int64_t)sizeof(void *), &r->rows));
    r->held = (PyObject **)(void *)(r->rows + inputs);
    r->tensors = (nnc_tensor **)(void *)(r->held + inputs + outputs + 1);
    r->targets = (void **)(r->tensors + outputs);
done:
    if (status != NNC_OK)
        py_raise(r->state, status);
    return status == NNC_OK ? 0 : -1;
}

static void run_clear(run *r)
{
    for (int64_t i = 0; r->held != NULL && i < r->inputs + r->outputs + 1; i++)
        Py_XDECREF(r->held[i]);
    for (int64_t i = 0; r->tensors != NULL && i < r->outputs; i++)
        nnc_tensor_release(r->tensors[i]);
    nnc_free(r->rows);
}

/* Replays exclude one another; a signal's handler that replays would wait for its own thread. */
static _Thread_local bool replaying;

/* Returns the steps done, -1 and an exception. */
static int64_t replay(run *r)
{
    PyThreadState *saved;
    int64_t done = 0;
    if (replaying) {
        PyErr_SetString(PyExc_RuntimeError, "Program: a replay is running in this thread already");
        return -1;
    }
    replaying = true;
    py_gil_release(&saved);
    nnc_status status = nnc_program_replay_guarded(r->program, r->rows, r->order, r->first,
                                                   r->steps, r->targets, r->seconds, &done,
                                                   r->guard, &r->stopped);
    py_gil_take(&saved);
    replaying = false;
    if (status == NNC_OK)
        return done;
    py_raise(r->state, status);
    return -1;
}

/* ---- sources ---- */

static int wrong_source(const run *r, int64_t i, const nnc_shape *got, const char *expected)
{
    char have[NNC_SHAPE_TEXT], want[NNC_SHAPE_TEXT];
    const nnc_array *input = nnc_program_input(r->program, i);
    PyErr_Format(PyExc_ValueError, "Program: source %lld must have %s %s. Received: shape=%s",
                 (long long)i, expected, nnc_shape_text(&input->shape, want),
                 nnc_shape_text(got, have));
    return -1;
}

/* An input of real numbers would be fed the real parts alone. */
static int check_parts(const run *r, int64_t i, nnc_dtype from)
{
    nnc_dtype to = nnc_program_input(r->program, i)->dtype;
    if (nnc_dtype_kind(from) != NNC_KIND_COMPLEX || nnc_dtype_kind(to) == NNC_KIND_COMPLEX)
        return 0;
    PyErr_Format(PyExc_TypeError, "Program: source %lld: %s cannot be fed to an input of %s",
                 (long long)i, nnc_dtype_name(from), nnc_dtype_name(to));
    return -1;
}

/* A whole input: a Tensor or Variable as it is, everything else as an array. */
static int whole_source(run *r, int64_t i, PyObject *object)
{
    const nnc_array *input = nnc_program_input(r->program, i);
    nnc_array given = {.data = NULL};
    if (py_is_tensor(r->state, object) || py_is_variable(r->state, object)) {
        const nnc_array *array = py_signature(r->state, object);
        if (array == NULL)
            return -1;
        if (array->data == NULL && nnc_shape_size(&array->shape) > 0) {
            py_trace_error(r->state, "A replay");
            return -1;
        }
        if (py_is_tensor(r->state, object) && ((py_tensor *)object)->loose) {
            const nnc_tensor *shown = py_tensor_shown(r->state, (py_tensor *)object);
            if (shown == NULL)
                return -1;
            array = &shown->array;
        }
        given = *array;
        Py_INCREF(object);
        r->held[i] = object;
    } else {
        char who[64];
        snprintf(who, sizeof who, "Program: source %lld", (long long)i);
        PyArrayObject *array = py_array(r->state, object, who, &given.dtype);
        if (array == NULL)
            return -1;
        r->held[i] = (PyObject *)array;
        given.data = PyArray_DATA(array);
        given.shape.rank = PyArray_NDIM(array);
        for (int d = 0; d < given.shape.rank; d++)
            given.shape.dim[d] = PyArray_DIM(array, d);
    }
    if (!nnc_shape_equal(&given.shape, &input->shape))
        return wrong_source(r, i, &given.shape, "the shape");
    if (check_parts(r, i, given.dtype) < 0)
        return -1;
    r->rows[i] = (nnc_rows){.data = given.data, .dtype = given.dtype};
    return 0;
}

/* Whether the rows of an array can be read where they lie. */
static bool rows_readable(PyArrayObject *array)
{
    npy_intp expected = PyArray_ITEMSIZE(array);
    if (!PyArray_ISNOTSWAPPED(array) || !PyArray_ISALIGNED(array))
        return false;
    for (int d = PyArray_NDIM(array) - 1; d > 0; d--) {
        if (PyArray_DIM(array, d) != 1 && PyArray_STRIDE(array, d) != expected)
            return false;
        expected *= PyArray_DIM(array, d);
    }
    return PyArray_DIM(array, 0) <= 1 || PyArray_STRIDE(array, 0) != 0;
}

/* The array to read rows from, a new reference. */
static PyArrayObject *rows_array(run *r, int64_t i, PyObject *object, nnc_dtype *dtype)
{
    char who[64];
    if (PyArray_Check(object) && PyArray_NDIM((PyArrayObject *)object) > 0 &&
        rows_readable((PyArrayObject *)object) &&
        py_dtype_known(r->state, PyArray_DESCR((PyArrayObject *)object), dtype)) {
        Py_INCREF(object);
        return (PyArrayObject *)object;
    }
    if (py_is_tensor(r->state, object) && ((py_tensor *)object)->graph == NULL) {
        const nnc_tensor *shown = py_tensor_shown(r->state, (py_tensor *)object);
        if (shown == NULL)
            return NULL;
        *dtype = shown->array.dtype;
        return (PyArrayObject *)py_numpy(r->state, &shown->array, object, false);
    }
    snprintf(who, sizeof who, "Program: source %lld", (long long)i);
    return py_array(r->state, object, who, dtype);
}

/* Rows of the input's inner shape, as many as the run reads. */
static int row_source(run *r, int64_t i, PyObject *object, int64_t *count)
{
    const nnc_array *input = nnc_program_input(r->program, i);
    nnc_shape got = {.rank = 0};
    nnc_dtype dtype;
    if (input->shape.rank == 0)
        return whole_source(r, i, object);
    PyArrayObject *array = rows_array(r, i, object, &dtype);
    if (array == NULL)
        return -1;
    r->held[i] = (PyObject *)array;
    bool fits = PyArray_NDIM(array) == input->shape.rank;
    got.rank = PyArray_NDIM(array) < NNC_MAX_RANK ? PyArray_NDIM(array) : NNC_MAX_RANK;
    for (int d = 0; d < got.rank; d++) {
        got.dim[d] = PyArray_DIM(array, d);
        fits &= d == 0 || got.dim[d] == input->shape.dim[d];
    }
    if (!fits)
        return wrong_source(r, i, &got, "rows like those of");
    if (check_parts(r, i, dtype) < 0)
        return -1;
    int64_t bytes = nnc_dtype_size(dtype);
    for (int d = 1; d < got.rank; d++)
        bytes *= got.dim[d];
    r->rows[i] = (nnc_rows){.data = PyArray_DATA(array), .dtype = dtype,
                            .row_bytes = got.dim[0] > 1 ? PyArray_STRIDE(array, 0) : bytes};
    if (r->batch >= 0 && r->batch != input->shape.dim[0]) {
        PyErr_Format(PyExc_ValueError,
                     "Program: inputs that are fed by rows must have one leading size. "
                     "Received: %lld and %lld",
                     (long long)r->batch, (long long)input->shape.dim[0]);
        return -1;
    }
    r->batch = input->shape.dim[0];
    *count = *count < 0 || got.dim[0] < *count ? got.dim[0] : *count;
    return 0;
}

static int parse_sources(run *r, PyObject *sources, int64_t *count)
{
    PyObject *seq = PySequence_Tuple(sources);
    int failed = -1;
    if (seq == NULL)
        return -1;
    *count = r->batch = -1;
    if (PyTuple_Size(seq) != r->inputs) {
        PyErr_Format(PyExc_ValueError, "Program: expected %lld sources. Received: %zd",
                     (long long)r->inputs, PyTuple_Size(seq));
        goto done;
    }
    for (int64_t i = 0; i < r->inputs; i++) {
        if (row_source(r, i, PyTuple_GetItem(seq, (Py_ssize_t)i), count) < 0)
            goto done;
    }
    failed = 0;
done:
    Py_DECREF(seq);
    return failed;
}

/* ---- order and targets ---- */

/* Checks first, steps and order against the `count` rows there are (-1: none are read by rows). */
static int parse_order(run *r, PyObject *order, int64_t count)
{
    int64_t last, batch = r->batch < 0 ? 0 : r->batch;
    if (r->first < 0 || r->steps < 0 || nnc_size_mul(r->steps, batch, &last) != NNC_OK ||
        nnc_size_add(r->first, last, &last) != NNC_OK) {
        PyErr_Format(PyExc_ValueError,
                     "Program: first and steps must be >= 0 and of a size that can be held. "
                     "Received: first=%lld, steps=%lld",
                     (long long)r->first, (long long)r->steps);
        return -1;
    }
    if (order == Py_None) {
        if (count < 0 || last <= count)
            return 0;
        PyErr_Format(PyExc_ValueError,
                     "Program: rows %lld to %lld were asked for. Received: sources of %lld "
                     "rows",
                     (long long)r->first, (long long)last, (long long)count);
        return -1;
    }
    if (!PyArray_Check(order) || PyArray_NDIM((PyArrayObject *)order) != 1 ||
        PyArray_DESCR((PyArrayObject *)order)->kind != 'i' ||
        PyArray_ITEMSIZE((PyArrayObject *)order) != 8 ||
        !PyArray_ISCARRAY_RO((PyArrayObject *)order)) {
        PyErr_SetString(PyExc_TypeError,
                        "Program: order must be a contiguous one-dimensional NumPy array of "
                        "int64, or None");
        return -1;
    }
    PyArrayObject *array = (PyArrayObject *)order;
    if (last > PyArray_DIM(array, 0)) {
        PyErr_Format(PyExc_ValueError, "Program: order must reach to %lld. Received: %lld entries",
                     (long long)last, (long long)PyArray_DIM(array, 0));
        return -1;
    }
    const int64_t *at = PyArray_DATA(array);
    int64_t low = 0, high = -1;
    for (int64_t i = r->first; i < last; i++) {
        low = at[i] < low ? at[i] : low;
        high = at[i] > high ? at[i] : high;
    }
    if (count >= 0 && (low < 0 || high >= count)) {
        PyErr_Format(r->state->invalid_index,
                     "Program: order names row %lld. Received: sources of %lld rows",
                     (long long)(low < 0 ? low : high), (long long)count);
        return -1;
    }
    Py_INCREF(order);
    r->held[r->inputs + r->outputs] = order;
    r->order = at;
    return 0;
}

static int one_target(run *r, int64_t k, PyObject *object)
{
    const nnc_array *output = nnc_program_output(r->program, k);
    nnc_dtype dtype;
    int64_t need = nnc_shape_size(&output->shape);
    if (object == Py_None)
        return 0;
    if (!PyArray_Check(object) || !PyArray_ISCARRAY((PyArrayObject *)object)) {
        PyErr_Format(PyExc_TypeError,
                     "Program: target %lld must be a C-contiguous, writable NumPy array",
                     (long long)k);
        return -1;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (py_dtype_of(r->state, PyArray_DESCR(array), "Program: a target", &dtype) < 0)
        return -1;
    if (dtype != output->dtype || nnc_size_mul(need, r->steps, &need) != NNC_OK ||
        PyArray_SIZE(array) < need) {
        char text[NNC_SHAPE_TEXT];
        PyErr_Format(PyExc_ValueError,
                     "Program: target %lld must hold %lld times %s of %s. Received: %lld "
                     "elements of %s",
                     (long long)k, (long long)r->steps, nnc_shape_text(&output->shape, text),
                     nnc_dtype_name(output->dtype), (long long)PyArray_SIZE(array),
                     nnc_dtype_name(dtype));
        return -1;
    }
    Py_INCREF(object);
    r->held[r->inputs + k] = object;
    r->targets[k] = PyArray_DATA(array);
    return 0;
}

static int parse_targets(run *r, PyObject *targets)
{
    int failed = -1;
    if (targets == Py_None)
        return 0;
    PyObject *seq = PySequence_Tuple(targets);
    if (seq == NULL)
        return -1;
    if (PyTuple_Size(seq) != r->outputs) {
        PyErr_Format(PyExc_ValueError, "Program: expected %lld targets. Received: %zd",
                     (long long)r->outputs, PyTuple_Size(seq));
        goto done;
    }
    for (int64_t k = 0; k < r->outputs; k++) {
        if (one_target(r, k, PyTuple_GetItem(seq, (Py_ssize_t)k)) < 0)
            goto done;
    }
    failed = 0;
done:
    Py_DECREF(seq);
    return failed;
}

/* ---- methods ---- */

static PyObject *program_replay(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"sources", "order", "first", "steps", "targets", "seconds", "guard",
                            NULL};
    PyObject *sources, *order, *targets = Py_None, *result = NULL;
    long long first, steps;
    double seconds = 0;
    int guard = -1;
    int64_t count;
    run r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOLL|Odi:replay", names, &sources, &order,
                                     &first, &steps, &targets, &seconds, &guard))
        return NULL;
    if (run_init(&r, object) < 0)
        goto done;
    if (guard < -1 || guard >= r.outputs) {
        PyErr_Format(PyExc_ValueError, "Program: guard must be the number of an output. Received: "
                     "guard=%d", guard);
        goto done;
    }
    r.guard = guard;
    r.first = first;
    r.steps = steps;
    r.seconds = seconds;
    if (parse_sources(&r, sources, &count) < 0 || parse_order(&r, order, count) < 0 ||
        parse_targets(&r, targets) < 0)
        goto done;
    int64_t finished = replay(&r);
    if (finished >= 0)
        result = PyLong_FromLongLong(r.stopped ? -1 - finished : finished);
done:
    run_clear(&r);
    return result;
}

/* The GIL dropped, as `replay` does. */
static int watch(run *r, int threads, bool check, bool effects, nnc_seen *seen)
{
    PyThreadState *saved;
    if (replaying) {
        PyErr_SetString(PyExc_RuntimeError, "Program: a replay is running in this thread already");
        return -1;
    }
    replaying = true;
    py_gil_release(&saved);
    nnc_status status = nnc_program_watch(r->program, r->rows, r->order, r->first, threads, check,
                                          effects, seen);
    py_gil_take(&saved);
    replaying = false;
    if (status == NNC_OK)
        return 0;
    py_raise(r->state, status);
    return -1;
}

static PyObject *seen_list(const nnc_seen *seen, int64_t n)
{
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (int64_t i = 0; list != NULL && i < n; i++) {
        PyObject *row = Py_BuildValue("(ddN)", seen[i].begin, seen[i].end,
                                      PyBool_FromLong(seen[i].nonfinite));
        if (row == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, row);
    }
    return list;
}

static PyObject *program_watch(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"sources", "order", "first", "threads", "check", "effects", NULL};
    PyObject *sources, *order, *result = NULL;
    nnc_seen *seen = NULL;
    long long first;
    int threads = 0, check = 0, effects = 1;
    int64_t count;
    run r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOL|ipp:watch", names, &sources, &order, &first,
                                     &threads, &check, &effects))
        return NULL;
    if (run_init(&r, object) < 0)
        goto done;
    if (threads < 0 || threads > 256) {
        PyErr_Format(PyExc_ValueError, "Program: threads must be 0 to 256. Received: threads=%d",
                     threads);
        goto done;
    }
    r.first = first;
    r.steps = 1;
    if (parse_sources(&r, sources, &count) < 0 || parse_order(&r, order, count) < 0)
        goto done;
    int64_t n = nnc_program_node_count(r.program);
    nnc_status status = nnc_alloc((n + 1) * (int64_t)sizeof *seen, &seen);
    if (status != NNC_OK)
        py_raise(r.state, status);
    else if (watch(&r, threads, check, effects, seen) == 0)
        result = seen_list(seen, n);
done:
    nnc_free(seen);
    run_clear(&r);
    return result;
}

/* The outputs as Tensors; the references go over to them. */
static PyObject *take_outputs(run *r)
{
    PyObject *list = PyList_New((Py_ssize_t)r->outputs);
    for (int64_t k = 0; list != NULL && k < r->outputs; k++) {
        PyObject *tensor = py_tensor_wrap(r->state, r->tensors[k]);
        r->tensors[k] = NULL;
        if (tensor == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)k, tensor);
    }
    return list;
}

static PyObject *program_call(PyObject *object, PyObject *args, PyObject *kwargs)
{
    PyObject *result = NULL;
    run r;
    if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Program: inputs are given by position");
        return NULL;
    }
    if (run_init(&r, object) < 0)
        goto done;
    if (PyTuple_Size(args) != r.inputs) {
        PyErr_Format(PyExc_TypeError, "Program: expected %lld inputs. Received: %zd",
                     (long long)r.inputs, PyTuple_Size(args));
        goto done;
    }
    for (int64_t i = 0; i < r.inputs; i++) {
        if (whole_source(&r, i, PyTuple_GetItem(args, (Py_ssize_t)i)) < 0)
            goto done;
    }
    for (int64_t k = 0; k < r.outputs; k++) {
        const nnc_array *output = nnc_program_output(r.program, k);
        nnc_status status = nnc_tensor_new(&output->shape, output->dtype, &r.tensors[k]);
        if (status != NNC_OK) {
            py_raise(r.state, status);
            goto done;
        }
        r.targets[k] = r.tensors[k]->array.data;
    }
    r.steps = 1;
    if (replay(&r) >= 0)
        result = take_outputs(&r);
done:
    run_clear(&r);
    return result;
}

/* Program(graph, outputs, beside=None, excess=False) */
static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"graph", "outputs", "beside", "excess", NULL};
    py_state *state = PyType_GetModuleState(type);
    PyObject *graph, *outputs, *seq, *beside = Py_None;
    py_program *self = NULL;
    int *value = NULL, excess = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|Op:Program", names, state->graph_type,
                                     &graph, &outputs, &beside, &excess))
        return NULL;
    if (beside != Py_None && !PyObject_TypeCheck(beside, type)) {
        PyErr_Format(PyExc_TypeError, "Program: `beside` must be a Program or None. Received: %R",
                     beside);
        return NULL;
    }
    seq = PySequence_Tuple(outputs);
    if (seq == NULL)
        return NULL;
    Py_ssize_t n = PyTuple_Size(seq);
    nnc_status status = nnc_alloc((n + 1) * (int64_t)sizeof *value, &value);
    for (Py_ssize_t i = 0; i < n && status == NNC_OK; i++) {
        PyObject *object = PyTuple_GetItem(seq, i);
        if (!py_is_tensor(state, object) && !py_is_variable(state, object)) {
            PyErr_Format(PyExc_TypeError, "Program: outputs must be Tensors. Received: %R", object);
            goto done;
        }
        value[i] = py_graph_value(state, graph, object);
        if (value[i] < 0)
            goto done;
    }
    if (status == NNC_OK) {
        self = (py_program *)PyType_GenericAlloc(type, 0);
        if (self == NULL)
            goto done;
        status = nnc_program_new_beside(((py_graph *)graph)->graph, value, (int)n,
                                        beside == Py_None ? NULL : py_program_of(beside), excess,
                                        &self->program);
    }
    if (status != NNC_OK) {
        Py_CLEAR(self);
        py_raise(state, status);
    }
done:
    nnc_free(value);
    Py_DECREF(seq);
    return (PyObject *)self;
}

static void program_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    nnc_program_release(py_program_of(object));
    PyObject_Free(object);
    Py_DECREF(type);
}

/* Whether an input may be fed this: its very shape, and its dtype, or (converts) both are floats. */
static bool is_fit(const nnc_array *input, const nnc_array *given, bool converts)
{
    return nnc_shape_equal(&given->shape, &input->shape) &&
        (given->dtype == input->dtype ||
         (converts && nnc_dtype_kind(given->dtype) == NNC_KIND_FLOAT &&
          nnc_dtype_kind(input->dtype) == NNC_KIND_FLOAT));
}

/* What an input is fed of an array or a concrete Tensor. Whether it fits; no exception. */
static bool fitting(py_state *state, const nnc_array *input, PyObject *object, bool converts,
                    nnc_rows *rows)
{
    nnc_array given = {.data = NULL};
    if (py_is_tensor(state, object)) {
        py_tensor *tensor = (py_tensor *)object;
        const nnc_tensor *shown = tensor->graph != NULL ? NULL : py_tensor_shown(state, tensor);
        if (shown == NULL) {
            PyErr_Clear();
            return false;
        }
        given = shown->array;
    } else {
        PyArrayObject *array = py_array_direct(object, &given.dtype);
        if (array == NULL)
            return false;
        given.data = PyArray_DATA(array);
        given.shape.rank = PyArray_NDIM(array);
        for (int d = 0; d < given.shape.rank; d++)
            given.shape.dim[d] = PyArray_DIM(array, d);
        Py_DECREF(array);       /* the caller holds the object */
    }
    *rows = (nnc_rows){.data = given.data, .dtype = given.dtype};
    return is_fit(input, &given, converts);
}

enum { ATTEMPT_MOST = 8 };      /* inputs; outputs */

/* What a program reads, of x: its only input, or a tuple of all. Whether they fit. */
static bool fitting_all(py_state *state, nnc_program *program, PyObject *x, bool converts,
                        nnc_rows *rows)
{
    int64_t inputs = nnc_program_input_count(program);
    bool several = PyTuple_CheckExact(x);
    if (inputs < 1 || inputs > ATTEMPT_MOST || several != (inputs > 1) ||
        (several && PyTuple_Size(x) != inputs))
        return false;
    for (int64_t i = 0; i < inputs; i++) {
        if (!fitting(state, nnc_program_input(program, i),
                     several ? PyTuple_GetItem(x, (Py_ssize_t)i) : x, converts, &rows[i]))
            return false;
    }
    return true;
}

/* One output, or a tuple of them; their references go over to it. */
static PyObject *wrap_outputs(py_state *state, nnc_tensor **tensors, int64_t outputs)
{
    PyObject *result = outputs == 1 ? NULL : PyTuple_New((Py_ssize_t)outputs);
    if (outputs != 1 && result == NULL)
        return NULL;
    for (int64_t k = 0; k < outputs; k++) {
        PyObject *made = py_tensor_wrap(state, tensors[k]);
        tensors[k] = NULL;
        if (outputs == 1)
            return made;
        if (made == NULL || PyTuple_SetItem(result, (Py_ssize_t)k, made) < 0) {
            Py_DECREF(result);
            return NULL;
        }
    }
    return result;
}

/* The first output, with the second as its `_keras_logits`; their references go over to it. */
static PyObject *wrap_with_logits(py_state *state, nnc_tensor **tensors)
{
    PyObject *output = py_tensor_wrap(state, tensors[0]), *logits = NULL, *dict = NULL;
    tensors[0] = NULL;
    if (output != NULL) {
        logits = py_tensor_wrap(state, tensors[1]);
        tensors[1] = NULL;
        dict = logits == NULL ? NULL : PyDict_New();
    }
    if (dict == NULL || PyDict_SetItem(dict, state->keras_logits, logits) < 0) {
        Py_XDECREF(dict);
        Py_CLEAR(output);
    } else {
        py_replace(&((py_tensor *)output)->dict, dict);
    }
    Py_XDECREF(logits);
    return output;
}

/* Whether nothing is recorded and no tape is on, and the inputs, a tuple if there are several, fit. */
static bool may_attempt(py_state *state, nnc_program *program, PyObject *x, bool converts,
                        nnc_rows *rows)
{
    int64_t outputs = nnc_program_output_count(program);
    return !nnc_tape_active() && py_graph_current() == NULL && !replaying && outputs >= 1 &&
        outputs <= ATTEMPT_MOST && fitting_all(state, program, x, converts, rows);
}

/* The outputs as new tensors. Returns -1 and an exception; the tensors are released all the same. */
static int attempt(py_state *state, nnc_program *program, nnc_rows *rows, nnc_tensor **tensors)
{
    void *targets[ATTEMPT_MOST];
    for (int64_t k = 0; k < nnc_program_output_count(program); k++) {
        const nnc_array *output = nnc_program_output(program, k);
        nnc_status status = nnc_tensor_new(&output->shape, output->dtype, &tensors[k]);
        if (status != NNC_OK) {
            py_raise(state, status);
            return -1;
        }
        targets[k] = tensors[k]->array.data;
    }
    run r = {.state = state, .program = program, .rows = rows, .targets = targets, .steps = 1,
             .guard = -1};
    return replay(&r) >= 0 ? 0 : -1;
}

static PyObject *attempt_tensors(PyObject *object, PyObject *x, bool with_logits)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    nnc_program *program = py_program_of(object);
    nnc_tensor *tensors[ATTEMPT_MOST] = {NULL};
    nnc_rows rows[ATTEMPT_MOST];
    PyObject *result = NULL;
    int64_t outputs = nnc_program_output_count(program);
    /* A list may change while the GIL is dropped: what is in it is held by a tuple. */
    PyObject *inputs = PyList_CheckExact(x) ? PyList_AsTuple(x) : Py_NewRef(x);
    if (inputs == NULL)
        return NULL;
    if (!may_attempt(state, program, inputs, false, rows) || (with_logits && outputs != 2))
        result = Py_NewRef(Py_None);
    else if (attempt(state, program, rows, tensors) == 0)
        result = with_logits ? wrap_with_logits(state, tensors)
                             : wrap_outputs(state, tensors, outputs);
    for (int k = 0; k < ATTEMPT_MOST; k++)
        nnc_tensor_release(tensors[k]);
    Py_DECREF(inputs);
    return result;
}

static PyObject *program_attempt(PyObject *object, PyObject *x)
{
    return attempt_tensors(object, x, false);
}

static PyObject *program_attempt_logits(PyObject *object, PyObject *x)
{
    return attempt_tensors(object, x, true);
}

static PyObject *program_attempt_array(PyObject *object, PyObject *x)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    nnc_program *program = py_program_of(object);
    nnc_rows rows[ATTEMPT_MOST];
    if (nnc_program_output_count(program) != 1 || !may_attempt(state, program, x, true, rows))
        Py_RETURN_NONE;
    PyObject *result = py_new_array(state, nnc_program_output(program, 0));
    if (result == NULL)
        return NULL;
    void *target = PyArray_DATA((PyArrayObject *)result);
    run r = {.state = state, .program = program, .rows = rows, .targets = &target, .steps = 1,
             .guard = -1};
    if (replay(&r) < 0)
        Py_CLEAR(result);
    return result;
}

static PyMethodDef methods[] = {
    {"attempt", program_attempt, METH_O,
     "attempt(x): the output (several: a tuple) for an array or Tensor (several: a list or tuple) "
     "of just the input's shape and dtype; None where it is another, or a tape or a trace is on."},
    {"attempt_logits", program_attempt_logits, METH_O,
     "The same of two outputs: the first, with the second as its `_keras_logits`."},
    {"attempt_array", program_attempt_array, METH_O,
     "The same of one output, as a NumPy array; inputs of floats may be of other floats."},
    {"replay", (PyCFunction)(void (*)(void))program_replay, METH_VARARGS | METH_KEYWORDS,
     "replay(sources, order, first, steps, targets=None, seconds=0.0, guard=-1): the steps done."},
    {"watch", (PyCFunction)(void (*)(void))program_watch, METH_VARARGS | METH_KEYWORDS,
     "watch(sources, order, first, threads=0, check=False, effects=True): one step, node by node."},
    {"nodes", py_program_nodes, METH_NOARGS, "The schedule, a tuple a node."},
    {"makers", py_program_makers, METH_NOARGS, "The node that makes each output."},
    {"stats", py_program_stats, METH_NOARGS, "What the passes did, as a dictionary."},
    {"text", py_program_text, METH_NOARGS, "The schedule, a line a step."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef getset[] = {
    {"input_signature", py_program_input_signature, NULL, "(shape, dtype) of each input.", NULL},
    {"output_signature", py_program_output_signature, NULL, "(shape, dtype) of each output.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Program(graph, outputs): a trace made ready to run again and again."},
    {Py_tp_new, program_new}, {Py_tp_dealloc, program_dealloc}, {Py_tp_call, program_call},
    {Py_tp_methods, methods}, {Py_tp_getset, getset}, {0, NULL}};
PyType_Spec py_program_spec = {.name = "nnc._core.Program", .basicsize = sizeof(py_program),
                               .flags = Py_TPFLAGS_DEFAULT, .slots = slots};
