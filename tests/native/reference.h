// Random cases, and the layer with its gradient as a plain loop in double precision, one row after the other. REAL is the kernel's dtype.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

typedef REAL Real;
typedef std::vector<Real> Floats;
typedef std::vector<double> Doubles;

// Empty vectors are not given. A diagonal recurrence has heads of one unit and a vector for W_h.
struct Case {
  int64_t time, rows, features, hidden, head, out;  // `out` is the size of the hidden state, that of the projection or `hidden`
  bool reverse, diagonal = false, coupled = false, exponential = false;
  double clip_cell = 0, clip_gates = 0;
  Floats x, w_x, w_h, b, peephole, projection, h_first, c_first, h_reset, c_reset, recurrent_mask, share_h, share_c, d_hs, d_h_last, d_c_last;
  std::vector<int32_t> lengths;
  std::vector<uint8_t> valid, reset, keep_h, keep_c;

  int64_t gates() const { return coupled ? 3 : 4; }
  int64_t memory() const { return exponential ? 3 * hidden : hidden; }
  // Where a gate is among the weights' gates; less than zero for the forget gate of a coupled layer.
  int64_t among(int64_t gate) const { return !coupled || gate == 0 ? gate : gate == 1 ? -1 : gate - 1; }
  // The recurrent weight from unit n to a gate of unit u of the same head
  size_t recurrent(int64_t n, int64_t gate, int64_t u) const {
    return diagonal ? gate * hidden + u : (n * gates() + gate) * head + u - u / head * head;
  }
};

struct Outputs {
  Floats hs, h_last, c_last, d_x, d_w_x, d_w_h, d_b, d_peephole, d_projection, d_h_first, d_c_first, d_h_reset, d_c_reset, d_recurrent_mask;
};

inline Case random_case(int seed) {
  std::mt19937 random(seed);
  auto upto = [&](int64_t most) { return 1 + (int64_t)(random() % most); };
  Case c = {upto(20), upto(14), upto(40), upto(40), 0, 0, random() % 2 == 0};
  if (seed % 8 == 2) c.rows = upto(4), c.hidden += 88;  // two threads on the same rows
  if (seed % 8 == 6) c.rows += 30;                      // several pieces
  if (seed % 8 == 0) c.time *= 4;
  if (seed % 8 == 4) c.features *= 4, c.hidden *= 4;  // several blocks of the widest vectors
  c.head = c.hidden;
  const int variant = seed / 8 % 8;  // of the layer
  if (variant == 1 || variant == 2) c.coupled = variant == 2;
  if (variant == 3 || variant == 4) c.head = upto(20), c.hidden = c.head * upto(6), c.exponential = variant == 4;
  if (variant == 5) c.diagonal = true, c.head = 1;
  const bool mixed = variant == 6 || variant == 7;
  if (mixed) c.coupled = random() % 2, c.clip_cell = random() % 2 ? 0.7 : 0, c.clip_gates = random() % 2 ? 1.1 : 0;
  c.out = c.hidden;
  const bool projected = c.head == c.hidden && !c.diagonal && !c.exponential && random() % 3 == 0;
  if (projected) c.out = upto(random() % 2 ? c.hidden : 90);
  const int64_t T = c.time, B = c.rows, F = c.features, H = c.hidden, R = c.out, G = c.gates(), M = c.memory();
  std::normal_distribution<double> normal;
  auto fill = [&](Floats &v, int64_t n, double scale = 1) {
    v.resize(n);
    for (auto &value : v) value = (Real)(scale * normal(random));
  };
  auto flags = [&](std::vector<uint8_t> &v, int64_t n, unsigned of_eight) {
    v.resize(n);
    for (auto &value : v) value = random() % 8 < of_eight;
  };
  auto memory = [&](Floats &v) {
    fill(v, B * M);
    // a normalizer of at least one, or of zero in a carry of zeros
    for (int64_t r = 0; c.exponential && r < B; r++)
      for (int64_t u = 0; u < H; u++) v[r * M + H + u] = r % 3 ? 1 + fabs(v[r * M + H + u]) : 0;
  };
  fill(c.x, T * B * F), fill(c.w_x, F * G * H, 1 / sqrt(F)), fill(c.w_h, c.diagonal ? G * H : R * G * c.head, c.diagonal ? 0.5 : 1 / sqrt(projected ? R : c.head)), fill(c.b, G * H);
  if (variant == 1 || (mixed && random() % 2)) fill(c.peephole, (G - 1) * H, 0.3);
  if (projected) fill(c.projection, H * R, 1 / sqrt(H));
  fill(c.h_first, B * R), memory(c.c_first);
  fill(c.d_hs, T * B * R), fill(c.d_h_last, B * R), fill(c.d_c_last, B * M);
  const int which = random() % 3;
  if (which == 1) {
    for (int64_t r = 0; r < B; r++) c.lengths.push_back((int32_t)(random() % (T + 1)));
  } else if (which == 2) {
    flags(c.valid, T * B, 6);
  }
  if (random() % 2) flags(c.reset, T * B, 1);
  if (!c.reset.empty() && random() % 2) fill(c.h_reset, B * R), memory(c.c_reset);
  if (random() % 2) {
    c.recurrent_mask.resize(B * R);
    for (auto &value : c.recurrent_mask) value = random() % 2 ? 2 : 0;
  }
  if (variant < 6 && variant != 4) return c;
  const int zoneout = random() % 4;
  if (zoneout & 1) flags(c.keep_h, T * B * R, 3);
  else if (zoneout == 2) c.share_h = {(Real)0.3};
  if (c.exponential) return c;
  if (random() % 2) flags(c.keep_c, T * B * H, 3);
  else if (zoneout == 2) c.share_c = {(Real)0.2};
  return c;
}

