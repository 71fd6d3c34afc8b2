/* churn PAGE [END]: four threads allocate and free for ever, and count in a page that outlives them. Ends as END says, after
 * some milliseconds; without it, by whoever kills it. */
#include "hazards.h"

struct counter {
  volatile uint64_t tid, allocations, frees, pad[5];
};
static struct counter *counters;

static void *worker(void *argument) {
  struct counter *counter = argument;
  counter->tid = gettid();
  for (unsigned i = 0;; i++) {
    void *p = malloc(16 + i % 64);
    KEEP(p);
    counter->allocations++;
    free(p);
    counter->frees++;
  }
}

/* Ends the process when its first thread has left it. */
static void *killer(void *unused) {
  char path[64], line[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
  for (int left = 0; !left;) {
    int fd = open(path, O_RDONLY), len = read(fd, line, sizeof line - 1);
    close(fd);
    left = len > 0 && (line[len] = 0, strstr(line, ") Z"));
  }
  kill(getpid(), SIGKILL);
  return unused;
}

int main(int argc, char **argv) {
  int fd = open(argv[1], O_RDWR);
  counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  must(counters != MAP_FAILED, "mmap");
  close(fd);
  for (int i = 0; i < 4; i++) start(worker, &counters[i], 0);
  for (int i = 0; i < 4; i++)
    while (!counters[i].frees) sched_yield();
  counters[4].tid = getpid();
  if (argc < 3) pause();
  usleep(3000);
  if (!strcmp(argv[2], "exit")) exit(3);
  if (!strcmp(argv[2], "_exit")) _exit(4);
  if (!strcmp(argv[2], "abort")) prctl(PR_SET_DUMPABLE, 0), abort();
  if (!strcmp(argv[2], "exec")) execl("/bin/sh", "sh", "-c", "exit 5", NULL);
  if (!strcmp(argv[2], "quick_exit")) quick_exit(6);
  if (!strcmp(argv[2], "raise")) raise(SIGTERM);
  if (!strcmp(argv[2], "fault")) prctl(PR_SET_DUMPABLE, 0), *(volatile int *)8 = 1;
  if (!strcmp(argv[2], "leave")) start(killer, NULL, 0), pthread_exit(NULL);
  return 9;
}
