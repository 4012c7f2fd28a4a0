/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that the configuration allows for the layers of container images. */
#ifndef BLOBSEAL_OCI_KEYS_COMMON_H
#define BLOBSEAL_OCI_KEYS_COMMON_H

#include <blobseal.h>

struct ui;

struct oci_keys {
    size_t num;
    struct blobseal_kek *list[BLOBSEAL_MAX_RECIPIENTS];
};

/* Open the keys with a name that `oci` of the configuration lists. Errors: E_POLICY for another name; those of
 * config_get() and blobseal_keks_open(). */
bool oci_keys_add(struct oci_keys *keys, const char *name, struct blobseal_error *err);

/*
 * Open all keys that `oci` of the configuration lists. One that cannot be opened is reported with a warning and counted
 * in *@faults. Errors: those of config_get().
 */
bool oci_keys_add_all(struct oci_keys *keys, const struct ui *ui, unsigned *faults, struct blobseal_error *err);

void oci_keys_close(struct oci_keys *keys);

#endif