inline double sigmoid(double z) { return 1 / (1 + exp(-z)); }

// The loop forward, then backward over what it kept: for each step its time, gates with their slopes, and the states before and after.
struct Kept {
  int64_t t;
  bool valid, reset;
  Doubles gate[4], slope[4], c, c_next, n, n_next, h_seen, h_before, m;
  std::vector<bool> cell_clipped, stabilizer_carried;
};

struct Totals {
  Doubles d_x, d_w_x, d_w_h, d_b, d_peephole, d_projection, d_h_first, d_c_first, d_h_reset, d_c_reset, d_mask;
};

inline void one_row(const Case &q, int64_t r, Outputs &out, Totals &d) {
  const int64_t T = q.time, B = q.rows, F = q.features, H = q.hidden, R = q.out, G = q.gates(), M = q.memory();
  auto mask = [&](int64_t u) { return q.recurrent_mask.empty() ? 1.0 : q.recurrent_mask[r * R + u]; };
  auto share = [&](const std::vector<uint8_t> &keep, const Floats &one, int64_t size, int64_t t, int64_t u) {
    return !keep.empty() ? (keep[(t * B + r) * size + u] ? 1.0 : 0.0) : one.empty() ? 0.0 : (double)one[0];
  };
  // the units that a unit of the given one's head sees
  auto first_seen = [&](int64_t u) { return q.projection.empty() ? u / q.head * q.head : 0; };
  auto end_seen = [&](int64_t u) { return q.projection.empty() ? u / q.head * q.head + q.head : R; };
  auto peephole = [&](int64_t gate, int64_t u) {  // of i, f or o
    const int64_t row = gate == 0 ? 0 : gate == 1 ? (q.coupled ? -1 : 1) : q.coupled ? 1 : 2;
    return row < 0 ? -1 : row * H + u;
  };
  Doubles h(q.h_first.begin() + r * R, q.h_first.begin() + (r + 1) * R), c(q.c_first.begin() + r * M, q.c_first.begin() + (r + 1) * M);
  std::vector<Kept> steps;
  for (int64_t s = 0; s < T; s++) {
    Kept k;
    k.t = q.reverse ? T - 1 - s : s;
    k.valid = q.lengths.empty() ? q.valid.empty() || q.valid[k.t * B + r] : k.t < q.lengths[r];
    k.reset = !q.reset.empty() && q.reset[k.t * B + r];
    for (int64_t u = 0; k.reset && u < R; u++) h[u] = q.h_reset.empty() ? 0 : q.h_reset[r * R + u];
    for (int64_t u = 0; k.reset && u < M; u++) c[u] = q.c_reset.empty() ? 0 : q.c_reset[r * M + u];
    if (k.valid) {
      k.h_before = h, k.h_seen = h, k.m.assign(H, 0), k.c.assign(c.begin(), c.begin() + H), k.c_next = k.c;
      k.cell_clipped.assign(H, false), k.stabilizer_carried.assign(H, false);
      if (q.exponential) k.n.assign(c.begin() + H, c.begin() + 2 * H), k.n_next = k.n;
      for (int64_t u = 0; u < R; u++) k.h_seen[u] *= mask(u);
      for (int64_t u = 0; u < H; u++) {
        double z[4], value[4], slope[4];
        for (int64_t gate = 0; gate < 4; gate++) {
          const int64_t among = q.among(gate), column = among * H + u;
          z[gate] = 0;
          if (among < 0) continue;
          z[gate] = q.b[column];
          for (int64_t n = 0; n < F; n++) z[gate] += (double)q.x[(k.t * B + r) * F + n] * q.w_x[n * G * H + column];
          for (int64_t n = first_seen(u); n < end_seen(u); n++) z[gate] += k.h_seen[n] * q.w_h[q.recurrent(n, among, u)];
        }
        auto clipped = [&](double v) {
          const bool outside = q.clip_gates > 0 && fabs(v) > q.clip_gates;
          return std::pair<double, double>(outside ? (v > 0 ? q.clip_gates : -q.clip_gates) : v, outside ? 0 : 1);
        };
        auto squash = [&](int64_t gate, double v) {
          const auto [within, passes] = clipped(v);
          value[gate] = gate == 2 ? tanh(within) : sigmoid(within);
          slope[gate] = passes * (gate == 2 ? 1 - value[2] * value[2] : value[gate] * (1 - value[gate]));
        };
        if (q.exponential) {
          double &n = c[H + u], &stabilizer = c[2 * H + u];
          const double log_f = -log1p(exp(-z[1])), carried = n > 0 ? log_f + stabilizer : -INFINITY, next = std::max(carried, z[0]);
          k.stabilizer_carried[u] = carried > z[0];
          squash(2, z[2]), squash(3, z[3]);
          value[0] = slope[0] = exp(z[0] - next), value[1] = exp(carried - next), slope[1] = value[1] * (1 - sigmoid(z[1]));
          k.c_next[u] = value[1] * k.c[u] + value[0] * value[2], k.n_next[u] = value[1] * n + value[0];
          c[u] = k.c_next[u], n = k.n_next[u], stabilizer = next;
          k.m[u] = value[3] * c[u] / n;
        } else {
          auto weight = [&](int64_t gate) { return q.peephole.empty() || peephole(gate, u) < 0 ? 0.0 : (double)q.peephole[peephole(gate, u)]; };
          squash(0, z[0] + weight(0) * k.c[u]), squash(1, z[1] + weight(1) * k.c[u]), squash(2, z[2]);
          if (q.coupled) value[1] = 1 - value[0], slope[1] = -slope[0];
          double next = value[1] * k.c[u] + value[0] * value[2];
          if (q.clip_cell > 0 && fabs(next) > q.clip_cell) next = next > 0 ? q.clip_cell : -q.clip_cell, k.cell_clipped[u] = true;
          k.c_next[u] = next;
          squash(3, z[3] + weight(2) * next);
          const double kept = share(q.keep_c, q.share_c, H, k.t, u);
          c[u] = next + kept * (k.c[u] - next), k.m[u] = value[3] * tanh(next);
        }
        for (int64_t gate = 0; gate < 4; gate++) k.gate[gate].push_back(value[gate]), k.slope[gate].push_back(slope[gate]);
      }
      for (int64_t u = 0; u < R; u++) {
        double next = q.projection.empty() ? k.m[u] : 0;
        for (int64_t n = 0; !q.projection.empty() && n < H; n++) next += k.m[n] * q.projection[n * R + u];
        h[u] = next + share(q.keep_h, q.share_h, R, k.t, u) * (k.h_before[u] - next);
      }
    }
    for (int64_t u = 0; u < R; u++) out.hs[(k.t * B + r) * R + u] = k.valid ? (Real)h[u] : 0;
    steps.push_back(k);
  }
  for (int64_t u = 0; u < R; u++) out.h_last[r * R + u] = (Real)h[u];
  for (int64_t u = 0; u < M; u++) out.c_last[r * M + u] = (Real)c[u];

  Doubles d_h(q.d_h_last.begin() + r * R, q.d_h_last.begin() + (r + 1) * R), d_c(q.d_c_last.begin() + r * M, q.d_c_last.begin() + (r + 1) * M);
  for (int64_t s = T; s-- > 0;) {
    const Kept &k = steps[s];
    if (k.valid) {
      Doubles d_z(4 * H), d_seen(R), d_kept(R), d_m(H);
      for (int64_t u = 0; u < R; u++) {
        double d_out = d_h[u] + q.d_hs[(k.t * B + r) * R + u];
        d_kept[u] = share(q.keep_h, q.share_h, R, k.t, u) * d_out, d_out -= d_kept[u];
        if (q.projection.empty()) d_m[u] = d_out;
        for (int64_t n = 0; !q.projection.empty() && n < H; n++)
          d_m[n] += d_out * q.projection[n * R + u], d.d_projection[n * R + u] += d_out * k.m[n];
      }
      for (int64_t u = 0; u < H; u++) {
        const double i = k.gate[0][u], f = k.gate[1][u], g = k.gate[2][u], o = k.gate[3][u];
        const double d_out = d_m[u];
        if (q.exponential) {
          const double shown = k.c_next[u] / k.n_next[u];
          const double d_cell = d_c[u] + d_out * o / k.n_next[u], d_n = d_c[H + u] - d_out * o * shown / k.n_next[u];
          double d_i = (d_cell * g + d_n) * i, d_f = (d_cell * k.c[u] + d_n * k.n[u]) * f;
          const double d_s = d_c[2 * H + u] - d_i - d_f;
          (k.stabilizer_carried[u] ? d_f : d_i) += d_s;
          d_z[u] = d_i, d_z[H + u] = f > 0 ? d_f * k.slope[1][u] / f : 0;
          d_z[2 * H + u] = d_cell * i * k.slope[2][u], d_z[3 * H + u] = d_out * shown * k.slope[3][u];
          d_c[u] = d_cell * f, d_c[H + u] = d_n * f, d_c[2 * H + u] = d_f;
        } else {
          auto weight = [&](int64_t gate) { return q.peephole.empty() || peephole(gate, u) < 0 ? 0.0 : (double)q.peephole[peephole(gate, u)]; };
          const double tanh_c = tanh(k.c_next[u]), kept = share(q.keep_c, q.share_c, H, k.t, u) * d_c[u];
          d_z[3 * H + u] = d_out * tanh_c * k.slope[3][u];
          double d_cell = d_c[u] - kept + d_out * o * (1 - tanh_c * tanh_c) + d_z[3 * H + u] * weight(2);
          if (k.cell_clipped[u]) d_cell = 0;
          d_z[u] = d_cell * g * k.slope[0][u], d_z[H + u] = d_cell * k.c[u] * k.slope[1][u];
          if (q.coupled) d_z[u] += d_z[H + u], d_z[H + u] = 0;
          d_z[2 * H + u] = d_cell * i * k.slope[2][u];
          d_c[u] = d_cell * f + d_z[u] * weight(0) + d_z[H + u] * weight(1) + kept;
          if (!q.peephole.empty()) {
            d.d_peephole[peephole(0, u)] += d_z[u] * k.c[u], d.d_peephole[peephole(2, u)] += d_z[3 * H + u] * k.c_next[u];
            if (!q.coupled) d.d_peephole[peephole(1, u)] += d_z[H + u] * k.c[u];
          }
        }
      }
      for (int64_t gate = 0; gate < 4; gate++)
        for (int64_t u = 0; q.among(gate) >= 0 && u < H; u++) {
          const int64_t among = q.among(gate), column = among * H + u;
          const double d_here = d_z[gate * H + u];
          d.d_b[column] += d_here;
          for (int64_t n = 0; n < F; n++) {
            const int64_t at = (k.t * B + r) * F + n;
            d.d_w_x[n * G * H + column] += q.x[at] * d_here;
            d.d_x[at] += q.w_x[n * G * H + column] * d_here;
          }
          for (int64_t n = first_seen(u); n < end_seen(u); n++) {
            d.d_w_h[q.recurrent(n, among, u)] += k.h_seen[n] * d_here;
            d_seen[n] += q.w_h[q.recurrent(n, among, u)] * d_here;
          }
        }
      for (int64_t u = 0; u < R; u++) {
        d.d_mask[r * R + u] += d_seen[u] * k.h_before[u];
        d_h[u] = d_seen[u] * mask(u) + d_kept[u];
      }
    }
    for (int64_t u = 0; k.reset && u < R; u++) d.d_h_reset[r * R + u] += d_h[u], d_h[u] = 0;
    for (int64_t u = 0; k.reset && u < M; u++) d.d_c_reset[r * M + u] += d_c[u], d_c[u] = 0;
  }
  for (int64_t u = 0; u < R; u++) d.d_h_first[r * R + u] = d_h[u];
  for (int64_t u = 0; u < M; u++) d.d_c_first[r * M + u] = d_c[u];
}

