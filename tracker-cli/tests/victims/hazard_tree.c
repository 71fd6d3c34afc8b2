/* hazard_tree FOLDER CASE: ways into other processes and images. Each of them that is recorded says what it allocates. */
#include "hazards.h"
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

extern char **environ;
static char *self;

TAKER(leaf_taker)
static int leaf(void) {
  expect("leaf_taker", 100, 10);
  leaf_taker(100, 10);
  return 21;
}
static char **leaf_arguments(void) {
  static char *arguments[4];
  arguments[0] = self, arguments[1] = (char *)folder, arguments[2] = "leaf";
  return arguments;
}
static void become_leaf(void) {
  execv(self, leaf_arguments());
  _exit(94);
}
/* Lives long enough to be looked for several times. */
static int long_leaf(void) {
  expect("leaf_taker", 15 * 2000, 0);
  for (int i = 0; i < 15; i++) leaf_taker(2000, 0), usleep(100000);
  return 23;
}
static void check(pid_t child) { say_number("child", wait_for(child)); }

/* --- Forks. */
TAKER(branch_taker)
static volatile int stop;
static void *busy(void *unused) {
  while (!stop) branch_taker(10, 0);
  return unused;
}
static void *forker(void *unused) {
  for (int i = 0; i < 10; i++) {
    pid_t child = fork();
    if (child == 0) _exit(leaf());
    must(wait_for(child) == 21, "child");
  }
  return unused;
}
static void fork_from_threads(void) {
  pthread_t busy_thread = start(busy, NULL, 0), thread[3];
  for (int i = 0; i < 3; i++) thread[i] = start(forker, NULL, 0);
  for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
  stop = 1;
  pthread_join(busy_thread, NULL);
}
static void raw_clone(void) {
  pid_t child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    leaf();
    syscall(SYS_exit_group, 21);
  }
  check(child);
}
static void fifty(void) {
  pid_t child[50];
  for (int i = 0; i < 50; i++) {
    child[i] = fork();
    if (child[i] == 0) i % 2 ? become_leaf() : _exit(leaf());
  }
  for (int i = 0; i < 50; i++) must(wait_for(child[i]) == 21, "child");
}
static void daemon_of_two_forks(void) {
  int ends[2];
  must(pipe(ends) == 0, "pipe");
  pid_t child = fork();
  if (child == 0) {
    setsid();
    if (fork()) _exit(0);
    umask(0);
    leaf();
    must(chdir("/") == 0, "chdir");
    leaf_taker(0, 0);
    _exit(0);
  }
  check(child);
  /* Ends when the daemon has: nobody else holds the other end. */
  close(ends[1]);
  char byte;
  say_number("daemon", read(ends[0], &byte, 1));
}

