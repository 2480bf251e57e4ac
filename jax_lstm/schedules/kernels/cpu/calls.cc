// The two calls that XLA makes, for one dtype, through its plain C interface: they check the buffers, and spread the rows over the threads.
#include "memory.h"
#include "pieces.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

void pack(void *argument, long piece) {
  const Call &call = *(Call *)argument;
  const long set = piece / call.pieces;
  const Part part = {piece % call.pieces, call.pieces};
  (call.backward ? kernels->pack_backward : kernels->pack_forward)(call.q, part, call.weights(set), call.packed + set * call.packed_size);
}

XLA_FFI_Error *refuse(XLA_FFI_CallFrame *frame, const char *message, XLA_FFI_Error_Code code) {
  XLA_FFI_Error_Create_Args error = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, nullptr, message, code};
  return frame->api->XLA_FFI_Error_Create(&error);
}

bool asks_for_version(XLA_FFI_CallFrame *frame) {
  const XLA_FFI_Extension_Base *extension = frame->extension_start;
  if (!extension || extension->type != XLA_FFI_Extension_Metadata) return false;
  XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)extension)->metadata;
  metadata->api_version.major_version = XLA_FFI_API_MAJOR;
  // the oldest that has what is used here, so that a library built with a newer header works with an older jaxlib
  metadata->api_version.minor_version = XLA_FFI_API_MINOR < 2 ? XLA_FFI_API_MINOR : 2;
  metadata->traits = 0;
  return true;
}

// A piece's rows and scratch, or none where there is no memory left.
template <class Row> struct Piece {
  long count;
  Row *rows;
  Real *scratch;
  Piece(Call &call, long i, long (*scratch_size)(const Problem &, long)) : count(call.in_team ? call.rows : rows_of(call, i)), rows(nullptr) {
    if (count == 0) return;
    const long head = in_lines(count * sizeof(Row));
    char *memory = (char *)allocate(head + scratch_size(call.q, count) * sizeof(Real));
    rows = (Row *)memory, scratch = (Real *)(memory + head);
    if (memory) return;
    __atomic_store_n(&call.out_of_memory, true, __ATOMIC_RELAXED);
    if (call.in_team) call.team.dismiss();
  }
  ~Piece() { free(rows); }
};

// ---- forward

struct Forward : Call {
  Array hs, h_last, c_last, kept;
};

void run_forward(void *argument, long piece) {
  Forward &call = *(Forward *)argument;
  const Problem &q = call.q;
  const long set = piece / call.pieces, i = piece % call.pieces, H = q.hidden, R = q.out, M = q.memory * H;
  Team *team = call.in_team ? &call.team : nullptr;
  if (team && piece == 1) return team->follow();
  const Piece<ForwardRow> own(call, i, kernels->forward_scratch);
  if (!own.rows) return;
  for (long k = 0; k < own.count; k++) {
    const long all = team ? k : row_of(call, set, i, k), g = call.group(set, all), r = all % call.batch;
    ForwardRow &row = own.rows[k] = {};
    row.flags = call.flags(g, r);
    row.zoneout_h = call.zoneout(keep_h, share_h, g, r, R), row.zoneout_c = call.zoneout(keep_c, share_c, g, r, H);
    row.x = call.of_row(call.given[x], g, r, q.features);
    row.h_first = call.of_row(call.given[h], g, r, R), row.c_first = call.of_row(call.given[c], g, r, M);
    row.h_reset = call.of_row(call.given[reset_h], g, r, R), row.c_reset = call.of_row(call.given[reset_c], g, r, M);
    row.recurrent_mask = call.of_row(call.given[recurrent_mask], g, r, R);
    row.hs = call.of_row(call.hs, g, r, R);
    row.h_last = call.of_row(call.h_last, g, r, R), row.c_last = call.of_row(call.c_last, g, r, M);
    row.kept = call.of_row(call.kept, g, r, q.kept * kernels->units);
  }
  kernels->forward(q, call.packed + (call.shared ? 0 : set * call.packed_size), own.rows, own.count, own.scratch, team);
  if (team) team->end();
}

// ---- backward

struct Backward : Call {
  Array hs, kept, d_hs, d_h_last, d_c_last, d[DIFFERENTIABLE];
};

void zero(Real *p, long n) {
  if (p) memset(p, 0, n * sizeof(Real));
}

