/* Elementwise recurrences: the operations of a step run over time for strips of units.
 *
 * A strip of one row of the batch is computed for all steps before the next one, so that its states and intermediate
 * values stay in the cache; it shares nothing with other strips, so that results depend neither on the batch nor on
 * threads. The backward pass computes the values of a step again from the states before it, and then the gradients of
 * its operations from the last to the first.
 *
 * Values are numbered: blocks of x, states, weights, constants, results of the operations.
 */
#ifndef DEEPRNN_UNITWISE_H
#define DEEPRNN_UNITWISE_H

#include "elementwise.h"
#include "job.h"

#define UNITWISE_BYTES (1l << 14) /* of the values of a strip */
#define MIN_UNITWISE_WORK 200000  /* operations per thread, below which waking a thread costs more */

typedef struct {
  const deeprnn_unitwise *q;
  long values, strip, strips, items;
  int first_state, first_weight, first_constant, first_operation, threads;
  float *memory; /* of all threads */
  long thread_floats;
  int backward;
} unitwise_job;

/* One strip of one row: `count` units from u on; buffers of `strip` floats each */
typedef struct {
  const unitwise_job *J;
  long row, u, count;
  float *v, *d, *carried; /* values; their gradients; states between steps, or their gradients */
} unit_strip;

static float *value_of(const unit_strip *S, long k) { return S->v + k * S->J->strip; }
static float *gradient_of(const unit_strip *S, long k) { return S->d + k * S->J->strip; }

/* === Operations === */

#define EACH(expression)                       \
  for (long i = 0; i < S->count; i += VL) {    \
    vf a = load(x + i);                        \
    store(y + i, expression);                  \
  }                                            \
  break
#define EACH_PAIR(expression)                  \
  for (long i = 0; i < S->count; i += VL) {    \
    vf a = load(x + i), b = load(z + i);       \
    store(y + i, expression);                  \
  }                                            \
  break

static void unit_operation(const unit_strip *S, const deeprnn_unit_operation *o, float *y) {
  const float *x = value_of(S, o->operands[0]), *z = value_of(S, o->operands[1]), *w = value_of(S, o->operands[2]);
  switch (o->kind) {
    case OPERATION_NEGATE: EACH(-a);
    case OPERATION_SIGMOID: EACH(vsigmoid(a));
    case OPERATION_TANH: EACH(vtanh(a));
    case OPERATION_RELU: EACH(vmax(splat(0.f), a));
    case OPERATION_HARD_SIGMOID: EACH(activate(ACTIVATION_HARD_SIGMOID, a));
    case OPERATION_EXP: EACH(exp_of(a));
    case OPERATION_LOG: EACH(log_of(a));
    case OPERATION_SOFTPLUS: EACH(softplus_of(a));
    case OPERATION_SQRT: EACH(sqrt_of(a));
    case OPERATION_RSQRT: EACH(splat(1.f) / sqrt_of(a));
    case OPERATION_SIN: EACH(sine_of(a, 0));
    case OPERATION_COS: EACH(sine_of(a, 1));
    case OPERATION_ADD: EACH_PAIR(a + b);
    case OPERATION_SUBTRACT: EACH_PAIR(a - b);
    case OPERATION_MULTIPLY: EACH_PAIR(a * b);
    case OPERATION_DIVIDE: EACH_PAIR(a / b);
    case OPERATION_MAXIMUM: EACH_PAIR(larger_of(a, b));
    case OPERATION_GREATER: EACH_PAIR(where_greater(a, b));
    case OPERATION_WHERE:
      for (long i = 0; i < S->count; i += VL) store(y + i, where_nonzero(load(x + i), load(z + i), load(w + i)));
  }
}

static void add_to(float *d, long i, vf gradient) { store(d + i, load(d + i) + gradient); }

