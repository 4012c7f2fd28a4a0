/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs share, one section per .c file. A verb sees this header and blobseal.h. */
#ifndef BLOBSEAL_CLI_H
#define BLOBSEAL_CLI_H

#include <blobseal.h>
#include <blobseal_provider.h> /* for blobseal_fail() and blobseal_hint() */
#include <getopt.h>
#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- main.c: the table of verbs -------------------------------------------------------------------------------- */

struct verb {
    const char *name;
    const char *summary;
    const char *usage; /* the whole help text behind "Usage: " */
    int (*run)(int argc, char **argv);
    const struct option *options;
    const char *words; /* of which one follows the verb, such as "add remove"; NULL: none */
};

/* All of them; NULL stands behind the last. */
extern const struct verb *const verbs[];

extern const struct verb verb_keygen, verb_seal, verb_open, verb_inspect, verb_verify, verb_scrub, verb_doctor,
    verb_recipients, verb_rewrap, verb_completion, verb_bench;

/* ---- cli.c: options ------------------------------------------------------------------------------------------- */

/* Values of long options without a letter. */
enum {
    OPT_HELP = 'h',
    OPT_JSON = 256,
    OPT_PROGRESS,
    OPT_PASSPHRASE_FILE,
    OPT_PASSPHRASE_FD,
    OPT_DETACHED,
    OPT_NO_CHECKSUMS,
    OPT_SLOT_SIZE,
    OPT_OAEP,
    OPT_ENVELOPE,
    OPT_JWE,
    OPT_RSA,
    OPT_PUB,
    OPT_RANGE,
    OPT_SPARSE,
    OPT_TO,
    OPT_KID,
    OPT_DROP,
    OPT_ONLY,
    OPT_REWRITE,
    OPT_MIN_GENERATION,
    OPT_NAME,
    OPT_TYPE,
    OPT_ANNOTATION,
    OPT_ZSTD,
    OPT_RAW,
    OPT_QUICK,
    OPT_THREADS,
    OPT_SIZES,
    OPT_HTML,
    OPT_JSON_OUT,
    OPT_COMPARE,
    OPT_FROM,
    OPT_FIPS,
};

/* Options that every verb knows. */
#define COMMON_OPTIONS                                                                                                 \
    {"json", no_argument, NULL, OPT_JSON}, {"quiet", no_argument, NULL, 'q'}, {"fips", no_argument, NULL, OPT_FIPS},   \
    {                                                                                                                  \
        "help", no_argument, NULL, OPT_HELP                                                                            \
    }

#define PROGRESS_OPTION                                                                                                \
    {                                                                                                                  \
        "progress", required_argument, NULL, OPT_PROGRESS                                                              \
    }

#define KEY_OPTIONS                                                                                                    \
    {"kek", required_argument, NULL, 'k'}, {"passphrase-file", required_argument, NULL, OPT_PASSPHRASE_FILE},          \
    {                                                                                                                  \
        "passphrase-fd", required_argument, NULL, OPT_PASSPHRASE_FD                                                    \
    }

/* Settings of the run: set by common options. */
extern struct settings {
    const struct verb *verb;
    bool json, quiet, fips;
    const char *file; /* the one of several that is at hand, for errors in JSON; or NULL */
} settings;

/*
 * The next option, as getopt_long() answers it, -1 at the end. Handles the common ones itself; --help and a bad option end
 * the program, and so does FIPS mode that cannot be had: it is on before this answers -1, so before a verb uses a key.
 */
int next_option(int argc, char **argv, const char *letters, const struct option *options);

/* Parse a plain decimal number from @min to @max. */
bool parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out);

/*
 * Parse a number of bytes at *@text: decimal, perhaps with K, M, G or T (or KiB, MiB ...) for powers of 1024, below 2^64. Moves
 * *@text behind it.
 */
bool parse_bytes(const char **text, uint64_t *out);

/* Take the argument of an option that several verbs have. Answers EXIT_OK, or the code of a usage error. */
int slot_size_option(const char *arg, uint32_t *out);
int min_generation_option(const char *arg, uint64_t *out);
int oaep_option(const char *arg, enum blobseal_oaep *out);

/* Seconds on a clock that does not jump. */
double seconds_now(void);

/* ---- fips.c ------------------------------------------------------------------------------------------------------- */

/* Read BLOBSEAL_FIPS into settings.fips. Answers EXIT_OK, or the code of a usage error. */
int fips_from_environment(void);

