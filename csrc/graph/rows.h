/* rows.h - steps that work row by row, run a part of the rows at a time. */
#ifndef NNC_GRAPH_ROWS_H
#define NNC_GRAPH_ROWS_H

#include "graph/program.h"

/* A step's op on a part of its rows: `longer` parts of rows + 1, then the others of rows. */
struct nnc_row_parts {
    int64_t count, rows, longer;
    nnc_call *calls;        /* (2) on rows and on rows + 1, shapes only */
    nnc_array *in;          /* their inputs, one call's after the other's */
    int64_t workspace;      /* bytes of a part */
};

/* Makes the parts of a step that is planned, of shapes only, if its op works row by row on enough
 * rows; its workspace becomes that of all parts. threads: that there will be, probably; the same for
 * all steps of a program, for steps go together whose rows are cut alike. */
nnc_status nnc_rows_prepare(nnc_step *step, int threads);
void nnc_rows_release(nnc_step *step);
/* until[i]: the last node of the steps that node i may make one run with; i: there is none. Memory that
 * is read there must not be used again before. */
void nnc_rows_together(const nnc_program *program, int64_t *until);
/* Joins neighbouring steps that may go on with a part of the rows before the others have done
 * theirs. Addresses are known. */
void nnc_rows_join(nnc_program *program);
/* The parts that this thread takes, each through all steps of the run that `first` begins. may_stop:
 * give up when told to. */
void nnc_rows_run(nnc_running *running, nnc_step *first, int thread, int threads, bool may_stop);

#endif
