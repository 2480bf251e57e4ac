// The two calls that XLA makes, through its plain C interface: they check the buffers, and spread the rows over the threads.
#include "memory.h"
#include "pieces.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

const XLA_FFI_DataType FLOAT = XLA_FFI_DataType_F32, INTEGER = XLA_FFI_DataType_S32, BOOLEAN = XLA_FFI_DataType_PRED;

void pack(void *argument, long piece) {
  const Call &call = *(Call *)argument;
  const long set = piece / call.pieces;
  const Part part = {piece % call.pieces, call.pieces};
  float *packed = call.packed + set * call.packed_size;
  const float *w_x = call.in->of_group<float>(call.w_x, set), *w_h = call.in->of_group<float>(call.w_h, set);
  if (call.backward) kernels->pack_backward(call.q, part, w_x, w_h, packed);
  else kernels->pack_forward(call.q, part, w_x, w_h, call.in->of_group<float>(call.b, set), packed);
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

// ---- forward

struct Forward : Call {
  Array h_first, c_first, h_reset, c_reset, recurrent_mask, hs, h_last, c_last, kept;
};

void run_forward(void *argument, long piece) {
  Forward &call = *(Forward *)argument;
  const Problem &q = call.q;
  const long set = piece / call.pieces, H = q.hidden;
  const float *packed = call.packed + (call.shared ? 0 : set * call.packed_size);
  Team *team = call.in_team ? &call.team : nullptr;
  if (team && piece == 1) return team->follow();
  const long i = piece % call.pieces, count = team ? call.rows : rows_of(call, i);
  if (count == 0) return;
  const long head = in_lines(count * sizeof(ForwardRow));
  char *memory = (char *)allocate(head + kernels->forward_scratch(q, count) * sizeof(float));
  if (!memory) {
    __atomic_store_n(&call.out_of_memory, true, __ATOMIC_RELAXED);
    if (team) team->dismiss();
    return;
  }
  ForwardRow *rows = (ForwardRow *)memory;
  for (long k = 0; k < count; k++) {
    const long all = team ? k : row_of(call, set, i, k), g = call.group(set, all), r = all % call.batch;
    rows[k] = {call.flags(g, r),
               call.of_row(call.x, g, r, q.features),
               call.of_row(call.h_first, g, r, H),
               call.of_row(call.c_first, g, r, H),
               call.of_row(call.h_reset, g, r, H),
               call.of_row(call.c_reset, g, r, H),
               call.of_row(call.recurrent_mask, g, r, H),
               call.of_row(call.hs, g, r, H),
               call.of_row(call.h_last, g, r, H),
               call.of_row(call.c_last, g, r, H),
               call.of_row(call.kept, g, r, 5 * kernels->units),
               {nullptr, nullptr},
               nullptr};
  }
  kernels->forward(q, packed, rows, count, (float *)(memory + head), team);
  if (team) team->end();
  free(memory);
}

// ---- backward

struct Backward : Call {
  Array h_first, h_reset, recurrent_mask, hs, kept, d_hs, d_h_last, d_c_last;
  Array d_x, d_w_x, d_w_h, d_b, d_h_first, d_c_first, d_h_reset, d_c_reset, d_recurrent_mask;
};

void zero(float *p, long n) {
  if (p) memset(p, 0, n * sizeof(float));
}

void run_backward(void *argument, long piece) {
  Backward &call = *(Backward *)argument;
  const Problem &q = call.q;
  const long g = piece / call.pieces, H = q.hidden;
  float *gradient = call.gradients + piece * kernels->gradient_size(q);
  Team *team = call.in_team ? &call.team : nullptr;
  if (team && piece == 1) return team->follow();
  const long i = piece % call.pieces, count = team ? call.rows : rows_of(call, i);
  if (count == 0) return zero(gradient, kernels->gradient_size(q));
  const long head = in_lines(count * sizeof(BackwardRow));
  char *memory = (char *)allocate(head + kernels->backward_scratch(q, count) * sizeof(float));
  if (!memory) {
    __atomic_store_n(&call.out_of_memory, true, __ATOMIC_RELAXED);
    if (team) team->dismiss();
    return;
  }
  BackwardRow *rows = (BackwardRow *)memory;
  for (long k = 0; k < count; k++) {
    const long r = team ? k : row_of(call, g, i, k);
    rows[k] = {call.flags(g, r),
               call.of_row(call.x, g, r, q.features),
               call.of_row(call.hs, g, r, H),
               call.of_row(call.h_first, g, r, H),
               call.of_row(call.h_reset, g, r, H),
               call.of_row(call.recurrent_mask, g, r, H),
               call.of_row(call.kept, g, r, 5 * kernels->units),
               call.of_row(call.d_hs, g, r, H),
               call.of_row(call.d_h_last, g, r, H),
               call.of_row(call.d_c_last, g, r, H),
               call.of_row(call.d_x, g, r, q.features),
               call.of_row(call.d_h_first, g, r, H),
               call.of_row(call.d_c_first, g, r, H),
               call.of_row(call.d_h_reset, g, r, H),
               call.of_row(call.d_c_reset, g, r, H),
               call.of_row(call.d_recurrent_mask, g, r, H),
               nullptr,
               0,
               true};
    zero(rows[k].d_h_reset, H), zero(rows[k].d_c_reset, H), zero(rows[k].d_recurrent_mask, H);
  }
  kernels->backward(q, call.packed + (call.shared ? 0 : g * call.packed_size), rows, count, gradient, (float *)(memory + head), team);
  if (team) team->end();
  free(memory);
}

void add(void *argument, long piece) {
  const Backward &call = *(Backward *)argument;
  if (call.out_of_memory) return;
  const long g = piece / call.pieces;
  const float *gradients = call.gradients + g * call.pieces * kernels->gradient_size(call.q);
  kernels->add_gradients(call.q, {piece % call.pieces, call.pieces}, gradients, call.in_team ? 1 : call.pieces, call.in->of_group<float>(call.d_w_x, g), call.in->of_group<float>(call.d_w_h, g),
                         call.in->of_group<float>(call.d_b, g));
}

const char MEMORY[] = "jax_lstm: out of memory";

}  // namespace

