/* A call in progress: its sizes, the memory that it works in, and how threads share it. */
#ifndef DEEPRNN_JOB_H
#define DEEPRNN_JOB_H

#include "cells.h"
#include "products.h"
#include <unistd.h>

#define CHUNK_BYTES (1l << 18) /* of the gradients of the products of a chunk */
#define OUTER_COLUMNS 1024     /* of one update of the weight gradients, which are larger than the caches */
#define MIN_STEP_WORK 50000   /* multiplications per step and thread, below which a barrier costs more than it gains */
#define MIN_CALL_WORK 1000000  /* multiplications per call and thread, below which waking a thread costs more */
#define SLOTS 4                /* blocks of z of a GRU: z, r, product with h, product with x */
#define FLAT_UNITS 64          /* units whose sums are computed at the same time if there are few columns */

typedef struct {
  const deeprnn_sequence *q;
  long T, n, d, h, ld, blocks, input_blocks, chunk, ring;
  long wide_ld; /* with few columns: columns of all steps of a chunk side by side */
  int gates, stored, dz_blocks, threads, by_columns, fused;
  long *order, *active;
  int32_t *mask;
  float *packed_x, *packed_h, *bias, *bias_h; /* panels for the forward pass */
  float *packed_dh, *packed_dx;               /* panels for the backward pass */
  float *h_start, *c_start, *h_ring, *c_ring, *g_ring, *x_chunk, *projected;
  float *dh, *dc, *dz, *dy_chunk, *dx_chunk, *c_chunk, *g_chunk, *zeros;
  float *wide; /* (d, wide_ld) of x, or (gates h, wide_ld) of dz */
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
  P->z = take_floats(A, larger(SLOTS * PR * TW, is_flat(J) ? SLOTS * FLAT_UNITS * J->n : 0));
  P->strip = take_floats(A, (OUTER_COLUMNS + TW) * TW);
  P->in = take(A, larger(larger(J->n, TW), SLOTS * PR) + 8, sizeof(float *));
  P->out = take(A, larger(larger(J->d, J->gates * J->h), larger(OUTER_COLUMNS, J->n)) + 8, sizeof(float *));
  P->flat_mask = take(A, FLAT_UNITS * MAX_ROW_COLUMNS + VL, sizeof(int32_t));
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
  size_t columns = is_flat(J) ? (size_t)J->wide_ld : (size_t)J->chunk * J->ld;
  J->projected = J->fused ? NULL : take_floats(A, columns * J->blocks * J->gates * PR);
  J->wide = is_flat(J) ? take_floats(A, J->d * J->wide_ld) : NULL;
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
  size_t columns = is_flat(J) ? (size_t)J->wide_ld : (size_t)J->chunk * J->ld;
  int whole_blocks = q->x_batch_major || is_flat(J);
  J->dx_chunk = q->dx && whole_blocks ? take_floats(A, columns * J->input_blocks * PR) : NULL;
  J->wide = q->dx && is_flat(J) ? take_floats(A, J->gates * J->h * J->wide_ld) : NULL;
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
  J->by_columns = q->n >= 2 * VL && q->n / q->threads >= VL && weights * (long)sizeof(float) <= cache_bytes();
  if (J->by_columns) threads = smaller(q->threads, larger(1, step * q->T / MIN_CALL_WORK));
  else threads = smaller(threads, J->blocks);
  J->threads = deeprnn_available_threads(threads);
  if (J->threads == 1) J->by_columns = 0;
  long own = weights * (long)sizeof(float) / (J->by_columns ? 1 : J->threads);
  J->fused = !is_flat(J) && own <= cache_bytes() / 4 * 3;
  J->wide_ld = (J->chunk * J->n + VL - 1) / VL * VL;
  J->barrier.threads = J->threads;
  atomic_init(&J->barrier.count, 0);
  atomic_init(&J->barrier.sense, 0);
}

#endif
