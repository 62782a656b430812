/* Driver of the native library for the sanitizers: every result must be equal, bit by bit, to that of one thread.
 *
 * driver sizes    cells, layouts, masks, and edge sizes, on each instruction set of this CPU
 * driver threads  the same for calls that are large enough for 2 and 3 threads
 * driver callers  8 threads that call the library at the same time
 * driver fork     forks while another thread calls the library; the children call it, too
 * driver one_cpu  several threads on one CPU
 * driver programs streams, by step and by chunk, on each instruction set and with 1 to 3 threads
 * driver samples  sampling of ids with every option, for several sizes
 * driver unitwise recurrences of single units, forward and backward, with 1 to 3 threads
 */
#define _GNU_SOURCE
#include "deeprnn.h"
#include "sampling.h"
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* dispatch.c */
const char *deeprnn_compiled(int i);
int deeprnn_use(const char *name);
int64_t deeprnn_columns(int64_t n);
int64_t deeprnn_chunks(int64_t T, int64_t n, int64_t h, int cell);
int deeprnn_forward(const deeprnn_sequence *q);
int deeprnn_backward(const deeprnn_sequence *q);
int deeprnn_convert(const deeprnn_sequence *q);

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                               \
    }                                                                        \
  } while (0)

#define CELLS 4

typedef struct {
  int64_t n, T, d, h;
} size;

static const size edge_sizes[] = {
    {1, 1, 1, 1}, {1, 9, 4, 8},   {2, 3, 5, 7}, {5, 4, 33, 17}, {8, 3, 8, 24},
    {9, 2, 1, 9}, {16, 5, 16, 16}, {17, 3, 2, 33}, {24, 2, 7, 5}, {31, 2, 3, 8},
};
/* Large enough for several threads. The last but one: weights beyond the second cache, and several chunks of time; the
 * last one: several chunks of a plain RNN, which is the first cell. */
static const struct {
  size s;
  int cells;
} large_sizes[] = {{{3, 12, 150, 200}, CELLS}, {{33, 7, 33, 40}, CELLS},  {{40, 6, 20, 90}, CELLS},
                   {{200, 10, 9, 30}, CELLS},  {{20, 10, 5, 330}, CELLS}, {{33, 60, 3, 150}, 1}};
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))
#define VARIANTS 8
#define MAX_ARRAYS 160

enum { INPUT, RESULT, SCRATCH };

/* A call with its arrays: each is allocated with its exact size, so that AddressSanitizer sees the first access beyond
 * it. */
typedef struct {
  deeprnn_sequence q;
  uint32_t random;
  int count;
  void *arrays[MAX_ARRAYS];
  size_t bytes[MAX_ARRAYS];
  int kinds[MAX_ARRAYS];
} example;

static float next_value(example *e) {
  e->random = e->random * 1664525u + 1013904223u;
  return (float)(e->random >> 8) / (1 << 24) - 0.5f;
}

static void *add_array(example *e, size_t bytes, int kind) {
  CHECK(e->count < MAX_ARRAYS);
  void *array = malloc(bytes);
  CHECK(array);
  e->arrays[e->count] = array;
  e->bytes[e->count] = bytes;
  e->kinds[e->count++] = kind;
  return array;
}

/* Inputs are random, all others NaN, so that a value that was not written shows. */
static float *floats(example *e, int64_t count, int kind) {
  float *array = add_array(e, (size_t)count * sizeof(float), kind);
  for (int64_t i = 0; i < count; i++) array[i] = kind == INPUT ? next_value(e) : NAN;
  return array;
}

/* A sequence of n columns (T, rows, ld) whose padding is 0 */
static float *columns(example *e, int64_t rows, int kind) {
  int64_t ld = deeprnn_columns(e->q.n);
  float *array = floats(e, e->q.T * rows * ld, kind);
  for (int64_t r = 0; r < e->q.T * rows; r++)
    for (int64_t j = e->q.n; j < ld; j++) array[r * ld + j] = 0.f;
  return array;
}

static float *sequence(example *e, int64_t features, int batch_major, int kind) {
  return batch_major ? floats(e, e->q.n * e->q.T * features, kind) : columns(e, features, kind);
}

