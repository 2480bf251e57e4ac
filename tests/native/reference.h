// Random cases, and the layer with its gradient as a plain loop in double precision, one row after the other.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

typedef std::vector<float> Floats;
typedef std::vector<double> Doubles;

// Empty vectors are not given.
struct Case {
  int64_t time, rows, features, hidden;
  bool reverse;
  Floats x, w_x, w_h, b, h_first, c_first, h_reset, c_reset, recurrent_mask, d_hs, d_h_last, d_c_last;
  std::vector<int32_t> lengths;
  std::vector<uint8_t> valid, reset;
};

struct Outputs {
  Floats hs, h_last, c_last, d_x, d_w_x, d_w_h, d_b, d_h_first, d_c_first, d_h_reset, d_c_reset, d_recurrent_mask;
};

inline Case random_case(int seed) {
  std::mt19937 random(seed);
  auto upto = [&](int64_t most) { return 1 + (int64_t)(random() % most); };
  Case c = {upto(20), upto(14), upto(40), upto(40), random() % 2 == 0};
  if (seed % 8 == 2) c.rows = upto(4), c.hidden += 88;  // two threads on the same rows
  if (seed % 8 == 0) c.time *= 4;
  if (seed % 8 == 4) c.features *= 4, c.hidden *= 4;  // several blocks of the widest vectors
  const int64_t T = c.time, B = c.rows, F = c.features, H = c.hidden;
  std::normal_distribution<float> normal;
  auto fill = [&](Floats &v, int64_t n, double scale = 1) {
    v.resize(n);
    for (auto &value : v) value = (float)(scale * normal(random));
  };
  auto flags = [&](std::vector<uint8_t> &v, unsigned of_eight) {
    v.resize(T * B);
    for (auto &value : v) value = random() % 8 < of_eight;
  };
  fill(c.x, T * B * F), fill(c.w_x, F * 4 * H, 1 / sqrt(F)), fill(c.w_h, H * 4 * H, 1 / sqrt(H)), fill(c.b, 4 * H);
  fill(c.h_first, B * H), fill(c.c_first, B * H);
  fill(c.d_hs, T * B * H), fill(c.d_h_last, B * H), fill(c.d_c_last, B * H);
  const int which = random() % 3;
  if (which == 1) {
    for (int64_t r = 0; r < B; r++) c.lengths.push_back((int32_t)(random() % (T + 1)));
  } else if (which == 2) {
    flags(c.valid, 6);
  }
  if (random() % 2) flags(c.reset, 1);
  if (!c.reset.empty() && random() % 2) fill(c.h_reset, B * H), fill(c.c_reset, B * H);
  if (random() % 2) {
    c.recurrent_mask.resize(B * H);
    for (auto &value : c.recurrent_mask) value = random() % 2 ? 2.f : 0.f;
  }
  return c;
}

inline double sigmoid(double z) { return 1 / (1 + exp(-z)); }

// The loop forward, then backward over what it kept: for each step its time, gates, and the states before and after.
struct Kept {
  int64_t t;
  bool valid, reset;
  Doubles i, f, g, o, c, h_seen, h_before, c_after;
};

struct Totals {
  Doubles d_x, d_w_x, d_w_h, d_b, d_h_first, d_c_first, d_h_reset, d_c_reset, d_mask;
};

