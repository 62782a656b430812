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

/* The larger one; NaN if one is, as in NumPy */
INLINE vf larger_of(vf a, vf b) { return select_where((vi)(a != a), a, vmax(a, b)); }
INLINE vf where_greater(vf a, vf b) { return select_where((vi)(a > b), splat(1.f), splat(0.f)); }
INLINE vf where_nonzero(vf condition, vf a, vf b) { return select_where((vi)(condition != splat(0.f)), a, b); }

#endif
