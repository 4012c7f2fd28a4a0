/* SPDX-License-Identifier: Apache-2.0 */
/* The keys and blobs that the cases use. */
#ifndef TESTS_FAULTS_FILES_H
#define TESTS_FAULTS_FILES_H

#include "tests/faults/cases.h"

enum file_name {
    FILE_KEY,
    FILE_PUBLIC_KEY,
    FILE_ENCRYPTED_KEY,
    FILE_OTHER_KEY,
    FILE_AB,      /* with metadata */
    FILE_DAMAGED, /* the same, with a core header that can be repaired */
    FILE_COMPACT,
    FILE_CORE, /* detached */
    FILE_ENVELOPE,
    FILE_ZSTD,
    FILE_LARGE,   /* several segments */
    FILE_WRAPPED, /* a secret of an application */
    FILE_CONFIG,
    NUM_FILES,
};

struct file {
    int fd;
    char path[40];
    char *text; /* its content, after files_read() */
    size_t len;
};
extern struct file files[NUM_FILES];

#define PLAIN      ((size_t)100000)
#define MAX_PLAIN  ((size_t)3500000)
#define PASSPHRASE "correct horse"
#define PURPOSE    "test"

extern uint8_t plain[MAX_PLAIN];         /* the content of the blobs */
extern struct blobseal_kek *kek, *other; /* NULL if the cases open their keys themselves */

#endif
