// The loops of one instruction set and one dtype: the build compiles this file once for each, with VARIANT, the set's name, BYTES, the size
// of its vectors, and REAL, float or double.
#include "weights.h"

namespace {

// The gradients that a row carries from step to step: of the memory, and of the hidden state that zoneout keeps.
INLINE long carried(const Problem &q) { return q.memory * padded(q) + q.zoneout * padded_out(q); }

// What was projected, in one row: a whole number of vectors that holds the blocks of TILE.
INLINE long projected_size(const Problem &q) { return q.projection ? blocks(blocks_of_projected(q) * TILE, UNITS) * UNITS : 0; }

long backward_scratch(const Problem &q, long rows) {
  const long room = room_for(rows), pointers = 2 * (rows + room);
  const long projected = q.projection ? (blocks_of_out(q) * SPAN + blocks_of_projected(q) * TILE) * room : 0;
  return rows * (carried(q) + projected_size(q)) + projected + q.panels * (rows + 1 + room) * WIDE + factor_blocks(q) * TILE * room + blocks(line_size(q), UNITS) * UNITS + pointers + 16;
}

// The row's carry was replaced here: what comes after reaches no step before.
void part(const Pass &pass, BackwardRow &row) {
  const Problem &q = pass.q;
  for (long k = 0; row.d_c_reset && k < q.memory; k++)
    for (long u = 0; u < q.hidden; u++) row.d_c_reset[k * q.hidden + u] += row.d_c[k * padded(q) + u];
  memset(row.d_c, 0, carried(q) * sizeof(Real));
  row.after = pass.nowhere();
  row.last = false;
}

void backward(const Problem &q, const Real *packed, BackwardRow *rows, long count, Real *gradient, Real *scratch, Team *team) {
  typedef void Block(const Pass &, long, long, long, long);
  static Block *const hidden[] = BY_COLUMNS(hidden_block), *const steps[] = BY_COLUMNS(step_block), *const starts[] = BY_COLUMNS(start_block);
  const Real *w_h = packed + vectors_size(q);
  const Real *w_x = w_h + recurrent_size(q);
  Pass pass = {q, packed, w_h, w_x, w_x + input_size(q), rows, count, room_for(count)};
  pass.derive = q.exponential ? derive_tile<derive_exponential> : is_plain(q) ? derive_tile<derive<true>> : derive_tile<derive<false>>;
  // vectors first, as the scratch begins at a cache line
  pass.d_z = scratch;
  Real *d_c = scratch + q.panels * pass.places() * WIDE, *m = d_c + count * carried(q), *end = m + count * projected_size(q);
  pass.d_h = end, end += q.projection ? blocks_of_out(q) * SPAN * pass.room : 0;
  pass.line = end, end += blocks(line_size(q), UNITS) * UNITS;
  pass.factors = end, end += factor_blocks(q) * TILE * pass.room;
  pass.projected = end, end += blocks_of_projected(q) * TILE * pass.room;
  pass.d_x = (Real **)end, end += 2 * pass.room;
  pass.running = (BackwardRow **)end;
  pass.d_vectors = gradient + matrix_size(q);
  memset(pass.line, 0, line_size(q) * sizeof(Real));
  memset(gradient, 0, gradient_size(q) * sizeof(Real));
  memset(d_c, 0, count * (carried(q) + projected_size(q)) * sizeof(Real));
  pass.line[dense_rows(q) - 1] = 1;
  for (long p = 0; p < q.panels; p++) memset(pass.at(p, pass.nowhere()), 0, WIDE * sizeof(Real));
  for (long r = 0; r < count; r++) {
    rows[r].d_c = d_c + r * carried(q), rows[r].d_kept_h = rows[r].d_c + q.memory * padded(q), rows[r].m = m + r * projected_size(q);
    for (long k = 0; rows[r].d_c_last && k < q.memory; k++)
      memcpy(rows[r].d_c + k * padded(q), rows[r].d_c_last + k * q.hidden, q.hidden * sizeof(Real));
    rows[r].after = pass.nowhere();
    rows[r].last = true;
  }

  for (long step = q.time; step-- > 0;) {
    const long t = in_memory(q, step);
    long n = 0;
    for (BackwardRow *row = rows; row < rows + count; row++) {
      if (taken(q, row->flags, t)) pass.running[n++] = row;
      else if (row->d_x) memset(row->d_x + t * q.x_step, 0, q.features * sizeof(Real));
    }
    if (pass.used + n > pass.room) finish_chunk(pass, gradient, team);
    const long place = pass.chunk() + pass.used;
    const InBlocks before = {hidden, pass, q.out_panels, n, t, place}, now = {steps, pass, q.panels, n, t, place};
    if (q.projection) together(team, before, before.count(), second_half_backward);
    together(team, now, now.count(), second_half_backward);
    for (long k = 0; k < n; k++) {
      gather(pass, *pass.running[k], step, pass.used + k);
      pass.running[k]->after = place + k;
      pass.running[k]->last = false;
    }
    pass.used += n;
    if (!q.uneven) continue;
    n = 0;
    for (BackwardRow *row = rows; row < rows + count; row++)
      if (row->d_h_reset && reset(q, row->flags, t)) pass.running[n++] = row;
    const InBlocks to_reset = {starts, pass, q.out_panels, n, true, 0};
    to_reset.in_panels(0, to_reset.count());
    for (BackwardRow *row = rows; row < rows + count; row++)
      if (reset(q, row->flags, t)) part(pass, *row);
  }
  for (long r = 0; r < count; r++) {
    pass.running[r] = rows + r;
    memset(rows[r].d_h_first, 0, q.out * sizeof(Real));
    for (long k = 0; k < q.memory; k++) memcpy(rows[r].d_c_first + k * q.hidden, rows[r].d_c + k * padded(q), q.hidden * sizeof(Real));
  }
  const InBlocks to_first = {starts, pass, q.out_panels, count, false, 0};
  to_first.in_panels(0, to_first.count());
  finish_chunk(pass, gradient, team);
}

}  // namespace

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define QUOTE_(a) #a
#define QUOTE(a) QUOTE_(a)
extern "C" const Kernels JOIN(JOIN(kernels_, VARIANT), JOIN(_, REAL)) = {
    QUOTE(VARIANT),   UNITS,         forward_weights,  pack_forward,  forward_scratch, forward,
    backward_weights, pack_backward, backward_scratch, gradient_size, backward,        add_gradients,
};
