/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that runs for a long time, for scripts: set_client REFERENCE opens a key with the configuration that
 * BLOBSEAL_CONFIG names, and then obeys the lines of its standard input:
 *
 *     seal FILE, open FILE     with the key; open checks the content
 *     check, rekey             of the set, if the key is "set:NAME"
 *     end
 *
 * The answer to each is a line: OK, or the code of the status and the text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/blobs.h"

#include "blobseal_set.h"

static const char content[] = "content of a blob";

static struct {
    struct blobseal_config *config;
    struct blobseal_kek *kek;
    struct blobseal_set *set; /* NULL: the key is not of a set */
} client;

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */

static enum blobseal_status seal_file(const char *path, struct blobseal_error *err)
{
    struct sealed blob;
    enum blobseal_status st = seal_bytes(&blob, content, sizeof content, &client.kek, 1, NULL, err);
    FILE *f;

    if (st != BLOBSEAL_OK)
        return st;
    f = fopen(path, "wb");
    if (f == NULL || fwrite(blob.data, 1, blob.len, f) != blob.len || fclose(f) != 0)
        test_support_failed("write a blob");
    sealed_clear(&blob);
    return st;
}

static enum blobseal_status open_file(const char *path, struct blobseal_error *err)
{
    static uint8_t blob[1 << 16];
    FILE *f = fopen(path, "rb");
    struct opened o;
    enum blobseal_status st;
    size_t len;

    if (f == NULL)
        test_support_failed("read a blob");
    len = fread(blob, 1, sizeof blob, f);
    (void)fclose(f);
    st = open_bytes(&o, blob, len, &client.kek, 1, NULL, err);
    if (st == BLOBSEAL_OK && (o.len != sizeof content || memcmp(o.data, content, sizeof content) != 0))
        test_support_failed("the content of a blob");
    opened_clear(&o);
    return st;
}

/* ---- Obeying ----------------------------------------------------------------------------------------------------- */

static enum blobseal_status obey(const char *word, const char *path, struct blobseal_error *err)
{
    if (strcmp(word, "seal") == 0)
        return seal_file(path, err);
    if (strcmp(word, "open") == 0)
        return open_file(path, err);
    if (strcmp(word, "check") == 0 && client.set != NULL)
        return blobseal_set_check(client.set, NULL, err);
    if (strcmp(word, "rekey") == 0 && client.set != NULL)
        return blobseal_set_rekey(client.set, NULL, err);
    return blobseal_fail(err, BLOBSEAL_E_ARG, 0, "no such command: %s", word);
}

static enum blobseal_status start(const char *reference, struct blobseal_error *err)
{
    const char *path = getenv("BLOBSEAL_CONFIG");
    struct blobseal_kek_options key = {.size = sizeof key};
    struct blobseal_set_options of_set = {.size = sizeof of_set};
    enum blobseal_status st = blobseal_config_new(&client.config, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_config_load(client.config, path != NULL ? path : "", err);
    if (st != BLOBSEAL_OK)
        return st;
    key.config = of_set.config = client.config;
    if (strncmp(reference, "set:", 4) != 0)
        return blobseal_kek_open(&client.kek, NULL, reference, &key, err);
    st = blobseal_set_open(&client.set, reference + 4, &of_set, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_set_kek(client.set, &client.kek, err);
    return st;
}

static void answer(enum blobseal_status st, const struct blobseal_error *err)
{
    if (st == BLOBSEAL_OK)
        printf("OK\n");
    else
        printf("%s %s\n", blobseal_status_code(st), err->text);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[4096], word[16], path[4000];
    struct blobseal_error err = {0};
    enum blobseal_status st;

    if (argc != 2)
        return 2;
    st = start(argv[1], &err);
    answer(st, &err);
    while (st == BLOBSEAL_OK && fgets(line, sizeof line, stdin) != NULL) {
        path[0] = '\0';
        if (sscanf(line, "%15s %3999[^\n]", word, path) < 1 || strcmp(word, "end") == 0)
            break;
        answer(obey(word, path, &err), &err);
    }
    blobseal_kek_close(client.kek);
    blobseal_set_close(client.set);
    blobseal_config_free(client.config);
    return st == BLOBSEAL_OK ? 0 : 1;
}
