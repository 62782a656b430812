/* Products of packed weights with columns.
 *
 * Weights are packed into panels of 8 rows: (k, 8), contiguous over k. Each output is one sum over k in ascending order
 * that is continued where it was interrupted, so that results depend on neither tile sizes nor threads. With many
 * columns the lanes are columns (`column_tile`), with few they are the rows of a panel (`row_panels`); both add the same
 * terms in the same order.
 */
#ifndef DEEPRNN_PRODUCTS_H
#define DEEPRNN_PRODUCTS_H

#include "vectors.h"

#define PR 8           /* rows of a panel */
#define TW (2 * VL)    /* columns of a tile */
#define MAX_ROW_COLUMNS (VL / 2) /* up to this number of columns, lanes are rows */
#define MAX_ROWS 16 /* of a tile of one vector */
#if VL == 16
#define MR 8 /* rows of a tile: as many accumulators as fit into registers */
#else
#define MR 4
#endif

/* How a sum begins: at zero, at a value per row, or at what an array holds, (rows, ldi) or (columns, ldi). */
enum { FROM_ZERO, FROM_ROWS, FROM_ARRAY, FROM_COLUMNS };

typedef struct {
  const float *a; /* panels of the first factor, `stride` apart */
  const float *b; /* (k, ld) */
  long k, stride;
} factor;

/* sum (R, V) += R rows of panels times V vectors of columns; R and V are constants after inlining */
INLINE void add_product(const int R, const int V, vf sum[MAX_ROWS][2], factor f, long ld) {
  const float *a = f.a, *b = f.b;
  for (long k = 0; k < f.k; k++, a += PR, b += ld) {
    vf column[2];
    for (int v = 0; v < V; v++) column[v] = load(b + v * VL);
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) sum[r][v] += splat(a[r / PR * f.stride + r % PR]) * column[v];
  }
}

/* out (R rows, V VL) */
INLINE void tile(const int R, const int V, float *out, long ldo, int from, const float *init, long ldi, factor x, factor h,
                 long ld) {
  vf sum[MAX_ROWS][2]; /* of constant size: one of variable size would stay in memory */
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++)
      sum[r][v] = from == FROM_ARRAY ? load(init + r * ldi + v * VL) : from == FROM_ROWS ? splat(init[r]) : splat(0.f);
  if (x.k) add_product(R, V, sum, x, ld);
  if (h.k) add_product(R, V, sum, h, ld);
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) store(out + r * ldo + v * VL, sum[r][v]);
}

/* Kept out of line: inlined beside the gates, whose constants want registers too, the accumulators would spill. */
NOINLINE void tile_wide(float *out, long ldo, int from, const float *init, long ldi, factor x, factor h, long ld) {
  for (int r = 0; r < PR; r += MR, out += MR * ldo, x.a += MR, h.a += MR) {
    tile(MR, 2, out, ldo, from, init, ldi, x, h, ld);
    init += from == FROM_ARRAY ? MR * ldi : MR;
  }
}
NOINLINE void tile_narrow(float *out, long ldo, int from, const float *init, long ldi, factor x, factor h, long ld) {
  tile(PR, 1, out, ldo, from, init, ldi, x, h, ld);
}
#if VL == 16
NOINLINE void tile_narrow_pair(float *out, long ldo, int from, const float *init, long ldi, factor x, factor h, long ld) {
  tile(2 * PR, 1, out, ldo, from, init, ldi, x, h, ld);
}
#endif

/* out (panels 8, width) = init + x.a^T x.b + h.a^T h.b; width is TW or at most VL; vectors of columns are full. */
static void column_tile(int panels, float *out, long ldo, int from, const float *init, long ldi, factor x, factor h,
                        long ld, long width) {
  long init_step = from == FROM_ARRAY ? PR * ldi : PR;
  int p = 0;
#if VL == 16
  for (; width <= VL && p + 1 < panels; p += 2) {
    tile_narrow_pair(out, ldo, from, init, ldi, x, h, ld);
    out += 2 * PR * ldo, init += 2 * init_step, x.a += 2 * x.stride, h.a += 2 * h.stride;
  }
#endif
  for (; p < panels; p++) {
    if (width > VL) tile_wide(out, ldo, from, init, ldi, x, h, ld);
    else tile_narrow(out, ldo, from, init, ldi, x, h, ld);
    out += PR * ldo, init += init_step, x.a += x.stride, h.a += h.stride;
  }
}

