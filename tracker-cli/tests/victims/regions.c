/* Regions with numbers that are known by construction: of threads, of the process, inside each other, entered again. */
#include "../../../regions/c/memtrack.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *kept[1000];
static pthread_barrier_t both;

static void *worker(void *unused) {
    uint64_t region = memtrack_begin("worker");
    pthread_barrier_wait(&both);
    for (int i = 0; i < 50; i++) free(malloc(200));
    pthread_barrier_wait(&both);
    memtrack_end(region);
    return unused;
}

int main(void) {
    uint64_t outer = memtrack_begin_with("outer", "peak=1MiB,stack.leaked=100", 1);
    uint64_t inner = memtrack_begin("inner");
    for (int i = 0; i < 100; i++) kept[i] = malloc(10);
    memtrack_end(inner);
    for (int i = 0; i < 50; i++) free(kept[i]);
    inner = memtrack_begin("inner");
    for (int i = 0; i < 3; i++) free(malloc(1000));
    memtrack_end(inner);

    pthread_t thread;
    pthread_barrier_init(&both, NULL, 2);
    pthread_create(&thread, NULL, worker, NULL);
    uint64_t own = memtrack_begin("main");
    pthread_barrier_wait(&both);
    for (int i = 0; i < 70; i++) free(malloc(300));
    pthread_barrier_wait(&both);
    memtrack_end(own);
    pthread_join(thread, NULL);
    memtrack_end(outer);
    memtrack_end(outer);
    memtrack_end(0);

    if (fork() == 0) {
        /* An end of the parent's, and a region of its own that the child's end closes. */
        memtrack_end(outer);
        memtrack_begin("child");
        kept[0] = malloc(77);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
