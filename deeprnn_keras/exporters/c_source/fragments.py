"""Fixed parts of the exported C file: functions that are written if they are used."""

from __future__ import annotations

import re

STRIP = 64
"""Columns of a block of a matrix. Their sums stay in vector registers while the rows are read."""

HEAD = """\
#include <string.h>

#ifdef __cplusplus
#define RESTRICT __restrict
#else
#define RESTRICT restrict
#endif
"""

PRODUCTS = f"""\
/* Matrices are stored in blocks of {STRIP} columns, each block row by row; the last block has the remaining columns. */
#define STRIP {STRIP}
"""

FUNCTIONS = {
    "exponential": """\
/* e^x, relative error 2e-7. Constants as in the Cephes library. */
static float exponential(float x) {
  float n, r, p, scale;
  int32_t bits;
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  n = x * 1.44269504f;
  n = (float)(int32_t)(n + (n < 0.0f ? -0.5f : 0.5f));
  r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r +
       1.6666665459e-1f) * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  bits = ((int32_t)n + 127) * 8388608;
  memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}
""",
    "logarithm": """\
/* Natural logarithm of x > 0, relative error 2e-7. */
static float logarithm(float x) {
  float m, e, z, p;
  int32_t bits, small;
  memcpy(&bits, &x, sizeof bits);
  e = (float)(bits / 8388608 - 126);
  bits = bits % 8388608 + 126 * 8388608;
  memcpy(&m, &bits, sizeof m);
  small = m < 0.707106781f;
  e = small ? e - 1.0f : e;
  m = small ? m + m - 1.0f : m - 1.0f;
  z = m * m;
  p = ((((((((7.0376836292e-2f * m - 1.1514610310e-1f) * m + 1.1676998740e-1f) * m - 1.2420140846e-1f) * m +
           1.4249322787e-1f) * m - 1.6668057665e-1f) * m + 2.0000714765e-1f) * m - 2.4999993993e-1f) * m +
       3.3333331174e-1f) * m * z;
  p = p - 2.12194440e-4f * e - 0.5f * z;
  return m + p + 0.693359375f * e;
}
""",
    "bits_of": """\
/* Values are selected by their bits: compilers do not vectorize loops over functions with branches. */
static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
""",
    "with_bits": """\
static float with_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
""",
    "selected": """\
/* condition ? x : y, for a condition of 0 or 1 */
static float selected(uint32_t condition, float x, float y) {
  uint32_t mask = 0u - condition;
  return with_bits((bits_of(x) & mask) | (bits_of(y) & ~mask));
}
""",
    "decay": """\
/* e^-|x|, relative error 2e-7, as exponential; |x| is limited to 87. NaN has larger bits than infinity. */
static float decay(float x) {
  float n, r, p;
  uint32_t bits = bits_of(x) & 0x7fffffffu, is_nan = 0u - (uint32_t)(bits > 0x7f800000u);
  x = -with_bits(bits < 0x42ae0000u ? bits : 0x42ae0000u);
  n = (float)(int32_t)(x * 1.44269504f - 0.5f);
  r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r +
       1.6666665459e-1f) * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  p = p * with_bits((uint32_t)(((int32_t)n + 127) * 8388608));
  return with_bits(bits_of(p) | is_nan);
}
""",
    "hyperbolic_tangent": """\
/* tanh(x), absolute error 1e-7. */
static float hyperbolic_tangent(float x) {
  float e = decay(x + x);
  float z = x * x;
  float near_zero = ((((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z +
                      1.33314422036e-1f) * z - 3.33332819422e-1f) * z * x + x;
  float large = with_bits(bits_of((1.0f - e) / (1.0f + e)) | (bits_of(x) & 0x80000000u));
  return selected((bits_of(x) & 0x7fffffffu) < 0x3f200000u, near_zero, large); /* below 0.625 */
}
""",
    "sigmoid": """\
static float sigmoid(float x) {
  float e = decay(x);
  return selected(bits_of(x) >> 31, e, 1.0f) / (1.0f + e);
}
""",
    "hard_sigmoid": """\
static float hard_sigmoid(float x) {
  x = x / 6.0f + 0.5f;
  x = x < 0.0f ? 0.0f : x;
  return x > 1.0f ? 1.0f : x;
}
""",
    "softplus": """\
/* log(1 + e^x) */
static float softplus(float x) {
  float a = x < 0.0f ? x : -x;
  float positive = x < 0.0f ? 0.0f : x;
  return positive + logarithm(1.0f + exponential(a));
}
""",
    "square_root": """\
/* Square root of x >= 0: Newton's method for 1 / sqrt(x), and one step for the root. */
static float square_root(float x) {
  float y, root;
  int32_t bits, step;
  memcpy(&bits, &x, sizeof bits);
  bits = 0x5f3759df - bits / 2;
  memcpy(&y, &bits, sizeof y);
  for (step = 0; step < 3; step++) y = y * (1.5f - 0.5f * x * y * y);
  root = x * y;
  return root + 0.5f * y * (x - root * root);
}
""",
    "sine_of_octants": """\
/* Sine of x + quarters pi/2 for |x| < 8192, absolute error 1e-7; 0 or NaN beyond. Constants as in Cephes. */
static float sine_of_octants(float x, int quarters) {
  float a = x < 0.0f ? -x : x, r, z, y;
  int32_t octant;
  if (!(a < 8192.0f)) return x - x;
  octant = ((int32_t)(a * 1.27323954f) + 1) / 2 * 2;
  r = a - (float)octant * 0.78515625f - (float)octant * 2.4187564849853515625e-4f - (float)octant * 3.77489498e-8f;
  z = r * r;
  octant = octant / 2 + quarters;
  if (octant % 2)
    y = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
  else
    y = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
  return octant / 2 % 2 != (x < 0.0f && !quarters) ? -y : y;
}
""",
    "sine": """\
static float sine(float x) { return sine_of_octants(x, 0); }
""",
    "cosine": """\
static float cosine(float x) { return sine_of_octants(x, 1); }
""",
    "rectified": """\
static float rectified(float x) { return x > 0.0f ? x : 0.0f; }
""",
    "larger": """\
static float larger(float a, float b) { return a > b ? a : b; }
""",
    "mean": """\
static float mean(const float *x, int width) {
  float sum = 0.0f;
  int i;
  for (i = 0; i < width; i++) sum += x[i];
  return sum / (float)width;
}
""",
    "copy": """\
/* Not used for constants: GCC 12 copies some of them incorrectly with AVX-512. */
static void copy(float *RESTRICT y, const float *RESTRICT x, int width) {
  memcpy(y, x, (size_t)width * sizeof *y);
}
""",
    "product": """\
/* y = b + x W with W (inputs, outputs); b may be 0 */
static void product(float *RESTRICT y, const float *RESTRICT x, const float *RESTRICT w,
                    const float *RESTRICT b, int inputs, int outputs) {
  int first, width, j, k;
  for (first = 0; first < outputs; first += STRIP, w += (size_t)inputs * (size_t)width) {
    float sum[STRIP];
    width = outputs - first < STRIP ? outputs - first : STRIP;
    for (j = 0; j < STRIP; j++) sum[j] = 0.0f;
    if (width == STRIP) {
      for (k = 0; k < inputs; k++)
        for (j = 0; j < STRIP; j++) sum[j] += x[k] * w[k * STRIP + j];
    } else {
      for (k = 0; k < inputs; k++)
        for (j = 0; j < width; j++) sum[j] += x[k] * w[k * width + j];
    }
    for (j = 0; j < width; j++) y[first + j] = (b ? b[first + j] : 0.0f) + sum[j];
  }
}
""",
    "row": """\
/* y = b + row `id` of W (inputs, outputs); b may be 0 */
static void row(float *RESTRICT y, int32_t id, const float *RESTRICT w,
                const float *RESTRICT b, int inputs, int outputs) {
  int first, width, j;
  for (first = 0; first < outputs; first += STRIP, w += (size_t)inputs * (size_t)width) {
    width = outputs - first < STRIP ? outputs - first : STRIP;
    for (j = 0; j < width; j++)
      y[first + j] = (b ? b[first + j] : 0.0f) + w[(size_t)id * (size_t)width + (size_t)j];
  }
}
""",
    "column": """\
/* y = b + column `id` of W (inputs, outputs); b may be 0 */
static void column(float *RESTRICT y, int32_t id, const float *RESTRICT w,
                   const float *RESTRICT b, int inputs, int outputs) {
  int first = id - id % STRIP, width = outputs - first < STRIP ? outputs - first : STRIP, k;
  w += (size_t)inputs * (size_t)first + (size_t)(id - first);
  for (k = 0; k < inputs; k++) y[k] = (b ? b[k] : 0.0f) + w[(size_t)k * (size_t)width];
}
""",
    "product_int8": """\
/* y = b + x W with W (inputs, outputs), whose columns are integers times a scale each; b may be 0 */
static void product_int8(float *RESTRICT y, const float *RESTRICT x, const int8_t *RESTRICT w,
                         const float *RESTRICT scale, const float *RESTRICT b, int inputs, int outputs) {
  int first, width, j, k;
  for (first = 0; first < outputs; first += STRIP, w += (size_t)inputs * (size_t)width) {
    float sum[STRIP];
    width = outputs - first < STRIP ? outputs - first : STRIP;
    for (j = 0; j < STRIP; j++) sum[j] = 0.0f;
    if (width == STRIP) {
      for (k = 0; k < inputs; k++)
        for (j = 0; j < STRIP; j++) sum[j] += x[k] * (float)w[k * STRIP + j];
    } else {
      for (k = 0; k < inputs; k++)
        for (j = 0; j < width; j++) sum[j] += x[k] * (float)w[k * width + j];
    }
    for (j = 0; j < width; j++) y[first + j] = (b ? b[first + j] : 0.0f) + scale[first + j] * sum[j];
  }
}
""",
    "row_int8": """\
/* y = b + row `id` of W (inputs, outputs); b may be 0 */
static void row_int8(float *RESTRICT y, int32_t id, const int8_t *RESTRICT w, const float *RESTRICT scale,
                     const float *RESTRICT b, int inputs, int outputs) {
  int first, width, j;
  for (first = 0; first < outputs; first += STRIP, w += (size_t)inputs * (size_t)width) {
    width = outputs - first < STRIP ? outputs - first : STRIP;
    for (j = 0; j < width; j++)
      y[first + j] = (b ? b[first + j] : 0.0f) + scale[first + j] * (float)w[(size_t)id * (size_t)width + (size_t)j];
  }
}
""",
    "column_int8": """\
/* y = b + column `id` of W (inputs, outputs); b may be 0 */
static void column_int8(float *RESTRICT y, int32_t id, const int8_t *RESTRICT w, const float *RESTRICT scale,
                        const float *RESTRICT b, int inputs, int outputs) {
  int first = id - id % STRIP, width = outputs - first < STRIP ? outputs - first : STRIP, k;
  w += (size_t)inputs * (size_t)first + (size_t)(id - first);
  for (k = 0; k < inputs; k++)
    y[k] = (b ? b[k] : 0.0f) + scale[id] * (float)w[(size_t)k * (size_t)width];
}
""",
    "diagonal": """\
/* y (copies, width) = the weights (copies, width) times x (width) */
static void diagonal(float *RESTRICT y, const float *RESTRICT x, const float *RESTRICT w, int width, int copies) {
  int copy_number, i;
  for (copy_number = 0; copy_number < copies; copy_number++, y += width, w += width)
    for (i = 0; i < width; i++) y[i] = x[i] * w[i];
}
""",
    "softmax": """\
static void softmax(float *RESTRICT y, const float *RESTRICT x, int width) {
  float largest = x[0], sum = 0.0f;
  int i;
  for (i = 1; i < width; i++) largest = x[i] > largest ? x[i] : largest;
  for (i = 0; i < width; i++) y[i] = exponential(x[i] - largest);
  for (i = 0; i < width; i++) sum += y[i];
  for (i = 0; i < width; i++) y[i] /= sum;
}
""",
    "log_softmax": """\
static void log_softmax(float *RESTRICT y, const float *RESTRICT x, int width) {
  float largest = x[0], sum = 0.0f;
  int i;
  for (i = 1; i < width; i++) largest = x[i] > largest ? x[i] : largest;
  for (i = 0; i < width; i++) sum += exponential(x[i] - largest);
  sum = logarithm(sum);
  for (i = 0; i < width; i++) y[i] = x[i] - largest - sum;
}
""",
    "normalize": """\
/* y = x / sqrt(mean(x^2) + epsilon), after the mean is subtracted if `centered` */
static void normalize(float *RESTRICT y, const float *RESTRICT x, int width, float epsilon, int centered) {
  float center = 0.0f, square = 0.0f;
  int i;
  for (i = 0; i < width; i++) center += x[i];
  center = centered ? center / (float)width : 0.0f;
  for (i = 0; i < width; i++) square += (x[i] - center) * (x[i] - center);
  square = square_root(square / (float)width + epsilon);
  for (i = 0; i < width; i++) y[i] = (x[i] - center) / square;
}
""",
}
"""{name: definition}; a function uses only functions before it."""