// x, w_x, w_h, b, h_first, c_first, lengths, valid, reset, h_reset, c_reset, recurrent_mask -> hs, h_last, c_last, kept
EXPORT XLA_FFI_Error *jax_lstm_forward(XLA_FFI_CallFrame *frame) {
  if (asks_for_version(frame)) return nullptr;
  Reader in = {frame, "jax_lstm forward"};
  Forward call;
  if (in.expect(12, 4)) in.lead(1, 2);
  if (!in.failed()) read_sizes(in, call);
  const Problem &q = call.q;
  const long T = q.time, B = call.batch, F = q.features, H = q.hidden;
  const long tbf[] = {T, B, F}, tbh[] = {T, B, H}, f4h[] = {F, 4 * H}, h4h[] = {H, 4 * H}, bias[] = {4 * H}, bh[] = {B, H}, tb[] = {T, B};
  const long kept[] = {T, q.panels, B, 5 * kernels->units}, b[] = {B};
  call.x = in.read("x", 0, false, FLOAT, false, 3, tbf);
  call.w_x = in.read("w_x", 1, false, FLOAT, false, 2, f4h);
  call.w_h = in.read("w_h", 2, false, FLOAT, false, 2, h4h);
  call.b = in.read("b", 3, false, FLOAT, true, 1, bias);
  call.h_first = in.read("the first h", 4, false, FLOAT, false, 2, bh);
  call.c_first = in.read("the first c", 5, false, FLOAT, false, 2, bh);
  call.lengths = in.read("lengths", 6, false, INTEGER, true, 1, b);
  call.valid = in.read("mask", 7, false, BOOLEAN, true, 2, tb);
  call.reset = in.read("resets", 8, false, BOOLEAN, true, 2, tb);
  call.h_reset = in.read("reset_to.h", 9, false, FLOAT, true, 2, bh);
  call.c_reset = in.read("reset_to.c", 10, false, FLOAT, true, 2, bh);
  call.recurrent_mask = in.read("recurrent_mask", 11, false, FLOAT, true, 2, bh);
  call.hs = in.read("hs", 0, true, FLOAT, true, 3, tbh);
  call.h_last = in.read("the last h", 1, true, FLOAT, false, 2, bh);
  call.c_last = in.read("the last c", 2, true, FLOAT, false, 2, bh);
  call.kept = in.read("kept", 3, true, FLOAT, true, 4, kept);
  if (in.failed()) return refuse(frame, in.message, XLA_FFI_Error_Code_INVALID_ARGUMENT);

  call.q.far &= (uintptr_t)call.kept.data % LINE == 0;  // as stores past the caches need
  call.shared = call.w_x.shared && call.w_h.shared && call.b.shared;
  call.sets = call.shared ? 1 : in.groups;
  call.rows = call.shared ? in.groups * B : B;
  split(frame, call);
  call.packed_size = kernels->forward_weights(q);
  if (call.pieces > 1 && !call.in_team && call.packed_size <= NEAR) call.pieces *= (call.rows + ROWS_AT_ONCE * call.pieces - 1) / (ROWS_AT_ONCE * call.pieces);
  const long floats = call.sets * call.packed_size;
  call.packed = (float *)allocate(floats * sizeof(float) + call.sets * call.rows * sizeof(long) + 1);
  if (!call.packed) return refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED);
  deal(call, (long *)(call.packed + floats));
  in_phases(frame, &call, {{pack, call.sets * call.pieces}, {run_forward, call.sets * call.pieces}});
  free(call.packed);
  return call.out_of_memory ? refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED) : nullptr;
}

