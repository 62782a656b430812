/* Streams for driver.c: a program with each kind of operation, and random weights. */
#ifndef DRIVER_PROGRAMS_H
#define DRIVER_PROGRAMS_H

#include "deeprnn.h"

/* dispatch.c */
int deeprnn_push(deeprnn_stream *s, const deeprnn_array *arrays, int64_t T);
int64_t deeprnn_lanes(void);

#define MAX_VALUES 64
#define MAX_OPERATIONS 64
#define IDS 5 /* number of ids */
#define STRIP_VECTORS 4

typedef struct {
  int64_t n, T, d, h, rate;
  int cell;
} program_size;

/* A stream with its program; arrays have their exact size, as those of `example`. */
typedef struct {
  example memory;
  program_size s;
  deeprnn_stream S;
  deeprnn_value values[MAX_VALUES];
  deeprnn_operation operations[MAX_OPERATIONS], steps[MAX_OPERATIONS];
  deeprnn_array arrays[3];
  int32_t new_states[2];
  deeprnn_operation *end; /* after the last operation */
  float *y;
} network;

enum { X, TOKENS, Y, STANDARD_H, STANDARD_C, SELECTED_H, SELECTED_C, CELL_H, CELL_C };

static int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

static int new_value(network *w, int64_t width, int64_t steps, int64_t ring) {
  deeprnn_value *v = &w->values[w->S.num_values];
  CHECK(w->S.num_values < MAX_VALUES);
  *v = (deeprnn_value){.width = width, .row = 4 * width, .ring = ring, .of_call = ring != 0};
  v->step = steps == 1 ? 0 : v->row * w->s.n;
  v->data = floats(&w->memory, width * w->s.n * steps, ring ? INPUT : SCRATCH);
  return (int)w->S.num_values++;
}

static int add_operation(network *w, int kind, int result, int a, int b, int c) {
  CHECK(w->end - w->operations < MAX_OPERATIONS || w->end >= w->steps);
  *w->end++ = (deeprnn_operation){.kind = kind, .result = result, .operands = {a, b, c}};
  return result;
}

static int of_chunk(network *w, int64_t width) { return new_value(w, width, w->S.chunk, 0); }

static deeprnn_matrix matrix(network *w, int64_t rows, int64_t vectors, int64_t strip) {
  int64_t lanes = deeprnn_lanes();
  w->S.products += rows * vectors * lanes;
  return (deeprnn_matrix){floats(&w->memory, rows * vectors * lanes, INPUT), rows, vectors, strip};
}

static int affine(network *w, int result, int x, int64_t inputs, int64_t width) {
  int64_t strip = STRIP_VECTORS * deeprnn_lanes();
  add_operation(w, OPERATION_AFFINE, result, x, 0, 0);
  w->end[-1].W = matrix(w, inputs, up(width, deeprnn_lanes()) / deeprnn_lanes(), STRIP_VECTORS);
  w->end[-1].offset = floats(&w->memory, up(width, strip), INPUT);
  return result;
}

static int recurrence(network *w, int x, int64_t inputs, int first_state) {
  static const int gates[] = {[CELL_RNN] = STRIP_VECTORS, [CELL_GRU] = 3, [CELL_LSTM] = 4};
  int64_t lanes = deeprnn_lanes(), units = w->s.cell == CELL_RNN ? STRIP_VECTORS * lanes : lanes;
  int64_t strips = (w->s.h + units - 1) / units, strip = gates[w->s.cell];
  int64_t vectors = w->s.cell == CELL_RNN ? up(w->s.h, lanes) / lanes : strips * strip;
  int result = add_operation(w, OPERATION_RECURRENT, of_chunk(w, w->s.h), x, 0, 0);
  deeprnn_operation *o = w->end - 1;
  o->cell = w->s.cell, o->activation = ACTIVATION_TANH, o->recurrent_activation = ACTIVATION_SIGMOID;
  o->first_state = first_state, o->num_states = w->s.cell == CELL_LSTM ? 2 : 1, o->rate = w->s.rate;
  o->W = matrix(w, inputs, vectors, strip);
  o->U = matrix(w, w->s.h, vectors, strip);
  o->offset = floats(&w->memory, strips * STRIP_VECTORS * lanes, INPUT);
  return result;
}

