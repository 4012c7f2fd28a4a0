/* SPDX-License-Identifier: Apache-2.0 */
/* Random reads of an open blob: the time of one read, and the rate of several threads that share one reader. */
#include <pthread.h>
#include <stdlib.h>

#include <blobseal.h>

#include "bench/bench.h"

#define BLOB_LEN    ((size_t)64 << 20)
#define MAX_THREADS 8
#define BATCH       1000 /* reads of a thread in one iteration of the loop */

struct read_case {
    size_t len;
    unsigned threads;
};

static const struct read_case one_byte = {1, 1}, one_chunk = {16384, 1}, megabyte = {1 << 20, 1}, shared = {1, 8};

struct blob {
    struct blobseal_memory sealed, in;
    struct blobseal_source source;
    struct blobseal_reader *reader;
};

static enum blobseal_status blob_open(struct blob *b)
{
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_memory in;
    struct blobseal_kek *kek = bench_kek();
    uint8_t *plain = calloc(1, BLOB_LEN);
    enum blobseal_status st = kek != NULL && plain != NULL ? BLOBSEAL_OK : BLOBSEAL_E_NOMEM;

    blobseal_source_memory(&source, &in, plain, BLOB_LEN);
    blobseal_sink_memory(&sink, &b->sealed);
    if (st == BLOBSEAL_OK)
        st = blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, NULL);
    blobseal_source_memory(&b->source, &b->in, b->sealed.data, b->sealed.len);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&b->reader, &b->source, &kek, 1, NULL, NULL);
    free(plain);
    return st;
}

/* Return the reader of all cases, which is kept until the program ends; NULL: there is none. */
static struct blobseal_reader *shared_reader(void)
{
    static struct blob blob;

    if (blob.reader == NULL && blob_open(&blob) != BLOBSEAL_OK)
        blobseal_free(blob.sealed.data);
    return blob.reader;
}

/* The reads of a thread, at pseudo-random offsets that are the same each time. */
struct reads {
    struct blobseal_reader *reader;
    size_t len;
    uint64_t state;
    bool ok;
    uint8_t out[1 << 20];
};

static void read_once(struct reads *r)
{
    size_t n;

    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    r->ok = r->ok && blobseal_reader_pread(r->reader, r->out, r->len, (r->state >> 20) % (BLOB_LEN - r->len), &n,
                                           NULL) == BLOBSEAL_OK;
}

static void *read_batch(void *arg)
{
    for (int i = 0; i < BATCH; i++)
        read_once(arg);
    return NULL;
}

static void read_alone(struct bench *b, struct reads *r)
{
    while (r->ok && bench_next(b))
        read_once(r);
    bench_bytes_each(b, r->len);
    bench_items_each(b, 1);
}

static void read_together(struct bench *b, struct reads *r, unsigned threads)
{
    pthread_t ids[MAX_THREADS];
    bool ok = true;

    while (ok && bench_next(b)) {
        unsigned started = 0;

        while (started < threads && pthread_create(&ids[started], NULL, read_batch, &r[started]) == 0)
            started++;
        for (unsigned i = 0; i < started; i++)
            ok = pthread_join(ids[i], NULL) == 0 && r[i].ok && ok;
        ok = ok && started == threads;
    }
    r->ok = ok;
    bench_bytes_each(b, (uint64_t)threads * BATCH * r->len);
    bench_items_each(b, (uint64_t)threads * BATCH);
}

static void reads(struct bench *b, const void *arg)
{
    const struct read_case *c = arg;
    struct blobseal_reader *reader = shared_reader();
    struct reads *r = calloc(c->threads, sizeof *r);

    if (reader == NULL || r == NULL) {
        bench_fail(b, "no blob to read");
        free(r);
        return;
    }
    for (unsigned i = 0; i < c->threads; i++) {
        r[i].reader = reader;
        r[i].len = c->len;
        r[i].state = i;
        r[i].ok = true;
    }
    if (c->threads == 1)
        read_alone(b, r);
    else
        read_together(b, r, c->threads);
    if (!r->ok)
        bench_fail(b, "a read failed");
    free(r);
}

void add_reads(void)
{
    bench_add(BENCH_CLOCK_WALL, reads, &one_byte, "pread/1");
    bench_add(BENCH_CLOCK_WALL, reads, &one_chunk, "pread/16384");
    bench_add(BENCH_CLOCK_WALL, reads, &megabyte, "pread/1048576");
    bench_add(BENCH_CLOCK_WALL, reads, &shared, "pread/1/threads:8");
}
