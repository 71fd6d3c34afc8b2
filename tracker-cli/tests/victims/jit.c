/* Code made at run time that calls malloc, named by a perf map: as argv[1] says. argv[2] is the thread's name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *volatile kept;
__attribute__((noinline)) static void take(void) { kept = malloc(4711); }

int main(int argc, char **argv) {
  unsigned char code[] = {0x55, 0x48, 0x89, 0xe5,             /* push rbp; mov rbp, rsp */
                          0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, /* mov rax, take */
                          0xff, 0xd0, 0x5d, 0xc3};            /* call rax; pop rbp; ret */
  void (*target)(void) = take;
  memcpy(code + 6, &target, sizeof target);
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (argc < 2 || page == MAP_FAILED) return 1;
  memcpy(page, code, sizeof code);
  char name[64];
  snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
  FILE *map = fopen(name, "w");
  if (!map) return 2;
  fprintf(map, "%lx 1000 %s\n", (unsigned long)page, argv[1]);
  fclose(map);
  if (argc > 2) prctl(PR_SET_NAME, argv[2]);
  ((void (*)(void))page)();
  return 0;
}
