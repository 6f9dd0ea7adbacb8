/* call.h - one call of an op: how it is checked, cut and run. Shared by eager calls and programs.
 */
#ifndef NNC_GRAPH_CALL_H
#define NNC_GRAPH_CALL_H

#include "nnc.h"

/* A call that takes longer than this on one thread, in nanoseconds, is worth waking the pool
 * for. */
#define NNC_PARALLEL_COST 100000.0

/* Checks the number of inputs, then the op's own shape rule; out: row->outputs arrays without
 * data. */
nnc_status nnc_call_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in, int input_count,
                          nnc_array *out);
/* Fills call->work (and call->wide) from the shapes. */
void nnc_call_plan(nnc_call *call);
/* The same for the op's kernels, whatever the dtypes. */
void nnc_call_plan_op(nnc_call *call);
/* Pieces begin..end-1 of a phase. */
void nnc_call_run(nnc_call *call, int phase, int64_t begin, int64_t end);
/* How many pieces of a phase one thread runs without asking whether to stop. */
int64_t nnc_call_stretch(const nnc_call *call, int phase);
/* All phases and pieces here and now; polls between pieces. Returns false if it was told to
 * stop. */
bool nnc_call_run_serial(nnc_call *call);
/* On the pool. */
bool nnc_call_run_parallel(nnc_call *call);
/* This thread's share of `pieces` pieces. */
static inline void nnc_call_share(int64_t pieces, int thread, int threads, int64_t *begin,
                                  int64_t *end)
{
    *begin = (pieces * thread + threads - 1) / threads;
    *end = (pieces * (thread + 1) + threads - 1) / threads;
}
/* The fault's status, its text told through nnc_fail; NNC_OK if there is none. */
nnc_status nnc_fault_raise(const nnc_fault *fault);

#endif