inline Outputs by_reference(const Case &q) {
  const int64_t T = q.time, B = q.rows, F = q.features, H = q.hidden, G = q.gates(), S = B * q.out, M = B * q.memory();
  Outputs out;
  out.hs.resize(T * S), out.h_last.resize(S), out.c_last.resize(M);
  Totals d = {Doubles(T * B * F), Doubles(F * G * H), Doubles(q.w_h.size()), Doubles(G * H), Doubles(q.peephole.size()), Doubles(q.projection.size()), Doubles(S), Doubles(M),
              Doubles(S), Doubles(M), Doubles(S)};
  for (int64_t r = 0; r < B; r++) one_row(q, r, out, d);
  auto narrow = [](const Doubles &v) { return Floats(v.begin(), v.end()); };
  out.d_x = narrow(d.d_x), out.d_w_x = narrow(d.d_w_x), out.d_w_h = narrow(d.d_w_h), out.d_b = narrow(d.d_b), out.d_peephole = narrow(d.d_peephole);
  out.d_projection = narrow(d.d_projection);
  out.d_h_first = narrow(d.d_h_first), out.d_c_first = narrow(d.d_c_first);
  if (!q.h_reset.empty()) out.d_h_reset = narrow(d.d_h_reset), out.d_c_reset = narrow(d.d_c_reset);
  if (!q.recurrent_mask.empty()) out.d_recurrent_mask = narrow(d.d_mask);
  return out;
}

