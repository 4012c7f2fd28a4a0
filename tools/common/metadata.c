/* SPDX-License-Identifier: Apache-2.0 */
/* --name, --type and --annotation, and how metadata is printed. */
#include "tools/common/arguments.h"

#include <stdlib.h>
#include <string.h>

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static int add_annotation(const struct ui *ui, struct metadata_args *m, const char *arg)
{
    const char *equals = strchr(arg, '=');
    size_t n = m->metadata.num_annotations;
    char *name;

    if (equals == NULL || equals == arg)
        return usage_error(ui, "--annotation takes NAME=VALUE, not %s", arg);
    if (n == COUNT(m->annotations))
        return usage_error(ui, "a blob has at most %zu annotations", COUNT(m->annotations));
    name = strndup(arg, (size_t)(equals - arg));
    if (name == NULL) {
        struct blobseal_error err;

        (void)fail(&err, BLOBSEAL_E_NOMEM, 0, "keep an annotation: no memory");
        return report_error(ui, &err);
    }
    m->annotations[n] = (struct blobseal_annotation){name, equals + 1};
    m->metadata.annotations = m->annotations;
    m->metadata.num_annotations++;
    return EXIT_OK;
}

bool metadata_option(const struct ui *ui, struct metadata_args *m, int option, const char *arg, int *code)
{
    *code = EXIT_OK;
    if (option != OPT_NAME && option != OPT_TYPE && option != OPT_ANNOTATION)
        return false;
    m->metadata.size = sizeof m->metadata; /* there is metadata to seal */
    if (option == OPT_NAME)
        m->metadata.name = arg;
    else if (option == OPT_TYPE)
        m->metadata.type = arg;
    else
        *code = add_annotation(ui, m, arg);
    return true;
}

void metadata_clear(struct metadata_args *m)
{
    for (size_t i = 0; i < m->metadata.num_annotations; i++)
        free((void *)m->annotations[i].name);
    *m = (struct metadata_args){0};
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

/* Make @text safe for a terminal, because it was chosen by whoever sealed the blob. Return @buf. */
static const char *harmless(char buf[BLOBSEAL_MAX_METADATA + 1], const char *text)
{
    return printable(buf, BLOBSEAL_MAX_METADATA + 1, text);
}

void metadata_print(const struct blobseal_metadata *metadata)
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
