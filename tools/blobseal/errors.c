/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with codes and hints, and the exit codes that go with them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

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
        return "check that it is the file that was meant, and that an envelope file belongs to its blob";
    case BLOBSEAL_E_DAMAGED:
        return "blobseal scrub FILE says what is damaged, and whether it can be repaired without another copy";
    case BLOBSEAL_E_AUTH:
        return "fetch the blob again from its source; no file was made";
    case BLOBSEAL_E_UNSUPPORTED:
        return "it may need a newer blobseal";
    case BLOBSEAL_E_OUTPUT:
        return "no file was left behind; check space and permissions and run it again";
    case BLOBSEAL_E_EXISTS:
        if (strcmp(verb_name(), "keygen") == 0)
            return "choose other names: keygen never replaces a file";
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

/* Whether @text says which file it is about: in front, before a colon, or anywhere with a name that is not there by chance. */
static bool names_file(const char *text, const char *file)
{
    size_t n = strlen(file);
    const char *p = strstr(text, file);

    if (p == NULL || strpbrk(file, "./") != NULL)
        return p != NULL;
    return (p == text && text[n] == ' ') || p[n] == ':';
}

/* Of several files the one that it is about has its name in front, unless the text has it. */
static void print_error(const char *text, const char *code, const char *hint)
{
    char name[320];
    const char *file = settings.file != NULL ? printable(name, sizeof name, settings.file) : NULL;

    if (file != NULL && !names_file(text, file))
        fprintf(stderr, "blobseal: error: %s: %s (%s)\n", file, text, code);
    else
        fprintf(stderr, "blobseal: error: %s (%s)\n", text, code);
    if (hint[0] != '\0')
        fprintf(stderr, "blobseal: hint: %s\n", hint);
}

static void print_json_error(const char *text, const char *code, int status, const char *hint, bool retryable)
{
    json_start("blobseal.error/1");
    if (settings.file != NULL)
        json_text("file", settings.file);
    json_text("code", code);
    json_number("exit", (uint64_t)status);
    json_text("message", text);
    json_text("hint", hint);
    json_bool("retryable", retryable);
    (void)json_end(); /* the exit code says it all the same */
}

/* The next step in terms of options and verbs, for what the library says in neutral words. "%s" is the subject of the advice. */
static const char *const advice_hints[] = {
    [BLOBSEAL_ADVICE_NONE] = NULL,
    [BLOBSEAL_ADVICE_ENVELOPE] = "name the envelope file with --envelope",
    [BLOBSEAL_ADVICE_RESTORE] =
        "restore the first %s bytes from another copy, or name a saved envelope with --envelope",
    [BLOBSEAL_ADVICE_REPAIR] = "repair it with a private key: blobseal recipients repair -k KEY FILE",
    [BLOBSEAL_ADVICE_REWRITE] = "--rewrite makes a new file with larger slots",
    [BLOBSEAL_ADVICE_PUBLIC_KEY] = "name its public key with -k, or remove that recipient with --drop %s",
    [BLOBSEAL_ADVICE_OAEP_SHA256] = "pass --oaep sha256 after that key",
    [BLOBSEAL_ADVICE_OAEP_SHA1] = "pass --oaep sha1 after that key",
    [BLOBSEAL_ADVICE_PASSPHRASE] = "name a file with the passphrase: --passphrase-file FILE after the key",
    [BLOBSEAL_ADVICE_RSA_KEY] = "make one with: blobseal keygen -o kek.pem --pub kek.pub.pem",
    [BLOBSEAL_ADVICE_SEEKABLE] = "a range needs a file: name it, or redirect it",
    [BLOBSEAL_ADVICE_SELFTEST] = "blobseal doctor says what is wrong with this machine",
};

/* Copy @hint into @buf with @subject in the place of its "%s", if it has one. Return @buf. */
static const char *with_subject(char *buf, size_t cap, const char *hint, const char *subject)
{
    const char *at = strstr(hint, "%s");
    int before = at != NULL ? (int)(at - hint) : (int)strlen(hint);

    (void)snprintf(buf, cap, "%.*s%s%s", before, hint, at != NULL ? subject : "", at != NULL ? at + 2 : "");
    return buf;
}

static const char *hint_of(const struct blobseal_error *err, char *buf, size_t cap)
{
    if ((unsigned)err->advice < COUNT(advice_hints) && advice_hints[err->advice] != NULL)
        return with_subject(buf, cap, advice_hints[err->advice], err->subject);
    if (err->hint[0] != '\0')
        return err->hint;
    if (err->status == BLOBSEAL_E_OUTPUT && err->sys_errno == EPIPE)
        return "the program that reads it ended first: see what it said";
    return default_hint(err->status);
}

int report_error_text(const struct blobseal_error *err)
{
    char hint[320];

    print_error(err->text, blobseal_status_code(err->status), hint_of(err, hint, sizeof hint));
    return exit_code(err->status);
}

int report_error(const struct blobseal_error *err)
{
    int status = report_error_text(err);
    char hint[320];

    if (settings.json)
        print_json_error(err->text, blobseal_status_code(err->status), status, hint_of(err, hint, sizeof hint),
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
    blobseal_make_printable(text);
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

bool stdout_failed(struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_OUTPUT, errno, "write the report to standard output");
    blobseal_hint(err, "everything else is done: only the report is missing");
    return false;
}

int stdout_finish(void)
{
    struct blobseal_error err;

    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_OK;
    (void)stdout_failed(&err);
    return report_error(&err);
}

void warn(const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    blobseal_make_printable(text);
    fprintf(stderr, "blobseal: warning: %s\n", text);
}

const char *printable(char *buf, size_t cap, const char *text)
{
    (void)snprintf(buf, cap, "%s", text);
    blobseal_make_printable(buf);
    return buf;
}
