// What the forward and the backward loop share.
#pragma once
#include "kernel.h"
#include "vectors.h"

namespace {

const long KEPT = 5 * UNITS;  // floats of a row, step and panel in `kept`: i, f, g, o and the cell state before the step

INLINE long padded(const Problem &q) { return q.panels * UNITS; }
INLINE long in_memory(const Problem &q, long step) { return q.reverse ? q.time - 1 - step : step; }
INLINE bool taken(const Problem &q, const Flags &flags, long t) {
  return t < flags.length && (!flags.valid || flags.valid[t * q.flag_step]);
}
INLINE bool reset(const Problem &q, const Flags &flags, long t) { return flags.reset && flags.reset[t * q.flag_step]; }

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
