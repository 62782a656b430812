/* Threads that live as long as the process, and a barrier. */
#define _GNU_SOURCE
#include "deeprnn.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* A sleeping thread takes longer to wake than a time step lasts, so threads spin first; but only briefly, because the
 * framework's own threads need the cores between calls. */
#define SPINS 2000

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

void deeprnn_meet(deeprnn_barrier *barrier, int *sense) {
  if (barrier->threads == 1) return;
  *sense = !*sense;
  if (atomic_fetch_add_explicit(&barrier->count, 1, memory_order_acq_rel) == barrier->threads - 1) {
    atomic_store_explicit(&barrier->count, 0, memory_order_relaxed);
    atomic_store_explicit(&barrier->sense, *sense, memory_order_release);
    return;
  }
  for (long spins = 0; atomic_load_explicit(&barrier->sense, memory_order_acquire) != *sense; spins++) {
    relax();
    if (spins > SPINS) sched_yield();
  }
}

typedef struct {
  void (*run)(void *, int);
  void *argument;
  int id;
  int cpu; /* on which the caller runs, or -1 */
} task;

static task tasks[DEEPRNN_MAX_THREADS];
static int pool_size = 0;
static atomic_int turn, done;
static pthread_mutex_t tasks_lock = PTHREAD_MUTEX_INITIALIZER; /* of `tasks` and `turn` */
static pthread_mutex_t call_lock = PTHREAD_MUTEX_INITIALIZER;  /* one call at a time uses the pool */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

/* The scheduler often wakes a thread on the CPU of the thread that wakes it. Since the caller keeps running, both would
 * share that CPU for milliseconds, until the scheduler moves one of them. */
#ifdef __linux__
static int current_cpu(void) { return sched_getcpu(); }
static void leave_cpu(int cpu) {
  cpu_set_t allowed, others;
  if (cpu < 0 || sched_getcpu() != cpu || sched_getaffinity(0, sizeof allowed, &allowed)) return;
  others = allowed;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others)) sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static int current_cpu(void) { return -1; }
static void leave_cpu(int cpu) { (void)cpu; }
#endif

typedef struct {
  int index, turn;
} start;

static void *work(void *argument) {
  start first = *(start *)argument;
  free(argument);
  int seen = first.turn;
  for (;;) {
    for (long spins = 0; atomic_load_explicit(&turn, memory_order_acquire) == seen && spins < SPINS; spins++) relax();
    pthread_mutex_lock(&tasks_lock);
    while (atomic_load_explicit(&turn, memory_order_relaxed) == seen) pthread_cond_wait(&wake, &tasks_lock);
    seen = atomic_load_explicit(&turn, memory_order_relaxed);
    task mine = tasks[first.index];
    pthread_mutex_unlock(&tasks_lock);
    if (mine.run) {
      leave_cpu(mine.cpu);
      mine.run(mine.argument, mine.id);
    }
    atomic_fetch_add_explicit(&done, 1, memory_order_release);
  }
  return NULL;
}

/* Start threads until there are `wanted`; return how many there are. */
static int grow(int wanted) {
  while (pool_size < wanted) {
    start *first = malloc(sizeof *first);
    if (!first) break;
    *first = (start){pool_size, atomic_load(&turn)};
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &attributes, work, first);
    pthread_attr_destroy(&attributes);
    if (failed) {
      free(first);
      break;
    }
    pool_size++;
  }
  return pool_size;
}

/* Run a task on the caller and on threads of the pool; `call_lock` is held. */
static void run_tasks(int extra, void (*run)(void *, int), void *argument) {
  int cpu = current_cpu();
  pthread_mutex_lock(&tasks_lock);
  for (int i = 0; i < pool_size; i++) tasks[i] = (task){i < extra ? run : NULL, argument, i + 1, cpu};
  atomic_store_explicit(&done, 0, memory_order_relaxed);
  atomic_fetch_add_explicit(&turn, 1, memory_order_release);
  pthread_cond_broadcast(&wake);
  pthread_mutex_unlock(&tasks_lock);
  run(argument, 0);
  for (long spins = 0; atomic_load_explicit(&done, memory_order_acquire) < pool_size; spins++) {
    relax();
    if (spins > SPINS) sched_yield();
  }
}

/* The tasks of one call meet at barriers, so all of them must run at the same time. */
void deeprnn_run(int threads, void (*run)(void *, int), void *argument) {
  if (threads == 1) {
    run(argument, 0);
    return;
  }
  pthread_mutex_lock(&call_lock);
  run_tasks(threads - 1, run, argument);
  pthread_mutex_unlock(&call_lock);
}

/* The same for a short task that is better run by the caller alone than delayed: return 0, and run nothing, if another
 * call uses the threads, or if they do not exist. */
int deeprnn_run_if_free(int threads, void (*run)(void *, int), void *argument) {
  if (pthread_mutex_trylock(&call_lock)) return 0;
  int enough = grow(threads - 1) >= threads - 1;
  if (enough) run_tasks(threads - 1, run, argument);
  pthread_mutex_unlock(&call_lock);
  return enough;
}

/* Return how many of the wanted threads a call may use. */
int deeprnn_available_threads(int wanted) {
  if (wanted > DEEPRNN_MAX_THREADS) wanted = DEEPRNN_MAX_THREADS;
  if (wanted <= 1) return 1;
  pthread_mutex_lock(&call_lock);
  int available = grow(wanted - 1) + 1;
  pthread_mutex_unlock(&call_lock);
  return available < wanted ? available : wanted;
}

static atomic_int streams;
int deeprnn_begin_stream(void) { return atomic_fetch_add(&streams, 1) + 1; }
void deeprnn_end_stream(void) { atomic_fetch_sub(&streams, 1); }

/* A forked child has none of the threads: it starts new ones in its first call. */
static void before_fork(void) {
  pthread_mutex_lock(&call_lock);
  pthread_mutex_lock(&tasks_lock);
}
static void after_fork_in_parent(void) {
  pthread_mutex_unlock(&tasks_lock);
  pthread_mutex_unlock(&call_lock);
}
static void after_fork_in_child(void) {
  pool_size = 0;
  atomic_init(&turn, 0);
  atomic_init(&done, 0);
  atomic_init(&streams, 0);
  memset(tasks, 0, sizeof tasks);
  pthread_mutex_init(&tasks_lock, NULL);
  pthread_mutex_init(&call_lock, NULL);
  pthread_cond_init(&wake, NULL);
}
__attribute__((constructor)) static void watch_forks(void) {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
