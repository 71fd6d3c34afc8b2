/* known MODE: programs whose allocations, peak and leaks are known by construction. The numbers stand in known.rs.
 * No stdio before the numbers are fixed, so that the C library adds nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP(x) __asm__ volatile("" : : "g"(x) : "memory")

static void *block[100000];

NOINLINE static void *take(size_t size) {
  void *p = malloc(size); /* line: take */
  KEEP(p);
  return p;
}

/* Ten ways to get a block: every one twice, the first freed. 939 bytes a round. */
NOINLINE static void entry_points(void) {
  for (int round = 0; round < 2; round++) {
    void **b = block + 20 * round;
    b[0] = malloc(100);
    b[1] = calloc(10, 10);
    b[2] = realloc(NULL, 100);
    b[3] = reallocarray(NULL, 10, 10);
    b[4] = aligned_alloc(64, 128);
    b[5] = memalign(64, 100);
    if (posix_memalign(&b[6], 64, 100)) abort();
    b[7] = valloc(100);
    b[8] = pvalloc(100);
    b[9] = strdup("0123456789"); /* 11 bytes, inside libc */
    KEEP(b);
  }
  for (int i = 0; i < 10; i++) free(block[i]);
  /* Failures return no block and count for nothing. */
  volatile size_t huge = (size_t)-1 / 2;
  KEEP(malloc(huge));
  KEEP(calloc(huge, 4));
  KEEP(reallocarray(NULL, huge, 4));
  KEEP(realloc(block[20], huge)); /* block[20] lives on */
}

/* Grow in 100 steps, fail, shrink; and another block that ends by size 0. */
NOINLINE static void realloc_edges(void) {
  char *p = NULL;
  for (int i = 1; i <= 100; i++) p = realloc(p, 10 * i);
  volatile size_t huge = (size_t)-1 / 2;
  if (realloc(p, huge)) abort();
  p = realloc(p, 5);
  char *q = malloc(50);
  q = realloc(q, 0);
  block[0] = p;
  KEEP(q);
}

static pthread_barrier_t barrier;

/* Short-lived threads: one names itself, one otherwise, one is named by another, one has no name of its own. */
static void *named(void *name) {
  if (name && name != (void *)1) pthread_setname_np(pthread_self(), name);
  if (name == (void *)1) prctl(PR_SET_NAME, "by prctl");
  free(take(10));
  return NULL;
}
static void *waiting(void *unused) {
  free(take(10));
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  return unused;
}
NOINLINE static void names(void) {
  pthread_t thread;
  void *arguments[] = {"by itself", (void *)1, NULL};
  for (int i = 0; i < 3; i++) {
    pthread_create(&thread, NULL, named, arguments[i]);
    pthread_join(thread, NULL);
  }
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, waiting, NULL);
  pthread_barrier_wait(&barrier);
  pthread_setname_np(thread, "by another");
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
}

static void *worker(void *argument) {
  long id = (long)argument;
  for (int i = 0; i < 10000; i++) block[id * 10000 + i] = take(32);
  pthread_barrier_wait(&barrier);
  /* Each thread frees its neighbour's blocks, all but ten. */
  long other = (id + 1) % 4;
  for (int i = 10; i < 10000; i++) free(block[other * 10000 + i]);
  return NULL;
}

NOINLINE static void threads(void) {
  pthread_t thread[4];
  pthread_barrier_init(&barrier, NULL, 4);
  for (long i = 0; i < 4; i++) pthread_create(&thread[i], NULL, worker, (void *)i);
  for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
}

NOINLINE static void forked(void) {
  for (int i = 0; i < 100; i++) block[i] = take(50);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 40; i++) free(block[i]); /* inherited */
    for (int i = 100; i < 300; i++) block[i] = take(60);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  for (int i = 0; i < 100; i++) free(block[i]);
}

NOINLINE static void deep(int level) {
  if (level) deep(level - 1);
  else
    for (int i = 0; i < 10; i++) block[i] = take(7);
  KEEP(level);
}

NOINLINE static void zero(void) {
  for (int i = 0; i < 10; i++) block[i] = malloc(0);
  for (int i = 0; i < 9; i++) free(block[i]);
  free(NULL);
  block[10] = calloc(0, 8);
}

static void *kept[2];
static void late(void) {
  for (int i = 0; i < 10; i++) free(block[i]);
  kept[0] = take(77);
}
__attribute__((destructor)) static void later(void) {
  if (kept[0]) kept[1] = take(78);
}

NOINLINE static void dlopened(const char *folder) {
  char path[4096];
  for (int k = 0; k < 2; k++) {
    strcpy(path, folder);
    strcat(path, k ? "/libplug_b.so" : "/libplug_a.so");
    void *library = dlopen(path, RTLD_NOW);
    if (!library) abort();
    void *(*plug)(void) = (void *(*)(void))dlsym(library, k ? "plug_b" : "plug_a");
    for (int i = 0; i < 10; i++) KEEP(plug());
    dlclose(library);
  }
}

