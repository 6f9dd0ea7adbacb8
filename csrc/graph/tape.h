/* tape.h - what graphs, eager calls and tapes share. */
#ifndef NNC_GRAPH_TAPE_H
#define NNC_GRAPH_TAPE_H

#include "nnc.h"

/* Runs an op without recording it. */
nnc_status nnc_eager_compute(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                             int input_count, nnc_tensor **out);
/* nnc_eager, where what nnc_call_infer gives is known (inferred; NULL: it is not). */
nnc_status nnc_eager_inferred(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                              int input_count, const nnc_array *inferred, nnc_tensor **out);
/* Appends what has run to the active tapes that watch one of the inputs, except one. */
nnc_status nnc_tape_record(nnc_graph *except, nnc_op op, const nnc_attrs *attrs,
                           nnc_tensor *const *in, int input_count, nnc_tensor *const *out);
/* Writes a node down; its outputs are arrays (a trace) or tensors. */
nnc_status nnc_graph_add_node(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs,
                              const int *inputs, int input_count, const nnc_array *arrays,
                              nnc_tensor *const *tensors, int *out);

/* A tape begins and ends to be one of those alive. */
void nnc_tape_created(nnc_graph *tape);
void nnc_tape_ended(nnc_graph *tape);
/* Around a change of a graph's values by the thread that uses it alone; others look tensors up
 * meanwhile. lock: whether it took one. */
bool nnc_tape_lock(const nnc_graph *graph);
void nnc_tape_unlock(bool locked);

#endif