/* For P panels and N columns: out[p][r ldo + c] += sum over k of a (k, 8)[:, r] b (k, ld)[:, c] */
INLINE void row_sums(const int P, const int N, float *out, long panel_step, long ldo, factor f, long ld) {
  v8 sum[8][4];
  for (int p = 0; p < P; p++)
    for (int c = 0; c < N; c++) {
      const float *from = out + p * panel_step + c;
      if (ldo == 1) sum[p][c] = load8(from);
      else for (int r = 0; r < PR; r++) sum[p][c][r] = from[r * ldo];
    }
  const float *a = f.a, *b = f.b;
  for (long k = 0; k < f.k; k++, a += PR, b += ld)
    for (int p = 0; p < P; p++) {
      v8 rows = load8(a + p * f.stride);
      for (int c = 0; c < N; c++) sum[p][c] += rows * splat8(b[c]);
    }
  for (int p = 0; p < P; p++)
    for (int c = 0; c < N; c++) {
      float *to = out + p * panel_step + c;
      if (ldo == 1) store8(to, sum[p][c]);
      else for (int r = 0; r < PR; r++) to[r * ldo] = sum[p][c][r];
    }
}

NOINLINE void row_sums_8x1(float *out, long step, long ldo, factor f, long ld) { row_sums(8, 1, out, step, ldo, f, ld); }
NOINLINE void row_sums_3x1(float *out, long step, long ldo, factor f, long ld) { row_sums(3, 1, out, step, ldo, f, ld); }
NOINLINE void row_sums_4x1(float *out, long step, long ldo, factor f, long ld) { row_sums(4, 1, out, step, ldo, f, ld); }
NOINLINE void row_sums_2x4(float *out, long step, long ldo, factor f, long ld) { row_sums(2, 4, out, step, ldo, f, ld); }
NOINLINE void row_sums_1x4(float *out, long step, long ldo, factor f, long ld) { row_sums(1, 4, out, step, ldo, f, ld); }
NOINLINE void row_sums_4x2(float *out, long step, long ldo, factor f, long ld) { row_sums(4, 2, out, step, ldo, f, ld); }
NOINLINE void row_sums_1x2(float *out, long step, long ldo, factor f, long ld) { row_sums(1, 2, out, step, ldo, f, ld); }
NOINLINE void row_sums_1x1(float *out, long step, long ldo, factor f, long ld) { row_sums(1, 1, out, step, ldo, f, ld); }

/* out (panels 8, width) += f.a^T f.b for few columns; panel p begins at out + p `step`. */
static void row_panels(int panels, float *out, long step, long ldo, factor f, long ld, long width) {
  if (!f.k) return;
  for (long c = 0; c < width;) {
    int columns = width - c >= 4 ? 4 : width - c >= 2 ? 2 : 1;
    int at_once = columns == 4 ? 2 : columns == 2 ? 4 : panels >= 8 ? 8 : panels == 3 ? 3 : 4;
    int p = 0;
    for (; p + at_once <= panels; p += at_once) {
      factor part = {f.a + p * f.stride, f.b + c, f.k, f.stride};
      float *to = out + p * step + c;
      if (columns == 4) row_sums_2x4(to, step, ldo, part, ld);
      else if (columns == 2) row_sums_4x2(to, step, ldo, part, ld);
      else if (at_once == 8) row_sums_8x1(to, step, ldo, part, ld);
      else if (at_once == 3) row_sums_3x1(to, step, ldo, part, ld);
      else row_sums_4x1(to, step, ldo, part, ld);
    }
    for (; p < panels; p++) {
      factor part = {f.a + p * f.stride, f.b + c, f.k, f.stride};
      float *to = out + p * step + c;
      if (columns == 4) row_sums_1x4(to, step, ldo, part, ld);
      else if (columns == 2) row_sums_1x2(to, step, ldo, part, ld);
      else row_sums_1x1(to, step, ldo, part, ld);
    }
    c += columns;
  }
}

INLINE float start_of(int from, const float *init, long ldi, long row, long column) {
  switch (from) {
    case FROM_ROWS: return init[row];
    case FROM_ARRAY: return init[row * ldi + column];
    case FROM_COLUMNS: return init[column * ldi + row];
    default: return 0.f;
  }
}