/* Variants: all valid, right-padded, any form; the last column has no valid step. */
static const uint8_t *mask_of(example *e, int form) {
  if (!form) return NULL;
  int64_t n = e->q.n, T = e->q.T;
  uint8_t *mask = add_array(e, n * T, INPUT);
  for (int64_t j = 0; j < n; j++) {
    int64_t length = j == n - 1 && n > 1 ? 0 : 1 + (j * 7 + 3) % T;
    for (int64_t t = 0; t < T; t++) mask[j * T + t] = form == 1 ? t < length : length && next_value(e) < 0.2f;
  }
  return mask;
}

static void add_weights(example *e, int gates, int with_bias) {
  deeprnn_sequence *q = &e->q;
  int64_t width = gates * q->h, biases = q->cell == CELL_GRU ? 2 * width : width;
  q->W = floats(e, q->d * width, INPUT);
  q->U = floats(e, q->h * width, INPUT);
  q->dW = floats(e, q->d * width, RESULT);
  q->dU = floats(e, q->h * width, RESULT);
  if (!with_bias) return;
  q->b = floats(e, biases, INPUT);
  q->db = floats(e, biases, RESULT);
}

static void add_states(example *e) {
  deeprnn_sequence *q = &e->q;
  for (int i = 0; i < (q->cell == CELL_LSTM ? 2 : 1); i++) {
    q->state[i] = floats(e, q->n * q->h, INPUT);
    q->d_last[i] = floats(e, q->n * q->h, INPUT);
    q->last[i] = floats(e, q->n * q->h, RESULT);
    q->d_state[i] = floats(e, q->n * q->h, RESULT);
  }
}

/* Arrays that the backward pass reads: outputs, cell states, gates */
static void add_stored(example *e) {
  deeprnn_sequence *q = &e->q;
  int64_t ld = deeprnn_columns(q->n);
  int64_t states = q->store ? q->T : deeprnn_chunks(q->T, q->n, q->h, q->cell);
  q->H = columns(e, q->h, SCRATCH);
  if (q->cell == CELL_LSTM) q->C = floats(e, states * q->h * ld, SCRATCH);
  if (q->store && q->cell != CELL_RNN) q->G = floats(e, q->T * 4 * q->h * ld, SCRATCH);
}

static example *new_example(size s, int cell, int variant, int threads) {
  static const int gates[CELLS] = {[CELL_RNN] = 1, [CELL_GRU] = 3, [CELL_GRU_RESET_BEFORE] = 3, [CELL_LSTM] = 4};
  static const int gate_activations[] = {ACTIVATION_SIGMOID, ACTIVATION_HARD_SIGMOID};
  static const int activations[] = {ACTIVATION_TANH, ACTIVATION_RELU, ACTIVATION_SIGMOID, ACTIVATION_LINEAR};
  example *e = calloc(1, sizeof *e);
  CHECK(e);
  int mixed = variant + cell + (int)s.n; /* spreads the other options over the sizes */
  e->random = 1u + (uint32_t)mixed;
  deeprnn_sequence *q = &e->q;
  *q = (deeprnn_sequence){.abi = DEEPRNN_ABI, .T = s.T, .n = s.n, .d = s.d, .h = s.h, .cell = cell, .threads = threads};
  q->store = variant & 1;
  q->x_batch_major = q->y_batch_major = (variant & 2) != 0;
  q->reverse = mixed % 3 == 0;
  q->activation = s.h < 100 ? activations[mixed % 4] : ACTIVATION_TANH; /* the others would grow with the sums */
  q->recurrent_activation = gate_activations[mixed % 2];
  q->mask = mask_of(e, variant & 4 ? 1 + mixed % 2 : 0);
  q->x = sequence(e, s.d, q->x_batch_major, INPUT);
  q->dy = sequence(e, s.h, q->y_batch_major, INPUT);
  q->dx = sequence(e, s.d, q->x_batch_major, RESULT);
  if (q->y_batch_major) q->y = floats(e, s.n * s.T * s.h, RESULT);
  add_weights(e, gates[cell], mixed % 4 != 1);
  if (mixed % 5 != 2) add_states(e);
  add_stored(e);
  return e;
}

static void delete_example(example *e) {
  for (int i = 0; i < e->count; i++) free(e->arrays[i]);
  free(e);
}

static void run(example *e) {
  CHECK(deeprnn_forward(&e->q) == DEEPRNN_OK);
  CHECK(deeprnn_backward(&e->q) == DEEPRNN_OK);
}

static void check_finite(const example *e) {
  for (int i = 0; i < e->count; i++)
    for (size_t k = 0; e->kinds[i] == RESULT && k < e->bytes[i] / sizeof(float); k++)
      CHECK(isfinite(((const float *)e->arrays[i])[k]));
}