// The arrays of two outputs, side by side.
template <class Visit> void in_pairs(const Outputs &a, const Outputs &b, Visit visit) {
  visit(a.hs, b.hs), visit(a.h_last, b.h_last), visit(a.c_last, b.c_last), visit(a.d_x, b.d_x), visit(a.d_w_x, b.d_w_x);
  visit(a.d_w_h, b.d_w_h), visit(a.d_b, b.d_b), visit(a.d_peephole, b.d_peephole), visit(a.d_projection, b.d_projection), visit(a.d_h_first, b.d_h_first);
  visit(a.d_c_first, b.d_c_first), visit(a.d_h_reset, b.d_h_reset), visit(a.d_c_reset, b.d_c_reset);
  visit(a.d_recurrent_mask, b.d_recurrent_mask);
}

// Of each array the largest error as a share of its largest value; NaN where anything is NaN.
inline double largest_error(const Outputs &a, const Outputs &b) {
  double worst = 0;
  in_pairs(a, b, [&](const Floats &found, const Floats &expected) {
    if (found.size() != expected.size()) throw std::runtime_error("sizes differ");
    double error = 0, largest = 1e-6;
    for (size_t n = 0; n < found.size(); n++) {
      const double difference = fabs((double)found[n] - (double)expected[n]);
      if (!(difference <= error)) error = difference;
      if (fabs(expected[n]) > largest) largest = fabs(expected[n]);
    }
    if (!(error / largest <= worst)) worst = error / largest;
  });
  return worst;
}
