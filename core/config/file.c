/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a configuration file. It decides which code is loaded and which hosts are asked, so it is refused if users
 * other than root and the one who runs this process can change it.
 */
#define _DEFAULT_SOURCE /* S_ISVTX */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config/config.h"

static enum blobseal_status refuse(const char *path, const char *why, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "read the configuration %.200s: %s", path, why);
    blobseal_hint(err, "it must belong to root or to you, and only its owner may write it: chmod go-w %.120s", path);
    return BLOBSEAL_E_POLICY;
}

/* Check the folder of @path: who can rename files there can replace this one. */
static enum blobseal_status check_folder(const char *path, struct blobseal_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;
    char *folder = malloc(len + 2);
    struct stat info;
    bool known;

    if (folder == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the configuration %.200s: no memory", path);
    memcpy(folder, path, len);
    if (len == 0)
        folder[len++] = slash != NULL ? '/' : '.';
    folder[len] = '\0';
    known = stat(folder, &info) == 0;
    free(folder);
    if (!known || (info.st_mode & S_IWOTH) == 0 || (info.st_mode & S_ISVTX) != 0)
        return BLOBSEAL_OK;
    (void)refuse(path, "everybody can replace files in its folder", err);
    blobseal_hint(err, "chmod o-w the folder of %.150s, or move the file", path);
    return BLOBSEAL_E_POLICY;
}

static enum blobseal_status check_file(int fd, const char *path, struct blobseal_error *err)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the configuration %.200s", path);
    if (!S_ISREG(info.st_mode))
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the configuration %.200s: it is not a file", path);
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return refuse(path, "it belongs to another user", err);
    if ((info.st_mode & S_IWOTH) != 0)
        return refuse(path, "everybody can write it", err);
    if ((info.st_mode & S_IWGRP) != 0)
        return refuse(path, "its group can write it", err);
    if (info.st_size > BLOBSEAL_CONFIG_MAX_FILE)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the configuration %.200s: it is larger than %d KiB", path,
                             BLOBSEAL_CONFIG_MAX_FILE / 1024);
    return check_folder(path, err);
}

/* Read all of @fd, at most one byte more than is allowed. */
static enum blobseal_status read_all(int fd, uint8_t *text, size_t *len, const char *path, struct blobseal_error *err)
{
    *len = 0;
    while (*len <= BLOBSEAL_CONFIG_MAX_FILE) {
        ssize_t n = read(fd, text + *len, BLOBSEAL_CONFIG_MAX_FILE + 1 - *len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the configuration %.200s", path);
        if (n == 0)
            return BLOBSEAL_OK;
        *len += (size_t)n;
    }
    return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read the configuration %.200s: it grows while it is read", path);
}

enum blobseal_status bs_config_read(uint8_t **text, size_t *len, const char *path, struct blobseal_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a named pipe must not hang */
    enum blobseal_status st;

    *text = NULL;
    *len = 0;
    if (fd < 0)
        return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the configuration %.200s", path);
    st = check_file(fd, path, err);
    if (st == BLOBSEAL_OK) {
        *text = malloc(BLOBSEAL_CONFIG_MAX_FILE + 1);
        st = *text != NULL ? read_all(fd, *text, len, path, err)
                           : blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the configuration %.200s: no memory", path);
    }
    (void)close(fd);
    return st;
}

enum blobseal_status blobseal_config_load(struct blobseal_config *config, const char *path, struct blobseal_error *err)
{
    enum blobseal_status st = bs_config_may_change(config, err);
    struct blobseal_config *loaded = NULL;
    uint8_t *text = NULL;
    size_t len;

    if (st == BLOBSEAL_OK)
        st = bs_config_read(&text, &len, path, err);
    if (st == BLOBSEAL_OK)
        st = blobseal_config_new(&loaded, err);
    if (st == BLOBSEAL_OK)
        st = bs_config_parse(loaded, path, text, len, err);
    free(text);
    if (st == BLOBSEAL_OK)
        return bs_config_merge(config, loaded, err);
    blobseal_config_free(loaded);
    return st;
}
