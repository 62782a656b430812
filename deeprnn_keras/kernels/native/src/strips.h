/* Products of rows with a matrix in strips of columns (deeprnn_matrix).
 *
 * A strip is contiguous over k, so that one row reads the weights as fast as memory delivers them; several rows share
 * each load. Each output is one sum over k in ascending order, whatever the number of rows.
 */
#ifndef DEEPRNN_STRIPS_H
#define DEEPRNN_STRIPS_H

#include "vectors.h"

#define STRIP_VECTORS 4
#define STRIP (STRIP_VECTORS * VL) /* columns of a whole strip */
#if VL == 16
#define TILE_ROWS 6 /* 24 accumulators of 32 registers */
#else
#define TILE_ROWS 3 /* 12 of 16 */
#endif

/* z (R, STRIP) += rows (R, k) times V vectors of columns; R and V are constants after inlining, as in products.h */
INLINE void add_rows(const int R, const int V, float *z, const float *const *rows, const float *strip, long k) {
  vf sum[TILE_ROWS][STRIP_VECTORS];
  const float *row[TILE_ROWS];
  for (int r = 0; r < R; r++) {
    row[r] = rows[r];
    for (int v = 0; v < V; v++) sum[r][v] = load(z + r * STRIP + v * VL);
  }
  for (long i = 0; i < k; i++, strip += V * VL) {
    vf weight[STRIP_VECTORS];
    for (int v = 0; v < V; v++) weight[v] = load(strip + v * VL);
    for (int r = 0; r < R; r++) {
      vf value = splat(row[r][i]);
      for (int v = 0; v < V; v++) sum[r][v] += value * weight[v];
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) store(z + r * STRIP + v * VL, sum[r][v]);
}

#define ADD_ROWS(R, V)                                                                                        \
  NOINLINE void add_rows_##R##x##V(float *z, const float *const *rows, const float *strip, long k) {          \
    add_rows(R, V, z, rows, strip, k);                                                                        \
  }
#define ADD_ROWS_OF(R) ADD_ROWS(R, 1) ADD_ROWS(R, 2) ADD_ROWS(R, 3) ADD_ROWS(R, 4)
ADD_ROWS_OF(1)
ADD_ROWS_OF(2)
ADD_ROWS_OF(3)
#if TILE_ROWS == 6
ADD_ROWS_OF(4)
ADD_ROWS_OF(5)
ADD_ROWS_OF(6)
#endif

typedef void (*add_rows_function)(float *, const float *const *, const float *, long);
#define ADD_ROWS_TABLE(R) {add_rows_##R##x1, add_rows_##R##x2, add_rows_##R##x3, add_rows_##R##x4}
static const add_rows_function add_rows_functions[TILE_ROWS][STRIP_VECTORS] = {
    ADD_ROWS_TABLE(1), ADD_ROWS_TABLE(2), ADD_ROWS_TABLE(3),
#if TILE_ROWS == 6
    ADD_ROWS_TABLE(4), ADD_ROWS_TABLE(5), ADD_ROWS_TABLE(6),
#endif
};

INLINE long num_strips(const deeprnn_matrix *m) { return (m->vectors + m->strip - 1) / m->strip; }
INLINE long strip_vectors(const deeprnn_matrix *m, long s) {
  long rest = m->vectors - s * m->strip;
  return rest < m->strip ? rest : m->strip;
}
INLINE const float *strip_at(const deeprnn_matrix *m, long s) { return m->packed + s * m->strip * VL * m->rows; }

/* z (R, STRIP) += rows times strip s */
INLINE void add_strip(float *z, int R, const float *const *rows, const deeprnn_matrix *m, long s) {
  add_rows_functions[R - 1][strip_vectors(m, s) - 1](z, rows, strip_at(m, s), m->rows);
}

/* The same for one-hot rows: those of the matrix with the given numbers are added. */
static void add_selected(float *z, int R, const int64_t *const *ids, const deeprnn_matrix *m, long s) {
  long width = strip_vectors(m, s) * VL;
  for (int r = 0; r < R; r++, z += STRIP) {
    const float *row = strip_at(m, s) + *ids[r] * width;
    for (long i = 0; i < width; i += VL) store(z + i, load(z + i) + load(row + i));
  }
}

#endif
