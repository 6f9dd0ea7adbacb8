/* tape.h - what eager calls and tapes share. */
#ifndef NNC_GRAPH_TAPE_H
#define NNC_GRAPH_TAPE_H

#include "nnc.h"

/* Runs an op without recording it. */
nnc_status nnc_eager_compute(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                             int input_count, nnc_tensor **out);
/* Appends what has run to the active tapes that watch one of the inputs, except one. */
nnc_status nnc_tape_record(nnc_graph *except, nnc_op op, const nnc_attrs *attrs,
                           nnc_tensor *const *in, int input_count, nnc_tensor *const *out);

#endif
