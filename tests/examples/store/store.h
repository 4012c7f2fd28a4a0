/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A content-addressed store as the storage of a registry: objects are named by the SHA-256 of their plaintext and
 * sealed at rest. Only one process uses the store; any number of its threads may use it at once.
 *
 *   FOLDER/staging/     objects that are being written; emptied when the store is opened
 *   FOLDER/objects/     one blob for each object, named by its digest in hex
 *
 * When store_put() or store_delete() has returned BLOBSEAL_OK, the change is on the disk and survives a crash. A call
 * that was interrupted by the crash has either happened or not: there are no incomplete objects.
 *
 * How the blobs are sealed, and why:
 *   - A/B layout. Envelope and data are in one file, which a single rename publishes. The key can be rotated within the
 *     file, by blobseal_change_in_place(), while the file is read. Slots have 4 KiB: a manifest of 1 KiB becomes a
 *     file of 13 KiB.
 *   - Without checksums. Checksums reveal corruption without a key; this store always has the key, and the
 *     authentication tags reveal corruption too.
 *   - A tag proves that bytes belong to a blob as it was sealed, not that the blob has the right name: an attacker who
 *     can write to the folder can swap two files. Therefore a get of a whole object compares its digest, as clients
 *     of a registry do anyway. Users of a range of an object must trust the names in the folder.
 */
#ifndef STORE_H
#define STORE_H

#include <blobseal.h>

#define STORE_DIGEST 65 /* 64 digits and a zero byte */

struct store;

/*
 * Open a store, or create it if it does not exist: the parent of FOLDER must exist. @kek must outlive the store.
 * Errors: E_EXISTS if another process uses the store.
 */
enum blobseal_status store_open(struct store **store, const char *folder, struct blobseal_kek *kek,
                                struct blobseal_error *err);
void store_close(struct store *store);

/*
 * Store what @in delivers, in constant memory. @digest receives the name. An object that already exists is replaced by
 * an equal one.
 */
enum blobseal_status store_put(struct store *store, const struct blobseal_source *in, char digest[STORE_DIGEST],
                               struct blobseal_error *err);

/*
 * For the next three functions, a missing object is E_INPUT with err->sys_errno == ENOENT, and an invalid digest is
 * E_ARG. store_stat() reads the size from the file, without the key and without the payload. store_get() sends up to
 * @len bytes from @off on, and succeeds even if the object is deleted meanwhile. Bytes that were sent before an error
 * are authentic.
 */
enum blobseal_status store_stat(struct store *store, const char *digest, uint64_t *size, struct blobseal_error *err);
enum blobseal_status store_get(struct store *store, const char *digest, uint64_t off, uint64_t len,
                               const struct blobseal_sink *out, struct blobseal_error *err);
enum blobseal_status store_delete(struct store *store, const char *digest, struct blobseal_error *err);

#endif
