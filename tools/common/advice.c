/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next step after an error, in terms of options and verbs. The library only gives advice in neutral words. This is
 * the one place that translates it. A sentence that mentions an option is used only for a verb that has the option, so
 * no verb has to be known here.
 */
#include "tools/common/common.h"

#include <errno.h>
#include <string.h>

/* Return true if the verb has the option @name. */
static bool has_option(const struct ui *ui, const char *name)
{
    for (const struct option *o = ui->options; o != NULL && o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

/*
 * In all texts "%s" stands for the subject of the advice, "%f" for the current input, or FILE if it is not a file path
 * (a pipe, or standard input that the shell redirected), "%p" for the program and "%v" for the verb.
 */
struct sentence {
    const char *text;
    const char *option;    /* that `text` mentions; NULL: none */
    const char *otherwise; /* for a verb without that option   */
};

static const struct sentence advices[] = {
    [BLOBSEAL_ADVICE_NONE] = {NULL, NULL, NULL},
    [BLOBSEAL_ADVICE_ENVELOPE] = {"name the envelope file with --envelope", "envelope",
                                  "name the envelope file instead of the blob"},
    [BLOBSEAL_ADVICE_RESTORE] =
        {"restore the first %s bytes from another copy, or name a saved envelope with --envelope", "envelope",
         "restore the first %s bytes from another copy"},
    [BLOBSEAL_ADVICE_REPAIR] = {"repair it with a private key: %p recipients repair -k KEY %f", NULL, NULL},
    [BLOBSEAL_ADVICE_REWRITE] = {"--rewrite makes a new file with larger slots", "rewrite",
                                 "make a new file with larger slots: %p rewrap --rewrite -k OLD --to NEW %f"},
    [BLOBSEAL_ADVICE_NO_LOCK] = {"make sure that nobody else changes the file, and pass --no-lock", "no-lock", NULL},
    [BLOBSEAL_ADVICE_PUBLIC_KEY] = {"name its public key with -k, or remove that recipient with --drop %s", "drop",
                                    "name its public key with -k"},
    [BLOBSEAL_ADVICE_REMOVE] = {"remove that recipient with --drop %s, or use a newer version of %p", "drop",
                                "use a newer version of %p"},
    [BLOBSEAL_ADVICE_DROP] = {"if nobody needs that key any more: --drop %s", "drop", NULL},
    [BLOBSEAL_ADVICE_OAEP_SHA256] = {"pass --oaep sha256 after that key", "oaep", "use the key with SHA-256"},
    [BLOBSEAL_ADVICE_OAEP_SHA1] = {"pass --oaep sha1 after that key", "oaep", "use the key with SHA-1"},
    [BLOBSEAL_ADVICE_PASSPHRASE] = {"name a file with the passphrase: --passphrase-file FILE after the key",
                                    "passphrase-file", "supply the passphrase of the key"},
    [BLOBSEAL_ADVICE_RSA_KEY] = {"make one with: %p keygen -o kek.pem --pub kek.pub.pem", NULL, NULL},
    [BLOBSEAL_ADVICE_SEEKABLE] = {"a range needs a file, not a pipe: name the file, or redirect standard input from it",
                                  NULL, NULL},
    [BLOBSEAL_ADVICE_CHUNKED_LAYER] = {"decrypt the image with: blobseal oci decrypt", NULL, NULL},
    [BLOBSEAL_ADVICE_REPLACE] = {"replace all recipients with: %p oci rewrap -k OLD --to NEW...", NULL, NULL},
    [BLOBSEAL_ADVICE_NO_SUCH_KEY] = {"check its name; a set is restored with its recovery key: %p set import", NULL,
                                     NULL},
    [BLOBSEAL_ADVICE_SELFTEST] = {"%p doctor shows what is wrong with this machine", NULL, NULL},
};

/* The sentences for errors without advice, by status. */
static const struct sentence defaults[] = {
    [BLOBSEAL_E_ARG] = {"see: %p help %v", NULL, NULL},
    [BLOBSEAL_E_CONFIG] = {"see: %p help %v", NULL, NULL},
    [BLOBSEAL_E_NOMEM] = {"free some memory, or use fewer threads with -j", "jobs", "free some memory"},
    [BLOBSEAL_E_FORMAT] = {"check that this is the intended file, and that an envelope file belongs to its blob", NULL,
                           NULL},
    [BLOBSEAL_E_DAMAGED] = {"%p scrub %f shows what is damaged, and whether it can be repaired without another copy",
                            NULL, NULL},
    [BLOBSEAL_E_AUTH] = {"fetch the blob again from its source", NULL, NULL},
    [BLOBSEAL_E_UNSUPPORTED] = {"a newer version of %p may support it", NULL, NULL},
    [BLOBSEAL_E_EXISTS] = {"choose another name with -o, or replace the file with --force", "force",
                           "choose another name: an existing file is never replaced"},
    [BLOBSEAL_E_INPUT] = {"check that this is the intended file", NULL, NULL},
    [BLOBSEAL_E_OUTPUT] = {"check space and permissions and run it again", NULL, NULL},
};

/* Return true if a shell takes @path as it is, and a program does not take it as an option. */
static bool is_plain_word(const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+,:@%=-";

    return path[0] != '\0' && path[0] != '-' && path[strspn(path, plain)] == '\0' && strlen(path) <= 160;
}

/* Return the text for the placeholder @letter, or NULL if there is no such placeholder. */
static const char *value_of(const struct ui *ui, const struct blobseal_error *err, char letter)
{
    switch (letter) {
    case 's':
        return err->subject;
    case 'f':
        return ui->input != NULL && is_plain_word(ui->input) ? ui->input : "FILE";
    case 'p':
        return ui->program;
    case 'v':
        return ui->verb != NULL ? ui->verb : "";
    default:
        return NULL;
    }
}

/* Copy @text into @buf with the placeholders replaced. Return @buf. */
static const char *fill_in(const struct ui *ui, const struct blobseal_error *err, const char *text, char *buf,
                           size_t cap)
{
    size_t n = 0;

    while (*text != '\0' && n + 1 < cap) {
        const char *value = *text == '%' ? value_of(ui, err, text[1]) : NULL;

        if (value == NULL) {
            buf[n++] = *text++;
            continue;
        }
        n += (size_t)snprintf(buf + n, cap - n, "%s", value);
        text += 2;
    }
    buf[n < cap ? n : cap - 1] = '\0';
    return buf;
}

/* Return the sentence for this verb, or NULL if there is none. */
static const char *choose(const struct ui *ui, const struct sentence *list, size_t num, size_t i)
{
    if (i >= num || list[i].text == NULL)
        return NULL;
    return list[i].option == NULL || has_option(ui, list[i].option) ? list[i].text : list[i].otherwise;
}

/* Return true for an error that only another name can prevent. */
static bool leads_nowhere(int sys_errno)
{
    return sys_errno == ENOENT || sys_errno == ENOTDIR || sys_errno == ELOOP || sys_errno == ENAMETOOLONG;
}

/* Return true for an error that another name or other permissions can prevent. */
static bool is_about_name(int sys_errno)
{
    return leads_nowhere(sys_errno) || sys_errno == EACCES || sys_errno == EPERM || sys_errno == ENXIO ||
           sys_errno == EBADF;
}

/* Return the next step, without what is left of the outputs. */
static const char *next_step(const struct ui *ui, const struct blobseal_error *err, char *buf, size_t cap)
{
    const char *text = choose(ui, advices, COUNT(advices), err->advice);

    if (text == NULL && err->hint[0] != '\0')
        return err->hint;
    if (text == NULL && err->status == BLOBSEAL_E_OUTPUT && err->sys_errno == EPIPE)
        return "the program that reads the output ended first: see its messages";
    if (text == NULL && err->status == BLOBSEAL_E_OUTPUT && err->sys_errno == ESPIPE)
        return "write in order, which this file system requires: ... -o - > FILE";
    if (text == NULL && err->status == BLOBSEAL_E_OUTPUT && leads_nowhere(err->sys_errno))
        return "check the name of the output: the folder that it is to be in must exist";
    if (text == NULL && err->status == BLOBSEAL_E_INPUT && is_about_name(err->sys_errno))
        return "check the name and the permissions of the file";
    if (text == NULL && err->status == BLOBSEAL_E_INPUT && err->sys_errno != 0)
        return "check the storage that the file is on, or use another copy";
    if (text == NULL)
        text = choose(ui, defaults, COUNT(defaults), err->status);
    return text != NULL ? fill_in(ui, err, text, buf, cap) : "";
}

const char *hint_for(const struct ui *ui, const struct blobseal_error *err, char *buf, size_t cap)
{
    char step[MAX_HINT];
    const char *text = next_step(ui, err, step, sizeof step);

    (void)snprintf(buf, cap, "%s%s%s", ui->outcome, ui->outcome[0] != '\0' && text[0] != '\0' ? "; " : "", text);
    return buf;
}
