// Every form of new and delete, and exceptions out of allocations.
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include "hazards.h"
}

struct alignas(64) Wide {
  char bytes[128];
};

// Without arguments in its name.
extern "C" NOINLINE void forms() {
  for (int i = 0; i < 100; i++) {
    int *one = new int(i);
    KEEP(one);
    delete one;
    char *many = new char[100 + i];
    KEEP(many);
    delete[] many;
    Wide *wide = new Wide;
    must((uintptr_t)wide % 64 == 0, "alignment");
    KEEP(wide);
    delete wide;
    Wide *row = new Wide[3];
    KEEP(row);
    delete[] row;
    int *quiet = new (std::nothrow) int;
    KEEP(quiet);
    ::operator delete(quiet, sizeof(int));
    void *raw = ::operator new(50, std::align_val_t(32));
    KEEP(raw);
    ::operator delete(raw, std::align_val_t(32));
  }
  volatile size_t too_much = PTRDIFF_MAX / 2;
  must(new (std::nothrow) char[too_much] == nullptr, "nothrow");
}
NOINLINE static int throwing(int depth) {
  std::unique_ptr<int> kept(new int(depth));
  KEEP(kept.get());
  if (depth) return throwing(depth - 1) + *kept;
  throw std::runtime_error("a text that is too long to be kept in the string itself");
}
int main() {
  forms();
  /* One of them is the exception that the failure is made of. */
  expect("forms", 601, 0);
  long caught = 0;
  for (int i = 0; i < 100; i++) {
    try {
      throwing(20);
    } catch (const std::exception &error) {
      caught += error.what()[0] == 'a';
    }
  }
  say_number("caught", caught);
  try {
    std::vector<char> too_many(PTRDIFF_MAX / 2);
    KEEP(too_many.data());
  } catch (const std::bad_alloc &) {
    say("no memory\n");
  }
  return 0;
}
