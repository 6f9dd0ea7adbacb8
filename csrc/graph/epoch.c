/* epoch.c - replays a program over batches of rows.
 *
 * All threads of a run go through all steps of all batches together. What has to be decided (where
 * the next batch comes from, whether to go on, whether effects may begin), the last one to come to a
 * barrier decides while the others wait there.
 *   turn over: the last step's outputs are written, the next batch is bound or copied; every thread:
 *   steps, with barriers where barriers.c put them; before the first effect: the step is committed to
 *   or given up; effects.
 * A source that needs neither shuffling nor conversion is not copied: the steps read the user's
 * rows; nor is a shuffled one whose readers take a list of rows. Since bits do not depend on the
 * number of threads, it is chosen by timing: a few steps on one thread, a few on all, again after a
 * while. */
#include "core/ahead.h"
#include "core/lock.h"
#include "graph/call.h"
#include "graph/program.h"
#include "ops/loss.h"
#include "passes/passes.h"

#include <string.h>
#include <time.h>

enum {
    TIMED_STEPS = 6,            /* in a turn of timing, at most */
    TURNS = 4,
    FEW_TURNS = 16,             /* where replays are too short for TURNS */
    SHARED_BYTES = 1 << 16,     /* a batch larger than this is gathered by all threads */
    LONG_AHEAD = 64,            /* cache lines that are not asked for all at once */
    LONG_PART_BYTES = 1 << 10,  /* of a row: worth a thread's reading a part of every row */
    UNPOLLED_BYTES = 1 << 20,   /* and this much between two looks at the poll */
    FEW_TARGETS = 8             /* are not worth an allocation */
};
#define SHORT_PROGRAM 8000.0    /* ns: never worth a second thread */
#define WARM_UP 2e-3            /* seconds */
#define TIMING_SOON 0.1         /* seconds to the next timing after a new choice; twice as many while */
#define TIMING_EVERY 2.0        /* it stands, up to so many: one look may meet a bad moment */
#define GIVEN_WAY 0.03          /* seconds that one thread goes on instead, at first */
#define TURN_NS 4e5             /* a turn of timing */
#define LONG_STEP 2e6           /* ns: one timed step says enough */
#define SLICE_NS 2e7            /* between two looks at whether steps still take what they took */
#define JUDGED_NS 4e6           /* of steps that a judgement rests on: one of 50 us may meet a bad moment */
#define SLOWER 1.3              /* times the quickest: timed anew, but only every */
#define RETIME_EVERY 0.25       /* seconds */
#define TRY_MOST 2e-3           /* seconds: a try on all threads is not longer, but for its last step */
#define CLEAR 3                 /* times as quick: needs no more tries */
#define SLICE_MOST 4e-2         /* seconds: a slice ends then, however many steps it was to have */
#define UNTIMED_COST 1e5        /* ns: before it is timed, one thread below this */
#define FEW_COST 2e4            /* ns: replays of few steps shorter than this run on one thread */

static pthread_mutex_t replay_lock = PTHREAD_MUTEX_INITIALIZER;

typedef struct {
    nnc_program *program;
    const nnc_rows *sources;
    const int64_t *order;
    int64_t first, steps, batch;
    char **targets;             /* (outputs) where the next batch goes, or NULL */
    double deadline;            /* seconds; 0: none */
    int64_t done, limit;        /* this run ends at `limit` steps done */
    nnc_running running;
    int threads;                /* that are at work */
    bool in_step, commit;       /* decisions: there is a step to do; its effects may begin */
    bool gathering;             /* there are rows left for all threads to gather */
    const nnc_array *guard;     /* must be finite before the first effect, or NULL */
    bool guarded;               /* it was not */
    nnc_seen *seen;             /* (steps) where each step is watched, or NULL */
    bool check, effects;        /* while watching: see nnc_program_watch */
    double began;
    double slice_end;           /* seconds; 0: none */
} replay;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- a batch ---- */

