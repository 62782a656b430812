/* A thread that executes a program, and the rows that it reads and writes. */
#ifndef DEEPRNN_WORKER_H
#define DEEPRNN_WORKER_H

#include "job.h"
#include "strips.h"

/* Threads share a program in one of two ways: each has rows of the batch and executes everything for them, or each has
 * strips of all matrices, and they meet after each operation. */
typedef struct {
  deeprnn_stream *S;
  deeprnn_barrier *barrier;
  int sense, id, parts; /* parts: threads that share the same rows */
  long n0, n1;          /* its rows of the batch */
  long done;            /* steps of the call in earlier chunks */
} worker;

/* Steps [t0, t1) of a chunk; their rows are numbered one step after the other. */
typedef struct {
  long t0, t1;
} span;

INLINE void meet_workers(worker *w) {
  if (w->parts > 1) deeprnn_meet(w->barrier, &w->sense);
}

INLINE long batch_rows(const worker *w) { return w->n1 - w->n0; }
INLINE long num_rows(const worker *w, span steps) { return (steps.t1 - steps.t0) * batch_rows(w); }
INLINE const deeprnn_value *value_at(const worker *w, long index) { return w->S->values + index; }

/* Row 0 of the batch at a step */
INLINE char *step_at(const worker *w, const deeprnn_value *v, long t) {
  if (v->of_call) t += w->done;
  if (v->ring) t = (w->S->time + t) % v->ring;
  return (char *)v->data + t * v->step;
}
INLINE float *row_at(const worker *w, const deeprnn_value *v, long t, long i) {
  return (float *)(step_at(w, v, t) + i * v->row);
}

/* Rows q to q + count of a span */
INLINE void collect_rows(const worker *w, const deeprnn_value *v, span steps, long q, long count, char **rows) {
  long m = batch_rows(w), later = steps.t1 - steps.t0 == 1 ? 0 : q / m;
  long t = steps.t0 + later, i = w->n0 + q - later * m;
  char *first = step_at(w, v, t);
  for (long r = 0; r < count; r++) {
    rows[r] = first + i * v->row;
    if (++i == w->n1 && r + 1 < count) {
      i = w->n0;
      first = step_at(w, v, ++t);
    }
  }
}

/* z (R, STRIP) += rows q to q + R of x times strip s; ids are one-hot rows. */
INLINE void add_product_of(const worker *w, float *z, const deeprnn_value *x, span steps, long q, int R,
                           const deeprnn_matrix *m, long s) {
  char *rows[TILE_ROWS];
  collect_rows(w, x, steps, q, R, rows);
  if (x->ids) add_selected(z, R, (const int64_t *const *)rows, m, s);
  else add_strip(z, R, (const float *const *)rows, m, s);
}

/* The beginning of the sums of a strip, from its biases (STRIP) */
INLINE void start_sums(float *z, int R, const float *bias) {
  for (int r = 0; r < R; r++)
    for (int v = 0; v < STRIP_VECTORS; v++) store(z + r * STRIP + v * VL, load(bias + v * VL));
}

#endif
