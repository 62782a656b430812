/* Entry points of the library: the implementation for the best instruction set of this CPU, or for a requested one. */
#include "deeprnn.h"
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define EXPORT __attribute__((visibility("default")))

extern const deeprnn_kernels deeprnn_kernels_portable;
#ifdef HAVE_AVX2
extern const deeprnn_kernels deeprnn_kernels_avx2;
#endif
#ifdef HAVE_AVX512
extern const deeprnn_kernels deeprnn_kernels_avx512;
#endif

static const deeprnn_kernels *const compiled[] = {
#ifdef HAVE_AVX512
    &deeprnn_kernels_avx512,
#endif
#ifdef HAVE_AVX2
    &deeprnn_kernels_avx2,
#endif
    &deeprnn_kernels_portable,
};
#define COMPILED (int)(sizeof compiled / sizeof *compiled)

#if defined(__x86_64__)
/* The bits of Intel's manual (CPUID, XGETBV); not __builtin_cpu_supports, which some compilers answer with 0. */
#define HAS(bits, bit) (((bits) >> (bit)) & 1)

/* 2 with AVX-512 (F, DQ, BW, VL), 1 with AVX2 and FMA, else 0; also the operating system must save the registers. */
static int vector_level(void) {
  unsigned a, b, c, d, features;
  if (!__get_cpuid(1, &a, &b, &features, &d) || !HAS(features, 27)) return 0;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if (!HAS(features, 12) || !HAS(b, 5) || (low & 0x6) != 0x6) return 0;
  int avx512 = HAS(b, 16) && HAS(b, 17) && HAS(b, 30) && HAS(b, 31) && (low & 0xe6) == 0xe6;
  return avx512 ? 2 : 1;
}
#endif

static int runs_here(const deeprnn_kernels *kernels) {
#if defined(__x86_64__)
  if (!strcmp(kernels->name, "avx2")) return vector_level() >= 1;
  if (!strcmp(kernels->name, "avx512")) return vector_level() >= 2;
#endif
  (void)kernels;
  return 1;
}

static const deeprnn_kernels *_Atomic chosen;

static const deeprnn_kernels *kernels(void) {
  const deeprnn_kernels *found = atomic_load_explicit(&chosen, memory_order_acquire);
  for (int i = 0; !found && i < COMPILED; i++)
    if (runs_here(compiled[i])) found = compiled[i];
  atomic_store_explicit(&chosen, found, memory_order_release);
  return found;
}

EXPORT int64_t deeprnn_abi(void) { return DEEPRNN_ABI; }
#if defined(__clang__)
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif
EXPORT const char *deeprnn_compiler(void) { return COMPILER; }
/* The name of the i-th compiled instruction set, best first, or NULL */
EXPORT const char *deeprnn_compiled(int i) { return i >= 0 && i < COMPILED ? compiled[i]->name : NULL; }
EXPORT const char *deeprnn_instruction_set(void) { return kernels()->name; }

/* Use an instruction set from now on; DEEPRNN_BAD_ARGUMENT if it was not compiled or this CPU lacks it. */
EXPORT int deeprnn_use(const char *name) {
  for (int i = 0; i < COMPILED; i++)
    if (!strcmp(compiled[i]->name, name) && runs_here(compiled[i])) {
      atomic_store_explicit(&chosen, compiled[i], memory_order_release);
      return DEEPRNN_OK;
    }
  return DEEPRNN_BAD_ARGUMENT;
}

EXPORT int64_t deeprnn_columns(int64_t n) { return kernels()->columns(n); }
EXPORT int64_t deeprnn_chunks(int64_t T, int64_t n, int64_t h, int cell) { return kernels()->chunks(T, n, h, cell); }

static int usable(const deeprnn_sequence *q) {
  return q->abi == DEEPRNN_ABI && q->T > 0 && q->n > 0 && q->d > 0 && q->h > 0 && q->threads > 0 && q->x;
}

EXPORT int deeprnn_forward(const deeprnn_sequence *q) {
  if (!usable(q) || !q->W || !q->U) return DEEPRNN_BAD_ARGUMENT;
  return kernels()->forward(q);
}
EXPORT int deeprnn_backward(const deeprnn_sequence *q) {
  if (!usable(q) || !q->W || !q->U || !q->H || !q->dW || !q->dU) return DEEPRNN_BAD_ARGUMENT;
  return kernels()->backward(q);
}
EXPORT int deeprnn_convert(const deeprnn_sequence *q) {
  if (!usable(q) || !q->y == !q->H) return DEEPRNN_BAD_ARGUMENT;
  return kernels()->convert(q);
}

EXPORT int64_t deeprnn_lanes(void) { return kernels()->lanes; }

static int usable_stream(const deeprnn_stream *s) {
  return s->abi == DEEPRNN_ABI && s->lanes == kernels()->lanes && s->n > 0 && s->chunk > 0 && s->threads > 0;
}

/* Run a program for T steps with arrays of the caller, inputs, then outputs; DEEPRNN_BAD_ID changes no state. */
EXPORT int deeprnn_push(deeprnn_stream *s, const deeprnn_array *arrays, int64_t T) {
  if (!usable_stream(s) || T < 1) return DEEPRNN_BAD_ARGUMENT;
  return kernels()->run_stream(s, arrays, T);
}
/* One step with the arrays of the stream */
EXPORT int deeprnn_step(deeprnn_stream *s) { return deeprnn_push(s, s->arrays, 1); }

static int usable_unitwise(const deeprnn_unitwise *q) {
  return q->abi == DEEPRNN_ABI && q->T > 0 && q->n > 0 && q->h > 0 && q->blocks > 0 && q->num_states > 0 &&
         q->threads > 0 && q->operations && q->new_states && q->x && q->states;
}

EXPORT int deeprnn_unitwise_forward(const deeprnn_unitwise *q) {
  if (!usable_unitwise(q) || !q->last) return DEEPRNN_BAD_ARGUMENT;
  return kernels()->run_unitwise(q, 0);
}
EXPORT int deeprnn_unitwise_backward(const deeprnn_unitwise *q) {
  if (!usable_unitwise(q) || !q->stored || !q->d_last || !q->dx || !q->d_states) return DEEPRNN_BAD_ARGUMENT;
  return kernels()->run_unitwise(q, 1);
}
