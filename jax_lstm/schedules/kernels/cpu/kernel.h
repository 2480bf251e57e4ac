// What the calls (calls.cc) and the loops over time (tiles.cc, compiled once for each instruction set) tell each other.
//
// A row is one sequence of the batch. The steps of a call are numbered in the order in which they are taken; with `reverse` the first
// of them is the last in memory. A panel is a vector's worth of hidden units, `units` of them, with their four gates side by side.
#pragma once
#include <stdint.h>

#include "team.h"

struct Problem {
  long time, features, hidden;
  long panels;                                         // hidden, in vectors, rounded up
  long x_step, h_step, flag_step, kept_step, kept_panel;  // how far apart in memory: two steps of an array, two panels of `kept`
  bool reverse;
  bool far;     // `kept` leaves the caches between the passes
  bool uneven;  // rows are not all taken at all steps, or are reset
};

// Which steps of a row are taken, and before which its carry is replaced.
struct Flags {
  const uint8_t *valid, *reset;  // null for: always, never
  long length;                   // steps before this one in memory are valid
};

// Where one row's data stand, at the first step in memory; null for what is not asked for. `kept`, for the backward pass, holds for
// each step and panel the four gates and the cell state before the step.
struct ForwardRow {
  Flags flags;
  const float *x, *h_first, *c_first, *h_reset, *c_reset, *recurrent_mask;
  float *hs, *h_last, *c_last, *kept;
  // while the loop runs: the hidden state as the products see it, before and after the step, and the cell state
  float *seen[2], *c;
};

struct BackwardRow {
  Flags flags;
  const float *x, *hs, *h_first, *h_reset, *recurrent_mask, *kept;
  const float *d_hs, *d_h_last, *d_c_last;
  float *d_x, *d_h_first, *d_c_first, *d_h_reset, *d_c_reset, *d_recurrent_mask;
  // while the loop runs, backwards: the gradient of the cell state; where the gradient of the pre-activations of the step after stands
  float *d_c;
  long after;
  bool last;  // no step has been taken after: the gradient of the last carry comes in here
};

// One of the parts into which work on the weights is cut, for the threads.
struct Part {
  long index, count;
  long begin(long n) const { return n * index / count; }
  long end(long n) const { return n * (index + 1) / count; }
};

// One instruction set's build. Sizes are in floats; `pieces` of a backward pass hold gradients of the weights apart.
struct Kernels {
  const char *name;
  long units;
  long (*forward_weights)(const Problem &);
  void (*pack_forward)(const Problem &, Part, const float *w_x, const float *w_h, const float *b, float *packed);
  long (*forward_scratch)(const Problem &, long rows);
  void (*forward)(const Problem &, const float *packed, ForwardRow *rows, long count, float *scratch, Team *);
  long (*backward_weights)(const Problem &);
  void (*pack_backward)(const Problem &, Part, const float *w_x, const float *w_h, float *packed);
  long (*backward_scratch)(const Problem &, long rows);
  long (*gradient_size)(const Problem &);
  void (*backward)(const Problem &, const float *packed, BackwardRow *rows, long count, float *gradient, float *scratch, Team *);
  void (*add_gradients)(const Problem &, Part, const float *gradients, long pieces, float *d_w_x, float *d_w_h, float *d_b);
  double (*multiply_add)(long times);  // as fast as the core can, for the share of the peak
  long multiply_adds;                  // of one of those times
};
