/* SPDX-License-Identifier: Apache-2.0 */
/* Options of all verbs, and arguments that several verbs take. */
#include "tools/common/arguments.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/fips.h"

/* ---- Options ----------------------------------------------------------------------------------------------------- */

#define MAX_LETTERS 128

/* Derive the option letters that getopt_long() needs from the table of the verb: ":" and then "k:" or "q" for each. */
static void list_letters(char letters[MAX_LETTERS], const struct option *options)
{
    size_t n = 0;

    letters[n++] = ':';
    for (const struct option *o = options; o != NULL && o->name != NULL && n + 3 < MAX_LETTERS; o++) {
        if (o->val <= ' ' || o->val >= 0x7F)
            continue;
        letters[n++] = (char)o->val;
        if (o->has_arg == required_argument)
            letters[n++] = ':';
    }
    letters[n] = '\0';
}

/*
 * Look for --json in the arguments that were not parsed. A bad option ends parsing before a later --json is seen, but
 * the error must be printed as JSON nevertheless.
 */
static void look_for_json(struct ui *ui, int argc, char **argv)
{
    for (int i = optind; i < argc && strcmp(argv[i], "--") != 0; i++)
        ui->json = ui->json || strcmp(argv[i], "--json") == 0;
}

/* Return what messages about options begin with: the verb, or the program if it has no verbs. */
static const char *who(const struct ui *ui)
{
    return ui->verb != NULL ? ui->verb : ui->program;
}

/* Return the option that getopt_long() rejected: a long option as it was written, a letter as "-x" in @buf. */
static const char *bad_option(char **argv, char buf[3])
{
    if (optopt <= 0 || optopt >= 128 || strncmp(argv[optind - 1], "--", 2) == 0)
        return argv[optind - 1];
    (void)snprintf(buf, 3, "-%c", optopt);
    return buf;
}

/* Report an option that the verb does not have. */
static int unknown_option(struct ui *ui, char **argv)
{
    char letter[3], typed[40], best[40];
    const char *name = bad_option(argv, letter);
    struct nearest n = {.typed = typed};

    (void)snprintf(typed, sizeof typed, "%.*s", (int)strcspn(name, "="), name);
    for (const struct option *o = ui->options; strncmp(name, "--", 2) == 0 && o != NULL && o->name != NULL; o++) {
        struct nearest one = {.typed = typed + 2};

        nearest_try(&one, o->name);
        if (one.best == NULL || (n.best != NULL && one.distance >= n.distance))
            continue;
        (void)snprintf(best, sizeof best, "--%s", o->name);
        n.best = best;
        n.distance = one.distance;
    }
    if (n.best != NULL && n.distance == 0)
        return usage_error(ui, "%s: option %s takes no argument", who(ui), n.best);
    (void)snprintf(typed, sizeof typed, "%s: unknown option", who(ui));
    return unknown_word(ui, typed, name, n.best);
}

/* Read BLOBSEAL_FIPS. Return EXIT_OK, or the exit code of a usage error. */
static int fips_from_environment(struct ui *ui)
{
    static const char *const on[] = {"1", "yes", "true"}, *const off[] = {"", "0", "no", "false"};
    const char *value = getenv("BLOBSEAL_FIPS");

    if (value == NULL)
        return EXIT_OK;
    for (size_t i = 0; i < COUNT(off); i++)
        if (strcmp(value, off[i]) == 0)
            return EXIT_OK;
    for (size_t i = 0; i < COUNT(on); i++)
        if (strcmp(value, on[i]) == 0) {
            ui->fips = true;
            return EXIT_OK;
        }
    return usage_error(ui, "the environment variable BLOBSEAL_FIPS is yes or no, not %s", value);
}

/*
 * All options are known: turn on FIPS mode now if it is requested, before anything else uses OpenSSL, and check that
 * OpenSSL has what any verb may need, before anything is read.
 */
