// The kernel without Python and JAX: its two calls through a stand-in for XLA, against a loop in double precision.
//
//     driver cases COUNT     random cases, values and gradients, of the instruction set that the processor has
//     driver rows COUNT      a row's results are the same bits whatever the other rows, the chunks of time and the number of threads
//     driver threads         calls from many threads at once, on a pool that all of them share
//
// REAL, float or double, is the dtype.
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "reference.h"
#include "xla/ffi/api/c_api.h"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define FORWARD JOIN(jax_lstm_forward, REAL)
#define BACKWARD JOIN(jax_lstm_backward, REAL)
#define VARIANT JOIN(jax_lstm_variant, REAL)
#define UNITS JOIN(jax_lstm_units, REAL)
extern "C" XLA_FFI_Error *FORWARD(XLA_FFI_CallFrame *), *BACKWARD(XLA_FFI_CallFrame *);
extern "C" const char *VARIANT();
extern "C" long UNITS();

const XLA_FFI_DataType FLOAT = sizeof(Real) == 8 ? XLA_FFI_DataType_F64 : XLA_FFI_DataType_F32;

struct Pool {
  std::mutex mutex;
  std::condition_variable ready;
  std::deque<std::function<void()>> tasks;
  std::vector<std::thread> threads;
  bool over = false;
  explicit Pool(int count) {
    for (int k = 0; k < count; k++)
      threads.emplace_back([this] {
        for (;;) {
          std::unique_lock<std::mutex> lock(mutex);
          ready.wait(lock, [this] { return over || !tasks.empty(); });
          if (tasks.empty()) return;
          auto task = tasks.front();
          tasks.pop_front();
          lock.unlock();
          task();
        }
      });
  }
  void add(std::function<void()> task) {
    std::lock_guard<std::mutex> lock(mutex);
    tasks.push_back(task);
    ready.notify_one();
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      over = true;
    }
    ready.notify_all();
    for (auto &thread : threads) thread.join();
  }
};

struct XLA_FFI_Error {
  std::string message;
};
XLA_FFI_Error *create_error(XLA_FFI_Error_Create_Args *args) { return new XLA_FFI_Error{args->message}; }
void destroy_error(XLA_FFI_Error_Destroy_Args *args) { delete args->error; }
XLA_FFI_Error *schedule(XLA_FFI_ThreadPool_Schedule_Args *args) {
  auto task = args->task;
  auto data = args->data;
  ((Pool *)args->ctx)->add([task, data] { task(data); });
  return nullptr;
}
XLA_FFI_Error *count_threads(XLA_FFI_ThreadPool_NumThreads_Args *args) {
  *args->num_threads = (int64_t)((Pool *)args->ctx)->threads.size();
  return nullptr;
}

// One call: its buffers in order, and what the call's error says.
struct Call {
  std::vector<XLA_FFI_Buffer> arguments, results;
  std::deque<std::vector<int64_t>> dims;
  void add(std::vector<XLA_FFI_Buffer> &to, XLA_FFI_DataType type, const void *data, std::vector<int64_t> shape) {
    dims.push_back(std::move(shape));
    to.push_back({XLA_FFI_Buffer_STRUCT_SIZE, nullptr, type, (void *)data, (int64_t)dims.back().size(), dims.back().data()});
  }
  // an array that is not given has sizes of zero
  template <class T> void in(const std::vector<T> &data, XLA_FFI_DataType type, std::vector<int64_t> shape, bool given = true) {
    if (!given) shape.assign(shape.size(), 0);
    add(arguments, type, data.data(), shape);
  }
  void out(Floats &data, std::vector<int64_t> shape, bool given = true) {
    int64_t size = 1;
    if (!given) shape.assign(shape.size(), 0);
    for (auto d : shape) size *= d;
    data.assign(size, NAN);  // nothing may be left as it was
    add(results, FLOAT, data.data(), shape);
  }
  std::string run(XLA_FFI_Handler *handler, Pool &pool, const Case &c) {
    static XLA_FFI_Api api = {};
    static std::once_flag once;
    std::call_once(once, [] {
      api.struct_size = XLA_FFI_Api_STRUCT_SIZE;
      api.XLA_FFI_Error_Create = create_error, api.XLA_FFI_Error_Destroy = destroy_error;
      api.XLA_FFI_ThreadPool_Schedule = schedule, api.XLA_FFI_ThreadPool_NumThreads = count_threads;
    });
    std::vector<void *> in_pointers, out_pointers;
    for (auto &buffer : arguments) in_pointers.push_back(&buffer);
    for (auto &buffer : results) out_pointers.push_back(&buffer);
    std::vector<XLA_FFI_ArgType> in_types(arguments.size(), XLA_FFI_ArgType_BUFFER);
    std::vector<XLA_FFI_RetType> out_types(results.size(), XLA_FFI_RetType_BUFFER);
    const char *words[] = {"reverse", "coupled", "exponential", "clip_cell", "clip_gates"};
    double values[] = {(double)c.reverse, (double)c.coupled, (double)c.exponential, c.clip_cell, c.clip_gates};
    const int count = 5;
    XLA_FFI_Scalar scalars[count];
    XLA_FFI_ByteSpan spans[count], *names[count];
    XLA_FFI_AttrType kinds[count];
    void *attributes[count];
    for (int k = 0; k < count; k++) {
      scalars[k] = {XLA_FFI_DataType_F64, values + k}, spans[k] = {words[k], strlen(words[k])};
      names[k] = spans + k, kinds[k] = XLA_FFI_AttrType_SCALAR, attributes[k] = scalars + k;
    }
    XLA_FFI_CallFrame frame = {};
    frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE, frame.api = &api, frame.ctx = (XLA_FFI_ExecutionContext *)&pool;
    frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
    frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr, (int64_t)arguments.size(), in_types.data(), in_pointers.data()};
    frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr, (int64_t)results.size(), out_types.data(), out_pointers.data()};
    frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr, count, kinds, names, attributes};
    XLA_FFI_Error *error = handler(&frame);
    std::string message = error ? error->message : "";
    delete error;
    return message;
  }
};