// x, w_x, w_h, h_first, lengths, valid, reset, h_reset, recurrent_mask, hs, kept, d_hs, d_h_last, d_c_last
// -> d_x, d_w_x, d_w_h, d_b, d_h_first, d_c_first, d_h_reset, d_c_reset, d_recurrent_mask
EXPORT XLA_FFI_Error *jax_lstm_backward(XLA_FFI_CallFrame *frame) {
  if (asks_for_version(frame)) return nullptr;
  Reader in = {frame, "jax_lstm backward"};
  Backward call;
  call.backward = true;
  if (in.expect(14, 9)) in.lead(4, 2);
  if (!in.failed()) read_sizes(in, call);
  const Problem &q = call.q;
  const long T = q.time, B = call.batch, F = q.features, H = q.hidden;
  const long tbf[] = {T, B, F}, tbh[] = {T, B, H}, f4h[] = {F, 4 * H}, h4h[] = {H, 4 * H}, bias[] = {4 * H}, bh[] = {B, H}, tb[] = {T, B};
  const long kept[] = {T, q.panels, B, 5 * kernels->units}, b[] = {B};
  call.x = in.read("x", 0, false, FLOAT, false, 3, tbf);
  call.w_x = in.read("w_x", 1, false, FLOAT, false, 2, f4h);
  call.w_h = in.read("w_h", 2, false, FLOAT, false, 2, h4h);
  call.h_first = in.read("the first h", 3, false, FLOAT, false, 2, bh);
  call.lengths = in.read("lengths", 4, false, INTEGER, true, 1, b);
  call.valid = in.read("mask", 5, false, BOOLEAN, true, 2, tb);
  call.reset = in.read("resets", 6, false, BOOLEAN, true, 2, tb);
  call.h_reset = in.read("reset_to.h", 7, false, FLOAT, true, 2, bh);
  call.recurrent_mask = in.read("recurrent_mask", 8, false, FLOAT, true, 2, bh);
  call.hs = in.read("hs", 9, false, FLOAT, false, 3, tbh);
  call.kept = in.read("kept", 10, false, FLOAT, false, 4, kept);
  call.d_hs = in.read("the gradient of hs", 11, false, FLOAT, true, 3, tbh);
  call.d_h_last = in.read("the gradient of the last h", 12, false, FLOAT, true, 2, bh);
  call.d_c_last = in.read("the gradient of the last c", 13, false, FLOAT, true, 2, bh);
  call.d_x = in.read("the gradient of x", 0, true, FLOAT, true, 3, tbf);
  call.d_w_x = in.read("the gradient of w_x", 1, true, FLOAT, false, 2, f4h);
  call.d_w_h = in.read("the gradient of w_h", 2, true, FLOAT, false, 2, h4h);
  call.d_b = in.read("the gradient of b", 3, true, FLOAT, true, 1, bias);
  call.d_h_first = in.read("the gradient of the first h", 4, true, FLOAT, false, 2, bh);
  call.d_c_first = in.read("the gradient of the first c", 5, true, FLOAT, false, 2, bh);
  call.d_h_reset = in.read("the gradient of reset_to.h", 6, true, FLOAT, true, 2, bh);
  call.d_c_reset = in.read("the gradient of reset_to.c", 7, true, FLOAT, true, 2, bh);
  call.d_recurrent_mask = in.read("the gradient of recurrent_mask", 8, true, FLOAT, true, 2, bh);
  if (!call.h_reset.data != !call.d_h_reset.data || !call.d_h_reset.data != !call.d_c_reset.data)
    in.fail("reset_to and its gradients are given in part, expected all or none");
  if (!call.recurrent_mask.data && call.d_recurrent_mask.data) in.fail("a gradient of recurrent_mask without the mask");
  if (in.failed()) return refuse(frame, in.message, XLA_FFI_Error_Code_INVALID_ARGUMENT);

  call.shared = call.w_x.shared && call.w_h.shared;
  call.sets = in.groups;
  call.rows = B;
  split(frame, call);
  call.packed_size = kernels->backward_weights(q);
  const long packed_sets = call.shared ? 1 : call.sets, pieces = call.sets * call.pieces;
  const long floats = packed_sets * call.packed_size + pieces * kernels->gradient_size(q);
  call.packed = (float *)allocate(floats * sizeof(float) + call.sets * call.rows * sizeof(long) + 1);
  if (!call.packed) return refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED);
  call.gradients = call.packed + packed_sets * call.packed_size;
  deal(call, (long *)(call.packed + floats));
  in_phases(frame, &call, {{pack, packed_sets * call.pieces}, {run_backward, pieces}, {add, pieces}});
  free(call.packed);
  return call.out_of_memory ? refuse(frame, MEMORY, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED) : nullptr;
}

// The instruction set that is used, "" where the processor has none of them; and a vector's floats.
EXPORT const char *jax_lstm_variant() { return kernels ? kernels->name : ""; }
EXPORT long jax_lstm_units() { return kernels ? kernels->units : 0; }
EXPORT double jax_lstm_multiply_add(long times) { return kernels->multiply_add(times); }
EXPORT long jax_lstm_multiply_adds() { return kernels->multiply_adds; }
