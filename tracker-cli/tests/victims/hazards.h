/* What the hazard victims share: allocations that no compiler removes, and counters that say what must be recorded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, noipa))
#define KEEP(x) __asm__ volatile("" : : "g"(x) : "memory")

/* One line of the file `facts`: in this process, FUNCTION was in the stack of so many allocations, and of so many that
 * were never freed. Not part of what must be the same in both runs: counters may depend on the machine's mood. */
static inline void expect(const char *function, long allocations, long leaked) {
  char line[256];
  int len = snprintf(line, sizeof line, "%d %s %ld %ld\n", (int)getpid(), function, allocations, leaked);
  int fd = open("facts", O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (fd < 0 || write(fd, line, len) != len) _exit(90);
  close(fd);
}

/* Without stdio's buffer, which would be one more allocation. */
static inline void say(const char *text) {
  if (write(1, text, strlen(text)) < 0) _exit(91);
}
static inline void say_number(const char *what, long number) {
  char line[128];
  snprintf(line, sizeof line, "%s %ld\n", what, number);
  say(line);
}
/* Ends the process if a step that must work does not. */
static inline void must(int holds, const char *what) {
  if (holds) return;
  say(what);
  say(" failed\n");
  _exit(92);
}

/* `count` blocks in FUNCTION, all but `kept` of them freed. */
#define TAKER(function)                                                                                                \
  NOINLINE static void function(long count, long kept) {                                                               \
    for (long i = 0; i < count; i++) {                                                                                 \
      void *p = malloc(24 + i % 100);                                                                                  \
      KEEP(p);                                                                                                         \
      if (i >= kept) free(p);                                                                                          \
    }                                                                                                                  \
  }

static inline pthread_t start(void *(*work)(void *), void *argument, size_t stack) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  if (stack) pthread_attr_setstacksize(&attributes, stack);
  must(pthread_create(&thread, &attributes, work, argument) == 0, "pthread_create");
  pthread_attr_destroy(&attributes);
  return thread;
}

/* Of the libraries. */
static const char *folder;

#define CASE(name) {#name, name}
struct named_case {
  const char *name;
  void (*run)(void);
};

static inline int wait_for(pid_t child) {
  int status;
  must(child > 0, "fork");
  while (waitpid(child, &status, 0) < 0) must(errno == EINTR, "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
