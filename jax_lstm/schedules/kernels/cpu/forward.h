// The forward loop over time of one layer, for some rows of the batch. In the names of _cell.py, a step is
//
//     z = x W_x + h W_h + b
//     i = sigmoid(z_i),  f = sigmoid(z_f),  g = tanh(z_g),  o = sigmoid(z_o)
//     c'= f c + i g
//     h'= o tanh(c')
//
// A tile takes up to TILE rows and one panel: it keeps their z in registers through the products and updates them there.
#pragma once
#include "tiles.h"

namespace {

long forward_weights(const Problem &q) { return q.panels * (1 + q.features + q.hidden) * WIDE; }

// [panel][SPAN's gates][b, then the rows of W_x, then of W_h][gate][unit], zero beyond the last unit
void pack_forward(const Problem &q, Part part, const float *w_x, const float *w_h, const float *b, float *packed) {
  packed += part.begin(q.panels) * (1 + q.features + q.hidden) * WIDE;
  for (long p = part.begin(q.panels); p < part.end(q.panels); p++)
    for (long first = 0; first < 4; first += COLUMNS)
      for (long k = -1; k < q.features + q.hidden; k++) {
        const float *row = k < 0 ? b : k < q.features ? w_x + k * 4 * q.hidden : w_h + (k - q.features) * 4 * q.hidden;
        for (long gate = first; gate < first + COLUMNS; gate++, packed += UNITS)
          store(packed, row ? load(row + gate * q.hidden + p * UNITS, q.hidden - p * UNITS) : (Vector){});
      }
}

INLINE void keep(const Problem &q, float *kept, Vector v) {
  if (q.far) store_past(kept, v);
  else store(kept, v);
}

template <int M>
__attribute__((noinline)) void forward_tile(const Problem &q, const float *packed, ForwardRow *const *rows, long t, long p) {
  Vector z[M][4];
  const float *a[M], *w = packed + p * (1 + q.features + q.hidden) * WIDE;
  UNROLL for (int first = 0; first < 4; first += COLUMNS, w += (1 + q.features + q.hidden) * SPAN) {
    Vector sum[M][COLUMNS];
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < COLUMNS; j++) sum[m][j] = load(w + j * UNITS);
    for (int m = 0; m < M; m++) a[m] = rows[m]->x + t * q.x_step;
    multiply(sum, a, 1, w + SPAN, SPAN, q.features);
    for (int m = 0; m < M; m++) a[m] = rows[m]->seen[0];
    multiply(sum, a, 1, w + SPAN + q.features * SPAN, SPAN, q.hidden);
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < COLUMNS; j++) z[m][first + j] = sum[m][j];
  }

  const long u = p * UNITS, left = q.hidden - u;
  // by stages, as the rows' chains of operations then overlap: quotients above / below first, those of i, f and o above being 1
  Quotient g_[M], shown[M];
  Vector c_next[M];
  for (int m = 0; m < M; m++) {
    z[m][0] = sigmoid_below(z[m][0]), z[m][1] = sigmoid_below(z[m][1]), z[m][3] = sigmoid_below(z[m][3]);
    g_[m] = tanh_parts(z[m][2]);
  }
  for (int m = 0; m < M; m++) {
    ForwardRow &row = *rows[m];
    // three quotients by one division
    Vector i_ = z[m][0], f_ = z[m][1], inverse = 1.f / (i_ * f_ * g_[m].below);
    Vector i = f_ * g_[m].below * inverse, f = i_ * g_[m].below * inverse, g = g_[m].above * (i_ * f_ * inverse);
    Vector c = load(row.c + u);
    c_next[m] = f * c + i * g;
    store(row.c + u, c_next[m]);
    if (row.kept) {
      float *kept = row.kept + t * q.kept_step + p * q.kept_panel;
      keep(q, kept, i), keep(q, kept + UNITS, f), keep(q, kept + 2 * UNITS, g), keep(q, kept + 4 * UNITS, c);
    }
  }
  for (int m = 0; m < M; m++) shown[m] = tanh_parts(c_next[m]);
  for (int m = 0; m < M; m++) {
    ForwardRow &row = *rows[m];
    Vector o_ = z[m][3], inverse_o = 1.f / (o_ * shown[m].below);
    Vector o = shown[m].below * inverse_o, h = o * (shown[m].above * (o_ * inverse_o));
    if (row.hs) store(row.hs + t * q.h_step + u, h, left);
    if (row.recurrent_mask) {
      store(row.h_last + u, h, left);
      h *= load(row.recurrent_mask + u, left);
    }
    store(row.seen[1] + u, h);
    if (row.kept) keep(q, row.kept + t * q.kept_step + p * q.kept_panel + 3 * UNITS, o);
  }
}

