// The products of a whole chunk of the backward pass: the gradients of weights and inputs from the gathered d_z.
#pragma once
#include "backward.h"

namespace {

INLINE long padded_factors(const Problem &q) { return factor_blocks(q) * TILE; }
// [panel][SPAN's gates][row of [x, h, 1]][gate][unit], then the vectors, then the projection [block of SPAN columns][row][column]
INLINE long matrix_size(const Problem &q) { return q.panels * padded_factors(q) * WIDE; }
INLINE long projection_rows(const Problem &q) { return blocks_of_projected(q) * TILE; }
long gradient_size(const Problem &q) {
  return matrix_size(q) + vectors_size(q) + blocks_of_out(q) * projection_rows(q) * SPAN;
}

// The gradient += sum over places of factors[k] d, for TILE rows k of a matrix and SPAN columns; `wide` is the distance of two places in d.
__attribute__((noinline)) void weight_tile(const Pass &pass, const Real *factors, const Real *d, long wide, Real *gradient) {
  Vector sum[TILE][1][COLUMNS];
  UNROLL for (int m = 0; m < TILE; m++) UNROLL for (int j = 0; j < COLUMNS; j++) sum[m][0][j] = load(gradient + m * SPAN + j * UNITS);
  const Real *a[TILE], *const columns[1] = {d};
  for (int m = 0; m < TILE; m++) a[m] = factors + m;
  multiply(sum, a, TILE, columns, wide, pass.used);
  UNROLL for (int m = 0; m < TILE; m++) UNROLL for (int j = 0; j < COLUMNS; j++) store(gradient + m * SPAN + j * UNITS, sum[m][0][j]);
}

// d_x of a full tile of places, in the order that every tile has; those beyond the last place in use hold nothing.
template <int M, int N> __attribute__((noinline)) void input_tile(const Pass &pass, long n, long block) {
  const Problem &q = pass.q;
  Vector sum[M][1][N] = {};
  const Real *a[M];
  for (long p = 0; p < q.panels; p++) {
    const Real *const w[1] = {pass.w_x + (block * q.panels + p) * WIDE * SPAN};
    for (int m = 0; m < M; m++) a[m] = pass.at(p, pass.chunk() + n + m);
    multiply(sum, a, 1, w, SPAN, WIDE);
  }
  for (long m = 0; m < least(M, pass.used - n); m++)
    for (int j = 0; j < N; j++) {
      const long k = block * SPAN + j * UNITS;
      store(pass.d_x[n + m] + k, sum[m][0][j], q.features - k);
    }
}

template <int N> void input_block(const Pass &pass, long block) {
  constexpr int M = COLUMNS > 2 && N <= 2 || N == 1 ? INPUT_TILE : TILE;
  for (long n = 0; n < pass.used; n += M) input_tile<M, N>(pass, n, block);
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
      Real total = 0;
      for (long v = 0; v < UNITS; v++) total += parts[v];
      pass.d_x[n][k] = total;
    }
}

// The gradients of the weights from the chunk.
struct OfWeights {
  const Pass &pass;
  Real *gradient;

  // Whether a panel's units see any of a block's rows: those of the input, of b, or of a hidden unit of their heads.
  bool sees(long p, long block) const {
    const Problem &q = pass.q;
    const Range seen = seen_by_panel(q, p);
    const long first = block * TILE - q.features, end = first + TILE;
    return first < 0 || end >= dense_rows(q) - q.features || (first < seen.end && end > seen.begin);
  }
  void in_panels(long first, long end) const {
    for (long p = first; p < end; p++)
      for (long gate = 0; gate < 4; gate += COLUMNS)
        for (long block = 0; block < factor_blocks(pass.q); block++)
          if (sees(p, block)) {
            Real *to = gradient + (p * WIDE + gate * UNITS) * padded_factors(pass.q) + block * TILE * SPAN;
            weight_tile(pass, pass.factors + block * pass.room * TILE, pass.at(p, pass.chunk()) + gate * UNITS, WIDE, to);
          }
  }
  // Of blocks of the projection's rows.
  void of_projection(long first, long end) const {
    Real *to = gradient + matrix_size(pass.q) + vectors_size(pass.q);
    for (long column = 0; column < blocks_of_out(pass.q); column++)
      for (long block = first; block < end; block++)
        weight_tile(pass, pass.projected + block * pass.room * TILE, pass.d_h_at(column, pass.chunk()), SPAN,
                    to + (column * projection_rows(pass.q) + block * TILE) * SPAN);
  }
};

void second_half_of_weights(const void *argument) {
  const OfWeights &chunk = *(const OfWeights *)argument;
  const long projected = blocks_of_projected(chunk.pass.q);
  chunk.in_panels(chunk.pass.q.panels / 2, chunk.pass.q.panels);
  chunk.of_projection(projected / 2, projected);
}

