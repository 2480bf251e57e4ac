// The pointwise part of a step and its derivative, in the names of _cell.py. With z = x W_x + h W_h + b of a panel in registers, for one
// row
//
//     i = sigmoid(z_i + p_i c)            f = sigmoid(z_f + p_f c)  or 1 - i         g = tanh(z_g)
//     c'= f c + i g                       o = sigmoid(z_o + p_o c')                  m = o tanh(c')
//     h'= m W_p  or m
//
// and with exponential gates (sLSTM), whose memory is c, n and s,
//
//     s'= max(log sigmoid(z_f) + s, z_i)  i = exp(z_i - s')         f = exp(log sigmoid(z_f) + s - s')
//     c'= f c + i g                       n'= f n + i               m = o c' / n'
//
// Each function comes in two instances: PLAIN has no term of a variant, the other looks at the problem for each.
#pragma once
#include "tiles.h"

namespace {

// The gates that a step keeps for the backward pass, and the memory before it. Then come which gates were clipped, or with exponential
// gates the sigmoid of the forget gate.
enum { KEPT_I, KEPT_F, KEPT_G, KEPT_O, KEPT_C, KEPT_CLIPPED, KEPT_N = KEPT_CLIPPED, KEPT_SIGMOID };

INLINE void keep(const Problem &q, Real *kept, Vector v) {
  if (q.far) store_past(kept, v);
  else store(kept, v);
}

// All ones in the lanes whose bytes are not zero; the panel has `left` units.
INLINE Integers flagged(const uint8_t *flags, long left) {
  Integers lanes = {};
  for (long k = 0; k < least(UNITS, left); k++) lanes[k] = flags[k] ? -1 : 0;
  return lanes;
}

// What zoneout makes of a new value where the old one is known, and the share of the old one in each lane. The lanes' flags begin at
// `place`, and `left` of them are units.
INLINE Vector zoned_out(const Zoneout &zoneout, long place, long left, Vector before, Vector after) {
  if (zoneout.keep) return choose(flagged(zoneout.keep + place, left), before, after);
  return after + zoneout.share * (before - after);
}
INLINE Vector share_kept(const Zoneout &zoneout, long place, long left) {
  if (zoneout.keep) return choose(flagged(zoneout.keep + place, left), all(1), all(0));
  return all(zoneout.share);
}

// Clips to +-bound and sets `bit` in the lanes of `clipped` where that changed the value.
INLINE Vector clip_gate(Vector z, Real bound, Integer bit, Integers &clipped) {
  Vector within = between(z, -bound, bound);
  clipped |= (within != z) & bit;
  return within;
}

// The new hidden state of a row: zoneout, the sequence of states, and what the products of the next step see.
template <bool PLAIN> INLINE void finish(const Problem &q, ForwardRow &row, long t, long u, Vector h) {
  const long left = q.out - u;
  if (!PLAIN && q.zoneout) h = zoned_out(row.zoneout_h, t * q.h_step + u, left, load(row.h + u), h);
  if (row.hs) store(row.hs + t * q.h_step + u, h, left);
  if (q.apart) {
    store(row.h + u, h);
    if (row.recurrent_mask) h *= load(row.recurrent_mask + u, left);
  }
  store(row.seen[1] + u, h);
}

typedef void Update(const Problem &, const Real *vectors, ForwardRow *const *rows, long t, long p, const Vector (*z)[4]);

// M rows by stages, so that the rows' chains of operations overlap.
template <int M, bool PLAIN>
__attribute__((noinline)) void update(const Problem &q, const Real *vectors, ForwardRow *const *rows, long t, long p, const Vector (*z)[4]) {
  const long u = p * UNITS;
  Vector z_o[M], c_next[M];
  Integers clipped[M];
  for (int m = 0; m < M; m++) {
    ForwardRow &row = *rows[m];
    Vector c = load(row.c + u), z_i = z[m][0], z_f = z[m][1], z_g = z[m][2];
    z_o[m] = z[m][3], clipped[m] = (Integers){};
    if (!PLAIN && q.diagonal) {
      const Vector h = load(row.seen[0] + u);
      const Real *w = vectors + DIAGONAL * UNITS;
      z_i += load(w) * h, z_f += load(w + UNITS) * h, z_g += load(w + 2 * UNITS) * h, z_o[m] += load(w + 3 * UNITS) * h;
    }
    if (!PLAIN && q.peephole) {
      z_i += load(vectors + PEEPHOLE * UNITS) * c;
      z_f += load(vectors + (PEEPHOLE + 1) * UNITS) * c;
    }
    if (!PLAIN && q.clip_gates > 0) {
      z_i = clip_gate(z_i, q.clip_gates, 1, clipped[m]);
      z_f = clip_gate(z_f, q.clip_gates, 2, clipped[m]);
      z_g = clip_gate(z_g, q.clip_gates, 4, clipped[m]);
    }
    Vector i = sigmoid_estimated(z_i), f = !PLAIN && q.coupled ? 1 - i : sigmoid(z_f), g = tanh_estimated(z_g);
    c_next[m] = f * c + i * g;
    if (!PLAIN && q.clip_cell > 0) c_next[m] = between(c_next[m], -q.clip_cell, q.clip_cell);
    const bool zoneout = !PLAIN && q.zoneout;
    store(row.c + u, zoneout ? zoned_out(row.zoneout_c, t * q.c_step + u, q.hidden - u, c, c_next[m]) : c_next[m]);
    if (row.kept) {
      Real *kept = row.kept + t * q.kept_step + p * q.kept_panel;
      keep(q, kept + KEPT_I * UNITS, i), keep(q, kept + KEPT_F * UNITS, f), keep(q, kept + KEPT_G * UNITS, g);
      keep(q, kept + KEPT_C * UNITS, c);
    }
  }
  for (int m = 0; m < M; m++) {
    ForwardRow &row = *rows[m];
    if (!PLAIN && q.peephole) z_o[m] += load(vectors + (PEEPHOLE + 2) * UNITS) * c_next[m];
    if (!PLAIN && q.clip_gates > 0) z_o[m] = clip_gate(z_o[m], q.clip_gates, 8, clipped[m]);
    Vector o = sigmoid(z_o[m]);
    Vector shown = o * tanh(c_next[m]);
    if (!PLAIN && q.projection) store(row.m + u, shown);
    else finish<PLAIN>(q, row, t, u, shown);
    if (!row.kept) continue;
    Real *kept = row.kept + t * q.kept_step + p * q.kept_panel;
    keep(q, kept + KEPT_O * UNITS, o);
    if (!PLAIN && q.clip_gates > 0) keep(q, kept + KEPT_CLIPPED * UNITS, (Vector)clipped[m]);
  }
}

template <int M>
__attribute__((noinline)) void update_exponential(const Problem &q, const Real *, ForwardRow *const *rows, long t, long p, const Vector (*z)[4]) {
  const long u = p * UNITS, size = padded(q);
  const Vector never = all(-__builtin_inff());
  for (int m = 0; m < M; m++) {
    ForwardRow &row = *rows[m];
    Real *memory = row.c + u;
    Vector c = load(memory), n = load(memory + size), s = load(memory + 2 * size), z_i = z[m][0];
    Vector g = tanh(z[m][2]), o = sigmoid(z[m][3]), log_f = log_sigmoid(z[m][1]);
    // a normalizer of zero says that nothing is remembered, whatever the stabilizer
    Vector carried = choose(n > 0, log_f + s, never), s_next = choose(carried > z_i, carried, z_i);
    Vector i = exponential(z_i - s_next), f = choose(n > 0, exponential(carried - s_next), (Vector){});
    Vector c_next = f * c + i * g, n_next = f * n + i;
    store(memory, c_next), store(memory + size, n_next), store(memory + 2 * size, s_next);
    finish<false>(q, row, t, u, o * c_next / n_next);
    if (!row.kept) continue;
    Real *kept = row.kept + t * q.kept_step + p * q.kept_panel;
    keep(q, kept + KEPT_I * UNITS, i), keep(q, kept + KEPT_F * UNITS, f), keep(q, kept + KEPT_G * UNITS, g), keep(q, kept + KEPT_O * UNITS, o);
    keep(q, kept + KEPT_C * UNITS, c), keep(q, kept + KEPT_N * UNITS, n), keep(q, kept + KEPT_SIGMOID * UNITS, exponential(log_f));
  }
}

// The gradient of the row's new hidden state at step t, before zoneout, in a vector of units, from that of what the products of the step
// after saw.
INLINE Vector hidden_gradient(const Problem &q, BackwardRow &row, long t, long u, Vector d_h) {
  const long left = q.out - u;
  if (row.recurrent_mask) {
    if (row.d_recurrent_mask) {
      Real *d_mask = row.d_recurrent_mask + u;
      store(d_mask, load(d_mask, left) + d_h * load(row.hs + t * q.h_step + u, left), left);
    }
    d_h *= load(row.recurrent_mask + u, left);
  }
  if (q.zoneout) d_h += load(row.d_kept_h + u);
  if (row.d_hs) d_h += load(row.d_hs + t * q.h_step + u, left);
  if (row.last && row.d_h_last) d_h += load(row.d_h_last + u, left);
  if (left < UNITS) d_h = first_lanes(d_h, left);
  if (!q.zoneout) return d_h;
  const Vector kept = share_kept(row.zoneout_h, t * q.h_step + u, left) * d_h;
  store(row.d_kept_h + u, kept);
  return d_h - kept;
}

// The derivative of `update` for one row and panel: from d_m the four gates' d_z, and the gradient of the memory before the step; adds to
// the gradients of the panel's peepholes.
template <bool PLAIN>
INLINE void derive(const Problem &q, const Real *vectors, BackwardRow &row, long t, long p, Vector d_m, Real *d_z, Real *d_vectors) {
  const long u = p * UNITS;
  const Real *kept = row.kept + t * q.kept_step + p * q.kept_panel;
  Vector i = load(kept + KEPT_I * UNITS), f = load(kept + KEPT_F * UNITS), g = load(kept + KEPT_G * UNITS), o = load(kept + KEPT_O * UNITS);
  Vector c = load(kept + KEPT_C * UNITS), c_raw = f * c + i * g, c_next = c_raw, d_c = load(row.d_c + u), d_c_kept = {};
  Vector slope_i = i - i * i, slope_f = f - f * f, slope_g = 1 - g * g, slope_o = o - o * o;
  if (!PLAIN && q.zoneout) {
    d_c_kept = share_kept(row.zoneout_c, t * q.c_step + u, q.hidden - u) * d_c, d_c -= d_c_kept;
  }
  if (!PLAIN && q.clip_cell > 0) c_next = between(c_raw, -q.clip_cell, q.clip_cell);
  if (!PLAIN && q.clip_gates > 0) {
    const Integers clipped = (Integers)load(kept + KEPT_CLIPPED * UNITS);
    slope_i = choose((clipped & 1) != 0, (Vector){}, slope_i), slope_f = choose((clipped & 2) != 0, (Vector){}, slope_f);
    slope_g = choose((clipped & 4) != 0, (Vector){}, slope_g), slope_o = choose((clipped & 8) != 0, (Vector){}, slope_o);
  }
  Vector tanh_c = tanh(c_next), d_o = d_m * tanh_c * slope_o;
  if (!PLAIN && q.projection) store(row.m + u, o * tanh_c);
  d_c += d_m * o * (1 - tanh_c * tanh_c);
  if (!PLAIN && q.peephole) d_c += d_o * load(vectors + (PEEPHOLE + 2) * UNITS);
  if (!PLAIN && q.clip_cell > 0) d_c = choose(c_next == c_raw, d_c, (Vector){});
  Vector d_i = d_c * g, d_f = d_c * c, d_c_before = d_c * f;
  if (!PLAIN && q.coupled) d_i -= d_f, d_f = (Vector){};
  d_i *= slope_i, d_f *= slope_f;
  store(d_z, d_i), store(d_z + UNITS, d_f), store(d_z + 2 * UNITS, d_c * i * slope_g), store(d_z + 3 * UNITS, d_o);
  if (!PLAIN && q.peephole) {
    const Real *w = vectors + PEEPHOLE * UNITS;
    Real *d_w = d_vectors + PEEPHOLE * UNITS;
    d_c_before += d_i * load(w) + d_f * load(w + UNITS);
    store(d_w, load(d_w) + d_i * c), store(d_w + UNITS, load(d_w + UNITS) + d_f * c);
    store(d_w + 2 * UNITS, load(d_w + 2 * UNITS) + d_o * c_next);
  }
  store(row.d_c + u, d_c_before + d_c_kept);
}

// The derivative of `update_exponential`. Where the stabilizer is carried on, f = 1 and the gradient of s' is that of the carried one;
// where it is z_i, i = 1 and it is that of z_i.
INLINE void derive_exponential(const Problem &q, const Real *, BackwardRow &row, long t, long p, Vector d_m, Real *d_z, Real *) {
  const long u = p * UNITS, size = padded(q);
  const Real *kept = row.kept + t * q.kept_step + p * q.kept_panel;
  Vector i = load(kept + KEPT_I * UNITS), f = load(kept + KEPT_F * UNITS), g = load(kept + KEPT_G * UNITS), o = load(kept + KEPT_O * UNITS);
  Vector c = load(kept + KEPT_C * UNITS), n = load(kept + KEPT_N * UNITS), sigmoid_f = load(kept + KEPT_SIGMOID * UNITS);
  Real *memory = row.d_c + u;
  Vector c_next = f * c + i * g, n_next = f * n + i, shown = c_next / n_next, d_shown = d_m * o / n_next;
  Vector d_c = load(memory) + d_shown, d_n = load(memory + size) - d_shown * shown, d_s = load(memory + 2 * size);
  Vector d_i = (d_c * g + d_n) * i, d_f = (d_c * c + d_n * n) * f;  // of the exponents
  d_s -= d_i + d_f;
  Integers carried = f >= 1;
  d_f += choose(carried, d_s, (Vector){}), d_i += choose(carried, (Vector){}, d_s);
  store(d_z, d_i), store(d_z + UNITS, d_f * (1 - sigmoid_f)), store(d_z + 2 * UNITS, d_c * i * (1 - g * g));
  store(d_z + 3 * UNITS, d_m * shown * (o - o * o));
  store(memory, d_c * f), store(memory + size, d_n * f), store(memory + 2 * size, d_f);
}

}  // namespace
