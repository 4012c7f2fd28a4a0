/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of blobseal share, one section per .c file. */
#ifndef BLOBSEAL_VERBS_H
#define BLOBSEAL_VERBS_H

#include "tools/common/arguments.h"
#include "tools/common/common.h"
#include "tools/common/files.h"

/* ---- main.c: the table of verbs ---------------------------------------------------------------------------------- */

struct verb {
    const char *name;
    const char *summary;
    const char *usage; /* the whole help text after "Usage: " */
    int (*run)(struct ui *ui, int argc, char **argv);
    const struct option *options;
    const char *words; /* one of these follows the verb, such as "add remove"; NULL: none */
};

/* All verbs, with NULL after the last. */
extern const struct verb *const verbs[];

extern const struct verb verb_key, verb_keygen, verb_keyprovider, verb_seal, verb_open, verb_inspect, verb_verify,
    verb_scrub, verb_doctor, verb_recipients, verb_rewrap, verb_completion, verb_bench, verb_config, verb_oci, verb_set;

/* Values of the long options without a letter, in addition to those of tools/common. */
enum {
    OPT_DETACHED = OPT_OWN,
    OPT_NO_CHECKSUMS,
    OPT_SLOT_SIZE,
    OPT_OAEP,
    OPT_ENVELOPE,
    OPT_JWE,
    OPT_RSA,
    OPT_PUB,
    OPT_PKCS11,
    OPT_RANGE,
    OPT_SPARSE,
    OPT_TO,
    OPT_KID,
    OPT_DROP,
    OPT_ONLY,
    OPT_REWRITE,
    OPT_NO_LOCK,
    OPT_MIN_GENERATION,
    OPT_ZSTD,
    OPT_RAW,
    OPT_QUICK,
    OPT_THREADS,
    OPT_SIZES,
    OPT_HTML,
    OPT_JSON_OUT,
    OPT_COMPARE,
    OPT_FROM,
    OPT_DIGEST,
    OPT_LAYERS,
    OPT_ALL_BUT_BASE,
    OPT_PLATFORM,
    OPT_CIPHER,
    OPT_ALSO,
    OPT_EXPECT_ENCRYPTED,
    OPT_IDENTITY,
    OPT_RECOVERY,
    OPT_WRAP,
    OPT_STORE,
    OPT_ID,
    OPT_REUSE,
    OPT_RECEIPTS,
};

/* ---- job.c: keys, inputs, optionally outputs, threads, progress -------------------------------------------------- */

/* What all inputs of a command share. */
struct job_shared {
    struct reads reads;                   /* the files that the command reads, which no output replaces */
    struct folders folders;               /* to be synced at the end                                    */
    struct output_place places[JOBS_MAX]; /* one for each thread                                        */
    char in_folders[JOBS_MAX][256];       /* see input_open_next()                                      */
    _Atomic uint64_t bytes;               /* of the content of all files, for the summary               */
};

