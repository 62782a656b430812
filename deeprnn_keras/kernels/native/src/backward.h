/* The backward pass: from the last step to the first, in chunks; dz of a chunk, then the gradients that it gives. */
#ifndef DEEPRNN_BACKWARD_H
#define DEEPRNN_BACKWARD_H

#include "forward.h"
#include "gradients.h"

typedef struct {
  const float *g, *h, *h_before, *c, *c_before, *dy;
  const int32_t *mask;
  float *dz;
  long active;
} backward_step;

static backward_cell gradient_at(const job *J, const backward_step *S, long at) {
  long rows = J->h * J->ld;
  return (backward_cell){
      .cell = J->q->cell,
      .activation = J->q->activation,
      .recurrent_activation = J->q->recurrent_activation,
      .g = S->g ? S->g + at : NULL,
      .g_step = rows,
      .h = S->h + at,
      .h_before = S->h_before + at,
      .c = S->c ? S->c + at : NULL,
      .c_before = S->c_before ? S->c_before + at : NULL,
      .dy = S->dy ? S->dy + at : NULL,
      .dh = J->dh + at,
      .dc = J->dc ? J->dc + at : NULL,
      .dz = S->dz + at,
      .dz_step = rows,
  };
}

static void run_gradient(const backward_cell *cell, int half, long count) {
  switch (cell->cell) {
    case CELL_RNN: rnn_backward(cell, count); break;
    case CELL_LSTM: lstm_backward(cell, count); break;
    case CELL_GRU: gru_backward(cell, count); break;
    default:
      if (half == 0) gru_candidate_backward(cell, count);
      else gru_reset_backward(cell, count);
  }
}

/* Gradients of the products, elementwise, for the units and columns of a part */
static void backward_cells(part *P, const backward_step *S) {
  job *J = P->J;
  if (is_flat(J)) {
    long n = J->n, group = FLAT_UNITS / PR;
    const int32_t *mask = flat_mask(P, S->mask, FLAT_UNITS);
    for (long b = P->b0; b < P->b1; b += group) {
      long units = smaller(smaller(group, P->b1 - b) * PR, J->h - b * PR);
      backward_cell cell = gradient_at(J, S, b * PR * n);
      cell.mask = mask;
      run_gradient(&cell, 0, units * n);
    }
    return;
  }
  long u1 = smaller(P->b1 * PR, J->h);
  for (long u = P->b0 * PR; u < u1; u++) {
    backward_cell cell = gradient_at(J, S, u * J->ld + P->j0);
    cell.mask = S->mask ? S->mask + P->j0 : NULL;
    run_gradient(&cell, 0, P->j1 - P->j0);
  }
}

/* dh += U dz for the units and columns of a part, from the blocks [first, first + count) of dz, which belong to the
 * gates [gate, ...) of U; two ranges, because a GRU's candidate reads another block. */
static void add_products(part *P, const backward_step *S, factor one, factor two, float *dh) {
  job *J = P->J;
  long end = smaller(P->j1, S->active), stride = J->gates * J->h * PR;
  one.stride = two.stride = stride;
  if (is_flat(J)) {
    if (S->active == 0) return;
    one.a += P->b0 * stride, two.a += P->b0 * stride;
    row_panels(P->b1 - P->b0, dh + P->b0 * PR * J->n, PR * J->n, J->n, one, J->n, J->n);
    if (two.k) row_panels(P->b1 - P->b0, dh + P->b0 * PR * J->n, PR * J->n, J->n, two, J->n, J->n);
    return;
  }
  for (long b = P->b0; b < P->b1; b++)
    for (long j = P->j0, width; j < end; j += width) {
      width = tile_width(j, end);
      factor x = {one.a + b * stride, one.b + j, one.k, stride}, h = {two.a + b * stride, two.b ? two.b + j : NULL, two.k, stride};
      float *to = dh + b * PR * J->ld + j;
      product(1, to, J->ld, FROM_ARRAY, to, J->ld, x, h, J->ld, width);
    }
}

/* Second half of a GRU that resets before the product: through r h to r and h */
static void backward_reset(part *P, const backward_step *S) {
  job *J = P->J;
  long rows = J->h * J->ld, width = J->gates * J->h;
  factor candidate = {J->packed_dh + 2 * J->h * PR, S->dz + 2 * rows, J->h, width * PR}, none = {0};
  long end = smaller(P->j1, S->active), n = J->n;
  if (is_flat(J)) end = n;
  for (long b = P->b0; b < P->b1; b++) {
    long units = smaller(PR, J->h - b * PR);
    factor f = candidate;
    f.a += b * width * PR;
    if (is_flat(J)) {
      product(1, P->z, n, FROM_ZERO, J->zeros, 0, f, none, n, n);
      backward_cell cell = gradient_at(J, S, b * PR * n);
      cell.mask = flat_mask(P, S->mask, PR);
      cell.d_reset_h = P->z;
      run_gradient(&cell, 1, units * n);
      continue;
    }
    for (long j = P->j0, step; j < P->j1; j += step) {
      step = j < end ? tile_width(j, end) : P->j1 - j;
      if (j >= end) { /* columns that have ended: dz of r is 0 */
        for (long u = 0; u < units; u++) memset(S->dz + rows + (b * PR + u) * J->ld + j, 0, step * sizeof(float));
        continue;
      }
      factor part_f = f;
      part_f.b += j;
      product(1, P->z, TW, FROM_ZERO, J->zeros, 0, part_f, none, J->ld, step);
      for (long u = 0; u < units; u++) {
        backward_cell cell = gradient_at(J, S, (b * PR + u) * J->ld + j);
        cell.mask = S->mask ? S->mask + j : NULL;
        cell.d_reset_h = P->z + u * TW;
        run_gradient(&cell, 1, step);
      }
    }
  }
}

