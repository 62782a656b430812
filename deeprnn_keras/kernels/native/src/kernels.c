/* A recurrent layer over whole sequences, forward and backward, for one instruction set (the macro ISA names it).
 *
 * Threads share a call in one of two ways. With many columns for each thread (`by_columns`), a thread runs its own
 * columns through all steps and never waits. Otherwise a thread owns blocks of 8 units, whose packed weights stay in its
 * cache, and the threads meet at a barrier in every step. Results are the same, because every sum is (products.h).
 *
 * Time is cut into chunks: what a chunk needs in addition to the arrays of the caller stays small enough for the cache.
 * Steps are counted in reading order, s = 0 ... T - 1; `time_of` is the position in the arrays.
 *
 * With a mask, the columns are sorted by the number of their valid steps, so that the columns that have ended are the
 * last ones and cost nothing.
 */
#include "cells.h"
#include "products.h"
#include <stdlib.h>
#include <unistd.h>

#define NAME_OF_(name, isa) name##_##isa
#define NAME_OF(name, isa) NAME_OF_(name, isa)
#define TEXT_(text) #text
#define TEXT(text) TEXT_(text)

#define CHUNK_BYTES (1l << 18) /* of the gradients of the products of a chunk */
#define OUTER_COLUMNS 128      /* columns of one update of the weight gradients; they fit into the first cache */
#define MIN_STEP_WORK 100000   /* multiplications per step and thread, below which a barrier costs more than it gains */
#define MIN_CALL_WORK 1000000  /* multiplications per call and thread, below which waking a thread costs more */
#define GRU_SLOTS 4            /* blocks of z: z, r, product with h, product with x */

typedef struct {
  const deeprnn_sequence *q;
  long T, n, d, h, ld, blocks, input_blocks, chunk, ring;
  int gates, stored, dz_blocks, threads, by_columns, fused;
  long *order, *active;
  int32_t *mask;
  float *packed_x, *packed_h, *bias, *bias_h; /* panels for the forward pass */
  float *packed_dh, *packed_dx;               /* panels for the backward pass */
  float *h_start, *c_start, *h_ring, *c_ring, *g_ring, *x_chunk, *projected;
  float *dh, *dc, *dz, *dy_chunk, *dx_chunk, *c_chunk, *g_chunk, *zeros;
  char *thread_memory;
  size_t thread_bytes;
  deeprnn_barrier barrier;
} job;

/* What one thread works on: blocks [b0, b1) of 8 units and columns [j0, j1), padding included */
typedef struct {
  job *J;
  int id, sense;
  long b0, b1, j0, j1;
  float *z, *strip;
  const float **in;
  float **out;
  int32_t *flat_mask;
} part;

static long share(long count, int id, int threads) { return count * id / threads; }
static long smaller(long a, long b) { return a < b ? a : b; }
static long larger(long a, long b) { return a > b ? a : b; }
static long time_of(const job *J, long s) { return J->q->reverse ? J->T - 1 - s : s; }
static long padded_columns(long n) {
  long rest = n % VL;
  return rest > MAX_ROW_COLUMNS ? n + VL - rest : n;
}
/* With few columns, the units and columns of a block are one range of elements. */
static int is_flat(const job *J) { return J->ld <= MAX_ROW_COLUMNS; }
static int gates_of(int cell) { return cell == CELL_RNN ? 1 : cell == CELL_LSTM ? 4 : 3; }
static int stored_blocks_of(int cell) { return cell == CELL_RNN ? 0 : 4; }
static int dz_blocks_of(int cell) { return cell == CELL_GRU ? 4 : gates_of(cell); }

/* === Memory of a call === */

typedef struct {
  char *base;
  size_t used;
} arena;

