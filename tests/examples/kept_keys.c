/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read parts of many blobs as a daemon does, with keys that stay unlocked: kept_keys KEY.pem < REQUESTS
 *
 * A request is a line "FILE OFFSET LENGTH"; the answer is that part of the content. To open a blob takes an RSA
 * operation, or a request to a vault, of which a daemon can afford few. So the program keeps the unlocked keys of the
 * last blobs. It never holds a data key itself: what it keeps opens one blob, in this process only.
 */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */
#include <blobseal.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEPT     8
#define MAX_NAME 256
#define MAX_READ 65536

struct kept {
    char name[MAX_NAME];
    struct blobseal_unlocked *key; /* NULL: this entry is free */
};

struct daemon {
    struct blobseal_kek *kek;
    struct kept kept[KEPT];
    unsigned next; /* the entry to use next */
    unsigned requests, unlocked;
};

static struct kept *find(struct daemon *d, const char *name)
{
    for (unsigned i = 0; i < KEPT; i++)
        if (d->kept[i].key != NULL && strcmp(d->kept[i].name, name) == 0)
            return &d->kept[i];
    return NULL;
}

/* Readers that still use the key have references of their own. */
static void forget(struct kept *k)
{
    blobseal_unlocked_release(k->key);
    k->key = NULL;
}

static enum blobseal_status unlock(struct daemon *d, struct kept *k, const char *name,
                                   const struct blobseal_source *source, struct blobseal_error *err)
{
    forget(k);
    d->unlocked++;
    snprintf(k->name, sizeof k->name, "%s", name);
    return blobseal_unlock(&k->key, source, &d->kek, 1, NULL, err);
}

static enum blobseal_status open_blob(struct daemon *d, struct blobseal_reader **reader, const char *name,
                                      const struct blobseal_source *source, struct blobseal_error *err)
{
    struct kept *k = find(d, name);
    enum blobseal_status st;

    *reader = NULL;
    if (k != NULL) {
        st = blobseal_reader_open_with(reader, source, k->key, NULL, err);
        if (st != BLOBSEAL_E_NO_KEY) /* otherwise the file is another blob now */
            return st;
    } else {
        k = &d->kept[d->next++ % KEPT];
    }
    st = unlock(d, k, name, source, err);
    return st == BLOBSEAL_OK ? blobseal_reader_open_with(reader, source, k->key, NULL, err) : st;
}

static enum blobseal_status answer(struct daemon *d, const char *name, uint64_t off, size_t len,
                                   struct blobseal_error *err)
{
    static char buf[MAX_READ];
    struct blobseal_reader *reader = NULL;
    struct blobseal_source source;
    struct blobseal_fd state;
    size_t n = 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    enum blobseal_status st = blobseal_source_fd(&source, &state, fd, name, err);

    if (st == BLOBSEAL_OK)
        st = open_blob(d, &reader, name, &source, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_pread(reader, buf, len < MAX_READ ? len : MAX_READ, off, &n, err);
    fwrite(buf, 1, n, stdout);
    blobseal_reader_close(reader);
    if (fd >= 0)
        close(fd);
    return st;
}

int main(int argc, char **argv)
{
    struct daemon d = {0};
    struct blobseal_error err;
    char line[MAX_NAME + 64], name[MAX_NAME];
    unsigned long long off, len;
    int failed = 0;

    if (argc != 2 || blobseal_kek_open(&d.kek, NULL, argv[1], NULL, &err) != BLOBSEAL_OK) {
        fprintf(stderr, "%s\n", argc == 2 ? err.text : "kept_keys KEY.pem < REQUESTS");
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "%255s %llu %llu", name, &off, &len) != 3)
            continue;
        d.requests++;
        if (answer(&d, name, off, (size_t)len, &err) != BLOBSEAL_OK) {
            fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(err.status));
            failed = 1;
        }
    }
    for (unsigned i = 0; i < KEPT; i++)
        forget(&d.kept[i]);
    blobseal_kek_close(d.kek);
    fprintf(stderr, "%u requests, %u keys unlocked\n", d.requests, d.unlocked);
    return failed;
}
