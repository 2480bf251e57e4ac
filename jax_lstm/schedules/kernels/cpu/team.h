// Two threads, a leader and a follower, work on the same few rows. Each computes half of the units, so that its half of the weights stays
// in its core's cache, and they synchronize at every step. The leader works alone until the follower arrives, and again once the follower
// has kept it waiting for too long.
#pragma once
#include <sched.h>
#include <time.h>

// A woken thread may share a core with the thread it helps while other cores are idle. After a short sleep the system moves it to an idle
// core. So this sleeps until the thread runs on another core than `core`, or until `unneeded()` is true.
template <class Unneeded> void leave_core_of(const int &core, Unneeded unneeded) {
  const timespec nap = {0, 20000};
  while (__atomic_load_n(&core, __ATOMIC_RELAXED) == sched_getcpu() && !unneeded()) nanosleep(&nap, nullptr);
}

struct Team {
  // written by the leader: the number of steps opened to the follower, negative after the last one; and the follower's work in the step
  // that is open
  alignas(64) long opened = 0;
  void (*half)(const void *step);
  const void *step;
  int core = -1;  // the leader's, updated until the follower arrives
  long waited = 0;  // nanoseconds that the leader waited in this call, without the first SPINS iterations of each step
  bool dismissed = false;
  // written by the follower: the number of steps it has done, negative before it arrives
  alignas(64) long done = -1;

  // SPINS: iterations of a waiting loop before the thread yields its core. PATIENCE: nanoseconds of waiting in a call after which the
  // leader continues alone; longer than a follower takes to read its weights from memory, shorter than another program's time slice
  static const int SPINS = 500, PATIENCE = 300000;
  // After a call in which the leader lost patience, the other program is probably still running: the next `alone` calls have no team,
  // first one call, then twice the number each time, at most MOST_ALONE.
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

  // Whether this call should use a team; counts down the calls that should not.
  static bool worth_it() {
    if (__atomic_load_n(&alone, __ATOMIC_RELAXED) <= 0) return true;
    __atomic_fetch_sub(&alone, 1, __ATOMIC_RELAXED);
    return false;
  }

  // ---- the leader

  // Opens a step to the follower. True if the follower takes `its_half`: then the leader computes the other half and calls `meet`.
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

  // Waits for the follower's half of the step.
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

  // The follower returns, and no further step is opened to it.
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