#define BACK(expression)                                               \
  for (long i = 0; i < S->count; i += VL) {                            \
    vf a = load(x + i), y = load(value + i), dy = load(d_value + i);   \
    (void)a, (void)y;                                                  \
    add_to(dx, i, expression);                                         \
  }                                                                    \
  break
#define BACK_PAIR(first, second)                                       \
  for (long i = 0; i < S->count; i += VL) {                            \
    vf a = load(x + i), b = load(z + i), y = load(value + i), dy = load(d_value + i); \
    (void)a, (void)b, (void)y;                                         \
    vf of_a = first, of_b = second; /* both before dx changes: the operands may be one value */ \
    add_to(dx, i, of_a);                                               \
    add_to(dz, i, of_b);                                               \
  }                                                                    \
  break

/* Add the gradients of the operands; those of constants are never read. */
static void unit_gradient(const unit_strip *S, const deeprnn_unit_operation *o, long k) {
  const vf one = splat(1.f), zero = splat(0.f);
  const float *value = value_of(S, k), *d_value = gradient_of(S, k);
  const float *x = value_of(S, o->operands[0]), *z = value_of(S, o->operands[1]);
  float *dx = gradient_of(S, o->operands[0]), *dz = gradient_of(S, o->operands[1]);
  switch (o->kind) {
    case OPERATION_NEGATE: BACK(-dy);
    case OPERATION_SIGMOID: BACK(dy * y * (one - y));
    case OPERATION_TANH: BACK(dy * (one - y * y));
    case OPERATION_RELU: BACK(select_where((vi)(y > zero), dy, zero));
    case OPERATION_HARD_SIGMOID: BACK(dy * derivative(ACTIVATION_HARD_SIGMOID, y));
    case OPERATION_EXP: BACK(dy * y);
    case OPERATION_LOG: BACK(dy / a);
    case OPERATION_SOFTPLUS: BACK(dy * vsigmoid(a));
    case OPERATION_SQRT: BACK(dy * splat(0.5f) / y);
    case OPERATION_RSQRT: BACK(dy * splat(-0.5f) * y * y * y);
    case OPERATION_SIN: BACK(dy * sine_of(a, 1));
    case OPERATION_COS: BACK(-dy * sine_of(a, 0));
    case OPERATION_ADD: BACK_PAIR(dy, dy);
    case OPERATION_SUBTRACT: BACK_PAIR(dy, -dy);
    case OPERATION_MULTIPLY: BACK_PAIR(dy * b, dy * a);
    case OPERATION_DIVIDE: BACK_PAIR(dy / b, -dy * y / b);
    case OPERATION_MAXIMUM:
      BACK_PAIR(select_where((vi)(a >= b), dy, zero), select_where((vi)(a >= b), zero, dy));
    case OPERATION_WHERE: {
      float *dw = gradient_of(S, o->operands[2]);
      for (long i = 0; i < S->count; i += VL) {
        vi chosen = (vi)(load(x + i) != zero);
        vf dy = load(d_value + i);
        add_to(dz, i, select_where(chosen, dy, zero));
        add_to(dw, i, select_where(chosen, zero, dy));
      }
    }
  }
}

/* === Steps === */

/* Copies between an array, whose strip may end within a vector, and a buffer, whose rest is 0 */
static void strip_in(const unit_strip *S, float *buffer, const float *array) {
  for (long i = 0; i < S->count; i += VL) store(buffer + i, load_part(array + i, S->count - i));
}
static void strip_out(const unit_strip *S, float *array, const float *buffer) {
  for (long i = 0; i < S->count; i += VL) store_part(array + i, load(buffer + i), S->count - i);
}
static void strip_fill(const unit_strip *S, float *buffer, float number) {
  for (long i = 0; i < S->count; i += VL) store(buffer + i, splat(number));
}
static void strip_copy(const unit_strip *S, float *to, const float *from) {
  for (long i = 0; i < S->count; i += VL) store(to + i, load(from + i));
}