static int64_t row_elements(const nnc_array *input, const nnc_rows *source)
{
    int64_t size = nnc_shape_size(&input->shape);
    return source->row_bytes == 0 || input->shape.rank == 0 || input->shape.dim[0] == 0
        ? size : size / input->shape.dim[0];
}

/* Part of the rows of the batch: rows begin..end-1, and of these the elements low..high-1. */
typedef struct {
    int64_t begin, end, low, high;
} rows_part;

static int64_t row_of(const replay *run, int64_t j)
{
    return run->order == NULL ? run->first + run->done * run->batch + j
                              : run->order[run->first + run->done * run->batch + j];
}

/* A part of the batch of input i, into its place in the arena. */
static void gather(replay *run, int64_t i, const rows_part *part)
{
    nnc_program *program = run->program;
    const nnc_rows *source = &run->sources[i];
    const nnc_array *input = nnc_program_input(program, i);
    int64_t size = nnc_dtype_size(input->dtype), count = part->high - part->low;
    int64_t bytes = row_elements(input, source) * size;
    char *target = (char *)program->bound[i] + part->low * size;
    const char *data = (const char *)source->data + part->low * nnc_dtype_size(source->dtype);
    for (int64_t j = part->begin; j < part->end; j++) {
        const char *from = data + row_of(run, j) * source->row_bytes;
        if (source->dtype == input->dtype)
            memcpy(target + j * bytes, from, (size_t)(count * size));
        else
            nnc_convert(from, source->dtype, target + j * bytes, input->dtype, count);
    }
}

/* The same part of the next batch is asked for while this one is worked on, for shuffled rows are
 * in no cache: a long part by and by, by the products; a short one, or a second long one, at once. */
static void look_ahead(replay *run, int64_t i, const rows_part *part)
{
    const nnc_rows *source = &run->sources[i];
    int64_t size = nnc_dtype_size(source->dtype);
    if (run->order == NULL || run->done + 1 >= run->limit || part->begin >= part->end)
        return;
    uint64_t bits = ((uintptr_t)source->data + (uint64_t)(part->low * size)) |
        (uint64_t)source->row_bytes | 64, align = bits & -bits;
    nnc_ahead ahead = {
        .data = (const char *)source->data + part->low * size,
        .order = run->order + run->first + (run->done + 1) * run->batch + part->begin,
        .row_bytes = source->row_bytes, .rows = part->end - part->begin,
        /* A row begins at a multiple of `align` within a line. */
        .lines = (64 - (int64_t)align + (part->high - part->low) * size + 63) / 64};
    if (ahead.lines * ahead.rows < LONG_AHEAD || !nnc_ahead_done(&nnc_ahead_now))
        nnc_ahead_ask(&ahead, INT64_MAX);
    else
        nnc_ahead_now = ahead;
}

/* The rows lie side by side where the input is bound. */
static void list_bound(nnc_program *program, int64_t i)
{
    nnc_list *list = &program->lists[i];
    const nnc_array *input = nnc_program_input(program, i);
    if (list->rows == NULL || list->count == 0 || list->rows[0] == program->bound[i])
        return;
    int64_t bytes = nnc_shape_size(&input->shape) / list->count * nnc_dtype_size(input->dtype);
    for (int64_t j = 0; j < list->count; j++)
        list->rows[j] = (const char *)program->bound[i] + j * bytes;
}

static void list_source(replay *run, int64_t i)
{
    const nnc_rows *source = &run->sources[i];
    nnc_list *list = &run->program->lists[i];
    for (int64_t j = 0; j < run->batch; j++)
        list->rows[j] = (const char *)source->data + row_of(run, j) * source->row_bytes;
}

