// The kernel without Python and JAX: its two calls through a stand-in for XLA, against a loop in double precision.
//
//     driver cases COUNT     random cases, values and gradients, of the instruction set that the processor has
//     driver threads         calls from many threads at once, on a pool that all of them share
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "reference.h"
#include "xla/ffi/api/c_api.h"

extern "C" XLA_FFI_Error *jax_lstm_forward(XLA_FFI_CallFrame *), *jax_lstm_backward(XLA_FFI_CallFrame *);
extern "C" const char *jax_lstm_variant();
extern "C" long jax_lstm_units();

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
    add(results, XLA_FFI_DataType_F32, data.data(), shape);
  }
  std::string run(XLA_FFI_Handler *handler, Pool &pool, bool reverse) {
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
    int32_t flag = reverse;
    XLA_FFI_Scalar scalar = {XLA_FFI_DataType_S32, &flag};
    XLA_FFI_ByteSpan name = {"reverse", 7}, *names = &name;
    XLA_FFI_AttrType kind = XLA_FFI_AttrType_SCALAR;
    void *attribute = &scalar;
    XLA_FFI_CallFrame frame = {};
    frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE, frame.api = &api, frame.ctx = (XLA_FFI_ExecutionContext *)&pool;
    frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
    frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr, (int64_t)arguments.size(), in_types.data(), in_pointers.data()};
    frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr, (int64_t)results.size(), out_types.data(), out_pointers.data()};
    frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr, 1, &kind, &names, &attribute};
    XLA_FFI_Error *error = handler(&frame);
    std::string message = error ? error->message : "";
    delete error;
    return message;
  }
};

// Of the largest value. In a layer of few units an array may hold nothing but gradients through saturated gates, which float32 rounds.
double allowed(const Case &c) { return c.hidden < 8 ? 1e-4 : 4e-6; }

// Values and gradients of one case by the kernel.
Outputs by_kernel(const Case &c, Pool &pool) {
  const auto F32 = XLA_FFI_DataType_F32, S32 = XLA_FFI_DataType_S32, BOOL = XLA_FFI_DataType_PRED;
  const int64_t T = c.time, B = c.rows, F = c.features, H = c.hidden, U = jax_lstm_units(), P = (H + U - 1) / U;
  const bool back = !c.h_reset.empty(), masked = !c.recurrent_mask.empty();
  Outputs o;
  Floats kept;
  Call forward;
  forward.in(c.x, F32, {T, B, F}), forward.in(c.w_x, F32, {F, 4 * H}), forward.in(c.w_h, F32, {H, 4 * H});
  forward.in(c.b, F32, {4 * H}), forward.in(c.h_first, F32, {B, H}), forward.in(c.c_first, F32, {B, H});
  forward.in(c.lengths, S32, {B}, !c.lengths.empty()), forward.in(c.valid, BOOL, {T, B}, !c.valid.empty());
  forward.in(c.reset, BOOL, {T, B}, !c.reset.empty());
  forward.in(c.h_reset, F32, {B, H}, back), forward.in(c.c_reset, F32, {B, H}, back);
  forward.in(c.recurrent_mask, F32, {B, H}, masked);
  forward.out(o.hs, {T, B, H}), forward.out(o.h_last, {B, H}), forward.out(o.c_last, {B, H}), forward.out(kept, {T, P, B, 5 * U});
  std::string error = forward.run(jax_lstm_forward, pool, c.reverse);
  if (!error.empty()) throw std::runtime_error(error);
  Call backward;
  backward.in(c.x, F32, {T, B, F}), backward.in(c.w_x, F32, {F, 4 * H}), backward.in(c.w_h, F32, {H, 4 * H});
  backward.in(c.h_first, F32, {B, H});
  backward.in(c.lengths, S32, {B}, !c.lengths.empty()), backward.in(c.valid, BOOL, {T, B}, !c.valid.empty());
  backward.in(c.reset, BOOL, {T, B}, !c.reset.empty());
  backward.in(c.h_reset, F32, {B, H}, back), backward.in(c.recurrent_mask, F32, {B, H}, masked);
  backward.in(o.hs, F32, {T, B, H}), backward.in(kept, F32, {T, P, B, 5 * U});
  backward.in(c.d_hs, F32, {T, B, H}), backward.in(c.d_h_last, F32, {B, H}), backward.in(c.d_c_last, F32, {B, H});
  backward.out(o.d_x, {T, B, F}), backward.out(o.d_w_x, {F, 4 * H}), backward.out(o.d_w_h, {H, 4 * H}), backward.out(o.d_b, {4 * H});
  backward.out(o.d_h_first, {B, H}), backward.out(o.d_c_first, {B, H});
  backward.out(o.d_h_reset, {B, H}, back), backward.out(o.d_c_reset, {B, H}, back), backward.out(o.d_recurrent_mask, {B, H}, masked);
  error = backward.run(jax_lstm_backward, pool, c.reverse);
  if (!error.empty()) throw std::runtime_error(error);
  return o;
}

int main(int count, char **words) {
  if (!*jax_lstm_variant()) return printf("no variant for this processor\n"), 1;
  auto pool = std::make_unique<Pool>(4);
  if (count == 3 && !strcmp(words[1], "cases")) {
    double worst = 0;
    for (int seed = 0; seed < atoi(words[2]); seed++) {
      const Case c = random_case(seed);
      const double error = largest_error(by_kernel(c, *pool), by_reference(c));
      if (!(error < allowed(c))) return printf("case %d: error %g of the largest value\n", seed, error), 1;
      if (c.hidden >= 8) worst = error > worst ? error : worst;
    }
    printf("%s: %s cases, largest error %.1e of the largest value (eight units and more)\n", jax_lstm_variant(), words[2], worst);
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
    printf("%s: threads, %d of 200 calls failed\n", jax_lstm_variant(), failed);
    return failed != 0;
  }
  return printf("driver cases COUNT, or driver threads\n"), 2;
}
