/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs: a file or standard input, and envelope files. */
#include "tools/common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Open @path, or if @number is not negative, that descriptor. */
static bool open_input(struct input *in, const char *path, int number, struct blobseal_error *err)
{
    *in = (struct input){.name = path == NULL || strcmp(path, "-") == 0 ? "standard input" : path,
                         .is_stdin = number >= 0};
    in->fd = number < 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : inherited_descriptor(number);
    (void)printable(in->printable, sizeof in->printable, in->name);
    if (in->fd < 0 || fstat(in->fd, &in->before) != 0)
        return fail(err, BLOBSEAL_E_INPUT, errno, "open %s", in->name);
    in->is_folder = S_ISDIR(in->before.st_mode);
    if (in->is_folder) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s is a folder: an input is one file", in->name);
        blobseal_hint(err, "name a file in it");
        return false;
    }
    if (number < 0 && S_ISREG(in->before.st_mode) && in->before.st_size > 0) /* it stands at its start */
        return blobseal_source_fd_at(&in->source, &in->state, in->fd, in->name, 0, BLOBSEAL_SIZE_UNKNOWN, err) ==
               BLOBSEAL_OK;
    return blobseal_source_fd(&in->source, &in->state, in->fd, in->name, err) == BLOBSEAL_OK;
}

bool input_open(struct input *in, const char *path, struct blobseal_error *err)
{
    int number = path == NULL || strcmp(path, "-") == 0 ? STDIN_FILENO : own_descriptor(path);

    return open_input(in, path, number, err);
}

bool input_open_next(struct input *in, const char *path, char folder[256], struct blobseal_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? path : "./";
    size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 2;
    char *real;

    if (strcmp(path, "-") == 0 || len >= 256)
        return input_open(in, path, err);
    if (strlen(folder) == len && memcmp(folder, name, len) == 0)
        return open_input(in, path, -1, err);
    real = folder_of(path);
    folder[0] = '\0';
    if (real != NULL && !is_system_folder(real)) {
        memcpy(folder, name, len);
        folder[len] = '\0';
    }
    free(real);
    return input_open(in, path, err);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool input_unchanged(const struct input *in, struct blobseal_error *err)
{
    struct stat now;

    if (!S_ISREG(in->before.st_mode))
        return true;
    if (fstat(in->fd, &now) != 0)
        return fail(err, BLOBSEAL_E_INPUT, errno, "look at %s again", in->name);
    if (now.st_size != in->before.st_size || !same_time(now.st_mtim, in->before.st_mtim)) {
        (void)fail(err, BLOBSEAL_E_INPUT, 0, "%s changed while it was read", in->name);
        blobseal_hint(err, "run it again when no program writes to the file");
        return false;
    }
    return true;
}

void input_close(struct input *in)
{
    if (in->fd >= 0 && in->name != NULL)
        (void)close(in->fd);
    in->fd = -1;
}

bool starts_json(char c)
{
    return c == '{' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool read_envelope(const char *path, char **text, size_t *len, struct blobseal_error *err)
{
    FILE *f = fopen(path, "re");
    bool ok;

    *len = 0;
    *text = malloc(BLOBSEAL_MAX_ENVELOPE + 1);
    if (f == NULL || *text == NULL) {
        (void)fail(err, BLOBSEAL_E_INPUT, errno, "open the envelope %s", path);
        if (f != NULL)
            (void)fclose(f);
        return false;
    }
    *len = fread(*text, 1, BLOBSEAL_MAX_ENVELOPE + 1, f);
    ok = ferror(f) == 0 || fail(err, BLOBSEAL_E_INPUT, errno, "read the envelope %s", path);
    (void)fclose(f);
    return ok;
}
