// expect leaf: leaf @leaf
// expect deep: inner @deep <- middle @middle <- outer @outer
// expect local: local @local
// expect main: main @main
#include "mark.h"

NOINLINE void leaf(void) {
    MARK("leaf"); /*@leaf*/
}

static INLINE void inner(void) {
    MARK("deep"); /*@deep*/
}

static INLINE void middle(int times) {
    for (int i = 0; i < times; i++)
        inner(); /*@middle*/
}

NOINLINE void outer(void) {
    __asm__ volatile("");
    middle(1); /*@outer*/
}

NOINLINE static void local(void) {
    MARK("local"); /*@local*/
}

int main(void) {
    leaf();
    outer();
    local();
    MARK("main"); /*@main*/
    return 0;
}