void run_backward(void *argument, long piece) {
  Backward &call = *(Backward *)argument;
  const Problem &q = call.q;
  const long g = piece / call.pieces, i = piece % call.pieces, H = q.hidden, R = q.out, M = q.memory * H;
  Real *gradient = call.gradients + piece * kernels->gradient_size(q);
  Team *team = call.in_team ? &call.team : nullptr;
  if (team && piece == 1) return team->follow();
  const Piece<BackwardRow> own(call, i, kernels->backward_scratch);
  if (own.count == 0) return zero(gradient, kernels->gradient_size(q));
  if (!own.rows) return;
  for (long k = 0; k < own.count; k++) {
    const long r = team ? k : row_of(call, g, i, k);
    BackwardRow &row = own.rows[k] = {};
    row.flags = call.flags(g, r);
    row.zoneout_h = call.zoneout(keep_h, share_h, g, r, R), row.zoneout_c = call.zoneout(keep_c, share_c, g, r, H);
    row.x = call.of_row(call.given[x], g, r, q.features), row.hs = call.of_row(call.hs, g, r, R);
    row.h_first = call.of_row(call.given[h], g, r, R), row.h_reset = call.of_row(call.given[reset_h], g, r, R);
    row.recurrent_mask = call.of_row(call.given[recurrent_mask], g, r, R);
    row.kept = call.of_row(call.kept, g, r, q.kept * kernels->units);
    row.d_hs = call.of_row(call.d_hs, g, r, R);
    row.d_h_last = call.of_row(call.d_h_last, g, r, R), row.d_c_last = call.of_row(call.d_c_last, g, r, M);
    row.d_x = call.of_row(call.d[x], g, r, q.features);
    row.d_h_first = call.of_row(call.d[h], g, r, R), row.d_c_first = call.of_row(call.d[c], g, r, M);
    row.d_h_reset = call.of_row(call.d[reset_h], g, r, R), row.d_c_reset = call.of_row(call.d[reset_c], g, r, M);
    row.d_recurrent_mask = call.of_row(call.d[recurrent_mask], g, r, R);
    zero(row.d_h_reset, R), zero(row.d_c_reset, M), zero(row.d_recurrent_mask, R);
  }
  kernels->backward(q, call.packed + (call.shared ? 0 : g * call.packed_size), own.rows, own.count, gradient, own.scratch, team);
  if (team) team->end();
}

void add(void *argument, long piece) {
  const Backward &call = *(Backward *)argument;
  if (call.out_of_memory) return;
  const long g = piece / call.pieces;
  const WeightsOf<Real> d = {call.in->of_group<Real>(call.d[w_x], g), call.in->of_group<Real>(call.d[w_h], g),
                             call.in->of_group<Real>(call.d[b], g), call.in->of_group<Real>(call.d[peephole], g),
                             call.in->of_group<Real>(call.d[projection], g)};
  const Real *gradients = call.gradients + g * call.pieces * kernels->gradient_size(call.q);
  kernels->add_gradients(call.q, {piece % call.pieces, call.pieces}, gradients, call.in_team ? 1 : call.pieces, d);
}

const char MEMORY[] = "jax_lstm: out of memory";

}  // namespace

// The arguments -> hs, h_last, c_last, kept
EXPORT XLA_FFI_Error *OF_REAL(jax_lstm_forward)(XLA_FFI_CallFrame *frame) {
  if (asks_for_version(frame)) return nullptr;
  Reader in = {frame, "jax_lstm forward"};
  Forward call;
  if (in.expect(ARGUMENTS, 4)) in.lead(1, 2);
  if (!in.failed()) read_problem(in, call);
  if (!in.failed()) read_arguments(in, call);
  Problem &q = call.q;
  const long T = q.time, B = call.batch, R = q.out, M = q.memory * q.hidden;
  const long tbr[] = {T, B, R}, br[] = {B, R}, bm[] = {B, M}, kept[] = {T, q.panels, B, q.kept * kernels->units};
  call.hs = in.read("hs", 0, true, FLOAT, true, 3, tbr);
  call.h_last = in.read("the last h", 1, true, FLOAT, false, 2, br);
  call.c_last = in.read("the last c", 2, true, FLOAT, false, 2, bm);
  call.kept = in.read("kept", 3, true, FLOAT, true, 4, kept);
  if (in.failed()) return refuse(frame, in.message, XLA_FFI_Error_Code_INVALID_ARGUMENT);

  q.far &= (uintptr_t)call.kept.data % LINE == 0;  // as stores past the caches need
  call.shared = call.given[w_x].shared && call.given[w_h].shared && call.given[b].shared && call.given[peephole].shared &&
                call.given[projection].shared;
  call.sets = call.shared ? 1 : in.groups;
  call.rows = call.shared ? in.groups * B : B;
  split(frame, call);
  call.packed_size = kernels->forward_weights(q);
  if (call.pieces > 1 && !call.in_team && call.packed_size <= NEAR) call.pieces *= (call.rows + ROWS_AT_ONCE * call.pieces - 1) / (ROWS_AT_ONCE * call.pieces);
  const long size = call.sets * call.packed_size;
  call.packed = (Real *)allocate(size * sizeof(Real) + call.sets * call.rows * sizeof(long) + 1);
  if (!call.packed) return refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED);
  deal(call, (long *)(call.packed + size));
  in_phases(frame, &call, {{pack, call.sets * call.pieces}, {run_forward, call.sets * call.pieces}});
  free(call.packed);
  return call.out_of_memory ? refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED) : nullptr;
}

