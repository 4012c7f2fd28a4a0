/* SPDX-License-Identifier: Apache-2.0 */
/* -R FILE: a list of keys, one in each line, or public keys in PEM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/arguments.h"

#define MAX_FILE (1U << 20)

static int refuse(const struct ui *ui, const char *path, size_t line, const char *what)
{
    struct blobseal_error err;

    (void)fail(&err, BLOBSEAL_E_CONFIG, 0, "the list of recipients %s, line %zu: %s", path, line, what);
    blobseal_hint(&err, "each line is a key as for -k, or a comment after #; public keys in PEM are allowed as well");
    return report_error(ui, &err);
}

/* Refuse a public key of another program, which is in the list itself. */
static int refuse_foreign(const struct ui *ui, const char *path, size_t line, bool age)
{
    struct blobseal_error err;

    (void)fail(&err, BLOBSEAL_E_CONFIG, 0, "the list of recipients %s, line %zu: %s", path, line,
               age ? "a recipient of age, which cannot be used" : "a public key in OpenSSH's own format");
    blobseal_hint(&err, age ? "ask for a public RSA key in PEM"
                            : "convert RSA keys, and name the new file: ssh-keygen -e -m PKCS8 -f OLD > NEW");
    return report_error(ui, &err);
}

static bool starts_with(const char *line, const char *start)
{
    return strncmp(line, start, strlen(start)) == 0;
}

/* Read the file as text. Return NULL after a failure; a text with a zero byte ends there. */
static char *read_text(const char *path, struct blobseal_error *err)
{
    FILE *f = fopen(path, "re");
    char *text = f != NULL ? malloc(MAX_FILE + 1) : NULL;
    size_t len = 0;

    if (text != NULL)
        len = fread(text, 1, MAX_FILE + 1, f);
    if (f == NULL || text == NULL || ferror(f) != 0 || len > MAX_FILE) {
        if (len > MAX_FILE)
            (void)fail(err, BLOBSEAL_E_CONFIG, 0, "the list of recipients %s is larger than 1 MiB", path);
        else
            (void)fail(err, BLOBSEAL_E_INPUT, errno, "read the list of recipients %s", path);
        free(text);
        text = NULL;
    } else {
        text[len] = '\0';
    }
    if (f != NULL)
        (void)fclose(f);
    return text;
}

/* Return true for a reference that starts with the name of a scheme, such as "pkcs11:". "file:" does not count. */
static bool has_scheme(const char *ref)
{
    size_t n = strspn(ref, "abcdefghijklmnopqrstuvwxyz0123456789+.-");

    return n > 1 && ref[n] == ':' && strncmp(ref, "file:", 5) != 0;
}

/* Add a reference of the list. Paths are relative to the folder of the list, so that it means the same anywhere. */
static int add_ref(const struct ui *ui, struct keys *keys, const char *list, const char *ref)
{
    const char *slash = strrchr(list, '/'), *path = strncmp(ref, "file:", 5) == 0 ? ref + 5 : ref;
    size_t folder = slash != NULL && path[0] != '/' && !has_scheme(ref) ? (size_t)(slash - list) + 1 : 0;
    size_t cap = folder + strlen(path) + 1;
    struct blobseal_error err;
    char *text;

    if (keys->num_texts == COUNT(keys->texts))
        return usage_error(ui, "read the list of recipients %s: it has more than %zu keys", list, keys->num_texts);
    text = malloc(cap);
    if (text == NULL) {
        (void)fail(&err, BLOBSEAL_E_NOMEM, 0, "read the list of recipients %s: no memory", list);
        return report_error(ui, &err);
    }
    (void)snprintf(text, cap, "%.*s%s", (int)folder, list, has_scheme(ref) ? ref : path);
    keys->texts[keys->num_texts++] = text;
    return keys_add(ui, keys, text);
}

/* Cut off the first line of *@text, and advance *@text to the next one, or NULL. */
static char *cut_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');

    *text = end != NULL ? end + 1 : NULL;
    if (end != NULL)
        *end = '\0';
    return line;
}

/* Cut a comment, and white space from both ends of @line. Return its start. */
static char *trim(char *line)
{
    size_t len;

    line += strspn(line, " \t");
    for (len = 0; line[len] != '\0'; len++)
        if (line[len] == '#' && (len == 0 || strchr(" \t", line[len - 1]) != NULL))
            break;
    line[len] = '\0';
    while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL)
        line[--len] = '\0';
    return line;
}

int recipients_file(const struct ui *ui, struct keys *keys, const char *path)
{
    size_t before = keys->num, number = 0;
    bool in_pem = false, has_pem = false;
    struct blobseal_error err;
    char *text = read_text(path, &err), *next = text;
    int code = EXIT_OK;

    if (text == NULL)
        return report_error(ui, &err);
    if (keys->num_lists == COUNT(keys->lists)) {
        free(text);
        return usage_error(ui, "read the list of recipients %s: a run takes no more than %zu lists", path,
                           keys->num_lists);
    }
    keys->lists[keys->num_lists++] = path;
    if (strncmp(next, "\xEF\xBB\xBF", 3) == 0) /* a byte order mark, which some editors write */
        next += 3;
    while (code == EXIT_OK && next != NULL) {
        char *line = trim(cut_line(&next));

        number++;
        if (strncmp(line, "-----BEGIN ", 11) == 0)
            in_pem = has_pem = true;
        if (in_pem && strstr(line, "PRIVATE KEY-----") != NULL)
            code = refuse(ui, path, number, "a private key: the list is for public ones");
        else if (!in_pem && (starts_with(line, "ssh-") || starts_with(line, "ecdsa-")) && strchr(line, ' ') != NULL)
            code = refuse_foreign(ui, path, number, false);
        else if (!in_pem && starts_with(line, "age1") && strlen(line) == 62)
            code = refuse_foreign(ui, path, number, true);
        else if (!in_pem && line[0] != '\0')
            code = add_ref(ui, keys, path, line);
        if (strncmp(line, "-----END ", 9) == 0)
            in_pem = false;
    }
    free(text);
    if (code == EXIT_OK && has_pem) /* the file itself is a key file, too */
        code = keys_add(ui, keys, path);
    if (code == EXIT_OK && keys->num == before)
        code = refuse(ui, path, number, "no key found");
    return code;
}
