/* passes.h - what makes a recorded graph quicker to replay. Each pass rewrites a program's own copy
 * of the graph and keeps its meaning, bit for bit or, where a fused kernel sums otherwise, as its
 * file says. */
#ifndef NNC_PASSES_H
#define NNC_PASSES_H

#include "nnc.h"

/* A variable and the same numbers, turned, or rounded (half: NNC_HALF_*), or both; rounded and not
 * turned `other` may be of that 16-bit dtype itself. What the program writes goes back to the
 * variable. */
typedef struct {
    nnc_tensor *plain, *other;
    int half;
    bool turned, written;
} nnc_twin;

enum {
    NNC_LARGEST_TWIN = 1 << 20, /* numbers of one that is not written; larger ones come from memory,
                                 * which takes longer */
    NNC_MOST_TWINS = 1 << 21    /* numbers of all of them of a program */
};

typedef struct {
    nnc_twin *items;
    int64_t count, capacity;
    uint64_t loaded;        /* nnc_tensor_writes() before those not written were made; 0: never */
} nnc_twins;

typedef struct {
    nnc_graph *graph;       /* not a tape, not shared */
    int *outputs;           /* values that the program gives back */
    int output_count;
    bool inputs_apart;      /* inputs need no place in the arena */
    bool excess;            /* bfloat16 inside need not be rounded (widen.c) */
    bool rounds_outputs;    /* who takes the outputs rounds those that are left in float32 */
    nnc_program_stats *stats;
    nnc_twins *twins;       /* of the passes turn and widen; NULL: there can be none */
} nnc_pass;

/* rewrite.c: the tools */
nnc_status nnc_graph_clone(const nnc_graph *graph, nnc_graph **out);
/* Drops the nodes that are not kept; keeps the order of the rest. */
void nnc_rewrite_keep(nnc_graph *graph, const bool *keep);
/* Who reads value v reads map[v] from now on. */
void nnc_rewrite_uses(const nnc_pass *pass, const int *map);
/* How often each value is read by nodes and outputs; the caller frees it. */
nnc_status nnc_rewrite_count_uses(const nnc_pass *pass, int **out);
/* Sets values[].node for the nodes from `first` on. */
void nnc_rewrite_renumber(nnc_graph *graph, int64_t first);
/* A new node at `index`; its values through out. */
nnc_status nnc_rewrite_insert(nnc_graph *graph, int64_t index, nnc_op op, const nnc_attrs *attrs,
                              const int *inputs, int input_count, int *out);
/* The value whose storage v is: through views. */
int nnc_rewrite_root(const nnc_graph *graph, int value);

nnc_status nnc_pass_excess(nnc_pass *pass);  /* widen.c */
nnc_status nnc_pass_fold(nnc_pass *pass);    /* fold.c */
nnc_status nnc_pass_remat(nnc_pass *pass);   /* remat.c */
nnc_status nnc_pass_fuse(nnc_pass *pass);    /* fuse.c */
nnc_status nnc_pass_narrow(nnc_pass *pass);  /* narrow.c */
nnc_status nnc_pass_widen(nnc_pass *pass);   /* widen.c */
nnc_status nnc_pass_prune(nnc_pass *pass);   /* prune.c */
nnc_status nnc_pass_update(nnc_pass *pass);  /* update.c */
nnc_status nnc_pass_order(nnc_pass *pass);   /* order.c */
nnc_status nnc_pass_chain(nnc_pass *pass);   /* chain.c */
nnc_status nnc_pass_loss(nnc_pass *pass);    /* loss.c */
nnc_status nnc_pass_lead(nnc_pass *pass);    /* lead.c */
nnc_status nnc_pass_late(nnc_pass *pass);    /* late.c */
nnc_status nnc_pass_snapshot(nnc_pass *pass);    /* snapshot.c; always */
nnc_status nnc_pass_verify(nnc_pass *pass);  /* verify.c; off unless enabled */
/* turn.c: not of the list, but of programs for long runs; and for any whose weights stand still. */
nnc_status nnc_pass_turn(nnc_pass *pass);
nnc_status nnc_pass_turn_read(nnc_pass *pass);

/* twins.c. A new twin, not yet filled, of a variable: in dtype, half, turned and written as above. */
nnc_status nnc_twins_add(nnc_twins *twins, nnc_tensor *plain, nnc_dtype dtype, int half,
                         bool turned, bool written, nnc_tensor **out);
/* Before the first step of a run: the variables' numbers into their twins, those not written only if
 * some variable has been written since; after the last: those written back. */
void nnc_twins_load(nnc_twins *twins);
void nnc_twins_store(const nnc_twins *twins);
/* The program has written variables, once since nnc_tensor_writes() was `before`, but none that has a
 * twin which is not written. */
void nnc_twins_stand(nnc_twins *twins, uint64_t before);
/* Whether one of the nodes writes the variable; none calls functions of the embedder, which may write
 * any while a run lasts. */
bool nnc_nodes_write(const nnc_graph *graph, const nnc_node *nodes, int64_t count,
                     const nnc_tensor *tensor);
bool nnc_nodes_call_nobody(const nnc_node *nodes, int64_t count);
void nnc_twins_clear(nnc_twins *twins);

/* plan.c: where every computed value, fed input and workspace lies in the arena. */
typedef struct {
    int64_t *value;         /* (values) offset, or -1: not in the arena */
    int64_t *workspace;     /* (nodes) offset, or -1 */
    int64_t arena_bytes, values_bytes;
} nnc_memory_plan;

/* workspaces: (nodes) bytes. until: (nodes) memory last read by node i is kept until that node. */
nnc_status nnc_plan_memory(const nnc_pass *pass, const int64_t *workspaces, const int64_t *until,
                           nnc_memory_plan *out);
void nnc_plan_clear(nnc_memory_plan *plan);

/* program.c */
bool nnc_pass_enabled(const char *name);

#endif
