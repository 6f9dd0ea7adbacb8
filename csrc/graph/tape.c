/* tape.c - tapes: which record in a thread, which are alive, which are used by one thread alone.
 *
 * The tapes of a thread form a list; nnc_eager appends to each one that watches an input. All tapes
 * alive form another list, so that an overwritten tensor can be given to them as it was.
 *
 * The embedder's lock (the GIL) guards all of it. From nnc_tape_begin to nnc_tape_end a thread goes
 * without: whoever else would change the tape, or a tensor that it holds, waits until then. It
 * still takes `alive_lock` where it changes its table of tensors, which others look into. */
#include "graph/tape.h"

#include "core/lock.h"
#include "graph/lookup.h"

#include <pthread.h>

static pthread_mutex_t alive_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;     /* a use has */
static pthread_once_t fork_handler = PTHREAD_ONCE_INIT;
static nnc_graph *alive;
static atomic_int uses;                     /* how many tapes are used so */
static nnc_tape_around around;
static _Thread_local nnc_graph *active;     /* each entry holds a reference */
static _Thread_local char self;             /* its address tells the thread */

/* ---- those alive ---- */

/* Other threads, and what they were about, are not there; `alive_lock` was held at the fork. */
static void after_fork_child(void)
{
    pthread_cond_init(&ended, NULL);
    atomic_store(&uses, 0);
    for (nnc_graph *tape = alive; tape != NULL; tape = tape->next_alive) {
        tape->user = tape->user == &self ? tape->user : NULL;
        atomic_fetch_add(&uses, tape->user != NULL);
    }
}

static void at_fork(void)
{
    nnc_lock_at_fork(&alive_lock, true);
    pthread_atfork(NULL, NULL, after_fork_child);
}

void nnc_tape_created(nnc_graph *tape)
{
    pthread_once(&fork_handler, at_fork);
    pthread_mutex_lock(&alive_lock);
    tape->next_alive = alive;
    if (alive != NULL)
        alive->previous_alive = tape;
    alive = tape;
    pthread_mutex_unlock(&alive_lock);
}

void nnc_tape_ended(nnc_graph *tape)
{
    pthread_mutex_lock(&alive_lock);
    if (tape->previous_alive != NULL)
        tape->previous_alive->next_alive = tape->next_alive;
    else
        alive = tape->next_alive;
    if (tape->next_alive != NULL)
        tape->next_alive->previous_alive = tape->previous_alive;
    pthread_mutex_unlock(&alive_lock);
}

/* ---- use by one thread alone ---- */

void nnc_tape_around_waits(nnc_tape_around how)
{
    around = how;
}

/* Whether another thread uses `tape`, or, if tape is NULL, a tape that holds `tensor`. */
static bool in_use(const nnc_graph *tape, const nnc_tensor *tensor)
{
    if (tape != NULL)
        return tape->user != NULL && tape->user != &self;
    for (tape = alive; tape != NULL; tape = tape->next_alive) {
        if (tape->user == NULL || tape->user == &self)
            continue;
        int value = nnc_lookup_find(tape->by_tensor, tensor);
        if (value >= 0 && !tape->values[value].stale)
            return true;
    }
    return false;
}

/* Until that is over. Afterwards it stays so while the embedder's lock is held. */
static void wait_until_free(const nnc_graph *tape, const nnc_tensor *tensor)
{
    while (atomic_load_explicit(&uses, memory_order_acquire) > 0) {
        pthread_mutex_lock(&alive_lock);
        bool busy = in_use(tape, tensor);
        pthread_mutex_unlock(&alive_lock);
        if (!busy)
            return;
        void *state = around.release == NULL ? NULL : around.release();
        pthread_mutex_lock(&alive_lock);
        while (in_use(tape, tensor))
            pthread_cond_wait(&ended, &alive_lock);
        pthread_mutex_unlock(&alive_lock);
        if (around.take != NULL)
            around.take(state);
    }
}

void nnc_tape_wait(const nnc_graph *tape)
{
    wait_until_free(tape, NULL);
}

void nnc_tape_begin(nnc_graph *tape)
{
    wait_until_free(tape, NULL);
    pthread_mutex_lock(&alive_lock);
    tape->user = &self;
    atomic_fetch_add_explicit(&uses, 1, memory_order_release);
    pthread_mutex_unlock(&alive_lock);
}

