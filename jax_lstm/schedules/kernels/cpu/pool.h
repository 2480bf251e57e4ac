// Pieces of work on XLA's own thread pool.
#pragma once
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

namespace {

struct Job {
  void (*run)(void *, long);
  void *argument;
  long pieces, next, done, holders;
};

void work(Job *job) {
  for (;;) {
    const long piece = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
    if (piece >= job->pieces) return;
    job->run(job->argument, piece);
    __atomic_fetch_add(&job->done, 1, __ATOMIC_RELEASE);
  }
}

void leave(Job *job) {
  if (__atomic_sub_fetch(&job->holders, 1, __ATOMIC_ACQ_REL) == 0) free(job);
}

void help(void *job) {
  work((Job *)job);
  leave((Job *)job);
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

// run(argument, piece) for every piece. The calling thread takes pieces too and waits for none that nobody has begun, so the calls of
// every thread of the pool at once get done.
void in_pieces(XLA_FFI_CallFrame *frame, long pieces, void (*run)(void *, long), void *argument) {
  const long helpers = pieces < threads(frame) ? pieces - 1 : threads(frame) - 1;
  Job *job = helpers > 0 ? (Job *)malloc(sizeof(Job)) : nullptr;
  if (!job) {
    for (long piece = 0; piece < pieces; piece++) run(argument, piece);
    return;
  }
  *job = {run, argument, pieces, 0, 0, 1};
  for (long k = 0; k < helpers; k++) {
    __atomic_fetch_add(&job->holders, 1, __ATOMIC_RELAXED);
    XLA_FFI_ThreadPool_Schedule_Args task = {XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE, nullptr, frame->ctx, help, job};
    if (dropped(frame, frame->api->XLA_FFI_ThreadPool_Schedule(&task))) leave(job);
  }
  work(job);
  for (long k = 0; __atomic_load_n(&job->done, __ATOMIC_ACQUIRE) < pieces; k++)
    if (k > 2000) sched_yield();
  leave(job);
}

}  // namespace
