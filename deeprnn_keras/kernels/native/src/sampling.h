/* Sampling of the next ids; see sampling.c. */
#ifndef SAMPLING_H
#define SAMPLING_H

#include "deeprnn.h"

typedef struct {
  int64_t n, V;                /* number of rows and of ids */
  double temperature;          /* 0: the largest logit */
  double top_p, min_p;         /* 1 and 0 for no limit */
  double repetition_penalty;   /* 1 for none */
  int64_t top_k;               /* 0 for no limit */
  uint64_t seed, position;     /* the position increases by 1 with every call */
  const uint64_t *rows;        /* (n) numbers of the rows */
  const float *logits;         /* (n, V) */
  uint8_t *seen;               /* (n, V), 1 for ids of the prompt and for generated ones, which are added */
  int64_t *ids;                /* (n) generated ids */
  double *weights;             /* (V) working memory: proportional to the probabilities of the last row */
  int32_t *order;              /* (V) working memory */
} deeprnn_sampler;

/* dispatch.c: one step of a program with the arrays of the stream */
int deeprnn_step(deeprnn_stream *stream);

int deeprnn_sample(deeprnn_sampler *s);
int deeprnn_generate(deeprnn_stream *stream, deeprnn_sampler *s, int64_t count, int64_t *ids);

#endif
