// exceptions ROUNDS: C++ with strings, a map and an exception through several frames in each round.
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

__attribute__((noinline)) static void fail(int depth, const std::string &text) {
  std::vector<std::string> held(2, text);
  if (depth == 0) throw std::runtime_error(text);
  fail(depth - 1, text + held[0].substr(0, 8));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  std::map<std::string, size_t> seen;
  for (long round = 0, rounds = std::atol(argv[1]); round < rounds; round++) {
    try {
      fail(3, "round number " + std::to_string(round % 997) + " of many");
    } catch (const std::exception &error) {
      seen[error.what()] += 1;
    }
  }
  return seen.empty();
}
