// The backward loop over time, for some rows of the batch. With d_ for the gradient with respect to what follows it, a step is
//
//     d_h'= d_hs + recurrent_mask (d_z of the step after) W_h^T
//     d_m = d_h' W_p^T  or d_h'
//     d_z, d_c = the derivative of the update (cell.h) at d_m, d_c'
//
// A tile takes up to TILE rows and up to COLUMNS panels of units. The d_z of many rows and steps are gathered, with the [x, h, 1] that
// they belong to, before the gradients of weights and inputs are made of them, while they are in the cache:
//
//     d_W = [x, h, 1]^T d_z,  d_W_p = m^T d_h',  d_x = d_z W_x^T
#pragma once
#include "forward.h"

namespace {

// d_z of one row and step, or of one step where it has more rows: those of a panel stay in the fastest cache
const long GATHERED = 2048 / UNITS;
const long FEW_FEATURES = 4;  // for so few d_x is made of dot products

// One pass over some rows. d_z has places: one per row for what is left of the chunk before, one that is zero, then those of the chunk.
struct Pass {
  const Problem &q;
  const Real *vectors, *w_h, *w_x, *projection;
  BackwardRow *rows;
  long count, room, used;
  Real *d_z;        // [panel][place][gate][unit]
  Real *factors;    // [block of TILE][place in the chunk][TILE]: [x, h, 1] by columns
  Real *line;       // one row of factors
  Real *d_h;        // [block of SPAN][place in the chunk][SPAN]: the gradient of what the projection gives
  Real *projected;  // [block of TILE][place in the chunk][TILE]: m by columns
  Real *d_vectors;  // [panel][vector][unit]: the gradients of the weights that are vectors
  Real **d_x;       // for each place in the chunk where its d_x belongs
  BackwardRow **running;
  void (*derive)(const Pass &, BackwardRow *const *, long, long, long, long, long, const Vector *);

