/* program.h - the inside of a program, shared by the file that makes it and the one that replays
 * it. */
#ifndef NNC_GRAPH_PROGRAM_H
#define NNC_GRAPH_PROGRAM_H

#include "graph/flow.h"
#include "graph/stack.h"
#include "graph/taken.h"
#include "passes/passes.h"

/* What one replay's steps tell one another. */
typedef struct {
    nnc_fault fault;
    atomic_int stop;        /* the poll said so */
} nnc_running;

/* A node that owns graphs, ready to run. */
typedef struct {
    const nnc_flow *flow;
    nnc_program **bodies;
    nnc_array *out;         /* data NULL: nobody reads it */
    int out_count;
    bool all_threads;       /* else thread 0 runs it alone */
    bool go;                /* thread 0's decision: one more round */
    int32_t index;          /* i of the round */
    nnc_stack stack;        /* of a loop without a limit, if somebody reads it */
} nnc_flow_step;

typedef struct nnc_row_parts nnc_row_parts;     /* rows.h */

typedef struct {
    nnc_call call;
    nnc_flow_step *flow;    /* NULL for most */
    nnc_row_parts *rows;    /* what it does part by part, or NULL */
    int64_t run;            /* so many steps from here on go part by part together; 0: this one does
                             * not, or is not the first of them */
    bool head;              /* the first of a run: only its last phase goes part by part */
    bool parallel;          /* all threads share its pieces or parts; else one runs it */
    bool joined;            /* parallel, but its last phase is one piece: thread 0 ends it */
    bool barrier;           /* wait for the steps before it */
    int owner;              /* not parallel: the thread that runs it, modulo the threads */
    int64_t node;           /* of the graph */
    nnc_taken taken[NNC_MAX_PHASES];        /* in this replay */
} nnc_step;

/* A place that holds the address of a fed input. */
typedef struct {
    int input;              /* which */
    void **slot;
} nnc_patch;

typedef enum {
    NNC_FEED_BOUND,         /* the user's rows, side by side */
    NNC_FEED_COPIED,        /* copied by one thread */
    NNC_FEED_GATHERED,      /* copied by all threads */
    NNC_FEED_LISTED         /* the user's rows, anywhere */
} nnc_feed;

typedef struct {
    const void **rows;      /* NULL: somebody wants them side by side */
    int64_t count;
} nnc_list;
/* The memory that programs run in: one may serve many, for replays exclude one another and none
 * reads what another left there. It grows while no program runs, and moves then. */
typedef struct {
    atomic_int references;
    _Atomic(char *) data;
    atomic_llong bytes;
} nnc_arena;

struct nnc_program {
    atomic_int references;
    nnc_graph *graph;       /* what is replayed, after the passes */
    int *outputs;
    int output_count;
    nnc_array *leaving;     /* (outputs) shape and dtype that they leave with; no data */
    nnc_arena *memory;      /* NULL where it is part of another program */
    char *larger;           /* what the memory becomes before the first replay, or NULL */
    char *arena;            /* where the steps' addresses say that it lies */
    bool inner;             /* part of another: the arena is not its own, inputs are bound */
    bool excess;            /* excess precision is allowed (passes/widen.c) */
    nnc_memory_plan plan;   /* its values until it is placed, its workspaces for good */
    int64_t *offset;        /* (values) in the arena, or -1 */
    nnc_step *steps;
    int64_t step_count;
    int64_t first_effect;   /* the step from which on a replay is finished whatever happens */
    int64_t unfinished;     /* a softmax_loss whose rows alone are done before all threads meet at the
                             * first effect, or -1 */
    nnc_array *in;          /* every step's inputs, one after another */
    void **bound;           /* (inputs) where each input lies now */
    nnc_feed *feed;         /* (inputs) how the batch in hand comes to the steps */
    nnc_list *lists;        /* (inputs) where its rows lie, if all who read it take that */
    nnc_patch *patches;
    int64_t patch_count;
    double cost;            /* nanoseconds on one thread, estimated */
    bool any_parallel;
    nnc_program_stats stats;
    /* Timing: nanoseconds a step on one thread and on all, and when to look again. */
    double time_one, time_all;
    int64_t steps_until_timing;
    double timing_interval; /* seconds from the last timing to the next */
    int timing_turn;        /* of a timing that is under way, for so many threads */
    int threads_timing;
    double timing_best[2];  /* so far: on all threads, on one */
    double timed_at;        /* seconds, of a clock that only goes on */
    int threads_timed;      /* nnc_pool_threads() when they were measured */
    double judged_ns;       /* that steps on all threads have taken since they were last judged, */
    int64_t judged_steps;   /* and how many */
    int overtaken;          /* how often, one after another, all took longer than one */
    /* The same program with turned weights (passes/turn.c): for long runs, and for all while nobody
     * writes variables if it does not write such weights. */
    nnc_program *turned;
    bool turned_tried;      /* whether it is known that there is one, or none */
    bool trains;            /* some op multiplies a gradient and updates a weight */
    uint64_t writes;        /* nnc_tensor_writes() after its last run; 0: there was none */
    nnc_twins twins;        /* of such a program; or, of any other, of the pass widen */
};

/* nnc_program_new, in the memory of another program (NULL: its own): both have what the larger one
 * needs. excess: bfloat16 values inside may keep the precision of float32. */
nnc_status nnc_program_new_beside(const nnc_graph *graph, const int *outputs, int output_count,
                                  const nnc_program *beside, bool excess, nnc_program **out);
/* The value's memory for this replay; NULL if it has none. */
void *nnc_program_data(const nnc_program *program, int value);
/* Before replays, while no other program runs: the steps' addresses become those of the memory, which
 * grows if this program is the first that needs so much. Cannot fail. */
void nnc_program_settle(nnc_program *program);

/* The program to replay `steps` times now: itself, or what turned weights make of it. The caller holds
 * the replay lock. */
nnc_status nnc_program_for(nnc_program *program, int64_t steps, nnc_program **out);

/* ---- barriers.c ---- */

/* until[i], raised to the last node where memory that node i reads must not be used again before: small
 * effects would wait for one another for nothing but the memory of one in the place of another's. */
void nnc_program_keep_apart(const nnc_program *program, int64_t *until);
/* Chooses barriers and owners; addresses and runs are known. */
void nnc_program_place_barriers(nnc_program *program);

/* ---- steps.c ---- */

/* Input `input` lies at data from now on. */
void nnc_program_bind(nnc_program *program, int64_t input, void *data);
/* Before each replay, on one thread: no piece is taken, faults go to `running`. */
void nnc_program_arm(nnc_program *program, nnc_running *running);
/* Thread 0 polls; all see the answer. */
bool nnc_running_stopped(nnc_running *running, int thread);
/* This thread's pieces of a phase of a step that is spread over threads. */
void nnc_step_run_phase(nnc_running *running, nnc_step *step, int phase, int thread, int threads,
                        bool may_stop);
/* One step's part for this thread, a serial one's if it is thread 0. may_stop: give up when told to;
 * barriers are passed all the same. */
void nnc_step_run(nnc_running *running, nnc_step *step, int thread, int threads, bool may_stop);
/* The same of the whole run that the step begins, if it does; returns how many steps those were. */
int64_t nnc_steps_run(nnc_running *running, nnc_step *step, int thread, int threads, bool may_stop);

#endif
