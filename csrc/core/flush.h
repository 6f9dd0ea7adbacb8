/* flush.h - numbers below the smallest normal one taken for zero, between begin and end.
 *
 * A processor may need a hundred times as long for a denormal number as for another (Intel's do). The
 * moments of a weight that gets no gradient any more shrink by a constant factor a step and end as
 * denormals, from where rounding never lets them reach zero: a layer that has died would slow every
 * later step down. Only the calling thread is changed. x86 alone has the switch here; elsewhere, and
 * in code that does not use SSE, nothing happens. */
#ifndef NNC_CORE_FLUSH_H
#define NNC_CORE_FLUSH_H

#if defined(__SSE2__)
#include <emmintrin.h>
static inline unsigned nnc_flush_begin(void)
{
    enum { FLUSH_RESULTS = 0x8000, FLUSH_OPERANDS = 0x40 };
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH_RESULTS | FLUSH_OPERANDS);
    return before;
}
static inline void nnc_flush_end(unsigned before) { _mm_setcsr(before); }
#else
static inline unsigned nnc_flush_begin(void) { return 0; }
static inline void nnc_flush_end(unsigned before) { (void)before; }
#endif

#endif
