// What the forward and the backward loop share.
#pragma once
#include "kernel.h"
#include "vectors.h"

namespace {

INLINE long padded(const Problem &q) { return q.panels * UNITS; }
INLINE long padded_out(const Problem &q) { return q.out_panels * UNITS; }
INLINE long in_memory(const Problem &q, long step) { return q.reverse ? q.time - 1 - step : step; }
INLINE bool taken(const Problem &q, const Flags &flags, long t) {
  return t < flags.length && (!flags.valid || flags.valid[t * q.flag_step]);
}
INLINE bool reset(const Problem &q, const Flags &flags, long t) { return flags.reset && flags.reset[t * q.flag_step]; }

// A range of units.
struct Range {
  long begin, end;
  long size() const { return end - begin; }
};

// Whether all units see the whole hidden state.
INLINE bool is_dense(const Problem &q) { return !q.diagonal && q.head == q.hidden; }

// The units that units `begin` to `end` of a layer with heads see through the recurrent weights, and by which they are seen: those of
// their heads. None of a diagonal recurrence, whose weights are vectors.
INLINE Range heads_of(const Problem &q, long begin, long end) {
  if (q.diagonal) return {0, 0};
  if (end > q.hidden) end = q.hidden;
  return {begin / q.head * q.head, (end - 1) / q.head * q.head + q.head};
}
INLINE Range seen_by_panel(const Problem &q, long p) {
  return is_dense(q) ? Range{0, q.out} : heads_of(q, p * UNITS, (p + 1) * UNITS);
}
INLINE Range panels_seeing(const Problem &q, long block) {
  if (is_dense(q)) return {0, q.panels};
  const Range units = heads_of(q, block * SPAN, (block + 1) * SPAN);
  return {units.begin / UNITS, blocks(units.end, UNITS)};
}

// Rows of the recurrent weights that a panel has at most, and panels that a block of SPAN units has.
INLINE long most_seen(const Problem &q) {
  if (q.diagonal) return 0;
  if (is_dense(q)) return q.out;
  return least(q.hidden, ((UNITS - 1) / q.head + 2) * q.head);
}
INLINE long most_seeing(const Problem &q) {
  if (q.diagonal) return 0;
  if (is_dense(q)) return q.panels;
  return least(q.panels, blocks(((SPAN - 1) / q.head + 2) * q.head, UNITS) + 1);
}

// The projection's columns in blocks of SPAN, and its rows in blocks of TILE, as the gradient of it has them.
INLINE long blocks_of_out(const Problem &q) { return blocks(q.out, SPAN); }
INLINE long blocks_of_projected(const Problem &q) { return q.projection ? blocks(q.hidden, TILE) : 0; }

// The weights that are vectors, packed for each panel, [panel][vector][unit]: b for each gate, then the peepholes of i, f and o, then
// the diagonal recurrent weights of each gate.
const long PEEPHOLE = 4, DIAGONAL = 7;
INLINE long vectors(const Problem &q) { return q.diagonal ? 11 : q.peephole ? 7 : 4; }
INLINE long vectors_size(const Problem &q) { return q.panels * vectors(q) * UNITS; }

// Where a gate is among the parameters' gates, which have no forget gate where it is coupled; less than zero for none.
INLINE long gate_among(const Problem &q, long gate) { return !q.coupled || gate == 0 ? gate : gate - 1 - (gate == 1) ; }
INLINE long gates(const Problem &q) { return q.coupled ? 3 : 4; }

}  // namespace

// tile[e - s](arguments) for runs s to e of n rows, about equally long and at most TILE
#define IN_TILES(n, tile, ...)                                                   \
  for (long at_ = 0, s = 0, e, runs_ = blocks(n, TILE); at_ < runs_; at_++, s = e) { \
    e = (n) * (at_ + 1) / runs_;                                                 \
    tile[e - s](__VA_ARGS__);                                                    \
  }

// A template's instances for 1 to TILE rows, and for 1 to COLUMNS columns
#define BY_ROWS(tile, ...)                                                                                                        \
  {                                                                                                                               \
    nullptr, tile<1 __VA_ARGS__>, tile<2 __VA_ARGS__>, tile<3 __VA_ARGS__>, tile<4 __VA_ARGS__>, tile<5 __VA_ARGS__>,              \
        tile<6 __VA_ARGS__>                                                                                                       \
  }
#define BY_COLUMNS(block) {nullptr, block<1>, block<2>, block<(COLUMNS > 2 ? 3 : 1)>, block<(COLUMNS > 2 ? 4 : 1)>}
