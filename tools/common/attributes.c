/* SPDX-License-Identifier: Apache-2.0 */
/* Permissions, owner, access control list and extended attributes of outputs. */
#include "tools/common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char access_acl[] = "system.posix_acl_access", default_acl[] = "system.posix_acl_default";

bool is_disk_error(int sys_errno)
{
    return sys_errno == EIO || sys_errno == ENOSPC || sys_errno == EDQUOT;
}

/* ---- Access control lists ---------------------------------------------------------------------------------------- */

/*
 * The form of a list in an extended attribute: a version of 4 bytes, then entries of 8 bytes with a tag and permissions
 * of 2 bytes each and an id, all little-endian.
 */
enum { ACL_HEADER = 4, ACL_ENTRY = 8, ACL_USER_OBJ = 0x01, ACL_GROUP_OBJ = 0x04, ACL_MASK = 0x10, ACL_OTHER = 0x20 };

/* Return the permissions of the first entry with @tag, or @otherwise. */
static mode_t acl_entry(const uint8_t *acl, size_t len, unsigned tag, mode_t otherwise)
{
    for (size_t at = ACL_HEADER; at + ACL_ENTRY <= len; at += ACL_ENTRY)
        if ((acl[at] | acl[at + 1] << 8) == (int)tag)
            return acl[at + 2] & 7;
    return otherwise;
}

/* Read the default list of a folder that may have been opened with O_PATH. */
static ssize_t read_default_acl(int folder, uint8_t *acl, size_t cap)
{
    char self[64];
    ssize_t n;
    int fd;

    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", folder);
    n = getxattr(self, default_acl, acl, cap);
    if (n >= 0 || errno != ENOENT)
        return n;
    fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* there is no /proc */
    n = fd >= 0 ? fgetxattr(fd, default_acl, acl, cap) : -1;
    if (fd >= 0)
        (void)close(fd);
    return n;
}

mode_t new_file_mode(int folder, mode_t wanted, mode_t mask)
{
    uint8_t acl[4096]; /* of a longer list, the mask of the process applies instead */
    ssize_t n = read_default_acl(folder, acl, sizeof acl);
    mode_t group;

    if (n <= ACL_HEADER)
        return wanted & ~mask;
    group = acl_entry(acl, (size_t)n, ACL_MASK, acl_entry(acl, (size_t)n, ACL_GROUP_OBJ, 7));
    return wanted & (acl_entry(acl, (size_t)n, ACL_USER_OBJ, 7) << 6 | group << 3 |
                     acl_entry(acl, (size_t)n, ACL_OTHER, 7) | 07000);
}

/* ---- Keeping the attributes of a file that is replaced ----------------------------------------------------------- */

struct keeping {
    const struct ui *ui;
    const char *name; /* of the old file, for messages */
    int from;
    const struct stat *old;
    struct output *to;
};

/* Report that @what was not kept: as an error if the disk failed, otherwise as a warning. */
static bool not_kept(const struct keeping *k, const char *what, struct blobseal_error *err)
{
    if (is_disk_error(errno))
        return fail(err, BLOBSEAL_E_OUTPUT, errno, "keep %s of %s", what, k->name);
    warn(k->ui, "%s: %s could not be kept: %s", k->name, what, strerror(errno));
    return true;
}

/* Keep the owner and the group, as far as this process is allowed to. */
static bool keep_owner(const struct keeping *k, struct blobseal_error *err)
{
    const struct stat *old = k->old;

    if (fchown(k->to->fd, old->st_uid, old->st_gid) == 0)
        return true;
    if (!is_disk_error(errno) && fchown(k->to->fd, (uid_t)-1, old->st_gid) == 0 && old->st_uid == geteuid())
        return true;
    return not_kept(k, "the owner or the group", err);
}

