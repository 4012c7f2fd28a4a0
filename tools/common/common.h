/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs share. This header: options, messages and exit codes, text, JSON, progress. The others: files.h
 * (inputs and outputs), arguments.h (keys and metadata), signals.h and fips.h. Each section of a header is one .c file.
 * Nothing here knows the verb that calls it: what differs between verbs comes in struct ui or as an argument.
 */
#ifndef BLOBSEAL_COMMON_H
#define BLOBSEAL_COMMON_H

#include <blobseal.h>
#include <blobseal_provider.h> /* for blobseal_fail() and blobseal_hint() */
#include <getopt.h>
#include <stdio.h>
#include <sys/types.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* One run of a program as its user sees it. Passed to everything that writes messages or depends on common options. */
struct ui {
    const char *program;          /* for messages: "blobseal"                                                */
    const char *verb;             /* or NULL before it is known                                              */
    const char *usage;            /* the help text of the verb after "Usage: "                               */
    const struct option *options; /* of the verb; or NULL                                                    */
    bool any_openssl;             /* run the verb also if OpenSSL lacks algorithms or computes wrongly       */
    bool json, quiet, fips;       /* set by next_option()                                                    */
    const char *file;             /* the current one of several files, for messages; otherwise NULL */
    const char *input;            /* the path of the current input, for hints; NULL if it is not a file path */
    mode_t umask;                 /* of the process: set once, because reading it changes it for a moment    */
    char outcome[256];            /* what is left of the outputs after an error, for hints: output_discard() */
};

/* ---- options.c: options of all verbs, and arguments that several verbs take -------------------------------------- */

/* Values of long options without a letter. Those of a program start at OPT_OWN. */
enum {
    OPT_HELP = 'h',
    OPT_JSON = 256,
    OPT_FIPS,
    OPT_PROGRESS,
    OPT_PASSPHRASE_FILE,
    OPT_PASSPHRASE_FD,
    OPT_PASSPHRASE,
    OPT_NAME,
    OPT_TYPE,
    OPT_ANNOTATION,
    OPT_CONFIG,
    OPT_AUDIT,
    OPT_PURGE_PROTECTION,
    OPT_OWN = 512,
};

/* Options of every verb. */
#define COMMON_OPTIONS                                                                                                 \
    {"json", no_argument, NULL, OPT_JSON}, {"quiet", no_argument, NULL, 'q'}, {"fips", no_argument, NULL, OPT_FIPS},   \
    {                                                                                                                  \
        "help", no_argument, NULL, OPT_HELP                                                                            \
    }

#define PROGRESS_OPTION                                                                                                \
    {                                                                                                                  \
        "progress", required_argument, NULL, OPT_PROGRESS                                                              \
    }

#define CONFIG_OPTIONS                                                                                                 \
    {"config", required_argument, NULL, OPT_CONFIG},                                                                   \
    {                                                                                                                  \
        "audit", required_argument, NULL, OPT_AUDIT                                                                    \
    }

/* Of the verbs that wrap for keys. */
#define PURGE_PROTECTION_OPTION                                                                                        \
    {                                                                                                                  \
        "require-purge-protection", no_argument, NULL, OPT_PURGE_PROTECTION                                            \
    }

#define KEY_OPTIONS                                                                                                    \
    {"kek", required_argument, NULL, 'k'}, CONFIG_OPTIONS,                                                             \
        {"passphrase-file", required_argument, NULL, OPT_PASSPHRASE_FILE},                                             \
    {                                                                                                                  \
        "passphrase-fd", required_argument, NULL, OPT_PASSPHRASE_FD                                                    \
    }

/*
 * Return the next option of ui->options as getopt_long() does, and -1 after the last one. Handle common options here.
 * Exit on the option for help, on an option that is unknown or incomplete, and if FIPS mode is requested but not
 * available. FIPS mode is on before this returns -1, that is, before a verb uses a key.
 */
int next_option(struct ui *ui, int argc, char **argv);

/* Parse a decimal number from @min to @max. */
bool parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out);

/*
 * Parse a number of bytes below 2^64 at *@text and advance *@text past it: decimal, with an optional unit K, M, G or T
 * (or KiB, MiB ...) for powers of 1024.
 */
bool parse_bytes(const char **text, uint64_t *out);

/* Parse the argument of an option. Return EXIT_OK, or report a usage error and return its exit code. */
int jobs_option(const struct ui *ui, const char *arg, unsigned *out);
int slot_size_option(const struct ui *ui, const char *arg, uint32_t *out);
int min_generation_option(const struct ui *ui, const char *arg, uint64_t *out);
int oaep_option(const struct ui *ui, const char *arg, enum blobseal_oaep *out);

/* ---- errors.c: messages and exit codes --------------------------------------------------------------------------- */

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

/*
 * Report "PROGRAM: error: ... (E-USAGE)" with a hint that names the help; with --json also as JSON. Return EXIT_USAGE.
 */