static long step_of(const unit_strip *S, long t) { return S->row * S->J->q->T + t; }
static int is_masked(const unit_strip *S, long t) { return S->J->q->mask && !S->J->q->mask[step_of(S, t)]; }
/* Position of the strip in an array (n, T, parts, h), or (parts, n, h) */
static long at_step(const unit_strip *S, long t, long parts, long part) {
  return (step_of(S, t) * parts + part) * S->J->q->h + S->u;
}
static long at_row(const unit_strip *S, long part) {
  return (part * S->J->q->n + S->row) * S->J->q->h + S->u;
}

static void prepare_strip(const unit_strip *S) {
  const unitwise_job *J = S->J;
  for (long k = 0; k < J->q->num_weights; k++)
    strip_in(S, value_of(S, J->first_weight + k), J->q->weights + k * J->q->h + S->u);
  for (long k = 0; k < J->q->num_constants; k++) strip_fill(S, value_of(S, J->first_constant + k), J->q->constants[k]);
}

static void compute_step(const unit_strip *S, long t) {
  const unitwise_job *J = S->J;
  for (long k = 0; k < J->q->blocks; k++)
    strip_in(S, value_of(S, k), J->q->x + at_step(S, t, J->q->blocks, k));
  for (long k = 0; k < J->q->num_operations; k++)
    unit_operation(S, J->q->operations + k, value_of(S, J->first_operation + k));
}

static void unitwise_forward_strip(const unit_strip *S) {
  const unitwise_job *J = S->J;
  const deeprnn_unitwise *q = J->q;
  prepare_strip(S);
  for (long k = 0; k < q->num_states; k++) strip_in(S, value_of(S, J->first_state + k), q->states + at_row(S, k));
  for (long s = 0; s < q->T; s++) {
    long t = q->reverse ? q->T - 1 - s : s;
    if (!is_masked(S, t)) {
      compute_step(S, t);
      for (long k = 0; k < q->num_states; k++) strip_copy(S, S->carried + k * J->strip, value_of(S, q->new_states[k]));
      for (long k = 0; k < q->num_states; k++)
        strip_copy(S, value_of(S, J->first_state + k), S->carried + k * J->strip);
    }
    for (long k = 0; q->stored && k < q->num_states; k++)
      strip_out(S, q->stored + at_step(S, t, q->num_states, k), value_of(S, J->first_state + k));
    for (long k = 0; q->y && k < q->outputs; k++)
      strip_out(S, q->y + at_step(S, t, q->outputs, k), value_of(S, J->first_state + k));
  }
  for (long k = 0; k < q->num_states; k++) strip_out(S, q->last + at_row(S, k), value_of(S, J->first_state + k));
}

static void load_states_before(const unit_strip *S, long s) {
  const deeprnn_unitwise *q = S->J->q;
  long before = q->reverse ? q->T - s : s - 1; /* position of the step before */
  for (long k = 0; k < q->num_states; k++) {
    const float *from = s ? q->stored + at_step(S, before, q->num_states, k) : q->states + at_row(S, k);
    strip_in(S, value_of(S, S->J->first_state + k), from);
  }
}

static void zero_gradients(const unit_strip *S) {
  const unitwise_job *J = S->J;
  for (long k = 0; k < J->first_weight; k++) strip_fill(S, gradient_of(S, k), 0.f);
  for (long k = J->first_operation; k < J->values; k++) strip_fill(S, gradient_of(S, k), 0.f);
}

static void step_gradients(const unit_strip *S, long s, long t) {
  const unitwise_job *J = S->J;
  const deeprnn_unitwise *q = J->q;
  load_states_before(S, s);
  compute_step(S, t);
  zero_gradients(S);
  for (long k = 0; k < q->num_states; k++) {
    float *d = gradient_of(S, q->new_states[k]);
    for (long i = 0; i < S->count; i += VL) add_to(d, i, load(S->carried + k * J->strip + i));
  }
  for (long k = q->num_operations - 1; k >= 0; k--) unit_gradient(S, q->operations + k, J->first_operation + k);
  for (long k = 0; k < q->num_states; k++) strip_copy(S, S->carried + k * J->strip, gradient_of(S, J->first_state + k));
}

