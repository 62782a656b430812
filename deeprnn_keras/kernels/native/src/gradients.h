/* Gradients of the inputs and weights of a chunk of steps, from the gradients dz of its products. */
#ifndef DEEPRNN_GRADIENTS_H
#define DEEPRNN_GRADIENTS_H

#include "layout.h"

static const float *dz_at(const job *J, long s, long s0) { return J->dz + (s - s0) * J->dz_blocks * J->h * J->ld; }

/* dx of blocks [b0, b1) of 8 inputs for few columns: those of all steps of the chunk together are many. */
static void wide_input_gradient(part *P, long s0, long s1, long b0, long b1) {
  job *J = P->J;
  long width = J->gates * J->h, count = (s1 - s0) * J->n;
  factor none = {0};
  widen(P, dz_at, s0, s1, width);
  for (long b = b0; b < b1; b++)
    for (long j = 0, step; j < count; j += step) {
      step = tile_width(j, count);
      factor dz = {J->packed_dx + b * width * PR, J->wide + j, width, 0};
      product(1, J->dx_chunk + b * PR * J->wide_ld + j, J->wide_ld, FROM_ZERO, J->zeros, 0, dz, none, J->wide_ld, step);
    }
  for (long s = s0; b0 < b1 && s < s1; s++) {
    const float *from = J->dx_chunk + (s - s0) * J->n;
    long t = time_of(J, s), f1 = smaller(b1 * PR, J->d);
    if (J->q->x_batch_major) {
      columns_out(P, J->q->dx, from, J->wide_ld, J->d, t, 0, J->n, b0 * PR, f1);
      continue;
    }
    for (long f = b0 * PR; f < f1; f++)
      memcpy(J->q->dx + (t * J->d + f) * J->n, from + f * J->wide_ld, J->n * sizeof(float));
  }
}

/* dx of a step for one block of 8 inputs: `rows` of them exist */
static void block_input_gradient(part *P, float *to, long s, long s0, long b, long rows) {
  job *J = P->J;
  long width = J->gates * J->h;
  factor none = {0};
  for (long j = 0, step; j < J->active[s]; j += step) {
    step = tile_width(j, J->active[s]);
    factor dz = {J->packed_dx + b * width * PR, dz_at(J, s, s0) + j, width, 0};
    if (J->dx_chunk || rows == PR) {
      product(1, to + j, J->ld, FROM_ZERO, J->zeros, 0, dz, none, J->ld, step);
      continue;
    }
    product(1, P->z, TW, FROM_ZERO, J->zeros, 0, dz, none, J->ld, step);
    for (long r = 0; r < rows; r++) memcpy(to + r * J->ld + j, P->z + r * TW, step * sizeof(float));
  }
  for (long r = 0; r < rows; r++)
    for (long j = J->active[s]; j < J->ld; j++) to[r * J->ld + j] = 0.f;
}

static void input_gradient(part *P, long s0, long s1) {
  job *J = P->J;
  long b0 = share(J->input_blocks, P->id, J->threads), b1 = share(J->input_blocks, P->id + 1, J->threads);
  if (is_flat(J)) {
    wide_input_gradient(P, s0, s1, b0, b1);
    return;
  }
  for (long b = b0; b < b1; b++)
    for (long s = s0; s < s1; s++) {
      float *to = J->dx_chunk ? J->dx_chunk + ((s - s0) * J->input_blocks + b) * PR * J->ld
                              : J->q->dx + (time_of(J, s) * J->d + b * PR) * J->ld;
      block_input_gradient(P, to, s, s0, b, smaller(PR, J->d - b * PR));
    }
  for (long s = s0; J->dx_chunk && b0 < b1 && s < s1; s++)
    columns_out(P, J->q->dx, J->dx_chunk + (s - s0) * J->input_blocks * PR * J->ld, J->ld, J->d, time_of(J, s), 0, J->ld,
                b0 * PR, smaller(b1 * PR, J->d));
}

/* One gate: the rows of dz and the weights that their outer products belong to */
typedef struct {
  long dz_block, gate;
  int of_x, of_h, of_reset_h;
  int bias_rows[2]; /* rows of b, or -1 */
} outer_task;

static int outer_tasks(int cell, outer_task *tasks) {
  if (cell == CELL_GRU) {
    tasks[0] = (outer_task){0, 0, 1, 1, 0, {0, 1}};
    tasks[1] = (outer_task){1, 1, 1, 1, 0, {0, 1}};
    tasks[2] = (outer_task){2, 2, 1, 0, 0, {0, -1}};
    tasks[3] = (outer_task){3, 2, 0, 1, 0, {1, -1}};
    return 4;
  }
  int gates = gates_of(cell);
  for (int g = 0; g < gates; g++)
    tasks[g] = (outer_task){g, g, 1, 1, cell == CELL_GRU_RESET_BEFORE && g == 2, {0, -1}};
  return gates;
}

/* Up to OUTER_COLUMNS columns of consecutive steps, last step first */
typedef struct {
  const float *x[OUTER_COLUMNS], *h[OUTER_COLUMNS], *reset_h[OUTER_COLUMNS], *dz[OUTER_COLUMNS];
  long counts[OUTER_COLUMNS], segments, columns;
} column_set;

