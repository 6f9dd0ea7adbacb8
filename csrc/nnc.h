/* nnc.h - the whole core: tensors, ops, graphs, programs.  No Python here.
 *
 * One mechanism.  An op is a row of a table (ops/ops.def): a shape rule, a forward kernel, a
 * gradient rule.  nnc_eager() runs an op now; nnc_graph_append() writes it down.  A graph is a list
 * of nodes over values; a tape is a graph whose values hold data.  nnc_graph_backward() appends the
 * gradient.  A program is a graph with every size known, made ready to run again and again: passes,
 * one arena, a flat schedule replayed on the thread pool.
 *
 *     nnc_tensor *x, *y;                             // y = x @ w, eagerly
 *     nnc_attrs attrs = {0};
 *     nnc_tensor *in[2] = {x, w};
 *     NNC_TRY(nnc_eager(NNC_OP_matmul, &attrs, in, 2, &y));
 *
 * Ownership.  Tensors, graphs and programs are counted: _new and _retain take a reference, _release
 * drops one (NULL is allowed).  Arguments are borrowed; a result through `out` is a new reference,
 * and *out is written only on success.
 * Errors.  A function that can fail returns nnc_status and has said why through nnc_fail(); the
 * text is kept per thread.  Shapes are checked once, by the infer rules; kernels cannot fail.  What
 * only data can show (a label out of range) a kernel reports with nnc_call_fault(), and the call
 * fails after it.
 * Threads.  A tensor's data may be read by many threads; whoever writes it sees to it that nobody
 * else does.  A graph belongs to one thread at a time.  Replays of programs exclude one another. */
#ifndef NNC_H
#define NNC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NNC_VERSION "0.1.0"
#define NNC_MAX_RANK 8
#define NNC_MAX_OUTPUTS 8

/* ---- status.c: errors ----------------------------------------------------------------------- */

typedef enum {
    NNC_OK = 0,
    NNC_ENOMEM,      /* MemoryError: no memory, or a size that cannot be held */
    NNC_EVALUE,      /* ValueError: a shape, a range, an argument */
    NNC_ETYPE,       /* TypeError: a dtype */
    NNC_EINDEX,      /* IndexError: an id, a label, an axis out of range */
    NNC_ETRACE,      /* TraceError: what cannot be recorded; it can be run op by op */
    NNC_EINTERRUPT,  /* the poll function asked to stop */
    NNC_EINTERNAL    /* RuntimeError: a bug of ours */
} nnc_status;

