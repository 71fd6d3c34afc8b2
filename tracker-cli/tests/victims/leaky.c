/* Leaks of three kinds, one of which it says itself is known. */
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

const char *__lsan_default_suppressions(void) { return "leak:carried_by_program\n"; }

static void *volatile last;

NOINLINE static void carried_by_program(void) {
  last = malloc(10);
}

NOINLINE static void cache(void) {
  last = malloc(32);
}

NOINLINE static void *lose(void) {
  void *block = malloc(100);
  last = block;
  return block;
}

int main(void) {
  for (int i = 0; i < 5; i++) carried_by_program();
  for (int i = 0; i < 2; i++) cache();
  for (int i = 0; i < 100; i++) {
    void *block = lose();
    if (i >= 3) free(block);
  }
  return 0;
}