SAMPLING = """\
/* === Sampling === */

/* e^x for x <= 0 in double precision */
static double exponential_of_double(double x) {
  double n, r, p = 1.0, scale;
  int64_t bits;
  int k;
  if (x < -700.0) return 0.0;
  n = (double)(int32_t)(x * 1.4426950408889634 - 0.5);
  r = (x - n * 0.69314718036912382) - n * 1.9082149292705877e-10;
  for (k = 14; k > 0; k--) p = 1.0 + p * r / k;
  bits = ((int64_t)n + 1023) * ((int64_t)1 << 52);
  memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

/* High 64 bits of a product */
static uint64_t high_product(uint64_t a, uint64_t b) {
  const uint64_t low = 0xFFFFFFFFu;
  uint64_t middle = (a >> 32) * (b & low) + ((a & low) * (b & low) >> 32);
  uint64_t carry = (a & low) * (b >> 32) + (middle & low);
  return (a >> 32) * (b >> 32) + (middle >> 32) + (carry >> 32);
}

/* Number in [0, 1): Philox4x64-10 (Salmon et al. 2011) with the key (seed, 0) and the counter (position, row, 0, 0) */
static double uniform(uint64_t seed, uint64_t position, uint64_t row) {
  const uint64_t first = (uint64_t)0xD2E7470Eu << 32 | 0xE14C6C93u, second = (uint64_t)0xCA5A8263u << 32 | 0x95121157u;
  uint64_t a = position, b = row, c = 0, d = 0, k0 = seed, k1 = 0;
  int round;
  for (round = 0; round < 10; round++) {
    uint64_t high_a = high_product(first, a), high_c = high_product(second, c);
    uint64_t new_b = second * c, new_d = first * a;
    a = high_c ^ b ^ k0;
    c = high_a ^ d ^ k1;
    b = new_b;
    d = new_d;
    k0 += (uint64_t)0x9E3779B9u << 32 | 0x7F4A7C15u;
    k1 += (uint64_t)0xBB67AE85u << 32 | 0x84CAA73Bu;
  }
  return (double)(a >> 11) / 9007199254740992.0;
}

static int precedes(const double *weights, int32_t i, int32_t j) {
  return weights[i] > weights[j] || (weights[i] == weights[j] && i < j);
}

/* A heap of ids: the largest weight first, of equal weights the lowest id */
static void sift(const double *weights, int32_t *heap, int32_t node, int32_t size) {
  int32_t moved = heap[node], child;
  for (child = 2 * node + 1; child < size; child = 2 * node + 1) {
    if (child + 1 < size && precedes(weights, heap[child + 1], heap[child])) child++;
    if (!precedes(weights, heap[child], moved)) break;
    heap[node] = heap[child];
    node = child;
  }
  heap[node] = moved;
}

/* Move the `count` most probable ids, or the first whose weights reach `enough`, to the end; return their number */
static int32_t select_ids(const double *weights, int32_t *order, int32_t size, int32_t count, double enough) {
  double reached = 0.0;
  int32_t i, kept = 0;
  for (i = 0; i < size; i++) order[i] = i;
  for (i = size / 2 - 1; i >= 0; i--) sift(weights, order, i, size);
  while (kept < count && (kept == 0 || reached < enough)) {
    int32_t next = order[0], rest = size - kept - 1;
    order[0] = order[rest];
    if (rest > 0) sift(weights, order, 0, rest);
    order[rest] = next;
    reached += weights[next];
    kept++;
  }
  return kept;
}

static double total_of(const double *weights, int32_t size) {
  double total = 0.0;
  int32_t i;
  for (i = 0; i < size; i++) total += weights[i];
  return total;
}

static void keep_ids(double *weights, int32_t *order, int32_t size, int32_t count, double enough) {
  int32_t kept = select_ids(weights, order, size, count, enough), i;
  for (i = 0; i < size - kept; i++) weights[order[i]] = 0.0;
}

int32_t NAME_sample(NAME_state *state, const float *logits, double temperature, int32_t top_k, double top_p,
                    uint64_t seed, uint64_t position) {
  const int32_t size = NAME_UPPER_SYMBOLS;
  double *weights = state->sampler_weights, target, reached = 0.0;
  int32_t best = 0, id;
  for (id = 0; id < size; id++) {
    if (logits[id] != logits[id]) return NAME_UPPER_NOT_FINITE;
    if (logits[id] > logits[best]) best = id;
  }
  if (logits[best] - logits[best] != 0.0f) return NAME_UPPER_NOT_FINITE;
  if (temperature <= 0.0) return best;
  for (id = 0; id < size; id++)
    weights[id] = exponential_of_double(((double)logits[id] - (double)logits[best]) / temperature);
  if (top_k > 0 && top_k < size) keep_ids(weights, state->sampler_order, size, top_k, total_of(weights, size) * 2.0);
  if (top_p < 1.0) keep_ids(weights, state->sampler_order, size, size, top_p * total_of(weights, size));
  target = uniform(seed, position, 0) * total_of(weights, size);
  for (id = 0; id < size; id++) {
    reached += weights[id];
    if (reached > target) return id;
  }
  return best;
}
"""


