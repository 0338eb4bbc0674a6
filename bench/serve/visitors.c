/*
 * The visitors of the bench: asks a server on this machine over many connections and prints what it counted as JSON. Bodies are
 * thrown away by the kernel (MSG_TRUNC), so that as little as possible of the processor is the visitors'.
 *
 *     visitors PORT CONNECTIONS SECONDS random|each RANGE OF RATE < TARGETS
 *
 * TARGETS has one a line: asked for at random, or each in turn. RANGE is a number of bytes, asked for anywhere in the OF bytes of
 * every file; 0 for whole files. RATE is how many bytes per second a visitor takes, with a receive buffer of 64 KiB; 0 for all
 * that comes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_HEAD = 4096,
  MAX_TARGET = 2048,
  MAX_READ = 1 << 20,
  SLOW_RECEIVE_BUFFER = 64 * 1024,
  SLOW_READ = 4096,
  SLOW_LOOK_MS = 2,
};

struct visitor {
  int socket;
  double asked_at;
  /* Of the body; -1 while the head has not come yet. */
  long long left;
  /* Of slow ones: what they may read, and since when that was counted. */
  double allowed, counted_at;
  int is_waiting;
};

static struct {
  int port, connections, in_turn;
  double seconds, rate;
  long long range, of;
  char **targets;
  size_t count;
} order;

static struct {
  long requests, failed;
  long long bytes;
  double *times;
  size_t room;
} counted;

static int events;
static double until;

