// Twenty threads that allocate while large mappings are refused from the moment the first has begun: places LIMIT COUNT FILE.
// What has a reserved look and is longer than LIMIT bytes fails; how often that was asked for goes into FILE.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

enum { THREADS = 20 };
static pthread_barrier_t together;
static volatile int refused;

static void refuse(int signal, siginfo_t *info, void *context) {
  __sync_fetch_and_add(&refused, 1);
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -ENOMEM;
}

// Not through the C library: a tracker may look at who asks for a sandbox.
static long call(long number, long a, long b, long c) {
  long result;
  register long r10 __asm__("r10") = 0;
  register long r8 __asm__("r8") = 0;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}

#define ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))

static void limit_mappings(unsigned limit) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 6),
      ARGUMENT(2),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_READ | PROT_WRITE, 0, 4),
      ARGUMENT(3),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_NORESERVE, 0, 2),
      ARGUMENT(1),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, limit, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  struct sigaction action = {.sa_sigaction = refuse, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  if (call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0) || call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&program)) abort();
}

__attribute__((noinline)) static void work(long count) {
  for (long i = 0; i < count; i++) {
    void *volatile block = malloc(32);
    free(block);
  }
}

static void *worker(void *count) {
  pthread_barrier_wait(&together);
  work((long)count);
  pthread_barrier_wait(&together);
  return NULL;
}

int main(int argc, char **argv) {
  long count = atol(argv[2]);
  free(malloc(1));
  limit_mappings(atol(argv[1]));
  pthread_barrier_init(&together, NULL, THREADS + 1);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, worker, (void *)count)) abort();
  pthread_barrier_wait(&together);
  pthread_barrier_wait(&together);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  FILE *file = fopen(argv[3], "w");
  fprintf(file, "%d", refused);
  fclose(file);
  puts("done");
}
