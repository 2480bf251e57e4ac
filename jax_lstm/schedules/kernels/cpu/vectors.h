// Vectors of numbers in the extensions of GCC and Clang, the products that every loop is made of, and the nonlinear functions.
// The build gives BYTES, the size of a vector (64 with AVX-512, 32 with AVX2, 16 with NEON), and REAL, float or double.
#pragma once
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "kernel.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

template <long SIZE> struct IntegerOf;
template <> struct IntegerOf<4> { typedef int32_t Type; };
template <> struct IntegerOf<8> { typedef int64_t Type; };
typedef IntegerOf<sizeof(Real)>::Type Integer;

constexpr bool DOUBLE = sizeof(Real) == 8;
typedef Real Vector __attribute__((vector_size(BYTES)));
typedef Integer Integers __attribute__((vector_size(BYTES)));
typedef Real Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(Real)), may_alias));

constexpr long UNITS = BYTES / sizeof(Real);
constexpr long WIDE = 4 * UNITS;  // the four gates of a panel
// A tile: its rows, its columns of vectors, and the length of these. The sums and factors fill the registers, 16 with AVX2 and otherwise
// 32; few columns for many rows rather than the reverse, because the weights come from further away than the rows.
constexpr int TILE = 6, COLUMNS = BYTES == 32 ? 2 : 4, SUMS = TILE * COLUMNS;
constexpr long SPAN = COLUMNS * UNITS;
constexpr long CACHE_LINE = 64 / sizeof(Real);
constexpr long AHEAD = 16;  // rows of weights that are prefetched: the processor's own prefetch stops at the end of a page

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long blocks(long n, long size) { return (n + size - 1) / size; }
INLINE Vector load(const Real *p) { return *(const Unaligned *)p; }
INLINE void store(Real *p, Vector v) { *(Unaligned *)p = v; }
INLINE Vector all(Real a) { return a - (Vector){}; }

// The first n numbers of a vector, the others zero.
INLINE Vector load(const Real *p, long n) {
  if (n >= UNITS) return load(p);
  Vector v = {};
  if (n > 0) memcpy(&v, p, n * sizeof(Real));
  return v;
}
INLINE void store(Real *p, Vector v, long n) {
  if (n >= UNITS) store(p, v);
  else if (n > 0) memcpy(p, &v, n * sizeof(Real));
}

// The lanes below n as they are, the others zero: an infinity times a padded weight of zero would be NaN there.
INLINE Vector first_lanes(Vector v, long n) {
  Integers lane;
  UNROLL for (int k = 0; k < UNITS; k++) lane[k] = k;
  return (Vector)((Integers)v & (lane < (Integer)n));
}

INLINE Vector choose(Integers condition, Vector yes, Vector no) { return condition ? yes : no; }

// Stores a vector past the caches where it fills a cache line and is aligned: data read much later would only evict data read now, and
// the line is not fetched first, which saves 4 % of a gradient. `stored_past` must come before another thread is told of it.
INLINE void store_past(Real *p, Vector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps((float *)p, (__m512)v);
#else
  store(p, v);
#endif
}
INLINE void stored_past() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// ---- products. Every sum is made in one order, whatever the tile's shape: a row's result does not depend on the rows next to it.

// sum[m][s][j] += sum over k of a[m][k * stride] * w[s][k][j], in the order of k, with `wide` numbers from one row of w[s] to the next.
// A tile of few rows takes several streams s of weights, as each sum waits for its last addition.
template <int M, int S, int N>
INLINE void multiply(Vector (&sum)[M][S][N], const Real *const (&a)[M], long stride, const Real *const (&w)[S], long wide, long K) {
  for (long k = 0; k < K; k++) {
    Vector row[S][N];
    UNROLL for (int s = 0; s < S; s++) {
      __builtin_prefetch(w[s] + (k + AHEAD) * wide);
      UNROLL for (int j = 0; j < N; j++) row[s][j] = load(w[s] + k * wide + j * UNITS);
    }
    UNROLL for (int m = 0; m < M; m++) {
      Vector factor = all(a[m][k * stride]);
      UNROLL for (int s = 0; s < S; s++) UNROLL for (int j = 0; j < N; j++) sum[m][s][j] += factor * row[s][j];
    }
  }
}