// The carry from which the row's next step starts; null for zeros.
void start_from(const Problem &q, ForwardRow &row, const float *h, const float *c) {
  const long bytes = q.hidden * sizeof(float);
  if (c) memcpy(row.c, c, bytes);
  else memset(row.c, 0, bytes);
  if (row.recurrent_mask) {
    for (long u = 0; u < q.hidden; u++) row.seen[0][u] = h ? h[u] * row.recurrent_mask[u] : 0;
    if (h) memcpy(row.h_last, h, bytes);
    else memset(row.h_last, 0, bytes);
  } else if (h) {
    memcpy(row.seen[0], h, bytes);
  } else {
    memset(row.seen[0], 0, bytes);
  }
}

long forward_scratch(const Problem &q, long rows) { return 3 * rows * padded(q) + rows * 2 + 16; }

// A step of n rows.
struct ForwardStep {
  const Problem &q;
  const float *packed;
  ForwardRow *const *rows;
  long n, t;

  void in_panels(long first, long end) const {
    static void (*const tile[])(const Problem &, const float *, ForwardRow *const *, long, long) = BY_ROWS(forward_tile);
    for (long p = first; p < end; p++) IN_TILES(n, tile, q, packed, rows + s, t, p)
  }
};

void second_half_forward(const void *argument) {
  const ForwardStep &step = *(const ForwardStep *)argument;
  step.in_panels(step.q.panels / 2, step.q.panels);
  if (step.q.far) stored_past();
}

void forward(const Problem &q, const float *packed, ForwardRow *rows, long count, float *scratch, Team *team) {
  memset(scratch, 0, 3 * count * padded(q) * sizeof(float));
  ForwardRow **running = (ForwardRow **)(scratch + 3 * count * padded(q));
  for (long r = 0; r < count; r++) {
    float *own = scratch + 3 * r * padded(q);
    rows[r].c = own, rows[r].seen[0] = own + padded(q), rows[r].seen[1] = own + 2 * padded(q);
    start_from(q, rows[r], rows[r].h_first, rows[r].c_first);
    running[r] = rows + r;
  }
  long n = count;
  for (long step = 0; step < q.time; step++) {
    const long t = in_memory(q, step);
    if (q.uneven) {
      n = 0;
      for (ForwardRow *row = rows; row < rows + count; row++) {
        if (reset(q, row->flags, t)) start_from(q, *row, row->h_reset, row->c_reset);
        if (taken(q, row->flags, t)) running[n++] = row;
        else if (row->hs) memset(row->hs + t * q.h_step, 0, q.hidden * sizeof(float));
      }
    }
    const ForwardStep now = {q, packed, running, n, t};
    if (team && team->open(second_half_forward, &now)) {
      now.in_panels(0, q.panels / 2);
      team->meet();
    } else {
      now.in_panels(0, q.panels);
    }
    for (long k = 0; k < n; k++) {
      float *before = running[k]->seen[0];
      running[k]->seen[0] = running[k]->seen[1], running[k]->seen[1] = before;
    }
  }
  for (ForwardRow *row = rows; row < rows + count; row++) {
    if (!row->recurrent_mask) memcpy(row->h_last, row->seen[0], q.hidden * sizeof(float));
    memcpy(row->c_last, row->c, q.hidden * sizeof(float));
  }
  if (q.far) stored_past();
}

}  // namespace
