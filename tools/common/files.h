/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs and outputs. */
#ifndef BLOBSEAL_FILES_H
#define BLOBSEAL_FILES_H

#include <pthread.h>
#include <sys/stat.h>

#include "tools/common/common.h"

/* ---- input.c: an input file, or standard input ------------------------------------------------------------------- */

struct input {
    const char *name;    /* as given, or "standard input" */
    char printable[320]; /* the same, in printable form for messages */
    int fd;
    bool is_stdin; /* or another descriptor that the process was started with */
    bool is_folder;
    struct stat before;
    struct blobseal_source source;
    struct blobseal_fd state;
};

#define INPUT_NONE ((struct input){.fd = -1})

/*
 * Open @path (NULL or "-": standard input; or one of the process's own descriptors) as a source. Errors: E_INPUT;
 * E_CONFIG for a folder, with in->is_folder set.
 */
bool input_open(struct input *in, const char *path, struct blobseal_error *err);
/*
 * Do the same for @path whose folder is likely that of the last call: @folder holds it, empty at first, and saves the
 * search for symbolic links that lead to descriptors.
 */
bool input_open_next(struct input *in, const char *path, char folder[256], struct blobseal_error *err);
/* Check that a regular file has not changed since it was opened. Errors: E_INPUT. */
bool input_unchanged(const struct input *in, struct blobseal_error *err);
void input_close(struct input *in);

/* Return true if a file that starts with @c can be an envelope: JSON, possibly after white space. */
bool starts_json(char c);

/* Read all of an envelope file. Release *@text with free(). */
bool read_envelope(const char *path, char **text, size_t *len, struct blobseal_error *err);

/* ---- files.c: several files, each processed independently -------------------------------------------------------- */

/* Process one file, report what goes wrong, and return an exit code. */
typedef int (*file_fn)(void *ctx, const char *path);

struct files_total {
    size_t num, failed;
};

/*
 * Call @fn for each of @paths, also after failures, with ui->file and ui->input set. Unless @folders is NULL, it
 * receives the number of files, and a path that is a folder stands for all regular files below it that start with the
 * magic of a blob or whose names end in .sealed or .jwe, sorted by name; what cannot be read counts as a file that
 * failed. Return EXIT_OK if all succeeded; otherwise the code of the only file, or EXIT_PARTLY if there were several;
 * EXIT_INPUT if there was none.
 */
int files_each(struct ui *ui, char *const *paths, size_t num, struct files_total *folders, file_fn fn, void *ctx);

/* ---- jobs.c: several files at the same time ---------------------------------------------------------------------- */

#define JOBS_MAX 256

struct jobs {
    struct ui *ui;
    unsigned threads; /* so many files at the same time; 0: one for each CPU */
    bool in_order;    /* one after another, because they share an output     */
    struct progress *progress;
    /*
     * Process one file, report what goes wrong, and return an exit code. Threads call it at the same time, each with a
     * number of its own, below JOBS_MAX, and a copy of `ui`, in which `file` is set; it is NULL if there is only
     * one file.
     */
    int (*one)(void *ctx, struct ui *ui, unsigned thread, const char *path);
    void *ctx;
};

struct jobs_result {
    size_t num, failed;
    int code; /* EXIT_OK, the code of the only file, or EXIT_PARTLY */
    double seconds;
};

/* Process all of @paths, also after failures. Progress is counted in files, if there are several. */
struct jobs_result jobs_run(const struct jobs *jobs, char *const *paths, size_t num);

/*
 * Return the number of threads for a file of @size bytes, one of @num files, if @wanted threads were requested (0: one
 * for each CPU, also in the result).
 */
unsigned jobs_threads(unsigned wanted, size_t num, uint64_t size);

/* ---- descriptor.c: paths that name descriptors of this process --------------------------------------------------- */

/*
 * Return the number of the descriptor that @path names, such as /dev/stdout, /dev/fd/3 or /proc/self/fd/3, whether it
 * is open or not, or -1 if @path is any other path or "-".
 */
int own_descriptor(const char *path);
/* Return true if @path is "-" or names a descriptor of this process: the input or output is used as it is. */
bool is_stream(const char *path);
/* Return true if @path names standard output. */
bool is_standard_output(const char *path);
/* Duplicate a descriptor that the process was started with. Return -1 and set errno if there is no such descriptor. */
int inherited_descriptor(int number);

/* Return the folder of @path without symbolic links, to be released with free(), or NULL. */
char *folder_of(const char *path);
/* Return true if @folder, a path without symbolic links, is in /dev (except /dev/shm) or /proc. */
bool is_system_folder(const char *folder);

