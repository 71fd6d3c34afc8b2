// grow BLOCKS: builds a table of so many live blocks, one in four replaced meanwhile, and frees half of them at the end.
#include <stdint.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  uint64_t count = strtoull(argv[1], 0, 10), state = 0x9E3779B97F4A7C15ull;
  char **table = calloc(count, sizeof *table);
  for (uint64_t i = 0; i < count; i++) {
    table[i] = malloc(32);
    table[i][0] = 1;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if (i % 4 == 0) {
      char **place = &table[state % (i + 1)];
      free(*place);
      *place = malloc(32);
      (*place)[0] = 1;
    }
  }
  for (uint64_t i = 0; i < count; i += 2) free(table[i]);
  return 0;
}