/* A recurrence of two states: h = tanh(affine(h) + x + mean(c)), c = the state h before */
static int given_cell(network *w, int x) {
  int64_t h = w->s.h;
  int result = of_chunk(w, h), projected = of_chunk(w, h);
  affine(w, projected, x, h, h);
  deeprnn_operation *outer = w->end;
  w->end = w->steps;
  int product = affine(w, new_value(w, h, 1, 0), CELL_H, h, h);
  int sum = add_operation(w, OPERATION_ADD, new_value(w, h, 1, 0), product, projected, 0);
  int mean = add_operation(w, OPERATION_MEAN, new_value(w, 1, 1, 0), CELL_C, 0, 0);
  int total = add_operation(w, OPERATION_ADD, new_value(w, h, 1, 0), sum, mean, 0);
  w->new_states[0] = add_operation(w, OPERATION_TANH, new_value(w, h, 1, 0), total, 0, 0);
  w->new_states[1] = CELL_H;
  int64_t count = w->end - w->steps;
  w->end = outer;
  add_operation(w, OPERATION_CELL, result, x, 0, 0);
  deeprnn_operation *o = w->end - 1;
  o->first_state = CELL_H, o->num_states = 2, o->rate = w->s.rate;
  o->steps = w->steps, o->num_steps = count, o->new_states = w->new_states;
  return result;
}

/* All elementwise functions, one after the other; the values stay between -1 and 1. */
static int functions(network *w, int x, int64_t width) {
  for (int kind = OPERATION_NEGATE; kind <= OPERATION_WHERE; kind++) {
    int y = add_operation(w, kind, of_chunk(w, width), x, x, x);
    x = add_operation(w, OPERATION_SIGMOID, of_chunk(w, width), y, 0, 0);
  }
  return x;
}

static void list_operations(network *w) {
  int64_t d = w->s.d, h = w->s.h;
  int row = add_operation(w, OPERATION_GATHER, of_chunk(w, d), TOKENS, 0, 0);
  w->end[-1].scale = floats(&w->memory, IDS * d, INPUT);
  int sum = add_operation(w, OPERATION_ADD, of_chunk(w, d), X, row, 0);
  int normalized = add_operation(w, OPERATION_NORMALIZE, of_chunk(w, d), sum, 0, 0);
  w->end[-1].epsilon = 1e-3, w->end[-1].centered = 1;
  w->end[-1].scale = floats(&w->memory, d, INPUT), w->end[-1].offset = floats(&w->memory, d, INPUT);
  int diagonal = add_operation(w, OPERATION_DIAGONAL, of_chunk(w, 2 * d), normalized, 0, 0);
  w->end[-1].scale = floats(&w->memory, 2 * d, INPUT), w->end[-1].offset = floats(&w->memory, 2 * d, INPUT);
  int first = recurrence(w, diagonal, 2 * d, STANDARD_H), second = recurrence(w, TOKENS, IDS, SELECTED_H);
  int both = add_operation(w, OPERATION_ADD, of_chunk(w, h), first, second, 0);
  int cell = given_cell(w, both), wide = of_chunk(w, h + IDS);
  int one_hot = add_operation(w, OPERATION_ONE_HOT, of_chunk(w, IDS), TOKENS, 0, 0);
  for (int part = 0; part < 2; part++) {
    add_operation(w, OPERATION_COPY, wide, part ? one_hot : cell, 0, 0);
    w->end[-1].to = part ? h : 0, w->end[-1].count = part ? IDS : h;
  }
  int head = affine(w, of_chunk(w, d), functions(w, wide, h + IDS), h + IDS, d);
  int logarithm = add_operation(w, OPERATION_LOG_SOFTMAX, of_chunk(w, d), head, 0, 0);
  add_operation(w, OPERATION_SOFTMAX, Y, logarithm, 0, 0);
}

