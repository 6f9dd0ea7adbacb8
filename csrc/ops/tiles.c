/* tiles.c - products of bfloat16 on packed tiles (kernels.h).
 *
 * Phase 0 packs A, unless it is read as it lies, and, where several pieces would pack the same part
 * of it, B; phase 1 multiplies. Where there is nothing to pack ahead there is only the second.
 * A piece of it is a rectangle of C. It goes over k in blocks of BLOCK tiles; of each it packs
 * its columns of B, unless that is done, and multiplies them by a strip of A at a time. So a
 * weight that is read by one row of pieces goes from memory to the second-level cache once and is
 * rounded on the way, if it is float32. Where one block is all of k, a part of C is finished as
 * soon as it is made, and pieces are wide: what is done with C then walks memory in long runs.
 * Few rows take B as it lies as well: it goes by once, and its memory sets the time.
 *
 * A sum goes over k in its order, in float32, whatever the pieces: a row of C is the same whatever
 * other rows there are, and the same on any number of threads. The cut depends on m, n and k. */
#include "ops/tiles.h"

enum {
    BLOCK = 16,                 /* tiles of k at a time */
    ROWS = 8,                   /* strips of a piece, at most; */
    COLUMNS = 8,                /* of one that goes over several blocks */
    WIDE = 32,                  /* and of one that does not */
    ROOM_B = COLUMNS * BLOCK,   /* pairs of tiles on the stack: a part of a second-level cache */
    SHARED = 256,               /* that a piece goes over again and again, in that cache */
    GROUP = 8, DEEP = 32,       /* packed in a piece of phase 0: strips, tiles of k */
    PIECES = 16,                /* enough for the threads there are */
    SMALL = 300,                /* products of strips: a piece that is not worth cutting */
    FEW = 8, PAGE = 2048,       /* panels of B; numbers of A */
    STREAM_SUMS = 6144,         /* of a stream: a part of the nearest cache */
    STREAM_SMALL = 100000,      /* numbers of B that one thread goes over */
    STREAM_COLUMNS = 64         /* of a piece of one, at least */
};

typedef struct {
    int64_t strips, panels, steps;      /* strips of A and B, tiles of k */
    int64_t row_cuts, column_cuts;      /* pieces */
    int64_t block;
    bool b_whole;                       /* phase 0 packs B */
    bool a_lies;                        /* and not A */
} cut;

