/* A library of the program's own in front of the C library's allocator: it fills what it hands out. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

void *malloc(size_t size) {
  static void *(*next)(size_t);
  if (!next) next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
  void *block = next(size);
  return block ? memset(block, 0xa5, size) : block;
}
void free(void *block) {
  static void (*next)(void *);
  if (!next) next = (void (*)(void *))dlsym(RTLD_NEXT, "free");
  next(block);
}
