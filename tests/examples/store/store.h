/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A content-addressed store as the storage behind a registry: objects are named by the SHA-256 of their plaintext and
 * sealed at rest. One process has the store; any number of its threads use it at once.
 *
 *   FOLDER/staging/     what is being written; emptied when the store is opened
 *   FOLDER/objects/     one blob an object, under its digest in hex
 *
 * What store_put() and store_delete() have answered with BLOBSEAL_OK is on the disk and survives a crash. What was
 * under way then has happened or has not: there is no object that is not whole.
 *
 * How the blobs are sealed, and why:
 *   - A/B layout. Envelope and data are one file, which one rename puts in place; and the key can be rotated within the
 *     file, by blobseal_change_in_place(), while it is read. Slots of 4 KiB: a manifest of 1 KiB becomes a file of 13.
 *   - Without checksums. They tell decay without a key; this store has the key at hand, and every tag tells it too.
 *   - A tag says that bytes are from a blob as it was sealed, not that the blob has the right name: who can write to
 * the folder can swap two files. So a get of all of an object compares its digest, as clients of a registry do anyway.
 * Who trusts a range of an object trusts the names in the folder.
 */
#ifndef STORE_H
#define STORE_H

#include <blobseal.h>

#define STORE_DIGEST 65 /* 64 digits and a zero */

struct store;

/* Open, or make where there is none: FOLDER's parent must exist. @kek must outlive the store. EXISTS: another process
 * has it. */
enum blobseal_status store_open(struct store **store, const char *folder, struct blobseal_kek *kek,
                                struct blobseal_error *err);
void store_close(struct store *store);

/* Store what @in delivers, in constant memory; @digest receives the name. One that is there already is replaced by its
 * like. */
enum blobseal_status store_put(struct store *store, const struct blobseal_source *in, char digest[STORE_DIGEST],
                               struct blobseal_error *err);

/*
 * For the next three a missing object is INPUT with err->sys_errno == ENOENT, and a bad digest ARG. The size is what
 * the file says, read without key and payload. A get sends up to @len bytes from @off on, and ends well although the
 * object is deleted meanwhile. Bytes that were sent before an error are authentic.
 */
enum blobseal_status store_stat(struct store *store, const char *digest, uint64_t *size, struct blobseal_error *err);
enum blobseal_status store_get(struct store *store, const char *digest, uint64_t off, uint64_t len,
                               const struct blobseal_sink *out, struct blobseal_error *err);
enum blobseal_status store_delete(struct store *store, const char *digest, struct blobseal_error *err);

#endif
