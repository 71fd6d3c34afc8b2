// stacks ROUNDS DEPTH: as many different call stacks as possible. A walk down a tree of calls, three ways at each of DEPTH levels
// below thirty plain ones, with an allocation at each level; the way is a new one each round.
#include <stdint.h>
#include <stdlib.h>

static volatile uint64_t sink;

__attribute__((noinline)) static void walk(uint64_t way, int depth) {
  void *block = malloc(24 + depth);
  *(volatile char *)block = 1;
  if (depth != 0) {
    uint64_t rest = way / 3;
    if (way % 3 == 0) walk(rest, depth - 1), sink += 1;
    else if (way % 3 == 1) walk(rest, depth - 1), sink += 2;
    else walk(rest, depth - 1), sink += 3;
  }
  free(block);
}

__attribute__((noinline)) static void plain(uint64_t way, int depth, int more) {
  if (more == 0) walk(way, depth);
  else plain(way, depth, more - 1);
  sink += more;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  uint64_t rounds = strtoull(argv[1], 0, 10);
  for (uint64_t i = 0; i < rounds; i++) plain(i * 0x9E3779B1u, atoi(argv[2]), 30);
  return 0;
}
