// What both calls have in common: their arguments, and the pieces into which their rows are cut for the threads.
#pragma once
#include "buffers.h"
#include "kernel.h"
#include "pool.h"
#include "variants.h"

namespace {

const long LEAST_WORK = 1 << 18;  // multiply-adds that are worth the hand-over to another thread
const long NEAR = 100000, ROWS_AT_ONCE = 18;  // packed weights that a core's own cache holds; rows that the fastest cache holds with them
const long FAR = 1 << 24;  // bytes that leave the caches before they are read again
const long FEW_ROWS = 4, STEP_FOR_TWO = 1 << 15;  // rows that two threads take together; multiply-adds of a row's step worth their meeting
// Rows of a backward pass that share one gradient of the weights, and its pieces at most. The number of threads is not asked: sums are
// then made in the same order on every machine.
const long ROWS_OF_PIECE = 16, MOST_PIECES = 64;

const XLA_FFI_DataType FLOAT = sizeof(Real) == 8 ? XLA_FFI_DataType_F64 : XLA_FFI_DataType_F32;
const XLA_FFI_DataType INTEGER = XLA_FFI_DataType_S32, BOOLEAN = XLA_FFI_DataType_PRED;

// The arguments of both calls, in their order; those before DIFFERENTIABLE are what the backward call has gradients of, in this order too.
#define JAX_LSTM_ARGUMENTS(of)                                                                                                  \
  of(x) of(w_x) of(w_h) of(b) of(peephole) of(projection) of(h) of(c) of(reset_h) of(reset_c) of(recurrent_mask) of(share_h)         \
      of(share_c) of(lengths) of(mask) of(resets) of(keep_h) of(keep_c)
#define AS_NAME(name) name,
enum Argument { JAX_LSTM_ARGUMENTS(AS_NAME) ARGUMENTS, DIFFERENTIABLE = share_h };
#define AS_STRING(name) #name " "
const char NAMES[] = JAX_LSTM_ARGUMENTS(AS_STRING);

// What both calls have: a set of rows shares its weights, and in the backward pass the gradient of them.
struct Call {
  Problem q = {};
  long batch = 0, sets = 1, rows = 0, pieces = 1;  // rows and pieces of a set
  bool shared = false;
  Array given[ARGUMENTS];
  const Reader *in = nullptr;
  Real *packed = nullptr, *gradients = nullptr;
  long packed_size = 0, *order = nullptr;
  bool backward = false, out_of_memory = false;
  bool in_team = false;  // two pieces, with all rows and half of the units each
  Team team;

  long group(long set, long row) const { return sets == 1 ? row / batch : set; }

  Flags flags(long group, long row) const {
    const int32_t *length = in->of_group<int32_t>(given[lengths], group);
    const uint8_t *is_valid = in->of_group<uint8_t>(given[mask], group), *is_reset = in->of_group<uint8_t>(given[resets], group);
    return {is_valid ? is_valid + row : nullptr, is_reset ? is_reset + row : nullptr, length ? (long)length[row] : q.time};
  }

  Zoneout zoneout(Argument keep, Argument share, long group, long row, long size) const {
    const uint8_t *flags = in->of_group<uint8_t>(given[keep], group);
    const Real *shares = in->of_group<Real>(given[share], group);
    return {flags ? flags + row * size : nullptr, shares ? *shares : 0};
  }

  // The part of an array that belongs to a row, `size` numbers after that of the row before.
  Real *of_row(const Array &array, long group, long row, long size) const {
    Real *first = in->of_group<Real>(array, group);
    return first ? first + row * size : nullptr;
  }

