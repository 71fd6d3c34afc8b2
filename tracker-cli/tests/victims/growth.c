/* Takes memory in a region called warmup; then works for a while, and keeps what it takes if it is told to. */
#include "../../../regions/c/memtrack.h"
#include <stdlib.h>
#include <unistd.h>

static void work(int keep) {
  for (int step = 0; step < 30; step++) {
    void *block = malloc(100000);
    if (!keep) free(block);
    usleep(10000);
  }
}

int main(int argc, char **argv) {
  (void)argv;
  uint64_t warmup = memtrack_begin("warmup");
  work(1);
  memtrack_end(warmup);
  work(argc > 1);
  return 0;
}
