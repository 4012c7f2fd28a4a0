/* SPDX-License-Identifier: Apache-2.0 */
/* The store as a command. A digest on stdout acknowledges a put. Exit code 3 means that the object does not exist. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

static const char usage[] = "usage: store KEY.pem FOLDER put < FILE\n"
                            "       store KEY.pem FOLDER get DIGEST [OFFSET LENGTH] > FILE\n"
                            "       store KEY.pem FOLDER stat DIGEST\n"
                            "       store KEY.pem FOLDER delete DIGEST\n";

static enum blobseal_status put(struct store *store, struct blobseal_error *err)
{
    struct blobseal_source in;
    struct blobseal_fd state;
    char digest[STORE_DIGEST];
    enum blobseal_status st = blobseal_source_fd(&in, &state, 0, "standard input", err);

    if (st == BLOBSEAL_OK)
        st = store_put(store, &in, digest, err);
    if (st == BLOBSEAL_OK)
        (void)puts(digest);
    return st;
}

static enum blobseal_status get(struct store *store, char **argv, struct blobseal_error *err)
{
    uint64_t off = argv[1] != NULL ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t len = argv[1] != NULL ? strtoull(argv[2], NULL, 10) : UINT64_MAX;
    struct blobseal_sink out;
    struct blobseal_fd state;
    enum blobseal_status st = blobseal_sink_fd(&out, &state, 1, "standard output", err);

    return st == BLOBSEAL_OK ? store_get(store, argv[0], off, len, &out, err) : st;
}

static enum blobseal_status stat_one(struct store *store, const char *digest, struct blobseal_error *err)
{
    uint64_t size;
    enum blobseal_status st = store_stat(store, digest, &size, err);

    if (st == BLOBSEAL_OK)
        printf("%llu\n", (unsigned long long)size);
    return st;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 3 ? argv[3] : "";
    struct blobseal_kek *kek = NULL;
    struct store *store = NULL;
    struct blobseal_error err = {0};
    enum blobseal_status st;

    if (!(argc == 4 && strcmp(verb, "put") == 0) && !((argc == 5 || argc == 7) && strcmp(verb, "get") == 0) &&
        !(argc == 5 && (strcmp(verb, "stat") == 0 || strcmp(verb, "delete") == 0))) {
        (void)fputs(usage, stderr);
        return 2;
    }
    st = blobseal_kek_open(&kek, NULL, argv[1], NULL, &err);
    if (st == BLOBSEAL_OK)
        st = store_open(&store, argv[2], kek, &err);
    if (st == BLOBSEAL_OK)
        st = *verb == 'p'   ? put(store, &err)
             : *verb == 'g' ? get(store, argv + 4, &err)
             : *verb == 's' ? stat_one(store, argv[4], &err)
                            : store_delete(store, argv[4], &err);
    store_close(store);
    blobseal_kek_close(kek);
    if (st != BLOBSEAL_OK)
        fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(st));
    if (st == BLOBSEAL_OK && fflush(stdout) != 0)
        return 1;
    return st == BLOBSEAL_OK ? 0 : st == BLOBSEAL_E_INPUT && err.sys_errno == ENOENT ? 3 : 1;
}
