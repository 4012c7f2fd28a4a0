/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with codes and hints, and the exit codes that go with them. */
#include "tools/common/common.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "tools/common/signals.h"

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

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

/*
 * Return true if @text names @file: anywhere, if the name has a '.' or '/' and so is not an ordinary word; otherwise
 * only at the start of the text or before a colon.
 */
static bool names_file(const char *text, const char *file)
{
    size_t n = strlen(file);
    const char *p = strstr(text, file);

    if (p == NULL || strpbrk(file, "./") != NULL)
        return p != NULL;
    return (p == text && text[n] == ' ') || p[n] == ':';
}

/* Print the error. If there are several files, add the name of the current one, unless the text contains it. */
static void print_error(const struct ui *ui, const char *text, const char *code, const char *hint)
{
    char name[320];
    const char *file = ui->file != NULL ? printable(name, sizeof name, ui->file) : NULL;

    flockfile(stderr); /* the two lines belong together, and other threads write as well */
    signals_clear_line();
    if (file != NULL && !names_file(text, file))
        fprintf(stderr, "%s: error: %s: %s (%s)\n", ui->program, file, text, code);
    else
        fprintf(stderr, "%s: error: %s (%s)\n", ui->program, text, code);
    if (hint[0] != '\0')
        fprintf(stderr, "%s: hint: %s\n", ui->program, hint);
    funlockfile(stderr);
}

static void print_json_error(const struct ui *ui, const struct blobseal_error *err, const char *code, int status,
                             const char *hint)
{
    struct json j;

    json_start(&j, "blobseal.error/1");
    if (ui->file != NULL)
        json_text(&j, "file", ui->file);
    json_text(&j, "code", code);
    json_number(&j, "exit", (uint64_t)status);
    json_text(&j, "message", err->text);
    json_text(&j, "hint", hint);
    json_bool(&j, "retryable", err->status == BLOBSEAL_E_UNAVAILABLE || err->status == BLOBSEAL_E_OUTPUT);
    (void)json_end(&j, NULL); /* if this fails the exit code reports the error nevertheless */
}

int report_error_text(const struct ui *ui, const struct blobseal_error *err)
{
    char hint[MAX_HINT];

    print_error(ui, err->text, blobseal_status_code(err->status), hint_for(ui, err, hint, sizeof hint));
    return exit_code(err->status);
}

int report_error(const struct ui *ui, const struct blobseal_error *err)
{
    int status = report_error_text(ui, err);
    char hint[MAX_HINT];

    if (ui->json)
        print_json_error(ui, err, blobseal_status_code(err->status), status, hint_for(ui, err, hint, sizeof hint));
    return status;
}

/* Report the text in @err as a usage error. */
static int report_usage(const struct ui *ui, struct blobseal_error *err, const char *nearest)
{
    char hint[160];

    err->status = BLOBSEAL_E_ARG;
    blobseal_make_printable(err->text);
    (void)snprintf(hint, sizeof hint, "%s%.40s%ssee: %s %s%s%s", nearest != NULL ? "did you mean " : "",
                   nearest != NULL ? nearest : "", nearest != NULL ? "? Otherwise " : "", ui->program,
                   ui->verb == NULL && ui->usage != NULL ? "--help" : "help", ui->verb != NULL ? " " : "",
                   ui->verb != NULL ? ui->verb : "");
    print_error(ui, err->text, "E-USAGE", hint);
    if (ui->json)
        print_json_error(ui, err, "E-USAGE", EXIT_USAGE, hint);
    return EXIT_USAGE;
}

int usage_error(const struct ui *ui, const char *format, ...)
{
    struct blobseal_error err = {0};
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(err.text, sizeof err.text, format, ap);
    va_end(ap);
    return report_usage(ui, &err, NULL);
}

int unknown_word(const struct ui *ui, const char *what, const char *word, const char *nearest)
{
    struct blobseal_error err = {0};

    (void)snprintf(err.text, sizeof err.text, "%s %s", what, word);
    return report_usage(ui, &err, nearest);
}

void warn(const struct ui *ui, const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    blobseal_make_printable(text);
    flockfile(stderr);
    signals_clear_line();
    fprintf(stderr, "%s: warning: %s\n", ui->program, text);
    funlockfile(stderr);
}

/* ---- Errors of the programs themselves --------------------------------------------------------------------------- */

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

int stdout_finish(const struct ui *ui)
{
    struct blobseal_error err;

    return stdout_flush(&err) ? EXIT_OK : report_error(ui, &err);
}
