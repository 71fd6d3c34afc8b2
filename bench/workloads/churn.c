// churn PAIRS DEPTH ROUTES: malloc and free of small blocks, one thread. Four allocations at the end of a chain of DEPTH
// calls, then another chain: each call is made by one of two functions, by the bits of a route number below ROUTES.
// 1024 blocks live; which one is replaced looks random.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *live[1024];
static uint64_t random_state = 0x9E3779B97F4A7C15ull;
static volatile uint64_t sink;

static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

__attribute__((noinline)) static void replace(void) {
  for (int i = 0; i < 4; i++) {
    uint64_t r = next_random();
    void **place = &live[r % 1024];
    free(*place);
    *place = malloc(16 + (r >> 20) % 31 * ((r >> 30) % 16));
    *(volatile char *)*place = (char)r;
  }
}

__attribute__((noinline)) static void right(uint64_t route, int depth);
__attribute__((noinline)) static void left(uint64_t route, int depth) {
  uint64_t rest = route >> 1 | route << 63;
  if (depth == 0) replace();
  else if (route & 1) left(rest, depth - 1);
  else right(rest, depth - 1);
  sink += depth;
}
__attribute__((noinline)) static void right(uint64_t route, int depth) {
  uint64_t rest = route >> 1 | route << 63;
  if (depth == 0) replace();
  else if (route & 1) left(rest, depth - 1);
  else right(rest, depth - 1);
  sink += depth + 1;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  uint64_t pairs = strtoull(argv[1], 0, 10), routes = strtoull(argv[3], 0, 10);
  int depth = atoi(argv[2]);
  for (uint64_t i = 0; i < pairs / 4; i++) left(next_random() % routes * 0x9E3779B97F4A7C15ull, depth);
  for (int i = 0; i < 1024; i++) free(live[i]);
  return 0;
}
