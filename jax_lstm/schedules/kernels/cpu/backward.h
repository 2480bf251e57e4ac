// The backward loop over time, for some rows of the batch. With d_ for the gradient with respect to what follows it, a step is
//
//     d_h'= d_hs + recurrent_mask (d_z of the step after) W_h^T
//     d_c'= d_c + d_h' o (1 - tanh(c')^2)
//     d_z = d_c' g i (1 - i),  d_c' c f (1 - f),  d_c' i (1 - g^2),  d_h' tanh(c') o (1 - o)
//     d_c = d_c' f
//
// A tile takes up to TILE rows and up to COLUMNS panels of units. The d_z of many rows and steps are gathered, with the [x, h, 1] that
// they belong to, before the gradients of weights and inputs are made of them, while they are in the cache:
//
//     d_W = [x, h, 1]^T d_z,  d_x = d_z W_x^T
#pragma once
#include "tiles.h"

namespace {

// d_z of one row and step, or of one step where it has more rows: those of a panel stay in the fastest cache
const long GATHERED = BYTES == 64 ? 128 : 256;
const long FEW_FEATURES = 4;  // for so few d_x is made of dot products

// One pass over some rows. d_z has places: one per row for what is left of the chunk before, one that is zero, then those of the chunk.
struct Pass {
  const Problem &q;
  const float *w_h, *w_x;
  BackwardRow *rows;
  long count, room, used;
  float *d_z;      // [panel][place][gate][unit]
  float *factors;  // [block of TILE][place in the chunk][TILE]: [x, h, 1] by columns
  float *line;     // one row of factors
  float **d_x;     // for each place in the chunk where its d_x belongs
  BackwardRow **running;

  long nowhere() const { return count; }
  long chunk() const { return count + 1; }
  float *at(long panel, long place) const { return d_z + (panel * (chunk() + room) + place) * WIDE; }
};

INLINE long factor_blocks(const Problem &q) { return blocks(q.features + q.hidden + 1, TILE); }
INLINE long room_for(long rows) { return rows > GATHERED ? rows : GATHERED; }

long backward_weights(const Problem &q) {
  const long few = q.features <= FEW_FEATURES;
  return q.panels * WIDE * (blocks(q.hidden, SPAN) * SPAN + (few ? q.features : blocks(q.features, SPAN) * SPAN));
}

// w (rows, 4 hidden) transposed: [block of SPAN rows][panel][gate][unit][SPAN], zero beyond the last row and unit
float *pack_transposed(const Problem &q, Part part, const float *w, long rows, float *packed) {
  const long count = blocks(rows, SPAN), size = q.panels * WIDE * SPAN;
  for (long block = part.begin(count); block < part.end(count); block++) {
    memset(packed + block * size, 0, size * sizeof(float));
    for (long gate = 0; gate < 4; gate++)
      for (long unit = 0; unit < q.hidden; unit++) {
        const long place = unit / UNITS * WIDE + gate * UNITS + unit % UNITS, first = block * SPAN;
        float *line = packed + (block * q.panels * WIDE + place) * SPAN;
        const float *column = w + first * 4 * q.hidden + gate * q.hidden + unit;
        for (long row = 0; row < least(SPAN, rows - first); row++) line[row] = column[row * 4 * q.hidden];
      }
  }
  return packed + count * size;
}

void pack_backward(const Problem &q, Part part, const float *w_x, const float *w_h, float *packed) {
  packed = pack_transposed(q, part, w_h, q.hidden, packed);
  if (q.features > FEW_FEATURES) {
    pack_transposed(q, part, w_x, q.features, packed);
    return;
  }
  packed += part.begin(q.features) * q.panels * WIDE;
  for (long k = part.begin(q.features); k < part.end(q.features); k++)  // [feature][panel][gate][unit]
    for (long p = 0; p < q.panels; p++)
      for (long gate = 0; gate < 4; gate++, packed += UNITS)
        store(packed, load(w_x + (4 * k + gate) * q.hidden + p * UNITS, q.hidden - p * UNITS));
}

// The gradient of the hidden states that the rows' steps after saw, for a block of SPAN units.
template <int M, int N> INLINE void times_w_h(const Pass &pass, BackwardRow *const *rows, long block, Vector (&d_seen)[M][N]) {
  UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++) d_seen[m][j] = (Vector){};
  bool any = false;
  for (int m = 0; m < M; m++) any |= rows[m]->after != pass.nowhere();
  const float *w = pass.w_h + block * pass.q.panels * WIDE * SPAN, *a[M];
  for (long p = 0; any && p < pass.q.panels; p++, w += WIDE * SPAN) {
    for (int m = 0; m < M; m++) a[m] = pass.at(p, rows[m]->after);
    multiply(d_seen, a, 1, w, SPAN, WIDE);
  }
}

