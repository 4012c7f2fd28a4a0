/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run every file of the given folders through a fuzz target, so that past findings of the fuzzers are tested in every
 * build. A missing or empty folder is a failure, because the test would otherwise always pass.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Run one file. Return 0 if it cannot be read, otherwise 1. */
static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat info;
    int ok = 0;

    if (f == NULL || fstat(fileno(f), &info) != 0)
        goto out;
    data = malloc((size_t)info.st_size + (info.st_size == 0 ? 1 : 0)); /* exact, so that reads beyond it are detected */
    if (data == NULL || fread(data, 1, (size_t)info.st_size, f) != (size_t)info.st_size)
        goto out;
    (void)LLVMFuzzerTestOneInput(data, (size_t)info.st_size);
    ok = 1;
out:
    if (!ok)
        (void)fprintf(stderr, "replay: cannot read %s\n", path);
    free(data);
    if (f != NULL)
        (void)fclose(f);
    return ok;
}

/* Run all files of a folder. Return their number, or -1. */
static int replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;
    char path[4096];
    int n = 0;

    if (dir == NULL)
        return -1;
    while (n >= 0 && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n = replay(path) ? n + 1 : -1;
    }
    (void)closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = replay_folder(argv[i]);

        if (n <= 0) {
            (void)fprintf(stderr, "replay: %s is missing, empty or not readable\n", argv[i]);
            return 1;
        }
        (void)printf("replay: %d inputs of %s\n", n, argv[i]);
    }
    return argc > 1 ? 0 : 1;
}
