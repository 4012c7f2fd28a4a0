/* SPDX-License-Identifier: Apache-2.0 */
/* Options that all verbs share, and small helpers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli.h"

struct settings settings;

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
        case OPT_HELP:
            printf("Usage: %s", settings.verb->usage);
            exit(EXIT_OK);
        case ':':
            exit(usage_error("%s: option %s needs an argument", settings.verb->name, argv[optind - 1]));
        case '?':
            exit(usage_error("%s: unknown option %s", settings.verb->name, argv[optind - 1]));
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

double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
