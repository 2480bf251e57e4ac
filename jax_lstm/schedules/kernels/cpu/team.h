// Two threads on the same few rows, each with half of the panels, so that each reads its half of the weights from its own cache.
// They meet at every step. The leader waits for no follower that has not come, and goes on without one that keeps it waiting.
#pragma once
#include <sched.h>

struct ForwardRow;

struct Team {
  // written by the leader: how many steps it has opened to the follower, less than zero for no more; and the step that is open
  alignas(64) long opened = 0;
  ForwardRow *const *running;
  long count, t;
  long offers = 0;
  bool dismissed = false;
  // written by the follower: how many of these steps it has done, less than zero before it has come
  alignas(64) long done = -1;

  // looks before the core is offered to others, and such offers of a call before the leader goes on alone: another program has the core
  static const int SPINS = 500, OFFERS = 2;
  static const int CALLS_ALONE = 16;  // that follow a call which went on alone, as the other program is still there
  static inline int calls_alone = 0;

  static void look_again(long looks) {
    if (looks > SPINS) sched_yield();
#ifdef __x86_64__
    else __builtin_ia32_pause();
#endif
  }

  // Whether a call is worth a team now.
  static bool worth_it() {
    if (__atomic_load_n(&calls_alone, __ATOMIC_RELAXED) <= 0) return true;
    __atomic_fetch_sub(&calls_alone, 1, __ATOMIC_RELAXED);
    return false;
  }

  // ---- the leader

  // Whether the follower takes its half of a step; then the leader takes the other, and meets it.
  bool open(ForwardRow *const *rows, long n, long at) {
    if (dismissed || n == 0 || __atomic_load_n(&done, __ATOMIC_ACQUIRE) < 0) return false;
    running = rows, count = n, t = at;
    __atomic_store_n(&opened, opened + 1, __ATOMIC_RELEASE);
    return true;
  }

  void meet() {
    long looks = 0;
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) != opened) look_again(looks++);
    if (looks > SPINS) offers += looks - SPINS;
    if (offers <= OFFERS) return;
    dismiss();
    __atomic_store_n(&calls_alone, CALLS_ALONE, __ATOMIC_RELAXED);
  }

  void dismiss() {
    dismissed = true;
    __atomic_store_n(&opened, -1, __ATOMIC_RELEASE);
  }

  // ---- the follower

  void come() { __atomic_store_n(&done, 0, __ATOMIC_RELEASE); }

  // Whether there is another step.
  bool next() {
    for (long looks = 0;; looks++) {
      const long found = __atomic_load_n(&opened, __ATOMIC_ACQUIRE);
      if (found != done) return found > 0;
      look_again(looks);
    }
  }

  void finish() { __atomic_store_n(&done, done + 1, __ATOMIC_RELEASE); }
};
