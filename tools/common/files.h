/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs and outputs. */
#ifndef BLOBSEAL_FILES_H
#define BLOBSEAL_FILES_H

#include <sys/stat.h>

#include "tools/common/common.h"

/* ---- input.c: an input file, or standard input ------------------------------------------------------------------- */

struct input {
    const char *name;    /* as given, or "standard input" */
    char printable[320]; /* the same, in printable form for messages */
    int fd;
    bool is_stdin, is_folder;
    struct stat before;
    struct blobseal_source source;
    struct blobseal_fd state;
};

#define INPUT_NONE ((struct input){.fd = -1})

/*
 * Open @path (NULL or "-": standard input) as a source. Errors: E_INPUT; E_CONFIG for a folder, with in->is_folder set.
 */
bool input_open(struct input *in, const char *path, struct blobseal_error *err);
/* Check that a regular file has not changed since it was opened. Errors: E_INPUT. */
bool input_unchanged(const struct input *in, struct blobseal_error *err);
void input_close(struct input *in);

/* Return true if a file that starts with @c can be an envelope: JSON, possibly after white space. */
bool starts_json(char c);

/* Read all of an envelope file. Release *@text with free(). */
bool read_envelope(const char *path, char **text, size_t *len, struct blobseal_error *err);

/* Return true if both describe the same regular file. */
bool same_file(const struct stat *a, const struct stat *b);

/* ---- files.c: several files, each processed independently -------------------------------------------------------- */

/* Process one file, report what goes wrong, and return an exit code. */
typedef int (*file_fn)(void *ctx, const char *path);

/*
 * Call @fn for each of @paths, also after failures, with ui->file and ui->input set. With @folders a path that is a
 * folder stands for all files below it whose names end in .sealed, sorted by name; a folder that cannot be read counts
 * as a file that failed. Return EXIT_OK if all succeeded; otherwise the code of the only file, or EXIT_PARTLY if there
 * were several.
 */
int files_each(struct ui *ui, char *const *paths, size_t num, bool folders, file_fn fn, void *ctx);

/* ---- output.c: files that appear when they are complete ---------------------------------------------------------- */

struct output {
    const char *path; /* as given; "standard output" for "-"                     */
    const char *name; /* the last component of the path                          */
    int folder;       /* of the file; -1: not open, or a stream                  */
    int fd;           /* -1: not open                                            */
    bool stream;      /* stdout, a pipe or a device: written as data comes       */
    bool force;
    bool drop_old; /* the replaced file must be gone at once: no crash may leave it under another name */
    bool committed;
    bool replaced; /* temp is now the name of the file that was replaced         */
    mode_t mode;
    char temp[256]; /* name to remove, or empty for O_TMPFILE                    */
};

#define OUTPUT_NONE ((struct output){.folder = -1, .fd = -1})

struct output_options {
    mode_t mode;             /* permission bits of the new file                                       */
    bool force;              /* replace an existing file                                              */
    bool to_terminal;        /* "-o -" was given, so binary data may go to a terminal                 */
    const struct input *in;  /* the input, which is never replaced, even with force; NULL: none */
    const char *device_hint; /* hint if the output is a block device; NULL: a general hint */
};

/*
 * Prepare to write @path ("-": standard output). Errors: E_EXISTS, E_OUTPUT; E_CONFIG for a folder, a block device or a
 * terminal.
 */
bool output_open(struct output *out, const char *path, const struct output_options *options,
                 struct blobseal_error *err);

/*
 * Prepare to replace the file @path. The commit replaces whatever file has that name then; the old file is not opened
 * here. A caller that checks the old file first must look up out->name in out->folder, where the new file will get its
 * name, because @path may lead elsewhere by then.
 */
bool output_replace(struct output *out, const char *path, mode_t mode, struct blobseal_error *err);

/* Make a sink of the output. */
bool output_sink(const struct output *out, struct blobseal_sink *sink, struct blobseal_fd *state,
                 struct blobseal_error *err);

/* Write all of @len bytes. */
bool output_write(struct output *out, const void *data, size_t len, struct blobseal_error *err);

/* Give the file its name, durably. */
bool output_commit(struct output *out, struct blobseal_error *err);
/* Commit two files that belong together: both or neither. @first is durable before @second gets its name. */
bool output_commit_both(struct output *first, struct output *second, struct blobseal_error *err);

/* Return true if two outputs would get the same name. */
bool output_same(const struct output *a, const struct output *b);

/* Close @out, and discard what was written unless it was committed. OUTPUT_NONE is allowed. */
void output_close(struct output *out);

/* Return the permission bits of a file made from @in, or of a new file with the bits @wanted: the umask applies. */
mode_t output_mode(const struct input *in);
mode_t masked_mode(mode_t wanted);

/* ---- sparse.c: --sparse, holes in the output where blocks are zero ----------------------------------------------- */

struct sparse {
    struct blobseal_sink file;
};

/* Make *@sink, a sink of @out, skip blocks of zeros. Errors: E_CONFIG if @out is not a file. */
bool sparse_start(struct sparse *s, const struct output *out, struct blobseal_sink *sink, struct blobseal_error *err);
/* Set the size of the file, which can end in a hole. Errors: E_OUTPUT. */
bool sparse_end(const struct output *out, uint64_t size, struct blobseal_error *err);

#endif
