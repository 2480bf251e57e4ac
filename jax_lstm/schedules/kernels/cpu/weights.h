// The products of a whole chunk of the backward pass: the gradients of weights and inputs from the gathered d_z.
#pragma once
#include "backward.h"

namespace {

INLINE long padded_factors(const Problem &q) { return factor_blocks(q) * TILE; }
long gradient_size(const Problem &q) { return q.panels * padded_factors(q) * WIDE; }

// gradient[panel][SPAN's gates][k][gate][unit] += sum over places of [x, h, 1][k] d_z
__attribute__((noinline)) void weight_tile(const Pass &pass, long block, long p, long gate, float *gradient) {
  Vector sum[TILE][COLUMNS];
  gradient += p * padded_factors(pass.q) * WIDE + gate * padded_factors(pass.q) * UNITS + block * TILE * SPAN;
  UNROLL for (int m = 0; m < TILE; m++) UNROLL for (int j = 0; j < COLUMNS; j++) sum[m][j] = load(gradient + m * SPAN + j * UNITS);
  const float *a[TILE];
  for (int m = 0; m < TILE; m++) a[m] = pass.factors + block * pass.room * TILE + m;
  multiply(sum, a, TILE, pass.at(p, pass.chunk()) + gate * UNITS, WIDE, pass.used);
  UNROLL for (int m = 0; m < TILE; m++) UNROLL for (int j = 0; j < COLUMNS; j++) store(gradient + m * SPAN + j * UNITS, sum[m][j]);
}

template <int M, int N> __attribute__((noinline)) void input_tile(const Pass &pass, long n, long block) {
  const Problem &q = pass.q;
  Vector sum[M][N] = {};
  const float *w = pass.w_x + block * q.panels * WIDE * SPAN, *a[M];
  for (long p = 0; p < q.panels; p++, w += WIDE * SPAN) {
    for (int m = 0; m < M; m++) a[m] = pass.at(p, pass.chunk() + n + m);
    multiply(sum, a, 1, w, SPAN, WIDE);
  }
  for (int m = 0; m < M; m++)
    for (int j = 0; j < N; j++) {
      const long k = block * SPAN + j * UNITS;
      store(pass.d_x[n + m] + k, sum[m][j], q.features - k);
    }
}

template <int N> void input_block(const Pass &pass, long block) {
  constexpr int M = COLUMNS > 2 && N <= 2 || N == 1 ? 2 * TILE : TILE;
  long n = 0;
  for (; n + M <= pass.used; n += M) input_tile<M, N>(pass, n, block);
  for (; n < pass.used; n++) input_tile<1, N>(pass, n, block);
}

void few_inputs(const Pass &pass) {
  const Problem &q = pass.q;
  for (long n = 0; n < pass.used; n++)
    for (long k = 0; k < q.features; k++) {
      Vector sum[4] = {};
      for (long p = 0; p < q.panels; p++)
        UNROLL for (int j = 0; j < 4; j++)
          sum[j] += load(pass.at(p, pass.chunk() + n) + j * UNITS) * load(pass.w_x + (k * q.panels + p) * WIDE + j * UNITS);
      Vector parts = (sum[0] + sum[1]) + (sum[2] + sum[3]);
      float total = 0;
      for (long v = 0; v < UNITS; v++) total += parts[v];
      pass.d_x[n][k] = total;
    }
}

// The gradients of the weights from the chunk.
struct OfWeights {
  const Pass &pass;
  float *gradient;

  void in_panels(long first, long end) const {
    for (long p = first; p < end; p++)
      for (long gate = 0; gate < 4; gate += COLUMNS)
        for (long block = 0; block < factor_blocks(pass.q); block++) weight_tile(pass, block, p, gate, gradient);
  }
};

void second_half_of_weights(const void *argument) {
  const OfWeights &chunk = *(const OfWeights *)argument;
  chunk.in_panels(chunk.pass.q.panels / 2, chunk.pass.q.panels);
}

// The gradients of the inputs from it.
void inputs_of_chunk(const Pass &pass) {
  const Problem &q = pass.q;
  static void (*const of_vectors[])(const Pass &, long) = BY_COLUMNS(input_block);
  if (pass.rows->d_x && q.features <= FEW_FEATURES) few_inputs(pass);
  else if (pass.rows->d_x)
    for (long block = 0; block < blocks(q.features, SPAN); block++)
      of_vectors[least(COLUMNS, blocks(q.features - block * SPAN, UNITS))](pass, block);
}

// The chunk's products; afterwards its places are free, but for the last of every row, which the step before needs.
void finish_chunk(Pass &pass, float *gradient, Team *team) {
  const Problem &q = pass.q;
  const OfWeights chunk = {pass, gradient};
  const bool together = team && team->open(second_half_of_weights, &chunk);
  chunk.in_panels(0, together ? q.panels / 2 : q.panels);
  inputs_of_chunk(pass);
  if (together) team->meet();
  for (long r = 0; r < pass.count; r++)
    if (pass.rows[r].after >= pass.chunk()) {
      for (long p = 0; p < q.panels; p++) memcpy(pass.at(p, r), pass.at(p, pass.rows[r].after), WIDE * sizeof(float));
      pass.rows[r].after = r;
    }
  pass.used = 0;
}

// The sum of the pieces' gradients, in the layout of the parameters
void add_gradients(const Problem &q, Part part, const float *gradients, long pieces, float *d_w_x, float *d_w_h, float *d_b) {
  const long rows = q.features + q.hidden + 1;
  for (long k = part.begin(rows); k < part.end(rows); k++) {
    const long h = k - q.features;
    float *row = h < 0 ? d_w_x + k * 4 * q.hidden : h < q.hidden ? d_w_h + h * 4 * q.hidden : d_b;
    for (long p = 0; row && p < q.panels; p++)
      for (long gate = 0; gate < 4; gate++) {
        const long group = p * (WIDE / SPAN) + gate / COLUMNS;
        const float *from = gradients + (group * padded_factors(q) + k) * SPAN + gate % COLUMNS * UNITS;
        Vector sum = load(from);
        for (long piece = 1; piece < pieces; piece++) sum += load(from + piece * gradient_size(q));
        store(row + gate * q.hidden + p * UNITS, sum, q.hidden - p * UNITS);
      }
  }
}

}  // namespace
