/* SPDX-License-Identifier: Apache-2.0 */
/* What must happen when a signal ends the program. */
#ifndef BLOBSEAL_SIGNALS_H
#define BLOBSEAL_SIGNALS_H

#include <stdbool.h>

/* On a signal, remove temporary files, restore the terminal, and exit. Call once. */
void signals_catch(void);

/*
 * When a signal comes, until signals_forget(), close @fd (-1: none) and remove the file @name in @folder. @name is not
 * copied. Many threads may call this at the same time.
 */
void signals_remember(int folder, int fd, const char *name);
void signals_forget(const char *name);

/*
 * Make a signal that another thread receives wait, while this thread gives names to files; signals must be blocked in
 * this thread. If a signal has come already, signals_hold() does not return, because the process is about to exit.
 */
void signals_hold(void);
void signals_release(void);

/* A line without an end is on the terminal of stderr, and a signal has to remove it; or it is no longer there. */
void signals_line(bool shown);
/* Remove that line, so that a message can be printed in its place. The lock of stderr must be held. */
void signals_clear_line(void);

/* Turn off the echo of the terminal @fd, and on again; a signal turns it on as well. */
bool signals_echo_off(int fd);
void signals_echo_on(void);

#endif
