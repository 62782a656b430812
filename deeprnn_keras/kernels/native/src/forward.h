/* The forward pass: products, cells, steps, chunks of steps. */
#ifndef DEEPRNN_FORWARD_H
#define DEEPRNN_FORWARD_H

#include "layout.h"

typedef struct {
  const float *x, *projected; /* (d, ld), or its products: (blocks, gates, 8, ld), or (n, row_values) for few columns */
  const float *h_before, *c_before;
  float *h, *c, *g;
  const int32_t *mask;
  long active;
} forward_step;

static forward_cell cell_at(const job *J, const forward_step *S, const float *z, long z_step, long at) {
  return (forward_cell){
      .cell = J->q->cell,
      .activation = J->q->activation,
      .recurrent_activation = J->q->recurrent_activation,
      .z = z,
      .z_step = z_step,
      .h_before = S->h_before + at,
      .c_before = S->c_before ? S->c_before + at : NULL,
      .h = S->h + at,
      .c = S->c ? S->c + at : NULL,
      .g = S->g ? S->g + at : NULL,
      .g_step = J->h * J->ld,
  };
}

/* `half` counts the halves of a GRU that resets before the product; other cells have one. */
static void run_cell(const forward_cell *cell, int half, long count) {
  switch (cell->cell) {
    case CELL_RNN: rnn_forward(cell, count); break;
    case CELL_LSTM: lstm_forward(cell, count); break;
    case CELL_GRU: gru_forward(cell, count); break;
    default:
      if (half == 0) gru_reset_forward(cell, count);
      else gru_candidate_forward(cell, count);
  }
}

/* Values of a column of the products of x: panels of 8 rows */
static long row_values(const job *J) { return J->blocks * J->gates * PR; }

/* z of block b, columns [j, j + width): slots of (8, ldz) */
static void block_products(const job *J, const forward_step *S, float *z, long ldz, long b, long j, long width, int half) {
  int cell = J->q->cell;
  long panel = b * J->gates;
  int from = !S->projected ? FROM_ROWS : is_flat(J) ? FROM_COLUMNS : FROM_ARRAY;
  long ldi = is_flat(J) ? row_values(J) : J->ld;
  long init_step = from == FROM_ARRAY ? PR * ldi : PR;
  const float *init = (S->projected ? S->projected + j : J->bias) + panel * init_step;
  factor none = {0};
  factor x = {J->packed_x + panel * PR * J->d, S->x + j, S->projected ? 0 : J->d, PR * J->d};
  factor h = {J->packed_h + panel * PR * J->h, S->h_before + j, J->h, PR * J->h};
  if (cell == CELL_RNN || cell == CELL_LSTM) {
    product(J->gates, z, ldz, from, init, ldi, x, h, J->ld, width);
    return;
  }
  if (half == 0) product(2, z, ldz, from, init, ldi, x, h, J->ld, width);
  x.a += 2 * x.stride, h.a += 2 * h.stride, init += 2 * init_step;
  if (cell == CELL_GRU) {
    product(1, z + 2 * PR * ldz, ldz, FROM_ROWS, J->bias_h + b * PR, 0, none, h, J->ld, width);
    product(1, z + 3 * PR * ldz, ldz, from, init, ldi, x, none, J->ld, width);
  } else if (half == 1) {
    h.b = S->g + 3 * J->h * J->ld + j;
    product(1, z + 2 * PR * ldz, ldz, from, init, ldi, x, h, J->ld, width);
  }
}

static void forward_tiles(part *P, const forward_step *S, int half) {
  job *J = P->J;
  long end = smaller(P->j1, S->active);
  for (long b = P->b0; b < P->b1; b++) {
    long units = smaller(PR, J->h - b * PR);
    for (long j = P->j0, width; j < end; j += width) {
      width = tile_width(j, end);
      block_products(J, S, P->z, TW, b, j, width, half);
      for (long u = 0; u < units; u++) {
        forward_cell cell = cell_at(J, S, P->z + u * TW, PR * TW, (b * PR + u) * J->ld + j);
        cell.mask = S->mask ? S->mask + j : NULL;
        run_cell(&cell, half, width);
      }
    }
    long rest = P->j1 - larger(end, P->j0), last_half = J->q->cell != CELL_GRU_RESET_BEFORE || half == 1;
    for (long u = 0; rest > 0 && last_half && u < units; u++) {
      long at = (b * PR + u) * J->ld + larger(end, P->j0);
      memcpy(S->h + at, S->h_before + at, rest * sizeof(float));
      if (S->c) memcpy(S->c + at, S->c_before + at, rest * sizeof(float));
    }
  }
}