/* The work on one input. A command makes a copy for each of its inputs, after the options have been parsed. */
struct job {
    struct ui *ui;
    char *const *paths; /* of all inputs */
    size_t num;
    struct job_shared *shared;
    unsigned thread;
    /* What was requested. */
    struct keys keys;
    const char *in_path, *envelope_path;
    const char *out_path;   /* NULL: the default output                                                  */
    const char *out_folder; /* for outputs with their default names; NULL: each in the folder of its input */
    bool part;              /* only a part of the content is written, so it is a new file                */
    char default_out[4096];
    const char *device_hint; /* see struct output_options */
    uint32_t digests;        /* BLOBSEAL_DIGEST_: to compute */
    bool force;
    bool raw; /* return zstd content as it is stored */
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
#define JOB_NONE(the_ui) ((struct job){.ui = (the_ui), .in = INPUT_NONE, .out = OUTPUT_NONE})

/* Take an option that only one verb has. Return EXIT_OK, also for an unknown option, or the exit code to end with. */
typedef int (*job_option_fn)(void *ctx, int option, const char *arg);

/*
 * Parse the command line: shared options, those of @own (NULL: none), and inputs. Return EXIT_OK or a code to end with.
 */
int job_parse(struct job *j, int argc, char **argv, job_option_fn own, void *ctx);
/* Use the default key if none is named. If there is none, report a usage error. */
int job_need_key(struct job *j);
/*
 * Find out where outputs go. Refuse --json if the data goes to standard output, and outputs of several inputs that
 * would be one file. Return EXIT_OK, or report a usage error and return its exit code.
 */
int job_check_output(struct job *j);

/* What to do with each input. */
struct job_plan {
    enum blobseal_oaep oaep;
    bool in_order;         /* one input after another        */
    enum blobseal_use use; /* of the keys */
    const char *done;      /* "sealed", for the summary of several inputs; NULL: no summary */
    /* Work on the input @request->in_path. @request is a copy of the request, which starts with the job of that input.
     * What is open is closed afterwards, and a failure is reported. */
    bool (*one)(void *request, struct blobseal_error *err);
    size_t size; /* of the request */
};

/*
 * Open the keys, process all inputs, sync the folders of the outputs, and close what is shared. @j is the first member
 * of the request. Return the exit code.
 */
int job_run(struct job *j, const struct job_plan *plan);

/*
 * Open one part of the job each: input and envelope; the output (by default j->default_out); the reader of the blob.
 * All of them are closed when the input is done.
 */
bool job_open_input(struct job *j, struct blobseal_error *err);
/* Set j->default_out: the first @len bytes of the input's name, with @suffix, in the right folder. */
bool job_default_output(struct job *j, size_t len, const char *suffix, struct blobseal_error *err);
bool job_open_output(struct job *j, struct blobseal_error *err);
bool job_open_reader(struct job *j, struct blobseal_error *err);

/* ---- doctor_oci.c ------------------------------------------------------------------------------------------------ */

/* Report whether tools for container images would find the key provider. */
void doctor_oci(blobseal_finding_fn fn, void *ctx);

/* ---- keygen_token.c ---------------------------------------------------------------------------------------------- */

/* Make a key pair in the token that the URI in @token names, and write its public half to @public_path unless NULL. */
bool keygen_token(struct ui *ui, struct key_arg *token, const char *public_path, unsigned bits,
                  struct blobseal_error *err);

/* ---- digest.c: digests, and the option --digest ------------------------------------------------------------------ */

/* Parse the argument of --digest (NULL: none) into bits BLOBSEAL_DIGEST_. Return EXIT_OK, or a code to end with. */
int digest_option(const struct ui *ui, const char *arg, uint32_t *wanted);

#define DIGEST_HEX (2 * BLOBSEAL_SHA256_LEN + 1)

/* Write a digest in hexadecimal. Return @hex. */
const char *digest_hex(char hex[DIGEST_HEX], const uint8_t sha256[BLOBSEAL_SHA256_LEN]);

/* Add the member `envelope_sha256`, or print a line with it. @sha256 is NULL or zero if there is no envelope. */
void digest_json_envelope(struct json *j, const uint8_t *sha256);
void digest_print_envelope(FILE *to, const uint8_t *sha256, const char *name);

/* Add a member for each digest that was computed, or print a line for each of those of the file @name. */
void digest_json(struct json *j, const struct blobseal_digests *d);
void digest_print(FILE *to, const struct blobseal_digests *d, const char *name);

/* ---- report.c: what verbs print about a blob --------------------------------------------------------------------- */

/* The report of seal, open and verify. */
struct report {
    const char *schema;
    const char *in, *out; /* if `out` is NULL, the JSON has no such member */
    uint64_t plain_bytes, sealed_bytes;
    bool zstd;             /* the content is compressed */
    uint64_t stored_bytes; /* the compressed size if `zstd` */
    const uint8_t *blob_id;
    uint64_t generation;
    const struct blobseal_recipient *recipients;
    size_t num_recipients;
    const uint8_t *envelope_sha256;
    const struct blobseal_metadata *metadata; /* NULL: no member */
    double seconds;
    bool is_range; /* a part of the content only */
    uint64_t range_off, range_len;
    struct blobseal_digests digests; /* members for those that were computed */
};

/* Return the report of a job that read a blob. */
struct report report_of_reader(const char *schema, const struct job *j, uint64_t plain_bytes, double seconds);
/* Print @r as JSON. Errors: E_OUTPUT. */
bool report_print(const struct report *r, struct blobseal_error *err);

/* Write the compressed size as a share of the original, "  zstd 41.2%", or "" if not compressed. Return @buf. */
const char *report_ratio(char buf[32], const struct report *r);

/* Warn about an envelope on stderr. @notes: BLOBSEAL_NOTE_... */
void report_notes(const struct ui *ui, const char *name, uint32_t notes);

/* Print the rest of a line: algorithm (at least @width wide), short key id, and whether the algorithm is unknown. */
void report_recipient(const struct blobseal_recipient *r, int width);

/* Fill @err for a blob with a detached envelope, when a verb shows or changes the envelope. Return false. */
bool envelope_elsewhere(const char *name, struct blobseal_error *err);

/* ---- change.c: what `recipients` and `rewrap` share: changing the envelopes of files ----------------------------- */

struct change_request {
    struct ui *ui;
    struct keys keys, to; /* -k and --to */
    struct keys *last;    /* the list with the key that later options about a key apply to; NULL: no key yet */
    const char *kids[BLOBSEAL_MAX_RECIPIENTS]; /* to remove */
    size_t num_kids;
    struct keys kid_keys; /* --kid FILE: keys whose ids are added to `kids` */
    struct reads reads;   /* which no change may write */
    bool rewrite;
    bool no_lock;        /* the user excludes other changes */
    bool access_removed; /* a recipient was removed from at least one file */
    uint32_t slot_capacity;
    struct blobseal_change change;
};

#define CHANGE_OPTIONS                                                                                                 \
    {"to", required_argument, NULL, OPT_TO}, {"oaep", required_argument, NULL, OPT_OAEP},                              \
        {"min-generation", required_argument, NULL, OPT_MIN_GENERATION}, {"dry-run", no_argument, NULL, 'n'},          \
        {"no-lock", no_argument, NULL, OPT_NO_LOCK}, {"rewrite", no_argument, NULL, OPT_REWRITE},                      \
        {"slot-size", required_argument, NULL, OPT_SLOT_SIZE},                                                         \
        {"require-purge-protection", no_argument, NULL, OPT_PURGE_PROTECTION},                                         \
    {                                                                                                                  \
        "drop", required_argument, NULL, OPT_DROP                                                                      \
    }

/* Take one of KEY_OPTIONS or CHANGE_OPTIONS. Return EXIT_OK, also for other options, or a code to end with. */
int change_option(struct change_request *r, int option, const char *arg);

/* Add @kid to the recipients to remove: a key id, the beginning of a thumbprint, or a key file. */
int change_remove(struct change_request *r, const char *kid);

/* Open the keys, change all files, close the keys; return the exit code. */
int change_files(struct change_request *r, char *const *paths, size_t num);

/* ---- change_file.c: one file of them ----------------------------------------------------------------------------- */

/* Change the envelope of the file @name. @result: release with blobseal_change_result_free(), also after an error. */
bool change_one_file(const struct change_request *r, const char *name, struct blobseal_change_result **result,
                     struct blobseal_error *err);

/* ---- set_show.c -------------------------------------------------------------------------------------------------- */

struct blobseal_set;
struct blobseal_set_change;

/* Print what a set is like, and warn of what is missing. */
bool set_print(const struct ui *ui, struct blobseal_set *set, struct blobseal_error *err);

/* Print what a change of a set has done. @by_hand: another KEK or identity was named. */
bool set_print_change(const struct ui *ui, const char *name, const struct blobseal_set_change *change, bool by_hand,
                      struct blobseal_error *err);

#endif
