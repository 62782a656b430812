/* Memory that is reused from call to call.
 *
 * The system hands out memory page by page, at the first access. On a small virtual machine that costs 2 microseconds
 * per 4 KB, more if two threads do it at the same time: as much as the arithmetic on that memory. So a block that is
 * given back is kept for the next one of its size, and new blocks consist of large pages where there are any.
 */
#define _GNU_SOURCE
#include "deeprnn.h"
#include <pthread.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)
#define SMALLEST ((size_t)1 << 16)
#define MAX_KEPT 256                     /* blocks */
#define MAX_KEPT_BYTES ((size_t)256 << 20)

typedef struct {
  void *memory;
  size_t bytes;
} block;

static block kept[MAX_KEPT]; /* the one given back first is the first */
static int count;
static size_t kept_bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The size of a block: an eighth of a power of two, so that similar requests can reuse each other's; 0 if too large. */
static size_t block_size(size_t bytes) {
  if (bytes > (SIZE_MAX >> 2)) return 0;
  size_t power = SMALLEST;
  while (2 * power <= bytes) power *= 2;
  size_t step = power / 8;
  return bytes <= SMALLEST ? SMALLEST : (bytes + step - 1) / step * step;
}

static void *map(size_t bytes) {
  size_t slack = bytes >= LARGE_PAGE ? LARGE_PAGE : 0;
  char *mapped = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return NULL;
  if (!slack) return mapped;
  size_t before = -(uintptr_t)mapped % LARGE_PAGE;
  if (before) munmap(mapped, before);
  if (slack - before) munmap(mapped + before + bytes, slack - before);
#ifdef MADV_HUGEPAGE
  madvise(mapped + before, bytes, MADV_HUGEPAGE);
#endif
  return mapped + before;
}

/* Remove a kept block from the list and return it. */
static void *remove_kept(int index) {
  void *memory = kept[index].memory;
  kept_bytes -= kept[index].bytes;
  for (count--; index < count; index++) kept[index] = kept[index + 1];
  return memory;
}

void *deeprnn_take_memory(size_t bytes) {
  bytes = block_size(bytes);
  if (!bytes) return NULL;
  void *memory = NULL;
  pthread_mutex_lock(&lock);
  for (int i = count - 1; i >= 0 && !memory; i--)
    if (kept[i].bytes == bytes) memory = remove_kept(i);
  pthread_mutex_unlock(&lock);
  return memory ? memory : map(bytes);
}

void deeprnn_give_memory(void *memory, size_t bytes) {
  if (!memory) return;
  bytes = block_size(bytes);
  if (bytes > MAX_KEPT_BYTES) {
    munmap(memory, bytes);
    return;
  }
  pthread_mutex_lock(&lock);
  while (count == MAX_KEPT || kept_bytes + bytes > MAX_KEPT_BYTES) {
    size_t size = kept[0].bytes;
    munmap(remove_kept(0), size);
  }
  kept[count++] = (block){memory, bytes};
  kept_bytes += bytes;
  pthread_mutex_unlock(&lock);
}

/* A fork while another thread holds the lock would leave it locked in the child. */
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }
