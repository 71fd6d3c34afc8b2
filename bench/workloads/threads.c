// threads COUNT PAIRS: threads that replace the blocks of one shared table, so that most blocks die in another thread than
// the one that asked for them.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static _Atomic(void *) table[4096];
static uint64_t pairs;

static void *work(void *number) {
  uint64_t state = 0x9E3779B97F4A7C15ull * ((uintptr_t)number + 1);
  for (uint64_t i = 0; i < pairs; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    void *block = malloc(16 + (state >> 40) % 240);
    *(volatile char *)block = 1;
    free(atomic_exchange(&table[state % 4096], block));
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int count = atoi(argv[1]);
  pairs = strtoull(argv[2], 0, 10) / count;
  pthread_t threads[count];
  for (int i = 0; i < count; i++) pthread_create(&threads[i], 0, work, (void *)(uintptr_t)i);
  for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
  for (int i = 0; i < 4096; i++) free(table[i]);
  return 0;
}