/* Inputs are compared, too: nothing may write to them. */
static void check_equal(const example *a, const example *b) {
  for (int i = 0; i < a->count; i++)
    CHECK(a->kinds[i] == SCRATCH || !memcmp(a->arrays[i], b->arrays[i], a->bytes[i]));
}

static void check_conversion(size s, int variant, int threads) {
  example e = {.q = {.abi = DEEPRNN_ABI, .T = s.T, .n = s.n, .d = s.d, .h = s.d, .threads = threads}};
  e.q.mask = mask_of(&e, variant & 4 ? 1 + variant % 2 : 0);
  float *x = floats(&e, s.n * s.T * s.d, INPUT), *y = floats(&e, s.n * s.T * s.d, RESULT);
  float *between = floats(&e, s.T * s.d * deeprnn_columns(s.n), SCRATCH);
  e.q.x = x, e.q.H = between;
  CHECK(deeprnn_convert(&e.q) == DEEPRNN_OK);
  e.q.x = between, e.q.H = NULL, e.q.y = y;
  CHECK(deeprnn_convert(&e.q) == DEEPRNN_OK);
  CHECK(!memcmp(x, y, s.n * s.T * s.d * sizeof(float)));
  for (int i = 0; i < e.count; i++) free(e.arrays[i]);
}

/* Compare a call with one thread and a call with several. */
static void compare(size s, int cell, int variant, int threads) {
  example *one = new_example(s, cell, variant, 1), *several = new_example(s, cell, variant, threads);
  run(one);
  check_finite(one);
  run(several);
  check_equal(one, several);
  delete_example(one);
  delete_example(several);
}

static void compare_edge_sizes(void) {
  for (int i = 0; i < COUNT(edge_sizes); i++)
    for (int variant = 0; variant < VARIANTS; variant++) {
      check_conversion(edge_sizes[i], variant, 1);
      for (int cell = 0; cell < CELLS; cell++) compare(edge_sizes[i], cell, variant, 1);
    }
}

/* Barriers are slow under a sanitizer, so each size and cell meets two variants only, each with one number of threads. */
static void compare_large_sizes(void) {
  for (int i = 0; i < COUNT(large_sizes); i++)
    for (int cell = 0; cell < large_sizes[i].cells; cell++) {
      int variant = (3 * i + cell) % VARIANTS;
      compare(large_sizes[i].s, cell, variant, 2);
      compare(large_sizes[i].s, cell, VARIANTS - 1 - variant, 3);
      check_conversion(large_sizes[i].s, variant, 3);
    }
}

static int sizes(void) {
  const char *name;
  for (int i = 0; (name = deeprnn_compiled(i)); i++)
    if (deeprnn_use(name) == DEEPRNN_OK) compare_edge_sizes();
  return 0;
}

static int threads(void) {
  const char *name;
  for (int i = 0; (name = deeprnn_compiled(i)); i++)
    if (deeprnn_use(name) == DEEPRNN_OK) compare_large_sizes();
  return 0;
}

static int one_cpu(void) {
#ifdef __linux__
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  CHECK(!sched_setaffinity(0, sizeof one, &one));
#endif
  compare_large_sizes();
  return 0;
}

/* === Programs === */

#include "driver_programs.h"

static int programs(void) {
  const char *name;
  for (int i = 0; (name = deeprnn_compiled(i)); i++)
    if (deeprnn_use(name) == DEEPRNN_OK) compare_all_networks();
  return 0;
}

#include "driver_unitwise.h"

static int unitwise(void) {
  const char *name;
  for (int i = 0; (name = deeprnn_compiled(i)); i++)
    if (deeprnn_use(name) == DEEPRNN_OK) compare_all_unitwise();
  return 0;
}

/* === Several callers === */

#define CALLERS 8
static const size shared_size = {33, 7, 33, 40};
static example *expected[CELLS];
static atomic_int stop;

static void expect(void) {
  for (int cell = 0; cell < CELLS; cell++) {
    expected[cell] = new_example(shared_size, cell, 4 + cell, 1);
    run(expected[cell]);
  }
}

static void repeat_call(int cell, int count) {
  example *e = new_example(shared_size, cell, 4 + cell, count);
  run(e);
  check_equal(expected[cell], e);
  delete_example(e);
}

static void *call_repeatedly(void *argument) {
  for (int i = 0; i < 20; i++) repeat_call((*(int *)argument + i) % CELLS, 1 + i % 3);
  return NULL;
}

