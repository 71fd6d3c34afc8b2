/* A library whose thread-local storage the loader allocates when a thread first touches it. */
static __thread char storage[3000];
char *touch(void) { return storage; }