// How many sums over parts of the gates are made apart, then added, in a product over all gates with N columns: the same for every
// number of rows, so that a single row with few columns has enough sums that do not wait for each other.
template <int N> constexpr int PARTS = N == 1 ? 4 : N == 2 && BYTES != 32 ? 4 : 2;

// total[m][j] = sum over panels, gates and units of a[m](panel)[gate][unit] * w[panel][gate][unit][j]; `panel_a` is the distance of two
// panels in a.
template <int M, int N>
INLINE void multiply_gates(Vector (&total)[M][N], const Real *const (&a)[M], long panel_a, const Real *w, long panels) {
  constexpr int APART = M * N * PARTS<N> <= SUMS ? PARTS<N> : M * N * 2 <= SUMS ? 2 : 1;
  constexpr long LENGTH = WIDE / PARTS<N>;
  UNROLL for (int first = 0; first < PARTS<N>; first += APART) {
    Vector part[APART][M][N] = {};
    const Real *row_w = w + first * LENGTH * SPAN;
    for (long p = 0; p < panels; p++, row_w += WIDE * SPAN)
      for (long k = 0; k < LENGTH; k++) {
        const long place = p * panel_a + first * LENGTH + k;
        UNROLL for (int i = 0; i < APART; i++) {
          Vector row[N];
          const Real *here = row_w + (i * LENGTH + k) * SPAN;
          __builtin_prefetch(here + AHEAD * SPAN);
          UNROLL for (int j = 0; j < N; j++) row[j] = load(here + j * UNITS);
          UNROLL for (int m = 0; m < M; m++) {
            Vector factor = all(a[m][place + i * LENGTH]);
            UNROLL for (int j = 0; j < N; j++) part[i][m][j] += factor * row[j];
          }
        }
      }
    UNROLL for (int i = 0; i < APART; i++)
      UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++)
        total[m][j] = first + i == 0 ? part[i][m][j] : total[m][j] + part[i][m][j];
  }
}

// ---- functions

// NaN stays NaN. GCC 12 makes a comparison and a blend of the plain form, hence the intrinsics.
INLINE Vector between(Vector x, Vector low, Vector high) {
#if defined(__AVX512F__)
  if constexpr (DOUBLE) return (Vector)_mm512_min_pd((__m512d)high, _mm512_max_pd((__m512d)low, (__m512d)x));
  else return (Vector)_mm512_min_ps((__m512)high, _mm512_max_ps((__m512)low, (__m512)x));
#elif defined(__AVX2__)
  if constexpr (DOUBLE) return (Vector)_mm256_min_pd((__m256d)high, _mm256_max_pd((__m256d)low, (__m256d)x));
  else return (Vector)_mm256_min_ps((__m256)high, _mm256_max_ps((__m256)low, (__m256)x));
#else
  x = x < low ? low : x;
  return x > high ? high : x;
#endif
}
INLINE Vector between(Vector x, Real low, Real high) { return between(x, all(low), all(high)); }

// 1 / d by an estimate of 14 bits and Newton's iteration, within one rounding or two, and exact for powers of two. A division of AVX-512
// takes as long as 32 multiplications, but on a unit of its own: of the quotients of a step the divider gets some, this the others.
INLINE Vector reciprocal(Vector d) {
#if defined(__AVX512F__)
  Vector y;
  if constexpr (DOUBLE) y = (Vector)_mm512_rcp14_pd((__m512d)d);
  else y = (Vector)_mm512_rcp14_ps((__m512)d);
  UNROLL for (int k = 0; k < (DOUBLE ? 2 : 1); k++) y += y * (1 - d * y);
  return y;
#else
  return 1 / d;
#endif
}

// The coefficients of p, from the highest power; fit_coefficients.py computes them and the error of r p(r), 1.1e-8 with float and 2.3e-19
// with double.
const int PAIRS = DOUBLE ? 6 : 3;
const Real FLOAT_POLYNOMIAL[] = {(Real)1.540351223e-04, (Real)1.339073526e-03, (Real)9.618237615e-03, (Real)5.550357327e-02,
                                 (Real)2.402264923e-01, (Real)6.931471825e-01};
