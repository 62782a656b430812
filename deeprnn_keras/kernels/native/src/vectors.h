/* Vectors of the instruction set that a file is compiled for, and the functions that cells apply to them.
 *
 * VL floats form a vector vf. Minimum and maximum return their second argument if one of them is NaN, so that NaN
 * passes through. Never compile with -ffast-math: it removes the rounding in `vexp`.
 */
#ifndef DEEPRNN_VECTORS_H
#define DEEPRNN_VECTORS_H

#include "deeprnn.h"
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

typedef float vf __attribute__((vector_size(VL * 4), aligned(4)));
typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4)));
typedef float v8 __attribute__((vector_size(32), aligned(4)));

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf v) { *(vf *)p = v; }

#if VL == 16
INLINE vf splat(float a) { return (vf)_mm512_set1_ps(a); }
INLINE vf vmin(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf vmax(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf select_where(vi mask, vf a, vf b) {
  return (vf)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
}
INLINE vf load_part(const float *p, long count) {
  return (vf)_mm512_maskz_loadu_ps(count >= VL ? 0xffff : (__mmask16)((1u << count) - 1), p);
}
INLINE void store_part(float *p, vf v, long count) {
  _mm512_mask_storeu_ps(p, count >= VL ? 0xffff : (__mmask16)((1u << count) - 1), (__m512)v);
}
#else
#if VL == 8
INLINE vf splat(float a) { return (vf)_mm256_set1_ps(a); }
INLINE vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf select_where(vi mask, vf a, vf b) { return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask); }
#else
INLINE vf splat(float a) { return (vf){a, a, a, a}; }
INLINE vf select_where(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vf vmin(vf a, vf b) { return select_where((vi)(a < b), a, b); }
INLINE vf vmax(vf a, vf b) { return select_where((vi)(a > b), a, b); }
#endif
INLINE vf load_part(const float *p, long count) {
  if (count >= VL) return load(p);
  float part[VL] = {0};
  for (long i = 0; i < count; i++) part[i] = p[i];
  return load(part);
}
INLINE void store_part(float *p, vf v, long count) {
  if (count >= VL) {
    store(p, v);
    return;
  }
  float part[VL];
  store(part, v);
  for (long i = 0; i < count; i++) p[i] = part[i];
}
#endif

INLINE v8 load8(const float *p) { return *(const v8 *)p; }
INLINE void store8(float *p, v8 v) { *(v8 *)p = v; }
INLINE v8 splat8(float a) { return (v8){a, a, a, a, a, a, a, a}; }

/* exp(x), relative error about 1e-7: 2^k exp(r) with |r| <= log(2) / 2; polynomial of the Cephes library (expf). */
INLINE vf vexp(vf x) {
  x = vmin(splat(88.3f), vmax(splat(-87.3f), x));
  vf rounded = x * splat(1.44269504088896341f) + splat(12582912.f); /* adding 1.5 * 2^23 rounds to an integer */
  vf k = rounded - splat(12582912.f);
  vf r = x - k * splat(0.693359375f) + k * splat(2.12194440e-4f);
  vf p = splat(1.9875691500e-4f);
  p = p * r + splat(1.3981999507e-3f);
  p = p * r + splat(8.3334519073e-3f);
  p = p * r + splat(4.1665795894e-2f);
  p = p * r + splat(1.6666665459e-1f);
  p = p * r + splat(5.0000001201e-1f);
  p = p * (r * r) + r + splat(1.f);
  vi exponent = ((vi)rounded << 23) + (127 << 23);
  return p * (vf)exponent;
}

INLINE vf vsigmoid(vf x) { return splat(1.f) / (splat(1.f) + vexp(-x)); }

/* tanh(x), relative error below 4e-7: x P(x^2) / Q(x^2), the rational approximation of Eigen (ptanh). */
INLINE vf vtanh(vf x) {
  x = vmin(splat(7.90531110763549805f), vmax(splat(-7.90531110763549805f), x));
  vf s = x * x;
  vf p = splat(-2.76076847742355e-16f);
  p = p * s + splat(2.00018790482477e-13f);
  p = p * s + splat(-8.60467152213735e-11f);
  p = p * s + splat(5.12229709037114e-08f);
  p = p * s + splat(1.48572235717979e-05f);
  p = p * s + splat(6.37261928875436e-04f);
  p = p * s + splat(4.89352455891786e-03f);
  vf q = splat(1.19825839466702e-06f);
  q = q * s + splat(1.18534705686654e-04f);
  q = q * s + splat(2.26843463243900e-03f);
  q = q * s + splat(4.89352518554385e-03f);
  return x * p / q;
}

INLINE vf activate(int activation, vf x) {
  switch (activation) {
    case ACTIVATION_TANH: return vtanh(x);
    case ACTIVATION_SIGMOID: return vsigmoid(x);
    case ACTIVATION_RELU: return vmax(splat(0.f), x);
    case ACTIVATION_HARD_SIGMOID: return vmin(splat(1.f), vmax(splat(0.f), x * splat(1.f / 6.f) + splat(0.5f)));
    default: return x;
  }
}

/* The derivative as a function of the value y of the activation. */
INLINE vf derivative(int activation, vf y) {
  const vf one = splat(1.f), zero = splat(0.f);
  switch (activation) {
    case ACTIVATION_TANH: return one - y * y;
    case ACTIVATION_SIGMOID: return y * (one - y);
    case ACTIVATION_RELU: return select_where((vi)(y > zero), one, zero);
    case ACTIVATION_HARD_SIGMOID: return select_where((vi)(y > zero) & (vi)(y < one), splat(1.f / 6.f), zero);
    default: return one;
  }
}

#endif
