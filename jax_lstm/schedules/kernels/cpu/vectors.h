// Vectors of floats in the extensions of GCC and Clang, the product that every loop is made of, and the nonlinear functions.
// BYTES, the size of a vector, is given by the build: 64 with AVX-512, 32 with AVX2, 16 with NEON.
#pragma once
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef float Vector __attribute__((vector_size(BYTES)));
typedef int Integers __attribute__((vector_size(BYTES)));
typedef float Unaligned __attribute__((vector_size(BYTES), aligned(4), may_alias));

constexpr long UNITS = BYTES / 4;
constexpr long WIDE = 4 * UNITS;  // a panel's four gates
// A tile: its rows, its columns of vectors, and how many floats these are. The sums and the factors fill the registers, 16 with AVX2, else
// 32; few columns for many rows, rather than the reverse, as the weights come from further away than the rows.
constexpr int TILE = 6, COLUMNS = BYTES == 32 ? 2 : 4;
constexpr long SPAN = COLUMNS * UNITS;
constexpr long LINE_FLOATS = 16;  // of a cache line
constexpr long AHEAD = 16;  // rows of weights that are fetched ahead: the processor itself stops at the end of a page

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long blocks(long n, long size) { return (n + size - 1) / size; }
INLINE Vector load(const float *p) { return *(const Unaligned *)p; }
INLINE void store(float *p, Vector v) { *(Unaligned *)p = v; }
INLINE Vector all(float a) { return a - (Vector){}; }

// The first n of a vector's floats, the others zero.
INLINE Vector load(const float *p, long n) {
  if (n >= UNITS) return load(p);
  Vector v = {};
  if (n > 0) memcpy(&v, p, n * sizeof(float));
  return v;
}
INLINE void store(float *p, Vector v, long n) {
  if (n >= UNITS) store(p, v);
  else if (n > 0) memcpy(p, &v, n * sizeof(float));
}

// Stores a vector past the caches where it fills a line of them and memory begins at one, as what is read much later only pushes out
// what is read now, and the line is not fetched first: 4 % of a gradient. Plain vectors have no such store. `stored_past` comes
// before anything that tells another thread of it.
INLINE void store_past(float *p, Vector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#else
  store(p, v);
#endif
}
INLINE void stored_past() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// sum[m][j] += sum over k of a[m][k * stride] * w[k][j], for `wide` floats from one row of w to the next
template <int M, int N> INLINE void multiply(Vector (&sum)[M][N], const float *const (&a)[M], long stride, const float *w, long wide, long K) {
  long k = 0;
  // few sums wait for each other: several of them, over every so many k
  if constexpr (M * N < 8) {
    constexpr int APART = M * N < 4 ? 4 : 2;
    Vector part[APART][M][N] = {};
    for (; k + APART <= K; k += APART, w += APART * wide)
      UNROLL for (int i = 0; i < APART; i++) {
        Vector row[N];
        UNROLL for (int j = 0; j < N; j++) row[j] = load(w + i * wide + j * UNITS);
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++) part[i][m][j] += a[m][(k + i) * stride] * row[j];
      }
    UNROLL for (int i = 0; i < APART; i++)
      UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++) sum[m][j] += part[i][m][j];
  }
  for (; k < K; k++, w += wide) {
    Vector row[N];
    __builtin_prefetch(w + AHEAD * wide);
    UNROLL for (int j = 0; j < N; j++) row[j] = load(w + j * UNITS);
    UNROLL for (int m = 0; m < M; m++) {
      Vector factor = all(a[m][k * stride]);
      UNROLL for (int j = 0; j < N; j++) sum[m][j] += factor * row[j];
    }
  }
}

// NaN stays NaN. GCC 12 makes a comparison and a blend of the plain form, hence the intrinsics.
INLINE Vector between(Vector x, float low, float high) {
#if defined(__AVX512F__)
  return (Vector)_mm512_min_ps((__m512)all(high), _mm512_max_ps((__m512)all(low), (__m512)x));
#elif defined(__AVX2__)
  return (Vector)_mm256_min_ps((__m256)all(high), _mm256_max_ps((__m256)all(low), (__m256)x));
#else
  Vector l = all(low), h = all(high);
  x = x < l ? l : x;
  return x > h ? h : x;
#endif
}

// 2^y - 1 for |y| <= bound, as 2^n (2^r - 1) + (2^n - 1) with n the nearest integer and |r| <= 1/2.
// 2^r - 1 = r p(r): fit_coefficients.py made p and states its error, 1.1e-8.
INLINE Vector power_less_one(Vector y, float bound) {
  const float shift = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer, which then stands in the lowest bits
  y = between(y, -bound, bound);
  Vector shifted = y + shift, r = y - (shifted - shift);
  // in pairs of coefficients, as a shorter chain of operations lets those of several rows overlap
  Vector square = r * r, p = (1.540351223e-04f * r + 1.339073526e-03f) * square + (9.618237615e-03f * r + 5.550357327e-02f);
  p = p * square + (2.402264923e-01f * r + 6.931471825e-01f);
  Vector scale = (Vector)(((Integers)shifted << 23) + 0x3f800000);
  return (scale * r) * p + (scale - 1.f);
}

const float LOG2_E = 1.442695041f;

// sigmoid(z) = 1 / sigmoid_below(z), within 1.2e-7; its bound leaves room to multiply two of them and a tanh_below
INLINE Vector sigmoid_below(Vector z) { return power_less_one(z * -LOG2_E, 43.f) + 2.f; }

// tanh(z) = above / below, within 2.4e-7 of its value
struct Quotient {
  Vector above, below;
};
INLINE Quotient tanh_parts(Vector z) {
  Vector e = power_less_one(z * (2 * LOG2_E), 26.f);
  return {e, e + 2.f};
}
