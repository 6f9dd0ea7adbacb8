/* ctc.h - what the loss and the decoder of CTC share. */
#ifndef NNC_OPS_CTC_H
#define NNC_OPS_CTC_H

#include "nnc.h"

/* logp (v): logarithms of softmax(x[row]), x (..., v), in double. */
void nnc_ctc_log_softmax(const nnc_array *x, int64_t row, int64_t v, double *logp);

#endif
