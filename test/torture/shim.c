/*
 * Preloaded into the program under torture. It counts the calls that change the file system below one folder, and at a
 * chosen one kills the process (before or after it) or lets it fail. libuv's threads call these functions of the C library;
 * with io_uring they would not, so UV_USE_IO_URING must be 0.
 *
 * The plan is the variable TORTURE_PLAN, or what nursery.ts gives to a forked process: fields divided by newlines:
 *
 *     root=FOLDER         what lies below counts
 *     at=N                the N-th call; 0 for none
 *     do=WHAT             kill-before, kill-after, eio, enospc, short (half of a write is done), full (all that needs room
 *                         fails from here on)
 *     log=FILE            one line for each call: its name, and whether it failed
 *
 * It also lets a warmed-up process fork: opening /.torture/fork/FILE makes a process whose output goes to FILE. Starting
 * Node, which takes as long as the work itself, is paid once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_FD = 65536, STATUS_FD = 4, COMMAND_FD = 3 };

static struct {
  char root[4096];
  size_t root_length;
  long at;
  char what[32];
  int log;
} plan = {.log = -1};

static atomic_long calls;
static atomic_int is_full;
static struct { dev_t device; ino_t inode; } ours[MAX_FD];
static int is_forked;

#define REAL(result, name, ...)                                      \
  static result (*real)(__VA_ARGS__);                                \
  if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name);

static void take(const char *text) {
  const char *equals = strchr(text, '=');
  if (!equals) return;
  if (!strncmp(text, "root=", 5)) {
    snprintf(plan.root, sizeof plan.root, "%s", equals + 1);
    plan.root_length = strlen(plan.root);
  }
  if (!strncmp(text, "at=", 3)) plan.at = atol(equals + 1);
  if (!strncmp(text, "do=", 3)) snprintf(plan.what, sizeof plan.what, "%s", equals + 1);
  if (!strncmp(text, "log=", 4))
    plan.log = (int)syscall(SYS_openat, AT_FDCWD, equals + 1, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void read_plan(const char *text) {
  char copy[8192], *rest = copy;
  snprintf(copy, sizeof copy, "%s", text);
  for (char *line; (line = strsep(&rest, "\n"));) take(line);
}

__attribute__((constructor)) static void begin(void) {
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  const char *text = getenv("TORTURE_PLAN");
  if (text) read_plan(text);
}

static int is_below(const char *path) {
  if (!plan.root_length || !path || strncmp(path, plan.root, plan.root_length)) return 0;
  return path[plan.root_length] == '/' || path[plan.root_length] == '\0';
}

/** libuv closes descriptors by a bare system call, which we do not see: so what was opened is compared with what is there. */
static int is_ours(int fd) {
  struct stat facts;
  if (fd < 0 || fd >= MAX_FD || !ours[fd].inode || fstat(fd, &facts)) return 0;
  return facts.st_ino == ours[fd].inode && facts.st_dev == ours[fd].device;
}

/** What is ours is opened once more: for writes past the page cache (src/storage/direct.ts). */
static int is_ours_again(const char *path) {
  const char *descriptors = "/proc/self/fd/";
  size_t length = strlen(descriptors);
  return path && !strncmp(path, descriptors, length) && is_ours(atoi(path + length));
}

static void remember(int fd, int below) {
  struct stat facts;
  if (fd < 0 || fd >= MAX_FD) return;
  ours[fd].inode = 0;
  if (!below || fstat(fd, &facts)) return;
  ours[fd].device = facts.st_dev;
  ours[fd].inode = facts.st_ino;
}

static void die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/** What must happen to this call. */
enum verdict { GO, DIE_AFTER, FAIL, HALVE };

static __thread const char *call_name;

/** After the call: notes how it went, or is the end. */
static void finish(enum verdict verdict, int went_well) {
  if (plan.log >= 0 && call_name) {
    char line[64];
    int length = snprintf(line, sizeof line, "%s%s\n", call_name, went_well ? "" : " failed");
    if (syscall(SYS_write, plan.log, line, length) != length) abort();
  }
  call_name = NULL;
  if (verdict == DIE_AFTER) die();
}

static enum verdict count(const char *name, int needs_room, int writes) {
  long number = atomic_fetch_add(&calls, 1) + 1;
  call_name = name;
  if (is_full && needs_room) {
    errno = ENOSPC;
    return FAIL;
  }
  if (number != plan.at) return GO;
  if (!strcmp(plan.what, "kill-before")) die();
  if (!strcmp(plan.what, "kill-after")) return DIE_AFTER;
  if (!strcmp(plan.what, "short") && writes) return HALVE;
  if (!strcmp(plan.what, "eio") || !strcmp(plan.what, "short")) {
    errno = EIO;
    return FAIL;
  }
  if (!strcmp(plan.what, "full")) is_full = 1;
  if (needs_room) {
    errno = ENOSPC;
    return FAIL;
  }
  return GO;
}

#define COUNTED(is_counted, name, needs_room, call)                      \
  do {                                                                   \
    enum verdict verdict = (is_counted) ? count(name, needs_room, 0) : GO; \
    int result = verdict == FAIL ? -1 : (call);                          \
    finish(verdict, result >= 0);                                        \
    return result;                                                       \
  } while (0)

