/* hazard_inner [jump]: a handler allocates while the program is inside of its allocator, which allows that, or inside of
 * whatever stands in front of it. With `jump` it leaves by a jump at every third signal. */
#include "hazards.h"

enum { SIGNALS = 5000 };
static volatile int signals, jumps;
static sigjmp_buf back;

TAKER(inner_taker)
TAKER(outer_taker)
static void tick(int signal) {
  (void)signal;
  inner_taker(3, 1);
  if (++signals % 3 == 0 && jumps) siglongjmp(back, 1);
}
NOINLINE static void deeper(int depth) {
  if (depth) deeper(depth - 1);
  else outer_taker(1, 0);
  KEEP(depth);
}

int main(int argc, char **argv) {
  jumps = argc > 1;
  sigaction(SIGALRM, &(struct sigaction){.sa_handler = tick}, NULL);
  struct itimerval timer = {{0, 100}, {0, 100}}, none = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &timer, NULL);
  sigsetjmp(back, 1);
  for (volatile long i = 0; signals < SIGNALS; i++) deeper(i % 40);
  setitimer(ITIMER_REAL, &none, NULL);
  expect("inner_taker", 3 * signals, signals);
  return 0;
}
