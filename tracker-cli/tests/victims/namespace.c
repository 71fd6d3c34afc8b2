/* Loads the library argv[1] into a namespace of its own, where it allocates. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

int main(int argc, char **argv) {
  void *library = dlmopen(LM_ID_NEWLM, argc > 1 ? argv[1] : "", RTLD_NOW);
  void *(*plug)(void) = library ? (void *(*)(void))dlsym(library, "plug_a") : NULL;
  return plug && plug() ? 0 : 1;
}
