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
#include "backward.h"
#include "forward.h"
#include "program.h"
#include "unitwise.h"

#define NAME_OF_(name, isa) name##_##isa
#define NAME_OF(name, isa) NAME_OF_(name, isa)
#define TEXT_(text) #text
#define TEXT(text) TEXT_(text)

/* === Conversion of whole sequences: x (n, T, d) to H (T, d, ld), or back to y === */

static void convert_thread(void *argument, int id) {
  job *J = argument;
  part P = part_of(J, id);
  long rows = J->d * J->ld;
  for (long t = share(J->T, id, J->threads); t < share(J->T, id + 1, J->threads); t++) {
    if (J->q->y) columns_out(&P, J->q->y, J->q->x + t * rows, J->ld, J->d, t, 0, J->n, 0, J->d);
    else columns_in(&P, J->q->H + t * rows, J->ld, J->q->x, J->d, t, J->q->clear_masked, 0, J->ld, 0, J->d);
  }
}

/* === Entry points === */

static int run(const deeprnn_sequence *q, void (*lay_out)(job *, arena *), void (*thread)(void *, int)) {
  job J;
  plan(&J, q);
  arena A = {0};
  lay_out(&J, &A);
  size_t bytes = A.used;
  A = (arena){deeprnn_take_memory(bytes), 0};
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
  deeprnn_give_memory(A.base, bytes);
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

const deeprnn_kernels NAME_OF(deeprnn_kernels, ISA) = {TEXT(ISA), VL, forward, backward, convert, columns, chunks,
                                                       run_stream, run_unitwise};