/* Fill the start of the sums of `row_panels`. */
static void row_starts(int panels, float *out, long step, long ldo, int from, const float *init, long ldi, long width) {
  int contiguous = width == 1 && ldo == 1 && from != FROM_ARRAY;
  for (int p = 0; p < panels; p++) {
    float *to = out + p * step;
    if (contiguous) {
      store8(to, from == FROM_ZERO ? splat8(0.f) : load8(init + p * PR));
      continue;
    }
    for (int r = 0; r < PR; r++)
      for (long c = 0; c < width; c++) to[r * ldo + c] = start_of(from, init, ldi, p * PR + r, c);
  }
}

/* out (panels 8, width): the same for any width up to TW; FROM_COLUMNS for few columns only */
static void product(int panels, float *out, long ldo, int from, const float *init, long ldi, factor x, factor h, long ld,
                    long width) {
  if (width > MAX_ROW_COLUMNS) {
    column_tile(panels, out, ldo, from, init, ldi, x, h, ld, width);
    return;
  }
  row_starts(panels, out, PR * ldo, ldo, from, init, ldi, width);
  row_panels(panels, out, PR * ldo, ldo, x, ld, width);
  row_panels(panels, out, PR * ldo, ldo, h, ld, width);
}

/* The number of columns of the tile that begins at column j of columns up to `end`. */
INLINE long tile_width(long j, long end) {
  long rest = end - j;
  return rest >= TW ? TW : rest >= VL ? VL : rest;
}

/* w (rows, width) += sum over segments and their columns c of rows[segment][(offset + r) lda + c] z[c] (TW lanes).
 * `fresh` sums begin at zero. The segments follow each other in z. */
INLINE void outer_rows(const int R, float *w, long ldw, long width, int fresh, const float *z, const float *const *rows,
                       const long *counts, long segments, long offset, long lda) {
  vf sum[MAX_ROWS][2];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < 2; v++) {
      long part = width - v * VL;
      sum[r][v] = fresh || part <= 0 ? splat(0.f) : load_part(w + r * ldw + v * VL, part);
    }
  for (long i = 0; i < segments; i++) {
    const float *a = rows[i] + offset * lda;
    for (long c = 0; c < counts[i]; c++, z += TW) {
      vf z0 = load(z), z1 = load(z + VL);
      for (int r = 0; r < R; r++) {
        vf value = splat(a[r * lda + c]);
        sum[r][0] += value * z0;
        sum[r][1] += value * z1;
      }
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < 2; v++)
      if (width > v * VL) store_part(w + r * ldw + v * VL, sum[r][v], width - v * VL);
}
NOINLINE void outer_many(float *w, long ldw, long width, int fresh, const float *z, const float *const *rows,
                         const long *counts, long segments, long offset, long lda) {
  outer_rows(MR, w, ldw, width, fresh, z, rows, counts, segments, offset, lda);
}
NOINLINE void outer_one(float *w, long ldw, long width, int fresh, const float *z, const float *const *rows,
                        const long *counts, long segments, long offset, long lda) {
  outer_rows(1, w, ldw, width, fresh, z, rows, counts, segments, offset, lda);
}

/* === Transposition === */

/* out[c][r] = in[r][c] for 8 rows and 8 columns that begin at `row` and `column` */
INLINE void transpose_block(const float *const *in, float *const *out, long row, long column) {
#if VL >= 8
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(in[row + i] + column);
  for (int i = 0; i < 4; i++) {
    b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 2; k++) {
      a[4 * i + 2 * k] = _mm256_shuffle_ps(b[4 * i + k], b[4 * i + 2 + k], 0x44);
      a[4 * i + 2 * k + 1] = _mm256_shuffle_ps(b[4 * i + k], b[4 * i + 2 + k], 0xEE);
    }
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(out[column + i] + row, _mm256_permute2f128_ps(a[i], a[4 + i], 0x20));
    _mm256_storeu_ps(out[column + 4 + i] + row, _mm256_permute2f128_ps(a[i], a[4 + i], 0x31));
  }
#else
  for (long i = 0; i < 8; i++)
    for (long k = 0; k < 8; k++) out[column + k][row + i] = in[row + i][column + k];
#endif
}

/* out[c][r] = in[r][c] */
NOINLINE void transpose(const float *const *in, long rows, long columns, float *const *out) {
  long whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
  for (long r = 0; r < whole_rows; r += 8) {
    for (long c = 0; c < whole_columns; c += 8) transpose_block(in, out, r, c);
    for (long c = whole_columns; c < columns; c++)
      for (long i = r; i < r + 8; i++) out[c][i] = in[i][c];
  }
  for (long r = whole_rows; r < rows; r++)
    for (long c = 0; c < columns; c++) out[c][r] = in[r][c];
}

#endif
