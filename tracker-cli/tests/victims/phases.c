/* phases PAIRS: for every line of input, allocates and frees PAIRS blocks and says so. Nothing else allocates. */
#include "hazards.h"

int main(int argc, char **argv) {
  long pairs = atol(argv[1]);
  char byte;
  say("ready\n");
  while (read(0, &byte, 1) == 1) {
    for (long i = 0; i < pairs; i++) {
      void *p = malloc(16 + i % 512);
      KEEP(p);
      free(p);
    }
    say("phase\n");
  }
  return 7;
}
