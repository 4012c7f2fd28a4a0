/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal completion: print a script that completes command lines, made from the table of verbs and their options. */
#include <string.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal completion SHELL\n"
    "Print a script that completes blobseal's command lines: for bash, zsh or fish.\n\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              errors as JSON\n"
    "  -q, --quiet             no effect\n"
    "  -h, --help              this text\n\n"
    "The scripts are installed with blobseal, in the folders where the shells look for them.\n\n"
    "Example:\n"
    "  source <(blobseal completion bash)\n";

static const struct option options[] = {COMMON_OPTIONS, {0}};

/* ---- Arguments of options ---------------------------------------------------------------------------------------- */

/* The words that an option takes, or "" if a shell cannot know them. All other options take the name of a file. */
static const struct {
    const char *option, *words;
} hints[] = {
    {"progress", "auto plain json none"},
    {"oaep", "sha256 sha1"},
    {"rsa", "2048 3072 4096"},
    {"annotation", ""},
    {"also", "pkcs11 provider"},
    {"cipher", "ocicrypt chunked"},
    {"digest", "core output plain"},
    {"drop", ""},
    {"id", ""},
    {"identity", ""},
    {"jobs", ""},
    {"kid", ""},
    {"layers", ""},
    {"min-generation", ""},
    {"name", ""},
    {"passphrase-fd", ""},
    {"pkcs11", ""},
    {"platform", ""},
    {"range", ""},
    {"sizes", ""},
    {"slot-size", "4096 8192 16384 32768 65536"},
    {"threads", ""},
    {"type", ""},
    {"wrap", "hierarchy direct"},
    {"zstd", ""},
};

/* Return the words that the option @o takes, or NULL for the name of a file. */
static const char *words_of(const struct option *o)
{
    for (size_t i = 0; i < COUNT(hints); i++)
        if (strcmp(hints[i].option, o->name) == 0)
            return hints[i].words;
    return NULL;
}

/* Return the letter of the option @o, or 0. */
static int letter_of(const struct option *o)
{
    return o->val > ' ' && o->val < 0x7F ? o->val : 0;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* Return true if the files that the verb takes are blobs, whose names usually end in .sealed. */
static bool takes_blobs(const struct verb *v)
{
    static const struct verb *const list[] = {&verb_open,  &verb_verify,     &verb_inspect,
                                              &verb_scrub, &verb_recipients, &verb_rewrap};

    for (size_t i = 0; i < COUNT(list); i++)
        if (v == list[i])
            return true;
    return false;
}

/* ---- Descriptions of options, from the help texts ---------------------------------------------------------------- */

/* Return the position of "--name" in the first column of a help line, "  -k, --kek KEY  ", or NULL. */
static const char *find_option(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = line; p + 2 + n <= line + len; p++) {
        if (p > line + 6 && p[0] == ' ' && p[1] == ' ')
            return NULL; /* the second column begins here */
        if (p[0] == '-' && p[1] == '-' && strncmp(p + 2, name, n) == 0 && strchr(" \n=[", p[2 + n]) != NULL)
            return p;
    }
    return NULL;
}

/* Copy the first words that a help text has about the option @name: up to ";", a full stop, or the end of the line. */
static const char *describe(char buf[120], const char *help, const char *name)
{
    size_t n = 0;

    buf[0] = '\0';
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t len = strcspn(line, "\n");
        const char *p = strncmp(line, "  ", 2) == 0 ? find_option(line, len, name) : NULL;

        if (p == NULL)
            continue;
        while (*p != '\n' && strncmp(p, "  ", 2) != 0)
            p++;
        p += strspn(p, " \n"); /* to the second column of the line, or of the next line */
        while (n < 119 && p[n] != '\0' && strchr("\n;", p[n]) == NULL && strncmp(p + n, ". ", 2) != 0)
            n++;
        while (n > 0 && strchr(" ,.", p[n - 1]) != NULL)
            n--;
        (void)snprintf(buf, 120, "%.*s", (int)n, p);
        return buf;
    }
    return buf;
}

/* Print @text for use within single quotes: @quote for each quote, a backslash before each character of @escaped. */
static void put_quoted(const char *text, const char *quote, const char *escaped)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs(quote, stdout);
        else if (strchr(escaped, *text) != NULL)
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