/* Keeps the formatted text for nnc_error_text() of this thread and returns `status`. */
nnc_status nnc_fail(nnc_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *nnc_error_text(void);

/* In a function with `nnc_status status;` and a label `done`. */
#define NNC_TRY(call)                 \
    do {                              \
        status = (call);              \
        if (status != NNC_OK)         \
            goto done;                \
    } while (0)

/* ---- memory.c: the one allocator ------------------------------------------------------------ */

/* 64-byte aligned.  Blocks of a page and more begin 17 cache lines further into their page each
 * time, so that arrays walked together do not meet in one cache set.  bytes == 0 is allowed.
 * Contents are undefined; nnc_alloc_zero clears them.  Blocks from 2 MB up ask for huge pages. */
nnc_status nnc_alloc(int64_t bytes, void *out /* T ** */);
nnc_status nnc_alloc_zero(int64_t bytes, void *out);
void nnc_free(void *block);

/* Makes room for `need` items of `size` bytes in the array *items (at least doubles it); keeps the
 * contents.  On failure nothing changes. */
nnc_status nnc_grow(void *items /* T ** */, int64_t *capacity, int64_t need, int64_t size);

/* Checked product and sum of sizes: NNC_ENOMEM if it does not fit in int64. */
nnc_status nnc_size_mul(int64_t a, int64_t b, int64_t *out);
nnc_status nnc_size_add(int64_t a, int64_t b, int64_t *out);

/* For tests: the n-th allocation from now (n >= 1) fails, once; 0 switches that off. */
void nnc_alloc_fail_at(int64_t n);
int64_t nnc_alloc_count(void);      /* allocations made so far */
int64_t nnc_alloc_live_blocks(void);
int64_t nnc_alloc_live_bytes(void); /* as asked for, without padding */

/* ---- tensor.c: dtypes, shapes, storage ------------------------------------------------------ */

/*            enum  name        bytes  kind */
#define NNC_DTYPES(X)                        \
    X(BOOL, "bool", 1, NNC_KIND_BOOL)        \
    X(U8, "uint8", 1, NNC_KIND_UINT)         \
    X(U16, "uint16", 2, NNC_KIND_UINT)       \
    X(U32, "uint32", 4, NNC_KIND_UINT)       \
    X(U64, "uint64", 8, NNC_KIND_UINT)       \
    X(I8, "int8", 1, NNC_KIND_INT)           \
    X(I16, "int16", 2, NNC_KIND_INT)         \
    X(I32, "int32", 4, NNC_KIND_INT)         \
    X(I64, "int64", 8, NNC_KIND_INT)         \
    X(F16, "float16", 2, NNC_KIND_FLOAT)     \
    X(BF16, "bfloat16", 2, NNC_KIND_FLOAT)   \
    X(F32, "float32", 4, NNC_KIND_FLOAT)     \
    X(F64, "float64", 8, NNC_KIND_FLOAT)     \
    X(C64, "complex64", 8, NNC_KIND_COMPLEX)

typedef enum {
#define NNC_DTYPE_ENUM(name, text, bytes, kind) NNC_##name,
    NNC_DTYPES(NNC_DTYPE_ENUM)
#undef NNC_DTYPE_ENUM
    NNC_DTYPE_COUNT
} nnc_dtype;

typedef enum {
    NNC_KIND_BOOL,
    NNC_KIND_UINT,
    NNC_KIND_INT,
    NNC_KIND_FLOAT,
    NNC_KIND_COMPLEX    /* pairs of floats: the real part, then the imaginary one */
} nnc_kind;

int64_t nnc_dtype_size(nnc_dtype dtype);            /* bytes of one element */
nnc_kind nnc_dtype_kind(nnc_dtype dtype);
bool nnc_dtype_differentiable(nnc_dtype dtype);     /* floating point or complex */
const char *nnc_dtype_name(nnc_dtype dtype);        /* "float32" */
bool nnc_dtype_parse(const char *name, nnc_dtype *out);
/* The dtype of a + b: Keras's lattice (JAX's type promotion, float32 for int64 with a float32);
 * complex64 with anything is complex64. */
nnc_dtype nnc_dtype_promote(nnc_dtype a, nnc_dtype b);

typedef struct {
    int rank;                   /* 0 to NNC_MAX_RANK */
    int64_t dim[NNC_MAX_RANK];  /* each >= 0 */
} nnc_shape;

/* Elements; -1 if the product does not fit in int64 (callers that take memory use
 * nnc_shape_bytes). */
int64_t nnc_shape_size(const nnc_shape *shape);
nnc_status nnc_shape_bytes(const nnc_shape *shape, nnc_dtype dtype, int64_t *out);
bool nnc_shape_equal(const nnc_shape *a, const nnc_shape *b);
/* NumPy's rule; false if the shapes do not broadcast or the rank is too large. */
bool nnc_shape_broadcast(const nnc_shape *a, const nnc_shape *b, nnc_shape *out);
/* "(2, 3)" into text, always terminated; returns text. */
#define NNC_SHAPE_TEXT 192
char *nnc_shape_text(const nnc_shape *shape, char text[NNC_SHAPE_TEXT]);

/* What a kernel sees: C-contiguous data with a dtype and a shape.  data is NULL where only the
 * signature is known. */
typedef struct {
    void *data;
    nnc_dtype dtype;
    nnc_shape shape;
} nnc_array;

typedef struct nnc_tensor {
    nnc_array array;
    int64_t bytes;
    atomic_int references;
    void *owner;                  /* whose memory it is: NULL, our own block; else release it with */
    void (*release_owner)(void *owner);
} nnc_tensor;

nnc_status nnc_tensor_new(const nnc_shape *shape, nnc_dtype dtype, nnc_tensor **out);
/* A tensor over somebody's memory, 64-byte aligned or not; release_owner(owner) runs at the end. On
 * failure the owner is still the caller's. */
nnc_status nnc_tensor_wrap(void *data, const nnc_shape *shape, nnc_dtype dtype, void *owner,
                           void (*release_owner)(void *), nnc_tensor **out);
/* The same storage under another shape of the same size; keeps `base` alive. */
nnc_status nnc_tensor_view(nnc_tensor *base, const nnc_shape *shape, nnc_tensor **out);
/* The tensor that it is a view of, or itself. */
const nnc_tensor *nnc_tensor_storage(const nnc_tensor *tensor);
nnc_status nnc_tensor_copy(const nnc_tensor *source, nnc_tensor **out);
nnc_tensor *nnc_tensor_retain(nnc_tensor *tensor);
void nnc_tensor_release(nnc_tensor *tensor);
/* How often the storage of some variable has been written, from 1 on: who keeps what it made of
 * variables asks before it reads them. Whoever has written one says so. */
uint64_t nnc_tensor_writes(void);
void nnc_tensor_written(void);

/* Converts n elements; float to integer truncates, anything to bool is != 0. Ranges may not
 * overlap. */
void nnc_convert(const void *source, nnc_dtype from, void *target, nnc_dtype to, int64_t n);

/* ---- rng.c: Philox4x32-10 (Salmon et al. 2011) ---------------------------------------------- */

/* Four 32-bit words for one counter: block `index` of the stream (seed, stream, step). */
typedef struct {
    uint64_t seed, stream, step;
} nnc_rng;
void nnc_rng_block(const nnc_rng *rng, uint64_t index, uint32_t out[4]);
void nnc_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* order := a permutation of 0..n-1, Fisher-Yates with unbiased draws. */
void nnc_rng_permutation(const nnc_rng *rng, int64_t n, int64_t *order);

/* ---- pool.c: threads ------------------------------------------------------------------------ */

/* Threads that work is spread over: NNC_NUM_THREADS, else OMP_NUM_THREADS, else the least of
 * affinity, the cgroup's quota and the processors there are; until set. Set: 1 to 256; takes effect
 * with the next run. */
int nnc_pool_threads(void);
nnc_status nnc_pool_set_threads(int threads);
const char *nnc_pool_reason(void);   /* why that number: "affinity", "NNC_NUM_THREADS", ... */

/* Runs task(argument, thread, threads) on `threads` threads at once, the caller being thread 0, and
 * returns when all have returned. Fewer threads may come than asked for (the system refused one, or
 * another run holds the pool): the task must be right for any number. In a child after fork() a new
 * pool starts at first use. threads == 1 never touches the pool. */
typedef void nnc_pool_task(void *argument, int thread, int threads);
void nnc_pool_run(nnc_pool_task *task, void *argument, int threads);
/* Inside a task: waits until all threads of the run are here. Spins, yields, then sleeps. */
void nnc_pool_barrier(int thread);
/* The same; the last one to come runs the action before any goes on. */
void nnc_pool_barrier_then(int thread, void (*action)(void *argument), void *argument);
void nnc_pool_shutdown(void);        /* joins the workers (leak checks, exit) */

/* The embedder's poll: called on the thread that started a run about every 10 ms during long work;
 * a non-zero result stops the work with NNC_EINTERRUPT. NULL: none. Per thread. */
typedef int nnc_poll_fn(void *argument);
void nnc_poll_set(nnc_poll_fn *poll, void *argument);
bool nnc_poll_due(void);             /* true: stop. Cheap; asks the clock only now and then */

/* ---- kernels: instruction set levels
 * --------------------------------------------------------------- */

/* Picks the best level that the processor and the system support; NNC_ISA=portable|avx2|avx512|
 * avx512bf16|amx picks that one. NNC_EVALUE if NNC_ISA is unknown or not supported, naming those there are. */
nnc_status nnc_init(void);
const char *nnc_isa_name(void);                 /* "avx2" */
nnc_status nnc_isa_set(const char *name);       /* for tests; not while anything runs */
const char *const *nnc_isa_available(void);     /* NULL-terminated, worst first */
/* Multiply-adds (two operations each) a second of all threads together, measured for so long: what
 * nothing here can be quicker than. dtype: NNC_F32, NNC_F64, or NNC_BF16: products of bfloat16, which
 * are those of float32 where the level has none. */
nnc_status nnc_peak_rate(nnc_dtype dtype, double seconds, double *out);
/* Seconds that all threads need to wait for one another, measured; 0 on one thread. */
double nnc_barrier_time(void);

/* ---- ops: the table
 * ---------------------------------------------------------------------------------- */

typedef enum {
#define NNC_OP_ENUM(name, ...) NNC_OP_##name,
#define OP NNC_OP_ENUM
#include "ops/ops.def"
#undef OP
#undef NNC_OP_ENUM
    NNC_OP_COUNT
} nnc_op;

/* What nodes own together: graphs of branches and loops, a function of the embedder. Counted; the
 * last release clears it. */
typedef struct nnc_shared {
    atomic_int references;
    void (*clear)(struct nnc_shared *shared);   /* frees it */
} nnc_shared;
nnc_shared *nnc_shared_retain(nnc_shared *shared);      /* NULL is allowed */
void nnc_shared_release(nnc_shared *shared);

/* What an op is told besides its inputs. Which slots it reads, and their names, is its row's
 * `attrs`: a list of names with a kind letter before each: "L:axes k:keepdims f:alpha d:dtype
 * s:shape". L, s: the list; k: the next integer; f: the next number; d: the dtype. */
typedef struct {
    int64_t list[NNC_MAX_RANK * 3];
    int list_count;
    int64_t k[8];
    double f[6];
    nnc_dtype dtype;
    nnc_shared *shared;     /* NULL for most; nodes hold a reference each */
} nnc_attrs;
/* k of a cast: whether it rounds though its program may keep more precision. */
enum { NNC_CAST_KEPT = 0 };

/* How a call is cut. Phases run one after another, with all of a phase's pieces done before the
 * next begins; pieces of one phase are independent. All of it depends on shapes and attributes
 * only, never on the number of threads. `cost` is about the nanoseconds one thread needs. */
#define NNC_OP_PHASES 4      /* an op's own */
#define NNC_MAX_PHASES 6     /* with those that widen 16-bit floats before and narrow them after */
typedef struct {
    int phases;
    int64_t pieces[NNC_MAX_PHASES];
    int64_t workspace;   /* bytes, 64-byte aligned, undefined contents */
    double cost;
    bool together;       /* neighbouring pieces are quicker in one call */
} nnc_work;

typedef struct nnc_fault {
    atomic_int set;
    nnc_status status;
    int64_t position;
    char text[320];
} nnc_fault;

typedef struct nnc_call {
    nnc_op op;
    int input_count, output_count;
    const nnc_attrs *attrs;
    nnc_array *in;
    nnc_array out[NNC_MAX_OUTPUTS];
    nnc_work work;
    void *workspace;
    nnc_fault *fault;
    bool wide;              /* 16-bit floats go through float32 copies: set by the plan */
    const void *const *rows;    /* where each row of one input lies, if not side by side at its data:
                                 * only of the input that nnc_call_lists names; else NULL */
} nnc_call;

/* For a kernel that meets bad data: keeps the report with the lowest position. */
void nnc_call_fault(nnc_call *call, nnc_status status, int64_t position, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

struct nnc_graph;
struct nnc_node;

/* ---- host.c: ops that the embedder runs ---- */

/* Runs function call->attrs->k[0] on the caller's thread or a worker and fills call->out[0];
 * tells what is wrong through nnc_call_fault. */
typedef void nnc_host_fn(nnc_call *call);
/* Appends the gradient of a host node, as an nnc_gradient_fn does. */
typedef nnc_status nnc_host_gradient_fn(struct nnc_graph *graph, int node, const int *dy,
                                        const bool *need, int *dx);
/* Once, before any op host: the functions are numbered 0 to count - 1 and stay for good. */
void nnc_host_set(nnc_host_fn *run, nnc_host_gradient_fn *gradient, int64_t count);

/* Checks inputs and attributes and gives dtype and shape of every output. `in` and `out` carry no
 * data. */
typedef nnc_status nnc_infer_fn(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out);
/* NULL: one phase, one piece, no workspace, cost from the number of elements. */
typedef void nnc_plan_fn(const nnc_call *call, nnc_work *work);
/* Pieces begin..end-1 of a phase. */
typedef void nnc_run_fn(nnc_call *call, int phase, int64_t begin, int64_t end);
/* Appends the gradient: dy[k] is the value holding the gradient of output k (-1: zero), dx[i] is to
 * be set to the gradient of input i, or left -1 where there is none. need[i]: whether anyone wants
 * dx[i]. */
typedef nnc_status nnc_gradient_fn(struct nnc_graph *graph, int node, const int *dy, const bool *need,
                                   int *dx);

typedef struct {
    const char *name;
    int inputs;               /* how many; -1: one or more */
    int outputs;              /* -1: as what the node owns says */
    const char *attrs;        /* see nnc_attrs */
    unsigned flags;
    nnc_infer_fn *infer;
    nnc_plan_fn *plan;
    nnc_run_fn *run;
    nnc_gradient_fn *gradient; /* NULL: not differentiable, gradients stop here */
} nnc_op_row;

enum {
    NNC_VIEW = 1,             /* output 0 is input 0's storage under another shape; run is NULL */
    NNC_INPLACE = 2,          /* output 0 may lie in input 0's storage when both have one size */
    NNC_EFFECT_1 = 4,         /* writes the storage of its first input, which must be a variable ... */
    NNC_EFFECT_2 = 8,         /* ... of its first two, three, four inputs */
    NNC_EFFECT_3 = 16,
    NNC_EFFECT_4 = 32,
    NNC_SHARED = 64,          /* needs attrs->shared: functions of their own append it */
    NNC_HALF = 128,           /* plan and run take float16 and bfloat16 as they come; the others are
                               * given float32 copies, and what they write is rounded */
    NNC_HALF_FACTORS = 256,   /* likewise, but only while the first input, a variable, is wider */
    NNC_COMPLEX = 512,        /* takes and gives complex numbers; all others are refused them */
    NNC_EFFECT = NNC_EFFECT_1 | NNC_EFFECT_2 | NNC_EFFECT_3 | NNC_EFFECT_4
};
int nnc_op_effects(const nnc_op_row *row);   /* how many leading inputs it writes */
/* The same, and the number of outputs, for ops that own graphs as well. */
int nnc_effects(nnc_op op, const nnc_attrs *attrs);
int nnc_op_outputs(nnc_op op, const nnc_attrs *attrs);

extern const nnc_op_row nnc_ops[NNC_OP_COUNT];
bool nnc_op_parse(const char *name, nnc_op *out);

/* Runs an op now on concrete tensors, on the pool if that pays, and appends it to every tape of
 * this thread that watches one of the inputs. */
nnc_status nnc_eager(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in, int input_count,
                     nnc_tensor **out);
/* The same where some inputs are loose: float32 tensors that pass for bfloat16, not rounded to it.
 * out_loose (one an output): whether it is, too; the op had no need of rounded numbers. */
nnc_status nnc_eager_loose(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                           const bool *loose, int input_count, nnc_tensor **out, bool *out_loose);

/* ---- graph.c, backward.c
 * --------------------------------------------------------------------------- */

typedef enum {
    NNC_COMPUTED,    /* output of a node */
    NNC_INPUT,       /* fed before each replay */
    NNC_CONSTANT,    /* tensor holds it */
    NNC_VARIABLE     /* tensor holds it; effects change it in place */
} nnc_value_kind;

typedef struct {
    nnc_array array;        /* data: NULL, or tensor's */
    nnc_value_kind kind;
    int node, output;       /* who computes it */
    nnc_tensor *tensor;     /* a reference, or NULL */
    bool differentiable;    /* its dtype is, and it depends on something that is watched */
    bool kept;              /* given by a segment to who comes after it */
    bool stale;             /* the storage it was read from has been overwritten since */
    int earlier;            /* the stale value of the same storage before this one, or -1 */
} nnc_value;

typedef struct nnc_node {
    nnc_op op;
    int input_count, output_count;
    int *inputs;            /* values; its own block */
    int *outputs;           /* likewise */
    int segment;            /* of the graph; 0: none */
    nnc_attrs attrs;
    int label;              /* the graph's when the node was appended */
} nnc_node;
void nnc_node_clear(nnc_node *node);    /* frees what it owns */

/* Set in the label of a node that a gradient rule appended; the rest is that of the node whose
 * gradient it is. */
#define NNC_LABEL_BACKWARD (1 << 30)

typedef struct nnc_graph {
    nnc_value *values;
    int64_t value_count, value_capacity;
    nnc_node *nodes;
    int64_t node_count, node_capacity;
    int *inputs;            /* values of kind NNC_INPUT in the order they were made */
    int64_t input_count, input_capacity;
    int segment, segments;  /* the one that nodes are appended to (0: none); how many there are */
    bool eager;             /* a tape: append also computes */
    int label;              /* of nodes appended from now on: whatever the embedder makes of it */
    atomic_int references;
    struct nnc_lookup *by_tensor;    /* tensor -> value */
    struct nnc_graph *next_active;  /* the tapes this thread records on */
    struct nnc_graph *next_alive, *previous_alive;
    const void *user;       /* a tape: the thread that uses it alone, or NULL */
} nnc_graph;

nnc_status nnc_graph_new(bool eager, nnc_graph **out);
nnc_graph *nnc_graph_retain(nnc_graph *graph);
void nnc_graph_release(nnc_graph *graph);
nnc_status nnc_graph_input(nnc_graph *graph, const nnc_shape *shape, nnc_dtype dtype, int *out);
/* The value of a tensor, made on first use; one tensor is one value. kind: constant or variable. */
nnc_status nnc_graph_tensor(nnc_graph *graph, nnc_tensor *tensor, nnc_value_kind kind, int *out);
int nnc_graph_find(const nnc_graph *graph, const nnc_tensor *tensor);   /* -1: not there */
/* Appends (on a tape: and computes) op(inputs); its values through out. */
nnc_status nnc_graph_append(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, const int *inputs,
                            int input_count, int *out);
/* Appends d sum(targets[k] * seeds[k]) / d sources[i]; out[i] is -1 where nothing depends on the
 * source. seeds may be NULL, and a seed -1: ones. Only nodes from first_node on are walked. */
nnc_status nnc_graph_backward(nnc_graph *graph, const int *targets, const int *seeds, int target_count,
                              const int *sources, int source_count, int64_t first_node, int *out);

/* Nodes appended until the end of a segment are computed again by programs where gradients read
 * their values, instead of being kept (passes/remat.c). false: one is open already. */
bool nnc_graph_begin_segment(nnc_graph *graph);
void nnc_graph_end_segment(nnc_graph *graph);

/* Tapes of this thread. A tape records every eager op one of whose inputs it watches. */
nnc_status nnc_tape_watch(nnc_graph *tape, nnc_tensor *tensor);
void nnc_tape_push(nnc_graph *tape);
void nnc_tape_pop(nnc_graph *tape);
bool nnc_tape_active(void);
bool nnc_tape_active_beside(const nnc_graph *tape);     /* whether another one is */
/* Before the storage of `tensor` is overwritten: tapes that hold it get a copy of what it was. */
nnc_status nnc_tape_detach(nnc_tensor *tensor);

/* Threads share tapes under one lock of the embedder's. Between begin and end the calling thread
 * may append to the tape, and nnc_graph_backward walk it, without that lock; other threads that
 * would change the tape, or overwrite a tensor that it holds, wait until the end. All three are
 * called under the lock; release gives it back for a wait, and what it returns goes to take. */
void nnc_tape_begin(nnc_graph *tape);
void nnc_tape_end(nnc_graph *tape);
void nnc_tape_wait(const nnc_graph *tape);      /* until no other thread uses it so */
typedef struct {
    void *(*release)(void);
    void (*take)(void *state);
} nnc_tape_around;
void nnc_tape_around_waits(nnc_tape_around how);

/* ---- program.c, epoch.c
 * -------------------------------------------------------------------------- */

typedef struct nnc_program nnc_program;

/* Makes the graph ready to run: what outputs and effects need, fused, planned. The graph may be
 * released. */
nnc_status nnc_program_new(const nnc_graph *graph, const int *outputs, int output_count,
                           nnc_program **out);
nnc_program *nnc_program_retain(nnc_program *program);
void nnc_program_release(nnc_program *program);

/* Where the rows of one input come from: row r lies at data + r * row_bytes, elements contiguous,
 * any dtype (converted as it is read). */
typedef struct {
    const void *data;
    nnc_dtype dtype;
    int64_t row_bytes;
} nnc_rows;

/* Replays `steps` times. Step s feeds input i with `batch` rows of sources[i]: order[first +
 * s*batch + j], or row first + s*batch + j where order is NULL; `batch` is the leading size of the
 * program's inputs. A source with row_bytes 0 is fed whole, unchanged. While it runs, variables may
 * hold what they held before it (passes/turn.c); when it returns, they are as the last step left
 * them. Outputs are written behind one another into targets[k] (NULL: not wanted). Ends early after `seconds` (<= 0: never) with
 * *done < steps. A step that is interrupted before its first effect leaves every variable
 * untouched; after it, the step is finished. */
nnc_status nnc_program_replay(nnc_program *program, const nnc_rows *sources, const int64_t *order,
                              int64_t first, int64_t steps, void *const *targets, double seconds,
                              int64_t *done);
/* The same, but ends before the first effect of a step whose output `guard`, a number of floating
 * point, is NaN or Inf: *stopped, and every variable is as the step before left it. Where effects
 * come before that output is known, nothing is guarded. */
nnc_status nnc_program_replay_guarded(nnc_program *program, const nnc_rows *sources,
                                      const int64_t *order, int64_t first, int64_t steps,
                                      void *const *targets, double seconds, int64_t *done,
                                      int guard, bool *stopped);
/* What was seen of one node: when it ran, in seconds from the start of the step; whether something
 * it computed or wrote is NaN or Inf (only if asked for). */
typedef struct {
    double begin, end;
    bool nonfinite;
} nnc_seen;
/* One step on rows first.., every node alone between two barriers, on `threads` threads (0: as many
 * as there are). seen: nnc_program_node_count() of them. check: also looks for NaN and Inf.
 * effects: false ends the step before the first one; what would have come is seen as {0, 0,
 * false}. */
nnc_status nnc_program_watch(nnc_program *program, const nnc_rows *sources, const int64_t *order,
                             int64_t first, int threads, bool check, bool effects, nnc_seen *seen);
/* Node i of the schedule: its call, its label, and what it reads: makers[k] is the node that made
 * input k, -1 a variable, -2 a constant, -3 what is fed. makers may be NULL. */
int64_t nnc_program_node_count(const nnc_program *program);
const nnc_call *nnc_program_node(const nnc_program *program, int64_t i, int *label,
                                 bool *parallel, int64_t *makers);
/* The node that makes output k, or as in `makers`. */
int64_t nnc_program_output_maker(const nnc_program *program, int64_t k);
/* The place of the first NaN or Inf, -1 if there is none. */
int64_t nnc_array_first_nonfinite(const nnc_array *array);
const nnc_array *nnc_program_input(const nnc_program *program, int64_t k);   /* signature */
const nnc_array *nnc_program_output(const nnc_program *program, int64_t k);
int64_t nnc_program_input_count(const nnc_program *program);
int64_t nnc_program_output_count(const nnc_program *program);

/* What the passes did and what a replay takes. */
typedef struct {
    int64_t nodes_recorded, nodes_kept, fused, folded;
    int64_t arena_bytes, values_bytes;  /* planned; what it would be without sharing */
    int threads;                        /* chosen by timing; 0: not yet */
    int64_t turned;                     /* variables that long runs keep turned; 0 before the first */
    int64_t kept;                       /* copies of variables that last until one is written */
} nnc_program_stats;
void nnc_program_describe(const nnc_program *program, nnc_program_stats *out);
/* The schedule as text, a line a node; the caller frees it with nnc_free. |: threads meet before it;
 * =: they share it; #: they share its rows, and go on with their part of them; a number: thread
 * number modulo their count runs it (blank: 0). */
nnc_status nnc_program_text(const nnc_program *program, char **out);
/* For tests: switches passes by name (fold remat fuse narrow widen prune update order loss chain
 * late turn plan; verify is off at first); returns false if unknown. */
bool nnc_pass_enable(const char *name, bool on);

#endif