/* Repeat the mask of a step for every unit of a flat range. */
static const int32_t *flat_mask(part *P, const int32_t *mask, long units) {
  if (!mask) return NULL;
  long n = P->J->n;
  for (long u = 0; u < units; u++)
    for (long j = 0; j < n; j++) P->flat_mask[u * n + j] = mask[j];
  return P->flat_mask;
}

/* z of a GRU's block for few columns: three sums at the same time */
static void flat_gru_products(const job *J, const forward_step *S, float *z, long b) {
  long n = J->n, panel = b * J->gates, slot = PR * n;
  const float *bias = J->bias + panel * PR, *init = S->projected + panel * PR;
  factor x = {J->packed_x + panel * PR * J->d, S->x, J->d, PR * J->d}, none = {0};
  factor h = {J->packed_h + panel * PR * J->h, S->h_before, J->h, PR * J->h};
  if (S->projected) {
    row_starts(2, z, slot, n, FROM_COLUMNS, init, row_values(J), n);
    row_starts(1, z + 3 * slot, slot, n, FROM_COLUMNS, init + 2 * PR, row_values(J), n);
  } else {
    product(J->gates, z, n, FROM_ROWS, bias, 0, x, none, n, n);
    memcpy(z + 3 * slot, z + 2 * slot, slot * sizeof(float));
  }
  row_starts(1, z + 2 * slot, slot, n, FROM_ROWS, J->bias_h + b * PR, 0, n);
  row_panels(J->gates, z, slot, n, h, n, n);
}

/* z of some blocks for few columns; the blocks follow each other. */
static void flat_products(const job *J, const forward_step *S, float *z, long b, long blocks, int half) {
  long n = J->n, panel = b * J->gates;
  if (J->q->cell == CELL_GRU) {
    flat_gru_products(J, S, z, b);
    return;
  }
  if (J->q->cell == CELL_GRU_RESET_BEFORE) {
    block_products(J, S, z, n, b, 0, n, half);
    return;
  }
  factor x = {J->packed_x + panel * PR * J->d, S->x, S->projected ? 0 : J->d, PR * J->d};
  factor h = {J->packed_h + panel * PR * J->h, S->h_before, J->h, PR * J->h};
  const float *init = (S->projected ? S->projected : J->bias) + panel * PR;
  product(blocks * J->gates, z, n, S->projected ? FROM_COLUMNS : FROM_ROWS, init, row_values(J), x, h, n, n);
}

/* Few columns: all units of a block are one range of elements, and the lanes of products are rows. Several sums at a
 * time hide the latency of each: eight blocks of a plain RNN, two of an LSTM. */
static void forward_flat(part *P, const forward_step *S, int half) {
  job *J = P->J;
  long n = J->n, group = J->gates == 1 ? FLAT_UNITS / PR : J->gates == 4 ? 2 : 1;
  const int32_t *mask = flat_mask(P, S->mask, FLAT_UNITS);
  for (long b = P->b0; b < P->b1; b += group) {
    long blocks = smaller(group, P->b1 - b), at_once = J->gates == 1 ? blocks : 1;
    flat_products(J, S, P->z, b, blocks, half);
    for (long i = 0; i < blocks; i += at_once) {
      long first = (b + i) * PR, units = smaller(at_once * PR, J->h - first);
      forward_cell cell = cell_at(J, S, P->z + i * J->gates * PR * n, PR * n, first * n);
      cell.mask = mask;
      run_cell(&cell, half, units * n);
    }
  }
}

static void run_forward_step(part *P, const forward_step *S) {
  int halves = P->J->q->cell == CELL_GRU_RESET_BEFORE ? 2 : 1;
  for (int half = 0; half < halves; half++) {
    if (half) meet_in_step(P);
    if (is_flat(P->J)) forward_flat(P, S, half);
    else forward_tiles(P, S, half);
  }
}

/* Products of x for a chunk of steps at a time, with few columns: those of all steps together are many. The result is
 * transposed, (columns, row_values), since a step reads all rows of its columns. */
