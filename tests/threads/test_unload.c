/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that loads the library, uses it and unloads it keeps nothing of it: no mapping and no locked memory.
 * OpenSSL stays loaded and keeps what it allocated for its first user, so the first rounds do not count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blobseal.h"

#define ROUNDS 12
#define WARM   4

static char key_file[] = "/tmp/blobseal-unload.XXXXXX";

/* Return the path of the shared library, which is in the folder above this program. */
static const char *library(void)
{
    static char path[4096 + 32];
    ssize_t n = readlink("/proc/self/exe", path, 4096);
    char *slash;

    if (n < 0)
        abort();
    path[n] = '\0';
    slash = strrchr(path, '/');
    (void)snprintf(slash, 32, "/../libblobseal.so");
    return path;
}

static void *find(void *lib, const char *name)
{
    void *p = dlsym(lib, name);

    if (p == NULL)
        abort();
    return p;
}

/* A function of the library. ISO C has no cast from a pointer to an object to a pointer to a function. */
#define CALL(lib, name) (*(__typeof__(&(name)) *)&(void *){find(lib, #name)})

static void write_key(void *lib)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    int fd = mkstemp(key_file);

    if (fd < 0 || CALL(lib, blobseal_keygen_rsa)(&pair, 2048, NULL, NULL) != BLOBSEAL_OK ||
        write(fd, pair.private_pem, pair.private_len) != (ssize_t)pair.private_len)
        abort();
    CALL(lib, blobseal_keypair_clear)(&pair);
    (void)close(fd);
}

static bool use(void *lib)
{
    static const uint8_t plain[100000] = {1};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_memory from, to;
    struct blobseal_reader *reader;
    struct blobseal_kek *kek;
    uint8_t got[1000];
    size_t n = 0;
    bool ok;

    if (CALL(lib, blobseal_kek_open)(&kek, NULL, key_file, NULL, NULL) != BLOBSEAL_OK)
        return false;
    CALL(lib, blobseal_source_memory)(&source, &from, plain, sizeof plain);
    CALL(lib, blobseal_sink_memory)(&sink, &to);
    ok = CALL(lib, blobseal_seal)(&sink, &source, &kek, 1, NULL, NULL, NULL) == BLOBSEAL_OK;
    CALL(lib, blobseal_source_memory)(&source, &from, to.data, to.len);
    ok = ok && CALL(lib, blobseal_reader_open)(&reader, &source, &kek, 1, NULL, NULL) == BLOBSEAL_OK;
    ok = ok && CALL(lib, blobseal_reader_pread)(reader, got, sizeof got, 0, &n, NULL) == BLOBSEAL_OK && got[0] == 1;
    if (ok)
        CALL(lib, blobseal_reader_close)(reader);
    CALL(lib, blobseal_free)(to.data);
    CALL(lib, blobseal_kek_close)(kek);
    return ok;
}

/* Return the number of lines of a file of this process that contain @what. */
static unsigned count_lines(const char *file, const char *what)
{
    FILE *f = fopen(file, "r");
    unsigned n = 0;
    char line[4096];

    if (f == NULL)
        abort();
    while (fgets(line, sizeof line, f) != NULL)
        n += strstr(line, what) != NULL ? 1 : 0;
    (void)fclose(f);
    return n;
}

int main(void)
{
    unsigned mappings = 0, failures = 0;

    for (int i = 0; i < ROUNDS; i++) {
        void *lib = dlopen(library(), RTLD_NOW | RTLD_LOCAL);

        if (lib == NULL) {
            (void)fprintf(stderr, "unload: %s\n", dlerror());
            return 1;
        }
        if (i == 0)
            write_key(lib);
        failures += use(lib) ? 0 : 1;
        failures += dlclose(lib) == 0 ? 0 : 1;
        if (i == WARM)
            mappings = count_lines("/proc/self/maps", "-");
    }
    (void)unlink(key_file);
    if (count_lines("/proc/self/maps", "libblobseal") > 0) {
        (void)puts("unload: the library stayed loaded, as sanitizers make it");
        return failures == 0 ? 0 : 1;
    }
    if (count_lines("/proc/self/maps", "-") > mappings) {
        (void)fprintf(stderr, "unload: %u mappings became %u\n", mappings, count_lines("/proc/self/maps", "-"));
        failures++;
    }
    if (count_lines("/proc/self/status", "VmLck:\t       0 kB") != 1) {
        (void)fputs("unload: memory is still locked\n", stderr);
        failures++;
    }
    (void)printf("unload: %u failures\n", failures);
    return failures == 0 ? 0 : 1;
}