// The arguments, hs, kept, and the gradients of hs and of the last h and c -> those of the differentiable arguments
EXPORT XLA_FFI_Error *OF_REAL(jax_lstm_backward)(XLA_FFI_CallFrame *frame) {
  if (asks_for_version(frame)) return nullptr;
  Reader in = {frame, "jax_lstm backward"};
  Backward call;
  call.backward = true;
  if (in.expect(ARGUMENTS + 5, DIFFERENTIABLE)) in.lead(h, 2);
  if (!in.failed()) read_problem(in, call);
  if (!in.failed()) read_arguments(in, call);
  const Problem &q = call.q;
  const long T = q.time, B = call.batch, F = q.features, H = q.hidden, R = q.out, G = q.coupled ? 3 : 4, M = q.memory * H;
  const long tbf[] = {T, B, F}, tbr[] = {T, B, R}, fgh[] = {F, G * H}, hr[] = {H, R}, br[] = {B, R}, bm[] = {B, M}, peepholes[] = {G - 1, H};
  const long kept[] = {T, q.panels, B, q.kept * kernels->units}, gates[] = {G * H}, dense[] = {R, G * H}, heads[] = {H / q.head, q.head, G * q.head};
  call.hs = in.read("hs", ARGUMENTS, false, FLOAT, false, 3, tbr);
  call.kept = in.read("kept", ARGUMENTS + 1, false, FLOAT, false, 4, kept);
  call.d_hs = in.read("the gradient of hs", ARGUMENTS + 2, false, FLOAT, true, 3, tbr);
  call.d_h_last = in.read("the gradient of the last h", ARGUMENTS + 3, false, FLOAT, true, 2, br);
  call.d_c_last = in.read("the gradient of the last c", ARGUMENTS + 4, false, FLOAT, true, 2, bm);
  const long rank = in.failed() ? 2 : in.rank(w_h);
  call.d[x] = in.read("the gradient of x", x, true, FLOAT, true, 3, tbf);
  call.d[w_x] = in.read("the gradient of w_x", w_x, true, FLOAT, false, 2, fgh);
  call.d[w_h] = in.read("the gradient of w_h", w_h, true, FLOAT, false, rank, rank == 3 ? heads : rank == 2 ? dense : gates);
  call.d[b] = in.read("the gradient of b", b, true, FLOAT, true, 1, gates);
  call.d[peephole] = in.read("the gradient of peephole", peephole, true, FLOAT, true, 2, peepholes);
  call.d[projection] = in.read("the gradient of projection", projection, true, FLOAT, true, 2, hr);
  call.d[h] = in.read("the gradient of the first h", h, true, FLOAT, false, 2, br);
  call.d[c] = in.read("the gradient of the first c", c, true, FLOAT, false, 2, bm);
  call.d[reset_h] = in.read("the gradient of reset_to.h", reset_h, true, FLOAT, true, 2, br);
  call.d[reset_c] = in.read("the gradient of reset_to.c", reset_c, true, FLOAT, true, 2, bm);
  call.d[recurrent_mask] = in.read("the gradient of recurrent_mask", recurrent_mask, true, FLOAT, true, 2, br);
  if (!call.given[reset_h].data != !call.d[reset_h].data || !call.d[reset_h].data != !call.d[reset_c].data)
    in.fail("reset_to and its gradients are given in part, expected all or none");
  if (!call.given[recurrent_mask].data && call.d[recurrent_mask].data) in.fail("a gradient of recurrent_mask without the mask");
  if (!call.given[peephole].data && call.d[peephole].data) in.fail("a gradient of peephole without the peepholes");
  if (!call.given[projection].data && call.d[projection].data) in.fail("a gradient of projection without the projection");
  if (in.failed()) return refuse(frame, in.message, XLA_FFI_Error_Code_INVALID_ARGUMENT);

  call.shared = call.given[w_x].shared && call.given[w_h].shared && call.given[peephole].shared && call.given[projection].shared;
  call.sets = in.groups;
  call.rows = B;
  split(frame, call);
  call.packed_size = kernels->backward_weights(q);
  const long packed_sets = call.shared ? 1 : call.sets, pieces = call.sets * call.pieces;
  const long size = packed_sets * call.packed_size + pieces * kernels->gradient_size(q);
  call.packed = (Real *)allocate(size * sizeof(Real) + call.sets * call.rows * sizeof(long) + 1);
  if (!call.packed) return refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED);
  call.gradients = call.packed + packed_sets * call.packed_size;
  deal(call, (long *)(call.packed + size));
  in_phases(frame, &call, {{pack, packed_sets * call.pieces}, {run_backward, pieces}, {add, pieces}});
  free(call.packed);
  return call.out_of_memory ? refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED) : nullptr;
}

// The instruction set that is used, "" where the processor has none of them; and a vector's length.
EXPORT const char *OF_REAL(jax_lstm_variant)() { return kernels ? kernels->name : ""; }
EXPORT long OF_REAL(jax_lstm_units)() { return kernels ? kernels->units : 0; }
EXPORT const char *OF_REAL(jax_lstm_arguments)() { return NAMES; }
