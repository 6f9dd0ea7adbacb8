/* ahead.c - each thread's cursor over the memory that it will read soon. */
#include "core/ahead.h"

_Thread_local nnc_ahead nnc_ahead_now;