typedef struct {
  long s, j;
} cursor;

static const float *backward_g_at(const job *J, long s, long s0) {
  long rows = J->stored * J->h * J->ld;
  if (!rows) return NULL;
  return J->q->store ? J->q->G + time_of(J, s) * rows : J->g_chunk + (s - s0) * rows;
}

/* Return 0 if there are no more columns; fill `set` and advance `at` from step s1 - 1 down to s0. */
static int next_columns(const job *J, cursor *at, long s0, column_set *set) {
  set->segments = set->columns = 0;
  while (at->s >= s0 && set->columns < OUTER_COLUMNS) {
    long active = smaller(J->active[at->s], J->n), i = set->segments;
    long count = smaller(active - at->j, OUTER_COLUMNS - set->columns);
    if (count > 0) {
      const float *g = backward_g_at(J, at->s, s0);
      set->x[i] = x_at(J, at->s, s0) + at->j;
      set->h[i] = h_at(J, at->s - 1) + at->j;
      set->reset_h[i] = g ? g + 3 * J->h * J->ld + at->j : NULL;
      set->dz[i] = dz_at(J, at->s, s0) + at->j;
      set->counts[i] = count;
      set->columns += count;
      set->segments++;
      at->j += count;
    }
    if (at->j >= active) *at = (cursor){at->s - 1, 0};
  }
  return set->columns > 0;
}

/* Rows [row, row + width) of dz for a set of columns, as (columns, TW) */
static void transpose_strip(part *P, const column_set *set, long row, long width) {
  long ld = P->J->ld;
  float *to = P->strip;
  if (width < TW) memset(to, 0, set->columns * TW * sizeof(float));
  for (long i = 0; i < set->segments; i++) {
    for (long r = 0; r < width; r++) P->in[r] = set->dz[i] + (row + r) * ld;
    for (long c = 0; c < set->counts[i]; c++, to += TW) P->out[c] = to;
    transpose(P->in, width, set->counts[i], P->out);
  }
}

static void add_outer(float *w, long ldw, long width, int fresh, const part *P, const column_set *set,
                      const float *const *rows, long f0, long f1) {
  long f = f0, ld = P->J->ld;
  for (; f + MR <= f1; f += MR)
    outer_many(w + f * ldw, ldw, width, fresh, P->strip, rows, set->counts, set->segments, f, ld);
  for (; f < f1; f++) outer_one(w + f * ldw, ldw, width, fresh, P->strip, rows, set->counts, set->segments, f, ld);
}

static void add_bias(float *b, long width, int fresh, const float *strip, long columns) {
  for (int v = 0; v < 2; v++) {
    long part = width - v * VL;
    if (part <= 0) break;
    vf sum = fresh ? splat(0.f) : load_part(b + v * VL, part);
    for (long c = 0; c < columns; c++) sum += load(strip + c * TW + v * VL);
    store_part(b + v * VL, sum, part);
  }
}

/* A strip of TW rows of one gate; features [f0, f1) of d + h, first those of x, then those of h */
static void strip_gradient(part *P, const outer_task *task, long u, long s0, long s1, long f0, long f1, column_set *set) {
  job *J = P->J;
  const deeprnn_sequence *q = J->q;
  long width = smaller(TW, J->h - u), ldw = J->gates * J->h, column = task->gate * J->h + u;
  int fresh = s1 == J->T;
  cursor at = {s1 - 1, 0};
  for (int any = 0; next_columns(J, &at, s0, set) || (fresh && !any); fresh = 0, any = 1) {
    transpose_strip(P, set, task->dz_block * J->h + u, width);
    if (task->of_x && f0 < J->d) add_outer(q->dW + column, ldw, width, fresh, P, set, set->x, f0, smaller(f1, J->d));
    if (task->of_h && f1 > J->d)
      add_outer(q->dU + column, ldw, width, fresh, P, set, task->of_reset_h ? set->reset_h : set->h, larger(f0 - J->d, 0),
                f1 - J->d);
    for (int i = 0; i < 2 && q->db && f0 == 0; i++)
      if (task->bias_rows[i] >= 0) add_bias(q->db + task->bias_rows[i] * ldw + column, width, fresh, P->strip, set->columns);
  }
}

/* Threads share the strips; if there are too few of them, the features. */
static void weight_gradients(part *P, long s0, long s1) {
  job *J = P->J;
  outer_task tasks[4];
  column_set set;
  int count = outer_tasks(J->q->cell, tasks);
  long strips = (J->h + TW - 1) / TW, features = J->d + J->h;
  int by_features = count * strips < 4 * J->threads;
  long f0 = 0, f1 = features;
  if (by_features) {
    f0 = smaller(share((features + MR - 1) / MR, P->id, J->threads) * MR, features);
    f1 = smaller(share((features + MR - 1) / MR, P->id + 1, J->threads) * MR, features);
  }
  for (long i = 0; i < count * strips && f0 < f1; i++)
    if (by_features || i % J->threads == P->id)
      strip_gradient(P, &tasks[i / strips], i % strips * TW, s0, s1, f0, f1, &set);
}

#endif
