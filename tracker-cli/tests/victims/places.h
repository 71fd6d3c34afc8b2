/* PROGRAM FOLDER CASE [main | thread | child | constructor]: runs one of `cases` in that place. Included behind them. */
static void run(const char *name) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (!strcmp(cases[i].name, name)) return cases[i].run();
  _exit(93);
}
static void *run_in_thread(void *name) {
  run(name);
  return NULL;
}

__attribute__((constructor)) static void early(int argc, char **argv) {
  started(argv);
  if (argc < 3) return;
  folder = argv[1];
  if (argc > 3 && !strcmp(argv[3], "constructor")) run(argv[2]);
}

int main(int argc, char **argv) {
  if (argc < 3) return 93;
  const char *place = argc > 3 ? argv[3] : "main";
  if (!strcmp(place, "main")) run(argv[2]);
  if (!strcmp(place, "thread")) pthread_join(start(run_in_thread, argv[2], 0), NULL);
  if (!strcmp(place, "child")) {
    pid_t child = fork();
    if (child == 0) {
      run(argv[2]);
      _exit(0);
    }
    return wait_for(child);
  }
  return 0;
}