void nnc_tape_end(nnc_graph *tape)
{
    pthread_mutex_lock(&alive_lock);
    tape->user = NULL;
    atomic_fetch_sub_explicit(&uses, 1, memory_order_release);
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&alive_lock);
}

bool nnc_tape_lock(const nnc_graph *graph)
{
    bool used = graph->user != NULL;
    if (used)
        pthread_mutex_lock(&alive_lock);
    return used;
}

void nnc_tape_unlock(bool locked)
{
    if (locked)
        pthread_mutex_unlock(&alive_lock);
}

/* ---- recording ---- */

nnc_status nnc_tape_watch(nnc_graph *tape, nnc_tensor *tensor)
{
    nnc_status status;
    int value;
    nnc_tape_wait(tape);
    NNC_TRY(nnc_graph_tensor(tape, tensor, NNC_CONSTANT, &value));
    tape->values[value].differentiable = true;
done:
    return status;
}

void nnc_tape_push(nnc_graph *tape)
{
    tape->next_active = active;
    active = nnc_graph_retain(tape);
}

void nnc_tape_pop(nnc_graph *tape)
{
    for (nnc_graph **link = &active; *link != NULL; link = &(*link)->next_active) {
        if (*link == tape) {
            *link = tape->next_active;
            tape->next_active = NULL;
            nnc_graph_release(tape);
            return;
        }
    }
}

bool nnc_tape_active(void)
{
    return active != NULL;
}

bool nnc_tape_active_beside(const nnc_graph *tape)
{
    bool others = false;
    for (const nnc_graph *other = active; other != NULL; other = other->next_active)
        others |= other != tape;
    return others;
}

nnc_status nnc_tape_detach(nnc_tensor *tensor)
{
    nnc_status status = NNC_OK;
    nnc_tensor *copy = NULL;
    if (alive == NULL)
        return NNC_OK;
    wait_until_free(NULL, tensor);
    pthread_mutex_lock(&alive_lock);
    for (nnc_graph *tape = alive; tape != NULL; tape = tape->next_alive) {
        int value = nnc_lookup_find(tape->by_tensor, tensor);
        if (value < 0 || tape->values[value].stale)
            continue;
        if (copy == NULL)
            NNC_TRY(nnc_tensor_copy(tensor, &copy));
        nnc_value *held = &tape->values[value];
        held->tensor = nnc_tensor_retain(copy);
        held->array.data = copy->array.data;
        held->stale = true;     /* the next read is another value; gradients for both are added */
        nnc_tensor_release(tensor);
    }
done:
    pthread_mutex_unlock(&alive_lock);
    nnc_tensor_release(copy);
    return status;
}

nnc_status nnc_tape_record(nnc_graph *except, nnc_op op, const nnc_attrs *attrs,
                           nnc_tensor *const *in, int input_count, nnc_tensor *const *out)
{
    nnc_status status = NNC_OK;
    int *inputs = NULL, outputs[NNC_MAX_OUTPUTS];
    nnc_array arrays[NNC_MAX_OUTPUTS];
    if (nnc_ops[op].gradient == NULL)
        return NNC_OK;
    for (nnc_graph *tape = active; tape != NULL; tape = tape->next_active) {
        bool watched = false;
        if (tape == except)
            continue;
        nnc_tape_wait(tape);
        for (int i = 0; i < input_count && !watched; i++) {
            int value = nnc_lookup_find(tape->by_tensor, in[i]);
            watched = value >= 0 && tape->values[value].differentiable;
        }
        if (!watched)
            continue;
        if (inputs == NULL)
            NNC_TRY(nnc_alloc(input_count * (int64_t)sizeof *inputs, &inputs));
        for (int i = 0; i < input_count; i++)
            NNC_TRY(nnc_graph_tensor(tape, in[i], NNC_CONSTANT, &inputs[i]));
        for (int i = 0; i < nnc_ops[op].outputs; i++)
            arrays[i] = out[i]->array;
        NNC_TRY(nnc_graph_add_node(tape, op, attrs, inputs, input_count, arrays, out, outputs));
    }
done:
    nnc_free(inputs);
    return status;
}
