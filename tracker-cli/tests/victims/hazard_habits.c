/* hazard_habits FOLDER CASE [PLACE]: what programs do around their allocator, and what they rely on. */
#include "hazards.h"
#include <link.h>
#include <malloc.h>
#include <sys/auxv.h>

/* --- A handler on the smallest stack that the kernel takes, and one page more. Below it nothing may be touched. */
TAKER(cramped_taker)
static void cramped(int signal) {
  (void)signal;
  cramped_taker(10, 1);
}
static void small_alternate_stack(void) {
  size_t least = getauxval(AT_MINSIGSTKSZ), size = (least ? least : 2048) + 4096, room = (size + 4095) & ~4095ul;
  cramped_taker(100, 0);
  char *memory = mmap(NULL, room + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(memory, 4096, PROT_NONE);
  must(sigaltstack(&(stack_t){.ss_sp = memory + 4096, .ss_size = size}, NULL) == 0, "sigaltstack");
  sigaction(SIGUSR1, &(struct sigaction){.sa_handler = cramped, .sa_flags = SA_ONSTACK}, NULL);
  for (int i = 0; i < 100; i++) raise(SIGUSR1);
  expect("cramped_taker", 1100, 100);
}

/* --- Allocation under the loader's lock, while others load, unload and allocate. */
TAKER(listing_taker)
static volatile int stop;
static volatile long listed;
static int list(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)info, (void)size, (void)unused;
  listing_taker(2, 0);
  __atomic_fetch_add(&listed, 2, __ATOMIC_RELAXED);
  return 0;
}
static void *lister(void *unused) {
  while (!stop) dl_iterate_phdr(list, NULL);
  return unused;
}
static void *sweeper(void *unused) {
  while (!stop) free(malloc(30));
  return unused;
}
static void loader_callbacks(void) {
  pthread_t thread[3] = {start(lister, NULL, 0), start(lister, NULL, 0), start(sweeper, NULL, 0)};
  char path[4096];
  long loaded = 0;
  for (int i = 0; i < 200; i++) {
    snprintf(path, sizeof path, i % 2 ? "%s/libplug_a.so" : "%s/libhazard_tls0.so", folder);
    void *library = dlopen(path, RTLD_NOW);
    loaded += library != NULL;
    dlclose(library);
  }
  stop = 1;
  for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
  say_number("loaded", loaded);
  expect("listing_taker", listed, 0);
}
/* A bare name, which the program's own run path leads to: it is the caller of dlopen that counts. */
static void run_path(void) { say_number("found", dlopen("libplug_a.so", RTLD_NOW) != NULL); }

/* --- What calls leave behind. */
static void errors(void) {
  for (int i = 0; i < 2; i++) {
    errno = 77;
    void *p = malloc(100);
    p = realloc(p, 100000);
    free(p);
    free(calloc(10, 10));
    free(aligned_alloc(64, 64));
    say_number("kept", errno);
    void *no = malloc(SIZE_MAX / 2);
    KEEP(no);
    say_number("no memory", no == NULL && errno == ENOMEM);
    errno = 0;
    no = calloc(SIZE_MAX / 4, 8);
    KEEP(no);
    say_number("overflow", no == NULL && errno == ENOMEM);
    errno = 77;
    say_number("bad alignment", posix_memalign(&no, 3, 10) == EINVAL && errno == 77);
    p = malloc(10);
    no = realloc(p, SIZE_MAX / 2);
    KEEP(no);
    say_number("failed realloc", no == NULL && errno == ENOMEM);
    free(p);
  }
}
/* Addresses, sizes and totals of the heap are what they would be. */
static void heap_layout(void) {
  char *first = malloc(24), *break_before = sbrk(0);
  for (int i = 1; i < 40; i++) {
    char *next = malloc(16 * i);
    say_number("distance", next - first);
    say_number("usable", malloc_usable_size(next));
    if (i % 3 == 0) free(next);
  }
  say_number("break", (char *)sbrk(0) - break_before);
  struct mallinfo2 info = mallinfo2();
  say_number("in use", info.uordblks);
  say_number("arena", info.arena);
  say_number("mapped", info.hblks);
}
TAKER(large_taker)
static void large_requests(void) {
  for (int i = 0; i < 50; i++) {
    char *p = malloc(((size_t)1 << 28) + i);
    must(p != NULL, "malloc");
    p[i] = 1;
    p = realloc(p, ((size_t)1 << 30) + i);
    must(p != NULL && p[i] == 1, "realloc");
    free(p);
  }
  large_taker(10, 1);
  expect("large_taker", 10, 1);
}
/* Daemons close whatever may be open. */
TAKER(closing_taker)
static void *sweep_once(void *unused) {
  closing_taker(10, 0);
  return unused;
}
static void every_descriptor_closed(void) {
  closing_taker(100, 1);
  for (int fd = 3; fd < 4096; fd++) close(fd);
  for (int i = 0; i < 8; i++) pthread_join(start(sweep_once, NULL, 0), NULL);
  pid_t child = fork();
  if (child == 0) {
    closing_taker(100, 1);
    expect("closing_taker", 100, 1);
    _exit(5);
  }
  say_number("child", wait_for(child));
  closing_taker(100000, 1);
  expect("closing_taker", 100180, 2);
}

/* --- Before and behind: the earliest code of a program, and destructors of its threads. */
TAKER(early_taker)
static void before_main(void) { early_taker(50, 5); }
__attribute__((section(".preinit_array"), used)) static void (*preinit)(void) = before_main;
static void earliest_code(void) { expect("early_taker", 50, 5); }

TAKER(late_taker)
static pthread_key_t key;
static void destroy(void *rounds) {
  late_taker(10, 1);
  if ((long)rounds > 1) pthread_setspecific(key, (void *)((long)rounds - 1));
}
static void *leaves_something(void *unused) {
  pthread_setspecific(key, (void *)3);
  return unused;
}
static void thread_destructors(void) {
  pthread_key_create(&key, destroy);
  for (int i = 0; i < 100; i++) pthread_join(start(leaves_something, NULL, 16 << 10), NULL);
  expect("late_taker", 3000, 300);
}

static const struct named_case cases[] = {
    CASE(small_alternate_stack), CASE(loader_callbacks), CASE(run_path),      CASE(errors),           CASE(heap_layout),
    CASE(large_requests),        CASE(every_descriptor_closed), CASE(earliest_code), CASE(thread_destructors),
};
#define started(argv) (void)(argv)
#include "places.h"
