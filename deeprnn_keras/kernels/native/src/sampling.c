/* Sampling of the next ids from logits, in float64: repetition penalty, temperature, top-k, top-p, min-p, and one draw.
 *
 * The same as deeprnn_keras/generation/sampling.py, which documents it. Sums have the order of that file, so that equal
 * weights give equal draws.
 */
#include "sampling.h"
#include "random.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static double penalized(double logit, double penalty) {
  if (logit > 0) return fmin(logit / penalty, DBL_MAX);
  return isinf(logit) ? logit : fmax(logit * penalty, -DBL_MAX);
}

/* Write logits after the repetition penalty to the weights and return the largest; NaN if the logits are not finite.
 * A logit of minus infinity excludes an id. */
static double read_logits(const deeprnn_sampler *s, const float *logits, const uint8_t *seen) {
  double largest = -INFINITY, *l = s->weights;
  float largest_before = -INFINITY;
  int valid = 1;
  for (int64_t v = 0; v < s->V; v++) {
    valid &= logits[v] == logits[v];
    if (logits[v] > largest_before) largest_before = logits[v];
    l[v] = seen[v] ? penalized(logits[v], s->repetition_penalty) : logits[v];
    if (l[v] > largest) largest = l[v];
  }
  return valid && isfinite(largest_before) ? largest : NAN;
}

/* === Order: a heap of ids, the largest weight first, of equal weights the lowest id === */

static int before(const double *weights, int32_t i, int32_t j) {
  return weights[i] > weights[j] || (weights[i] == weights[j] && i < j);
}

static void sift(const double *weights, int32_t *heap, int64_t node, int64_t size) {
  int32_t moved = heap[node];
  for (int64_t child = 2 * node + 1; child < size; child = 2 * node + 1) {
    if (child + 1 < size && before(weights, heap[child + 1], heap[child])) child++;
    if (!before(weights, heap[child], moved)) break;
    heap[node] = heap[child];
    node = child;
  }
  heap[node] = moved;
}

static void make_heap(const deeprnn_sampler *s) {
  for (int64_t v = 0; v < s->V; v++) s->order[v] = (int32_t)v;
  for (int64_t node = s->V / 2 - 1; node >= 0; node--) sift(s->weights, s->order, node, s->V);
}

/* Move the first of the `size` ids of the heap behind them and return it. */
static int32_t pop(const deeprnn_sampler *s, int64_t size) {
  int32_t first = s->order[0];
  s->order[0] = s->order[size - 1];
  sift(s->weights, s->order, 0, size - 1);
  s->order[size - 1] = first;
  return first;
}

static double sum(const double *weights, int64_t V) {
  double total = 0;
  for (int64_t v = 0; v < V; v++) total += weights[v];
  return total;
}

static void exclude(const deeprnn_sampler *s, int64_t count) {
  for (int64_t i = 0; i < count; i++) s->weights[s->order[i]] = 0;
}

/* Set the weights outside the k largest and outside the nucleus to 0. */
static void keep_likely(const deeprnn_sampler *s) {
  int64_t V = s->V, k = s->top_k > 0 && s->top_k < V ? s->top_k : V, popped = 0, kept = 0;
  if (k == V && s->top_p >= 1) return;
  make_heap(s);
  if (k < V) {
    for (; popped < k; popped++) pop(s, V - popped);
    exclude(s, V - k);
  }
  if (s->top_p >= 1) return;
  double reached = 0, enough = s->top_p * sum(s->weights, V);
  while (kept < k && (kept == 0 || reached < enough)) {
    if (kept == popped) pop(s, V - popped++);
    reached += s->weights[s->order[V - ++kept]];
  }
  exclude(s, V - kept);
}

EXPORT int64_t deeprnn_draw(const double *weights, int64_t V, double u) {
  double target = u * sum(weights, V), reached = 0;
  for (int64_t v = 0; v < V; v++) {
    reached += weights[v];
    if (reached > target) return v;
  }
  return V - 1; /* not reached: u < 1, and the sum is positive */
}

static int64_t first_of(const double *values, int64_t V, double value) {
  int64_t v = 0;
  while (v < V - 1 && values[v] != value) v++;
  return v;
}

/* Return the next id of a row, -1 if its logits are not finite. */
static int64_t next_id(const deeprnn_sampler *s, int64_t row) {
  double largest = read_logits(s, s->logits + row * s->V, s->seen + row * s->V), *w = s->weights;
  if (!isfinite(largest)) return -1;
  if (s->temperature == 0) return first_of(w, s->V, largest);
  for (int64_t v = 0; v < s->V; v++) w[v] = exp((w[v] - largest) / s->temperature);
  keep_likely(s);
  for (int64_t v = 0; v < s->V; v++)
    if (w[v] < s->min_p) w[v] = 0;
  return deeprnn_draw(w, s->V, uniform(s->seed, s->position, s->rows[row]));
}

EXPORT int deeprnn_sample(deeprnn_sampler *s) {
  for (int64_t row = 0; row < s->n; row++) {
    int64_t id = next_id(s, row);
    if (id < 0) return DEEPRNN_NOT_FINITE;
    s->ids[row] = id;
    s->seen[row * s->V + id] = 1;
  }
  s->position++;
  return DEEPRNN_OK;
}

/* Generate `count` ids of each row, (count, n). The stream reads the ids of the sampler and writes its logits; those
 * for position 0 are there already. DEEPRNN_NOT_FINITE: the logits have a NaN, or their maximum is infinite. */
EXPORT int deeprnn_generate(deeprnn_stream *stream, deeprnn_sampler *s, int64_t count, int64_t *ids) {
  for (int64_t t = 0; t < count; t++) {
    int code = s->position ? deeprnn_step(stream) : DEEPRNN_OK;
    if (code == DEEPRNN_OK) code = deeprnn_sample(s);
    if (code != DEEPRNN_OK) return code;
    memcpy(ids + t * s->n, s->ids, s->n * sizeof *ids);
  }
  return DEEPRNN_OK;
}

EXPORT void deeprnn_philox(const uint64_t key[2], const uint64_t counter[4], uint64_t numbers[4]) {
  philox(key, counter, numbers);
}