  long nowhere() const { return count; }
  long chunk() const { return count + 1; }
  long places() const { return chunk() + room; }
  Real *d_h_at(long block, long place) const { return d_h + (block * room + place - chunk()) * SPAN; }
  Real *at(long panel, long place) const { return d_z + (panel * places() + place) * WIDE; }
  const Real *vectors_of(long p) const { return vectors + p * ::vectors(q) * UNITS; }
  Real *d_vectors_of(long p) const { return d_vectors + p * ::vectors(q) * UNITS; }
};

// Rows of the weights' gradients: those of W_x, of W_h, and b. A diagonal W_h is a vector.
INLINE long dense_rows(const Problem &q) { return q.features + (q.diagonal ? 0 : q.out) + 1; }
INLINE long factor_blocks(const Problem &q) { return blocks(dense_rows(q), TILE); }
INLINE long line_size(const Problem &q) { return factor_blocks(q) * TILE + (q.diagonal ? padded(q) : 0); }

const long INPUT_TILE = 2 * TILE;
INLINE long room_for(long rows) { return blocks(rows > GATHERED ? rows : GATHERED, INPUT_TILE) * INPUT_TILE; }

INLINE long recurrent_size(const Problem &q) { return q.diagonal ? 0 : blocks_of_out(q) * most_seeing(q) * WIDE * SPAN; }

INLINE long input_size(const Problem &q) {
  return q.panels * WIDE * (q.features <= FEW_FEATURES ? q.features : blocks(q.features, SPAN) * SPAN);
}
INLINE long transposed_projection_size(const Problem &q) { return q.projection ? blocks(q.hidden, SPAN) * q.out * SPAN : 0; }

long backward_weights(const Problem &q) {
  return vectors_size(q) + recurrent_size(q) + input_size(q) + transposed_projection_size(q);
}

// The projection transposed: [block of SPAN rows][column][row], zero beyond the last row
void pack_transposed_projection(const Problem &q, Part part, const Real *projection, Real *packed) {
  const long count = blocks(q.hidden, SPAN), size = q.out * SPAN;
  for (long block = part.begin(count); block < part.end(count); block++) {
    const long first = block * SPAN, rows = least(SPAN, q.hidden - first);
    memset(packed + block * size, 0, size * sizeof(Real));
    for (long j = 0; j < rows; j++)
      for (long k = 0; k < q.out; k++) packed[block * size + k * SPAN + j] = projection[(first + j) * q.out + k];
  }
}

// w transposed: [block of SPAN rows][panel][gate][unit][SPAN], zero beyond the last row and unit. In w, each group of units has rows
// of its own, `group_rows` of them; a block has the panels of the groups that its rows belong to, at most `most`.
void pack_transposed(const Problem &q, Part part, const Real *w, long rows, long group, long group_rows, long most, Real *packed) {
  const long count = blocks(rows, SPAN), size = most * WIDE * SPAN;
  for (long block = part.begin(count); block < part.end(count); block++) {
    memset(packed + block * size, 0, size * sizeof(Real));
    const long first = block * SPAN, last = least(first + SPAN, rows);
    const long unit_begin = first / group_rows * group, unit_end = ((last - 1) / group_rows + 1) * group;
    for (long gate = 0; gate < 4; gate++)
      for (long unit = unit_begin; gate_among(q, gate) >= 0 && unit < unit_end; unit++) {
        const long of = unit / group, begin = of * group_rows, end = begin + group_rows;
        const long panel = unit / UNITS - unit_begin / UNITS;
        Real *line = packed + (block * most * WIDE + panel * WIDE + gate * UNITS + unit % UNITS) * SPAN;
        const Real *column = w + gate_among(q, gate) * group + unit - of * group;
        for (long k = begin > first ? begin : first; k < least(end, last); k++) line[k - first] = column[k * gates(q) * group];
      }
  }
}

void pack_backward(const Problem &q, Part part, const Weights &weights, Real *packed) {
  pack_vectors(q, part, weights, packed);
  packed += vectors_size(q);
  if (!q.diagonal) pack_transposed(q, part, weights.w_h, q.out, q.head, is_dense(q) ? q.out : q.head, most_seeing(q), packed);
  packed += recurrent_size(q);
  if (q.projection) pack_transposed_projection(q, part, weights.projection, packed + input_size(q));
  if (q.features > FEW_FEATURES) return pack_transposed(q, part, weights.w_x, q.features, q.hidden, q.features, q.panels, packed);
  packed += part.begin(q.features) * q.panels * WIDE;
  for (long k = part.begin(q.features); k < part.end(q.features); k++)  // [feature][panel][gate][unit]
    for (long p = 0; p < q.panels; p++)
      for (long gate = 0; gate < 4; gate++, packed += UNITS) {
        const long among = gate_among(q, gate);
        store(packed, among < 0 ? (Vector){} : load(weights.w_x + (k * gates(q) + among) * q.hidden + p * UNITS, q.hidden - p * UNITS));
      }
}

// The gradient of the hidden states that the rows' steps after saw, for a block of SPAN units.
template <int M, int N> INLINE void times_w_h(const Pass &pass, BackwardRow *const *rows, long block, Vector (&d_seen)[M][N]) {
  const Problem &q = pass.q;
  UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++) d_seen[m][j] = (Vector){};
  bool any = false;
  for (int m = 0; m < M; m++) any |= rows[m]->after != pass.nowhere();
  if (!any) return;
  if (q.diagonal) {
    for (int j = 0; j < N; j++)
      for (int m = 0; m < M; m++) {
        const Real *w = pass.vectors_of(block * COLUMNS + j) + DIAGONAL * UNITS, *d_z = pass.at(block * COLUMNS + j, rows[m]->after);
        for (int gate = 0; gate < 4; gate++) d_seen[m][j] += load(w + gate * UNITS) * load(d_z + gate * UNITS);
      }
    return;
  }
  const Range panels = panels_seeing(q, block);
  const Real *a[M];
  for (int m = 0; m < M; m++) a[m] = pass.at(panels.begin, rows[m]->after);
  multiply_gates(d_seen, a, pass.places() * WIDE, pass.w_h + block * most_seeing(q) * WIDE * SPAN, panels.size());
}

