/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receipts: keys of layers that this user has encrypted, wrapped for a key that never leaves a private folder. With
 * them a pipeline that has only public keys can use the ciphertext of unchanged layers again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/oci.h"

#define KEY_BITS    3072
#define MAX_RECEIPT (64U << 10)

/* Write a file that only this user can read, and give it its name when it is complete. */
static bool write_private(int folder, const char *name, const char *text, size_t len, bool replace,
                          struct blobseal_error *err)
{
    char temp[OCI_TEMP_NAME];
    int fd = oci_temp_name(temp, name, err)
                 ? openat(folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)
                 : -1;
    bool ok = fd >= 0 || fail(err, BLOBSEAL_E_OUTPUT, errno, "write a receipt");

    ok = ok && oci_write(fd, text, len, "a receipt", err);
    if (ok && fsync(fd) != 0 && is_disk_error(errno))
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "write a receipt");
    if (fd >= 0 && close(fd) != 0 && ok)
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "write a receipt");
    if (ok && (replace ? renameat(folder, temp, folder, name) : linkat(folder, temp, folder, name, 0)) != 0 &&
        (replace || errno != EEXIST)) /* another run may have made the key in the meantime */
        ok = fail(err, BLOBSEAL_E_OUTPUT, errno, "write a receipt");
    if (fd >= 0 && (!ok || !replace))
        (void)unlinkat(folder, temp, 0);
    return ok;
}

/* ---- The folder -------------------------------------------------------------------------------------------------- */

static bool open_folder(struct oci_receipts *r, const char *path, struct blobseal_error *err)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "make the folder of receipts %.200s", path);
    r->folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r->folder < 0 || fstat(r->folder, &st) != 0)
        return fail(err, BLOBSEAL_E_INPUT, errno, "open the folder of receipts %.200s", path);
    if (st.st_uid == geteuid() && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return true;
    (void)fail(err, BLOBSEAL_E_POLICY, 0, "the folder of receipts %.200s is open to others (mode %04o)", path,
               (unsigned)st.st_mode & 07777);
    blobseal_hint(err, "choose a folder that belongs to you: chmod 700 %.160s", path);
    return false;
}

/* Make the key of the folder if it has none. */
static bool make_key(const struct oci_receipts *r, struct blobseal_error *err)
{
    struct blobseal_keypair pair = {.size = sizeof pair};
    bool ok;

    if (faccessat(r->folder, "key.pem", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    ok = blobseal_keygen_rsa(&pair, KEY_BITS, NULL, err) == BLOBSEAL_OK &&
         write_private(r->folder, "key.pem", pair.private_pem, pair.private_len, false, err);
    blobseal_keypair_clear(&pair);
    return ok;
}

bool oci_receipts_open(struct oci_receipts *r, const char *path, struct blobseal_error *err)
{
    char key[4096];
    int n = snprintf(key, sizeof key, "file:%s/key.pem", path);

    *r = (struct oci_receipts){.folder = -1};
    if (n < 0 || (size_t)n >= sizeof key)
        return fail(err, BLOBSEAL_E_CONFIG, 0, "the name of the folder of receipts is too long");
    return open_folder(r, path, err) && make_key(r, err) &&
           blobseal_kek_open(&r->kek, NULL, key, NULL, err) == BLOBSEAL_OK;
}

void oci_receipts_close(struct oci_receipts *r)
{
    blobseal_kek_close(r->kek);
    if (r->folder >= 0)
        (void)close(r->folder);
    *r = (struct oci_receipts){.folder = -1};
}

/* ---- Receipts ---------------------------------------------------------------------------------------------------- */

/* The name of a receipt: the digest of the ciphertext, in hexadecimal. */
static const char *name_of(char name[OCI_DIGEST_LEN], const char *stored)
{
    (void)snprintf(name, OCI_DIGEST_LEN, "%.64s.json", stored + strlen("sha256:"));
    return name;
}

bool oci_receipt_write(const struct oci_receipts *r, const char *stored, const struct blobseal_oci_layer *key,
                       struct blobseal_error *err)
{
    struct blobseal_oci_annotations *list = NULL;
    char name[OCI_DIGEST_LEN], *text = NULL;
    json_t *receipt, *annotations = NULL;
    size_t len;
    bool ok = blobseal_oci_wrap(key, &r->kek, 1, NULL, &list, err) == BLOBSEAL_OK;

    if (ok)
        annotations = oci_annotations_take(list, err);
    if (annotations == NULL)
        return false;
    receipt = json_pack("{s:o}", "annotations", annotations);
    ok = receipt != NULL || fail(err, BLOBSEAL_E_NOMEM, 0, "write a receipt: no memory");
    ok = ok && oci_print(receipt, &text, &len, err) &&
         write_private(r->folder, name_of(name, stored), text, len, true, err);
    json_decref(receipt);
    free(text);
    return ok;
}

bool oci_receipt_read(const struct oci_receipts *r, const char *stored, struct blobseal_oci_layer **key)
{
    struct oci_annotations a = {.list = NULL};
    struct blobseal_error ignored;
    char name[OCI_DIGEST_LEN], *text = NULL;
    json_t *receipt = NULL;
    size_t len;
    bool ok = oci_file_load(r->folder, name_of(name, stored), MAX_RECEIPT, &text, &len, &ignored);

    if (ok)
        receipt = oci_parse(text, len, name, &ignored);
    ok = receipt != NULL && oci_annotations_get(&a, receipt, &ignored) &&
         blobseal_oci_unwrap(key, a.list, a.num, &r->kek, 1, NULL, &ignored) == BLOBSEAL_OK;
    json_decref(receipt);
    free(a.list);
    free(text);
    return ok;
}
