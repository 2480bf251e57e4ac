// The forward loop over time of one layer, for some rows of the batch. A tile takes up to TILE rows and one panel: it keeps their
// z = x W_x + h W_h + b in registers through the products and hands them to the update (cell.h).
#pragma once
#include "cell.h"

namespace {

// Rows of a panel's weights: those of W_x, then those of W_h that its units see.
INLINE long rows_of_panel(const Problem &q) { return q.features + most_seen(q); }

// Where the projection is among the packed weights, after the vectors and the panels, and its size.
INLINE long projection_place(const Problem &q) { return vectors_size(q) + q.panels * rows_of_panel(q) * WIDE; }
INLINE long projection_size(const Problem &q) { return q.projection ? blocks_of_out(q) * q.hidden * SPAN : 0; }

long forward_weights(const Problem &q) { return projection_place(q) + projection_size(q); }

// The vectors of each panel, zero beyond the last unit.
void pack_vectors(const Problem &q, Part part, const Weights &weights, Real *packed) {
  for (long p = part.begin(q.panels); p < part.end(q.panels); p++) {
    const long u = p * UNITS, left = q.hidden - u;
    Real *here = packed + p * vectors(q) * UNITS;
    auto pack = [&](long place, const Real *from, long row) {
      store(here + place * UNITS, from && row >= 0 ? load(from + row * q.hidden + u, left) : (Vector){});
    };
    for (long gate = 0; gate < 4; gate++) pack(gate, weights.b, gate_among(q, gate));
    if (vectors(q) == 4) continue;
    pack(PEEPHOLE, weights.peephole, 0), pack(PEEPHOLE + 1, weights.peephole, q.coupled ? -1 : 1), pack(PEEPHOLE + 2, weights.peephole, q.coupled ? 1 : 2);
    for (long gate = 0; q.diagonal && gate < 4; gate++) pack(DIAGONAL + gate, weights.w_h, gate_among(q, gate));
  }
}

// Row k of the recurrent weights for a gate and the units of a panel, zero for those of other heads.
INLINE Vector recurrent_row(const Problem &q, const Real *w_h, long k, long gate, long p) {
  if (q.head == q.hidden) return load(w_h + (k * gates(q) + gate) * q.hidden + p * UNITS, q.hidden - p * UNITS);
  const long first = k / q.head * q.head, u = p * UNITS, begin = u > first ? u : first, end = least(first + q.head, u + UNITS);
  const Real *from = w_h + (k * gates(q) + gate) * q.head + begin - first;
  if (begin == u) return load(from, end - begin);
  Vector v = {};
  if (end > begin) memcpy((Real *)&v + (begin - u), from, (end - begin) * sizeof(Real));
  return v;
}

// The projection: [block of SPAN columns][row][column], zero beyond the last column
void pack_projection(const Problem &q, Part part, const Real *projection, Real *packed) {
  const long count = blocks_of_out(q);
  for (long block = part.begin(count); block < part.end(count); block++)
    for (long k = 0; k < q.hidden; k++)
      for (long j = 0; j < COLUMNS; j++) {
        const long u = block * SPAN + j * UNITS;
        store(packed + (block * q.hidden + k) * SPAN + j * UNITS, load(projection + k * q.out + u, q.out - u));
      }
}

// After the vectors: [panel][SPAN's gates][rows of W_x, then of W_h][gate][unit], zero beyond the last unit
void pack_forward(const Problem &q, Part part, const Weights &weights, Real *packed) {
  pack_vectors(q, part, weights, packed);
  if (q.projection) pack_projection(q, part, weights.projection, packed + projection_place(q));
  packed += vectors_size(q) + part.begin(q.panels) * rows_of_panel(q) * WIDE;
  for (long p = part.begin(q.panels); p < part.end(q.panels); p++) {
    const Range seen = seen_by_panel(q, p);
    for (long first = 0; first < 4; first += COLUMNS) {
      Real *to = packed;
      packed += rows_of_panel(q) * SPAN;
      for (long k = 0; k < q.features + seen.size(); k++)
        for (long gate = first; gate < first + COLUMNS; gate++, to += UNITS) {
          const long among = gate_among(q, gate), h = k - q.features;
          if (among < 0) store(to, (Vector){});
          else if (h < 0) store(to, load(weights.w_x + (k * gates(q) + among) * q.hidden + p * UNITS, q.hidden - p * UNITS));
          else store(to, recurrent_row(q, weights.w_h, seen.begin + h, among, p));
        }
    }
  }
}

// What a forward pass over some rows has in common at all steps.
struct ForwardPass {
  const Problem &q;
  const Real *vectors, *weights, *projection;
  Update *const *update;  // by the number of rows

