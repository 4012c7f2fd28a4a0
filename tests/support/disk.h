/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory on which a blob is changed. It keeps apart what is durable and what is only cached, counts
 * operations, fails on demand, and shows every state that a loss of power can leave.
 */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include "tests/support/blobs.h"

enum disk_op { DISK_READ, DISK_WRITE, DISK_SYNC };

struct test_disk {
    size_t len;
    uint64_t stop_at;   /* this operation, counted from 1, fails, and all later ones; 0: none                       */
    bool stop_silently; /* without a message                                                                        */
    bool once;          /* operations after stop_at succeed again                                                   */
    bool deaf;          /* writes are accepted and never arrive                                                     */
    uint64_t flip_at;   /* the write with this number, counted from 1, arrives with a bit changed; 0: none          */
    bool no_lock;       /* another process has it                                                                   */
    /* Below: private, or to be checked afterwards. */
    uint8_t *now;    /* what a read sees       */
    uint8_t *stored; /* what has been synced   */
    uint64_t ops, writes, syncs, bytes_read, bytes_written;
    uint64_t min_write, max_write; /* the range that was written to */
    unsigned locks, unlocks;
    bool locked;
    bool misused; /* touched without the lock, or beyond the end */
};

/* Put @len bytes on the disk. Undo with disk_end(). */
void disk_start(struct blobseal_target *target, struct test_disk *d, const void *data, size_t len);
void disk_end(struct test_disk *d);

/* ---- What a loss of power leaves -------------------------------------------------------------------------------- */

/* Which of the sectors that were written and not synced have reached the disk. */
enum survivors {
    SURVIVE_NONE,
    SURVIVE_ALL,
    SURVIVE_ONE,         /* number @n                                    */
    SURVIVE_ALL_BUT_ONE, /* number @n                                    */
    SURVIVE_FIRST,       /* the first @n                                 */
    SURVIVE_LAST,        /* all after the first @n                       */
    SURVIVE_EVEN,        /* every other one                              */
    SURVIVE_ODD,
    SURVIVE_RANDOM,    /* depends on @n                                */
    SURVIVE_TORN,      /* those before number @n, and half of that one */
    SURVIVE_TORN_TAIL, /* those after number @n, and the second half of that one */
};

/* Return how many sectors of @sector bytes differ between cache and disk. */
size_t disk_unsynced(const struct test_disk *d, size_t sector);

/* Return what the disk holds afterwards: d->len bytes, free(). */
uint8_t *disk_after(const struct test_disk *d, size_t sector, enum survivors which, uint64_t n);

#endif