static network *new_network(program_size s, int64_t chunk, int threads) {
  network *w = calloc(1, sizeof *w);
  CHECK(w);
  w->memory.random = 7u, w->s = s, w->end = w->operations;
  w->S = (deeprnn_stream){.abi = DEEPRNN_ABI, .lanes = deeprnn_lanes(), .n = s.n, .chunk = chunk, .threads = threads};
  int64_t *ids = add_array(&w->memory, s.n * s.T * sizeof *ids, INPUT);
  for (int64_t i = 0; i < s.n * s.T; i++) ids[i] = (7 * i + 3) % IDS;
  w->y = floats(&w->memory, s.n * s.T * s.d, RESULT);
  w->arrays[X] = (deeprnn_array){floats(&w->memory, s.n * s.T * s.d, INPUT), 4 * s.d, 4 * s.d * s.T};
  w->arrays[TOKENS] = (deeprnn_array){ids, sizeof *ids, sizeof *ids * s.T};
  w->arrays[Y] = (deeprnn_array){w->y, 4 * s.d, 4 * s.d * s.T};
  for (int k = 0; k < 3; k++) w->values[k] = (deeprnn_value){.width = k == TOKENS ? IDS : s.d, .of_call = 1};
  w->values[TOKENS].ids = 1;
  w->S.num_values = w->S.num_arrays = 3;
  for (int k = STANDARD_H; k <= CELL_C; k++) {
    int state = new_value(w, s.h, s.rate + 1, s.rate + 1);
    memset(w->values[state].data, 0, s.n * s.h * (s.rate + 1) * sizeof(float));
  }
  w->S.operations = w->operations, w->S.values = w->values;
  list_operations(w);
  w->S.num_operations = w->end - w->operations;
  w->S.sums = floats(&w->memory, up(s.h, STRIP_VECTORS * deeprnn_lanes()) * STRIP_VECTORS * s.n * chunk, SCRATCH);
  return w;
}

/* Run in calls of `length` steps. */
static void run_network(network *w, int64_t length) {
  for (int64_t t = 0; t < w->s.T; t += length) {
    deeprnn_array arrays[3];
    for (int k = 0; k < 3; k++) {
      arrays[k] = w->arrays[k];
      arrays[k].data = (char *)arrays[k].data + t * arrays[k].step;
    }
    CHECK(deeprnn_push(&w->S, arrays, t + length < w->s.T ? length : w->s.T - t) == DEEPRNN_OK);
  }
}

static void delete_network(network *w) {
  for (int i = 0; i < w->memory.count; i++) free(w->memory.arrays[i]);
  free(w);
}

/* Results with several threads, by chunk and by step, are equal to those of one thread. */
static void compare_networks(program_size s) {
  network *expected = new_network(s, s.T, 1);
  run_network(expected, s.T);
  for (int64_t i = 0; i < s.n * s.T * s.d; i++) CHECK(isfinite(expected->y[i]));
  for (int threads = 1; threads <= 3; threads++) {
    network *w = new_network(s, threads, threads);
    run_network(w, threads == 1 ? 1 : 4);
    CHECK(!memcmp(w->y, expected->y, s.n * s.T * s.d * sizeof(float)));
    delete_network(w);
  }
  delete_network(expected);
}

/* An id out of range changes nothing. */
static void check_refusals(program_size s) {
  network *w = new_network(s, 2, 1);
  *(int64_t *)w->arrays[TOKENS].data = IDS;
  CHECK(deeprnn_push(&w->S, w->arrays, s.T) == DEEPRNN_BAD_ID && isnan(w->y[0]));
  atomic_store(&w->S.busy, 1);
  CHECK(deeprnn_push(&w->S, w->arrays, s.T) == DEEPRNN_BUSY);
  atomic_store(&w->S.busy, 0);
  w->S.lanes = 3;
  CHECK(deeprnn_push(&w->S, w->arrays, s.T) == DEEPRNN_BAD_ARGUMENT);
  delete_network(w);
}

static void compare_all_networks(void) {
  static const int cells[] = {CELL_RNN, CELL_GRU, CELL_LSTM};
  static const int64_t units[] = {1, 7, 17, 64, 65};
  for (int c = 0; c < 3; c++)
    for (int i = 0; i < COUNT(units); i++) {
      program_size s = {.n = i % 2 ? 2 : 1, .T = 7, .d = 3 + i, .h = units[i], .rate = 1 + (i + c) % 3, .cell = cells[c]};
      compare_networks(s);
      s.n = 19, s.T = 5;
      compare_networks(s);
      check_refusals(s);
    }
}

#endif