/* Under AddressSanitizer a gap that must not be touched follows each array. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define GAP 64
#else
#define GAP 0
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)0)
#endif

static void *take(arena *A, size_t count, size_t size) {
  void *at = A->base ? A->base + A->used : NULL;
  A->used += (count * size + 63) / 64 * 64;
  if (at) ASAN_POISON_MEMORY_REGION(A->base + A->used, GAP);
  A->used += GAP;
  return at;
}
static float *take_floats(arena *A, size_t count) { return take(A, count + VL, sizeof(float)); }

static void lay_out_thread(const job *J, arena *A, part *P) {
  long group = 4, units = group * PR;
  P->z = take_floats(A, larger(GRU_SLOTS * PR * TW, units * GRU_SLOTS * larger(J->n, 1)));
  P->strip = take_floats(A, (OUTER_COLUMNS + TW) * TW);
  P->in = take(A, larger(larger(J->n, TW), PR) + 8, sizeof(float *));
  P->out = take(A, larger(larger(J->d, J->h), larger(OUTER_COLUMNS, J->n)) + 8, sizeof(float *));
  P->flat_mask = take(A, units * MAX_ROW_COLUMNS + VL, sizeof(int32_t));
}

/* What conversions need, too */
static void lay_out_columns(job *J, arena *A) {
  J->order = take(A, J->n, sizeof(long));
  J->active = take(A, J->T, sizeof(long));
  J->mask = J->q->mask ? take(A, (size_t)J->T * J->ld + VL, sizeof(int32_t)) : NULL;
  J->zeros = take_floats(A, larger(larger(J->d, J->h), J->ld));
  arena thread = {0};
  part P;
  lay_out_thread(J, &thread, &P);
  J->thread_bytes = thread.used;
  J->thread_memory = take(A, J->thread_bytes, J->threads);
}

static void lay_out_common(job *J, arena *A) {
  const deeprnn_sequence *q = J->q;
  size_t rows = (size_t)J->h * J->ld;
  lay_out_columns(J, A);
  J->packed_x = take_floats(A, (size_t)J->blocks * J->gates * PR * J->d);
  J->packed_h = take_floats(A, (size_t)J->blocks * J->gates * PR * J->h);
  J->bias = take_floats(A, J->blocks * J->gates * PR);
  J->bias_h = take_floats(A, J->blocks * PR);
  J->h_start = take_floats(A, rows);
  J->c_start = q->cell == CELL_LSTM ? take_floats(A, rows) : NULL;
  J->x_chunk = q->x_batch_major ? take_floats(A, (size_t)J->chunk * J->d * J->ld) : NULL;
}

static void lay_out_forward(job *J, arena *A) {
  const deeprnn_sequence *q = J->q;
  size_t rows = (size_t)J->h * J->ld;
  lay_out_common(J, A);
  J->h_ring = q->H ? NULL : take_floats(A, J->ring * rows);
  J->c_ring = q->cell == CELL_LSTM && !q->store ? take_floats(A, 2 * rows) : NULL;
  J->g_ring = q->cell == CELL_GRU_RESET_BEFORE && !q->store ? take_floats(A, J->stored * rows) : NULL;
  J->projected = J->fused ? NULL : take_floats(A, (size_t)J->chunk * J->blocks * J->gates * PR * J->ld);
}

static void lay_out_backward(job *J, arena *A) {
  const deeprnn_sequence *q = J->q;
  size_t rows = (size_t)J->h * J->ld, padded_rows = (size_t)J->blocks * PR * J->ld;
  lay_out_common(J, A);
  J->packed_dh = take_floats(A, (size_t)J->blocks * PR * J->gates * J->h);
  J->packed_dx = take_floats(A, (size_t)J->input_blocks * PR * J->gates * J->h);
  J->dh = take_floats(A, padded_rows);
  J->dc = q->cell == CELL_LSTM ? take_floats(A, padded_rows) : NULL;
  J->dz = take_floats(A, J->chunk * J->dz_blocks * rows);
  J->dy_chunk = q->dy && q->y_batch_major ? take_floats(A, J->chunk * rows) : NULL;
  J->dx_chunk = q->dx && q->x_batch_major ? take_floats(A, (size_t)J->chunk * J->input_blocks * PR * J->ld) : NULL;
  J->g_chunk = q->store ? NULL : take_floats(A, J->chunk * J->stored * rows);
  J->c_chunk = q->store || q->cell != CELL_LSTM ? NULL : take_floats(A, (J->chunk + 1) * rows);
}

static part part_of(job *J, int id) {
  part P = {.J = J, .id = id, .b1 = J->blocks, .j1 = J->ld};
  arena A = {J->thread_memory + id * J->thread_bytes, 0};
  lay_out_thread(J, &A, &P);
  if (J->by_columns) {
    long vectors = (J->ld + VL - 1) / VL;
    P.j0 = smaller(share(vectors, id, J->threads) * VL, J->ld);
    P.j1 = smaller(share(vectors, id + 1, J->threads) * VL, J->ld);
  } else {
    P.b0 = share(J->blocks, id, J->threads);
    P.b1 = share(J->blocks, id + 1, J->threads);
  }
  return P;
}