/* Binds or lists what is not copied, copies what is small; the rest is marked for take_share. */
static void prepare_batch(replay *run)
{
    nnc_program *program = run->program;
    int64_t first = run->first + run->done * run->batch;
    run->gathering = false;
    nnc_program_arm(program, &run->running);
    for (int64_t i = 0; i < program->graph->input_count; i++) {
        const nnc_rows *source = &run->sources[i];
        const nnc_array *input = nnc_program_input(program, i);
        int64_t row = row_elements(input, source), bytes = row * nnc_dtype_size(input->dtype);
        bool whole = source->row_bytes == 0, same = source->dtype == input->dtype;
        if (same && (whole || (run->order == NULL && source->row_bytes == bytes))) {
            program->feed[i] = NNC_FEED_BOUND;
            nnc_program_bind(program, i,
                             (char *)source->data + (whole ? 0 : first * source->row_bytes));
            list_bound(program, i);
            continue;
        }
        if (same && program->lists[i].rows != NULL) {
            program->feed[i] = NNC_FEED_LISTED;
            list_source(run, i);
            continue;
        }
        nnc_program_bind(program, i, program->arena + program->offset[program->graph->inputs[i]]);
        list_bound(program, i);
        program->feed[i] = !whole && (run->threads > 1 || run->batch * bytes > UNPOLLED_BYTES) &&
            run->batch * bytes > SHARED_BYTES ? NNC_FEED_GATHERED : NNC_FEED_COPIED;
        run->gathering |= program->feed[i] == NNC_FEED_GATHERED;
        if (whole)
            nnc_convert(source->data, source->dtype, program->bound[i], input->dtype, row);
        else if (program->feed[i] == NNC_FEED_COPIED) {
            rows_part all = {0, run->batch, 0, row};
            gather(run, i, &all);
            look_ahead(run, i, &all);
        }
    }
}

/* This thread's part of the inputs that are left: gathered, a few rows at a time, or
 * asked for. Copied rows are whole, for memory is read in its order quickest; of long ones that are
 * read where they lie a part of each, since a thread that reads the same columns as its part of a
 * weight finds them in its own cache. */
static void take_share(replay *run, int thread, int threads)
{
    nnc_program *program = run->program;
    for (int64_t i = 0; i < program->graph->input_count; i++) {
        const nnc_array *input = nnc_program_input(program, i);
        if (program->feed[i] != NNC_FEED_GATHERED && program->feed[i] != NNC_FEED_LISTED)
            continue;
        rows_part part = {0, run->batch, 0, row_elements(input, &run->sources[i])}, some;
        int64_t bytes = part.high * nnc_dtype_size(input->dtype);
        if (program->feed[i] == NNC_FEED_LISTED && bytes % 64 == 0 &&
            bytes > threads * LONG_PART_BYTES) {
            int64_t line = 64 / nnc_dtype_size(input->dtype);
            nnc_call_share(part.high / line, thread, threads, &part.low, &part.high);
            part.low *= line;
            part.high *= line;
        } else {
            nnc_call_share(run->batch, thread, threads, &part.begin, &part.end);
        }
        some = part;
        while (program->feed[i] == NNC_FEED_GATHERED && some.begin < part.end &&
               !nnc_running_stopped(&run->running, thread)) {
            some.end = some.begin + UNPOLLED_BYTES / (bytes + 1) + 1;
            some.end = some.end < part.end ? some.end : part.end;
            gather(run, i, &some);
            some.begin = some.end;
        }
        look_ahead(run, i, &part);
    }
}

static void write_outputs(replay *run)
{
    nnc_program *program = run->program;
    for (int k = 0; k < program->output_count; k++) {
        if (run->targets == NULL || run->targets[k] == NULL)
            continue;
        const nnc_array *output = nnc_program_output(program, k);
        int64_t n = nnc_shape_size(&output->shape), bytes = n * nnc_dtype_size(output->dtype);
        nnc_dtype dtype = program->graph->values[program->outputs[k]].array.dtype;
        int root = nnc_rewrite_root(program->graph, program->outputs[k]);
        const void *from = nnc_program_data(program, root);
        for (int64_t i = 0; i < program->graph->input_count; i++) {
            if (program->graph->inputs[i] == root)
                from = program->bound[i];
        }
        if (dtype == output->dtype)
            memcpy(run->targets[k], from, (size_t)bytes);
        else
            nnc_convert(from, dtype, run->targets[k], output->dtype, n);
        run->targets[k] += bytes;
    }
}

/* ---- the steps, on every thread ---- */

