// Pieces of work on XLA's own thread pool.
#pragma once
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "team.h"
#include "xla/ffi/api/c_api.h"

namespace {

// Independent pieces of work; they start when all pieces of the previous phase are done.
struct Phase {
  void (*run)(void *, long);
  long pieces;
};

const int MOST_PHASES = 3;

// Threads take pieces in order of their number, which counts through all phases. `holders` threads still use the job.
struct Job {
  void *argument;
  Phase phases[MOST_PHASES];
  int pieces, next, done, holders, core;
};

// Flushes denormal numbers to zero within its scope, as XLA's own programs do, so that a result is the same on every thread.
struct WithoutDenormals {
#if defined(__x86_64__)
  const unsigned before = __builtin_ia32_stmxcsr();
  WithoutDenormals() { __builtin_ia32_ldmxcsr(before | 0x8040); }
  ~WithoutDenormals() { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
  uint64_t before;
  WithoutDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" ::"r"(before | 1 << 24));
  }
  ~WithoutDenormals() { __asm__ volatile("msr fpcr, %0" ::"r"(before)); }
#endif
};

const int SPINS = 2000;  // iterations of the waiting loop before the thread sleeps

// Waits until `pieces` pieces are done. All of them must have been started.
void wait(Job *job, int pieces) {
  for (int spin = 0;; spin++) {
    const int done = __atomic_load_n(&job->done, __ATOMIC_ACQUIRE);
    if (done >= pieces) return;
    if (spin > SPINS) syscall(SYS_futex, &job->done, FUTEX_WAIT_PRIVATE, done, nullptr, nullptr, 0);
  }
}

void work(Job *job) {
  const WithoutDenormals mode;
  for (;;) {
    const int number = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
    if (number >= job->pieces) return;
    const Phase *phase = job->phases;
    int first = 0;
    for (; number >= first + phase->pieces; phase++) first += phase->pieces;
    wait(job, first);
    phase->run(job->argument, number - first);
    if (__atomic_add_fetch(&job->done, 1, __ATOMIC_RELEASE) == first + phase->pieces)
      syscall(SYS_futex, &job->done, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
}

void leave(Job *job) {
  if (__atomic_sub_fetch(&job->holders, 1, __ATOMIC_ACQ_REL) == 0) free(job);
}

void help(void *argument) {
  Job *job = (Job *)argument;
  leave_core_of(job->core, [job] { return __atomic_load_n(&job->next, __ATOMIC_RELAXED) >= job->pieces; });
  work(job);
  leave(job);
}

bool dropped(XLA_FFI_CallFrame *frame, XLA_FFI_Error *error) {
  if (!error) return false;
  XLA_FFI_Error_Destroy_Args destroy = {XLA_FFI_Error_Destroy_Args_STRUCT_SIZE, nullptr, error};
  frame->api->XLA_FFI_Error_Destroy(&destroy);
  return true;
}

long threads(XLA_FFI_CallFrame *frame) {
  int64_t count = 1;
  XLA_FFI_ThreadPool_NumThreads_Args query = {XLA_FFI_ThreadPool_NumThreads_Args_STRUCT_SIZE, nullptr, frame->ctx, &count};
  return dropped(frame, frame->api->XLA_FFI_ThreadPool_NumThreads(&query)) || count < 1 ? 1 : count;
}

// Calls run(argument, piece) for every piece of every phase. The calling thread takes pieces too and never waits for a piece that no
// thread has started, so concurrent calls from all threads of the pool cannot deadlock. A helper stays for all phases, because waking a
// sleeping thread takes long.
void in_phases(XLA_FFI_CallFrame *frame, void *argument, const Phase (&phases)[MOST_PHASES]) {
  long pieces = 0, most = 0;
  for (const Phase &phase : phases) pieces += phase.pieces, most = phase.pieces > most ? phase.pieces : most;
  const long helpers = (most < threads(frame) ? most : threads(frame)) - 1;
  Job *job = helpers > 0 ? (Job *)malloc(sizeof(Job)) : nullptr;
  if (!job) {
    const WithoutDenormals mode;
    for (const Phase &phase : phases)
      for (long piece = 0; piece < phase.pieces; piece++) phase.run(argument, piece);
    return;
  }
  *job = {argument, {phases[0], phases[1], phases[2]}, (int)pieces, 0, 0, 1, sched_getcpu()};
  for (long k = 0; k < helpers; k++) {
    __atomic_fetch_add(&job->holders, 1, __ATOMIC_RELAXED);
    XLA_FFI_ThreadPool_Schedule_Args task = {XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE, nullptr, frame->ctx, help, job};
    if (dropped(frame, frame->api->XLA_FFI_ThreadPool_Schedule(&task))) leave(job);
  }
  work(job);
  wait(job, job->pieces);
  leave(job);
}

}  // namespace
