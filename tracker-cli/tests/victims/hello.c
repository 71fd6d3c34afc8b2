/* For kinds of programs that the library cannot enter. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  char *block = malloc(100);
  snprintf(block, 100, "hello %d %s %d\n", argc, argc > 1 ? argv[1] : "", getenv("LD_PRELOAD") != NULL);
  fputs(block, stdout);
  free(block);
  return 3;
}
