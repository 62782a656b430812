/* Programs: a list of operations is executed for T steps and n rows, one operation after the other over a chunk of steps.
 *
 * Nothing depends on the number of threads, of rows, or of steps in a call: each sum has one order (strips.h).
 */
#ifndef DEEPRNN_PROGRAM_H
#define DEEPRNN_PROGRAM_H

#include "recurrence.h"

static void execute(worker *w, const deeprnn_operation *o, span steps) {
  switch (o->kind) {
    case OPERATION_COPY: each_row(w, o, steps, copy_row); break;
    case OPERATION_GATHER: each_row(w, o, steps, gather_row); break;
    case OPERATION_ONE_HOT: each_row(w, o, steps, one_hot_row); break;
    case OPERATION_AFFINE: affine(w, o, steps); break;
    case OPERATION_DIAGONAL: diagonal(w, o, steps); break;
    case OPERATION_SOFTMAX:
    case OPERATION_LOG_SOFTMAX: each_row(w, o, steps, softmax_row); break;
    case OPERATION_NORMALIZE: each_row(w, o, steps, normalize_row); break;
    case OPERATION_MEAN: mean_rows(w, o, steps); break;
    case OPERATION_RECURRENT: recurrent(w, o, steps); return; /* they have met */
    case OPERATION_CELL: cell(w, o, steps); return;
    default: elementwise(w, o, steps);
  }
  meet_workers(w);
}

typedef struct {
  deeprnn_stream *S;
  deeprnn_barrier barrier;
  long T;
  int threads, by_rows;
} program_call;

static void program_thread(void *argument, int id) {
  program_call *call = argument;
  deeprnn_stream *S = call->S;
  worker w = {.S = S, .barrier = &call->barrier, .id = id, .parts = call->threads, .n1 = S->n};
  if (call->by_rows) {
    w.id = 0, w.parts = 1;
    w.n0 = share(S->n, id, call->threads);
    w.n1 = share(S->n, id + 1, call->threads);
  }
  for (; w.done < call->T; w.done += S->chunk)
    for (long k = 0; k < S->num_operations; k++)
      execute(&w, S->operations + k, (span){0, smaller(S->chunk, call->T - w.done)});
}

static int ids_in_range(const deeprnn_stream *S, const deeprnn_array *arrays, long T) {
  for (long k = 0; k < S->num_arrays; k++)
    for (long t = 0; S->values[k].ids && t < T; t++)
      for (long i = 0; i < S->n; i++) {
        int64_t id = *(const int64_t *)((const char *)arrays[k].data + t * arrays[k].step + i * arrays[k].row);
        if (id < 0 || id >= S->values[k].width) return 0;
      }
  return 1;
}

/* Several streams that run at the same time have the cores already. */
static void run_call(program_call *call, int streams) {
  const deeprnn_stream *S = call->S;
  int threads = (int)smaller(S->threads, DEEPRNN_MAX_THREADS);
  call->by_rows = S->n >= threads * TILE_ROWS;
  long shared = call->by_rows ? call->T : 1; /* steps between meetings */
  if (threads > 1 && S->products * S->n * shared >= S->smallest_shared && streams == 1) {
    call->threads = call->barrier.threads = threads;
    if (deeprnn_run_if_free(threads, program_thread, call)) return;
  }
  call->threads = 1, call->by_rows = 0;
  program_thread(call, 0);
}

/* Run T steps with arrays of the caller, inputs, then outputs. If an id is out of range, nothing happens. */
static int run_stream(deeprnn_stream *S, const deeprnn_array *arrays, long T) {
  if (atomic_exchange(&S->busy, 1)) return DEEPRNN_BUSY;
  int code = ids_in_range(S, arrays, T) ? DEEPRNN_OK : DEEPRNN_BAD_ID;
  if (code == DEEPRNN_OK) {
    for (long k = 0; k < S->num_arrays; k++) {
      S->values[k].data = arrays[k].data;
      S->values[k].step = arrays[k].step;
      S->values[k].row = arrays[k].row;
    }
    program_call call = {.S = S, .T = T};
    run_call(&call, deeprnn_begin_stream());
    deeprnn_end_stream();
    S->time += T;
  }
  atomic_store(&S->busy, 0);
  return code;
}

#endif
