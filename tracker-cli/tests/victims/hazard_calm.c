/* An allocator that a signal may interrupt anywhere: nothing is given back, and room is taken in one step. */
#include <stddef.h>
#include <string.h>

static char heap[1 << 28] __attribute__((aligned(16)));
static size_t used;

void *malloc(size_t size) {
  size = (size + 31) & ~(size_t)15;
  size_t *head = (size_t *)(heap + __atomic_fetch_add(&used, size, __ATOMIC_RELAXED) % (sizeof heap - (1 << 20)));
  *head = size;
  return head + 2;
}
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t size) { return memset(malloc(count * size), 0, count * size); }
void *realloc(void *block, size_t size) {
  void *new = malloc(size);
  return block ? memcpy(new, block, size < 16 ? size : 16) : new;
}
