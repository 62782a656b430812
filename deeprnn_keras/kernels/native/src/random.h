/* Philox4x64-10, a counter-based generator of random numbers (Salmon et al. 2011, "Parallel random numbers: as easy as
 * 1, 2, 3"): the numbers are a function of a key and a counter, on every machine the same.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

#define PHILOX_ROUNDS 10

static inline void philox(const uint64_t key[2], const uint64_t counter[4], uint64_t numbers[4]) {
  uint64_t k0 = key[0], k1 = key[1];
  uint64_t a = counter[0], b = counter[1], c = counter[2], d = counter[3];
  for (int round = 0; round < PHILOX_ROUNDS; round++) {
    unsigned __int128 first = (unsigned __int128)0xD2E7470EE14C6C93u * a;
    unsigned __int128 second = (unsigned __int128)0xCA5A826395121157u * c;
    a = (uint64_t)(second >> 64) ^ b ^ k0;
    b = (uint64_t)second;
    c = (uint64_t)(first >> 64) ^ d ^ k1;
    d = (uint64_t)first;
    k0 += 0x9E3779B97F4A7C15u;
    k1 += 0xBB67AE8584CAA73Bu;
  }
  numbers[0] = a, numbers[1] = b, numbers[2] = c, numbers[3] = d;
}

/* Number in [0, 1) for row `row` at position `position`: a multiple of 2^-53. */
static inline double uniform(uint64_t seed, uint64_t position, uint64_t row) {
  const uint64_t key[2] = {seed, 0}, counter[4] = {position, row, 0, 0};
  uint64_t numbers[4];
  philox(key, counter, numbers);
  return (double)(numbers[0] >> 11) * 0x1p-53;
}

#endif