static void project_wide(part *P, long s0, long s1) {
  job *J = P->J;
  long count = (s1 - s0) * J->n, rows = J->gates * PR;
  factor none = {0};
  widen(P, x_at, s0, s1, J->d);
  for (long b = P->b0; b < P->b1; b++)
    for (long j = 0, width; j < count; j += width) {
      width = tile_width(j, count);
      factor x = {J->packed_x + b * rows * J->d, J->wide + j, J->d, PR * J->d};
      product(J->gates, P->z, TW, FROM_ROWS, J->bias + b * rows, 0, x, none, J->wide_ld, width);
      for (long r = 0; r < rows; r++) P->in[r] = P->z + r * TW;
      for (long c = 0; c < width; c++) P->out[c] = J->projected + (j + c) * row_values(J) + b * rows;
      transpose(P->in, rows, width, P->out);
    }
}

/* Products of x for a chunk of steps: each panel is read once. */
static void project_chunk(part *P, long s0, long s1) {
  job *J = P->J;
  long panels = J->gates;
  factor none = {0};
  if (is_flat(J)) {
    project_wide(P, s0, s1);
    return;
  }
  for (long b = P->b0; b < P->b1; b++)
    for (long s = s0; s < s1; s++) {
      long end = smaller(P->j1, J->active[s]);
      float *to = J->projected + ((s - s0) * J->blocks + b) * panels * PR * J->ld;
      for (long j = P->j0, width; j < end; j += width) {
        width = tile_width(j, end);
        factor x = {J->packed_x + b * panels * PR * J->d, x_at(J, s, s0) + j, J->d, PR * J->d};
        product(panels, to + j, J->ld, FROM_ROWS, J->bias + b * panels * PR, 0, x, none, J->ld, width);
      }
    }
}

/* The products of x of a step */
static const float *projected_at(const job *J, long s, long s0) {
  if (!J->projected) return NULL;
  return J->projected + (s - s0) * row_values(J) * J->ld;
}

static float *forward_c_at(const job *J, long s) {
  if (J->q->cell != CELL_LSTM) return NULL;
  long rows = J->h * J->ld;
  if (s < 0) return J->c_start;
  return J->q->store ? J->q->C + time_of(J, s) * rows : J->c_ring + s % 2 * rows;
}

/* With recomputation: keep the cell states before a chunk. */
static void keep_c(part *P, long s0) {
  job *J = P->J;
  if (J->q->cell != CELL_LSTM || J->q->store || !J->q->C) return;
  const float *from = forward_c_at(J, s0 - 1);
  float *to = J->q->C + s0 / J->chunk * J->h * J->ld;
  long u1 = smaller(P->b1 * PR, J->h);
  for (long u = P->b0 * PR; u < u1; u++)
    memcpy(to + u * J->ld + P->j0, from + u * J->ld + P->j0, (P->j1 - P->j0) * sizeof(float));
}

static void forward_chunk(part *P, long s0, long s1) {
  job *J = P->J;
  const deeprnn_sequence *q = J->q;
  x_in(P, s0, s1);
  if (J->projected) project_chunk(P, s0, s1);
  keep_c(P, s0);
  for (long s = s0; s < s1; s++) {
    long t = time_of(J, s);
    forward_step S = {
        .x = x_at(J, s, s0),
        .projected = projected_at(J, s, s0),
        .h_before = h_at(J, s - 1),
        .c_before = forward_c_at(J, s - 1),
        .h = h_at(J, s),
        .c = forward_c_at(J, s),
        .g = J->g_ring,
        .mask = J->mask ? J->mask + t * J->ld : NULL,
        .active = J->active[s],
    };
    if (q->store && J->stored) S.g = q->G + t * J->stored * J->h * J->ld;
    run_forward_step(P, &S);
    meet_in_step(P);
  }
  for (long s = s0; q->y && s < s1; s++)
    columns_out(P, q->y, h_at(J, s), J->ld, J->h, time_of(J, s), P->j0, P->j1, P->b0 * PR, smaller(P->b1 * PR, J->h));
}

static void forward_thread(void *argument, int id) {
  job *J = argument;
  part P = part_of(J, id);
  pack_forward(&P);
  for (long s0 = 0; s0 < J->T; s0 += J->chunk) forward_chunk(&P, s0, smaller(s0 + J->chunk, J->T));
  state_out(&P, J->q->last[0], h_at(J, J->T - 1));
  if (J->q->cell == CELL_LSTM) state_out(&P, J->q->last[1], forward_c_at(J, J->T - 1));
}

#endif
