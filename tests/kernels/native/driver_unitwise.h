/* Recurrences of single units for driver.c: a step with each elementwise operation, and random inputs. */
#ifndef DRIVER_UNITWISE_H
#define DRIVER_UNITWISE_H

#include "deeprnn.h"

/* dispatch.c */
int deeprnn_unitwise_forward(const deeprnn_unitwise *q);
int deeprnn_unitwise_backward(const deeprnn_unitwise *q);

/* Values: blocks 0 and 1, states 2 and 3, weights 4 and 5, constant 6, then the results of the operations */
static const deeprnn_unit_operation unit_operations[] = {
    {OPERATION_SIGMOID, {0}},          {OPERATION_TANH, {1}},        {OPERATION_MULTIPLY, {7, 2}},
    {OPERATION_ADD, {9, 8}},           {OPERATION_MULTIPLY, {4, 3}}, {OPERATION_RELU, {10}},
    {OPERATION_HARD_SIGMOID, {11}},    {OPERATION_EXP, {13}},        {OPERATION_SOFTPLUS, {10}},
    {OPERATION_DIVIDE, {12, 14}},      {OPERATION_LOG, {14}},        {OPERATION_SQRT, {14}},
    {OPERATION_RSQRT, {14}},           {OPERATION_MAXIMUM, {16, 17}}, {OPERATION_GREATER, {18, 6}},
    {OPERATION_WHERE, {21, 20, 5}},    {OPERATION_NEGATE, {19}},     {OPERATION_SUBTRACT, {22, 23}},
    {OPERATION_MULTIPLY, {24, 7}},     {OPERATION_MULTIPLY, {15, 9}},
};
static const int32_t unit_states[] = {25, 26};
static const float unit_constant = 1.2f;

static example *unitwise_example(size s, int reverse, int mask_form, int threads) {
  example *e = calloc(1, sizeof *e);
  CHECK(e);
  e->random = 7;
  e->q.n = s.n, e->q.T = s.T, e->q.h = s.h;
  int64_t all = s.n * s.T * s.h, states = 2 * s.n * s.h;
  deeprnn_unitwise u = {.abi = DEEPRNN_ABI, .T = s.T, .n = s.n, .h = s.h, .blocks = 2, .num_states = 2, .num_weights = 2,
                        .num_constants = 1, .num_operations = COUNT(unit_operations), .reverse = reverse,
                        .threads = threads, .operations = unit_operations, .new_states = unit_states,
                        .constants = &unit_constant};
  u.x = floats(e, 2 * all, INPUT);
  u.weights = floats(e, 2 * s.h, INPUT);
  u.states = floats(e, states, INPUT);
  u.mask = mask_of(e, mask_form);
  u.stored = floats(e, 2 * all, RESULT);
  u.y = floats(e, all, RESULT);
  u.last = floats(e, states, RESULT);
  u.dy = floats(e, all, INPUT);
  u.d_last = floats(e, states, INPUT);
  u.dx = floats(e, 2 * all, RESULT);
  u.d_weights = floats(e, s.n * 2 * s.h, RESULT);
  u.d_states = floats(e, states, RESULT);
  CHECK(deeprnn_unitwise_forward(&u) == DEEPRNN_OK);
  CHECK(deeprnn_unitwise_backward(&u) == DEEPRNN_OK);
  return e;
}

static void compare_unitwise(size s) {
  for (int variant = 0; variant < 6; variant++) {
    example *one = unitwise_example(s, variant & 1, variant / 2, 1);
    check_finite(one);
    for (int threads = 2; threads <= 3; threads++) {
      example *several = unitwise_example(s, variant & 1, variant / 2, threads);
      check_equal(one, several);
      delete_example(several);
    }
    delete_example(one);
  }
}

static void compare_all_unitwise(void) {
  for (int i = 0; i < COUNT(edge_sizes); i++) compare_unitwise(edge_sizes[i]);
  compare_unitwise((size){3, 70, 1, 300});
}

#endif
