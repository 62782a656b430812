/* Recurrences of a program: standard cells, whose strips hold all gates of the same units, and cells that are given by
 * operations.
 *
 * A state is a ring of rate + 1 steps: step t reads position t and writes position t + rate, so that nobody waits for
 * those who still read the state before.
 */
#ifndef DEEPRNN_RECURRENCE_H
#define DEEPRNN_RECURRENCE_H

#include "operations.h"

/* Units of one row: sums of a strip, the states before and after the step, and the output */
typedef struct {
  const float *z, *h_before, *c_before;
  float *h, *c, *y;
} unit_row;

NOINLINE void rnn_units(const deeprnn_operation *o, const unit_row *u, long count) {
  for (long i = 0; i < count; i += VL) {
    vf h = activate(o->activation, load(u->z + i));
    store_part(u->h + i, h, count - i);
    store_part(u->y + i, h, count - i);
  }
}

NOINLINE void lstm_units(const deeprnn_operation *o, const unit_row *u, long count) {
  vf input = activate(o->recurrent_activation, load(u->z));
  vf forget = activate(o->recurrent_activation, load(u->z + VL));
  vf candidate = activate(o->activation, load(u->z + 2 * VL));
  vf output = activate(o->recurrent_activation, load(u->z + 3 * VL));
  vf c = forget * load_part(u->c_before, count) + input * candidate;
  vf h = output * activate(o->activation, c);
  store_part(u->c, c, count);
  store_part(u->h, h, count);
  store_part(u->y, h, count);
}

/* Sums: candidate of x, update, reset, candidate of h */
NOINLINE void gru_units(const deeprnn_operation *o, const unit_row *u, long count) {
  vf update = activate(o->recurrent_activation, load(u->z + VL));
  vf reset = activate(o->recurrent_activation, load(u->z + 2 * VL));
  vf candidate = activate(o->activation, load(u->z) + reset * load(u->z + 3 * VL));
  vf h = update * (load_part(u->h_before, count) - candidate) + candidate;
  store_part(u->h, h, count);
  store_part(u->y, h, count);
}

typedef struct {
  const deeprnn_operation *o;
  const deeprnn_value *y, *h, *c;
  long units;  /* of a strip */
  long strips, rows;
  float *sums; /* (strips, rows, STRIP) */
} recurrence;

static recurrence recurrence_of(const worker *w, const deeprnn_operation *o, long T) {
  recurrence R = {.o = o, .y = value_at(w, o->result), .h = value_at(w, o->first_state)};
  R.c = o->cell == CELL_LSTM ? R.h + 1 : NULL;
  R.units = o->cell == CELL_RNN ? STRIP : VL;
  R.strips = num_strips(&o->U);
  R.rows = T * batch_rows(w);
  R.sums = w->S->sums + w->n0 * w->S->chunk * R.strips * STRIP;
  return R;
}

/* Units of strip s of rows i to i + count at step t, from their sums z */
static void finish_units(const worker *w, const recurrence *R, long t, long i, int count, long s, const float *z) {
  long at = s * R->units, units = smaller(R->units, R->y->width - at), after = t + R->o->rate;
  for (int r = 0; r < count; r++, i++, z += STRIP) {
    unit_row u = {.z = z, .h_before = row_at(w, R->h, t, i) + at};
    u.h = row_at(w, R->h, after, i) + at;
    u.y = row_at(w, R->y, t, i) + at;
    if (R->c) {
      u.c_before = row_at(w, R->c, t, i) + at;
      u.c = row_at(w, R->c, after, i) + at;
    }
    if (R->o->cell == CELL_LSTM) lstm_units(R->o, &u, units);
    else if (R->o->cell == CELL_GRU) gru_units(R->o, &u, units);
    else rnn_units(R->o, &u, units);
  }
}

static void recurrent(worker *w, const deeprnn_operation *o, span steps) {
  recurrence R = recurrence_of(w, o, steps.t1 - steps.t0);
  const deeprnn_value *x = value_at(w, o->operands[0]);
  long s0 = share(R.strips, w->id, w->parts), s1 = share(R.strips, w->id + 1, w->parts), m = batch_rows(w);
  long h_sums = o->cell == CELL_GRU ? VL : 0; /* the first sum of a GRU is not one over h */
  for (long s = s0; s < s1; s++)
    for (long q = 0; q < R.rows; q += TILE_ROWS) {
      int count = (int)smaller(TILE_ROWS, R.rows - q);
      float *z = R.sums + (s * R.rows + q) * STRIP;
      start_sums(z, count, o->offset + s * STRIP);
      add_product_of(w, z, x, steps, q, count, &o->W, s);
    }
  for (long t = steps.t0; t < steps.t1; t++) {
    for (long s = s0; s < s1; s++)
      for (long q = 0; q < m; q += TILE_ROWS) {
        int count = (int)smaller(TILE_ROWS, m - q);
        float *z = R.sums + (s * R.rows + (t - steps.t0) * m + q) * STRIP;
        add_product_of(w, z + h_sums, R.h, (span){t, t + 1}, q, count, &o->U, s);
        finish_units(w, &R, t, w->n0 + q, count, s, z);
      }
    meet_workers(w);
  }
}

static void execute(worker *w, const deeprnn_operation *o, span steps);

/* Write the states after step t, each of its own width, and the output, which is the first of them. */
static void store_states(worker *w, const deeprnn_operation *o, long t) {
  const deeprnn_value *y = value_at(w, o->result);
  for (long i = w->n0 + share(batch_rows(w), w->id, w->parts); i < w->n0 + share(batch_rows(w), w->id + 1, w->parts); i++)
    for (long k = 0; k < o->num_states; k++) {
      const float *from = row_at(w, value_at(w, o->new_states[k]), t, i);
      const deeprnn_value *state = value_at(w, o->first_state + k);
      memcpy(row_at(w, state, t + o->rate, i), from, state->width * sizeof(float));
      if (k == 0) memcpy(row_at(w, y, t, i), from, y->width * sizeof(float));
    }
}

static void cell(worker *w, const deeprnn_operation *o, span steps) {
  for (long t = steps.t0; t < steps.t1; t++) {
    for (long k = 0; k < o->num_steps; k++) execute(w, o->steps + k, (span){t, t + 1});
    store_states(w, o, t);
    meet_workers(w);
  }
}

#endif
