/* Recurrent layers over whole sequences on a CPU: interface of the library and of its parts.
 *
 * Symbols: batch size n, time steps T, inputs d, units h, gates G (RNN 1, GRU 3, LSTM 4). An array is batch-major,
 * (n, T, d), or feature-major, (T, d, ld), with the examples as contiguous columns; ld >= n is `deeprnn_columns(n)`.
 * Weights have Keras' layout: W (d, G h), U (h, G h), b (G h) or, for a GRU that resets after the product, (2, G h);
 * gates are in the order of Keras: z, r, g for a GRU, and i, f, g, o for an LSTM.
 */
#ifndef DEEPRNN_H
#define DEEPRNN_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define DEEPRNN_ABI 2

enum { CELL_RNN, CELL_GRU, CELL_GRU_RESET_BEFORE, CELL_LSTM };
enum { ACTIVATION_LINEAR, ACTIVATION_TANH, ACTIVATION_SIGMOID, ACTIVATION_RELU, ACTIVATION_HARD_SIGMOID };
enum { DEEPRNN_OK, DEEPRNN_NO_MEMORY, DEEPRNN_BAD_ARGUMENT };

/* One layer applied to a batch of sequences. Pointers may be NULL where "or NULL" is written. */
typedef struct {
  int64_t abi; /* DEEPRNN_ABI */
  int64_t T, n, d, h;
  int32_t cell, activation, recurrent_activation;
  int32_t store;    /* forward: write G and all of C for the backward pass; backward: they were written */
  int32_t reverse;  /* read the sequence from its end; outputs keep the positions of their inputs */
  int32_t x_batch_major, y_batch_major;
  int32_t clear_masked; /* conversion to feature-major: masked steps become 0 */
  int32_t threads;
  const float *x;
  const float *W, *U, *b;      /* b or NULL */
  const float *state[2];       /* initial states (n, h) each, or NULL for zeros */
  const uint8_t *mask;         /* (n, T), 0 at steps that are skipped, or NULL */
  float *H;                    /* all outputs, feature-major (T, h, ld), or NULL if nobody needs them */
  float *C;                    /* LSTM: with `store` all cell states (T, h, ld), else those before each chunk, or NULL */
  float *G;                    /* with `store`: deeprnn_stored_blocks(cell) blocks of h rows, (T, blocks h, ld) */
  float *y;                    /* all outputs, batch-major (n, T, h), or NULL */
  float *last[2];              /* final states (n, h), or NULL */
  const float *dy;             /* gradient of all outputs, in the layout of `y_batch_major`, or NULL for zeros */
  const float *d_last[2];      /* gradients of the final states (n, h), or NULL for zeros */
  float *dx;                   /* in the layout of x, or NULL if nobody needs it */
  float *dW, *dU, *db;         /* db or NULL */
  float *d_state[2];           /* gradients of the initial states (n, h), or NULL */
} deeprnn_sequence;

/* Functions of one instruction set; see kernels.c. */
typedef struct {
  const char *name;
  int lanes; /* floats in a vector */
  int (*forward)(const deeprnn_sequence *);
  int (*backward)(const deeprnn_sequence *);
  int (*convert)(const deeprnn_sequence *); /* x (n, T, d) to H (T, d, ld), or x (T, d, ld) to y (n, T, d) */
  long (*columns)(long n);                              /* ld */
  long (*chunks)(long T, long n, long h, int cell);     /* number of cell states in C without `store` */
} deeprnn_kernels;

/* Reusable barrier for a few threads that all run. */
typedef struct {
  int threads;
  atomic_int count, sense;
} deeprnn_barrier;

/* pool.c */
void deeprnn_run(int threads, void (*run)(void *, int), void *argument); /* run(argument, 0 ... threads - 1) */
void deeprnn_meet(deeprnn_barrier *barrier, int *sense);                  /* wait for the others */
int deeprnn_available_threads(int wanted);                                /* how many of them a call may use */
#define DEEPRNN_MAX_THREADS 64

/* memory.c */
__attribute__((visibility("default"))) void *deeprnn_take_memory(size_t bytes); /* aligned to 64 bytes, or NULL */
__attribute__((visibility("default"))) void deeprnn_give_memory(void *memory, size_t bytes);

#endif
