/* memory.c - the one allocator: aligned blocks over malloc, counted, with a fault to order for
 * tests. Small blocks begin on a cache line. Blocks of a page and more begin on cache line 1, 18,
 * 35, ... of a page (17 further each time, modulo 64, so that all 64 come in turn); from 2 MB up
 * that page is the first of a huge page. The 16 bytes before a block say where malloc's block
 * begins and how many bytes were asked for. */
#include "nnc.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

enum {
    LINE = 64,
    PAGE = 4096,
    HUGE_PAGE = 2 << 20,
    STAGGER = 17        /* lines; odd, so that the steps visit every line of a page */
};

typedef struct {
    void *base;
    int64_t bytes;
} header;

static atomic_llong fail_in, made, live_blocks, live_bytes;
static atomic_uint staggered;

static size_t alignment_of(int64_t bytes)
{
    return bytes < PAGE ? LINE : bytes < HUGE_PAGE ? PAGE : HUGE_PAGE;
}

/* What malloc is asked for: whatever its address and the stagger, the header and the block fit. */
static int64_t total_of(int64_t bytes)
{
    int64_t alignment = (int64_t)alignment_of(bytes);
    return bytes + (int64_t)sizeof(header) + alignment + (alignment > LINE ? PAGE : 0);
}

/* Where the block begins: the header lies before it, on the same page. */
static char *place(char *base, int64_t bytes)
{
    size_t alignment = alignment_of(bytes), offset = LINE;
    uintptr_t first = (uintptr_t)base;
    if (alignment > LINE) {
        unsigned turn = atomic_fetch_add_explicit(&staggered, STAGGER, memory_order_relaxed);
        offset = (size_t)(1 + turn % (PAGE / LINE)) * LINE;
    } else {
        first -= LINE - sizeof(header);     /* the header may fit into the line that base is in */
    }
    return base + ((first + alignment - 1) / alignment * alignment - (uintptr_t)base) + offset;
}

static bool fault_due(void)
{
    return atomic_load_explicit(&fail_in, memory_order_relaxed) > 0 &&
        atomic_fetch_sub(&fail_in, 1) == 1;
}

static void ask_for_huge_pages(char *block, int64_t bytes)
{
#if defined(__linux__)
    uintptr_t begin = (uintptr_t)block / HUGE_PAGE * HUGE_PAGE;
    uintptr_t end = ((uintptr_t)block + (uintptr_t)bytes) / HUGE_PAGE * HUGE_PAGE;
    if (end > begin)    /* a wish only: it may be refused */
        madvise(block - ((uintptr_t)block - begin), end - begin, MADV_HUGEPAGE);
#else
    (void)block, (void)bytes;
#endif
}

static nnc_status take(int64_t bytes, bool zero, void *out)
{
    const int64_t most = PTRDIFF_MAX - HUGE_PAGE - 2 * PAGE;
    char *base = NULL;
    if (bytes >= 0 && bytes <= most && !fault_due())
        base = zero ? calloc(1, (size_t)total_of(bytes)) : malloc((size_t)total_of(bytes));
    if (base == NULL)
        return nnc_fail(NNC_ENOMEM, "out of memory: %lld bytes asked for", (long long)bytes);
    char *block = place(base, bytes);
    *((header *)block - 1) = (header){base, bytes};
    if (bytes >= HUGE_PAGE)
        ask_for_huge_pages(block, bytes);
    ASAN_POISON_MEMORY_REGION(base, block - base);
    ASAN_POISON_MEMORY_REGION(block + bytes, base + total_of(bytes) - (block + bytes));
    atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, bytes, memory_order_relaxed);
    memcpy(out, &block, sizeof block);
    return NNC_OK;
}

nnc_status nnc_alloc(int64_t bytes, void *out)
{
    return take(bytes, false, out);
}

/* Pages that come fresh from the system are zero: calloc does not touch them. */
nnc_status nnc_alloc_zero(int64_t bytes, void *out)
{
    return take(bytes, true, out);
}

void nnc_free(void *block)
{
    if (block == NULL)
        return;
    ASAN_UNPOISON_MEMORY_REGION((header *)block - 1, sizeof(header));
    header h = *((header *)block - 1);
    ASAN_UNPOISON_MEMORY_REGION(h.base, total_of(h.bytes));
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_bytes, h.bytes, memory_order_relaxed);
    free(h.base);
}

nnc_status nnc_grow(void *items, int64_t *capacity, int64_t need, int64_t size)
{
    nnc_status status;
    void *old, *block = NULL;
    int64_t bytes = 0, room = *capacity > 4 ? *capacity : 4;
    if (need <= *capacity)
        return NNC_OK;
    NNC_TRY(nnc_size_mul(room, 2, &room));
    room = room > need ? room : need;
    NNC_TRY(nnc_size_mul(room, size, &bytes));
    NNC_TRY(nnc_alloc(bytes, &block));
    memcpy(&old, items, sizeof old);
    if (old != NULL)
        memcpy(block, old, (size_t)(*capacity * size));
    nnc_free(old);
    memcpy(items, &block, sizeof block);
    *capacity = room;
done:
    return status;
}

nnc_status nnc_size_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return nnc_fail(NNC_ENOMEM, "size too large: %lld times %lld", (long long)a, (long long)b);
    *out = product;
    return NNC_OK;
}

nnc_status nnc_size_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return nnc_fail(NNC_ENOMEM, "size too large: %lld plus %lld", (long long)a, (long long)b);
    *out = sum;
    return NNC_OK;
}

void nnc_alloc_fail_at(int64_t n)
{
    atomic_store(&fail_in, n > 0 ? n : 0);
}

int64_t nnc_alloc_count(void)
{
    return atomic_load(&made);
}

int64_t nnc_alloc_live_blocks(void)
{
    return atomic_load(&live_blocks);
}

int64_t nnc_alloc_live_bytes(void)
{
    return atomic_load(&live_bytes);
}
