/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BLOBSEAL_PROCESS_H
#define BLOBSEAL_PROCESS_H

/* Prepare the process before it uses a key: open standard descriptors that are closed, and keep keys out of core files.
 */
void process_start(void);

#endif