int usage_error(const struct ui *ui, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Report a word that is not known, as usage_error() does. @what: "no verb named", for example. @nearest: a known word
 * that may have been meant, or NULL.
 */
int unknown_word(const struct ui *ui, const char *what, const char *word, const char *nearest);

/* Report @err with its code and a hint, with --json also as blobseal.error/1 on stdout, and return the exit code. */
int report_error(const struct ui *ui, const struct blobseal_error *err);

/* Report @err on stderr only, because a JSON report has it already, and return the exit code. */
int report_error_text(const struct ui *ui, const struct blobseal_error *err);

/* Fill @err and return false. */
bool fail(struct blobseal_error *err, enum blobseal_status status, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Print a line on stderr that starts with "PROGRAM: warning: ". */
void warn(const struct ui *ui, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Flush stdout, report an error if that fails, and return the exit code of a verb that only prints. */
int stdout_finish(const struct ui *ui);

/* ---- advice.c: the next step after an error ---------------------------------------------------------------------- */

#define MAX_HINT 600 /* bytes; enough for what is left of an output, and the next step */

/*
 * Return the hint for @err in @buf, in terms of options and verbs, or "": what is left of the outputs, and the next
 * step. Only options of the verb are mentioned.
 */
const char *hint_for(const struct ui *ui, const struct blobseal_error *err, char *buf, size_t cap);

/* ---- text.c: text and numbers for people ------------------------------------------------------------------------- */

/* Copy as much of @text as fits, and replace everything that is not printable UTF-8 with '?'. Return @buf. */
const char *printable(char *buf, size_t cap, const char *text);

/* "12.4 GiB" */
const char *human_bytes(char buf[32], uint64_t bytes);
/* "3.91 GB/s" */
const char *human_rate(char buf[32], uint64_t bytes, double seconds);

/*
 * Find the word that somebody meant: start with {.typed = WORD}, and pass each known word to nearest_try(). Then `best`
 * is the most similar one, or NULL if none is similar.
 */
struct nearest {
    const char *typed;
    const char *best;
    size_t distance;
};
void nearest_try(struct nearest *n, const char *known);
/* Try all words of a list that is separated by spaces. @buf holds the best one. */
void nearest_try_list(struct nearest *n, const char *list, char buf[32]);

/* Return the short form of a key id for people: the first characters of a thumbprint, or all of another key id. */
#define SHORT_KID 13
const char *short_kid(char buf[SHORT_KID], const char *kid);
/* Return true if @kid is the key id @given; if @given is the beginning of its thumbprint, at least 8 characters; or if
 * @given is a key in a vault without a version, and @kid one of its versions. */
bool kid_matches(const char *kid, const char *given);
/* Return true if @given is https://VAULT/keys/NAME, with a version or without: then it means @all_versions. */
bool names_vault_key(const char *given, bool *all_versions);

/* Write a blob id in hexadecimal. */
void hex_id(char out[2 * BLOBSEAL_BLOB_ID_LEN + 1], const uint8_t id[BLOBSEAL_BLOB_ID_LEN]);

/* "2026-11-29T06:00:00Z" */
const char *utc_time(char buf[32], uint64_t seconds);

/* Return the seconds on a clock that does not jump. */
double seconds_now(void);

/* Flush stdout. Errors: E_OUTPUT. */
bool stdout_flush(struct blobseal_error *err);

/* ---- json.c: one JSON object on stdout, written member by member ------------------------------------------------- */

struct json {
    bool first; /* the next member or item is the first of its object or list */
};

void json_start(struct json *j, const char *schema);
void json_text(struct json *j, const char *name, const char *value); /* NULL: null */
void json_number(struct json *j, const char *name, uint64_t value);  /* BLOBSEAL_SIZE_UNKNOWN: null */
void json_seconds(struct json *j, const char *name, double value);
void json_bool(struct json *j, const char *name, bool value);
void json_time(struct json *j, const char *name, uint64_t seconds); /* since 1970; 0: null */
void json_nested(struct json *j, const char *name); /* an object as a member; its members, then json_nested_end() */
void json_nested_end(struct json *j);
void json_range(struct json *j, uint64_t offset, uint64_t length);
void json_recipients(struct json *j, const struct blobseal_recipient *recipients, size_t num);
void json_meta(struct json *j, const struct blobseal_metadata *metadata); /* NULL: no member */
/*
 * A list of objects: json_list(), for each of them json_item(), its members and json_item_end(), then json_list_end().
 */
void json_list(struct json *j, const char *name);
void json_item(struct json *j);
void json_item_end(struct json *j);
void json_list_end(struct json *j);
/* End the object and flush stdout. Errors: E_OUTPUT. */
bool json_end(struct json *j, struct blobseal_error *err);

/* ---- progress.c: --progress -------------------------------------------------------------------------------------- */

enum progress_mode { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

struct progress {
    enum progress_mode mode;
    bool summary; /* the caller should print a summary line at the end; set by progress_start() */
    const char *verb, *name;
    uint64_t total; /* or BLOBSEAL_SIZE_UNKNOWN */
    double started, shown;
    bool on_line; /* an unfinished line is on the terminal */
};

/* Parse the argument of --progress. Return EXIT_OK, or report a usage error and return its exit code. */
int progress_option(const struct ui *ui, struct progress *p, const char *arg);
void progress_start(struct progress *p, const struct ui *ui, const char *name, uint64_t total);
/* A blobseal_progress_fn over a struct progress. */
bool progress_step(void *progress, uint64_t bytes_done);
/* Show the progress of work that is counted in steps. @name is the name of the current step. */
void progress_count(struct progress *p, unsigned long step, unsigned long steps, const char *name);
/* Remove the progress line from the terminal, and return the seconds since the start. */
double progress_end(struct progress *p);

#endif