// A step of M rows, whose d_z go to `place` and the places that follow.
template <int M, int N>
__attribute__((noinline)) void step_tile(const Pass &pass, BackwardRow *const *rows, long t, long block, long place) {
  const Problem &q = pass.q;
  Vector d_seen[M][N];
  // fetched while the products run, as the processor does not foresee these places: 2 to 4 % of a gradient
  for (int m = 0; q.far && m < M; m++)
    for (int j = 0; j < N; j++) {
      const float *kept = rows[m]->kept + t * q.kept_step + (block * COLUMNS + j) * q.kept_panel;
      for (long k = 0; k < KEPT; k += LINE_FLOATS) __builtin_prefetch(kept + k);
      if (rows[m]->d_hs) __builtin_prefetch(rows[m]->d_hs + t * q.h_step + block * SPAN + j * UNITS);
    }
  times_w_h(pass, rows, block, d_seen);
  for (int m = 0; m < M; m++) {
    BackwardRow &row = *rows[m];
    UNROLL for (int j = 0; j < N; j++) {
      const long u = block * SPAN + j * UNITS, left = q.hidden - u;
      const float *kept = row.kept + t * q.kept_step + (block * COLUMNS + j) * q.kept_panel;
      Vector i = load(kept), f = load(kept + UNITS), g = load(kept + 2 * UNITS), o = load(kept + 3 * UNITS);
      Vector c = load(kept + 4 * UNITS);
      Quotient shown = tanh_parts(f * c + i * g);
      Vector tanh_c = shown.above / shown.below, d_h = d_seen[m][j];
      if (row.recurrent_mask) {
        if (row.d_recurrent_mask) {
          float *d_mask = row.d_recurrent_mask + u;
          store(d_mask, load(d_mask, left) + d_h * (o * tanh_c), left);
        }
        d_h *= load(row.recurrent_mask + u, left);
      }
      if (row.d_hs) d_h += load(row.d_hs + t * q.h_step + u, left);
      if (row.last && row.d_h_last) d_h += load(row.d_h_last + u, left);
      Vector d_c = load(row.d_c + u) + d_h * o * (1.f - tanh_c * tanh_c);
      float *d_z = pass.at(block * COLUMNS + j, place + m);
      store(d_z, d_c * g * (i - i * i));
      store(d_z + UNITS, d_c * c * (f - f * f));
      store(d_z + 2 * UNITS, d_c * i * (1.f - g * g));
      store(d_z + 3 * UNITS, d_h * tanh_c * (o - o * o));
      store(row.d_c + u, d_c * f);
    }
  }
}

// The gradient of the hidden states that the rows started from: at a reset, or before the first step.
template <int M, int N>
__attribute__((noinline)) void start_tile(const Pass &pass, BackwardRow *const *rows, long at_reset, long block, long) {
  Vector d_seen[M][N];
  times_w_h(pass, rows, block, d_seen);
  for (int m = 0; m < M; m++) {
    BackwardRow &row = *rows[m];
    const float *h = at_reset ? row.h_reset : row.h_first;
    float *d_start = at_reset ? row.d_h_reset : row.d_h_first;
    UNROLL for (int j = 0; j < N; j++) {
      const long u = block * SPAN + j * UNITS, left = pass.q.hidden - u;
      Vector d_h = d_seen[m][j];
      if (row.recurrent_mask) {
        if (row.d_recurrent_mask) {
          float *d_mask = row.d_recurrent_mask + u;
          store(d_mask, load(d_mask, left) + d_h * load(h + u, left), left);
        }
        d_h *= load(row.recurrent_mask + u, left);
      }
      if (row.last && row.d_h_last) d_h += load(row.d_h_last + u, left);
      store(d_start + u, load(d_start + u, left) + d_h, left);
    }
  }
}

template <int N> void step_block(const Pass &pass, long n, long t, long block, long place) {
  static void (*const tile[])(const Pass &, BackwardRow *const *, long, long, long) = BY_ROWS(step_tile, , N);
  IN_TILES(n, tile, pass, pass.running + s, t, block, place + s)
}
template <int N> void start_block(const Pass &pass, long n, long at_reset, long block, long) {
  static void (*const tile[])(const Pass &, BackwardRow *const *, long, long, long) = BY_ROWS(start_tile, , N);
  IN_TILES(n, tile, pass, pass.running + s, at_reset, block, 0)
}

// Blocks of units, all of them or some, for n of the running rows.
struct InBlocks {
  void (*const (&of_panels)[5])(const Pass &, long, long, long, long);
  const Pass &pass;
  long n, t, place;

  long count() const { return blocks(pass.q.panels, COLUMNS); }
  void from(long first, long end) const {
    for (long block = first; block < end; block++)
      of_panels[least(COLUMNS, pass.q.panels - block * COLUMNS)](pass, n, t, block, place);
  }
  void all() const { from(0, count()); }
};

void second_half_backward(const void *argument) {
  const InBlocks &step = *(const InBlocks *)argument;
  step.from(step.count() / 2, step.count());
}

// The hidden state that the row's step `step` saw, before its mask; null for zeros.
const float *seen_at(const Problem &q, const BackwardRow &row, long step) {
  for (;; step--) {
    if (reset(q, row.flags, in_memory(q, step))) return row.h_reset;
    if (step == 0) return row.h_first;
    const long before = in_memory(q, step - 1);
    if (taken(q, row.flags, before)) return row.hs + before * q.h_step;
  }
}

// [x, h, 1] of the row's step at place n of the chunk, and where its d_x belongs
void gather(const Pass &pass, const BackwardRow &row, long step, long n) {
  const Problem &q = pass.q;
  const long t = in_memory(q, step);
  const float *h = seen_at(q, row, step);
  float *line = pass.line;
  memcpy(line, row.x + t * q.x_step, q.features * sizeof(float));
  for (long u = 0; u < q.hidden; u++)
    line[q.features + u] = !h ? 0 : row.recurrent_mask ? h[u] * row.recurrent_mask[u] : h[u];
  for (long k = 0; k < factor_blocks(q); k++)
    memcpy(pass.factors + (k * pass.room + n) * TILE, line + k * TILE, TILE * sizeof(float));
  pass.d_x[n] = row.d_x ? row.d_x + t * q.x_step : nullptr;
}

}  // namespace
