/* SPDX-License-Identifier: Apache-2.0 */
/* What the sealer says of a blob: --name, --type and --annotation, and how it is shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* ---- Options ---------------------------------------------------------------------------------------------------- */

static int add_annotation(struct meta_args *m, const char *arg)
{
    const char *equals = strchr(arg, '=');
    size_t n = m->metadata.num_annotations;
    char *name;

    if (equals == NULL || equals == arg)
        return usage_error("--annotation takes NAME=VALUE, not %s", arg);
    if (n == COUNT(m->annotations))
        return usage_error("a blob has at most %zu annotations", COUNT(m->annotations));
    name = strndup(arg, (size_t)(equals - arg));
    if (name == NULL) {
        struct blobseal_error err;

        (void)fail(&err, BLOBSEAL_E_NOMEM, 0, "keep an annotation: no memory");
        return report_error(&err);
    }
    m->annotations[n] = (struct blobseal_annotation){name, equals + 1};
    m->metadata.annotations = m->annotations;
    m->metadata.num_annotations++;
    return EXIT_OK;
}

bool meta_option(struct meta_args *m, int option, const char *arg, int *code)
{
    *code = EXIT_OK;
    m->metadata.size = sizeof m->metadata;
    switch (option) {
    case OPT_NAME:
        m->metadata.name = arg;
        return true;
    case OPT_TYPE:
        m->metadata.type = arg;
        return true;
    case OPT_ANNOTATION:
        *code = add_annotation(m, arg);
        return *code == EXIT_OK;
    default:
        return false;
    }
}

void meta_args_clear(struct meta_args *m)
{
    for (size_t i = 0; i < m->metadata.num_annotations; i++)
        free((void *)m->annotations[i].name);
    *m = (struct meta_args){0};
}

/* ---- Showing ---------------------------------------------------------------------------------------------------- */

/* The sealer chose the text: a terminal must not obey it. */
static const char *harmless(char buf[BLOBSEAL_MAX_METADATA + 1], const char *text)
{
    return printable(buf, BLOBSEAL_MAX_METADATA + 1, text);
}

void meta_print(const struct blobseal_metadata *metadata)
{
    char name[BLOBSEAL_MAX_METADATA + 1], value[BLOBSEAL_MAX_METADATA + 1];

    if (metadata == NULL)
        return;
    if (metadata->name != NULL)
        printf("%-12s %s\n", "name", harmless(name, metadata->name));
    if (metadata->type != NULL)
        printf("%-12s %s\n", "type", harmless(name, metadata->type));
    for (size_t i = 0; i < metadata->num_annotations; i++)
        printf("%-12s %s = %s\n", i == 0 ? "annotations" : "", harmless(name, metadata->annotations[i].name),
               harmless(value, metadata->annotations[i].value));
}
