/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read one blob at any offset from several threads, as a server of disk images does: random_reads KEY.pem
 *
 * The plaintext is a table of 64-bit numbers, each the square of its index, so that every thread can check whether it
 * received what it requested. All threads share one reader, and none of them holds a lock while it reads or decrypts.
 */
#include <blobseal.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBERS (1u << 20) /* 8 MiB */
#define THREADS 4
#define READS   500  /* reads by each thread */
#define MOST    2000 /* numbers in one read, at most */

struct client {
    struct blobseal_reader *reader;
    unsigned seed, right;
};

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8;
}

static void *run_client(void *arg)
{
    struct client *c = arg;
    uint64_t numbers[MOST];
    size_t got;

    for (unsigned i = 0; i < READS; i++) {
        uint64_t first = next_random(&c->seed) % (NUMBERS - MOST);
        size_t count = 1 + next_random(&c->seed) % MOST, same = 0;

        if (blobseal_reader_pread(c->reader, numbers, count * 8, first * 8, &got, NULL) != BLOBSEAL_OK)
            continue; /* a real program would examine the error; this one counts correct reads */
        while (same < count && numbers[same] == (first + same) * (first + same))
            same++;
        c->right += same == count && got == count * 8;
    }
    return NULL;
}

static unsigned run_clients(struct blobseal_reader *reader)
{
    struct client clients[THREADS];
    pthread_t threads[THREADS];
    unsigned started = 0, right = 0;

    for (unsigned i = 0; i < THREADS; i++)
        clients[i] = (struct client){reader, i + 1, 0};
    while (started < THREADS && pthread_create(&threads[started], NULL, run_client, &clients[started]) == 0)
        started++;
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        right += clients[i].right;
    }
    return right;
}

int main(int argc, char **argv)
{
    struct blobseal_memory in, sealed = {0};
    struct blobseal_reader *reader = NULL;
    struct blobseal_kek *kek = NULL;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err;
    uint64_t *numbers = malloc(NUMBERS * sizeof *numbers);
    enum blobseal_status st = blobseal_kek_open(&kek, NULL, argc > 1 ? argv[1] : "kek.pem", NULL, &err);
    unsigned right = 0;

    if (numbers == NULL)
        return 1;
    for (uint64_t i = 0; i < NUMBERS; i++)
        numbers[i] = i * i;
    blobseal_source_memory(&source, &in, numbers, NUMBERS * sizeof *numbers);
    blobseal_sink_memory(&sink, &sealed);
    if (st == BLOBSEAL_OK)
        st = blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, &err);
    blobseal_source_memory(&source, &in, sealed.data, sealed.len);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_open(&reader, &source, &kek, 1, NULL, &err);
    if (st == BLOBSEAL_OK)
        right = run_clients(reader);
    else
        fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(st));
    printf("%u of %u reads were right\n", right, THREADS * READS);
    blobseal_reader_close(reader);
    blobseal_kek_close(kek);
    blobseal_free(sealed.data);
    free(numbers);
    return right == THREADS * READS ? 0 : 1;
}