/* All threads meet; one does the action while the others wait. */
static void meet(replay *run, int thread, int threads, void (*action)(void *run))
{
    if (threads > 1)
        nnc_pool_barrier_then(thread, action, run);
    else
        action(run);
}

/* Whether effects may begin. */
static void decide(void *argument)
{
    replay *run = argument;
    const nnc_program *program = run->program;
    if (run->threads > 1 && run->seen == NULL && program->unfinished >= 0)
        nnc_softmax_loss_finish(&program->steps[program->unfinished].call);
    run->commit = !atomic_load(&run->running.stop) && !atomic_load(&run->running.fault.set);
    if (run->commit && run->guard != NULL && nnc_array_first_nonfinite(run->guard) >= 0) {
        run->guarded = true;
        run->commit = false;
    }
}

/* Returns whether effects may begin; the same on every thread. */
static bool commit(replay *run, int thread, int threads)
{
    nnc_running_stopped(&run->running, thread);     /* asks */
    meet(run, thread, threads, decide);
    return run->commit;
}

static void run_steps(replay *run, int thread, int threads)
{
    nnc_program *program = run->program;
    for (int64_t i = 0; i < program->step_count;) {
        nnc_step *step = &program->steps[i];
        bool before = i < program->first_effect;
        if (i == program->first_effect) {
            if (!commit(run, thread, threads))
                return;
        } else if (step->barrier && threads > 1) {
            nnc_pool_barrier(thread);
        }
        i += nnc_steps_run(&run->running, step, thread, threads, before);
    }
    if (program->first_effect == program->step_count)
        commit(run, thread, threads);
}

/* Whether something that the call computed or wrote is NaN or Inf. */
static bool made_nonfinite(const nnc_call *call)
{
    for (int k = 0; k < call->output_count; k++) {
        if (nnc_array_first_nonfinite(&call->out[k]) >= 0)
            return true;
    }
    for (int k = 0; k < nnc_effects(call->op, call->attrs); k++) {
        if (nnc_array_first_nonfinite(&call->in[k]) >= 0)
            return true;
    }
    return false;
}

/* The steps one by one, with a barrier before and after each. */
static void watch_steps(replay *run, int thread, int threads)
{
    nnc_program *program = run->program;
    for (int64_t i = 0; i < program->step_count; i++) {
        nnc_step *step = &program->steps[i];
        if (i == program->first_effect && (!run->effects || !commit(run, thread, threads)))
            return;
        if (threads > 1)
            nnc_pool_barrier(thread);
        if (thread == 0)
            run->seen[i].begin = now() - run->began;
        nnc_step_run(&run->running, step, thread, threads, i < program->first_effect);
        if (threads > 1)
            nnc_pool_barrier(thread);
        if (thread != 0)
            continue;
        run->seen[i].end = now() - run->began;
        run->seen[i].nonfinite = run->check && made_nonfinite(&step->call);
    }
    if (program->first_effect == program->step_count)
        commit(run, thread, threads);
}

/* Between two steps: ends the last one, and prepares the next if there is one. A slice has one step at
 * least, however late its threads have come together. */
static void turn_over(void *argument)
{
    replay *run = argument;
    bool first = !run->in_step;
    if (!first && run->seen != NULL)
        run->limit = 0;
    if (!first && run->commit) {
        write_outputs(run);
        run->done++;
    }
    run->in_step = run->done < run->limit && !atomic_load(&run->running.stop) &&
        !atomic_load(&run->running.fault.set) && !run->guarded &&
        !(run->deadline > 0 && run->done > 0 && now() >= run->deadline) &&
        !(run->slice_end > 0 && !first && now() >= run->slice_end);
    if (run->in_step)
        prepare_batch(run);
}

static void replay_task(void *argument, int thread, int threads)
{
    replay *run = argument;
    for (;;) {
        nnc_ahead_now = (nnc_ahead){.rows = 0};
        if (thread == 0)
            run->threads = threads;
        meet(run, thread, threads, turn_over);
        if (!run->in_step)
            return;
        take_share(run, thread, threads);
        if (run->gathering && threads > 1)
            nnc_pool_barrier(thread);
        if (run->seen == NULL)
            run_steps(run, thread, threads);
        else
            watch_steps(run, thread, threads);
        nnc_ahead_ask(&nnc_ahead_now, INT64_MAX);
    }
}