  Weights weights(long set) const {
    return {in->of_group<Real>(given[w_x], set), in->of_group<Real>(given[w_h], set), in->of_group<Real>(given[b], set),
            in->of_group<Real>(given[peephole], set), in->of_group<Real>(given[projection], set)};
  }
};

// The sizes and the variant of a call, from the first arguments and the attributes.
void read_problem(Reader &in, Call &call) {
  Problem &q = call.q;
  call.in = &in;
  q.coupled = in.flag("coupled"), q.exponential = in.flag("exponential"), q.reverse = in.flag("reverse");
  q.clip_cell = (Real)in.number("clip_cell"), q.clip_gates = (Real)in.number("clip_gates");
  q.time = in.dimension(x, 3, 0), call.batch = in.dimension(x, 3, 1), q.features = in.dimension(x, 3, 2);
  const long gates = q.coupled ? 3 : 4, rank = in.rank(w_h);
  q.hidden = in.dimension(w_x, 2, 1) / gates;
  q.diagonal = rank == 1;
  q.head = q.diagonal ? 1 : rank == 3 ? in.dimension(w_h, 3, 1) : q.hidden;
  if (q.head < 1 || q.hidden % q.head) in.fail("heads of %ld units in a layer of %ld", q.head, q.hidden);
  q.memory = q.exponential ? 3 : 1;
  const long out = in.dimension(projection, 2, 1);
  q.projection = out > 0;
  q.out = q.projection ? out : q.hidden;
  const long units = kernels->units, B = call.batch;
  q.panels = (q.hidden + units - 1) / units, q.out_panels = (q.out + units - 1) / units;
  q.kept = q.exponential ? 7 : q.clip_gates > 0 ? 6 : 5;
  q.x_step = B * q.features, q.h_step = B * q.out, q.c_step = B * q.hidden, q.flag_step = B;
  q.kept_panel = B * q.kept * units, q.kept_step = q.panels * q.kept_panel;
  q.far = in.groups * q.time * q.kept_step * (long)sizeof(Real) >= FAR;
}

void read_arguments(Reader &in, Call &call) {
  Problem &q = call.q;
  const long T = q.time, B = call.batch, F = q.features, H = q.hidden, R = q.out, G = q.coupled ? 3 : 4, M = q.memory * H;
  const long tbf[] = {T, B, F}, tbr[] = {T, B, R}, tbh[] = {T, B, H}, fgh[] = {F, G * H}, hr[] = {H, R}, br[] = {B, R}, bm[] = {B, M}, tb[] = {T, B}, one[] = {1};
  const long recurrent[] = {H / q.head, q.head, G * q.head}, peepholes[] = {G - 1, H};
  const int heads = in.rank(w_h) == 3, vector = q.diagonal;
  auto read = [&](Argument argument, const char *name, XLA_FFI_DataType type, bool optional, long rank, const long *shape) {
    call.given[argument] = in.read(name, argument, false, type, optional, rank, shape);
  };
  read(x, "x", FLOAT, false, 3, tbf);
  read(w_x, "w_x", FLOAT, false, 2, fgh);
  const long diagonal[] = {G * H}, dense[] = {R, G * H};
  read(w_h, "w_h", FLOAT, false, heads ? 3 : vector ? 1 : 2, heads ? recurrent : vector ? diagonal : dense);
  read(b, "b", FLOAT, true, 1, diagonal);
  read(peephole, "peephole", FLOAT, true, 2, peepholes);
  read(projection, "projection", FLOAT, true, 2, hr);
  read(h, "the first h", FLOAT, false, 2, br);
  read(c, "the first c", FLOAT, false, 2, bm);
  read(reset_h, "reset_to.h", FLOAT, true, 2, br);
  read(reset_c, "reset_to.c", FLOAT, true, 2, bm);
  read(recurrent_mask, "recurrent_mask", FLOAT, true, 2, br);
  read(share_h, "the share of zoneout.hidden", FLOAT, true, 1, one);
  read(share_c, "the share of zoneout.cell", FLOAT, true, 1, one);
  read(lengths, "lengths", INTEGER, true, 1, &B);
  read(mask, "mask", BOOLEAN, true, 2, tb);
  read(resets, "resets", BOOLEAN, true, 2, tb);
  read(keep_h, "zoneout.hidden", BOOLEAN, true, 3, tbr);
  read(keep_c, "zoneout.cell", BOOLEAN, true, 3, tbh);
  auto has = [&](Argument argument) { return call.given[argument].data != nullptr; };
  q.peephole = has(peephole);
  q.zoneout = has(share_h) || has(share_c) || has(keep_h) || has(keep_c);
  q.apart = q.zoneout || has(recurrent_mask);
  q.uneven = has(lengths) || has(mask) || has(resets);
  if (q.projection && (q.diagonal || q.head != q.hidden)) in.fail("a projection with heads or a diagonal recurrence");
  if (q.exponential && (q.projection || q.peephole || q.coupled || q.diagonal || q.clip_cell > 0 || q.clip_gates > 0 || has(share_c) || has(keep_c)))
    in.fail("exponential gates with another variant of the cell");
}

long weights_of_step(const Problem &q) { return (q.features + q.out) * 4 * q.hidden + (q.projection ? q.hidden * q.out : 0); }

void split(XLA_FFI_CallFrame *frame, Call &call) {
  const long count = threads(frame), weights = weights_of_step(call.q), work = call.q.time * call.rows * weights;
  if (call.backward) call.pieces = call.rows >= 2 * ROWS_OF_PIECE ? call.rows / ROWS_OF_PIECE : 2;
  else call.pieces = call.sets >= count ? 1 : (count + call.sets - 1) / call.sets;
  if (work < LEAST_WORK) call.pieces = 1;
  if (call.pieces > MOST_PIECES && call.backward) call.pieces = MOST_PIECES;
  if (call.pieces > call.rows) call.pieces = call.rows;
  if (call.pieces < 1) call.pieces = 1;
  bool few = call.sets == 1 && call.rows > 0 && call.rows <= FEW_ROWS;
  // backwards, weights in a core's own cache are read as fast by a thread with rows of its own
  if (call.backward && call.rows > 1 && weights <= NEAR) few = false;
  if (!few || work < LEAST_WORK || weights < STEP_FOR_TWO) return;
  call.in_team = count > 1 && Team::worth_it();
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
  if (call.in_team || call.pieces == 1 || (!call.given[lengths].data && !call.given[mask].data)) return;
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