typedef void Derivative(const Problem &, const Real *vectors, BackwardRow &, long t, long p, Vector d_m, Real *d_z, Real *d_vectors);

// The derivative of the update for a tile's rows and its panels, from d_m where there is a projection, else from d_seen.
template <Derivative *DERIVATIVE>
__attribute__((noinline)) void derive_tile(const Pass &pass, BackwardRow *const *rows, long count, long columns, long t, long block, long place, const Vector *given) {
  const Problem &q = pass.q;
  for (long m = 0; m < count; m++)
    for (long j = 0; j < columns; j++) {
      const long p = block * COLUMNS + j, u = p * UNITS;
      Vector d_m = given[m * columns + j];
      if (!q.projection) d_m = hidden_gradient(q, *rows[m], t, u, d_m);
      else if (q.hidden - u < UNITS) d_m = first_lanes(d_m, q.hidden - u);
      DERIVATIVE(q, pass.vectors_of(p), *rows[m], t, p, d_m, pass.at(p, place + m), pass.d_vectors_of(p));
    }
}

// d_h' of M rows and N vectors of a block of SPAN units, where it is projected.
template <int M, int N>
__attribute__((noinline)) void hidden_tile(const Pass &pass, BackwardRow *const *rows, long t, long block, long place) {
  Vector d_seen[M][N];
  times_w_h(pass, rows, block, d_seen);
  for (int m = 0; m < M; m++)
    for (int j = 0; j < N; j++)
      store(pass.d_h_at(block, place + m) + j * UNITS, hidden_gradient(pass.q, *rows[m], t, block * SPAN + j * UNITS, d_seen[m][j]));
}

// d_m = d_h' W_p^T of M rows, for a block of SPAN units.
template <int M, int N> INLINE void times_projection(const Pass &pass, long block, long place, Vector (&d_m)[M][N]) {
  const Problem &q = pass.q;
  Vector sum[M][1][N] = {};
  const Real *a[M];
  for (long k = 0; k < q.out; k += SPAN) {
    const Real *const w[1] = {pass.projection + (block * q.out + k) * SPAN};
    for (int m = 0; m < M; m++) a[m] = pass.d_h_at(k / SPAN, place + m);
    multiply(sum, a, 1, w, SPAN, least(SPAN, q.out - k));
  }
  UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++) d_m[m][j] = sum[m][0][j];
}

// A step of M rows, whose d_z go to `place` and the places that follow.
template <int M, int N>
__attribute__((noinline)) void step_tile(const Pass &pass, BackwardRow *const *rows, long t, long block, long place) {
  const Problem &q = pass.q;
  Vector given[M][N];
  // fetched while the products run, as the processor does not foresee these places: 2 to 4 % of a gradient
  for (int m = 0; q.far && m < M; m++)
    for (int j = 0; j < N; j++) {
      const Real *kept = rows[m]->kept + t * q.kept_step + (block * COLUMNS + j) * q.kept_panel;
      for (long k = 0; k < q.kept * UNITS; k += CACHE_LINE) __builtin_prefetch(kept + k);
      if (!q.projection && rows[m]->d_hs) __builtin_prefetch(rows[m]->d_hs + t * q.h_step + block * SPAN + j * UNITS);
    }
  if (q.projection) times_projection(pass, block, place, given);
  else times_w_h(pass, rows, block, given);
  pass.derive(pass, rows, M, N, t, block, place, &given[0][0]);
}

// The gradient of the hidden states that the rows started from: at a reset, or before the first step.
template <int M, int N>
__attribute__((noinline)) void start_tile(const Pass &pass, BackwardRow *const *rows, long at_reset, long block, long) {
  Vector d_seen[M][N];
  times_w_h(pass, rows, block, d_seen);
  for (int m = 0; m < M; m++) {
    BackwardRow &row = *rows[m];
    const Real *h = at_reset ? row.h_reset : row.h_first;
    Real *d_start = at_reset ? row.d_h_reset : row.d_h_first;
    for (int j = 0; j < N; j++) {
      const long u = block * SPAN + j * UNITS, left = pass.q.out - u;
      Vector d_h = d_seen[m][j];
      if (row.recurrent_mask) {
        if (row.d_recurrent_mask) {
          Real *d_mask = row.d_recurrent_mask + u;
          store(d_mask, load(d_mask, left) + d_h * load(h + u, left), left);
        }
        d_h *= load(row.recurrent_mask + u, left);
      }
      if (pass.q.zoneout) d_h += load(row.d_kept_h + u);
      if (row.last && row.d_h_last) d_h += load(row.d_h_last + u, left);
      store(d_start + u, load(d_start + u, left) + d_h, left);
    }
  }
}