/* ---- variables ---- */

/* What the steps read in place of variables, before the first one. */
static void load_twins(nnc_program *program, nnc_program *replayed)
{
    nnc_twins_load(&program->twins);
    if (replayed != program)
        nnc_twins_load(&replayed->twins);
}

/* After the last one. */
static void store_twins(nnc_program *program, nnc_program *replayed)
{
    uint64_t before = nnc_tensor_writes();
    nnc_twins_store(&replayed->twins);
    if (replayed->first_effect < replayed->step_count) {
        nnc_tensor_written();
        nnc_twins_stand(&program->twins, before);
        nnc_twins_stand(&replayed->twins, before);
    }
    program->writes = nnc_tensor_writes();
}

/* ---- how many threads ---- */

/* Runs up to `steps` more on `threads` threads. */
static void run_on(replay *run, int64_t steps, int threads)
{
    run->limit = run->done + steps < run->steps ? run->done + steps : run->steps;
    if (threads > 1)
        nnc_pool_run(replay_task, run, threads);
    else
        replay_task(run, 0, 1);
}

/* The same; returns nanoseconds a step, 0 if none was timed. */
static double run_some(replay *run, int64_t steps, int threads)
{
    int64_t before = run->done;
    double start = now();
    run_on(run, steps, threads);
    return run->done == before ? 0 : 1e9 * (now() - start) / (double)(run->done - before);
}

static bool over(const replay *run)
{
    return run->done >= run->steps || atomic_load(&run->running.stop) ||
        atomic_load(&run->running.fault.set) ||
        run->guarded || (run->deadline > 0 && run->done > 0 && now() >= run->deadline);
}

static void end_timing(nnc_program *program, int threads)
{
    const double *best = program->timing_best;
    bool stands = program->threads_timed == threads &&
        (best[0] < best[1]) == (program->time_all < program->time_one);
    program->timing_interval = !stands ? TIMING_SOON
        : 2 * program->timing_interval < TIMING_EVERY ? 2 * program->timing_interval : TIMING_EVERY;
    program->time_all = best[0];
    program->time_one = best[1];
    program->threads_timed = threads;
    program->timed_at = now();
    program->timing_turn = 0;
    program->steps_until_timing =
        1 + (int64_t)(program->timing_interval * 1e9 / (best[0] < best[1] ? best[0] : best[1]));
}

/* Whether this replay ends before a timing could. */
static bool has_few_steps(const replay *run)
{
    return run->steps - run->done < TURNS && run->program->cost < LONG_STEP;
}

/* One try: cut short where all threads hold one another up, as when another program has a processor. */
static double time_some(replay *run, int64_t steps, int threads)
{
    run->slice_end = threads > 1 ? now() + TRY_MOST : 0;
    double t = run_some(run, steps, threads);
    run->slice_end = 0;
    return t;
}

/* Times one thread against all, in turns; the smallest of the tries counts, and the first of each
 * where one thread is much quicker. Before that all run untimed for a while: threads that have just
 * been woken may not have found their processors yet. A replay that ends before that is gone on
 * with by the next. Replays of few steps take more turns in the place of the warm-up, two of a kind
 * behind one another: the second finds the threads awake. */
