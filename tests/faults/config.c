/* SPDX-License-Identifier: Apache-2.0 */
/* The case with a configuration, and a key that has a name in it. */
#include <blobseal_config.h>

#include "tests/faults/files.h"

enum blobseal_status config_load(struct blobseal_error *err)
{
    const struct blobseal_kek_options o = {.size = sizeof o};
    struct blobseal_kek_options with = o;
    struct blobseal_config *config = NULL;
    struct blobseal_kek *k = NULL;
    enum blobseal_status st = blobseal_config_new(&config, err);

    if (st == BLOBSEAL_OK)
        st = blobseal_config_load(config, files[FILE_CONFIG].path, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_config_add_kek(config, "named", files[FILE_PUBLIC_KEY].path, err);
    with.config = config;
    if (st == BLOBSEAL_OK)
        st = blobseal_kek_open(&k, NULL, "key:named", &with, err);
    if (st == BLOBSEAL_OK && blobseal_config_kek(config, "a") == NULL)
        test_support_failed("load a configuration");
    blobseal_kek_close(k);
    blobseal_config_free(config);
    return st;
}
