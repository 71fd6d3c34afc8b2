/* Takes orders. What can be changed from build to build: ORDER bytes of each, a CACHE that keeps some, a function that is
 * called THROUGH another one, code that is only there. */
#include <stdlib.h>
#include <string.h>

#ifndef ORDER
#define ORDER 32
#endif

#define NOINLINE __attribute__((noinline))

#ifdef PADDING
NOINLINE static int padding(int n) {
  volatile int sum = 0;
  for (int i = 0; i < n; i++) sum += i * i;
  return sum;
}
#else
static int padding(int n) { return n; }
#endif

NOINLINE static void *new_order(int number) {
  char *order = malloc(ORDER);
  memset(order, number, ORDER);
  return order;
}

static void *volatile kept;

#ifdef CACHE
NOINLINE static void keep(void) {
  kept = malloc(100);
}
#endif

static char *customer(void) {
  char *name = malloc(20);
  strcpy(name, "Ada Lovelace");
  return name;
}

NOINLINE static void *read_order(int number) {
  void *order = new_order(number);
  kept = order;
  free(customer());
  return order;
}

#ifdef THROUGH
NOINLINE static void *retry(int number) {
  void *order = read_order(number);
  kept = order;
  return order;
}
#define read_order retry
#endif

int main(void) {
  static void *orders[100];
  for (int i = 0; i < 100; i++) orders[i] = read_order(i);
#ifdef CACHE
  for (int i = 0; i < 7; i++) keep();
#endif
  int sum = padding(10);
  for (int i = 0; i < 100; i++) free(orders[i]);
  return sum == -1;
}
