/* A program with an allocator of its own, exported: nobody's hooks are ever called, and it must not matter. */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static char heap[8 << 20] __attribute__((aligned(16)));
static size_t used;

void *malloc(size_t size) {
  size_t *head = (size_t *)(heap + used);
  used += (size + 31) & ~(size_t)15;
  if (used > sizeof heap) return NULL;
  *head = size;
  return head + 2;
}
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *block, size_t size) {
  void *new = malloc(size);
  if (new && block) {
    size_t old = ((size_t *)block)[-2];
    memcpy(new, block, old < size ? old : size);
  }
  return new;
}

int main(void) {
  char *text = malloc(100);
  for (int i = 0; i < 1000; i++) text = realloc(strcpy(text, "own"), 100 + i % 7);
  int owned = text > heap && text < heap + sizeof heap && strlen(text) == 3;
  return write(1, owned ? "owned\n" : "lost\n", owned ? 6 : 5) < 0 || !owned;
}
