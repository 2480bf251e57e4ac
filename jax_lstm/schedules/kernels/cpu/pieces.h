// What both calls have in common: their sizes, and the pieces into which their rows are cut for the threads.
#pragma once
#include "buffers.h"
#include "kernel.h"
#include "pool.h"
#include "variants.h"

namespace {

const long LEAST_WORK = 1 << 18;  // multiply-adds that are worth the hand-over to another thread
const long NEAR = 100000, ROWS_AT_ONCE = 18;  // packed weights that a core's own cache holds; rows that the fastest cache holds beside them
const long FAR = 1 << 24;  // bytes that leave the caches before they are read again
const long FEW_ROWS = 4, STEP_FOR_TWO = 1 << 15;  // rows that two threads take together; multiply-adds of a row's step worth their meeting

// What both calls have: a set of rows shares its weights, and in the backward pass the gradient of them.
struct Call {
  Problem q = {};
  long batch = 0, sets = 1, rows = 0, pieces = 1;  // rows and pieces of a set
  bool shared = false;
  Array x, w_x, w_h, b, lengths, valid, reset;
  const Reader *in = nullptr;
  float *packed = nullptr, *gradients = nullptr;
  long packed_size = 0, *order = nullptr;
  bool backward = false, out_of_memory = false;
  bool in_team = false;  // two pieces, with all rows and half of the units each
  Team team;

  long group(long set, long row) const { return sets == 1 ? row / batch : set; }

  Flags flags(long group, long row) const {
    const int32_t *length = in->of_group<int32_t>(lengths, group);
    const uint8_t *is_valid = in->of_group<uint8_t>(valid, group), *is_reset = in->of_group<uint8_t>(reset, group);
    return {is_valid ? is_valid + row : nullptr, is_reset ? is_reset + row : nullptr, length ? (long)length[row] : q.time};
  }

  // The part of an array that belongs to a row, `size` floats after that of the row before.
  float *of_row(const Array &array, long group, long row, long size) const {
    float *first = in->of_group<float>(array, group);
    return first ? first + row * size : nullptr;
  }
};

// The sizes of a call, from its input and its recurrent weights; `x` stands first among the arguments, then w_x and w_h.
void read_sizes(Reader &in, Call &call) {
  Problem &q = call.q;
  call.in = &in;
  q.time = in.dimension(0, 3, 0), call.batch = in.dimension(0, 3, 1), q.features = in.dimension(0, 3, 2), q.hidden = in.dimension(2, 2, 0);
  const long units = kernels->units, B = call.batch;
  q.panels = (q.hidden + units - 1) / units;
  q.x_step = B * q.features, q.h_step = B * q.hidden, q.flag_step = B;
  q.kept_panel = B * 5 * units, q.kept_step = q.panels * q.kept_panel;
  q.far = in.groups * q.time * q.kept_step * (long)sizeof(float) >= FAR;
  q.reverse = in.flag("reverse");
}

void split(XLA_FFI_CallFrame *frame, Call &call) {
  const long count = threads(frame), weights = (call.q.features + call.q.hidden) * 4 * call.q.hidden, work = call.q.time * call.rows * weights;
  call.pieces = call.sets >= count || work < LEAST_WORK ? 1 : (count + call.sets - 1) / call.sets;
  if (call.pieces > call.rows) call.pieces = call.rows;
  if (call.pieces < 1) call.pieces = 1;
  call.q.uneven = call.lengths.data || call.valid.data || call.reset.data;
  bool few = call.sets == 1 && call.rows > 0 && call.rows <= FEW_ROWS;
  // backwards, weights in a core's own cache are read as fast by a thread with rows of its own
  if (call.backward && call.rows > 1 && weights <= NEAR) few = false;
  if (!few || work < LEAST_WORK || weights < STEP_FOR_TWO || count == 1) return;
  call.in_team = Team::worth_it();
  call.pieces = call.in_team ? 2 : 1;  // sums in the same order, whether a follower is there or not
}

// How many steps of a row are taken.
long steps_of(const Call &call, const Flags &flags) {
  const long most = flags.length < 0 ? 0 : flags.length < call.q.time ? flags.length : call.q.time;
  if (!flags.valid) return most;
  long steps = 0;
  for (long t = 0; t < most; t++) steps += flags.valid[t * call.q.flag_step] != 0;
  return steps;
}

// Where rows differ in length, they are dealt to the pieces of a set by their steps, the longest first, back and forth, so that the
// pieces are about equally long. `order` has room for all rows of all sets.
void deal(Call &call, long *order) {
  if (call.in_team || call.pieces == 1 || (!call.lengths.data && !call.valid.data)) return;
  call.order = order;
  for (long set = 0; set < call.sets; set++, order += call.rows) {
    for (long r = 0; r < call.rows; r++) order[r] = steps_of(call, call.flags(call.group(set, r), r % call.batch)) * call.rows + r;
    qsort(order, call.rows, sizeof *order, [](const void *a, const void *b) { return (*(long *)a < *(long *)b) - (*(long *)a > *(long *)b); });
    for (long k = 0; k < call.rows; k++) order[k] %= call.rows;
  }
}

// The place of a piece's k-th row in that order, or among the rows as they stand.
long place_of(const Call &call, long i, long k) {
  return call.order ? k * call.pieces + (k % 2 ? call.pieces - 1 - i : i) : call.rows * i / call.pieces + k;
}

long rows_of(const Call &call, long i) {
  if (!call.order) return call.rows * (i + 1) / call.pieces - call.rows * i / call.pieces;
  const long full = call.rows / call.pieces;
  return full + (place_of(call, i, full) < call.rows);
}

// A piece's k-th row in its set.
long row_of(const Call &call, long set, long i, long k) {
  const long place = place_of(call, i, k);
  return call.order ? call.order[set * call.rows + place] : place;
}

}  // namespace
