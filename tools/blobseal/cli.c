/* SPDX-License-Identifier: Apache-2.0 */
/* Options that all verbs share, and small helpers. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

struct settings settings;

/* A bad option ends the parsing before a --json behind it was seen: the error shall be JSON all the same. */
static void look_for_json(int argc, char **argv)
{
    for (int i = optind; i < argc && strcmp(argv[i], "--") != 0; i++)
        settings.json = settings.json || strcmp(argv[i], "--json") == 0;
}

/* The option that getopt_long() stumbled over, as it was written. */
static const char *bad_option(char **argv)
{
    static char letter[] = "-x";

    if (optopt > 0 && optopt < 128 && strncmp(argv[optind - 1], "--", 2) != 0) {
        letter[1] = (char)optopt;
        return letter;
    }
    return argv[optind - 1];
}

/* No option is left: FIPS mode, where it is asked for, begins before anything else does. */
static void options_end(void)
{
    struct blobseal_error err;
    int code = fips_from_environment();

    if (code != EXIT_OK)
        exit(code);
    if (settings.fips && !fips_start(&err))
        exit(report_error(&err));
}

int next_option(int argc, char **argv, const char *letters, const struct option *options)
{
    int c;

    opterr = 0;
    for (;;) {
        c = getopt_long(argc, argv, letters, options, NULL);
        switch (c) {
        case OPT_JSON:
            settings.json = true;
            continue;
        case 'q':
            settings.quiet = true;
            continue;
        case OPT_FIPS:
            settings.fips = true;
            continue;
        case OPT_HELP:
            printf("Usage: %s", settings.verb->usage);
            exit(stdout_finish());
        case ':':
            look_for_json(argc, argv);
            exit(usage_error("%s: option %s needs an argument", settings.verb->name, bad_option(argv)));
        case '?':
            look_for_json(argc, argv);
            exit(usage_error("%s: unknown option %s", settings.verb->name, bad_option(argv)));
        case -1:
            options_end();
            return c;
        default:
            return c;
        }
    }
}

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

double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int slot_size_option(const char *arg, uint32_t *out)
{
    const char *p = arg;
    uint64_t n;

    if (!parse_bytes(&p, &n) || *p != '\0' || n < 4096 || n > 65536 || n % 4096 != 0)
        return usage_error("--slot-size takes a multiple of 4096 from 4096 to 65536, not %s", arg);
    *out = (uint32_t)n;
    return EXIT_OK;
}

int min_generation_option(const char *arg, uint64_t *out)
{
    unsigned long n;

    if (!parse_number(arg, 1, ULONG_MAX, &n))
        return usage_error("--min-generation takes a number from 1, not %s", arg);
    *out = n;
    return EXIT_OK;
}

int oaep_option(const char *arg, enum blobseal_oaep *out)
{
    if (strcmp(arg, "sha256") != 0 && strcmp(arg, "sha1") != 0)
        return usage_error("--oaep is sha256 or sha1, not %s", arg);
    *out = strcmp(arg, "sha1") == 0 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256;
    return EXIT_OK;
}
