/* An allocator whose addresses are no multiples of 16: records of them are eight times as long as others. */
#include <stddef.h>
#include <stdint.h>

static char heap[1 << 20] __attribute__((aligned(16)));
static size_t next;

void *malloc(size_t size) {
  next = next + 1024 < sizeof heap ? next + 1024 : 0;
  return size > 1000 ? NULL : heap + next + 8;
}
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t size) { return count || size ? NULL : malloc(0); }
void *realloc(void *block, size_t size) { return block ? NULL : malloc(size); }