static void die(const char *what) {
  fprintf(stderr, "visitors: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* xorshift64: the same order in every run. */
static unsigned long long any(void) {
  static unsigned long long state = 88172645463325252ULL;
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static void watch(struct visitor *visitor, int how, unsigned what) {
  struct epoll_event event = {.events = what, .data.ptr = visitor};
  if (epoll_ctl(events, how, visitor->socket, &event) < 0) die("epoll_ctl");
}

static void ask(struct visitor *visitor) {
  static size_t turn;
  char request[MAX_TARGET + 256], range[128] = "";
  const char *target = order.targets[(order.in_turn ? turn++ : any()) % order.count];
  if (order.range > 0) {
    long long from = (long long)(any() % (unsigned long long)(order.of - order.range));
    snprintf(range, sizeof range, "Range: bytes=%lld-%lld\r\n", from, from + order.range - 1);
  }
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", target, range);
  visitor->left = -1;
  visitor->asked_at = now();
  if (send(visitor->socket, request, (size_t)length, MSG_NOSIGNAL) != length) counted.failed++;
}

static void enter(struct visitor *visitor) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)order.port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1, buffer = SLOW_RECEIVE_BUFFER;
  visitor->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (order.rate > 0) setsockopt(visitor->socket, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if (connect(visitor->socket, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  setsockopt(visitor->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  visitor->allowed = 0;
  visitor->counted_at = now();
  watch(visitor, EPOLL_CTL_ADD, EPOLLIN);
  ask(visitor);
}

static void start_over(struct visitor *visitor) {
  counted.failed++;
  close(visitor->socket);
  enter(visitor);
}

static void end(struct visitor *visitor) {
  double ended_at = now();
  if ((size_t)counted.requests == counted.room) {
    counted.room = counted.room ? counted.room * 2 : 1 << 16;
    counted.times = realloc(counted.times, counted.room * sizeof *counted.times);
    if (!counted.times) die("realloc");
  }
  counted.times[counted.requests++] = ended_at - visitor->asked_at;
  if (ended_at < until) ask(visitor);
}

/* Reads up to the end of the head and no further. @returns whether it is all there */
static int read_head(struct visitor *visitor) {
  char head[MAX_HEAD + 1];
  ssize_t length = recv(visitor->socket, head, MAX_HEAD, MSG_DONTWAIT | MSG_PEEK);
  if (length < 0 && errno == EAGAIN) return 0;
  if (length <= 0) return start_over(visitor), 0;
  head[length] = 0;
  char *blank = strstr(head, "\r\n\r\n");
  if (!blank && length < MAX_HEAD) return 0;
  char *field = strcasestr(head, "\r\ncontent-length:");
  if (!blank || !field || field > blank) return start_over(visitor), 0;
  recv(visitor->socket, NULL, (size_t)(blank + 4 - head), MSG_TRUNC);
  visitor->left = atoll(field + strlen("\r\ncontent-length:"));
  if (strncmp(head, order.range > 0 ? "HTTP/1.1 206 " : "HTTP/1.1 200 ", 13) != 0) counted.failed++;
  return 1;
}

/* @returns how much a slow visitor may read now; he waits where that is too little to be worth a call */
static size_t allowance(struct visitor *visitor) {
  double time = now();
  visitor->allowed += (time - visitor->counted_at) * order.rate;
  visitor->counted_at = time;
  if (visitor->allowed > order.rate / 2) visitor->allowed = order.rate / 2;
  if (visitor->allowed >= SLOW_READ) return (size_t)visitor->allowed;
  if (!visitor->is_waiting) watch(visitor, EPOLL_CTL_MOD, 0);
  visitor->is_waiting = 1;
  return 0;
}

static void attend(struct visitor *visitor) {
  if (visitor->left < 0 && !read_head(visitor)) return;
  while (visitor->left > 0) {
    size_t most = order.rate > 0 ? allowance(visitor) : MAX_READ;
    if (most == 0) return;
    if ((long long)most > visitor->left) most = (size_t)visitor->left;
    ssize_t length = recv(visitor->socket, NULL, most, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) return start_over(visitor);
    counted.bytes += length;
    visitor->left -= length;
    visitor->allowed -= (double)length;
    /* The others are not kept waiting for one whose server is quick. */
    if (visitor->left > 0 && order.connections > 1) return;
  }
  end(visitor);
}

static void wake(struct visitor *visitor) {
  if (!visitor->is_waiting || allowance(visitor) == 0) return;
  visitor->is_waiting = 0;
  watch(visitor, EPOLL_CTL_MOD, EPOLLIN);
}

static void read_targets(void) {
  char *line = NULL;
  size_t room = 0;
  for (ssize_t length; (length = getline(&line, &room, stdin)) > 0;) {
    line[--length] = 0;
    if (length > MAX_TARGET) die("a target is too long");
    order.targets = realloc(order.targets, (order.count + 1) * sizeof *order.targets);
    if (!order.targets || !(order.targets[order.count++] = strdup(line))) die("realloc");
  }
  free(line);
  if (order.count == 0) die("no targets");
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile_ms(double part) {
  if (counted.requests == 0) return 0;
  return counted.times[(size_t)((double)(counted.requests - 1) * part)] * 1e3;
}

int main(int count, char **words) {
  if (count != 8) return fprintf(stderr, "visitors: 7 words are needed\n"), 64;
  order.port = atoi(words[1]);
  order.connections = atoi(words[2]);
  order.seconds = atof(words[3]);
  order.in_turn = strcmp(words[4], "each") == 0;
  order.range = atoll(words[5]);
  order.of = atoll(words[6]);
  order.rate = atof(words[7]);
  read_targets();
  events = epoll_create1(EPOLL_CLOEXEC);
  struct visitor *visitors = calloc((size_t)order.connections, sizeof *visitors);
  if (events < 0 || !visitors) die("start");
  double started = now();
  until = started + order.seconds;
  for (int each = 0; each < order.connections; each++) enter(&visitors[each]);
  for (double left; (left = until - now()) > 0;) {
    struct epoll_event ready[256];
    int wait_ms = order.rate > 0 ? SLOW_LOOK_MS : (int)(left * 1e3) + 1;
    int found = epoll_wait(events, ready, 256, wait_ms);
    for (int each = 0; each < found; each++) attend(ready[each].data.ptr);
    if (order.rate > 0)
      for (int each = 0; each < order.connections; each++) wake(&visitors[each]);
  }
  double seconds = now() - started;
  qsort(counted.times, (size_t)counted.requests, sizeof *counted.times, ascending);
  printf("{\"requests\":%ld,\"bytes\":%lld,\"seconds\":%.4f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"failed\":%ld}\n",
         counted.requests, counted.bytes, seconds, quantile_ms(0.5), quantile_ms(0.99), counted.failed);
}