/** Two forks: the first stays and tells what becomes of the second, on STATUS_FD. */
static int fork_worker(const char *output) {
  signal(SIGCHLD, SIG_IGN); /* nobody waits for the first ones */
  pid_t teller = fork();
  if (teller < 0) return -1;
  if (teller > 0) return (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGCHLD, SIG_DFL);
  pid_t worker = fork();
  if (worker != 0) {
    char line[5000];
    int status = 0, length = snprintf(line, sizeof line, "started %d %s\n", (int)worker, output);
    close(COMMAND_FD);
    if (write(STATUS_FD, line, (size_t)length) != length) _exit(1);
    struct rusage used;
    while (wait4(worker, &status, WUNTRACED, &used) == worker) {
      const char *word = WIFSTOPPED(status) ? "stopped" : "ended";
      int value = WIFSTOPPED(status) ? 0 : WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
      long cpu_ms = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
      length = snprintf(line, sizeof line, "%s %d %d %ld\n", word, (int)worker, value, cpu_ms);
      if (write(STATUS_FD, line, (size_t)length) != length || !WIFSTOPPED(status)) break;
    }
    _exit(0);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  is_forked = 1;
  int log = (int)syscall(SYS_openat, AT_FDCWD, output, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log < 0) _exit(111);
  dup2(log, 1);
  dup2(log, 2);
  close(log);
  close(COMMAND_FD);
  close(STATUS_FD);
  void *(*default_loop)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "uv_default_loop");
  int (*loop_fork)(void *) = (int (*)(void *))dlsym(RTLD_DEFAULT, "uv_loop_fork");
  if (!default_loop || !loop_fork || loop_fork(default_loop())) _exit(112);
  errno = EAGAIN;
  return -1;
}

static int command(const char *text) {
  if (!strncmp(text, "fork/", 5)) return fork_worker(text + 4);
  if (!strncmp(text, "exit/", 5)) _exit(atoi(text + 5));
  if (!strncmp(text, "plan/", 5)) read_plan(text + 5);
  return (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
}

static int open_counted(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  if (!strncmp(path, "/.torture/", 10)) return command(path + 10);
  int below = is_below(path) || is_ours_again(path);
  enum verdict verdict = below && (flags & O_CREAT) ? count("open", 1, 0) : GO;
  int fd = verdict == FAIL ? -1 : real(path, flags, mode);
  remember(fd, below);
  finish(verdict, fd >= 0);
  return fd;
}

static mode_t mode_of(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, mode_t) : 0; }

int open(const char *path, int flags, ...) {
  REAL(int, "open", const char *, int, ...)
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_counted(real, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  REAL(int, "open64", const char *, int, ...)
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_counted(real, path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  REAL(ssize_t, "write", int, const void *, size_t)
  enum verdict verdict = is_ours(fd) ? count("write", 1, 1) : GO;
  ssize_t done = verdict == FAIL ? -1 : real(fd, bytes, verdict == HALVE ? length / 2 : length);
  finish(verdict, done >= 0);
  return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
  enum verdict verdict = is_ours(fd) ? count("pwrite", 1, 1) : GO;
  ssize_t done = verdict == FAIL ? -1 : real(fd, bytes, verdict == HALVE ? length / 2 : length, offset);
  finish(verdict, done >= 0);
  return done;
}

ssize_t writev(int fd, const struct iovec *parts, int amount) {
  REAL(ssize_t, "writev", int, const struct iovec *, int)
  enum verdict verdict = is_ours(fd) ? count("writev", 1, 1) : GO;
  ssize_t done = verdict == FAIL ? -1 : real(fd, parts, verdict == HALVE ? 1 : amount);
  finish(verdict, done >= 0);
  return done;
}

int fsync(int fd) {
  REAL(int, "fsync", int)
  COUNTED(is_ours(fd), "fsync", 0, real(fd));
}

int fdatasync(int fd) {
  REAL(int, "fdatasync", int)
  COUNTED(is_ours(fd), "fdatasync", 0, real(fd));
}

int ftruncate64(int fd, off64_t length) {
  REAL(int, "ftruncate64", int, off64_t)
  COUNTED(is_ours(fd), "ftruncate", 0, real(fd, length));
}

int fchmod(int fd, mode_t mode) {
  REAL(int, "fchmod", int, mode_t)
  COUNTED(is_ours(fd), "fchmod", 0, real(fd, mode));
}

int link(const char *from, const char *to) {
  REAL(int, "link", const char *, const char *)
  COUNTED(is_below(to), "link", 1, real(from, to));
}

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *)
  COUNTED(is_below(from) || is_below(to), "rename", 0, real(from, to));
}

int unlink(const char *path) {
  REAL(int, "unlink", const char *)
  COUNTED(is_below(path), "unlink", 0, real(path));
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t)
  COUNTED(is_below(path), "mkdir", 1, real(path, mode));
}

int rmdir(const char *path) {
  REAL(int, "rmdir", const char *)
  COUNTED(is_below(path), "rmdir", 0, real(path));
}

/** V8 keeps its heap from forked processes, because others only start a program there. */
int madvise(void *from, size_t length, int advice) {
  REAL(int, "madvise", void *, size_t, int)
  return advice == MADV_DONTFORK ? 0 : real(from, length, advice);
}

/** The threads of before the fork are not there any more: waiting for them at exit would never end. */
int pthread_join(pthread_t thread, void **result) {
  REAL(int, "pthread_join", pthread_t, void **)
  return is_forked ? 0 : real(thread, result);
}
