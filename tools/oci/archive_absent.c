/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of archive.c in a build without libarchive: explain what is missing. */
#include "tools/oci/oci.h"

static bool refuse(const char *path, struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "%.200s is an archive, and this build has no libarchive", path);
    blobseal_hint(err, "unpack it into a folder, and name that");
    return false;
}

bool oci_unpack(const char *path, const char *folder, bool documents, char left_out[OCI_LEFT_OUT],
                struct blobseal_error *err)
{
    (void)left_out;
    (void)folder;
    (void)documents;
    return refuse(path, err);
}

bool oci_pack(const char *folder, struct output *out, struct blobseal_error *err)
{
    (void)folder;
    return refuse(out->path, err);
}