static int64_t parts(int64_t n, int64_t part)
{
    return (n + part - 1) / part;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The first item of part i of n items in `count` parts that differ by one at most. */
static int64_t share(int64_t n, int64_t count, int64_t i)
{
    int64_t rest = n % count;
    return i * (n / count) + least(i, rest);
}

/* Whether A is read as it lies: where so few panels read it that packing does not pay. Rows whose
 * distance is a page's would meet in the same few sets of the nearest cache. */
static bool lies(const nnc_tiles *t, int64_t panels)
{
    const nnc_gemm *g = &t->gemm;
    return nnc_kernels->bf16->lying && !t->a_wide && g->a_col == 1 && g->a_row >= g->k &&
        panels <= FEW && g->a_row % PAGE != 0;
}

static cut cut_of(const nnc_tiles *t)
{
    const nnc_gemm *g = &t->gemm;
    cut c = {.strips = parts(g->m, NNC_STRIP), .panels = parts(g->n, NNC_STRIP),
             .steps = parts(g->k, NNC_TILE_STEPS)};
    c.block = least(c.steps, BLOCK);
    c.row_cuts = parts(c.strips, ROWS);
    int64_t columns = c.steps > BLOCK ? COLUMNS : WIDE;
    int64_t room = (c.row_cuts > 1 ? SHARED : ROOM_B) / (c.block > 0 ? c.block : 1);
    c.column_cuts = parts(c.panels, least(columns, room));
    while (c.row_cuts * c.column_cuts < PIECES &&
           c.strips * c.panels * c.steps > SMALL * c.row_cuts * c.column_cuts) {
        if (c.panels >= 4 * c.column_cuts)
            c.column_cuts *= 2;
        else if (c.strips >= 2 * c.row_cuts)
            c.row_cuts *= 2;
        else
            break;
    }
    c.b_whole = c.row_cuts > 1;
    c.a_lies = lies(t, c.panels);
    return c;
}

/* Pieces of phase 0 for an operand of so many strips. */
static int64_t pack_pieces(const cut *c, int64_t strips)
{
    return parts(strips, GROUP) * parts(c->steps, DEEP);
}

static int64_t a_pieces(const cut *c)
{
    return c->a_lies ? 0 : pack_pieces(c, c->strips);
}

static uint16_t *packed_b(const cut *c, void *workspace)
{
    return (uint16_t *)workspace + (c->a_lies ? 0 : c->strips) * c->steps * NNC_STRIP_NUMBERS;
}

/* Whether B goes by as it lies: for few rows packing does not pay. */
static bool streams(const nnc_tiles *t)
{
    const nnc_gemm *g = &t->gemm;
    return nnc_kernels->bf16->stream != NULL && g->m <= NNC_STREAM_ROWS && !t->a_wide &&
        g->a_col == 1 && g->b_col == 1 && g->m > 0 && g->n > 0 && g->k > 0;
}

/* Columns of a piece. */
static int64_t stream_columns(const nnc_gemm *g)
{
    int64_t part = parts(parts(g->n, PIECES), STREAM_COLUMNS) * STREAM_COLUMNS;
    return g->n * g->k < STREAM_SMALL ? parts(g->n, STREAM_COLUMNS) * STREAM_COLUMNS : part;
}

static void plan_stream(const nnc_tiles *t, nnc_work *work)
{
    const nnc_gemm *g = &t->gemm;
    double numbers = (double)g->n * (double)(g->k + 1);
    *work = (nnc_work){.phases = 1, .pieces = {parts(g->n, stream_columns(g))},
                       .cost = 0.1 * numbers * (t->b_wide ? 2 : 1) + 0.01 * numbers * (double)g->m};
}

/* Neighbouring pieces go together, as many columns as there is room for. */
static void run_stream(const nnc_tiles *t, const void *a, const void *b, int64_t begin,
                       int64_t end, nnc_tiles_sink *sink, void *argument)
{
    _Alignas(64) float sums[STREAM_SUMS];
    const nnc_gemm *g = &t->gemm;
    int64_t width = stream_columns(g), last = least(end * width, g->n);
    int64_t most = STREAM_SUMS / g->m / NNC_TILE * NNC_TILE;
    for (int64_t j = begin * width, n; j < last; j += n) {
        n = least(last - j, most);
        nnc_region part = {0, g->m, j, j + n};
        int64_t row = parts(n, NNC_TILE) * NNC_TILE;
        nnc_kernels->bf16->stream(a, g->a_row, (int)g->m, (const char *)b + j * (t->b_wide ? 4 : 2),
                                  t->b_wide, g->b_row, n, g->k, sums, row);
        sink(argument, &part, sums, row);
    }
}

void nnc_tiles_plan(const nnc_tiles *t, nnc_work *work)
{
    if (streams(t)) {
        plan_stream(t, work);
        return;
    }
    const nnc_gemm *g = &t->gemm;
    cut c = cut_of(t);
    *work = (nnc_work){.phases = 1};
    if (g->m == 0 || g->n == 0)
        return;
    int64_t packed = (c.a_lies ? 0 : c.strips) + (c.b_whole ? c.panels : 0);
    if (packed > 0)
        work->pieces[work->phases++ - 1] =
            a_pieces(&c) + (c.b_whole ? pack_pieces(&c, c.panels) : 0);
    work->pieces[work->phases - 1] = c.row_cuts * c.column_cuts;
    work->workspace = packed * c.steps * NNC_STRIP_NUMBERS * 2;
    work->cost = 4 * nnc_kernels->bf16->ns_per_tile * (double)c.strips * (double)c.panels *
            (double)(c.steps + 1) +
        50.0 * (double)(c.strips + c.panels) * (double)c.steps;
}

/* A piece of phase 0 of one operand: x(l, p) of `lines` and k. */
static void pack_piece(const cut *c, const void *x, bool wide, int64_t line, int64_t step,
                       int64_t lines, int64_t k, bool pairs, uint16_t *strips, int64_t piece)
{
    int64_t deep = parts(c->steps, DEEP);
    int64_t l = piece / deep * GROUP, p = piece % deep * DEEP;
    int64_t at = l * NNC_STRIP * line + p * NNC_TILE_STEPS * step;
    nnc_kernels->bf16->pack((const char *)x + at * (wide ? 4 : 2), wide, line, step,
                            least(lines - l * NNC_STRIP, GROUP * NNC_STRIP),
                            least(k - p * NNC_TILE_STEPS, DEEP * NNC_TILE_STEPS), pairs, c->steps,
                            strips + (l * c->steps + p) * NNC_STRIP_NUMBERS);
}

static void run_packing(const nnc_tiles *t, const cut *c, const void *a, const void *b,
                        void *workspace, int64_t begin, int64_t end)
{
    const nnc_gemm *g = &t->gemm;
    int64_t of_a = a_pieces(c);
    for (int64_t i = begin; i < end; i++) {
        if (i < of_a)
            pack_piece(c, a, t->a_wide, g->a_row, g->a_col, g->m, g->k, false, workspace, i);
        else
            pack_piece(c, b, t->b_wide, g->b_col, g->b_row, g->n, g->k, true,
                       packed_b(c, workspace), i - of_a);
    }
}

/* A piece of phase 1: strips s0..s1-1 and panels p0..p1-1 of C, and its scratch. */
typedef struct {
    const nnc_tiles *t;
    const cut *c;
    int64_t s0, s1, p0, p1;
    float *sums;
    int64_t row;                /* of sums: a little more than the columns, so that rows do not meet
                                 * in the same few sets of the cache */
    nnc_tiles_sink *sink;
    void *argument;
} piece;

/* Lines of strip i, of n lines. */
static int lines_in(int64_t n, int64_t i)
{
    return (int)least(n - i * NNC_STRIP, NNC_STRIP);
}

/* Strip s over tiles first..first+steps-1 of k. a: the strip's first number, packed or as it lies;
 * b: of those steps, panels b_apart steps apart. */
static void run_strip(const piece *p, int64_t s, int64_t first, int64_t steps, const uint16_t *a,
                      const uint16_t *b, int64_t b_apart)
{
    const nnc_gemm *g = &p->t->gemm;
    int64_t all = p->c->steps, above = all > p->c->block ? s - p->s0 : 0;
    int64_t a_row = p->c->a_lies ? g->a_row : 0, at = first * NNC_TILE_STEPS;
    int64_t k = least(g->k - at, steps * NNC_TILE_STEPS);
    float *sums = p->sums + above * NNC_STRIP * p->row;
    a += a_row > 0 ? s * NNC_STRIP * a_row + at : (s * all + first) * NNC_STRIP_NUMBERS;
    for (int64_t j = p->p0; j < p->p1; j++) {
        nnc_kernels->bf16->multiply(a, a_row, lines_in(g->m, s),
                                    b + (j - p->p0) * b_apart * NNC_STRIP_NUMBERS,
                                    lines_in(g->n, j), k, first > 0,
                                    sums + (j - p->p0) * NNC_STRIP, p->row);
        nnc_ahead_ask(&nnc_ahead_now, 1 + steps);
    }
    if (first + steps < all)
        return;
    nnc_region part = {s * NNC_STRIP, least((s + 1) * NNC_STRIP, g->m), p->p0 * NNC_STRIP,
                       least(p->p1 * NNC_STRIP, g->n)};
    p->sink(p->argument, &part, sums, p->row);
}

static void run_piece(piece *p, const void *a, const void *b, void *workspace)
{
    _Alignas(64) uint16_t panels[ROOM_B * NNC_STRIP_NUMBERS];
    _Alignas(64) float sums[ROWS * NNC_STRIP * (COLUMNS * NNC_STRIP + NNC_TILE)];
    const nnc_gemm *g = &p->t->gemm;
    const cut *c = p->c;
    int64_t first = 0, column = p->p0 * NNC_STRIP;
    p->sums = sums;
    p->row = (p->p1 - p->p0) * NNC_STRIP + NNC_TILE;
    do {
        int64_t steps = least(c->steps - first, c->block), k = first * NNC_TILE_STEPS;
        const uint16_t *packed = panels;
        if (c->b_whole)
            packed = packed_b(c, workspace) + (p->p0 * c->steps + first) * NNC_STRIP_NUMBERS;
        else
            nnc_kernels->bf16->pack((const char *)b + (k * g->b_row + column * g->b_col) *
                                        (p->t->b_wide ? 4 : 2),
                                    p->t->b_wide, g->b_col, g->b_row,
                                    least(g->n, p->p1 * NNC_STRIP) - column,
                                    least(g->k - k, steps * NNC_TILE_STEPS), true, c->block,
                                    panels);
        for (int64_t s = p->s0; s < p->s1; s++)
            run_strip(p, s, first, steps, c->a_lies ? a : workspace, packed,
                      c->b_whole ? c->steps : c->block);
        first += steps;
    } while (first < c->steps);
}

void nnc_tiles_run(const nnc_tiles *t, const void *a, const void *b, void *workspace, int phase,
                   int64_t begin, int64_t end, nnc_tiles_sink *sink, void *argument)
{
    if (begin >= end)
        return;
    if (streams(t)) {
        run_stream(t, a, b, begin, end, sink, argument);
        return;
    }
    cut c = cut_of(t);
    if (phase == 0 && (!c.a_lies || c.b_whole)) {
        run_packing(t, &c, a, b, workspace, begin, end);
        return;
    }
    nnc_kernels->bf16->begin();
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / c.column_cuts, column = i % c.column_cuts;
        piece p = {.t = t, .c = &c, .sink = sink, .argument = argument,
                   .s0 = share(c.strips, c.row_cuts, row),
                   .s1 = share(c.strips, c.row_cuts, row + 1),
                   .p0 = share(c.panels, c.column_cuts, column),
                   .p1 = share(c.panels, c.column_cuts, column + 1)};
        run_piece(&p, a, b, workspace);
    }
    nnc_kernels->bf16->end();
}
