/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libarchive, loaded when an image in a tar file is read or written. It brings a dozen other libraries with it, which
 * no other use of the program should have to load.
 */
#ifndef BLOBSEAL_LIBARCHIVE_H
#define BLOBSEAL_LIBARCHIVE_H

#include <archive.h>
#include <archive_entry.h>

#include "tools/common/common.h"

/* The functions that are used: F(name in the table, name in libarchive). */
#define LIBARCHIVE_FUNCTIONS(F)                                                                                        \
    F(entry_filetype, archive_entry_filetype)                                                                          \
    F(entry_free, archive_entry_free)                                                                                  \
    F(entry_hardlink, archive_entry_hardlink)                                                                          \
    F(entry_new, archive_entry_new)                                                                                    \
    F(entry_pathname, archive_entry_pathname)                                                                          \
    F(entry_set_filetype, archive_entry_set_filetype)                                                                  \
    F(entry_set_mtime, archive_entry_set_mtime)                                                                        \
    F(entry_set_pathname, archive_entry_set_pathname)                                                                  \
    F(entry_set_perm, archive_entry_set_perm)                                                                          \
    F(entry_set_size, archive_entry_set_size)                                                                          \
    F(entry_size, archive_entry_size)                                                                                  \
    F(entry_size_is_set, archive_entry_size_is_set)                                                                    \
    F(entry_symlink, archive_entry_symlink)                                                                            \
    F(error_number, archive_errno)                                                                                     \
    F(read_data_block, archive_read_data_block)                                                                        \
    F(read_free, archive_read_free)                                                                                    \
    F(read_new, archive_read_new)                                                                                      \
    F(read_next_header, archive_read_next_header)                                                                      \
    F(read_open_fd, archive_read_open_fd)                                                                              \
    F(read_support_format_tar, archive_read_support_format_tar)                                                        \
    F(set_error, archive_set_error)                                                                                    \
    F(write_close, archive_write_close)                                                                                \
    F(write_data, archive_write_data)                                                                                  \
    F(write_free, archive_write_free)                                                                                  \
    F(write_header, archive_write_header)                                                                              \
    F(write_new, archive_write_new)                                                                                    \
    F(write_open, archive_write_open)                                                                                  \
    F(write_set_format_pax_restricted, archive_write_set_format_pax_restricted)

#define LIBARCHIVE_MEMBER(name, function) __typeof__(function) *(name);
struct libarchive {
    LIBARCHIVE_FUNCTIONS(LIBARCHIVE_MEMBER)
};
#undef LIBARCHIVE_MEMBER

/* The table, which is complete once libarchive_load() has succeeded. */
extern struct libarchive libarchive;

/* Load libarchive unless this was done before. Used by one thread at a time. Errors: E_CONFIG (it is not installed). */
bool libarchive_load(struct blobseal_error *err);

#endif
