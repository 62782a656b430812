/* Elementwise functions of programs that vectors.h lacks. */
#ifndef DEEPRNN_ELEMENTWISE_H
#define DEEPRNN_ELEMENTWISE_H

#include "vectors.h"
#include <math.h>

/* exp(x) over the whole range: infinite or 0 beyond it */
INLINE vf exp_of(vf x) {
  vf root = vexp(x * splat(0.5f));
  return root * root;
}

/* log(x), relative error about 1e-7; polynomial of the Cephes library (logf). */
INLINE vf log_of(vf x) {
  const vf zero = splat(0.f);
  vi subnormal = (vi)(x < splat(1.17549435e-38f));
  vf scaled = select_where(subnormal, x * splat(8388608.f), x);
  vi bits = (vi)scaled;
  vi exponent = ((bits >> 23) & 255) - 126;
  vf m = (vf)((bits & 0x7fffff) | 0x3f000000); /* x = m 2^exponent, m in [0.5, 1) */
  vi low = (vi)(m < splat(0.707106781186547524f));
  vf e = __builtin_convertvector(exponent + low, vf) - select_where(subnormal, splat(23.f), zero);
  vf r = select_where(low, m + m, m) - splat(1.f);
  vf p = splat(7.0376836292e-2f);
  p = p * r + splat(-1.1514610310e-1f);
  p = p * r + splat(1.1676998740e-1f);
  p = p * r + splat(-1.2420140846e-1f);
  p = p * r + splat(1.4249322787e-1f);
  p = p * r + splat(-1.6668057665e-1f);
  p = p * r + splat(2.0000714765e-1f);
  p = p * r + splat(-2.4999993993e-1f);
  p = p * r + splat(3.3333331174e-1f);
  vf square = r * r;
  vf y = r * square * p + e * splat(-2.12194440e-4f) - splat(0.5f) * square;
  y = r + y + e * splat(0.693359375f);
  y = select_where((vi)(x == splat(INFINITY)), x, y);
  y = select_where((vi)(x == zero), splat(-INFINITY), y);
  return select_where((vi)(x >= zero), y, splat(NAN));
}

/* log(1 + e^x) = max(x, 0) + log(1 + y), y = e^-|x|; the quotient corrects the rounding of 1 + y. */
INLINE vf softplus_of(vf x) {
  const vf one = splat(1.f);
  vf y = exp_of(vmin(x, -x));
  vf sum = one + y;
  vf corrected = log_of(sum) * (y / (sum - one));
  return vmax(splat(0.f), x) + select_where((vi)(sum == one), y, corrected);
}

INLINE vf sqrt_of(vf x) {
  for (int i = 0; i < VL; i++) x[i] = sqrtf(x[i]);
  return x;
}

/* sin(x), or cos(x), absolute error about 1e-7. Between 8192 and -8192: pi/4 in three parts, and polynomials of the
 * Cephes library (sinf). */
INLINE vf sine_of(vf x, int cosine) {
  const vf limit = splat(8192.f);
  vf bounded = select_where((vi)(vmax(x, -x) < limit), x, splat(0.f));
  vf size = vmax(bounded, -bounded);
  vi octant = __builtin_convertvector(size * splat(1.27323954473516f), vi);
  octant = (octant + 1) & ~1;
  vf part = __builtin_convertvector(octant, vf);
  vf r = size - part * splat(0.78515625f) - part * splat(2.4187564849853515625e-4f) - part * splat(3.77489497744594108e-8f);
  vf z = r * r;
  vf of_sine = ((splat(-1.9515295891e-4f) * z + splat(8.3321608736e-3f)) * z - splat(1.6666654611e-1f)) * z * r + r;
  vf of_cosine = ((splat(2.443315711809948e-5f) * z - splat(1.388731625493765e-3f)) * z + splat(4.166664568298827e-2f)) * z * z -
                 splat(0.5f) * z + splat(1.f);
  vi quarter = (octant >> 1) + cosine; /* cos(x) = sin(x + pi/2) */
  vf y = select_where((quarter & 1) != 0, of_cosine, of_sine);
  vi negative = (quarter & 2) != 0;
  if (!cosine) negative ^= (vi)(bounded < splat(0.f));
  y = select_where(negative, -y, y);
  for (int i = 0; i < VL; i++)
    if (!(fabsf(x[i]) < 8192.f)) y[i] = cosine ? cosf(x[i]) : sinf(x[i]);
  return y;
}

/* The larger one; NaN if one is, as in NumPy */
INLINE vf larger_of(vf a, vf b) { return select_where((vi)(a != a), a, vmax(a, b)); }
INLINE vf where_greater(vf a, vf b) { return select_where((vi)(a > b), splat(1.f), splat(0.f)); }
INLINE vf where_nonzero(vf condition, vf a, vf b) { return select_where((vi)(condition != splat(0.f)), a, b); }

#endif