static void meet(part *P) { deeprnn_meet(&P->J->barrier, &P->sense); }
/* Between steps only threads that own blocks wait for each other. */
static void meet_in_step(part *P) {
  if (!P->J->by_columns) meet(P);
}

/* === Plan === */

static long cache_bytes(void) {
#ifdef _SC_LEVEL2_CACHE_SIZE
  long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (bytes >= 1l << 18) return bytes;
#endif
  return 1l << 20;
}

/* Steps of a chunk: the same forward and backward, since with recomputation C holds the states between chunks. */
static long chunk_steps(long T, long n, long h, int cell) {
  long ld = padded_columns(n), bytes = dz_blocks_of(cell) * h * ld * (long)sizeof(float);
  return smaller(T, larger(1, larger(CHUNK_BYTES / bytes, OUTER_COLUMNS / larger(n, 1))));
}

static void plan(job *J, const deeprnn_sequence *q) {
  *J = (job){.q = q, .T = q->T, .n = q->n, .d = q->d, .h = q->h, .ld = padded_columns(q->n)};
  J->blocks = (q->h + PR - 1) / PR;
  J->input_blocks = (q->d + PR - 1) / PR;
  J->gates = gates_of(q->cell);
  J->stored = stored_blocks_of(q->cell);
  J->dz_blocks = dz_blocks_of(q->cell);
  J->chunk = chunk_steps(q->T, q->n, q->h, q->cell);
  J->ring = J->chunk + 2;
  long weights = J->gates * q->h * (q->d + q->h), step = weights * q->n;
  int threads = q->threads;
  threads = smaller(threads, larger(1, step / MIN_STEP_WORK));
  threads = smaller(threads, larger(1, step * q->T / MIN_CALL_WORK));
  J->by_columns = q->n >= 2 * VL && q->n / q->threads >= VL &&
                  (q->n / q->threads >= TW || weights * (long)sizeof(float) <= cache_bytes());
  if (J->by_columns) threads = smaller(q->threads, larger(1, step * q->T / MIN_CALL_WORK));
  else threads = smaller(threads, J->blocks);
  J->threads = deeprnn_available_threads(threads);
  if (J->threads == 1) J->by_columns = 0;
  long own = weights * (long)sizeof(float) / (J->by_columns ? 1 : J->threads);
  J->fused = own <= cache_bytes() / 4 * 3;
  J->barrier.threads = J->threads;
  atomic_init(&J->barrier.count, 0);
  atomic_init(&J->barrier.sense, 0);
}

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
static void columns_in(part *P, float *to, const float *from, long width, long t, int clear_masked, long j0, long j1,
                       long f0, long f1) {
  const job *J = P->J;
  long end = smaller(j1, J->n);
  for (long j = j0; j < end; j++) {
    long row = J->order[j];
    int cleared = clear_masked && J->mask && !J->q->mask[row * J->T + t];
    P->in[j - j0] = cleared ? J->zeros : from + (row * J->T + t) * width + f0;
  }
  for (long f = f0; f < f1; f++) P->out[f - f0] = to + f * J->ld + j0;
  if (end > j0) transpose(P->in, end - j0, f1 - f0, P->out);
  for (long f = f0; f < f1; f++)
    for (long j = larger(end, j0); j < j1; j++) to[f * J->ld + j] = 0.f;
}

