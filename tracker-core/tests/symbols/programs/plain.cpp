// expect free: free_function(int, char const*) @free
// expect anonymous: (anonymous namespace)::hidden() @anonymous
// expect member: outer::inner::Widget::size() const @member
// expect constructor: outer::inner::Widget::Widget(int) @constructor
// expect destructor: outer::inner::Widget::~Widget() @destructor
// expect operator: outer::inner::Widget::operator+(outer::inner::Widget const&) const @operator
// expect conversion: outer::inner::Widget::operator int() const @conversion
// expect static: outer::inner::Widget::make(int) @static
// expect virtual: outer::inner::Gadget::run() @virtual
// expect template: int outer::largest<int>(int, int) @template
// expect method: outer::Box<outer::inner::Widget>::put(outer::inner::Widget const&) @method
// expect variadic: void outer::all<int, char, double>(int, char, double) @variadic
// expect lambda: main::{lambda(int)#1}::operator()(int) const @lambda
// expect generic: auto main::{lambda(auto:1)#2}::operator()<long>(long) const @generic
// expect inlined: outer::deepest() @inlined <- outer::deeper() @deeper <- outer::deep() @deep
// expect c: c_linkage @c
// expect new: operator new(unsigned long) @new
#include <stdlib.h>
#include <new>
extern "C" {
#include "mark.h"
}

NOINLINE void free_function(int, const char *) {
    MARK("free"); /*@free*/
}

namespace {
NOINLINE void hidden() {
    MARK("anonymous"); /*@anonymous*/
}
}

namespace outer {
namespace inner {
struct Widget {
    int n;
    NOINLINE explicit Widget(int n) : n(n) {
        MARK("constructor"); /*@constructor*/
    }
    NOINLINE ~Widget() {
        MARK("destructor"); /*@destructor*/
    }
    NOINLINE int size() const {
        MARK("member"); /*@member*/
        return n;
    }
    NOINLINE int operator+(const Widget &other) const {
        MARK("operator"); /*@operator*/
        return n + other.n;
    }
    NOINLINE operator int() const {
        MARK("conversion"); /*@conversion*/
        return n;
    }
    NOINLINE static int make(int n) {
        MARK("static"); /*@static*/
        return n;
    }
};

struct Base {
    virtual void run() = 0;
};
struct Gadget : Base {
    NOINLINE void run() override {
        MARK("virtual"); /*@virtual*/
    }
};
}

template <typename T> NOINLINE T largest(T a, T b) {
    MARK("template"); /*@template*/
    return a > b ? a : b;
}

template <typename T> struct Box {
    int count = 0;
    NOINLINE void put(const T &value) {
        MARK("method"); /*@method*/
        count += value.n;
    }
};

template <typename... T> NOINLINE void all(T...) {
    MARK("variadic"); /*@variadic*/
}

INLINE void deepest() {
    MARK("inlined"); /*@inlined*/
}
INLINE void deeper() {
    deepest(); /*@deeper*/
}
NOINLINE void deep() {
    __asm__ volatile("");
    deeper(); /*@deep*/
}
}

extern "C" NOINLINE void c_linkage(void) {
    MARK("c"); /*@c*/
}

static bool in_main = false;
NOINLINE void *operator new(size_t size) {
    if (in_main)
        MARK("new"); /*@new*/
    return malloc(size);
}
void operator delete(void *block, size_t) noexcept { free(block); }

int main() {
    free_function(1, "");
    hidden();
    {
        outer::inner::Widget a(1), b(2);
        int sum = a.size() + (a + b) + int(a) + outer::inner::Widget::make(3);
        outer::Box<outer::inner::Widget> box;
        box.put(a);
        outer::largest(sum, box.count);
    }
    outer::inner::Gadget gadget;
    outer::inner::Base *volatile base = &gadget;
    base->run();
    outer::all(1, 'a', 2.0);
    auto lambda = [](int) NOINLINE {
        MARK("lambda"); /*@lambda*/
    };
    lambda(1);
    auto generic = [](auto) NOINLINE {
        MARK("generic"); /*@generic*/
    };
    generic(1L);
    outer::deep();
    c_linkage();
    in_main = true;
    int *volatile number = new int;
    in_main = false;
    delete number;
    return 0;
}