  const Real *vectors_of(long p) const { return vectors + p * ::vectors(q) * UNITS; }
  const Real *weights_of(long p, long group) const { return weights + (p * WIDE + group * SPAN) * rows_of_panel(q); }
};

const long FEW = 4;  // rows, whose products with the input are made before the loop

// The weights' streams that a tile of M rows takes at once, and the panels: enough for sums that do not wait for each other.
template <int M> constexpr int PANELS_AT_ONCE = M == 1 ? 2 : 1;
template <int M, int PANELS> constexpr int STREAMS = M == 1 || M <= 3 && COLUMNS == 2 ? PANELS * 4 / COLUMNS : 1;

template <bool INPUTS_FIRST, int M, int PANELS>
INLINE void forward_tile(const ForwardPass &pass, ForwardRow *const *rows, long t, long first_panel) {
  const Problem &q = pass.q;
  constexpr int GROUPS = 4 / COLUMNS, S = STREAMS<M, PANELS>;
  Vector z[PANELS][M][4];
  const Real *a[M], *w[S];
  UNROLL for (int first = 0; first < PANELS * GROUPS; first += S) {
    Vector sum[M][S][COLUMNS];
    UNROLL for (int s = 0; s < S; s++) {
      const long p = first_panel + (first + s) / GROUPS, group = (first + s) % GROUPS;
      w[s] = pass.weights_of(p, group);
      const Real *b = pass.vectors_of(p) + group * SPAN;
      UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int j = 0; j < COLUMNS; j++) sum[m][s][j] = load((INPUTS_FIRST ? rows[m]->z_x + p * WIDE + group * SPAN : b) + j * UNITS);
    }
    if (!INPUTS_FIRST) {
      for (int m = 0; m < M; m++) a[m] = rows[m]->x + t * q.x_step;
      multiply(sum, a, 1, w, SPAN, q.features);
    }
    const Range seen = seen_by_panel(q, first_panel + first / GROUPS);
    for (int m = 0; m < M; m++) a[m] = rows[m]->seen[0] + seen.begin;
    UNROLL for (int s = 0; s < S; s++) w[s] += q.features * SPAN;
    multiply(sum, a, 1, w, SPAN, seen.size());
    UNROLL for (int s = 0; s < S; s++) UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < COLUMNS; j++)
      z[(first + s) / GROUPS][m][(first + s) % GROUPS * COLUMNS + j] = sum[m][s][j];
  }
  UNROLL for (int i = 0; i < PANELS; i++) {
    const long p = first_panel + i, left = q.hidden - p * UNITS;
    if (left < UNITS)
      for (int m = 0; m < M; m++) UNROLL for (int gate = 0; gate < 4; gate++) z[i][m][gate] = first_lanes(z[i][m][gate], left);
    pass.update[M](q, pass.vectors_of(p), rows, t, p, z[i]);
  }
}

template <bool INPUTS_FIRST, int M> INLINE void forward_tiles(const ForwardPass &pass, ForwardRow *const *rows, long t, long first, long end) {
  constexpr int PANELS = PANELS_AT_ONCE<M>;
  long p = first;
  // panels that see the same units
  if (PANELS > 1 && pass.q.head == pass.q.hidden)
    for (; p + PANELS <= end; p += PANELS) forward_tile<INPUTS_FIRST, M, PANELS>(pass, rows, t, p);
  for (; p < end; p++) forward_tile<INPUTS_FIRST, M, 1>(pass, rows, t, p);
}
template <int M> __attribute__((noinline)) void forward_panels(const ForwardPass &pass, ForwardRow *const *rows, long t, long first, long end) {
  if (M <= FEW && rows[0]->z_x) forward_tiles<M <= FEW, M>(pass, rows, t, first, end);
  else forward_tiles<false, M>(pass, rows, t, first, end);
}

