/* Between the layouts of the caller and those of the kernels: order of columns, packed weights, transposed sequences. */
#ifndef DEEPRNN_LAYOUT_H
#define DEEPRNN_LAYOUT_H

#include "job.h"

/* === Columns: order, mask, initial states === */

/* Sort the columns by the number of their valid steps, most first; equal ones keep their order (counting sort). */
static void order_columns(job *J) {
  const uint8_t *mask = J->q->mask;
  for (long j = 0; j < J->n; j++) J->order[j] = j;
  for (long s = 0; s < J->T; s++) J->active[s] = J->ld;
  if (!mask) return;
  long *starts = J->active; /* number of columns with a given count; at most T counts above 0 fit */
  memset(starts, 0, J->T * sizeof *starts);
  long full = 0;
  for (long j = 0; j < J->n; j++) {
    long valid = 0;
    for (long t = 0; t < J->T; t++) valid += mask[j * J->T + t] != 0;
    if (valid == J->T) full++;
    else starts[valid]++;
  }
  long at = full;
  for (long valid = J->T - 1; valid >= 0; valid--) {
    long count = starts[valid];
    starts[valid] = at;
    at += count;
  }
  full = 0;
  for (long j = 0; j < J->n; j++) {
    long valid = 0;
    for (long t = 0; t < J->T; t++) valid += mask[j * J->T + t] != 0;
    J->order[valid == J->T ? full++ : starts[valid]++] = j;
  }
  for (long s = 0; s < J->T; s++) {
    long t = time_of(J, s), active = 0;
    int32_t *row = J->mask + t * J->ld;
    memset(row, 0, J->ld * sizeof *row);
    for (long j = 0; j < J->n; j++)
      if (mask[J->order[j] * J->T + t]) row[j] = -1, active = j + 1;
    J->active[s] = active;
  }
}

/* to (h, ld) = from (n, h), transposed, columns in order; zeros if from is NULL */
static void state_in(const job *J, float *to, const float *from) {
  for (long u = 0; u < J->h; u++) {
    for (long j = 0; j < J->n; j++) to[u * J->ld + j] = from ? from[J->order[j] * J->h + u] : 0.f;
    for (long j = J->n; j < J->ld; j++) to[u * J->ld + j] = 0.f;
  }
}

/* to (n, h) = from (h, ld), for the units and columns of a part */
static void state_out(const part *P, float *to, const float *from) {
  const job *J = P->J;
  if (!to) return;
  long u1 = smaller(P->b1 * PR, J->h), j1 = smaller(P->j1, J->n);
  for (long j = P->j0; j < j1; j++)
    for (long u = P->b0 * PR; u < u1; u++) to[J->order[j] * J->h + u] = from[u * J->ld + j];
}

/* === Packing === */

/* Panels [p0, p1) of blocks of 8 units: to (panels, k, 8) from Keras' A (k, gates h) */
static void pack(const job *J, float *to, const float *A, long k, long b0, long b1) {
  long width = J->gates * J->h;
  for (long b = b0; b < b1; b++)
    for (int g = 0; g < J->gates; g++) {
      float *panel = to + (b * J->gates + g) * k * PR;
      const float *from = A + g * J->h + b * PR;
      long units = smaller(PR, J->h - b * PR);
      for (long i = 0; i < k; i++)
        for (long u = 0; u < PR; u++) panel[i * PR + u] = u < units ? from[i * width + u] : 0.f;
    }
}

/* The transpose: blocks [b0, b1) of 8 of the `rows` rows of A (rows, gates h), as (blocks, gates h, 8) */
static void pack_transposed(const job *J, float *to, const float *A, long rows, long b0, long b1) {
  long width = J->gates * J->h;
  for (long b = b0; b < b1; b++) {
    long valid = smaller(PR, rows - b * PR);
    float *panel = to + b * width * PR;
    const float *from = A + b * PR * width;
    for (long m = 0; m < width; m++)
      for (long r = 0; r < PR; r++) panel[m * PR + r] = r < valid ? from[r * width + m] : 0.f;
  }
}

static void pack_bias(const job *J, long b0, long b1) {
  const deeprnn_sequence *q = J->q;
  int both = q->cell == CELL_GRU; /* b and b', which is added to the candidate's product only */
  for (long b = b0; b < b1; b++)
    for (long u = 0; u < PR; u++) {
      long unit = b * PR + u;
      int valid = q->b && unit < J->h;
      for (int g = 0; g < J->gates; g++) {
        float value = valid ? q->b[g * J->h + unit] : 0.f;
        if (valid && both && g < 2) value += q->b[(J->gates + g) * J->h + unit];
        J->bias[(b * J->gates + g) * PR + u] = value;
      }
      J->bias_h[b * PR + u] = valid && both ? q->b[(J->gates + 2) * J->h + unit] : 0.f;
    }
}