// The gradients of the inputs from it.
void inputs_of_chunk(const Pass &pass) {
  const Problem &q = pass.q;
  static void (*const of_vectors[])(const Pass &, long) = BY_COLUMNS(input_block);
  if (!pass.rows->d_x) return;
  if (q.features <= FEW_FEATURES) return few_inputs(pass);
  for (long block = 0; block < blocks(q.features, SPAN); block++)
    of_vectors[least(COLUMNS, blocks(q.features - block * SPAN, UNITS))](pass, block);
}

// The chunk's products; afterwards its places are free, but for the last of every row, which the step before needs.
void finish_chunk(Pass &pass, Real *gradient, Team *team) {
  const Problem &q = pass.q;
  const OfWeights chunk = {pass, gradient};
  const bool two = team && team->open(second_half_of_weights, &chunk);
  chunk.in_panels(0, two ? q.panels / 2 : q.panels);
  chunk.of_projection(0, two ? blocks_of_projected(q) / 2 : blocks_of_projected(q));
  inputs_of_chunk(pass);
  if (two) team->meet();
  for (long r = 0; r < pass.count; r++)
    if (pass.rows[r].after >= pass.chunk()) {
      for (long p = 0; p < q.panels; p++) memcpy(pass.at(p, r), pass.at(p, pass.rows[r].after), WIDE * sizeof(Real));
      pass.rows[r].after = r;
    }
  pass.used = 0;
}

// The first `n` lanes of the pieces' sum, from lane `first`, to the parameters' layout.
INLINE void add_pieces(const Problem &q, const Real *from, long pieces, Real *to, long first, long n) {
  Vector sum = load(from);
  for (long piece = 1; piece < pieces; piece++) sum += load(from + piece * gradient_size(q));
  if (first == 0) store(to, sum, n);
  else if (n > 0) memcpy(to, (Real *)&sum + first, n * sizeof(Real));
}

// The sum of the pieces' gradients, in their order and in the layout of the parameters
void add_gradients(const Problem &q, Part part, const Real *gradients, long pieces, const WeightsOf<Real> &d) {
  const long rows = dense_rows(q), columns = gates(q) * q.hidden;
  for (long k = part.begin(rows); k < part.end(rows); k++)
    for (long p = 0; p < q.panels; p++)
      for (long gate = 0; gate < 4; gate++) {
        const long among = gate_among(q, gate), h = k - q.features, u = p * UNITS, group = p * (WIDE / SPAN) + gate / COLUMNS;
        const Real *from = gradients + (group * padded_factors(q) + k) * SPAN + gate % COLUMNS * UNITS;
        if (among < 0) continue;
        if (h < 0) {
          add_pieces(q, from, pieces, d.w_x + k * columns + among * q.hidden + u, 0, q.hidden - u);
        } else if (k == rows - 1) {
          if (d.b) add_pieces(q, from, pieces, d.b + among * q.hidden + u, 0, q.hidden - u);
        } else {
          // the row's head has units begin to end of the panel's
          const long head = is_dense(q) ? 0 : h / q.head * q.head, begin = head > u ? head : u, end = least(head + q.head, u + UNITS);
          if (begin < end) add_pieces(q, from, pieces, d.w_h + (h * gates(q) + among) * q.head + begin - head, begin - u, end - begin);
        }
      }
  const Real *projection = gradients + matrix_size(q) + vectors_size(q);
  for (long k = part.begin(q.hidden); d.projection && k < part.end(q.hidden); k++)
    for (long p = 0; p < q.out_panels; p++) {
      const Real *from = projection + (p / COLUMNS * projection_rows(q) + k) * SPAN + p % COLUMNS * UNITS;
      add_pieces(q, from, pieces, d.projection + k * q.out + p * UNITS, 0, q.out - p * UNITS);
    }
  for (long p = part.begin(q.panels); p < part.end(q.panels); p++) {
    const long u = p * UNITS, left = q.hidden - u;
    const Real *from = gradients + matrix_size(q) + p * vectors(q) * UNITS;
    for (long k = 0, among = 0; d.peephole && k < 3; k++)
      if (!q.coupled || k != 1) add_pieces(q, from + (PEEPHOLE + k) * UNITS, pieces, d.peephole + among++ * q.hidden + u, 0, left);
    for (long gate = 0; q.diagonal && gate < 4; gate++)
      if (gate_among(q, gate) >= 0) add_pieces(q, from + (DIAGONAL + gate) * UNITS, pieces, d.w_h + gate_among(q, gate) * q.hidden + u, 0, left);
  }
}

}  // namespace
