/* SPDX-License-Identifier: Apache-2.0 */
/* What must happen when a signal ends the program. */
#ifndef BLOBSEAL_SIGNALS_H
#define BLOBSEAL_SIGNALS_H

#include <stdbool.h>

/* On a signal, remove temporary files, restore the terminal, and exit. Call once. */
void signals_catch(void);

/* Remove the file @name in @folder when a signal comes, until signals_forget(). @name is not copied. */
void signals_remember(int folder, const char *name);
void signals_forget(const char *name);

/* A line without an end is on the terminal of stderr, and a signal has to remove it; or it is no longer there. */
void signals_line(bool shown);

/* Turn off the echo of the terminal @fd, and on again; a signal turns it on as well. */
bool signals_echo_off(int fd);
void signals_echo_on(void);

#endif