std::vector<int64_t> recurrent_shape(const Case &c) {
  const int64_t H = c.hidden, G = c.gates();
  if (c.diagonal) return {G * H};
  if (c.head < H) return {H / c.head, c.head, G * c.head};
  return {c.out, G * H};
}

// Of the largest value. In a layer of few units an array may hold nothing but gradients through saturated gates, which the dtype rounds.
// A gate or cell close to its bound may be clipped in one precision alone. With more units, float32's rounding is at most 1.1e-5 in 20,000 cases,
// most in sums of gradients times large cells (peepholes, diagonal layers); float64 is within 3.3e-14 in 10,000 of them, so that it is rounding alone.
bool has_few_units(const Case &c) { return c.hidden < 8 || c.out < 8; }
double allowed(const Case &c) { return (has_few_units(c) ? 1e-4 : 1.2e-5) * (sizeof(Real) == 8 ? 1e-8 : 1); }

// The arguments of both calls, in their order.
void give(Call &call, const Case &c) {
  const auto S32 = XLA_FFI_DataType_S32, BOOL = XLA_FFI_DataType_PRED;
  const int64_t T = c.time, B = c.rows, F = c.features, H = c.hidden, R = c.out, G = c.gates(), M = c.memory();
  call.in(c.x, FLOAT, {T, B, F}), call.in(c.w_x, FLOAT, {F, G * H}), call.in(c.w_h, FLOAT, recurrent_shape(c));
  call.in(c.b, FLOAT, {G * H}), call.in(c.peephole, FLOAT, {G - 1, H}, !c.peephole.empty());
  call.in(c.projection, FLOAT, {H, R}, !c.projection.empty());
  call.in(c.h_first, FLOAT, {B, R}), call.in(c.c_first, FLOAT, {B, M});
  call.in(c.h_reset, FLOAT, {B, R}, !c.h_reset.empty()), call.in(c.c_reset, FLOAT, {B, M}, !c.h_reset.empty());
  call.in(c.recurrent_mask, FLOAT, {B, R}, !c.recurrent_mask.empty());
  call.in(c.share_h, FLOAT, {1}, !c.share_h.empty()), call.in(c.share_c, FLOAT, {1}, !c.share_c.empty());
  call.in(c.lengths, S32, {B}, !c.lengths.empty()), call.in(c.valid, BOOL, {T, B}, !c.valid.empty());
  call.in(c.reset, BOOL, {T, B}, !c.reset.empty());
  call.in(c.keep_h, BOOL, {T, B, R}, !c.keep_h.empty()), call.in(c.keep_c, BOOL, {T, B, H}, !c.keep_c.empty());
}

