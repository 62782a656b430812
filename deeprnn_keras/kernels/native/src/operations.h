/* Operations of a program without states, over the rows of a span of steps. */
#ifndef DEEPRNN_OPERATIONS_H
#define DEEPRNN_OPERATIONS_H

#include "elementwise.h"
#include "worker.h"

/* === Products === */

static void affine(const worker *w, const deeprnn_operation *o, span steps) {
  const deeprnn_value *x = value_at(w, o->operands[0]), *y = value_at(w, o->result);
  long strips = num_strips(&o->W), rows = num_rows(w, steps), columns = o->W.strip * VL;
  for (long s = share(strips, w->id, w->parts); s < share(strips, w->id + 1, w->parts); s++)
    for (long q = 0; q < rows; q += TILE_ROWS) {
      float z[TILE_ROWS * STRIP];
      char *out[TILE_ROWS];
      int R = (int)smaller(TILE_ROWS, rows - q);
      start_sums(z, R, o->offset + s * STRIP);
      add_product_of(w, z, x, steps, q, R, &o->W, s);
      collect_rows(w, y, steps, q, R, out);
      for (int r = 0; r < R; r++) {
        float *to = (float *)out[r] + s * columns;
        long width = smaller(columns, y->width - s * columns);
        for (long i = 0; i < width; i += VL) store_part(to + i, load(z + r * STRIP + i), width - i);
      }
    }
}

static void diagonal(const worker *w, const deeprnn_operation *o, span steps) {
  const deeprnn_value *x = value_at(w, o->operands[0]), *y = value_at(w, o->result);
  long rows = num_rows(w, steps);
  for (long q = share(rows, w->id, w->parts); q < share(rows, w->id + 1, w->parts); q++) {
    char *from, *to;
    collect_rows(w, x, steps, q, 1, &from);
    collect_rows(w, y, steps, q, 1, &to);
    for (long first = 0; first < y->width; first += x->width)
      for (long i = 0; i < x->width; i += VL) {
        long rest = x->width - i, at = first + i;
        vf sum = load_part((float *)from + i, rest) * load_part(o->scale + at, rest) + load_part(o->offset + at, rest);
        store_part((float *)to + at, sum, rest);
      }
  }
}

/* === Rows === */

static void copy_row(const deeprnn_operation *o, const float *x, float *y, long width) {
  (void)width;
  memcpy(y + o->to, x + o->from, o->count * sizeof(float));
}

static void gather_row(const deeprnn_operation *o, const float *x, float *y, long width) {
  memcpy(y, o->scale + *(const int64_t *)x * width, width * sizeof(float));
}

static void one_hot_row(const deeprnn_operation *o, const float *x, float *y, long width) {
  (void)o;
  memset(y, 0, width * sizeof(float));
  y[*(const int64_t *)x] = 1.f;
}