/* ---- reads.c: the files that a command reads, which are never an output ------------------------------------------ */

struct keys;
struct key_arg;

/* Fill it before other threads look into it. */
struct reads {
    struct read_file *slots; /* a hash table */
    size_t num, num_slots;
    pthread_mutex_t lock; /* for reads_load() */
    char *const *paths;   /* of inputs that are not in the table yet */
    size_t num_paths;
};

#define READS_NONE ((struct reads){.lock = PTHREAD_MUTEX_INITIALIZER})

/* Add a file that is read as @what: a constant such as "the input" or "a key". A path that leads nowhere is ignored. */
bool reads_add(struct reads *r, const char *path, const char *what, struct blobseal_error *err);
bool reads_add_stat(struct reads *r, const struct stat *st, const char *what, struct blobseal_error *err);
/* Add the files of keys and of their passphrases. */
bool reads_add_keys(struct reads *r, const struct keys *keys, struct blobseal_error *err);
bool reads_add_passphrase(struct reads *r, const struct key_arg *key, struct blobseal_error *err);
/* Let reads_load() add many inputs, which threads may call at the same time. */
void reads_add_later(struct reads *r, char *const *paths, size_t num);
bool reads_load(struct reads *r, struct blobseal_error *err);
/* Return what the file is read as, or NULL if it is not read. @r may be NULL. */
const char *reads_find(const struct reads *r, const struct stat *st);
void reads_free(struct reads *r);

/* ---- folders.c: folders that are synced once, when all files have their names ------------------------------------ */

struct output;

struct folder {
    dev_t dev;
    ino_t ino;
    int fd;
    char file[256]; /* that got its name there, for messages */
};

struct folders {
    pthread_mutex_t lock;
    struct folder list[64];
    size_t num;
    int sys_errno; /* of the first failure, and the file that it concerns */
    char failed[256];
};

#define FOLDERS_NONE ((struct folders){.lock = PTHREAD_MUTEX_INITIALIZER})

/* Let folders_sync() sync the folder of @out. Return false if the folder cannot be read, and so not be synced. */
bool folders_add(struct folders *f, const struct output *out);
/* Sync all folders. Call it also after failures. Errors: E_OUTPUT. */
bool folders_sync(struct folders *f, struct blobseal_error *err);

/* ---- output.c: files that appear when they are complete ---------------------------------------------------------- */

/* What was found out about a file system, to be used again for the next output on it by the same thread. */
struct output_place {
    bool known;
    dev_t dev;
    bool unnamed;    /* a file can be made without a name, and get one later */
    bool needs_proc; /* for the later name */
    bool in_order;   /* write from the start to the end only                 */
    /* The last folder of an output, with the slash: */
    char folder[256];
    int fd;         /* 0: none */
    mode_t allowed; /* permission bits that a new file can have there */
};

/* Close what @place keeps open. */
void output_place_clear(struct output_place *place);

struct output {
    struct ui *ui;
    const char *path; /* as given; "standard output" for "-"                     */
    const char *name; /* the last component of the path                          */
    int folder;       /* of the file; -1: not open, or a stream                  */
    int fd;           /* -1: not open                                            */
    bool borrowed;    /* the folder is that of the struct output_place           */
    bool stream;      /* stdout, a pipe or a device: written as data comes       */
    bool started;     /* something was written to the stream                     */
    bool in_order;
    bool force;
    bool secret;
    bool drop_old;       /* the replaced file must be gone at once: no crash may leave it under another name */
    bool has_mode;       /* the file was made with its mode                  */
    bool unchecked;      /* a file that exists has not been looked for       */
    struct reads *reads; /* the files that the command reads, if `unchecked` */
    bool needs_proc;
    bool committed;
    bool replaced; /* temp is now the name of the file that was replaced         */
    bool keep_time;
    struct timespec time; /* of the last change of the input: that of the output with `keep_time` */
    mode_t mode;
    char temp[256];          /* name to remove, or empty for O_TMPFILE                 */
    struct folders *folders; /* which take over syncing the folder; NULL: sync it here */
    struct blobseal_fd state;
};

#define OUTPUT_NONE ((struct output){.folder = -1, .fd = -1})