/* ---- bash -------------------------------------------------------------------------------------------------------- */

/* Print the names of an option as a pattern of `case`. */
static void bash_pattern(const struct option *o)
{
    if (letter_of(o) != 0)
        printf("-%c | ", letter_of(o));
    printf("--%s", o->name);
}

static void bash_verb(const struct verb *v)
{
    printf("    %s)\n        options='", v->name);
    for (const struct option *o = v->options; o != NULL && o->name != NULL; o++) {
        if (letter_of(o) != 0)
            printf("-%c ", letter_of(o));
        printf("--%s ", o->name);
    }
    printf("' words='%s' blobs='%s'\n        case $previous in\n", v->words != NULL ? v->words : "",
           takes_blobs(v) ? "yes" : "");
    for (const struct option *o = v->options; o != NULL && o->name != NULL; o++) {
        if (o->has_arg != required_argument)
            continue;
        printf("        ");
        bash_pattern(o);
        if (words_of(o) == NULL)
            printf(") return ;;\n");
        else
            printf(") values='%s ' ;;\n", words_of(o));
    }
    printf("        esac\n        ;;\n");
}

static void bash_script(void)
{
    printf("# Completion of blobseal for bash. Without a reply bash completes the names of files.\n"
           "_blobseal()\n"
           "{\n"
           "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options='' words='' "
           "values='' blobs='' i\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        mapfile -t COMPREPLY < <(compgen -W '");
    for (size_t i = 0; verbs[i] != NULL; i++)
        printf("%s ", verbs[i]->name);
    printf("help --help --version -V' -- \"$current\")\n"
           "        return\n"
           "    fi\n"
           "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
           "        [[ ${COMP_WORDS[i]} != -- ]] || return # only files from here on\n"
           "    done\n"
           "    # --option=value arrives as three words.\n"
           "    if [[ $current == = ]]; then\n"
           "        current=\n"
           "    elif [[ $previous == = ]]; then\n"
           "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; verbs[i] != NULL; i++)
        bash_verb(verbs[i]);
    printf("    help) words='");
    for (size_t i = 0; verbs[i] != NULL; i++)
        printf("%s ", verbs[i]->name);
    printf("' ;;\n"
           "    esac\n"
           "    if [[ -z $values && $current == -* ]]; then\n"
           "        values=$options\n"
           "    elif [[ -z $values ]] && ((COMP_CWORD == 2)); then\n"
           "        values=$words\n"
           "    fi\n"
           "    if [[ -z $values && -n $blobs ]]; then # without a reply bash completes any file\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        mapfile -t COMPREPLY < <(compgen -f -X '!*.sealed' -- \"$current\")\n"
           "        [[ ${#COMPREPLY[@]} = 0 ]] || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "
           "\"$current\")\n"
           "    fi\n"
           "    [[ -n $values ]] || return\n"
           "    compopt +o default 2>/dev/null # no files in place of these words\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$current\")\n"
           "}\n"
           "complete -o default -F _blobseal blobseal\n");
}

/* ---- zsh --------------------------------------------------------------------------------------------------------- */

/* Print ":value:ACTION" for _arguments. */
static void zsh_value(const struct option *o)
{
    const char *words = words_of(o);

    if (o->has_arg == no_argument)
        return;
    printf(o->has_arg == optional_argument ? "::" : ":");
    if (words == NULL)
        printf("file:_files");
    else if (words[0] != '\0')
        printf("value:(%s)", words);
    else
        printf("value: ");
}

static void zsh_option(const struct verb *v, const struct option *o)
{
    static const char *const long_ends[] = {[no_argument] = "", [required_argument] = "=", [optional_argument] = "=-"};
    char text[120];

    (void)describe(text, v->usage, o->name);
    for (int is_long = letter_of(o) == 0; is_long <= 1; is_long++) {
        printf(" \\\n            ");
        if (is_long != 0)
            printf("'*--%s%s[", o->name, long_ends[o->has_arg]);
        else
            printf("'*-%c%s[", letter_of(o), o->has_arg == required_argument ? "+" : "");
        put_quoted(text, "'\\''", "[]\\");
        putchar(']');
        zsh_value(o);
        putchar('\'');
    }
}

static void zsh_script(void)
{
    printf("#compdef blobseal\n"
           "# Completion of blobseal for zsh.\n"
           "_blobseal() {\n"
           "    local -a verbs=(\n");
    for (size_t i = 0; verbs[i] != NULL; i++) {
        printf("        '%s:", verbs[i]->name);
        put_quoted(verbs[i]->summary, "'\\''", ":\\");
        printf("'\n");
    }
    printf("        'help:print a help text'\n"
           "    )\n"
           "    if ((CURRENT == 2)); then\n"
           "        _describe verb verbs\n"
           "        return\n"
           "    fi\n"
           "    shift words\n"
           "    ((CURRENT--))\n"
           "    case $words[1] in\n");
    for (size_t i = 0; verbs[i] != NULL; i++) {
        const struct verb *v = verbs[i];

        printf("    %s)\n        _arguments -s -S", v->name);
        for (const struct option *o = v->options; o != NULL && o->name != NULL; o++)
            zsh_option(v, o);
        if (v->words != NULL)
            printf(" \\\n            '1:what:(%s)'", v->words);
        printf(" \\\n            '*:file:_files%s'\n        ;;\n", takes_blobs(v) ? " -g \"*.sealed(-.)\"" : "");
    }
    printf("    help)\n"
           "        _describe verb verbs\n"
           "        ;;\n"
           "    esac\n"
           "}\n"
           "if [[ $funcstack[1] == _blobseal ]]; then\n"
           "    _blobseal \"$@\"\n"
           "else\n"
           "    compdef _blobseal blobseal\n"
           "fi\n");
}

/* ---- fish -------------------------------------------------------------------------------------------------------- */

static void fish_option(const struct verb *v, const struct option *o)
{
    const char *words = words_of(o);
    char text[120];

    printf("complete -c blobseal -n '__blobseal_verb %s' -l %s", v->name, o->name);
    if (letter_of(o) != 0)
        printf(" -s %c", letter_of(o));
    if (o->has_arg == required_argument && words == NULL)
        printf(" -r -F");
    else if (o->has_arg == required_argument)
        printf(" -x -a '%s'", words);
    printf(" -d '");
    put_quoted(describe(text, v->usage, o->name), "\\'", "\\");
    printf("'\n");
}

static void fish_script(void)
{
    printf("# Completion of blobseal for fish.\n"
           "function __blobseal_verb --description 'Whether this is the verb of the command line'\n"
           "    set -l line (commandline -opc)\n"
           "    test (count $line) -ge 2; and test $line[2] = $argv[1]\n"
           "end\n"
           "function __blobseal_at --description 'Whether this is the number of words before the cursor'\n"
           "    test (count (commandline -opc)) -eq $argv[1]\n"
           "end\n"
           "complete -c blobseal -n '__blobseal_at 1' -f -l version -s V -l help\n"
           "complete -c blobseal -n '__blobseal_at 1' -f -a help -d 'print a help text'\n");
    for (size_t i = 0; verbs[i] != NULL; i++) {
        const struct verb *v = verbs[i];

        printf("complete -c blobseal -n '__blobseal_at 1' -f -a %s -d '", v->name);
        put_quoted(v->summary, "\\'", "\\");
        printf("'\ncomplete -c blobseal -n '__blobseal_verb help; and __blobseal_at 2' -f -a %s\n", v->name);
        for (const struct option *o = v->options; o != NULL && o->name != NULL; o++)
            fish_option(v, o);
        if (takes_blobs(v))
            printf("complete -c blobseal -n '__blobseal_verb %s' -k -a '(__fish_complete_suffix .sealed)'\n", v->name);
        if (v->words != NULL)
            printf("complete -c blobseal -n '__blobseal_verb %s; and __blobseal_at 2' -f -a '%s'\n", v->name, v->words);
    }
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

static int run(struct ui *ui, int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

    while (next_option(ui, argc, argv) != -1)
        continue;
    for (size_t i = 0; argc - optind == 1 && i < COUNT(shells); i++) {
        if (strcmp(argv[optind], shells[i].name) == 0) {
            shells[i].print();
            return stdout_finish(ui);
        }
    }
    return usage_error(ui, "completion is followed by bash, zsh or fish");
}

const struct verb verb_completion = {"completion",   "print a script that completes command lines", usage, run, options,
                                     "bash zsh fish"};