static void time_threads(replay *run, int threads)
{
    nnc_program *program = run->program;
    double *best = program->timing_best, start = now();
    bool few = has_few_steps(run);
    int64_t steps = program->cost > TURN_NS ? 1 : (int64_t)(TURN_NS / program->cost);
    steps = few ? 1 : steps < TIMED_STEPS ? steps : TIMED_STEPS;
    if (program->timing_turn == 0 || program->threads_timing != threads) {
        program->threads_timing = threads;
        program->timing_turn = 0;
        best[0] = best[1] = 0;
        while (!few && now() < start + WARM_UP && !over(run))
            time_some(run, steps, threads);
    }
    for (; program->timing_turn < (few ? FEW_TURNS : TURNS) && !over(run); program->timing_turn++) {
        int one = program->timing_turn / (few ? 2 : 1) % 2;
        double t = time_some(run, steps, one ? 1 : threads);
        if (t > 0 && (best[one] == 0 || t < best[one]))
            best[one] = t;
        if (!few && one && best[0] > CLEAR * best[1])
            program->timing_turn = TURNS;
    }
    if (program->timing_turn >= (few ? FEW_TURNS : TURNS)) {
        if (best[0] > 0 && best[1] > 0)
            end_timing(program, threads);
        program->timing_turn = 0;
    }
}

/* All threads took t ns a step over a slice, clearly more than one thread needs: a processor is taken
 * most of the time, which the best of a few tries does not show. One thread goes on, for longer each
 * time that this comes again. (Where they take little more, the machine may have had a bad moment,
 * and going on costs little.) */
static void give_way(nnc_program *program, double t)
{
    double interval = GIVEN_WAY * (1 << program->overtaken);
    program->overtaken += interval < TIMING_EVERY;
    program->time_all = t;
    program->steps_until_timing = 1 + (int64_t)(interval * 1e9 / program->time_one);
}

/* Nanoseconds a step of those that all threads have run of late; 0 while there are too few to tell. */
static double taken_of_late(nnc_program *program, double t, int64_t steps)
{
    program->judged_ns += t * (double)steps;
    program->judged_steps += steps;
    if (program->judged_ns < JUDGED_NS)
        return 0;
    t = program->judged_ns / (double)program->judged_steps;
    program->judged_ns = 0;
    program->judged_steps = 0;
    return t;
}

/* Goes on with the quicker number of threads for a while. Where the machine has changed (the other
 * processor is taken, or farther away) one thread goes on, or the next steps are timed again. */
static void run_slice(replay *run, int threads)
{
    nnc_program *program = run->program;
    int64_t before = run->done, steps = program->steps_until_timing;
    bool all = program->time_all < program->time_one;
    double quickest = all ? program->time_all : program->time_one;
    if (all && (double)steps * quickest > SLICE_NS)
        steps = 1 + (int64_t)(SLICE_NS / quickest);
    if (all && quickest < SLICE_NS)
        run->slice_end = now() + (program->overtaken > 0 ? SLICE_MOST / 8 : SLICE_MOST);
    double t = run_some(run, steps, all ? threads : 1);
    run->slice_end = 0;
    program->steps_until_timing -= run->done - before;
    t = all && t > 0 ? taken_of_late(program, t, run->done - before) : 0;
    if (t == 0)
        return;
    if (t <= SLOWER * quickest)
        program->overtaken = 0;
    else if (t > SLOWER * program->time_one)
        give_way(program, t);
    else if (now() > program->timed_at + RETIME_EVERY)
        program->steps_until_timing = 0;
}

/* For too few steps to time. */
static int untimed_threads(const nnc_program *program, int threads)
{
    if (program->threads_timed == threads)
        return program->time_all < program->time_one ? threads : 1;
    return program->cost < UNTIMED_COST ? 1 : threads;
}

static void run_all(replay *run)
{
    nnc_program *program = run->program;
    int threads = nnc_pool_threads();
    if (threads == 1 || !program->any_parallel || program->cost < SHORT_PROGRAM) {
        run_on(run, run->steps, 1);
        return;
    }
    while (!over(run)) {
        if (program->threads_timed != threads || program->steps_until_timing <= 0) {
            if (has_few_steps(run) && program->cost < FEW_COST)
                run_on(run, run->steps, untimed_threads(program, threads));
            else
                time_threads(run, threads);
            continue;
        }
        run_slice(run, threads);
    }
}

/* The leading size of the inputs that are fed by rows. */
static int64_t batch_of(const nnc_program *program, const nnc_rows *sources)
{
    int64_t batch = 0;
    for (int64_t i = 0; i < program->graph->input_count; i++) {
        const nnc_array *input = nnc_program_input(program, i);
        if (sources[i].row_bytes != 0 && input->shape.rank > 0)
            batch = input->shape.dim[0];
    }
    return batch;
}