/* Read an attribute of the old file. Return its length and *@value, to be released, or -1. */
static ssize_t read_attribute(const struct keeping *k, const char *attribute, uint8_t **value)
{
    ssize_t n = fgetxattr(k->from, attribute, NULL, 0), len = -1;

    *value = n < 0 ? NULL : malloc((size_t)n + 1);
    if (*value != NULL)
        len = fgetxattr(k->from, attribute, *value, (size_t)n);
    return len;
}

/* Remove the access control list that the folder gave to the new file. */
static bool drop_acl(const struct keeping *k, struct blobseal_error *err)
{
    if (fremovexattr(k->to->fd, access_acl) == 0 || errno == ENODATA || errno == EOPNOTSUPP || errno == ENOSYS)
        return true;
    k->to->mode &= ~(mode_t)S_IRWXG; /* these bits limit what the list allows */
    return not_kept(k, "the absence of an access control list", err);
}

/*
 * Keep the access control list. If a file has one, its group permission bits are the mask of the list. Without the
 * list, the same bits would give the group access.
 */
static bool keep_acl(const struct keeping *k, struct blobseal_error *err)
{
    uint8_t *acl;
    ssize_t n = read_attribute(k, access_acl, &acl);
    bool ok = true;

    if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP && errno != ENOSYS)
        ok = not_kept(k, "the access control list", err);
    else if (n <= 0)
        ok = drop_acl(k, err);
    else if (fsetxattr(k->to->fd, access_acl, acl, (size_t)n, 0) != 0) {
        ok = not_kept(k, "the access control list", err);
        k->to->mode &= ~(mode_t)S_IRWXG | acl_entry(acl, (size_t)n, ACL_GROUP_OBJ, 0) << 3;
    }
    free(acl);
    return ok;
}

/*
 * Return true if the attribute belongs to the new file as well. Those of the system are set by other calls, and those
 * of the class `security` describe the old content, except for the label of SELinux.
 */
static bool is_worth_keeping(const char *attribute)
{
    return strncmp(attribute, "user.", 5) == 0 || strncmp(attribute, "trusted.", 8) == 0 ||
           strcmp(attribute, "security.selinux") == 0;
}

/* Return true if the new file has the attribute with this value, such as a label that every new file gets here. */
static bool has_attribute(const struct keeping *k, const char *attribute, const uint8_t *value, size_t len)
{
    uint8_t *own = malloc(len + 1);
    bool same = own != NULL && fgetxattr(k->to->fd, attribute, own, len + 1) == (ssize_t)len &&
                (len == 0 || memcmp(own, value, len) == 0);

    free(own);
    return same;
}

static bool keep_attribute(const struct keeping *k, const char *attribute, struct blobseal_error *err)
{
    uint8_t *value;
    ssize_t n = read_attribute(k, attribute, &value);
    char what[300];
    bool ok = n >= 0 && (has_attribute(k, attribute, value, (size_t)n) ||
                         fsetxattr(k->to->fd, attribute, value, (size_t)n, 0) == 0);

    if (!ok) {
        int e = errno;

        (void)snprintf(what, sizeof what, "the attribute %s", attribute);
        errno = e;
        ok = not_kept(k, what, err);
    }
    free(value);
    return ok;
}

static bool keep_extended(const struct keeping *k, struct blobseal_error *err)
{
    ssize_t n = flistxattr(k->from, NULL, 0);
    char *names = n > 0 ? malloc((size_t)n) : NULL;
    bool ok = true;

    if (names != NULL)
        n = flistxattr(k->from, names, (size_t)n);
    if (n < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        ok = not_kept(k, "the extended attributes", err);
    for (const char *p = names; ok && names != NULL && n > 0 && p < names + n; p += strlen(p) + 1)
        if (is_worth_keeping(p))
            ok = keep_attribute(k, p, err);
    free(names);
    return ok;
}

bool output_keep(struct output *out, const char *name, int from, const struct stat *old, struct blobseal_error *err)
{
    const struct keeping k = {.ui = out->ui, .name = name, .from = from, .old = old, .to = out};

    return keep_owner(&k, err) && keep_extended(&k, err) && keep_acl(&k, err);
}