/* The same features and columns of (width, ld) to step t of a batch-major array, without the padding */
static void columns_out(part *P, float *to, const float *from, long width, long t, long j0, long j1, long f0, long f1) {
  const job *J = P->J;
  long end = smaller(j1, J->n);
  if (end <= j0) return;
  for (long j = j0; j < end; j++) P->out[j - j0] = to + (J->order[j] * J->T + t) * width + f0;
  for (long f = f0; f < f1; f += TW) {
    long f_end = smaller(f1, f + TW);
    for (long i = f; i < f_end; i++) P->in[i - f] = from + i * J->ld + j0;
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
    columns_in(P, J->x_chunk + (s - s0) * J->d * J->ld, J->q->x, J->d, time_of(J, s), 1, P->j0, P->j1, 0, J->d);
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

/* === Forward === */

typedef struct {
  const float *x, *projected; /* (d, ld), or its products (blocks, gates, 8, ld) */
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

/* z of block b, columns [j, j + width): slots of (8, ldz) */
static void block_products(const job *J, const forward_step *S, float *z, long ldz, long b, long j, long width, int half) {
  int cell = J->q->cell;
  long panel = b * J->gates;
  int from = S->projected ? FROM_ARRAY : FROM_ROWS;
  const float *init = S->projected ? S->projected + panel * PR * J->ld + j : J->bias + panel * PR;
  long init_step = S->projected ? PR * J->ld : PR;
  factor none = {0};
  factor x = {J->packed_x + panel * PR * J->d, S->x + j, S->projected ? 0 : J->d, PR * J->d};
  factor h = {J->packed_h + panel * PR * J->h, S->h_before + j, J->h, PR * J->h};
  if (cell == CELL_RNN || cell == CELL_LSTM) {
    product(J->gates, z, ldz, from, init, J->ld, x, h, J->ld, width);
    return;
  }
  if (half == 0) product(2, z, ldz, from, init, J->ld, x, h, J->ld, width);
  x.a += 2 * x.stride, h.a += 2 * h.stride, init += 2 * init_step;
  if (cell == CELL_GRU) {
    product(1, z + 2 * PR * ldz, ldz, FROM_ROWS, J->bias_h + b * PR, 0, none, h, J->ld, width);
    product(1, z + 3 * PR * ldz, ldz, from, init, J->ld, x, none, J->ld, width);
  } else if (half == 1) {
    h.b = S->g + 3 * J->h * J->ld + j;
    product(1, z + 2 * PR * ldz, ldz, from, init, J->ld, x, h, J->ld, width);
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

/* Few columns: all units of a block are one range of elements, and the lanes of products are rows. */
static void forward_flat(part *P, const forward_step *S, int half) {
  job *J = P->J;
  long n = J->n, group = J->gates == 1 ? 4 : 1; /* several sums at a time hide the latency of each */
  const int32_t *mask = flat_mask(P, S->mask, group * PR);
  for (long b = P->b0; b < P->b1; b += group) {
    long blocks = smaller(group, P->b1 - b), units = smaller(blocks * PR, J->h - b * PR);
    if (group == 1) {
      block_products(J, S, P->z, n, b, 0, n, half);
    } else {
      factor x = {J->packed_x + b * PR * J->d, S->x, S->projected ? 0 : J->d, PR * J->d};
      factor h = {J->packed_h + b * PR * J->h, S->h_before, J->h, PR * J->h};
      const float *init = S->projected ? S->projected + b * PR * J->ld : J->bias + b * PR;
      product(blocks, P->z, n, S->projected ? FROM_ARRAY : FROM_ROWS, init, J->ld, x, h, J->ld, n);
    }
    forward_cell cell = cell_at(J, S, P->z, PR * n, b * PR * n);
    cell.mask = mask;
    run_cell(&cell, half, units * n);
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

/* Products of x for a chunk of steps: each panel is read once. */
static void project_chunk(part *P, long s0, long s1) {
  job *J = P->J;
  long panels = J->gates;
  factor none = {0};
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
        .projected = J->projected ? J->projected + (s - s0) * J->blocks * J->gates * PR * J->ld : NULL,
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
    columns_out(P, q->y, h_at(J, s), J->h, time_of(J, s), P->j0, P->j1, P->b0 * PR, smaller(P->b1 * PR, J->h));
}

static void forward_thread(void *argument, int id) {
  job *J = argument;
  part P = part_of(J, id);
  pack_forward(&P);
  for (long s0 = 0; s0 < J->T; s0 += J->chunk) forward_chunk(&P, s0, smaller(s0 + J->chunk, J->T));
  state_out(&P, J->q->last[0], h_at(J, J->T - 1));
  if (J->q->cell == CELL_LSTM) state_out(&P, J->q->last[1], forward_c_at(J, J->T - 1));
}

/* === Backward === */

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
    long n = J->n, group = 4;
    const int32_t *mask = flat_mask(P, S->mask, group * PR);
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

/* === Backward: gradients of inputs and weights of a chunk === */

static void input_gradient(part *P, long s0, long s1) {
  job *J = P->J;
  long width = J->gates * J->h, rows = J->h * J->ld;
  long b0 = share(J->input_blocks, P->id, J->threads), b1 = share(J->input_blocks, P->id + 1, J->threads);
  factor none = {0};
  for (long b = b0; b < b1; b++) {
    long inputs = smaller(PR, J->d - b * PR);
    for (long s = s0; s < s1; s++) {
      float *to = J->dx_chunk ? J->dx_chunk + ((s - s0) * J->input_blocks + b) * PR * J->ld
                              : J->q->dx + (time_of(J, s) * J->d + b * PR) * J->ld;
      for (long j = 0, step; j < J->active[s]; j += step) {
        step = tile_width(j, J->active[s]);
        factor dz = {J->packed_dx + b * width * PR, J->dz + (s - s0) * J->dz_blocks * rows + j, width, 0};
        if (J->dx_chunk || inputs == PR) {
          product(1, to + j, J->ld, FROM_ZERO, J->zeros, 0, dz, none, J->ld, step);
          continue;
        }
        product(1, P->z, TW, FROM_ZERO, J->zeros, 0, dz, none, J->ld, step);
        for (long r = 0; r < inputs; r++) memcpy(to + r * J->ld + j, P->z + r * TW, step * sizeof(float));
      }
      for (long r = 0; r < inputs; r++)
        for (long j = J->active[s]; j < J->ld; j++) to[r * J->ld + j] = 0.f;
    }
  }
  for (long s = s0; J->dx_chunk && b0 < b1 && s < s1; s++)
    columns_out(P, J->q->dx, J->dx_chunk + (s - s0) * J->input_blocks * PR * J->ld, J->d, time_of(J, s), 0, J->ld, b0 * PR,
                smaller(b1 * PR, J->d));
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
      set->dz[i] = J->dz + (at->s - s0) * J->dz_blocks * J->h * J->ld + at->j;
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

/* === Backward: chunks === */

static void dy_in(part *P, long s0, long s1) {
  job *J = P->J;
  if (!J->dy_chunk) return;
  for (long s = s0; s < s1; s++)
    columns_in(P, J->dy_chunk + (s - s0) * J->h * J->ld, J->q->dy, J->h, time_of(J, s), 0, P->j0, P->j1, P->b0 * PR,
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

/* === Conversion of whole sequences: x (n, T, d) to H (T, d, ld), or back to y === */

static void convert_thread(void *argument, int id) {
  job *J = argument;
  part P = part_of(J, id);
  long rows = J->d * J->ld;
  for (long t = share(J->T, id, J->threads); t < share(J->T, id + 1, J->threads); t++) {
    if (J->q->y) columns_out(&P, J->q->y, J->q->x + t * rows, J->d, t, 0, J->n, 0, J->d);
    else columns_in(&P, J->q->H + t * rows, J->q->x, J->d, t, J->q->clear_masked, 0, J->ld, 0, J->d);
  }
}

/* === Entry points === */

static int run(const deeprnn_sequence *q, void (*lay_out)(job *, arena *), void (*thread)(void *, int)) {
  job J;
  plan(&J, q);
  arena A = {0};
  lay_out(&J, &A);
  A = (arena){deeprnn_take_memory(A.used), 0};
  if (!A.base) return DEEPRNN_NO_MEMORY;
  lay_out(&J, &A);
  memset(J.zeros, 0, larger(larger(J.d, J.h), J.ld) * sizeof(float));
  order_columns(&J);
  if (J.h_start) state_in(&J, J.h_start, q->state[0]);
  if (J.c_start) state_in(&J, J.c_start, q->state[1]);
  if (J.dh) state_in(&J, J.dh, q->d_last[0]);
  if (J.dc) state_in(&J, J.dc, q->d_last[1]);
  deeprnn_run(J.threads, thread, &J);
  ASAN_UNPOISON_MEMORY_REGION(A.base, A.used);
  deeprnn_give_memory(A.base);
  return DEEPRNN_OK;
}

static int forward(const deeprnn_sequence *q) { return run(q, lay_out_forward, forward_thread); }
static int backward(const deeprnn_sequence *q) { return run(q, lay_out_backward, backward_thread); }
static int convert(const deeprnn_sequence *q) { return run(q, lay_out_columns, convert_thread); }
static long columns(long n) { return padded_columns(n); }
static long chunks(long T, long n, long h, int cell) {
  long steps = chunk_steps(T, n, h, cell);
  return (T + steps - 1) / steps;
}

const deeprnn_kernels NAME_OF(deeprnn_kernels, ISA) = {TEXT(ISA), VL, forward, backward, convert, columns, chunks};