// h' = m W_p for M rows and N vectors of a block of SPAN columns.
template <int M, int N>
__attribute__((noinline)) void projection_tile(const ForwardPass &pass, ForwardRow *const *rows, long t, long block) {
  const Problem &q = pass.q;
  Vector h[M][1][N] = {};
  const Real *a[M], *const w[1] = {pass.projection + block * q.hidden * SPAN};
  for (int m = 0; m < M; m++) a[m] = rows[m]->m;
  multiply(h, a, 1, w, SPAN, q.hidden);
  for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++) finish<false>(q, *rows[m], t, block * SPAN + j * UNITS, h[m][0][j]);
}
template <int N> void projection_block(const ForwardPass &pass, ForwardRow *const *rows, long n, long t, long block) {
  static void (*const tile[])(const ForwardPass &, ForwardRow *const *, long, long) = BY_ROWS(projection_tile, , N);
  IN_TILES(n, tile, pass, rows + s, t, block)
}

// The carry from which the row's next step starts; null for zeros.
void start_from(const Problem &q, ForwardRow &row, const Real *h, const Real *c) {
  for (long part = 0; part < q.memory; part++)
    for (long u = 0; u < q.hidden; u++) row.c[part * padded(q) + u] = c ? c[part * q.hidden + u] : 0;
  for (long u = 0; u < q.out; u++) {
    const Real value = h ? h[u] : 0;
    if (q.apart) row.h[u] = value;
    row.seen[0][u] = row.recurrent_mask ? value * row.recurrent_mask[u] : value;
  }
}

// What a row has while the loop runs.
INLINE long state_size(const Problem &q) { return (2 + q.apart) * padded_out(q) + (q.memory + q.projection) * padded(q); }
const long PLACES = 24;  // of one row and step each, whose products with the input are made together where there are few rows

INLINE bool inputs_first(const Problem &q, long rows) { return rows <= FEW && q.time > 1 && q.features > 0; }

long forward_scratch(const Problem &q, long rows) {
  const long pointers = 2 * rows + PLACES * (1 + (long)sizeof(ForwardRow) / (long)sizeof(Real)) + 16;
  return rows * state_size(q) + (inputs_first(q, rows) ? (PLACES + 1) * q.panels * WIDE : 0) + pointers;
}

// A step of n rows.
struct ForwardStep {
  const ForwardPass &pass;
  ForwardRow *const *rows;
  long n, t;

  void in_panels(long first, long end) const {
    static void (*const tile[])(const ForwardPass &, ForwardRow *const *, long, long, long) = BY_ROWS(forward_panels);
    // all rows of a panel before the next one, as its weights are then in the fastest cache
    const long at_once = n <= TILE ? end - first : 1;
    for (long p = first; p < end; p += at_once) IN_TILES(n, tile, pass, rows + s, t, p, p + at_once)
  }
};

void second_half_forward(const void *argument) {
  const ForwardStep &step = *(const ForwardStep *)argument;
  step.in_panels(step.pass.q.panels / 2, step.pass.q.panels);
  if (step.pass.q.far) stored_past();
}

// The projection of n rows after their update, in blocks of SPAN units.
struct Projection {
  const ForwardPass &pass;
  ForwardRow *const *rows;
  long n, t;

  void in_panels(long first, long end) const {
    static void (*const of_vectors[])(const ForwardPass &, ForwardRow *const *, long, long, long) = BY_COLUMNS(projection_block);
    for (long block = first; block < end; block++)
      of_vectors[least(COLUMNS, pass.q.out_panels - block * COLUMNS)](pass, rows, n, t, block);
  }
};

void second_half_of_projection(const void *argument) {
  const Projection &step = *(const Projection *)argument;
  const long count = blocks_of_out(step.pass.q);
  step.in_panels(count / 2, count);
}

// z_x = x W_x + b of some steps, for all rows: few rows then read W_x once for many steps, and only W_h at each.
struct Inputs {
  const ForwardPass &pass;
  ForwardRow *const rows;
  long count, first, end;
  Real *z;  // [place][panel][gate][unit]

