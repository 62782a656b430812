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

#define DEEPRNN_ABI 5

enum { CELL_RNN, CELL_GRU, CELL_GRU_RESET_BEFORE, CELL_LSTM };
enum { ACTIVATION_LINEAR, ACTIVATION_TANH, ACTIVATION_SIGMOID, ACTIVATION_RELU, ACTIVATION_HARD_SIGMOID };
enum { DEEPRNN_OK, DEEPRNN_NO_MEMORY, DEEPRNN_BAD_ARGUMENT, DEEPRNN_BAD_ID, DEEPRNN_BUSY, DEEPRNN_NOT_FINITE };

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

/* === Programs: lists of operations over sequences that are read step by step; see program.h === */

enum {
  OPERATION_COPY, /* columns of an operand to columns of the result */
  OPERATION_GATHER,
  OPERATION_ONE_HOT,
  OPERATION_AFFINE,
  OPERATION_DIAGONAL,
  OPERATION_SOFTMAX,
  OPERATION_LOG_SOFTMAX,
  OPERATION_NORMALIZE,
  OPERATION_MEAN,
  OPERATION_RECURRENT, /* RNN, GRU that resets after the product, LSTM */
  OPERATION_CELL,      /* a recurrence that is given by the operations of a step */
  OPERATION_NEGATE,    /* from here on: elementwise */
  OPERATION_SIGMOID,
  OPERATION_TANH,
  OPERATION_RELU,
  OPERATION_HARD_SIGMOID,
  OPERATION_EXP,
  OPERATION_LOG,
  OPERATION_SOFTPLUS,
  OPERATION_SQRT,
  OPERATION_RSQRT,
  OPERATION_SIN,
  OPERATION_COS,
  OPERATION_ADD,
  OPERATION_SUBTRACT,
  OPERATION_MULTIPLY,
  OPERATION_DIVIDE,
  OPERATION_MAXIMUM,
  OPERATION_GREATER,
  OPERATION_WHERE,
};

/* A matrix (rows, columns) in strips of columns: each (rows, VL vectors), one after the other; the last one may have
 * fewer vectors. */
typedef struct {
  const float *packed;
  int64_t rows, vectors, strip; /* vectors: of all columns; strip: of a strip that is not the last one */
} deeprnn_matrix;

/* A value: row i of step t is at data + t step + i row, in bytes. */
typedef struct {
  void *data;
  int64_t step, row;
  int64_t width;    /* features; for ids, their number */
  int64_t ring;     /* a state: it holds this number of steps, and step t is the position (time + t) % ring; else 0 */
  int32_t ids;      /* int64 instead of floats */
  int32_t of_call;  /* t counts from the begin of the call, not from that of the chunk */
} deeprnn_value;

/* Operands, results, and states are indices of values. */
typedef struct deeprnn_operation {
  int32_t kind, result, operands[3];
  int32_t cell, activation, recurrent_activation;
  int32_t first_state;           /* its states follow each other */
  int32_t num_states;
  int64_t rate;                  /* step t follows step t - rate */
  int64_t from, to, count;       /* columns of a copy */
  deeprnn_matrix W, U;
  const float *scale, *offset;   /* vectors with padding: biases of strips; gamma and beta */
  double epsilon;
  int64_t centered;
  const struct deeprnn_operation *steps; /* operations of a step of a cell */
  int64_t num_steps;
  const int32_t *new_states;     /* values */
} deeprnn_operation;

/* An array of the caller: an input or an output. */
typedef struct {
  void *data;
  int64_t step, row;
} deeprnn_array;

/* A program with its states, for n rows that are computed at the same time. */
typedef struct {
  int64_t abi; /* DEEPRNN_ABI */
  int64_t lanes; /* VL of the packed matrices */
  int64_t n;
  int64_t chunk;   /* steps that fit into the memory of the values */
  int64_t time;    /* steps since the begin */
  int64_t threads; /* at most */
  int64_t products;        /* multiplications of weights in a step of one row */
  int64_t smallest_shared; /* multiplications from which on threads share a step */
  int64_t num_operations, num_values, num_arrays;
  const deeprnn_operation *operations;
  deeprnn_value *values;   /* the first are the arrays of the caller: inputs, then outputs */
  const deeprnn_array *arrays; /* those of `deeprnn_step` */
  float *sums;             /* memory of the products of recurrences */
  atomic_int busy;
} deeprnn_stream;

/* === Elementwise recurrences; see unitwise.h === */

typedef struct {
  int32_t kind, operands[3]; /* an elementwise operation; indices of values */
} deeprnn_unit_operation;

/* Values: blocks of x, states, weights, constants, results of the operations. Pointers may be NULL where "or NULL" is
 * written. */
typedef struct {
  int64_t abi; /* DEEPRNN_ABI */
  int64_t T, n, h, blocks, num_states, num_weights, num_constants, num_operations;
  int64_t outputs;  /* number of states in y and dy, the first ones */
  int32_t reverse; /* read the sequence from its end; outputs keep the positions of their inputs */
  int32_t threads; /* at most */
  const deeprnn_unit_operation *operations;
  const int32_t *new_states; /* values that are the states after a step */
  const float *constants;
  const float *x;       /* (n, T, blocks, h) */
  const float *weights; /* (weights, h) */
  const float *states;  /* (states, n, h), before the first step */
  const uint8_t *mask;  /* (n, T), 0 at steps that are skipped, or NULL */
  float *stored;        /* states after all steps, (n, T, states, h), which the backward pass reads, or NULL */
  float *y;             /* outputs of all steps, (n, T, outputs, h), or NULL */
  float *last;          /* (states, n, h) */
  const float *dy;      /* (n, T, outputs, h), or NULL for zeros */
  const float *d_last;  /* (states, n, h) */
  float *dx;            /* (n, T, blocks, h) */
  float *d_weights;     /* of each row, (n, weights, h) */
  float *d_states;      /* (states, n, h) */
} deeprnn_unitwise;

/* Functions of one instruction set; see kernels.c. */
typedef struct {
  const char *name;
  int lanes; /* floats in a vector */
  int (*forward)(const deeprnn_sequence *);
  int (*backward)(const deeprnn_sequence *);
  int (*convert)(const deeprnn_sequence *); /* x (n, T, d) to H (T, d, ld), or x (T, d, ld) to y (n, T, d) */
  long (*columns)(long n);                              /* ld */
  long (*chunks)(long T, long n, long h, int cell);     /* number of cell states in C without `store` */
  int (*run_stream)(deeprnn_stream *, const deeprnn_array *, long T);
  int (*run_unitwise)(const deeprnn_unitwise *, int backward);
} deeprnn_kernels;

/* Reusable barrier for a few threads that all run. */
typedef struct {
  int threads;
  atomic_int count, sense;
} deeprnn_barrier;

/* pool.c */
void deeprnn_run(int threads, void (*run)(void *, int), void *argument); /* run(argument, 0 ... threads - 1) */
int deeprnn_run_if_free(int threads, void (*run)(void *, int), void *argument); /* 0 if the threads are in use */
int deeprnn_begin_stream(void);                                          /* the number of streams that run */
void deeprnn_end_stream(void);
void deeprnn_meet(deeprnn_barrier *barrier, int *sense);                  /* wait for the others */
int deeprnn_available_threads(int wanted);                                /* how many of them a call may use */
#define DEEPRNN_MAX_THREADS 64

/* memory.c */
__attribute__((visibility("default"))) void *deeprnn_take_memory(size_t bytes); /* aligned to 64 bytes, or NULL */
__attribute__((visibility("default"))) void deeprnn_give_memory(void *memory, size_t bytes);

#endif
