/* A library that stands in for dlsym, as some tools do, and allocates each time it is asked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

void *dlsym(void *handle, const char *name) {
  static void *(*real)(void *, const char *);
  if (!real) real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  for (int i = 0; i < 5000; i++) {
    void *block = calloc(1, 100);
    __asm__ volatile("" : : "g"(block) : "memory");
    free(block);
  }
  return real ? real(handle, name) : NULL;
}