  void in_panels(long first_panel, long end_panel) const {
    const Problem &q = pass.q;
    const long places = (end - first) * count;
    for (long p = first_panel; p < end_panel; p++)
      for (long group = 0; group < 4 / COLUMNS; group++)
        for (long place = 0; place < places; place += TILE) {
          Vector sum[TILE][1][COLUMNS];
          const Real *a[TILE], *const w[1] = {pass.weights_of(p, group)}, *b = pass.vectors_of(p) + group * SPAN;
          for (int m = 0; m < TILE; m++) {
            const long here = least(place + m, places - 1);  // the last one again where the tile is not full
            a[m] = rows[here % count].x + in_memory(q, first + here / count) * q.x_step;
            UNROLL for (int j = 0; j < COLUMNS; j++) sum[m][0][j] = load(b + j * UNITS);
          }
          multiply(sum, a, 1, w, SPAN, q.features);
          for (int m = 0; m < TILE && place + m < places; m++)
            UNROLL for (int j = 0; j < COLUMNS; j++)
              store(z + ((place + m) * q.panels + p) * WIDE + group * SPAN + j * UNITS, sum[m][0][j]);
        }
  }
};

void second_half_of_inputs(const void *argument) {
  const Inputs &inputs = *(const Inputs *)argument;
  inputs.in_panels(inputs.pass.q.panels / 2, inputs.pass.q.panels);
}

// The first half of the panels here and the second by the follower, where there is one.
template <class Work> void together(Team *team, const Work &work, long panels, void (*second_half)(const void *)) {
  if (team && team->open(second_half, &work)) {
    work.in_panels(0, panels / 2);
    team->meet();
  } else {
    work.in_panels(0, panels);
  }
}

void forward(const Problem &q, const Real *packed, ForwardRow *rows, long count, Real *scratch, Team *team) {
  static Update *const plain[] = BY_ROWS(update, , true), *const others[] = BY_ROWS(update, , false), *const exponential[] = BY_ROWS(update_exponential);
  const ForwardPass pass = {q, packed, packed + vectors_size(q), packed + projection_place(q), q.exponential ? exponential : is_plain(q) ? plain : others};
  const long size = padded(q), out_size = padded_out(q), ahead = inputs_first(q, count) ? PLACES / count : 0;
  memset(scratch, 0, count * state_size(q) * sizeof(Real));
  Real *z_x = scratch + count * state_size(q);
  ForwardRow **running = (ForwardRow **)(z_x + (ahead ? PLACES * q.panels * WIDE : 0));
  for (long r = 0; r < count; r++) {
    Real *own = scratch + r * state_size(q);
    rows[r].c = own, own += q.memory * size;
    rows[r].m = own, own += q.projection * size;
    rows[r].seen[0] = own, rows[r].seen[1] = own + out_size, rows[r].h = own + 2 * out_size;
    rows[r].z_x = nullptr;
    start_from(q, rows[r], rows[r].h_first, rows[r].c_first);
    running[r] = rows + r;
  }
  long n = count;
  for (long step = 0; step < q.time; step++) {
    const long t = in_memory(q, step);
    if (ahead) {
      if (step % ahead == 0) together(team, Inputs{pass, rows, count, step, least(step + ahead, q.time), z_x}, q.panels, second_half_of_inputs);
      for (long r = 0; r < count; r++) rows[r].z_x = z_x + (step % ahead * count + r) * q.panels * WIDE;
    }
    if (q.uneven) {
      n = 0;
      for (ForwardRow *row = rows; row < rows + count; row++) {
        if (reset(q, row->flags, t)) start_from(q, *row, row->h_reset, row->c_reset);
        if (taken(q, row->flags, t)) running[n++] = row;
        else if (row->hs) memset(row->hs + t * q.h_step, 0, q.out * sizeof(Real));
      }
    }
    together(team, ForwardStep{pass, running, n, t}, q.panels, second_half_forward);
    if (q.projection) together(team, Projection{pass, running, n, t}, blocks_of_out(q), second_half_of_projection);
    for (long k = 0; k < n; k++) {
      Real *before = running[k]->seen[0];
      running[k]->seen[0] = running[k]->seen[1], running[k]->seen[1] = before;
    }
  }
  for (ForwardRow *row = rows; row < rows + count; row++) {
    memcpy(row->h_last, q.apart ? row->h : row->seen[0], q.out * sizeof(Real));
    for (long part = 0; part < q.memory; part++) memcpy(row->c_last + part * q.hidden, row->c + part * size, q.hidden * sizeof(Real));
  }
  if (q.far) stored_past();
}

}  // namespace