/* Let OpenSSL use its FIPS provider and nothing else. Before anything else is asked of it. */
bool fips_start(struct blobseal_error *err);

/* ---- json.c ---------------------------------------------------------------------------------------------------------- */

/* One JSON object on stdout, written member by member. */
void json_start(const char *schema);
void json_text(const char *name, const char *value); /* NULL: null */
void json_number(const char *name, uint64_t value);  /* BLOBSEAL_SIZE_UNKNOWN: null */
void json_seconds(const char *name, double value);
void json_bool(const char *name, bool value);
void json_range(uint64_t offset, uint64_t length);
void json_recipients(const struct blobseal_recipient *recipients, size_t num);
void json_meta(const struct blobseal_metadata *metadata); /* NULL: no member */
/* A list of objects: json_list(), for each json_item(), its members and json_item_end(), then json_list_end(). */
void json_list(const char *name);
void json_item(void);
void json_item_end(void);
void json_list_end(void);
/* End the object. False: stdout cannot be written, see errno. */
bool json_end(void);

/* ---- errors.c: messages and exit codes ------------------------------------------------------------------------------- */

/* Exit codes: stable, see blobseal(1). */
enum {
    EXIT_OK = 0,
    EXIT_INTERNAL = 1,
    EXIT_USAGE = 2,
    EXIT_AUTH = 3,
    EXIT_NO_KEY = 4,
    EXIT_UNAVAILABLE = 5,
    EXIT_EXISTS = 6,
    EXIT_INPUT = 7,
    EXIT_OUTPUT = 8,
    EXIT_PARTLY = 9,
    EXIT_POLICY = 10,
    EXIT_DENIED = 11,
    EXIT_UNSUPPORTED = 12,
    EXIT_SIGNAL = 128, /* + the number of the signal */
};

/* Print "blobseal: error: ... (E-USAGE)" with a pointer to the help, and answer EXIT_USAGE. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print @err with its code and hint, with --json also as blobseal.error/1 on stdout, and answer the exit code. */
int report_error(const struct blobseal_error *err);

/* The same without JSON, where a report has said it already. */
int report_error_text(const struct blobseal_error *err);

