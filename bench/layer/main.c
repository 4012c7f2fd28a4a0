/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal-layer-ratio: how long it takes to encrypt and decrypt a layer of an image, as a multiple of the time that
 * `openssl dgst -sha256` takes for the same file.
 *
 *   blobseal-layer-ratio [FOLDER [MIB [ROUNDS [THREADS]]]]     by default /dev/shm 1024 9 0
 *
 * The layer and the results are files in FOLDER, which should be on a tmpfs. Everything is measured in turn, in each
 * round, after one round that does not count. Figures are medians, ratios are medians of the ratios of the rounds. On a
 * machine that is busy with something else, only the ratio of CPU times has a meaning.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <blobseal_oci.h>
#include <blobseal_provider.h>

#define MAX_ROUNDS 99

extern char **environ;

enum what { REFERENCE, ENCRYPT, DECRYPT, DECRYPT_VERIFIED, NUM_MEASURED };

static const char *const names[NUM_MEASURED] = {"openssl dgst -sha256", "encrypt", "decrypt", "decrypt verified"};

struct setup {
    char plain[512], cipher[512], out[512]; /* paths */
    unsigned threads;
    struct blobseal_oci_layer *layer; /* of the file `cipher` */
};

static void die(const char *what)
{
    fprintf(stderr, "blobseal-layer-ratio: %s\n", what);
    exit(1);
}

static void must(enum blobseal_status st, const struct blobseal_error *err)
{
    if (st != BLOBSEAL_OK)
        die(err->text);
}

/* A point in time, and the CPU time of this program and its children up to then. */
struct times {
    double wall, cpu;
};

static double cpu_of(int who)
{
    struct rusage u;

    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static struct times now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct times){(double)t.tv_sec + (double)t.tv_nsec / 1e9, cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN)};
}

/* ---- What is measured -------------------------------------------------------------------------------------------- */

static void run_openssl(const char *path)
{
    char *argv[] = {(char[]){"openssl"}, (char[]){"dgst"}, (char[]){"-sha256"}, strdup(path), NULL};
    posix_spawn_file_actions_t actions;
    int status = 1;
    pid_t child;

    if (argv[3] == NULL || posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) != 0 ||
        posix_spawnp(&child, argv[0], &actions, NULL, argv, environ) != 0 || waitpid(child, &status, 0) != child ||
        status != 0)
        die("openssl dgst failed");
    (void)posix_spawn_file_actions_destroy(&actions);
    free(argv[3]);
}

/* Open files for one run. The result is a new file each time, as it is for a program that pushes or pulls an image. */
static void open_files(const char *from, const char *to, int fds[2])
{
    (void)unlink(to);
    fds[0] = open(from, O_RDONLY | O_CLOEXEC);
    fds[1] = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fds[0] < 0 || fds[1] < 0)
        die("cannot open a file");
}

static void run_library(struct setup *s, enum what what)
{
    const struct blobseal_oci_run_options o = {.size = sizeof o, .threads = s->threads};
    struct blobseal_oci_digests digests = {.size = sizeof digests};
    struct blobseal_fd source_fd, sink_fd;
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_error err = {0};
    int fds[2];

    open_files(what == ENCRYPT ? s->plain : s->cipher, what == ENCRYPT ? s->cipher : s->out, fds);
    must(blobseal_source_fd(&source, &source_fd, fds[0], "input", &err), &err);
    must(blobseal_sink_fd(&sink, &sink_fd, fds[1], "output", &err), &err);
    if (what == ENCRYPT) {
        blobseal_oci_layer_free(s->layer);
        must(blobseal_oci_layer_new(&s->layer, &err), &err);
        must(blobseal_oci_encrypt(s->layer, &source, &sink, &o, &digests, &err), &err);
    } else if (what == DECRYPT) {
        must(blobseal_oci_decrypt(s->layer, &source, &sink, &o, &digests, &err), &err);
    } else {
        must(blobseal_oci_decrypt_verified(s->layer, &source, &sink, &o, &digests, &err), &err);
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

static void make_layer(const char *path, unsigned mib)
{
    static uint8_t buf[1 << 20];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    for (unsigned i = 0; fd >= 0 && i < mib; i++)
        if (!blobseal_random(buf, sizeof buf, false) || write(fd, buf, sizeof buf) != (ssize_t)sizeof buf)
            die("cannot write the layer");
    if (fd < 0 || close(fd) != 0)
        die("cannot make the layer");
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, unsigned num)
{
    double sorted[MAX_ROUNDS];

    memcpy(sorted, values, num * sizeof *sorted);
    qsort(sorted, num, sizeof *sorted, compare);
    return num % 2 == 1 ? sorted[num / 2] : (sorted[num / 2 - 1] + sorted[num / 2]) / 2;
}

/* What was measured, in seconds. */
struct figures {
    double wall[NUM_MEASURED][MAX_ROUNDS], cpu[NUM_MEASURED][MAX_ROUNDS];
};

/* Return the median of the ratios between something and the reference. */
static double ratio(double values[NUM_MEASURED][MAX_ROUNDS], unsigned what, unsigned rounds)
{
    double ratios[MAX_ROUNDS];

    for (unsigned r = 0; r < rounds; r++)
        ratios[r] = values[what][r] / values[REFERENCE][r];
    return median(ratios, rounds);
}

static void report(struct figures *f, unsigned rounds, unsigned mib)
{
    struct rusage usage;

    for (unsigned what = 0; what < NUM_MEASURED; what++) {
        double s = median(f->wall[what], rounds);

        printf("%-22s %7.3f s %6.0f MiB/s   ratio %.2f   CPU %7.3f s   ratio %.2f\n", names[what], s, mib / s,
               ratio(f->wall, what, rounds), median(f->cpu[what], rounds), ratio(f->cpu, what, rounds));
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("peak memory %ld KiB\n", usage.ru_maxrss);
}

static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || n > max)
        die("usage: blobseal-layer-ratio [FOLDER [MIB [ROUNDS [THREADS]]]]");
    return (unsigned)n;
}

int main(int argc, char **argv)
{
    static struct figures f;
    const char *folder = argc > 1 ? argv[1] : "/dev/shm";
    unsigned mib = argc > 2 ? number(argv[2], 1 << 20) : 1024, rounds = argc > 3 ? number(argv[3], MAX_ROUNDS) : 9;
    struct setup s = {.threads = argc > 4 ? number(argv[4], 1024) : 0};

    (void)snprintf(s.plain, sizeof s.plain, "%s/blobseal-layer.%d", folder, (int)getpid());
    (void)snprintf(s.cipher, sizeof s.cipher, "%s/blobseal-layer.%d.encrypted", folder, (int)getpid());
    (void)snprintf(s.out, sizeof s.out, "%s/blobseal-layer.%d.decrypted", folder, (int)getpid());
    make_layer(s.plain, mib);
    for (unsigned r = 0; r <= rounds; r++)
        for (unsigned what = 0; what < NUM_MEASURED; what++) {
            struct times start = now(), end;

            if (what == REFERENCE)
                run_openssl(s.plain);
            else
                run_library(&s, what);
            end = now();
            if (r > 0) {
                f.wall[what][r - 1] = end.wall - start.wall;
                f.cpu[what][r - 1] = end.cpu - start.cpu;
            }
        }
    (void)unlink(s.plain);
    (void)unlink(s.cipher);
    (void)unlink(s.out);
    blobseal_oci_layer_free(s.layer);
    report(&f, rounds, mib);
    return 0;
}
