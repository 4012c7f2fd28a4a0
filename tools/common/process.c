/* SPDX-License-Identifier: Apache-2.0 */
/* What a program does first. */
#include "tools/common/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

/*
 * Open standard descriptors that are closed. Otherwise the next file would get such a number, and messages would be
 * written into it. The replacement fails when it is used: the input cannot be read, the outputs cannot be written.
 */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* takes the lowest number: fd */
}

/* Keep keys out of core files, and OpenSSL's private keys in locked memory. */
static void harden(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)CRYPTO_secure_malloc_init(1 << 16, 32); /* works without locks too, if RLIMIT_MEMLOCK is very small */
}

void process_start(void)
{
    fill_standard_descriptors();
    harden();
}
