/* SPDX-License-Identifier: Apache-2.0 */
/* What all verbs need: options, messages with codes and hints, exit codes, inputs. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

struct settings settings;

/* ---- Messages --------------------------------------------------------------------------------------------------- */

static const char *verb_name(void)
{
    return settings.verb != NULL ? settings.verb->name : "";
}

static int exit_code(enum blobseal_status status)
{
    switch (status) {
    case BLOBSEAL_OK:
        return EXIT_OK;
    case BLOBSEAL_E_ARG:
    case BLOBSEAL_E_CONFIG:
        return EXIT_USAGE;
    case BLOBSEAL_E_FORMAT:
    case BLOBSEAL_E_DAMAGED:
    case BLOBSEAL_E_AUTH:
        return EXIT_AUTH;
    case BLOBSEAL_E_UNSUPPORTED:
        return EXIT_UNSUPPORTED;
    case BLOBSEAL_E_NO_KEY:
        return EXIT_NO_KEY;
    case BLOBSEAL_E_UNAVAILABLE:
        return EXIT_UNAVAILABLE;
    case BLOBSEAL_E_DENIED:
        return EXIT_DENIED;
    case BLOBSEAL_E_POLICY:
        return EXIT_POLICY;
    case BLOBSEAL_E_EXISTS:
        return EXIT_EXISTS;
    case BLOBSEAL_E_INPUT:
        return EXIT_INPUT;
    case BLOBSEAL_E_OUTPUT:
        return EXIT_OUTPUT;
    default:
        return EXIT_INTERNAL;
    }
}

/* What to do next, where the library had nothing more precise to say. */
static const char *default_hint(enum blobseal_status status)
{
    switch (status) {
    case BLOBSEAL_E_FORMAT:
        return "check that the file is what it should be: blobseal inspect FILE";
    case BLOBSEAL_E_DAMAGED:
    case BLOBSEAL_E_AUTH:
        return "fetch the blob again from its source; no output was made";
    case BLOBSEAL_E_UNSUPPORTED:
        return "it may need a newer blobseal";
    case BLOBSEAL_E_OUTPUT:
        return "no output was left behind; check space and permissions and run it again";
    case BLOBSEAL_E_EXISTS:
        return "choose another name with -o, or replace the file with --force";
    case BLOBSEAL_E_INPUT:
        return "check the name and the permissions of the file";
    case BLOBSEAL_E_NOMEM:
        return "free some memory, or use fewer threads with -j";
    case BLOBSEAL_E_CONFIG:
    case BLOBSEAL_E_ARG:
        return "see: blobseal help";
    default:
        return "";
    }
}

static void print_error(const char *text, const char *code, const char *hint)
{
    fprintf(stderr, "blobseal: error: %s (%s)\n", text, code);
    if (hint[0] != '\0')
        fprintf(stderr, "blobseal: hint: %s\n", hint);
}

static void print_json_error(const char *text, const char *code, int status, const char *hint, bool retryable)
{
    struct blobseal_error ignored;

    json_start("blobseal.error/1");
    json_text("code", code);
    json_number("exit", (uint64_t)status);
    json_text("message", text);
    json_text("hint", hint);
    json_bool("retryable", retryable);
    (void)json_end(&ignored); /* the exit code says it all the same */
}

int report_error(const struct blobseal_error *err)
{
    const char *hint = err->hint[0] != '\0' ? err->hint : default_hint(err->status);
    const char *code = blobseal_status_code(err->status);
    int status = exit_code(err->status);

    print_error(err->text, code, hint);
    if (settings.json)
        print_json_error(err->text, code, status, hint,
                         err->status == BLOBSEAL_E_UNAVAILABLE || err->status == BLOBSEAL_E_OUTPUT);
    return status;
}

int usage_error(const char *format, ...)
{
    char text[320], hint[80];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    (void)snprintf(hint, sizeof hint, "see: blobseal help%s%s", settings.verb != NULL ? " " : "", verb_name());
    print_error(text, "E-USAGE", hint);
    if (settings.json)
        print_json_error(text, "E-USAGE", EXIT_USAGE, hint, false);
    return EXIT_USAGE;
}

bool fail(struct blobseal_error *err, enum blobseal_status status, int sys_errno, const char *format, ...)
{
    char text[sizeof err->text];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    (void)blobseal_fail(err, status, sys_errno, "%s", text);
    return false;
}

void warn(const char *format, ...)
{
    va_list ap;

    fputs("blobseal: warning: ", stderr);
    va_start(ap, format);
    (void)vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- Options ---------------------------------------------------------------------------------------------------- */

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
            exit(usage_error("%s: option %s needs an argument", verb_name(), argv[optind - 1]));
        case '?':
            exit(usage_error("%s: unknown option %s", verb_name(), argv[optind - 1]));
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

/* ---- Inputs ----------------------------------------------------------------------------------------------------- */

bool input_open(struct input *in, const char *path, struct blobseal_error *err)
{
    *in = (struct input){.name = "standard input", .fd = STDIN_FILENO, .is_stdin = true};
    if (path != NULL && strcmp(path, "-") != 0) {
        in->is_stdin = false;
        in->name = path;
        in->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    if (in->fd < 0 || fstat(in->fd, &in->before) != 0)
        return fail(err, BLOBSEAL_E_INPUT, errno, "open %s", in->name);
    if (S_ISDIR(in->before.st_mode)) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s is a folder: an input is one file", in->name);
        blobseal_hint(err, "pack it first: tar -C %.120s -c . | blobseal ...", in->name);
        return false;
    }
    return blobseal_source_fd(&in->source, &in->state, in->fd, in->name, err) == BLOBSEAL_OK;
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
        blobseal_hint(err, "no output was made; run it again when nobody writes to the file");
        return false;
    }
    return true;
}

void input_close(struct input *in)
{
    if (!in->is_stdin && in->fd >= 0 && in->name != NULL)
        (void)close(in->fd);
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

double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
