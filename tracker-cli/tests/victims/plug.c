/* A library that allocates; built twice, with PLUG=a and PLUG=b, of different sizes. */
#include <stdlib.h>
#define JOIN(a, b) a##b
#define NAME(x) JOIN(plug_, x)
#ifdef PADDING
char padding[PADDING] = {1};
#endif
__attribute__((noinline)) void *NAME(PLUG)(void) {
  void *p = malloc(SIZE);
  __asm__ volatile("" : : "g"(p) : "memory");
  return p;
}
