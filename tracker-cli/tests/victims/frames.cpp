// Frames that compilers make rarely, each with allocations in and above it: alloca, variable arrays, stacks realigned
// for 32- and 64-byte objects, exceptions with destructors that allocate, longjmp, lambdas, virtual calls, recursion.
#include <alloca.h>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline))
static volatile void *sink;

NOINLINE static void leaf(size_t n) {
  void *p = std::malloc(n);
  sink = p;
  std::free(p);
}

NOINLINE static void with_alloca(size_t n) {
  char *p = static_cast<char *>(alloca(n));
  std::memset(p, 1, n);
  sink = p;
  leaf(n);
}

NOINLINE static void with_array(int n) {
  volatile int values[n];
  values[n - 1] = 1;
  sink = &values;
  leaf(n);
}

template <size_t A>
NOINLINE static void realigned(size_t n) {
  struct alignas(A) Big { char bytes[A * 3]; } big;
  std::memset(&big, 2, sizeof big);
  sink = &big;
  if (n % 3) with_alloca(n);
  else leaf(n);
  sink = &big;
}

struct Loud {
  ~Loud() { leaf(40); }
};

NOINLINE static void thrower(int depth) {
  Loud loud;
  if (depth) thrower(depth - 1);
  else throw std::runtime_error(std::string(50, 'x'));
}

static std::jmp_buf jump;
NOINLINE static void jumper(int depth) {
  leaf(depth + 1);
  if (depth) jumper(depth - 1);
  else std::longjmp(jump, 1);
}

struct Shape {
  virtual ~Shape() = default;
  virtual void draw() = 0;
};
struct Round : Shape {
  std::string name = std::string(60, 'r');
  NOINLINE void draw() override { leaf(name.size()); }
};

NOINLINE static int recursive(int depth, const std::function<void(int)> &then) {
  then(depth);
  return depth ? recursive(depth - 1, then) + 1 : 0;
}

int main() {
  for (int round = 1; round < 100; round++) {
    with_alloca(round * 8);
    with_array(round);
    realigned<32>(round);
    realigned<64>(round);
    try {
      thrower(round % 7);
    } catch (const std::exception &) {
      leaf(9);
    }
    if (!setjmp(jump)) jumper(round % 11);
    std::unique_ptr<Shape> shape(new Round);
    shape->draw();
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 10; i++) map[std::string(i + 20, 'k')].push_back(i);
    recursive(round % 30, [&](int depth) { map[std::string(30, 'a' + depth % 26)].push_back(depth); });
  }
}
