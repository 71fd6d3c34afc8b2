// The program in the README's pictures: a small service that forgets its sessions, keeps a cache, copies strings while
// it parses, and now and then makes a report.
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace shop {

struct Session {
    char data[480];
};

std::vector<std::unique_ptr<std::string>> cache;

[[gnu::noinline]] void open_session() {
    Session *session = new Session; // and who closes it?
    asm volatile("" ::"r"(session) : "memory");
}

[[gnu::noinline]] size_t parse_tags(const std::string &line) {
    size_t length = 0;
    for (int tag = 0; tag < 20; tag++) {
        std::string copy = line + std::to_string(tag);
        length += copy.size();
    }
    return length;
}

[[gnu::noinline]] void remember(int request) {
    if (cache.size() < 900)
        cache.push_back(std::make_unique<std::string>(3000, 'x'));
    else
        *cache[request % 900] = std::string(3000, 'y');
}

[[gnu::noinline]] void render_report() {
    std::vector<std::vector<char>> rows;
    for (int row = 0; row < 400; row++) {
        rows.emplace_back(9000);
        if (row % 40 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
}

[[gnu::noinline]] void handle_request(int request) {
    parse_tags("a line of text that is a little longer than short strings are, tag=");
    remember(request);
    if (request % 3 == 0) open_session();
    if (request % 700 == 350) render_report();
}

void worker(int first) {
    for (int request = first; request < first + 2500; request++) {
        handle_request(request);
        if (request % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

} // namespace shop

int main() {
    std::thread morning(shop::worker, 0);
    morning.join();
    std::thread evening(shop::worker, 1);
    evening.join();
    shop::cache.clear();
}