struct output_options {
    struct ui *ui;              /* for warnings and hints                                                    */
    mode_t mode;                /* permission bits of the new file, on which the umask or an ACL has effect  */
    bool force;                 /* replace an existing file                                                  */
    bool named;                 /* the user named this output with -o, so that it may be a pipe or a device  */
    bool small;                 /* a file that exists may be found as late as when this one gets its name    */
    bool secret;                /* a private key: an error if others could read the file                     */
    struct reads *reads;        /* the files that the command reads: never an output, even with force        */
    const char *device_hint;    /* hint if the output is a block device; NULL: a general hint                */
    struct output_place *place; /* NULL: find it out for each output                                        */
    const struct stat *times;   /* of a file, whose time of the last change is kept; NULL: it is now         */
    struct folders *folders;    /* NULL: sync the folder when the file gets its name                         */
};

/*
 * Prepare to write @path. "-" is standard output. If options->named, a path that is one of the process's own
 * descriptors, or a pipe or a device that belongs to the user or to root, is a stream, too: it is written as data
 * comes. Everything else is a file. A symbolic link is not followed, except in /dev and /proc: with `force` the link
 * itself is replaced. Nothing in /dev and nothing but files and links is replaced. Binary data goes to a terminal only
 * if it was named as a descriptor. Errors: E_EXISTS, E_OUTPUT; E_CONFIG for a folder, a block device, a terminal, or
 * what is no file although it must be one; E_POLICY if others could read a secret.
 */
bool output_open(struct output *out, const char *path, const struct output_options *options,
                 struct blobseal_error *err);

/*
 * Prepare to replace the file @path. The commit replaces whatever file has that name then; the old file is not opened
 * here. A caller that checks the old file first must look up out->name in out->folder, where the new file will get its
 * name, because @path may lead elsewhere by then.
 */
bool output_replace(struct output *out, const char *path, mode_t mode, struct ui *ui, struct blobseal_error *err);

/* Report that a file with the name of @out has been found now. Return false. Errors: those of output_open(). */
bool output_found(struct output *out, struct blobseal_error *err);

/* Make a sink of the output, which must not move in memory after that. */
bool output_sink(struct output *out, struct blobseal_sink *sink, struct blobseal_error *err);

/* Write all of @len bytes. */
bool output_write(struct output *out, const void *data, size_t len, struct blobseal_error *err);

/* Return the permission bits of a file made from @in. */
mode_t output_mode(const struct input *in);

/* ---- commit.c: naming or discarding an output -------------------------------------------------------------------- */

/* Put a new random name for the folder of @out into out->temp. */
bool output_temp_name(struct output *out, struct blobseal_error *err);
/* Give a file without a name a name in its folder, with the help of /proc or without. Return false and set errno. */
bool output_link(int folder, int fd, const char *name, bool needs_proc);

/* Give the file its name, durably. */
bool output_commit(struct output *out, struct blobseal_error *err);
/* Commit two files that belong together: both or neither. @first is durable before @second gets its name. */
bool output_commit_both(struct output *first, struct output *second, struct blobseal_error *err);

/* Return true if two outputs would get the same name. */
bool output_same(const struct output *a, const struct output *b);

/* Close @out, and discard what was written unless it was committed. OUTPUT_NONE is allowed, and so is a second call. */
void output_close(struct output *out);
/* Do the same after the error @err, before it is reported, and add to the hints of out->ui what is left. */
void output_discard(struct output *out, const struct blobseal_error *err);

/* ---- attributes.c: permissions and attributes of outputs --------------------------------------------------------- */

/* Return the mode of a new file in @folder that a program asks for with @wanted, where the umask is @mask. */
mode_t new_file_mode(int folder, mode_t wanted, mode_t mask);

/*
 * Give @out the owner, the group, the access control list and the extended attributes of the file @name, which is open
 * as @from. Print a warning for each that cannot be kept. Errors: E_OUTPUT if the disk failed.
 */
bool output_keep(struct output *out, const char *name, int from, const struct stat *old, struct blobseal_error *err);

/* Return true for an errno that says that the disk is full or fails, and not that an operation is unknown to it. */
bool is_disk_error(int sys_errno);

/* ---- sparse.c: --sparse, holes in the output where blocks are zero ----------------------------------------------- */

struct sparse {
    struct blobseal_sink file;
};

/* Make *@sink, a sink of @out, skip blocks of zeros. Errors: E_CONFIG if @out is not a file. */
bool sparse_start(struct sparse *s, struct output *out, struct blobseal_sink *sink, struct blobseal_error *err);
/* Set the size of the file, which can end in a hole. Errors: E_OUTPUT. */
bool sparse_end(const struct output *out, uint64_t size, struct blobseal_error *err);

#endif
