// MARK(label) prints the label and the linked address of the instruction behind it.
#include <stdio.h>

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

#ifndef MARK_LINKAGE
#define MARK_LINKAGE static
#endif
#define NOINLINE __attribute__((noinline, noclone))
#define INLINE inline __attribute__((always_inline))

NOINLINE MARK_LINKAGE void mark(const char *label) {
    const char *address = (const char *)__builtin_return_address(0);
#ifdef __PIC__
    address = (const char *)(address - __ehdr_start);
#endif
    printf("%s %lx\n", label, (unsigned long)address);
    fflush(stdout);
}

// What follows the call keeps it from being the function's last.
#define MARK(label) do { mark(label); __asm__ volatile("" ::: "memory"); } while (0)