def used_functions(body: str) -> list[str]:
    """Return the definitions of the functions that a body calls, in the order in which they depend on each other."""
    text, result = body, []
    for name, definition in reversed(FUNCTIONS.items()):
        if re.search(rf"\b{name}\(", text):
            result.insert(0, definition)
            text += re.sub(r"/\*.*?\*/", "", definition, flags=re.DOTALL)
    return result


_KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm bool catch
class const_cast delete dynamic_cast explicit export false friend mutable namespace new operator private protected
public reinterpret_cast static_cast template this throw true try typeid typename using virtual wchar_t and and_eq
bitand bitor compl not not_eq or or_eq xor xor_eq alignas alignof char16_t char32_t char8_t concept consteval
constexpr constinit co_await co_return co_yield decltype noexcept nullptr requires static_assert thread_local _Bool
_Complex _Imaginary errno NULL EOF unix linux i386 signbit isnan isinf
"""

RESERVED = (
    *FUNCTIONS,
    *_KEYWORDS.split(),
    *("state", "steps", "i", "t", "code", "STRIP", "RESTRICT", "sampler_weights", "sampler_order", "unused"),
    *("memcpy", "memset", "size_t", "int8_t", "int32_t", "int64_t", "uint32_t", "uint64_t", "main", "printf"),
)
"""Identifiers that are not available for values, with the keywords of C and C++."""
