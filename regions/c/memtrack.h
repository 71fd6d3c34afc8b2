/* Regions: parts of a program's run that memtrack counts on their own.
 *
 *     uint64_t region = memtrack_begin("import");
 *     ...
 *     memtrack_end(region);
 *
 * In a program that memtrack does not record, the first of these calls looks for a symbol once, and all others do
 * nothing. The program depends on nothing but dlsym (with a C library older than glibc 2.34: link with -ldl).
 *
 * A region counts the allocations of the thread that began it, or of the whole process. Limits, such as "peak=1MiB,allocs=100",
 * are judged by `memtrack check` and `memtrack run --check`; in front of a key `stack.` means each stack on its own. */
#ifndef MEMTRACK_H
#define MEMTRACK_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct memtrack_text {
    const char *bytes;
    size_t len;
};

typedef uint64_t (*memtrack_begin_function)(const struct memtrack_text *, uint32_t);
typedef void (*memtrack_end_function)(uint64_t);

/* The function of this name of the recording library, kept in *known; none is the address 1. */
static inline void *memtrack_find(void **known, const char *name) {
    void *found = __atomic_load_n(known, __ATOMIC_ACQUIRE);
    if (!found) {
        /* RTLD_DEFAULT, which has that name for some programs only. */
        found = dlsym((void *)0, name);
        if (!found) found = (void *)(uintptr_t)1;
        __atomic_store_n(known, found, __ATOMIC_RELEASE);
    }
    return found == (void *)(uintptr_t)1 ? (void *)0 : found;
}

/* A region with limits (or NULL), of this thread or of the whole process. Answers what memtrack_end takes. */
static inline uint64_t memtrack_begin_with(const char *name, const char *limits, int whole_process) {
    static void *known;
    union {
        void *address;
        memtrack_begin_function call;
    } begin;
    struct memtrack_text texts[2];
    begin.address = memtrack_find(&known, "memtrack_region_begin");
    if (!begin.address) return 0;
    texts[0].bytes = name;
    texts[0].len = strlen(name);
    texts[1].bytes = limits;
    texts[1].len = limits ? strlen(limits) : 0;
    return begin.call(texts, whole_process ? 1 : 0);
}

/* A region of this thread. */
static inline uint64_t memtrack_begin(const char *name) { return memtrack_begin_with(name, NULL, 0); }

/* Ends the region; 0 is none. */
static inline void memtrack_end(uint64_t region) {
    static void *known;
    union {
        void *address;
        memtrack_end_function call;
    } end;
    end.address = region ? memtrack_find(&known, "memtrack_region_end") : NULL;
    if (end.address) end.call(region);
}

#ifdef __cplusplus
}

namespace memtrack {

/* A region from here to the end of the block. */
class Region {
public:
    explicit Region(const char *name, const char *limits = nullptr, bool whole_process = false)
        : id_(memtrack_begin_with(name, limits, whole_process)) {}
    ~Region() { memtrack_end(id_); }
    Region(const Region &) = delete;
    Region &operator=(const Region &) = delete;

private:
    uint64_t id_;
};

} /* namespace memtrack */
#endif

#endif