static void options_end(struct ui *ui)
{
    struct blobseal_error err;
    int code = fips_from_environment(ui);

    if (code != EXIT_OK)
        exit(code);
    if (ui->fips && !fips_start(&err))
        exit(report_error(ui, &err));
    if (!ui->any_openssl && blobseal_selftest(&err) != BLOBSEAL_OK)
        exit(report_error(ui, &err));
}

/* Handle what is common to all verbs. Return false if the verb has to handle @option. */
static bool take_common(struct ui *ui, int option, int argc, char **argv)
{
    char letter[3];

    switch (option) {
    case OPT_JSON:
        ui->json = true;
        return true;
    case 'q':
        ui->quiet = true;
        return true;
    case OPT_FIPS:
        ui->fips = true;
        return true;
    case OPT_PURGE_PROTECTION:
        keys_require_purge_protection();
        return true;
    case OPT_CONFIG:
        config_choose(optarg);
        return true;
    case OPT_AUDIT:
        config_audit_to(optarg);
        return true;
    case OPT_HELP:
        printf("Usage: %s", ui->usage);
        exit(stdout_finish(ui));
    case ':':
        look_for_json(ui, argc, argv);
        exit(usage_error(ui, "%s: option %s needs an argument", who(ui), bad_option(argv, letter)));
    case '?':
        look_for_json(ui, argc, argv);
        exit(unknown_option(ui, argv));
    default:
        return false;
    }
}

int next_option(struct ui *ui, int argc, char **argv)
{
    char letters[MAX_LETTERS];
    int option;

    opterr = 0;
    list_letters(letters, ui->options);
    do
        option = getopt_long(argc, argv, letters, ui->options, NULL);
    while (take_common(ui, option, argc, argv));
    if (option == -1)
        options_end(ui);
    return option;
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

bool parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= min && *out <= max;
}

bool parse_bytes(const char **text, uint64_t *out)
{
    static const char units[] = "KMGT";
    const char *s = *text, *unit;
    unsigned shift = 0;

    if (*s < '0' || *s > '9')
        return false;
    for (*out = 0; *s >= '0' && *s <= '9'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');

        if (*out > (UINT64_MAX - digit) / 10)
            return false;
        *out = *out * 10 + digit;
    }
    unit = *s != '\0' ? strchr(units, *s) : NULL;
    if (unit != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        s += strncmp(s + 1, "iB", 2) == 0 ? 3 : 1;
    }
    if (*out > UINT64_MAX >> shift)
        return false;
    *out <<= shift;
    *text = s;
    return true;
}

int jobs_option(const struct ui *ui, const char *arg, unsigned *out)
{
    unsigned long n;

    if (!parse_number(arg, 1, 256, &n))
        return usage_error(ui, "-j takes a number of threads from 1 to 256, not %s", arg);
    *out = (unsigned)n;
    return EXIT_OK;
}

int slot_size_option(const struct ui *ui, const char *arg, uint32_t *out)
{
    const char *p = arg;
    uint64_t n;

    if (!parse_bytes(&p, &n) || *p != '\0' || n < 4096 || n > 65536 || n % 4096 != 0)
        return usage_error(ui, "--slot-size takes a multiple of 4096 from 4096 to 65536, not %s", arg);
    *out = (uint32_t)n;
    return EXIT_OK;
}

int min_generation_option(const struct ui *ui, const char *arg, uint64_t *out)
{
    unsigned long n;

    if (!parse_number(arg, 1, ULONG_MAX, &n))
        return usage_error(ui, "--min-generation takes a number of at least 1, not %s", arg);
    *out = n;
    return EXIT_OK;
}

int oaep_option(const struct ui *ui, const char *arg, enum blobseal_oaep *out)
{
    if (strcmp(arg, "sha256") != 0 && strcmp(arg, "sha1") != 0)
        return usage_error(ui, "--oaep is sha256 or sha1, not %s", arg);
    *out = strcmp(arg, "sha1") == 0 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256_ALWAYS;
    return EXIT_OK;
}
