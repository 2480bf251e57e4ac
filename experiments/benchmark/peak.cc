// Multiplies and adds as fast as a core can, out of registers: for the share of the peak. Built and called by timing.py.

#if defined(__AVX512F__)
const int BYTES = 64;
#elif defined(__AVX__)
const int BYTES = 32;
#else
const int BYTES = 16;
#endif
typedef float Vector __attribute__((vector_size(BYTES)));
const int CHAINS = 12;  // sums that do not wait for each other
const int UNITS = BYTES / sizeof(float);

extern "C" long multiply_adds() { return CHAINS * UNITS; }  // of one time

extern "C" float multiply_add(long times) {
  Vector sum[CHAINS], factor = Vector() + 1.0000001f, term = Vector() + 1e-9f;
#pragma GCC unroll 16
  for (int i = 0; i < CHAINS; i++) sum[i] = Vector() + (float)i;
  for (long k = 0; k < times; k++) {
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + term;
  }
#pragma GCC unroll 16
  for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];
  return sum[0][0];
}
