// Two threads on the same few rows, each with half of the units, so that each reads its half of the weights from its own cache.
// They meet at every step. The leader waits for no follower that has not come, and goes on without one that keeps it waiting.
#pragma once
#include <sched.h>
#include <time.h>

// A thread may wake on the core of the one that it is to work beside, while others are idle, and would only take turns with it. If it
// sleeps a little it wakes on an idle one: so until `unneeded` says that it is too late.
template <class Unneeded> void leave_core_of(const int &core, Unneeded unneeded) {
  const timespec nap = {0, 20000};
  while (__atomic_load_n(&core, __ATOMIC_RELAXED) == sched_getcpu() && !unneeded()) nanosleep(&nap, nullptr);
}

struct Team {
  // written by the leader: how many steps it has opened to the follower, less than zero for no more; and what the follower does in the
  // one that is open
  alignas(64) long opened = 0;
  void (*half)(const void *step);
  const void *step;
  int core = -1;  // that the leader runs on while it is alone
  long waited = 0;  // nanoseconds of this call, beyond the looks at each step
  bool dismissed = false;
  // written by the follower: how many of these steps it has done, less than zero before it has come
  alignas(64) long done = -1;

  // looks before the core is offered to others, and nanoseconds of a call after which the leader goes on alone: longer than a follower
  // takes to read its weights from memory, shorter than another program keeps the core
  static const int SPINS = 500, PATIENCE = 300000;
  // calls that go on alone after one in which the leader lost patience, as the other program is probably still there: first one, then
  // twice as many each time
  static const int MOST_ALONE = 16;
  static inline int alone = 0, alone_next = 1;

  static void look_again(long looks) {
    if (looks > SPINS) sched_yield();
#ifdef __x86_64__
    else __builtin_ia32_pause();
#endif
  }

  static long now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000l + time.tv_nsec;
  }

  // Whether a call is worth a team now.
  static bool worth_it() {
    if (__atomic_load_n(&alone, __ATOMIC_RELAXED) <= 0) return true;
    __atomic_fetch_sub(&alone, 1, __ATOMIC_RELAXED);
    return false;
  }

  // ---- the leader

  // Whether the follower takes its half of a step; then the leader takes the other, and meets it.
  bool open(void (*its_half)(const void *), const void *its_step) {
    if (dismissed) return false;
    if (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < 0) {
      __atomic_store_n(&core, sched_getcpu(), __ATOMIC_RELAXED);
      return false;
    }
    half = its_half, step = its_step;
    __atomic_store_n(&opened, opened + 1, __ATOMIC_RELEASE);
    return true;
  }

  void meet() {
    long looks = 0, begin = 0;
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) != opened) {
      if (looks == SPINS) begin = now();
      look_again(looks++);
    }
    if (looks > SPINS) waited += now() - begin;
    if (waited <= PATIENCE) return;
    const int calls = __atomic_load_n(&alone_next, __ATOMIC_RELAXED);
    __atomic_store_n(&alone, calls, __ATOMIC_RELAXED);
    __atomic_store_n(&alone_next, calls < MOST_ALONE ? 2 * calls : calls, __ATOMIC_RELAXED);
    dismiss();
  }

  void dismiss() {
    dismissed = true;
    __atomic_store_n(&opened, -1, __ATOMIC_RELEASE);
  }

  // After the last step.
  void end() {
    if (dismissed) return;
    __atomic_store_n(&alone_next, 1, __ATOMIC_RELAXED);
    dismiss();
  }

  // ---- the follower

  void follow() {
    leave_core_of(core, [this] { return __atomic_load_n(&opened, __ATOMIC_ACQUIRE) < 0; });
    __atomic_store_n(&done, 0, __ATOMIC_RELEASE);
    for (long looks = 0;; looks++) {
      const long found = __atomic_load_n(&opened, __ATOMIC_ACQUIRE);
      if (found < 0) return;
      if (found == done) {
        look_again(looks);
        continue;
      }
      half(step);
      __atomic_store_n(&done, found, __ATOMIC_RELEASE);
      looks = 0;
    }
  }
};
