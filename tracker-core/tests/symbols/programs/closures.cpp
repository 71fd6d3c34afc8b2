// Functions of local types have no linkage names in gcc's debug data when they are inlined.
// expect closure: main::{lambda}::operator() @closure <- void outer::apply<main::{lambda(long)#1}>(main::{lambda(long)#1}) @apply
// expect local: outer::scope()::Local::method @local <- outer::scope() @scope
// expect anonymous: main::{lambda}::operator() @anonymous <- main @captured
extern "C" {
#include "mark.h"
}

namespace outer {
template <typename F> NOINLINE void apply(F function) {
    __asm__ volatile("");
    function(1L); /*@apply*/
}

NOINLINE void scope() {
    struct Local {
        INLINE static void method() {
            MARK("local"); /*@local*/
        }
    };
    __asm__ volatile("");
    Local::method(); /*@scope*/
}
}

int main() {
    outer::apply([](long) __attribute__((always_inline)) {
        MARK("closure"); /*@closure*/
    });
    outer::scope();
    int count = 0;
    auto captured = [&count]() __attribute__((always_inline)) {
        MARK("anonymous"); /*@anonymous*/
        count++;
    };
    captured(); /*@captured*/
    return 0;
}
