/* Entry points of the library: the implementation for the best instruction set of this CPU, or for a requested one. */
#include "deeprnn.h"
#include <string.h>

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

static int runs_here(const deeprnn_kernels *kernels) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!strcmp(kernels->name, "avx2")) return avx2;
  if (!strcmp(kernels->name, "avx512"))
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
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
EXPORT const char *deeprnn_compiler(void) { return __VERSION__; }
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
