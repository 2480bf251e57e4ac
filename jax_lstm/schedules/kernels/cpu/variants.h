// The builds of the loops that this library holds, and the one that this processor runs.
#pragma once
#include "kernel.h"

#if defined(__x86_64__)
#include <cpuid.h>
extern "C" const Kernels kernels_avx512, kernels_avx2;
#elif defined(__aarch64__)
extern "C" const Kernels kernels_neon;
#endif

namespace {

#if defined(__x86_64__)
// By the instructions themselves: what zig links for __builtin_cpu_supports says no to everything.
bool processor_has(bool avx512) {
  const unsigned osxsave_fma = 1u << 27 | 1u << 12, avx2 = 1u << 5;
  const unsigned f_dq_cd_bw_vl = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
  const unsigned saved = avx512 ? 0xe6 : 0x06;  // the registers that the system saves
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & osxsave_fma) != osxsave_fma) return false;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & saved) != saved || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & avx2)) return false;
  return !avx512 || (b & f_dq_cd_bw_vl) == f_dq_cd_bw_vl;
}
#endif

// Null where the processor runs none of them.
const Kernels *find_kernels() {
#if defined(__x86_64__)
  return processor_has(true) ? &kernels_avx512 : processor_has(false) ? &kernels_avx2 : nullptr;
#elif defined(__aarch64__)
  return &kernels_neon;
#else
  return nullptr;
#endif
}

const Kernels *const kernels = find_kernels();

}  // namespace