/* A signal handler that allocates while the program is in pause. */
static volatile int handled;
static void handler(int signal) {
  (void)signal;
  block[handled++] = take(16);
}
NOINLINE static void signals(void) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGUSR1, &action, NULL);
  for (int i = 0; i < 100; i++) raise(SIGUSR1);
}

static ucontext_t main_context, coroutine_context;
NOINLINE static void coroutine(void) {
  for (int i = 0; i < 10; i++) {
    block[i] = take(24);
    swapcontext(&coroutine_context, &main_context);
  }
}
NOINLINE static void coroutines(void) {
  char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  getcontext(&coroutine_context);
  coroutine_context.uc_stack.ss_sp = stack;
  coroutine_context.uc_stack.ss_size = 65536;
  coroutine_context.uc_link = &main_context;
  makecontext(&coroutine_context, coroutine, 0);
  for (int i = 0; i < 11; i++) swapcontext(&main_context, &coroutine_context);
}

/* 1000 blocks of 100 bytes, 900 of them freed. */
NOINLINE static void simple(void) {
  for (int i = 0; i < 1000; i++) block[i] = take(100);
  for (int i = 0; i < 900; i++) free(block[i]);
}

NOINLINE static void churn(void) {
  for (int i = 0; i < 500; i++) free(take(10));                             /* temporary */
  for (int i = 0; i < 500; i++) block[i] = take(10);                        /* not */
  for (int i = 0; i < 500; i++) free(block[i]);
}

static inline __attribute__((always_inline)) void *inlined(void) { return take(11); }
NOINLINE static void places(void) {
  block[0] = inlined();
  block[1] = take(22);
}

/* Pages: 10 mapped and 2 of them unmapped, 4 that grow to 8 and go; what is reserved or of a file does not count. */
NOINLINE static void maps(void) {
  const long page = 4096;
  const int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  char *kept = mmap(NULL, 10 * page, rw, anonymous, -1, 0);
  munmap(kept + 2 * page, 2 * page);
  mmap(NULL, 1L << 30, PROT_NONE, anonymous | MAP_NORESERVE, -1, 0);
  int self = open("/proc/self/exe", O_RDONLY);
  mmap(NULL, page, PROT_READ, MAP_PRIVATE, self, 0);
  char *grown = mmap(NULL, 4 * page, rw, anonymous, -1, 0);
  if (mremap(grown, 4 * page, 8 * page, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)1) != MAP_FAILED) return;
  grown = mremap(grown, 4 * page, 8 * page, MREMAP_MAYMOVE);
  munmap(grown, 8 * page);
  munmap(kept + 1, page); /* refused: no page starts there */
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "simple";
#define MODE(name) else if (!strcmp(mode, name))
  if (!strcmp(mode, "simple")) simple();
  MODE("entry_points") entry_points();
  MODE("realloc") realloc_edges();
  MODE("threads") threads();
  MODE("names") names();
  MODE("fork") forked();
  MODE("deep") deep(499);
  MODE("zero") zero();
  MODE("churn") churn();
  MODE("resident") memset(block[0] = malloc(64 << 20), 1, 64 << 20);
  MODE("maps") maps();
  MODE("places") places();
  MODE("signals") signals();
  MODE("coroutines") coroutines();
  MODE("dlopen") dlopened(argv[2]);
  MODE("atexit") {
    atexit(late);
    for (int i = 0; i < 10; i++) block[i] = take(1000);
  }
  MODE("exec") {
    for (int i = 0; i < 10; i++) block[i] = take(10);
    execl(argv[0], argv[0], "simple", (char *)NULL);
  }
  MODE("spawn") {
    pid_t child;
    char *arguments[] = {argv[0], "simple", NULL};
    extern char **environ;
    if (posix_spawn(&child, argv[0], NULL, NULL, arguments, environ)) return 9;
    waitpid(child, NULL, 0);
  }
  MODE("system") {
    setenv("SELF", argv[0], 1);
    return system("\"$SELF\" simple") ? 9 : 0;
  }
  MODE("vfork") {
    pid_t child = vfork();
    if (child == 0) {
      execl(argv[0], argv[0], "simple", (char *)NULL);
      _exit(9);
    }
    waitpid(child, NULL, 0);
  }
  MODE("raw_clone") {
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
      simple();
      syscall(SYS_exit_group, 0);
    }
    wait(NULL);
  }
  MODE("_exit") { simple(); _exit(3); }
  MODE("quick_exit") { simple(); quick_exit(4); }
  MODE("abort") { simple(); abort(); }
  MODE("segv") { simple(); raise(SIGSEGV); }
  MODE("fault") { simple(); *(volatile int *)8 = 1; }
  MODE("kill") { simple(); kill(getpid(), SIGKILL); }
  else return 2;
  return 0;
}
