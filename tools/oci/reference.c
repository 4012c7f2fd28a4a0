/* SPDX-License-Identifier: Apache-2.0 */
/* LAYOUT[:REF] of a command line. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/oci/oci.h"

/* Return the length of the path at the start of @text: see oci_ref_parse(). */
static size_t path_length(char *text)
{
    struct stat st;

    for (char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        bool exists;

        *colon = '\0';
        exists = colon != text && stat(text, &st) == 0;
        *colon = ':';
        if (exists)
            return (size_t)(colon - text);
    }
    return stat(text, &st) == 0 ? strlen(text) : strcspn(text, ":");
}

static bool ends_in(const char *text, const char *suffix)
{
    size_t len = strlen(text), n = strlen(suffix);

    return len > n && strcmp(text + len - n, suffix) == 0;
}

/* Return true for a name that tools of the image specification accept. */
static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:@/+";
    size_t len = strlen(text);

    return len > 0 && len < 256 && strspn(text, letters) == len;
}

bool oci_ref_parse(struct oci_ref *ref, const char *arg, struct blobseal_error *err)
{
    static const char archive[] = "oci-archive:", folder[] = "oci:";
    bool is_archive = strncmp(arg, archive, strlen(archive)) == 0;
    const char *rest = is_archive                                  ? arg + strlen(archive)
                       : strncmp(arg, folder, strlen(folder)) == 0 ? arg + strlen(folder)
                                                                   : arg;
    bool is_folder = !is_archive && rest != arg;
    struct stat st;
    size_t len;

    *ref = (struct oci_ref){.path = strdup(rest)};
    if (ref->path == NULL)
        return fail(err, BLOBSEAL_E_NOMEM, 0, "read the name of an image: no memory");
    len = path_length(ref->path);
    if (ref->path[len] == ':') {
        ref->path[len] = '\0';
        ref->name = ref->path + len + 1;
    }
    if (len == 0 || (ref->name != NULL && !is_name(ref->name))) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "\"%.200s\" is not LAYOUT[:REF]", arg);
        blobseal_hint(err, "name a folder or a tar file, and after a colon the image in it, such as app:1");
        oci_ref_free(ref);
        return false;
    }
    while (len > 1 && ref->path[len - 1] == '/')
        ref->path[--len] = '\0';
    ref->archive =
        is_archive || (!is_folder && (stat(ref->path, &st) == 0 ? S_ISREG(st.st_mode) : ends_in(ref->path, ".tar")));
    return true;
}

void oci_ref_free(struct oci_ref *ref)
{
    free(ref->path);
    *ref = (struct oci_ref){.path = NULL};
}