/* What output k lies in once all steps before the first effect have run; NULL where it is not known
 * by then. */
static const nnc_array *guard_of(const nnc_program *program, int k)
{
    if (k < 0 || nnc_program_output_maker(program, k) < 0 ||
        nnc_program_output_maker(program, k) >= program->first_effect)
        return NULL;
    const nnc_step *step = &program->steps[nnc_program_output_maker(program, k)];
    const void *data = nnc_program_data(program, program->outputs[k]);
    for (int i = 0; i < step->call.output_count; i++) {
        if (step->call.out[i].data == data)
            return &step->call.out[i];
    }
    return NULL;
}

nnc_status nnc_program_replay(nnc_program *program, const nnc_rows *sources, const int64_t *order,
                              int64_t first, int64_t steps, void *const *targets, double seconds,
                              int64_t *done)
{
    bool stopped_early;
    return nnc_program_replay_guarded(program, sources, order, first, steps, targets, seconds, done,
                                      -1, &stopped_early);
}

nnc_status nnc_program_replay_guarded(nnc_program *program, const nnc_rows *sources,
                                      const int64_t *order, int64_t first, int64_t steps,
                                      void *const *targets, double seconds, int64_t *done,
                                      int guard, bool *stopped_early)
{
    nnc_status status = NNC_OK;
    char *few[FEW_TARGETS], **next = NULL;
    replay run = {.program = program, .sources = sources, .order = order, .first = first,
                  .steps = steps, .deadline = seconds > 0 ? now() + seconds : 0,
                  .batch = batch_of(program, sources)};
    *done = 0;
    *stopped_early = false;
    if (targets != NULL) {
        if (program->output_count > FEW_TARGETS)
            NNC_TRY(nnc_alloc(program->output_count * (int64_t)sizeof *next, &next));
        run.targets = next == NULL ? few : next;
        memcpy(run.targets, targets, (size_t)program->output_count * sizeof *next);
    }
    nnc_lock_at_fork(&replay_lock, false);
    pthread_mutex_lock(&replay_lock);
    status = nnc_program_for(program, steps, &run.program);
    if (status == NNC_OK) {
        nnc_program_settle(run.program);
        run.guard = guard_of(run.program, guard);
        load_twins(program, run.program);
        run_all(&run);
        store_twins(program, run.program);
    }
    pthread_mutex_unlock(&replay_lock);
    NNC_TRY(status);
    *done = run.done;
    *stopped_early = run.guarded;
    if (atomic_load(&run.running.stop))
        status = nnc_fail(NNC_EINTERRUPT, "interrupted");
    else
        status = nnc_fault_raise(&run.running.fault);
done:
    nnc_free(next);
    return status;
}

nnc_status nnc_program_watch(nnc_program *program, const nnc_rows *sources, const int64_t *order,
                             int64_t first, int threads, bool check, bool effects, nnc_seen *seen)
{
    replay run = {.program = program, .sources = sources, .order = order, .first = first,
                  .steps = 1, .limit = 1, .batch = batch_of(program, sources), .seen = seen,
                  .check = check, .effects = effects};
    for (int64_t i = 0; i < program->step_count; i++)
        seen[i] = (nnc_seen){.nonfinite = false};
    nnc_lock_at_fork(&replay_lock, false);
    pthread_mutex_lock(&replay_lock);
    nnc_program_settle(program);
    load_twins(program, program);
    threads = threads > 0 ? threads : nnc_pool_threads();
    run.began = now();
    if (threads > 1)
        nnc_pool_run(replay_task, &run, threads);
    else
        replay_task(&run, 0, 1);
    store_twins(program, program);
    pthread_mutex_unlock(&replay_lock);
    if (atomic_load(&run.running.stop))
        return nnc_fail(NNC_EINTERRUPT, "interrupted");
    return nnc_fault_raise(&run.running.fault);
}