template <int N> void step_block(const Pass &pass, long n, long t, long block, long place) {
  static void (*const tile[])(const Pass &, BackwardRow *const *, long, long, long) = BY_ROWS(step_tile, , N);
  IN_TILES(n, tile, pass, pass.running + s, t, block, place + s)
}
template <int N> void hidden_block(const Pass &pass, long n, long t, long block, long place) {
  static void (*const tile[])(const Pass &, BackwardRow *const *, long, long, long) = BY_ROWS(hidden_tile, , N);
  IN_TILES(n, tile, pass, pass.running + s, t, block, place + s)
}
template <int N> void start_block(const Pass &pass, long n, long at_reset, long block, long) {
  static void (*const tile[])(const Pass &, BackwardRow *const *, long, long, long) = BY_ROWS(start_tile, , N);
  IN_TILES(n, tile, pass, pass.running + s, at_reset, block, 0)
}

// Blocks of `panels` vectors of units, all of them or some, for n of the running rows.
struct InBlocks {
  void (*const (&of_panels)[5])(const Pass &, long, long, long, long);
  const Pass &pass;
  long panels, n, t, place;

  long count() const { return blocks(panels, COLUMNS); }
  void in_panels(long first, long end) const {
    for (long block = first; block < end; block++)
      of_panels[least(COLUMNS, panels - block * COLUMNS)](pass, n, t, block, place);
  }
};

void second_half_backward(const void *argument) {
  const InBlocks &step = *(const InBlocks *)argument;
  step.in_panels(step.count() / 2, step.count());
}

// The hidden state that the row's step `step` saw, before its mask; null for zeros.
const Real *seen_at(const Problem &q, const BackwardRow &row, long step) {
  for (;; step--) {
    if (reset(q, row.flags, in_memory(q, step))) return row.h_reset;
    if (step == 0) return row.h_first;
    const long before = in_memory(q, step - 1);
    if (taken(q, row.flags, before)) return row.hs + before * q.h_step;
  }
}

// [x, h, 1] of the row's step at place n of the chunk, and where its d_x belongs. A diagonal recurrence has h apart, and the gradient
// of its weights, h d_z by element, is added up here.
void gather(const Pass &pass, const BackwardRow &row, long step, long n) {
  const Problem &q = pass.q;
  const long t = in_memory(q, step);
  const Real *seen = seen_at(q, row, step);
  Real *line = pass.line, *h = line + (q.diagonal ? factor_blocks(q) * TILE : q.features);
  memcpy(line, row.x + t * q.x_step, q.features * sizeof(Real));
  for (long u = 0; u < q.out; u++) h[u] = !seen ? 0 : row.recurrent_mask ? seen[u] * row.recurrent_mask[u] : seen[u];
  for (long k = 0; k < factor_blocks(q); k++)
    memcpy(pass.factors + (k * pass.room + n) * TILE, line + k * TILE, TILE * sizeof(Real));
  for (long k = 0; k < blocks_of_projected(q); k++)
    memcpy(pass.projected + (k * pass.room + n) * TILE, row.m + k * TILE, TILE * sizeof(Real));
  pass.d_x[n] = row.d_x ? row.d_x + t * q.x_step : nullptr;
  for (long p = 0; q.diagonal && p < q.panels; p++)
    for (long gate = 0; gate < 4; gate++) {
      Real *d_w = pass.d_vectors_of(p) + (DIAGONAL + gate) * UNITS;
      store(d_w, load(d_w) + load(h + p * UNITS) * load(pass.at(p, pass.chunk() + n) + gate * UNITS));
    }
}

}  // namespace