/* The sum of x, or of the squares of x - center, in double precision; four sums, since one would wait for itself */
static double sum_of(const float *x, long width) {
  double sum[4] = {0};
  for (long i = 0; i < width; i++) sum[i % 4] += x[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
static double sum_of_squares(const float *x, long width, float center) {
  double sum[4] = {0};
  for (long i = 0; i < width; i++) {
    double difference = x[i] - center;
    sum[i % 4] += difference * difference;
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void softmax_row(const deeprnn_operation *o, const float *x, float *y, long width) {
  float top = x[0];
  for (long i = 1; i < width; i++) top = x[i] > top ? x[i] : top;
  for (long i = 0; i < width; i += VL) {
    vf shifted = load_part(x + i, width - i) - splat(top);
    store_part(y + i, vexp(shifted), width - i);
  }
  double sum = sum_of(y, width);
  float factor = (float)(1 / sum), logarithm = (float)log(sum);
  for (long i = 0; i < width; i += VL) {
    vf shifted = load_part(x + i, width - i) - splat(top);
    vf value = o->kind == OPERATION_SOFTMAX ? load_part(y + i, width - i) * splat(factor) : shifted - splat(logarithm);
    store_part(y + i, value, width - i);
  }
}

static void normalize_row(const deeprnn_operation *o, const float *x, float *y, long width) {
  float mean = o->centered ? (float)(sum_of(x, width) / width) : 0.f;
  float factor = (float)(1 / sqrt(sum_of_squares(x, width, mean) / width + o->epsilon));
  for (long i = 0; i < width; i += VL) {
    vf value = (load_part(x + i, width - i) - splat(mean)) * splat(factor);
    store_part(y + i, value * load_part(o->scale + i, width - i) + load_part(o->offset + i, width - i), width - i);
  }
}

static void each_row(const worker *w, const deeprnn_operation *o, span steps,
                     void (*function)(const deeprnn_operation *, const float *, float *, long)) {
  const deeprnn_value *x = value_at(w, o->operands[0]), *y = value_at(w, o->result);
  long rows = num_rows(w, steps);
  for (long q = share(rows, w->id, w->parts); q < share(rows, w->id + 1, w->parts); q++) {
    char *from, *to;
    collect_rows(w, x, steps, q, 1, &from);
    collect_rows(w, y, steps, q, 1, &to);
    function(o, (const float *)from, (float *)to, y->width);
  }
}

static void mean_rows(const worker *w, const deeprnn_operation *o, span steps) {
  const deeprnn_value *x = value_at(w, o->operands[0]), *y = value_at(w, o->result);
  long rows = num_rows(w, steps);
  for (long q = share(rows, w->id, w->parts); q < share(rows, w->id + 1, w->parts); q++) {
    char *from, *to;
    collect_rows(w, x, steps, q, 1, &from);
    collect_rows(w, y, steps, q, 1, &to);
    *(float *)to = (float)(sum_of((const float *)from, x->width) / x->width);
  }
}

/* === Elementwise === */

typedef struct {
  float *y;
  const float *x[3];
  int repeated[3]; /* an operand of width 1 beside others */
} element_row;

INLINE vf operand(const element_row *e, int k, long i, long rest) {
  return e->repeated[k] ? splat(e->x[k][0]) : load_part(e->x[k] + i, rest);
}

#define MAP(expression)                             \
  for (long i = first; i < last; i += VL) {         \
    long rest = last - i;                           \
    vf a = operand(e, 0, i, rest);                  \
    store_part(e->y + i, expression, rest);         \
  }                                                 \
  break
#define MAP_TWO(expression)                                             \
  for (long i = first; i < last; i += VL) {                             \
    long rest = last - i;                                               \
    vf a = operand(e, 0, i, rest), b = operand(e, 1, i, rest);          \
    store_part(e->y + i, expression, rest);                             \
  }                                                                     \
  break

NOINLINE void map_row(int kind, const element_row *e, long first, long last) {
  switch (kind) {
    case OPERATION_NEGATE: MAP(-a);
    case OPERATION_SIGMOID: MAP(vsigmoid(a));
    case OPERATION_TANH: MAP(vtanh(a));
    case OPERATION_RELU: MAP(vmax(splat(0.f), a));
    case OPERATION_HARD_SIGMOID: MAP(activate(ACTIVATION_HARD_SIGMOID, a));
    case OPERATION_EXP: MAP(exp_of(a));
    case OPERATION_LOG: MAP(log_of(a));
    case OPERATION_SOFTPLUS: MAP(softplus_of(a));
    case OPERATION_SQRT: MAP(sqrt_of(a));
    case OPERATION_RSQRT: MAP(splat(1.f) / sqrt_of(a));
    case OPERATION_SIN: MAP(sine_of(a, 0));
    case OPERATION_COS: MAP(sine_of(a, 1));
    case OPERATION_ADD: MAP_TWO(a + b);
    case OPERATION_SUBTRACT: MAP_TWO(a - b);
    case OPERATION_MULTIPLY: MAP_TWO(a * b);
    case OPERATION_DIVIDE: MAP_TWO(a / b);
    case OPERATION_MAXIMUM: MAP_TWO(larger_of(a, b));
    case OPERATION_GREATER: MAP_TWO(where_greater(a, b));
    default: MAP_TWO(where_nonzero(a, b, operand(e, 2, i, rest)));
  }
}

static void elementwise(const worker *w, const deeprnn_operation *o, span steps) {
  const deeprnn_value *y = value_at(w, o->result);
  int count = o->kind < OPERATION_ADD ? 1 : o->kind < OPERATION_WHERE ? 2 : 3;
  long vectors = (y->width + VL - 1) / VL, rows = num_rows(w, steps);
  long first = share(vectors, w->id, w->parts) * VL;
  long last = smaller(share(vectors, w->id + 1, w->parts) * VL, y->width);
  element_row e = {0};
  for (int k = 0; k < count; k++) e.repeated[k] = y->width > 1 && value_at(w, o->operands[k])->width == 1;
  for (long q = 0; q < rows && first < last; q++) {
    char *row;
    for (int k = 0; k < count; k++) {
      collect_rows(w, value_at(w, o->operands[k]), steps, q, 1, &row);
      e.x[k] = (const float *)row;
    }
    collect_rows(w, y, steps, q, 1, &row);
    e.y = (float *)row;
    map_row(o->kind, &e, first, last);
  }
}

#endif