static void run_backward_step(part *P, const backward_step *S) {
  job *J = P->J;
  long rows = J->h * J->ld;
  factor none = {J->packed_dh, NULL, 0, 0};
  backward_cells(P, S);
  meet_in_step(P);
  if (J->q->cell == CELL_GRU_RESET_BEFORE) {
    backward_reset(P, S);
    meet_in_step(P);
    factor update_reset = {J->packed_dh, S->dz, 2 * J->h, 0};
    add_products(P, S, update_reset, none, J->dh);
  } else if (J->q->cell == CELL_GRU) {
    factor update_reset = {J->packed_dh, S->dz, 2 * J->h, 0};
    factor candidate = {J->packed_dh + 2 * J->h * PR, S->dz + 3 * rows, J->h, 0};
    add_products(P, S, update_reset, candidate, J->dh);
  } else {
    factor all = {J->packed_dh, S->dz, J->gates * J->h, 0};
    add_products(P, S, all, none, J->dh);
  }
}

/* === Chunks === */

static void dy_in(part *P, long s0, long s1) {
  job *J = P->J;
  if (!J->dy_chunk) return;
  for (long s = s0; s < s1; s++)
    columns_in(P, J->dy_chunk + (s - s0) * J->h * J->ld, J->ld, J->q->dy, J->h, time_of(J, s), 0, P->j0, P->j1, P->b0 * PR,
               smaller(P->b1 * PR, J->h));
}

/* The cell state after step s, of a chunk that begins at s0 */
static float *backward_c_at(const job *J, long s, long s0) {
  if (J->q->cell != CELL_LSTM) return NULL;
  long rows = J->h * J->ld;
  if (!J->q->store) return J->c_chunk + (s - s0 + 1) * rows;
  return s < 0 ? J->c_start : J->q->C + time_of(J, s) * rows;
}

/* Compute the gates and cell states of a chunk again; the outputs are known, so that steps need not wait. */
static void recompute_chunk(part *P, long s0, long s1) {
  job *J = P->J;
  long u1 = smaller(P->b1 * PR, J->h), rows = J->h * J->ld;
  if (J->q->cell == CELL_LSTM) {
    const float *from = J->q->C + s0 / J->chunk * rows;
    for (long u = P->b0 * PR; u < u1; u++)
      memcpy(J->c_chunk + u * J->ld + P->j0, from + u * J->ld + P->j0, (P->j1 - P->j0) * sizeof(float));
  }
  for (long s = s0; s < s1; s++) {
    long t = time_of(J, s);
    forward_step S = {
        .x = x_at(J, s, s0),
        .h_before = h_at(J, s - 1),
        .c_before = backward_c_at(J, s - 1, s0),
        .h = J->dz + (s - s0) * J->dz_blocks * rows, /* the outputs again, written where dz will be */
        .c = backward_c_at(J, s, s0),
        .g = J->g_chunk + (s - s0) * J->stored * rows,
        .mask = J->mask ? J->mask + t * J->ld : NULL,
        .active = J->active[s],
    };
    run_forward_step(P, &S);
  }
}

static void backward_chunk(part *P, long s0, long s1) {
  job *J = P->J;
  const deeprnn_sequence *q = J->q;
  long rows = J->h * J->ld;
  int recomputes = !q->store && J->stored;
  x_in(P, s0, s1);
  dy_in(P, s0, s1);
  if (recomputes) recompute_chunk(P, s0, s1);
  for (long s = s1 - 1; s >= s0; s--) {
    long t = time_of(J, s);
    backward_step S = {
        .g = backward_g_at(J, s, s0),
        .h = h_at(J, s),
        .h_before = h_at(J, s - 1),
        .c = backward_c_at(J, s, s0),
        .c_before = backward_c_at(J, s - 1, s0),
        .dy = !q->dy ? NULL : J->dy_chunk ? J->dy_chunk + (s - s0) * rows : q->dy + t * rows,
        .mask = J->mask ? J->mask + t * J->ld : NULL,
        .dz = J->dz + (s - s0) * J->dz_blocks * rows,
        .active = J->active[s],
    };
    run_backward_step(P, &S);
  }
  meet(P);
  if (q->dx) input_gradient(P, s0, s1);
  weight_gradients(P, s0, s1);
  meet(P);
}

static void backward_thread(void *argument, int id) {
  job *J = argument;
  part P = part_of(J, id);
  long u0 = share(J->blocks, id, J->threads), u1 = share(J->blocks, id + 1, J->threads);
  pack_transposed(J, J->packed_dh, J->q->U, J->h, u0, u1);
  if (J->q->dx)
    pack_transposed(J, J->packed_dx, J->q->W, J->d, share(J->input_blocks, id, J->threads),
                    share(J->input_blocks, id + 1, J->threads));
  if (!J->q->store && J->stored) pack_forward(&P);
  else if (J->by_columns) meet(&P);
  long last = (J->T - 1) / J->chunk * J->chunk;
  for (long s0 = last; s0 >= 0; s0 -= J->chunk) backward_chunk(&P, s0, smaller(s0 + J->chunk, J->T));
  state_out(&P, J->q->d_state[0], J->dh);
  if (J->q->cell == CELL_LSTM) state_out(&P, J->q->d_state[1], J->dc);
}

#endif