static void pack_forward(part *P) {
  job *J = P->J;
  long b0 = share(J->blocks, P->id, J->threads), b1 = share(J->blocks, P->id + 1, J->threads);
  pack(J, J->packed_x, J->q->W, J->d, b0, b1);
  pack(J, J->packed_h, J->q->U, J->h, b0, b1);
  pack_bias(J, b0, b1);
  if (J->by_columns) meet(P);
}

/* === Layout of sequences === */

/* Features [f0, f1) and columns [j0, j1) of step t of a batch-major array, to (width, ld); padding becomes 0. With
 * `clear_masked` so do masked steps, since a NaN there must not spread. */
static void columns_in(part *P, float *to, long ld, const float *from, long width, long t, int clear_masked, long j0,
                       long j1, long f0, long f1) {
  const job *J = P->J;
  long end = smaller(j1, J->n);
  for (long j = j0; j < end; j++) {
    long row = J->order[j];
    int cleared = clear_masked && J->mask && !J->q->mask[row * J->T + t];
    P->in[j - j0] = cleared ? J->zeros : from + (row * J->T + t) * width + f0;
  }
  for (long f = f0; f < f1; f++) P->out[f - f0] = to + f * ld + j0;
  if (end > j0) transpose(P->in, end - j0, f1 - f0, P->out);
  for (long f = f0; f < f1; f++)
    for (long j = larger(end, j0); j < j1; j++) to[f * ld + j] = 0.f;
}

/* The same features and columns of (width, ld) to step t of a batch-major array, without the padding */
static void columns_out(part *P, float *to, const float *from, long ld, long width, long t, long j0, long j1, long f0,
                        long f1) {
  const job *J = P->J;
  long end = smaller(j1, J->n);
  if (end <= j0) return;
  for (long j = j0; j < end; j++) P->out[j - j0] = to + (J->order[j] * J->T + t) * width + f0;
  for (long f = f0; f < f1; f += TW) {
    long f_end = smaller(f1, f + TW);
    for (long i = f; i < f_end; i++) P->in[i - f] = from + i * ld + j0;
    transpose(P->in, f_end - f, end - j0, P->out);
    for (long j = j0; j < end; j++) P->out[j - j0] += f_end - f;
  }
}

/* Make x of steps [s0, s1) feature-major: each thread its own columns, or some steps and then wait for the others. */
static void x_in(part *P, long s0, long s1) {
  job *J = P->J;
  if (!J->q->x_batch_major) return;
  long from = s0, to = s1;
  if (!J->by_columns) {
    from = s0 + share(s1 - s0, P->id, J->threads);
    to = s0 + share(s1 - s0, P->id + 1, J->threads);
  }
  for (long s = from; s < to; s++)
    columns_in(P, J->x_chunk + (s - s0) * J->d * J->ld, J->ld, J->q->x, J->d, time_of(J, s), 1, P->j0, P->j1, 0, J->d);
  meet_in_step(P);
}

static const float *x_at(const job *J, long s, long s0) {
  return J->q->x_batch_major ? J->x_chunk + (s - s0) * J->d * J->ld : J->q->x + time_of(J, s) * J->d * J->ld;
}
static float *h_at(const job *J, long s) {
  long rows = J->h * J->ld;
  if (s < 0) return J->h_start;
  return J->q->H ? J->q->H + time_of(J, s) * rows : J->h_ring + s % J->ring * rows;
}

/* wide (rows, wide_ld) = (rows, n) of each step: the columns of all steps side by side. The threads share the rows. */
static void widen(part *P, const float *(*at)(const job *, long, long), long s0, long s1, long rows) {
  job *J = P->J;
  long n = J->n, r0 = share(rows, P->id, J->threads), r1 = share(rows, P->id + 1, J->threads);
  for (long s = s0; n > 1 && s < s1; s++) {
    const float *from = at(J, s, s0);
    float *columns = J->wide + (s - s0) * n;
    for (long r = r0; r < r1; r++)
      for (long j = 0; j < n; j++) columns[r * J->wide_ld + j] = from[r * n + j];
  }
  for (long s = s0; n == 1 && s < s1; s += TW) {
    long steps = smaller(TW, s1 - s);
    for (long i = 0; i < steps; i++) P->in[i] = at(J, s + i, s0) + r0;
    for (long r = r0; r < r1; r++) P->out[r - r0] = J->wide + r * J->wide_ld + s - s0;
    transpose(P->in, steps, r1 - r0, P->out);
  }
  meet(P);
}

#endif