// Values and gradients of one case by the kernel.
Outputs by_kernel(const Case &c, Pool &pool) {
  const int64_t T = c.time, B = c.rows, F = c.features, H = c.hidden, R = c.out, G = c.gates(), M = c.memory(), U = UNITS(), P = (H + U - 1) / U;
  const int64_t K = (c.exponential ? 7 : c.clip_gates > 0 ? 6 : 5) * U;
  const bool back = !c.h_reset.empty();
  Outputs o;
  Floats kept;
  Call forward;
  give(forward, c);
  forward.out(o.hs, {T, B, R}), forward.out(o.h_last, {B, R}), forward.out(o.c_last, {B, M}), forward.out(kept, {T, P, B, K});
  std::string error = forward.run(FORWARD, pool, c);
  if (!error.empty()) throw std::runtime_error(error);
  Call backward;
  give(backward, c);
  backward.in(o.hs, FLOAT, {T, B, R}), backward.in(kept, FLOAT, {T, P, B, K});
  backward.in(c.d_hs, FLOAT, {T, B, R}), backward.in(c.d_h_last, FLOAT, {B, R}), backward.in(c.d_c_last, FLOAT, {B, M});
  backward.out(o.d_x, {T, B, F}), backward.out(o.d_w_x, {F, G * H}), backward.out(o.d_w_h, recurrent_shape(c)), backward.out(o.d_b, {G * H});
  backward.out(o.d_peephole, {G - 1, H}, !c.peephole.empty());
  backward.out(o.d_projection, {H, R}, !c.projection.empty());
  backward.out(o.d_h_first, {B, R}), backward.out(o.d_c_first, {B, M});
  backward.out(o.d_h_reset, {B, R}, back), backward.out(o.d_c_reset, {B, M}, back);
  backward.out(o.d_recurrent_mask, {B, R}, !c.recurrent_mask.empty());
  error = backward.run(BACKWARD, pool, c);
  if (!error.empty()) throw std::runtime_error(error);
  return o;
}

// ---- a row's results do not depend on anything but the row

// Some rows of an array (time, rows, size), or of one without time.
template <class T> std::vector<T> pick(const std::vector<T> &all, int64_t time, int64_t rows, const std::vector<int64_t> &which) {
  std::vector<T> some;
  const int64_t size = all.size() / (time * rows);
  for (int64_t t = 0; t < time; t++)
    for (int64_t r : which) some.insert(some.end(), all.begin() + (t * rows + r) * size, all.begin() + (t * rows + r + 1) * size);
  return some;
}

Case rows_of(Case c, const std::vector<int64_t> &which) {
  const int64_t T = c.time, B = c.rows;
  for (Floats *one : {&c.x, &c.d_hs}) *one = pick(*one, T, B, which);
  for (auto *one : {&c.valid, &c.reset, &c.keep_h, &c.keep_c}) *one = pick(*one, T, B, which);
  for (Floats *one : {&c.h_first, &c.c_first, &c.h_reset, &c.c_reset, &c.recurrent_mask, &c.d_h_last, &c.d_c_last}) *one = pick(*one, 1, B, which);
  c.lengths = pick(c.lengths, 1, B, which), c.rows = which.size();
  return c;
}

Outputs rows_of(Outputs o, const Case &c, const std::vector<int64_t> &which) {
  for (Floats *one : {&o.hs, &o.d_x}) *one = pick(*one, c.time, c.rows, which);
  for (Floats *one : {&o.h_last, &o.c_last, &o.d_h_first, &o.d_c_first, &o.d_h_reset, &o.d_c_reset, &o.d_recurrent_mask})
    *one = pick(*one, 1, c.rows, which);
  return o;
}

bool same_bits(const Floats &a, const Floats &b) { return a.size() == b.size() && (a.empty() || !memcmp(a.data(), b.data(), a.size() * sizeof(Real))); }

// Without the gradients of weights, whose sums are over rows.
Outputs of_rows(Outputs o) {
  o.d_w_x.clear(), o.d_w_h.clear(), o.d_b.clear(), o.d_peephole.clear(), o.d_projection.clear();
  return o;
}

bool identical(const Outputs &a, const Outputs &b) {
  bool same = true;
  in_pairs(a, b, [&](const Floats &one, const Floats &other) { same &= same_bits(one, other); });
  return same;
}

