/* SPDX-License-Identifier: Apache-2.0 */
/* What `recipients` and `rewrap` share: changing the envelopes of files. */
#ifndef BLOBSEAL_CHANGE_H
#define BLOBSEAL_CHANGE_H

#include "cli.h"

struct change_request {
    struct keys keys, to;                      /* -k and --to */
    struct keys *last;                         /* what an option about a key belongs to */
    const char *kids[BLOBSEAL_MAX_RECIPIENTS]; /* to remove */
    size_t num_kids;
    bool rewrite;
    bool somebody_left; /* a recipient was removed from at least one file */
    uint32_t slot_capacity;
    struct blobseal_change change;
};

#define CHANGE_OPTIONS                                                                                                 \
    {"to", required_argument, NULL, OPT_TO}, {"oaep", required_argument, NULL, OPT_OAEP},                              \
        {"min-generation", required_argument, NULL, OPT_MIN_GENERATION}, {"dry-run", no_argument, NULL, 'n'},          \
        {"rewrite", no_argument, NULL, OPT_REWRITE}, {"slot-size", required_argument, NULL, OPT_SLOT_SIZE},            \
    {                                                                                                                  \
        "drop", required_argument, NULL, OPT_DROP                                                                      \
    }

/* Take one of KEY_OPTIONS or CHANGE_OPTIONS. Answers EXIT_OK, also for others, or a code to end with. */
int change_option(struct change_request *r, int option, const char *arg);

/* Add a kid to the list of those who go. */
int change_remove(struct change_request *r, const char *kid);

/* Open the keys, change all files, close the keys; answers the exit code. */
int change_files(struct change_request *r, char *const *paths, size_t num);

#endif
