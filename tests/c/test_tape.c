/* test_tape.c - a tape that one thread walks without the embedder's lock, while others, under that
 * lock, record on tapes of their own, overwrite what it holds, and wait for it. */
#include "check.h"
#include "nnc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define OK(call) CHECK((call) == NNC_OK)

enum { N = 48, LAYERS = 6, ROUNDS = 30 };

static pthread_mutex_t embedder = PTHREAD_MUTEX_INITIALIZER;

static void *give_back(void)
{
    pthread_mutex_unlock(&embedder);
    return &embedder;
}

static void take(void *state)
{
    pthread_mutex_lock(state);
}

static nnc_tensor *square(float diagonal)
{
    nnc_shape shape = {.rank = 2, .dim = {N, N}};
    nnc_tensor *t = NULL;
    OK(nnc_tensor_new(&shape, NNC_F32, &t));
    for (int i = 0; i < N * N; i++)
        ((float *)t->array.data)[i] = i / N == i % N ? diagonal : 0;
    return t;
}

typedef struct {
    nnc_graph *tape;
    int target, source;
} recorded;

/* y = w w ... w x, recorded: dy/dx of the sum is the sum of a column of w^LAYERS. */
static recorded record(nnc_tensor *w, nnc_tensor *x)
{
    nnc_attrs none = {0};
    recorded r = {0};
    nnc_tensor *y = nnc_tensor_retain(x), *next = NULL;
    OK(nnc_graph_new(true, &r.tape));
    OK(nnc_tape_watch(r.tape, w));
    OK(nnc_tape_watch(r.tape, x));
    nnc_tape_push(r.tape);
    for (int i = 0; i < LAYERS; i++) {
        OK(nnc_eager(NNC_OP_matmul, &none, (nnc_tensor *[]){w, y}, 2, &next));
        nnc_tensor_release(y);
        y = next;
    }
    nnc_tape_pop(r.tape);
    r.target = nnc_graph_find(r.tape, y);
    r.source = nnc_graph_find(r.tape, x);
    nnc_tensor_release(y);
    return r;
}

/* The gradient, without the lock in between; its first element. */
static float gradient(recorded *r)
{
    int dx = -1;
    nnc_tape_begin(r->tape);
    pthread_mutex_unlock(&embedder);
    OK(nnc_graph_backward(r->tape, &r->target, NULL, 1, &r->source, 1, 0, &dx));
    pthread_mutex_lock(&embedder);
    nnc_tape_end(r->tape);
    return dx < 0 ? -1 : *(float *)r->tape->values[dx].tensor->array.data;
}

typedef struct {
    nnc_tensor *w;          /* shared by all */
    recorded *shared;       /* a tape that all ask; 2^LAYERS is its gradient */
} world;

static void *ask(void *argument)
{
    world *all = argument;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&embedder);
        float diagonal = ((float *)all->w->array.data)[0], wanted = 1;
        nnc_tensor *x = square(1);
        recorded r = record(all->w, x);
        for (int k = 0; k < LAYERS; k++)
            wanted *= diagonal;
        CHECK(gradient(&r) == wanted);              /* of w as it was when it was read */
        CHECK(gradient(all->shared) == 1 << LAYERS);
        nnc_graph_release(r.tape);
        nnc_tensor_release(x);
        pthread_mutex_unlock(&embedder);
    }
    return NULL;
}

static void *overwrite(void *argument)
{
    world *all = argument;
    for (int i = 0; i < ROUNDS; i++) {
        nnc_attrs none = {0};
        nnc_tensor *value = square((float)(1 + i % 4));
        pthread_mutex_lock(&embedder);
        OK(nnc_eager(NNC_OP_assign, &none, (nnc_tensor *[]){all->w, value}, 2, NULL));
        pthread_mutex_unlock(&embedder);
        nnc_tensor_release(value);
    }
    return NULL;
}

TEST(others_go_on_while_a_tape_is_walked)
{
    pthread_t threads[4];
    nnc_tensor *x = square(1);
    world all = {.w = square(2)};
    nnc_tape_around_waits((nnc_tape_around){.release = give_back, .take = take});
    pthread_mutex_lock(&embedder);
    recorded shared = record(all.w, x);
    all.shared = &shared;
    pthread_mutex_unlock(&embedder);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, i < 2 ? ask : overwrite, &all);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    nnc_tape_around_waits((nnc_tape_around){.release = NULL});
    nnc_graph_release(shared.tape);
    nnc_tensor_release(all.w);
    nnc_tensor_release(x);
}
