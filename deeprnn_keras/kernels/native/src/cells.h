/* One time step of each cell, elementwise: from the products z to the new states, and back to the gradients of z.
 *
 * Arrays are ranges of `count` elements; an array of several blocks (gates) has the distance between blocks beside it.
 * At an element with mask 0 the states stay as they are, and their gradients pass by.
 */
#ifndef DEEPRNN_CELLS_H
#define DEEPRNN_CELLS_H

#include "vectors.h"

typedef struct {
  int cell, activation, recurrent_activation;
  const float *z; /* products; readable up to whole vectors */
  long z_step;
  const float *h_before, *c_before;
  const int32_t *mask; /* -1 or 0, or NULL */
  float *h, *c;        /* new states */
  float *g;            /* gates, for the backward pass, or NULL */
  long g_step;
} forward_cell;

typedef struct {
  int cell, activation, recurrent_activation;
  const float *g; /* gates of the forward pass */
  long g_step;
  const float *h, *h_before, *c, *c_before;
  const int32_t *mask;
  const float *dy;       /* gradient of this step's output, or NULL */
  const float *d_reset_h; /* GRU that resets before the product, second half: gradient of r h */
  float *dh;             /* gradient of h: in, after this step; out, the part that does not pass through products */
  float *dc;             /* gradient of c, in and out */
  float *dz;             /* gradients of the products */
  long dz_step;
} backward_cell;

#define FOR_VECTORS(count) for (long i = 0, rest = (count); rest > 0; i += VL, rest -= VL)

INLINE vi load_mask(const int32_t *mask, long i, long rest) {
  return mask ? (vi)load_part((const float *)mask + i, rest) : (vi)splat(0.f) - 1;
}
INLINE vf keep(const int32_t *mask, vi valid, vf new, vf old) { return mask ? select_where(valid, new, old) : new; }

/* === Forward === */

static void rnn_forward(const forward_cell *s, long count) {
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf h = activate(s->activation, load(s->z + i));
    if (s->mask) h = select_where(valid, h, load_part(s->h_before + i, rest));
    store_part(s->h + i, h, rest);
  }
}

static void lstm_forward(const forward_cell *s, long count) {
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf input = activate(s->recurrent_activation, load(s->z + i));
    vf forget = activate(s->recurrent_activation, load(s->z + s->z_step + i));
    vf candidate = activate(s->activation, load(s->z + 2 * s->z_step + i));
    vf output = activate(s->recurrent_activation, load(s->z + 3 * s->z_step + i));
    vf before = load_part(s->c_before + i, rest);
    vf c = keep(s->mask, valid, forget * before + input * candidate, before);
    vf h = output * activate(s->activation, c);
    if (s->mask) h = select_where(valid, h, load_part(s->h_before + i, rest));
    store_part(s->c + i, c, rest);
    store_part(s->h + i, h, rest);
    if (s->g) {
      float *g = s->g + i;
      store_part(g, input, rest);
      store_part(g + s->g_step, forget, rest);
      store_part(g + 2 * s->g_step, candidate, rest);
      store_part(g + 3 * s->g_step, output, rest);
    }
  }
}

/* z, r, product U_g h with its bias, product W_g x with its bias; stored: z, r, g, and the product with h */
static void gru_forward(const forward_cell *s, long count) {
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf update = activate(s->recurrent_activation, load(s->z + i));
    vf reset = activate(s->recurrent_activation, load(s->z + s->z_step + i));
    vf product = load(s->z + 2 * s->z_step + i);
    vf candidate = activate(s->activation, load(s->z + 3 * s->z_step + i) + reset * product);
    vf before = load_part(s->h_before + i, rest);
    store_part(s->h + i, keep(s->mask, valid, update * (before - candidate) + candidate, before), rest);
    if (s->g) {
      float *g = s->g + i;
      store_part(g, update, rest);
      store_part(g + s->g_step, reset, rest);
      store_part(g + 2 * s->g_step, candidate, rest);
      store_part(g + 3 * s->g_step, product, rest);
    }
  }
}

/* First half of a GRU that resets before the product: z, r, and r h, stored as blocks 0, 1, and 3 */
static void gru_reset_forward(const forward_cell *s, long count) {
  FOR_VECTORS(count) {
    vf update = activate(s->recurrent_activation, load(s->z + i));
    vf reset = activate(s->recurrent_activation, load(s->z + s->z_step + i));
    float *g = s->g + i;
    store_part(g, update, rest);
    store_part(g + s->g_step, reset, rest);
    store_part(g + 3 * s->g_step, reset * load_part(s->h_before + i, rest), rest);
  }
}

/* Second half: the candidate, from the product that is block 2 of z */
static void gru_candidate_forward(const forward_cell *s, long count) {
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf update = load_part(s->g + i, rest);
    vf candidate = activate(s->activation, load(s->z + 2 * s->z_step + i));
    vf before = load_part(s->h_before + i, rest);
    store_part(s->h + i, keep(s->mask, valid, update * (before - candidate) + candidate, before), rest);
    store_part(s->g + 2 * s->g_step + i, candidate, rest);
  }
}

/* === Backward === */