const Real DOUBLE_POLYNOMIAL[] = {(Real)2.56784214534665033e-11, (Real)4.45580485019299648e-10, (Real)7.05493227645379903e-09,
                                  (Real)1.01780571693161628e-07, (Real)1.3215486721347652e-06, (Real)1.52527338413784011e-05,
                                  (Real)1.54035303934661788e-04, (Real)1.33335581464066298e-03, (Real)9.61812910762843694e-03,
                                  (Real)5.55041086648216265e-02, (Real)2.40226506959100713e-01, (Real)6.93147180559945309e-01};
const Real *const POLYNOMIAL = DOUBLE ? DOUBLE_POLYNOMIAL : FLOAT_POLYNOMIAL;

// 2^y for y clipped to [low, high], as scale (1 + rest): scale = 2^n with n the nearest integer, and rest = 2^r - 1 with |r| <= 1/2.
// 2^r - 1 = r p(r).
struct Power {
  Vector scale, rest;
};
INLINE Power power(Vector y, Real low, Real high) {
  // 1.5 * 2^(bits of the fraction): adding it rounds to an integer, which then is in the lowest bits
  const Real shift = DOUBLE ? (Real)6755399441055744. : (Real)12582912.;
  y = between(y, low, high);
  Vector shifted = y + shift, r = y - (shifted - shift), square = r * r, p;
  // in pairs of coefficients: with a shorter chain of operations those of several rows overlap
  UNROLL for (int k = 0; k < PAIRS; k++) {
    Vector pair = POLYNOMIAL[2 * k] * r + POLYNOMIAL[2 * k + 1];
    p = k == 0 ? pair : p * square + pair;
  }
  const int fraction = DOUBLE ? 52 : 23;
  const Integer one = DOUBLE ? (Integer)0x3ff0000000000000 : (Integer)0x3f800000;
  return {(Vector)(((Integers)shifted << fraction) + one), r * p};
}
INLINE Vector power_less_one(Vector y, Real low, Real high) {
  const Power parts = power(y, low, high);
  return parts.scale * parts.rest + (parts.scale - (Real)1);
}

const Real LOG2_E = (Real)1.4426950408889634074;
const Real LARGEST_POWER = DOUBLE ? 1023 : 127;  // of two
const Real SATURATED = DOUBLE ? 56 : 26;         // from e^(2z) = 2^26 on, tanh(z) rounds to 1

// 1 + exp(-z), clipped so that sigmoid(z), one over it, is accurate down to the smallest normal number and 0 below that, as in XLA.
INLINE Vector sigmoid_below(Vector z) { return power_less_one(z * -LOG2_E, -LARGEST_POWER, LARGEST_POWER) + (Real)2; }
// exp(2 z) - 1: tanh(z) is e / (e + 2)
INLINE Vector tanh_above(Vector z) { return power_less_one(z * (2 * LOG2_E), -SATURATED, SATURATED); }

// Within 1.2e-7 (2.2e-16 with double) of their values, tanh within 2.4e-7 (4.4e-16), and exactly 1 where they are saturated, so that
// their derivatives are 0: once by the divider, once by the estimate.
INLINE Vector sigmoid(Vector z) { return (Real)1 / sigmoid_below(z); }
INLINE Vector sigmoid_estimated(Vector z) { return reciprocal(sigmoid_below(z)); }
INLINE Vector tanh(Vector z) {
  Vector e = tanh_above(z);
  return e / (e + (Real)2);
}
INLINE Vector tanh_estimated(Vector z) {
  Vector e = tanh_above(z);
  return e * reciprocal(e + (Real)2);
}

// for z <= 0
INLINE Vector exponential(Vector z) {
  const Power parts = power(z * LOG2_E, -LARGEST_POWER, 0);
  return parts.scale * parts.rest + parts.scale;
}

// log(sigmoid(z)) = min(z, 0) - log(1 + e), where e = exp(-|z|) and log(1 + e) = 2 artanh(e / (2 + e)), a series in e / (2 + e) <= 1/3
INLINE Vector log_sigmoid(Vector z) {
  const int TERMS = DOUBLE ? 17 : 8;
  Vector e = exponential(z < 0 ? z : -z), ratio = e * reciprocal(e + (Real)2), square = ratio * ratio, series = all((Real)1 / (2 * TERMS - 1));
  UNROLL for (int k = TERMS - 2; k >= 0; k--) series = series * square + (Real)1 / (2 * k + 1);
  return (z < 0 ? z : (Vector){}) - 2 * ratio * series;
}
