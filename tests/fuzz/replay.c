/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs every file of the folders given through a fuzz target, so that what a fuzzer once found is a test in every
 * build. A folder that is missing or empty is a failure: it would otherwise pass for ever.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Run one file. False: it cannot be read. */
static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat info;
    int ok = 0;

    if (f == NULL || fstat(fileno(f), &info) != 0)
        goto out;
    data = malloc((size_t)info.st_size + (info.st_size == 0 ? 1 : 0)); /* exact, so that a read behind it is seen */
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

/* Run all files of a folder; their number, or -1. */
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
