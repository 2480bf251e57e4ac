// The builds of the loops that this library holds, and the one that this processor runs.
#pragma once
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

// The name of what there is for each dtype: name_float, name_double
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define OF_REAL(name) JOIN(name, REAL)

#if defined(__x86_64__)
#include <cpuid.h>
extern "C" const Kernels OF_REAL(kernels_avx512), OF_REAL(kernels_avx2);
#elif defined(__aarch64__)
extern "C" const Kernels OF_REAL(kernels_neon);
#endif

namespace {

#if defined(__x86_64__)
// Whether the processor has all that a variant's compiler options allow, and the system saves its registers. By the instructions
// themselves: what zig links for __builtin_cpu_supports says no to everything.
bool processor_has(bool avx512) {
  const unsigned fma_movbe_popcnt_osxsave_avx_f16c = 1u << 12 | 1u << 22 | 1u << 23 | 1u << 27 | 1u << 28 | 1u << 29;
  const unsigned bmi1_avx2_bmi2 = 1u << 3 | 1u << 5 | 1u << 8, lzcnt = 1u << 5;
  const unsigned f_dq_cd_bw_vl = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
  const unsigned wanted = bmi1_avx2_bmi2 | (avx512 ? f_dq_cd_bw_vl : 0);
  const unsigned saved = avx512 ? 0xe6 : 0x06;  // of the vectors: SSE, AVX; masks, upper halves, upper registers
  unsigned a, b, c, d, low, high;
  auto all = [](unsigned flags, unsigned of) { return (flags & of) == of; };
  if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, fma_movbe_popcnt_osxsave_avx_f16c)) return false;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (!all(low, saved) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !all(b, wanted)) return false;
  return __get_cpuid(0x80000001, &a, &b, &c, &d) && all(c, lzcnt);
}
#endif

// Whether the environment variable allows it: not given, empty or 1 leave the choice to the processor.
bool asked_for(const Kernels &one) {
  const char *value = getenv("JAX_LSTM_NATIVE");
  return !value || !*value || !strcmp(value, "1") || !strcmp(value, one.name);
}

// The widest that the processor runs and that is asked for; null where there is none.
const Kernels *find_kernels() {
#if defined(__x86_64__)
  if (asked_for(OF_REAL(kernels_avx512)) && processor_has(true)) return &OF_REAL(kernels_avx512);
  return asked_for(OF_REAL(kernels_avx2)) && processor_has(false) ? &OF_REAL(kernels_avx2) : nullptr;
#elif defined(__aarch64__)
  return asked_for(OF_REAL(kernels_neon)) ? &OF_REAL(kernels_neon) : nullptr;
#else
  return nullptr;
#endif
}

const Kernels *const kernels = find_kernels();

}  // namespace