/* The gradient of the new h at valid elements; what passes by at the others is left in dh, else `passing`. */
INLINE vf split_gradient(const backward_cell *s, long i, long rest, vi valid, vf *passing) {
  vf dh = load_part(s->dh + i, rest);
  if (s->dy) dh += load_part(s->dy + i, rest);
  *passing = splat(0.f);
  if (!s->mask) return dh;
  *passing = select_where(valid, splat(0.f), dh);
  return select_where(valid, dh, splat(0.f));
}

static void rnn_backward(const backward_cell *s, long count) {
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf passing, dh = split_gradient(s, i, rest, valid, &passing);
    vf dz = dh * derivative(s->activation, load_part(s->h + i, rest));
    store_part(s->dz + i, keep(s->mask, valid, dz, splat(0.f)), rest);
    store_part(s->dh + i, passing, rest);
  }
}

static void lstm_backward(const backward_cell *s, long count) {
  const vf zero = splat(0.f);
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf passing, dh = split_gradient(s, i, rest, valid, &passing);
    const float *g = s->g + i;
    vf input = load_part(g, rest), forget = load_part(g + s->g_step, rest);
    vf candidate = load_part(g + 2 * s->g_step, rest), output = load_part(g + 3 * s->g_step, rest);
    vf squashed = activate(s->activation, load_part(s->c + i, rest));
    vf dc_after = load_part(s->dc + i, rest);
    vf dc = dc_after + dh * output * derivative(s->activation, squashed);
    vf d_input = dc * candidate * derivative(s->recurrent_activation, input);
    vf d_forget = dc * load_part(s->c_before + i, rest) * derivative(s->recurrent_activation, forget);
    vf d_candidate = dc * input * derivative(s->activation, candidate);
    vf d_output = dh * squashed * derivative(s->recurrent_activation, output);
    float *dz = s->dz + i;
    store_part(dz, keep(s->mask, valid, d_input, zero), rest);
    store_part(dz + s->dz_step, keep(s->mask, valid, d_forget, zero), rest);
    store_part(dz + 2 * s->dz_step, keep(s->mask, valid, d_candidate, zero), rest);
    store_part(dz + 3 * s->dz_step, keep(s->mask, valid, d_output, zero), rest);
    store_part(s->dc + i, keep(s->mask, valid, dc * forget, dc_after), rest);
    store_part(s->dh + i, passing, rest);
  }
}

/* dz: z, r, W_g x, U_g h */
static void gru_backward(const backward_cell *s, long count) {
  const vf zero = splat(0.f), one = splat(1.f);
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf passing, dh = split_gradient(s, i, rest, valid, &passing);
    const float *g = s->g + i;
    vf update = load_part(g, rest), reset = load_part(g + s->g_step, rest);
    vf candidate = load_part(g + 2 * s->g_step, rest), product = load_part(g + 3 * s->g_step, rest);
    vf d_update = dh * (load_part(s->h_before + i, rest) - candidate) * derivative(s->recurrent_activation, update);
    vf d_candidate = dh * (one - update) * derivative(s->activation, candidate);
    vf d_reset = d_candidate * product * derivative(s->recurrent_activation, reset);
    float *dz = s->dz + i;
    store_part(dz, keep(s->mask, valid, d_update, zero), rest);
    store_part(dz + s->dz_step, keep(s->mask, valid, d_reset, zero), rest);
    store_part(dz + 2 * s->dz_step, keep(s->mask, valid, d_candidate, zero), rest);
    store_part(dz + 3 * s->dz_step, keep(s->mask, valid, d_candidate * reset, zero), rest);
    store_part(s->dh + i, keep(s->mask, valid, dh * update, passing), rest);
  }
}

/* dz: z, and the candidate as block 2 */
static void gru_candidate_backward(const backward_cell *s, long count) {
  const vf zero = splat(0.f), one = splat(1.f);
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf passing, dh = split_gradient(s, i, rest, valid, &passing);
    const float *g = s->g + i;
    vf update = load_part(g, rest), candidate = load_part(g + 2 * s->g_step, rest);
    vf d_update = dh * (load_part(s->h_before + i, rest) - candidate) * derivative(s->recurrent_activation, update);
    vf d_candidate = dh * (one - update) * derivative(s->activation, candidate);
    store_part(s->dz + i, keep(s->mask, valid, d_update, zero), rest);
    store_part(s->dz + 2 * s->dz_step + i, keep(s->mask, valid, d_candidate, zero), rest);
    store_part(s->dh + i, keep(s->mask, valid, dh * update, passing), rest);
  }
}

/* dz: r as block 1, from the gradient of r h */
static void gru_reset_backward(const backward_cell *s, long count) {
  FOR_VECTORS(count) {
    vi valid = load_mask(s->mask, i, rest);
    vf reset = load_part(s->g + s->g_step + i, rest), d_reset_h = load_part(s->d_reset_h + i, rest);
    vf d_reset = d_reset_h * load_part(s->h_before + i, rest) * derivative(s->recurrent_activation, reset);
    vf dh = load_part(s->dh + i, rest);
    store_part(s->dz + s->dz_step + i, keep(s->mask, valid, d_reset, splat(0.f)), rest);
    store_part(s->dh + i, keep(s->mask, valid, dh + d_reset_h * reset, dh), rest);
  }
}

#endif
