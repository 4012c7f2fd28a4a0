/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon: the load of a storage daemon. Many threads seal, read, rotate and replace many blobs in one process for a
 * long time. Every byte that is read is compared, and latencies, memory, mappings and descriptors are reported.
 */
#ifndef BLOBSEAL_BENCH_DAEMON_H
#define BLOBSEAL_BENCH_DAEMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blobseal.h>

enum operation { OP_SEAL, OP_OPEN, OP_RANGE, OP_FIRST_RANGE, OP_INSPECT, OP_ROTATE, NUM_OPERATIONS };

/* ---- stats.c ----------------------------------------------------------------------------------------------------- */

/* Latencies of one thread: 16 buckets for each power of two of microseconds, so a percentile is known to about 6 %. */
#define LATENCY_BUCKETS 512

struct latencies {
    uint64_t count[NUM_OPERATIONS][LATENCY_BUCKETS];
};

/* Return the time of a clock that never goes back, in microseconds. */
uint64_t now_us(void);

void latency_add(struct latencies *l, enum operation op, uint64_t us);
void latency_merge(struct latencies *to, const struct latencies *from);
uint64_t latency_count(const struct latencies *l, enum operation op);

/* Return the latency in microseconds that the share @p (0 to 1) of the operations did not exceed. */
uint64_t latency_percentile(const struct latencies *l, enum operation op, double p);

/* What the process uses at one moment. */
struct usage {
    uint64_t resident_kib, mappings, descriptors;
};

struct usage usage_now(void);

/* ---- blobs.c ----------------------------------------------------------------------------------------------------- */

/* One blob of the store. Its content follows from its number and its version. */
struct blob {
    pthread_mutex_t lock; /* held while the file is opened or replaced, and while it is rotated by replacement */
    uint32_t version;     /* 0: not sealed yet                                                                 */
    _Atomic uint32_t kek; /* the index of the KEK that opens it                                                */
};

#define NUM_KEKS 4

struct store {
    const char *folder;
    size_t num_blobs;
    struct blob *blobs;
    struct blobseal_kek *keks[NUM_KEKS];
    _Atomic uint64_t failures; /* calls that failed, and bytes that were wrong           */
};

/* Create the KEKs and the table of blobs. Return false after a message if that is impossible. */
bool store_open(struct store *s, const char *folder, size_t num_blobs);
void store_close(struct store *s);

/* An open blob, as a daemon keeps it for the next request. */
struct handle {
    int fd; /* -1: the handle is not in use */
    size_t blob;
    uint32_t version;
    struct blobseal_fd state;
    struct blobseal_source source;
    struct blobseal_reader *reader;
};

/* The operations. Each reports its failures in s->failures and on stderr. @random is any number. */
void blob_seal(struct store *s, size_t blob);
void blob_open(struct store *s, struct handle *h, size_t blob);
void blob_read_all(struct store *s, size_t blob);
void blob_read_range(struct store *s, struct handle *h, uint64_t random);
void blob_inspect(struct store *s, size_t blob);
void blob_rotate(struct store *s, size_t blob);
void handle_close(struct handle *h);

#endif