// The first and the second part of the steps in memory order, the second from the carry of the first.
bool in_two_chunks(Case c, Pool &pool) {
  if (c.time < 2 || c.reverse || !c.lengths.empty()) return true;
  const Outputs whole = by_kernel(c, pool);
  Case first = c, second = c;
  const int64_t T = c.time, cut = 1 + T / 3, B = c.rows;
  first.time = cut, second.time = T - cut;
  auto split = [&](const auto &all, auto &before, auto &after) {
    const int64_t step = all.size() / T;
    before.assign(all.begin(), all.begin() + cut * step), after.assign(all.begin() + cut * step, all.end());
  };
  split(c.x, first.x, second.x), split(c.d_hs, first.d_hs, second.d_hs), split(c.valid, first.valid, second.valid);
  split(c.reset, first.reset, second.reset), split(c.keep_h, first.keep_h, second.keep_h), split(c.keep_c, first.keep_c, second.keep_c);
  first.d_h_last.assign(B * c.out, 0), first.d_c_last.assign(B * c.memory(), 0);
  const Outputs early = by_kernel(first, pool);
  second.h_first = early.h_last, second.c_first = early.c_last;
  const Outputs late = by_kernel(second, pool);
  first.d_h_last = late.d_h_first, first.d_c_last = late.d_c_first;
  const Outputs start = by_kernel(first, pool);
  Floats hs = early.hs, d_x = start.d_x;
  hs.insert(hs.end(), late.hs.begin(), late.hs.end()), d_x.insert(d_x.end(), late.d_x.begin(), late.d_x.end());
  return same_bits(whole.hs, hs) && same_bits(whole.h_last, late.h_last) && same_bits(whole.c_last, late.c_last) &&
         same_bits(whole.d_x, d_x) && same_bits(whole.d_h_first, start.d_h_first) && same_bits(whole.d_c_first, start.d_c_first);
}

// The name of the law that a case breaks, or null.
const char *broken_law(int seed, Pool &one, Pool &four) {
  const Case c = random_case(seed);
  const Outputs all = by_kernel(c, four);
  if (!identical(all, by_kernel(c, one))) return "other numbers of threads";
  std::mt19937 random(seed);
  for (int64_t size : {1, 2, 3, 7, 40}) {
    std::vector<int64_t> which;
    for (int64_t k = 0; k < size; k++) which.push_back(random() % c.rows);
    if (!identical(of_rows(rows_of(all, c, which)), of_rows(by_kernel(rows_of(c, which), four)))) return "other rows";
  }
  return in_two_chunks(c, four) ? nullptr : "chunks of time";
}

int main(int count, char **words) {
  if (!*VARIANT()) return printf("no variant for this processor\n"), 1;
  auto pool = std::make_unique<Pool>(4);
  if (count == 3 && !strcmp(words[1], "cases")) {
    double worst = 0;
    for (int seed = 0; seed < atoi(words[2]); seed++) {
      const Case c = random_case(seed);
      const double error = largest_error(by_kernel(c, *pool), by_reference(c));
      if (!(error < allowed(c))) return printf("case %d: error %g of the largest value\n", seed, error), 1;
      if (!has_few_units(c)) worst = error > worst ? error : worst;
    }
    printf("%s: %s cases, largest error %.1e of the largest value (eight units and more)\n", VARIANT(), words[2], worst);
    return 0;
  }
  if (count == 3 && !strcmp(words[1], "rows")) {
    Pool one(1);
    for (int seed = 0; seed < atoi(words[2]); seed++)
      if (const char *law = broken_law(seed, one, *pool)) return printf("case %d: a row's results depend on %s\n", seed, law), 1;
    printf("%s: rows, %s cases\n", VARIANT(), words[2]);
    return 0;
  }
  if (count == 2 && !strcmp(words[1], "threads")) {
    std::vector<std::thread> callers;
    int failed = 0;
    auto check = [&](int seed) {
      const Case c = random_case(seed);
      if (!(largest_error(by_kernel(c, *pool), by_reference(c)) < allowed(c))) __atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
    };
    // from threads outside the pool, and from every thread of it
    for (int caller = 0; caller < 8; caller++) callers.emplace_back([&check, caller] { for (int k = 0; k < 20; k++) check(100 * caller + k); });
    for (int k = 0; k < 40; k++) pool->add([&check, k] { check(1000 + k); });
    for (auto &caller : callers) caller.join();
    pool.reset();  // runs what is left
    printf("%s: threads, %d of 200 calls failed\n", VARIANT(), failed);
    return failed != 0;
  }
  return printf("driver cases COUNT, driver rows COUNT, or driver threads\n"), 2;
}