static void unitwise_backward_strip(const unit_strip *S) {
  const unitwise_job *J = S->J;
  const deeprnn_unitwise *q = J->q;
  prepare_strip(S);
  for (long k = J->first_weight; k < J->first_operation; k++) strip_fill(S, gradient_of(S, k), 0.f);
  for (long k = 0; k < q->num_states; k++) strip_in(S, S->carried + k * J->strip, q->d_last + at_row(S, k));
  for (long s = q->T - 1; s >= 0; s--) {
    long t = q->reverse ? q->T - 1 - s : s;
    for (long k = 0; q->dy && k < q->outputs; k++)
      for (long i = 0; i < S->count; i += VL)
        add_to(S->carried + k * J->strip, i, load_part(q->dy + at_step(S, t, q->outputs, k) + i, S->count - i));
    int masked = is_masked(S, t);
    if (!masked) step_gradients(S, s, t);
    for (long k = 0; k < q->blocks; k++) {
      if (masked) strip_fill(S, gradient_of(S, k), 0.f);
      strip_out(S, q->dx + at_step(S, t, q->blocks, k), gradient_of(S, k));
    }
  }
  for (long k = 0; k < q->num_weights; k++)
    strip_out(S, q->d_weights + (S->row * q->num_weights + k) * q->h + S->u, gradient_of(S, J->first_weight + k));
  for (long k = 0; k < q->num_states; k++) strip_out(S, q->d_states + at_row(S, k), S->carried + k * J->strip);
}

/* === A call === */

static void unitwise_thread(void *argument, int id) {
  const unitwise_job *J = argument;
  float *memory = J->memory + id * J->thread_floats;
  for (long item = share(J->items, id, J->threads); item < share(J->items, id + 1, J->threads); item++) {
    long u = item % J->strips * J->strip;
    unit_strip S = {J, item / J->strips, u, smaller(J->strip, J->q->h - u), memory, NULL, NULL};
    S.d = S.v + J->values * J->strip;
    S.carried = S.d + (J->backward ? J->values * J->strip : 0);
    if (J->backward) unitwise_backward_strip(&S);
    else unitwise_forward_strip(&S);
  }
}

static int run_unitwise(const deeprnn_unitwise *q, int backward) {
  unitwise_job J = {.q = q, .backward = backward};
  J.first_state = (int)q->blocks;
  J.first_weight = J.first_state + (int)q->num_states;
  J.first_constant = J.first_weight + (int)q->num_weights;
  J.first_operation = J.first_constant + (int)q->num_constants;
  J.values = J.first_operation + q->num_operations;
  long units = larger(VL, UNITWISE_BYTES / (long)sizeof(float) / J.values / VL * VL);
  J.strip = smaller(units, (q->h + VL - 1) / VL * VL);
  J.strips = (q->h + J.strip - 1) / J.strip;
  J.items = q->n * J.strips;
  long work = J.items * J.strip * q->T * (q->num_operations + 1);
  J.threads = (int)smaller(smaller(q->threads, J.items), larger(1, work / MIN_UNITWISE_WORK));
  J.threads = deeprnn_available_threads(J.threads);
  J.thread_floats = (J.values * (backward ? 2 : 1) + q->num_states) * J.strip;
  size_t bytes = (size_t)J.thread_floats * J.threads * sizeof(float);
  J.memory = deeprnn_take_memory(bytes);
  if (!J.memory) return DEEPRNN_NO_MEMORY;
  deeprnn_run(J.threads, unitwise_thread, &J);
  deeprnn_give_memory(J.memory, bytes);
  return DEEPRNN_OK;
}

#endif
