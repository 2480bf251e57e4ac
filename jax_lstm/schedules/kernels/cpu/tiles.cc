// The loops of one instruction set: the build compiles this file once for each, with VARIANT as its name and BYTES to a vector.
#include "forward.h"
#include "weights.h"

namespace {

long backward_scratch(const Problem &q, long rows) {
  const long room = room_for(rows), pointers = 2 * (rows + room);
  return rows * padded(q) + q.panels * (rows + 1 + room) * WIDE + factor_blocks(q) * TILE * (room + 1) + pointers + 16;
}

// The row's carry was replaced here: what comes after reaches no step before.
void part(const Pass &pass, BackwardRow &row) {
  for (long u = 0; row.d_c_reset && u < pass.q.hidden; u++) row.d_c_reset[u] += row.d_c[u];
  memset(row.d_c, 0, padded(pass.q) * sizeof(float));
  row.after = pass.nowhere();
  row.last = false;
}

void backward(const Problem &q, const float *packed, BackwardRow *rows, long count, float *gradient, float *scratch, Team *team) {
  typedef void Block(const Pass &, long, long, long, long);
  static Block *const steps[] = BY_COLUMNS(step_block), *const starts[] = BY_COLUMNS(start_block);
  Pass pass = {q, packed, packed + blocks(q.hidden, SPAN) * q.panels * WIDE * SPAN, rows, count, room_for(count)};
  // vectors first, as the scratch begins at a cache line
  pass.d_z = scratch;
  float *d_c = scratch + q.panels * (pass.chunk() + pass.room) * WIDE, *end = d_c + count * padded(q);
  pass.factors = end, end += factor_blocks(q) * TILE * pass.room;
  pass.line = end, end += factor_blocks(q) * TILE;
  pass.d_x = (float **)end, end += 2 * pass.room;
  pass.running = (BackwardRow **)end;
  memset(pass.line, 0, factor_blocks(q) * TILE * sizeof(float));
  memset(gradient, 0, gradient_size(q) * sizeof(float));
  memset(d_c, 0, count * padded(q) * sizeof(float));
  pass.line[q.features + q.hidden] = 1;
  for (long p = 0; p < q.panels; p++) memset(pass.at(p, pass.nowhere()), 0, WIDE * sizeof(float));
  for (long r = 0; r < count; r++) {
    rows[r].d_c = d_c + r * padded(q);
    if (rows[r].d_c_last) memcpy(rows[r].d_c, rows[r].d_c_last, q.hidden * sizeof(float));
    rows[r].after = pass.nowhere();
    rows[r].last = true;
  }

  for (long step = q.time; step-- > 0;) {
    const long t = in_memory(q, step);
    long n = 0;
    for (BackwardRow *row = rows; row < rows + count; row++) {
      if (taken(q, row->flags, t)) pass.running[n++] = row;
      else if (row->d_x) memset(row->d_x + t * q.x_step, 0, q.features * sizeof(float));
    }
    if (pass.used + n > pass.room) finish_chunk(pass, gradient, team);
    const long place = pass.chunk() + pass.used;
    const InBlocks now = {steps, pass, n, t, place};
    if (team && team->open(second_half_backward, &now)) {
      now.from(0, now.count() / 2);
      team->meet();
    } else {
      now.all();
    }
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
    InBlocks{starts, pass, n, true, 0}.all();
    for (BackwardRow *row = rows; row < rows + count; row++)
      if (reset(q, row->flags, t)) part(pass, *row);
  }
  for (long r = 0; r < count; r++) {
    pass.running[r] = rows + r;
    memset(rows[r].d_h_first, 0, q.hidden * sizeof(float));
    memcpy(rows[r].d_c_first, rows[r].d_c, q.hidden * sizeof(float));
  }
  InBlocks{starts, pass, count, false, 0}.all();
  finish_chunk(pass, gradient, team);
}

const int CHAINS = 12;  // sums that do not wait for each other

__attribute__((noinline)) double multiply_add(long times) {
  Vector sum[CHAINS], factor = all(1.0000001f), term = all(1e-9f);
  UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = all((float)i);
  for (long k = 0; k < times; k++) UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + term;
  UNROLL for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];
  return sum[0][0];
}

}  // namespace

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define QUOTE_(a) #a
#define QUOTE(a) QUOTE_(a)
extern "C" const Kernels JOIN(kernels_, VARIANT) = {
    QUOTE(VARIANT),   UNITS,         forward_weights,  pack_forward,  forward_scratch, forward,
    backward_weights, pack_backward, backward_scratch, gradient_size, backward,        add_gradients,
    multiply_add,     CHAINS * UNITS,
};