/* Fill @err; always answers false. */
bool fail(struct blobseal_error *err, enum blobseal_status status, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Copy @text for people: cut, and without control characters. Answers @buf. */
const char *printable(char *buf, size_t cap, const char *text);

/* Flush stdout, and answer the exit code of a verb that only prints. */
int stdout_finish(void);

/* Fill @err for a report that cannot be written; always answers false. */
bool stdout_failed(struct blobseal_error *err);

/* A line on stderr that starts with "blobseal: warning: ". */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- input.c --------------------------------------------------------------------------------------------------------- */

/* An input file, or standard input. */
struct input {
    const char *name;    /* as given, or "standard input" */
    char printable[320]; /* the same for people           */
    int fd;
    bool is_stdin;
    struct stat before;
    struct blobseal_source source;
    struct blobseal_fd state;
};

/* Open @path (NULL or "-": standard input) as a source. */
bool input_open(struct input *in, const char *path, struct blobseal_error *err);
/* Whether a file is still as it was when it was opened. */
bool input_unchanged(const struct input *in, struct blobseal_error *err);
void input_close(struct input *in);

/* Whether a file that starts with @c can be an envelope: JSON, perhaps behind white space. */
bool starts_json(char c);

/* Fill @err for a blob whose recipients stand in another file; always answers false. */
bool envelope_elsewhere(const char *name, struct blobseal_error *err);

/* Read a whole envelope file. Release *@text with free(). */
bool read_envelope(const char *path, char **text, size_t *len, struct blobseal_error *err);

/* ---- files.c: many files, each on its own ------------------------------------------------------------------- */

/* Handle one file, report what goes wrong, and answer an exit code. */
typedef int (*file_fn)(void *ctx, const char *path);

/*
 * Call @fn for each of @paths, also when some fail. With @folders a path that is a folder stands for every file below it
 * whose name ends in .sealed, sorted by name; a folder below that cannot be read counts as a file that failed. Answers the code
 * of the one file; of several EXIT_OK where all went well, otherwise EXIT_PARTLY.
 */
int files_each(char *const *paths, size_t num, bool folders, file_fn fn, void *ctx);

/* ---- keys.c: -k and passphrases ------------------------------------------------------------------------------ */

struct key_arg {
    const char *ref;
    const char *passphrase_file;
    int passphrase_fd; /* -1: none */
    enum blobseal_oaep oaep;
};

struct keys {
    size_t num;
    struct key_arg args[BLOBSEAL_MAX_RECIPIENTS];
    struct blobseal_kek *keks[BLOBSEAL_MAX_RECIPIENTS];
};

/* Take one of KEY_OPTIONS with its argument. False: not one of those, or used wrongly (*@code is then not EXIT_OK). */
bool keys_option(struct keys *keys, int option, const char *arg, int *code);
bool keys_open(struct keys *keys, enum blobseal_oaep oaep, struct blobseal_error *err);
void keys_close(struct keys *keys);

/* Read a passphrase as a key argument says. */
enum blobseal_status get_passphrase(void *key_arg, char *buf, size_t cap, size_t *len, struct blobseal_error *err);

/* Let a terminal echo again if a prompt had silenced it. Safe in a signal handler. */
void keys_restore_terminal(void);

/* ---- meta.c: what the sealer says of a blob ------------------------------------------------------------------ */

struct meta_args {
    struct blobseal_metadata metadata;
    struct blobseal_annotation annotations[BLOBSEAL_MAX_ANNOTATIONS];
};

/* Take --name, --type or --annotation. False: not one of those, or used wrongly (*@code is then not EXIT_OK). */
bool meta_option(struct meta_args *m, int option, const char *arg, int *code);
void meta_args_clear(struct meta_args *m);
/* Lines for people, without what a terminal would obey. NULL: none. */
void meta_print(const struct blobseal_metadata *metadata);

/* ---- output.c: files that appear when they are complete ------------------------------------------------------ */

struct output {
    const char *path; /* as given; "standard output" for "-"             */
    const char *name; /* its last part                                   */
    int folder;       /* that it lies in; -1: not open, or a stream      */
    int fd;           /* -1: not open                                    */
    bool stream;      /* stdout, a pipe or a device: written as it comes */
    bool force;
    bool drop_old; /* what is replaced must be gone with it: no crash may leave it under another name */
    bool committed;
    bool replaced; /* temp is now the name of what was there before */
    mode_t mode;
    char temp[256]; /* name to remove, or empty for O_TMPFILE */
};

#define OUTPUT_NONE ((struct output){.folder = -1, .fd = -1})

/* Remove temporary files and end when a signal comes. Call once. */
void output_catch_signals(void);

/*
 * Prepare to write @path ("-": standard output) with permission bits @mode. Refuses an existing file unless @force, and
 * always the file that is @in (may be NULL). @forced_tty: -o - was said, so a terminal is fine.
 */
bool output_open(struct output *out, const char *path, bool force, bool forced_tty, mode_t mode, const struct input *in,
                 struct blobseal_error *err);

/*
 * Prepare to replace the file @path, whatever has that name when it is done: nothing there is opened. Who checks first what that
 * is must look for out->name in out->folder, which the file will get its name in; @path may lead elsewhere by then.
 */
bool output_replace(struct output *out, const char *path, mode_t mode, struct blobseal_error *err);

/* The output as a sink. */
bool output_sink(const struct output *out, struct blobseal_sink *sink, struct blobseal_fd *state,
                 struct blobseal_error *err);

/* Write all of @len bytes. */
bool output_write(struct output *out, const void *data, size_t len, struct blobseal_error *err);

/* Give the file its name, durably. */
bool output_commit(struct output *out, struct blobseal_error *err);
/* Two files that belong together: both or neither, and @first is durable before @second gets its name. */
bool output_commit_both(struct output *first, struct output *second, struct blobseal_error *err);

/* Whether two outputs would get the same name. */
bool output_same(const struct output *a, const struct output *b);

/* Close, and forget what was written unless it was committed. For OUTPUT_NONE nothing. */
void output_close(struct output *out);

/* Permission bits of a file made from @in: the same, as far as the umask lets. */
mode_t output_mode(const struct input *in);

/* ---- sparse.c: zeros that take no room ---------------------------------------------------------------------- */

struct sparse {
    struct blobseal_sink file;
};

/* Make *@sink, that of @out, leave out blocks of zeros. False: not a file. */
bool sparse_start(struct sparse *s, const struct output *out, struct blobseal_sink *sink, struct blobseal_error *err);
/* Give the file its size: it can end in a hole. */
bool sparse_end(const struct output *out, uint64_t size, struct blobseal_error *err);

/* ---- progress.c --------------------------------------------------------------------------------------------- */

enum progress_mode { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

struct progress {
    enum progress_mode mode;
    const char *verb, *name;
    uint64_t total; /* or BLOBSEAL_SIZE_UNKNOWN */
    double started, shown;
    bool on_line; /* a line without its end is on the terminal */
};

/* Parse the argument of --progress. */
bool progress_option(struct progress *p, const char *arg);
void progress_start(struct progress *p, const char *verb, const char *name, uint64_t total);
/* A blobseal_progress_fn over a struct progress. */
bool progress_step(void *progress, uint64_t bytes_done);
/* The same for work that is counted in steps, of which @name is at hand. */
void progress_count(struct progress *p, unsigned long step, unsigned long steps, const char *name);
/* Remove the line; answers the seconds since the start. */
double progress_end(struct progress *p);
/* Whether a closing line for people is wanted. */
bool progress_wants_summary(const struct progress *p);

/* "12.4 GiB" */
const char *human_bytes(char buf[32], uint64_t bytes);
/* "3.91 GB/s" */
const char *human_rate(char buf[32], uint64_t bytes, double seconds);

/* ---- job.c: what the verbs that handle a blob have in common ------------------------------------------------- */

struct job {
    /* What was asked for. */
    struct keys keys;
    const char *in_path, *envelope_path;
    const char *out_path; /* NULL: by default */
    char default_out[4096];
    bool force;
    bool raw; /* present zstd content as it is */
    unsigned threads;
    uint64_t min_generation;
    struct progress progress;
    /* What is open. */
    struct input in;
    struct output out;
    char *envelope;
    size_t envelope_len;
    struct blobseal_reader *reader;
};

/* A job with nothing open yet. */
#define JOB_NONE ((struct job){.in = {.fd = -1}, .out = OUTPUT_NONE})

/* An option that only one verb has. Answers EXIT_OK, also for what it does not know, or the code to end with. */
typedef int (*job_option_fn)(void *ctx, int option, const char *arg);

/* Parse the command line: shared options, those of @own (NULL: none), and one input. Answers EXIT_OK or a code to end with. */
int job_parse(struct job *j, int argc, char **argv, const char *letters, const struct option *options,
              job_option_fn own, void *ctx);
int job_need_key(const struct job *j);
/* Refuse --json where the data goes to standard output. */
int job_check_output(const struct job *j);

/* Open keys, input and envelope; the output, by default j->default_out; the blob. job_finish() closes all of them. */
bool job_open_input(struct job *j, enum blobseal_oaep oaep, struct blobseal_error *err);
bool job_open_output(struct job *j, struct blobseal_error *err);
bool job_open_reader(struct job *j, struct blobseal_error *err);

/* Report @err unless @ok, close everything, and answer the exit code. */
int job_finish(struct job *j, bool ok, const struct blobseal_error *err);

/* ---- report.c: what verbs say when they are done --------------------------------------------------------- */

/* A blob id in hexadecimal. */
void hex_id(char out[2 * BLOBSEAL_BLOB_ID_LEN + 1], const uint8_t id[BLOBSEAL_BLOB_ID_LEN]);

/* The report of seal, open and verify. */
struct report {
    const char *schema;
    const char *in, *out; /* out NULL: left out */
    uint64_t plain_bytes, sealed_bytes;
    bool zstd;             /* what is sealed is compressed... */
    uint64_t stored_bytes; /* ...to so many bytes     */
    const uint8_t *blob_id;
    uint64_t generation;
    const struct blobseal_recipient *recipients;
    size_t num_recipients;
    const struct blobseal_metadata *metadata; /* NULL: left out */
    double seconds;
    bool is_range; /* a part of the content only */
    uint64_t range_off, range_len;
};
/* The report of a job that read a blob. */
struct report report_of_reader(const char *schema, const struct job *j, uint64_t plain_bytes, double seconds);
bool report_print(const struct report *r, struct blobseal_error *err);

/* "  zstd 41.2%": to how much the content compressed; empty where it is not compressed. Returns @buf. */
const char *report_ratio(char buf[32], const struct report *r);

/* Of struct blobseal_info. */
#define CONTENT_ZSTD 1u

/* Say on stderr what deserves attention in an envelope. */
void report_notes(const char *name, uint32_t notes);

#endif
