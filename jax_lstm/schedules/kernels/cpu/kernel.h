// What the calls (calls.cc) and the loops over time (tiles.cc, compiled once for each instruction set) tell each other. Both are compiled
// once with REAL=float and once with REAL=double.
//
// A row is one sequence of the batch. The steps of a call are numbered in the order in which they are taken; with `reverse` the first
// one is the last in memory. A panel is a vector's worth of hidden units, `units` of them, with their four gates side by side.
#pragma once
#include <stdint.h>

#include "team.h"

typedef REAL Real;

struct Problem {
  long time, features, hidden;
  long out;     // the size of the hidden state: that of the projection, or `hidden`
  long head;    // units that see each other's hidden state: all of them, those of a head, or one (`diagonal`)
  long panels, out_panels;  // hidden and out, in vectors, rounded up
  long x_step, h_step, c_step, flag_step, kept_step, kept_panel;  // distances in memory: of two steps of an array, of two panels of `kept`
  long kept;    // vectors of a row, step and panel in `kept`
  long memory;  // parts of the carry's c: the cell state, and with exponential gates the normalizer and the stabilizer
  bool reverse, coupled, exponential, diagonal, peephole, projection;
  Real clip_cell, clip_gates;  // bounds; zero for none
  bool zoneout;
  bool apart;   // the hidden state that the products see is not the carry's: there is a recurrent mask, or zoneout
  bool far;     // `kept` leaves the caches between the passes
  bool uneven;  // rows are not all taken at all steps, or are reset
};

// Whether the update has no term of a variant.
static inline bool is_plain(const Problem &q) {
  return !q.coupled && !q.diagonal && !q.peephole && !q.projection && !q.zoneout && q.clip_cell == 0 && q.clip_gates == 0;
}

// Which steps of a row are taken, and before which its carry is replaced.
struct Flags {
  const uint8_t *valid, *reset;  // null for: always, never
  long length;                   // steps before this one in memory are valid
};

// Where a row's zoneout is: flags of its units at each step, null for none, or the share that each unit keeps.
struct Zoneout {
  const uint8_t *keep;
  Real share;
};

// Where one row's data are, at the first step in memory; null for what is not asked for. `kept`, for the backward pass, has for each step
// and panel the gates and the memory before the step.
struct ForwardRow {
  Flags flags;
  Zoneout zoneout_h, zoneout_c;
  const Real *x, *h_first, *c_first, *h_reset, *c_reset, *recurrent_mask;
  Real *hs, *h_last, *c_last, *kept;
  // while the loop runs: the hidden state that the products see, before and after the step; that of the carry, where it is apart; the
  // memory; what is projected; and the product with the input, where it was computed before
  Real *seen[2], *h, *c, *m;
  const Real *z_x;
};

struct BackwardRow {
  Flags flags;
  Zoneout zoneout_h, zoneout_c;
  const Real *x, *hs, *h_first, *h_reset, *recurrent_mask, *kept;
  const Real *d_hs, *d_h_last, *d_c_last;
  Real *d_x, *d_h_first, *d_c_first, *d_h_reset, *d_c_reset, *d_recurrent_mask;
  // while the loop runs, backwards: the gradient of the memory, and of the hidden state that zoneout keeps; where the gradient of the
  // pre-activations of the step after is; and what was projected
  Real *d_c, *d_kept_h, *m;
  long after;
  bool last;  // no step has been taken after: the gradient of the last carry comes in here
};

// The weights of a layer, or their gradients. Null for what is not there.
template <class T> struct WeightsOf {
  T *w_x, *w_h, *b, *peephole, *projection;
};
typedef WeightsOf<const Real> Weights;

// One of the parts into which work on the weights is cut, for the threads.
struct Part {
  long index, count;
  long begin(long n) const { return n * index / count; }
  long end(long n) const { return n * (index + 1) / count; }
};

// One instruction set's build. Sizes are in numbers; the `pieces` of a backward pass have gradients of the weights of their own.
struct Kernels {
  const char *name;
  long units;
  long (*forward_weights)(const Problem &);
  void (*pack_forward)(const Problem &, Part, const Weights &, Real *packed);
  long (*forward_scratch)(const Problem &, long rows);
  void (*forward)(const Problem &, const Real *packed, ForwardRow *rows, long count, Real *scratch, Team *);
  long (*backward_weights)(const Problem &);
  void (*pack_backward)(const Problem &, Part, const Weights &, Real *packed);
  long (*backward_scratch)(const Problem &, long rows);
  long (*gradient_size)(const Problem &);
  void (*backward)(const Problem &, const Real *packed, BackwardRow *rows, long count, Real *gradient, Real *scratch, Team *);
  void (*add_gradients)(const Problem &, Part, const Real *gradients, long pieces, const WeightsOf<Real> &);
};