inline void one_row(const Case &q, int64_t r, Outputs &out, Totals &d) {
  const int64_t T = q.time, B = q.rows, F = q.features, H = q.hidden;
  auto mask = [&](int64_t u) { return q.recurrent_mask.empty() ? 1.0 : q.recurrent_mask[r * H + u]; };
  Doubles h(q.h_first.begin() + r * H, q.h_first.begin() + (r + 1) * H), c(q.c_first.begin() + r * H, q.c_first.begin() + (r + 1) * H);
  std::vector<Kept> steps;
  for (int64_t s = 0; s < T; s++) {
    Kept k;
    k.t = q.reverse ? T - 1 - s : s;
    k.valid = q.lengths.empty() ? q.valid.empty() || q.valid[k.t * B + r] : k.t < q.lengths[r];
    k.reset = !q.reset.empty() && q.reset[k.t * B + r];
    for (int64_t u = 0; k.reset && u < H; u++) {
      h[u] = q.h_reset.empty() ? 0 : q.h_reset[r * H + u];
      c[u] = q.c_reset.empty() ? 0 : q.c_reset[r * H + u];
    }
    if (k.valid) {
      k.c = c, k.h_before = h, k.h_seen = h;
      for (int64_t u = 0; u < H; u++) k.h_seen[u] *= mask(u);
      for (int64_t u = 0; u < H; u++) {
        double z[4];
        for (int64_t gate = 0; gate < 4; gate++) {
          const int64_t column = gate * H + u;
          z[gate] = q.b[column];
          for (int64_t n = 0; n < F; n++) z[gate] += (double)q.x[(k.t * B + r) * F + n] * q.w_x[n * 4 * H + column];
          for (int64_t n = 0; n < H; n++) z[gate] += k.h_seen[n] * q.w_h[n * 4 * H + column];
        }
        k.i.push_back(sigmoid(z[0])), k.f.push_back(sigmoid(z[1])), k.g.push_back(tanh(z[2])), k.o.push_back(sigmoid(z[3]));
      }
      for (int64_t u = 0; u < H; u++) c[u] = k.f[u] * c[u] + k.i[u] * k.g[u], h[u] = k.o[u] * tanh(c[u]);
      k.c_after = c;
    }
    for (int64_t u = 0; u < H; u++) out.hs[(k.t * B + r) * H + u] = k.valid ? (float)h[u] : 0;
    steps.push_back(k);
  }
  for (int64_t u = 0; u < H; u++) out.h_last[r * H + u] = (float)h[u], out.c_last[r * H + u] = (float)c[u];

  Doubles d_h(q.d_h_last.begin() + r * H, q.d_h_last.begin() + (r + 1) * H), d_c(q.d_c_last.begin() + r * H, q.d_c_last.begin() + (r + 1) * H);
  for (int64_t s = T; s-- > 0;) {
    const Kept &k = steps[s];
    if (k.valid) {
      Doubles d_z(4 * H), d_seen(H);
      for (int64_t u = 0; u < H; u++) {
        const double tanh_c = tanh(k.c_after[u]), d_out = d_h[u] + q.d_hs[(k.t * B + r) * H + u];
        d_c[u] += d_out * k.o[u] * (1 - tanh_c * tanh_c);
        d_z[u] = d_c[u] * k.g[u] * k.i[u] * (1 - k.i[u]);
        d_z[H + u] = d_c[u] * k.c[u] * k.f[u] * (1 - k.f[u]);
        d_z[2 * H + u] = d_c[u] * k.i[u] * (1 - k.g[u] * k.g[u]);
        d_z[3 * H + u] = d_out * tanh_c * k.o[u] * (1 - k.o[u]);
        d_c[u] *= k.f[u];
      }
      for (int64_t column = 0; column < 4 * H; column++) {
        d.d_b[column] += d_z[column];
        for (int64_t n = 0; n < F; n++) {
          const int64_t at = (k.t * B + r) * F + n;
          d.d_w_x[n * 4 * H + column] += q.x[at] * d_z[column];
          d.d_x[at] += q.w_x[n * 4 * H + column] * d_z[column];
        }
        for (int64_t n = 0; n < H; n++) {
          d.d_w_h[n * 4 * H + column] += k.h_seen[n] * d_z[column];
          d_seen[n] += q.w_h[n * 4 * H + column] * d_z[column];
        }
      }
      for (int64_t u = 0; u < H; u++) {
        d.d_mask[r * H + u] += d_seen[u] * k.h_before[u];
        d_h[u] = d_seen[u] * mask(u);
      }
    }
    for (int64_t u = 0; k.reset && u < H; u++) {
      d.d_h_reset[r * H + u] += d_h[u], d.d_c_reset[r * H + u] += d_c[u];
      d_h[u] = d_c[u] = 0;
    }
  }
  for (int64_t u = 0; u < H; u++) d.d_h_first[r * H + u] = d_h[u], d.d_c_first[r * H + u] = d_c[u];
}

inline Outputs by_reference(const Case &q) {
  const int64_t T = q.time, B = q.rows, F = q.features, H = q.hidden, S = B * H;
  Outputs out;
  out.hs.resize(T * S), out.h_last.resize(S), out.c_last.resize(S);
  Totals d = {Doubles(T * B * F), Doubles(F * 4 * H), Doubles(H * 4 * H), Doubles(4 * H), Doubles(S), Doubles(S), Doubles(S), Doubles(S), Doubles(S)};
  for (int64_t r = 0; r < B; r++) one_row(q, r, out, d);
  auto narrow = [](const Doubles &v) { return Floats(v.begin(), v.end()); };
  out.d_x = narrow(d.d_x), out.d_w_x = narrow(d.d_w_x), out.d_w_h = narrow(d.d_w_h), out.d_b = narrow(d.d_b);
  out.d_h_first = narrow(d.d_h_first), out.d_c_first = narrow(d.d_c_first);
  if (!q.h_reset.empty()) out.d_h_reset = narrow(d.d_h_reset), out.d_c_reset = narrow(d.d_c_reset);
  if (!q.recurrent_mask.empty()) out.d_recurrent_mask = narrow(d.d_mask);
  return out;
}

// Of each array the largest error as a share of its largest value; NaN where anything is NaN.
inline double largest_error(const Outputs &a, const Outputs &b) {
  double worst = 0;
  auto compare = [&](const Floats &found, const Floats &expected) {
    if (found.size() != expected.size()) throw std::runtime_error("sizes differ");
    double error = 0, largest = 1e-6;
    for (size_t n = 0; n < found.size(); n++) {
      const double difference = fabs((double)found[n] - expected[n]);
      if (!(difference <= error)) error = difference;
      if (fabs(expected[n]) > largest) largest = fabs(expected[n]);
    }
    if (!(error / largest <= worst)) worst = error / largest;
  };
  compare(a.hs, b.hs), compare(a.h_last, b.h_last), compare(a.c_last, b.c_last), compare(a.d_x, b.d_x), compare(a.d_w_x, b.d_w_x);
  compare(a.d_w_h, b.d_w_h), compare(a.d_b, b.d_b), compare(a.d_h_first, b.d_h_first), compare(a.d_c_first, b.d_c_first);
  compare(a.d_h_reset, b.d_h_reset), compare(a.d_c_reset, b.d_c_reset), compare(a.d_recurrent_mask, b.d_recurrent_mask);
  return worst;
}