/* --- Images. */
static void chain(void) {
  expect("branch_taker", 30, 3);
  branch_taker(30, 3);
  become_leaf();
}
static void vfork_and_exec(void) {
  for (int i = 0; i < 5; i++) {
    pid_t child = vfork();
    if (child == 0) become_leaf();
    must(wait_for(child) == 21, "child");
    branch_taker(10, 1);
  }
  expect("branch_taker", 50, 5);
}
static void spawn(void) {
  pid_t child;
  must(posix_spawn(&child, self, NULL, NULL, leaf_arguments(), environ) == 0, "posix_spawn");
  check(child);
  must(posix_spawn(&child, "/no/such/program", NULL, NULL, leaf_arguments(), environ) == ENOENT, "failing posix_spawn");
  must(posix_spawnp(&child, "sh", NULL, NULL, (char *[]){"sh", "-c", "exit 9", NULL}, environ) == 0, "posix_spawnp");
  check(child);
}
static void through_a_shell(void) {
  setenv("SELF", self, 1);
  setenv("FOLDER", folder, 1);
  say_number("system", system("\"$SELF\" \"$FOLDER\" leaf") >> 8);
  FILE *stream = popen("echo $(\"$SELF\" \"$FOLDER\" leaf; echo $?)", "r");
  char line[64] = "";
  fgets(line, sizeof line, stream);
  say(line);
  say_number("pclose", pclose(stream));
  say_number("fclose", fclose(popen("exit 3", "r")));
  say_number("none left", waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}
static void empty_environment(void) {
  pid_t child = fork();
  if (child == 0) {
    char *nothing[] = {NULL};
    execve(self, leaf_arguments(), nothing);
    _exit(94);
  }
  check(child);
}
static void large_environment(void) {
  static char *large[40002], text[40001][8];
  for (int i = 0; i < 40000; i++) snprintf(text[i], 8, "V%d=", i), large[i] = text[i];
  pid_t child = fork();
  if (child == 0) {
    execve(self, leaf_arguments(), large);
    _exit(94);
  }
  check(child);
}
/* Starting programs takes little of the stack: a crash reporter runs in a signal handler with one of its own. */
static void start_shell(int signal) {
  (void)signal;
  pid_t child;
  must(posix_spawnp(&child, "sh", NULL, NULL, (char *[]){"sh", "-c", "exit 5", NULL}, environ) == 0, "posix_spawnp");
  check(child);
  say_number("system", system("exit 6") >> 8);
  child = vfork();
  if (child == 0) {
    execlp("sh", "sh", "-c", "exit 7", (char *)NULL);
    _exit(94);
  }
  check(child);
}
static void *on_little_stack(void *none) { return start_shell(0), none; }
static void small_stacks(void) {
  char name[16];
  for (int i = 0; i < 300; i++) snprintf(name, sizeof name, "SERVICE_%d", i), setenv(name, "here", 1);
  pthread_attr_t little;
  pthread_t thread;
  pthread_attr_init(&little);
  must(pthread_attr_setstacksize(&little, 16384) == 0, "stack size");
  must(pthread_create(&thread, &little, on_little_stack, NULL) == 0, "thread");
  pthread_join(thread, NULL);
  char *memory = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(memory, 4096, PROT_NONE);
  sigaltstack(&(stack_t){.ss_sp = memory + 4096, .ss_size = 8192}, NULL);
  sigaction(SIGUSR1, &(struct sigaction){.sa_handler = start_shell, .sa_flags = SA_ONSTACK}, NULL);
  raise(SIGUSR1);
}
static long mapped_pages(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  must(fscanf(file, "%ld", &pages) == 1, "statm");
  fclose(file);
  return pages;
}
/* A vfork child that executes leaves nothing behind in its parent. */
static void many_vforks(void) {
  char name[16];
  for (int i = 0; i < 300; i++) snprintf(name, sizeof name, "SERVICE_%d", i), setenv(name, "here", 1);
  long before = 0;
  for (int i = 0; i < 60; i++) {
    if (i == 10) before = mapped_pages();
    pid_t child = vfork();
    if (child == 0) {
      execve("/bin/true", (char *[]){"true", NULL}, environ);
      _exit(94);
    }
    must(wait_for(child) == 0, "child");
  }
  say_number("grown", mapped_pages() - before >= 50);
#define TEN_WORDS "w", "w", "w", "w", "w", "w", "w", "w", "w", "w"
#define FIFTY_WORDS TEN_WORDS, TEN_WORDS, TEN_WORDS, TEN_WORDS, TEN_WORDS
  /* Where the environment was built, the list of words is built now, and it ends. */
  pid_t child = vfork();
  if (child == 0) {
    execlp("sh", "sh", "-c", "exit $#", "0", FIFTY_WORDS, FIFTY_WORDS, FIFTY_WORDS, (char *)NULL);
    _exit(94);
  }
  check(child);
}
/* The new image finds the limit reached by what it inherits, but for the one descriptor that its loader needs. */
static void few_descriptors(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = 4;
  pid_t child = fork();
  if (child == 0) {
    setrlimit(RLIMIT_NOFILE, &limit);
    become_leaf();
  }
  check(child);
}
static void pid_namespace(void) {
  if (unshare(CLONE_NEWPID)) must(unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0, "unshare");
  pid_t child = fork();
  if (child == 0) {
    say_number("own id", getpid());
    _exit(leaf());
  }
  check(child);
}

/* --- Processes that are not easy to recognize. */
static void odd_name(void) {
  prctl(PR_SET_NAME, "caf\xe9");
  pid_t child[3];
  for (int i = 0; i < 3; i++)
    if ((child[i] = fork()) == 0) _exit(long_leaf());
  for (int i = 0; i < 3; i++) check(child[i]);
}
static void *goes_on(void *unused) {
  _exit(long_leaf());
  return unused;
}
static void leave_to_another(void) {
  start(goes_on, NULL, 0);
  pthread_exit(NULL);
}
/* The first thread of a process ends, and others go on: there is a process, but it has no program. */
static void first_thread_leaves(void) {
  pid_t child[4];
  for (int i = 0; i < 4; i++) {
    if ((child[i] = fork()) != 0) continue;
    if (i % 2) execv(self, (char *[]){self, (char *)folder, "leave_to_another", NULL});
    leave_to_another();
  }
  for (int i = 0; i < 4; i++) check(child[i]);
}

/* --- Images that cannot be recorded: they run as ever, and a row says why not. */
static int plain_leaf(void) {
  leaf_taker(10, 1);
  return 22;
}
static void become_plain_leaf(void) {
  execv(self, (char *[]){self, (char *)folder, "plain_leaf", NULL});
  _exit(94);
}
static void network_namespace(void) {
  pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNET)) must(unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0, "unshare");
    become_plain_leaf();
  }
  check(child);
}
static void inside_a_sandbox(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
    become_plain_leaf();
  }
  check(child);
}
/* What tracers ask and nobody else here. */
static void punish_questions(void) {
  const int calls[] = {SYS_gettid, SYS_getpid, SYS_getcwd, SYS_tgkill, SYS_prctl, SYS_faccessat, SYS_faccessat2, SYS_readlink, SYS_connect, SYS_socket};
  const int count = sizeof calls / sizeof *calls;
  struct sock_filter filter[sizeof calls / sizeof *calls + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  for (int i = 0; i < count; i++) filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], count - i, 0);
  filter[count + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[count + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog program = {count + 3, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}
static void children_of_a_sandbox(void) {
  char path[6000], many[40][2];
  char *words[44] = {"hazard_tree", (char *)folder, "plain_leaf"};
  for (int i = 3; i < 43; i++) words[i] = strcpy(many[i - 3], "w");
  snprintf(path, sizeof path, "/%0*d:%s", 2000, 0, folder);
  setenv("PATH", path, 1);
  punish_questions();
  pid_t child;
  must(posix_spawnp(&child, "hazard_tree", NULL, NULL, words, environ) == 0, "posix_spawnp");
  check(child);
  must(posix_spawn(&child, self, NULL, NULL, words, environ) == 0, "posix_spawn");
  check(child);
  child = vfork();
  if (child == 0) {
    execvp("hazard_tree", words);
    _exit(94);
  }
  check(child);
  child = fork();
  if (child == 0) {
    execlp("hazard_tree", "hazard_tree", folder, "plain_leaf", (char *)NULL);
    _exit(94);
  }
  check(child);
  say_number("none", execve(NULL, words, environ) + errno);
}
static void unreadable_program(void) {
  pid_t child = fork();
  if (child == 0) {
    char path[4096];
    snprintf(path, sizeof path, "%s/unreadable", folder);
    must(setuid(65534) == 0, "setuid");
    execv(path, (char *[]){path, (char *)folder, "plain_leaf", NULL});
    _exit(94);
  }
  check(child);
}
static void set_uid_program(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s/set_uid", folder);
  pid_t child;
  must(posix_spawn(&child, path, NULL, NULL, (char *[]){path, (char *)folder, "plain_leaf", NULL}, environ) == 0, "posix_spawn");
  check(child);
}

/* --- Root's ways. */
static void another_user(void) {
  close(open("facts", O_WRONLY | O_CREAT, 0666));
  must(chmod("facts", 0666) == 0, "chmod");
  pid_t child = fork();
  if (child == 0) {
    must(setgid(65534) == 0 && setuid(65534) == 0, "setuid");
    become_leaf();
  }
  check(child);
}
/* No longer root, but with root's eyes; the program that it becomes has them not. */
static void kept_capabilities(void) {
  char cache[4096];
  snprintf(cache, sizeof cache, "%s/../cache", folder);
  chmod(cache, 0700);
  pid_t child = fork();
  if (child == 0) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    must(prctl(PR_SET_KEEPCAPS, 1) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "setuid");
    must(syscall(SYS_capget, &header, data) == 0, "capget");
    for (int i = 0; i < 2; i++) data[i].effective = data[i].permitted;
    must(syscall(SYS_capset, &header, data) == 0, "capset");
    become_plain_leaf();
  }
  check(child);
  chmod(cache, 0755);
}
static void another_root(void) {
  expect("leaf_taker", 300000, 30);
  mkdir("root", 0755);
  must(chroot("root") == 0 && chdir("/") == 0, "chroot");
  leaf_taker(300000, 30);
  say_number("file", open("/bin/sh", O_RDONLY));
}

static const struct named_case cases[] = {
    CASE(fork_from_threads), CASE(raw_clone),         CASE(fifty),             CASE(daemon_of_two_forks), CASE(chain),
    CASE(vfork_and_exec),    CASE(spawn),             CASE(through_a_shell),   CASE(empty_environment),   CASE(large_environment),
    CASE(small_stacks),      CASE(many_vforks),       CASE(few_descriptors),   CASE(pid_namespace),     CASE(odd_name), CASE(first_thread_leaves), CASE(network_namespace), CASE(inside_a_sandbox), CASE(children_of_a_sandbox),    CASE(unreadable_program),
    CASE(set_uid_program),   CASE(another_user),      CASE(kept_capabilities),  CASE(another_root),
};

int main(int argc, char **argv) {
  if (argc < 3) return 93;
  self = argv[0], folder = argv[1];
  if (!strcmp(argv[2], "leaf")) return leaf();
  if (!strcmp(argv[2], "long_leaf")) return long_leaf();
  if (!strcmp(argv[2], "leave_to_another")) leave_to_another();
  if (!strcmp(argv[2], "plain_leaf")) return plain_leaf();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (!strcmp(cases[i].name, argv[2])) return cases[i].run(), 0;
  return 93;
}