static int callers(void) {
  pthread_t running[CALLERS];
  int numbers[CALLERS];
  expect();
  for (int i = 0; i < CALLERS; i++) {
    numbers[i] = i;
    CHECK(!pthread_create(&running[i], NULL, call_repeatedly, &numbers[i]));
  }
  for (int i = 0; i < CALLERS; i++) pthread_join(running[i], NULL);
  return 0;
}

/* === Fork === */

/* Allocates nothing, since a fork may leave the allocator of AddressSanitizer locked in the child. */
static void *call_until_stopped(void *argument) {
  example *e = argument;
  while (!atomic_load(&stop)) {
    run(e);
    check_equal(expected[CELL_LSTM], e);
  }
  return NULL;
}

static int fork_in_the_middle(void) {
  expect();
  example *e = new_example(shared_size, CELL_LSTM, 4 + CELL_LSTM, 2);
  run(e); /* starts the threads */
  pthread_t caller;
  CHECK(!pthread_create(&caller, NULL, call_until_stopped, e));
  for (int i = 0; i < 10; i++) {
    usleep(1000 * i);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
      for (int cell = 0; cell < CELLS; cell++) repeat_call(cell, 2);
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  atomic_store(&stop, 1);
  pthread_join(caller, NULL);
  repeat_call(CELL_GRU, 3);
  delete_example(e);
  return 0;
}

/* === Sampling === */

static void *exact(size_t bytes) {
  void *memory = malloc(bytes);
  CHECK(memory);
  return memory;
}

static void sample_with(int64_t n, int64_t V, deeprnn_sampler options) {
  deeprnn_sampler s = options;
  float *logits = exact(n * V * sizeof *logits);
  uint64_t *rows = exact(n * sizeof *rows);
  s.n = n, s.V = V, s.logits = logits, s.rows = rows;
  s.seen = exact(n * V), s.ids = exact(n * sizeof *s.ids);
  s.weights = exact(V * sizeof *s.weights), s.order = exact(V * sizeof *s.order);
  for (int64_t i = 0; i < n * V; i++) logits[i] = (float)(i * 7919 % 23) / 3 - 4, s.seen[i] = i % 3 == 0;
  for (int64_t i = 0; i < n; i++) rows[i] = i;
  for (int t = 0; t < 20; t++) {
    CHECK(deeprnn_sample(&s) == DEEPRNN_OK);
    for (int64_t i = 0; i < n; i++) CHECK(s.ids[i] >= 0 && s.ids[i] < V && s.seen[i * V + s.ids[i]]);
  }
  CHECK(s.position == 20);
  logits[V - 1] = NAN;
  CHECK(deeprnn_sample(&s) == DEEPRNN_NOT_FINITE);
  free(logits), free(rows), free(s.seen), free(s.ids), free(s.weights), free(s.order);
}

static int samples(void) {
  static const int64_t top_k[] = {0, 1, 3, 1000};
  static const double temperature[] = {0, 1e-310, 1}, top_p[] = {1, 0.6, 1e-300};
  static const double min_p[] = {0, 0.5}, penalty[] = {1, 1.7};
  static const int64_t sizes_of[][2] = {{1, 1}, {1, 2}, {3, 5}, {2, 300}};
  for (int z = 0; z < COUNT(sizes_of); z++)
    for (int k = 0; k < COUNT(top_k); k++)
      for (int i = 0; i < COUNT(temperature) * COUNT(top_p) * COUNT(min_p) * COUNT(penalty); i++)
        sample_with(sizes_of[z][0], sizes_of[z][1],
                    (deeprnn_sampler){.top_k = top_k[k],
                                      .temperature = temperature[i % 3],
                                      .top_p = top_p[i / 3 % 3],
                                      .min_p = min_p[i / 9 % 2],
                                      .repetition_penalty = penalty[i / 18]});
  return 0;
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    int (*run)(void);
  } modes[] = {{"sizes", sizes}, {"threads", threads}, {"callers", callers}, {"fork", fork_in_the_middle},
               {"one_cpu", one_cpu}, {"programs", programs}, {"samples", samples}, {"unitwise", unitwise}};
  for (int i = 0; count == 2 && i < COUNT(modes); i++)
    if (!strcmp(arguments[1], modes[i].name)) return modes[i].run();
  fprintf(stderr, "usage: driver sizes|threads|callers|fork|one_cpu|programs|samples|unitwise\n");
  return 2;
}
