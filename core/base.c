/* SPDX-License-Identifier: Apache-2.0 */
/* The ground that the other files stand on: status text, errors, secret pages, wiping, comparing, randomness. */
#define _GNU_SOURCE /* strerror_r, MADV_* */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "internal.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char *blobseal_version(void)
{
    return STRING(BLOBSEAL_VERSION_MAJOR) "." STRING(BLOBSEAL_VERSION_MINOR) "." STRING(BLOBSEAL_VERSION_PATCH);
}

const char *blobseal_status_code(enum blobseal_status status)
{
    static const char *const codes[] = {
        [BLOBSEAL_OK] = "OK",
        [BLOBSEAL_E_ARG] = "E-ARG",
        [BLOBSEAL_E_CONFIG] = "E-CONFIG",
        [BLOBSEAL_E_NOMEM] = "E-NOMEM",
        [BLOBSEAL_E_INTERNAL] = "E-INTERNAL",
        [BLOBSEAL_E_FORMAT] = "E-FORMAT",
        [BLOBSEAL_E_DAMAGED] = "E-DAMAGED",
        [BLOBSEAL_E_AUTH] = "E-AUTH",
        [BLOBSEAL_E_UNSUPPORTED] = "E-UNSUPPORTED",
        [BLOBSEAL_E_NO_KEY] = "E-NOKEY",
        [BLOBSEAL_E_NOT_MINE] = "E-NOTMINE",
        [BLOBSEAL_E_UNAVAILABLE] = "E-UNAVAILABLE",
        [BLOBSEAL_E_DENIED] = "E-DENIED",
        [BLOBSEAL_E_POLICY] = "E-POLICY",
        [BLOBSEAL_E_EXISTS] = "E-EXISTS",
        [BLOBSEAL_E_INPUT] = "E-INPUT",
        [BLOBSEAL_E_OUTPUT] = "E-OUTPUT",
        [BLOBSEAL_E_CANCELED] = "E-CANCELED",
    };

    return (unsigned)status < sizeof codes / sizeof codes[0] ? codes[status] : "E-UNKNOWN";
}

void blobseal_free(void *p)
{
    free(p);
}

/* ---- Structs that grow ----------------------------------------------------------------------------------------- */

/* No struct of any version is as long: a size beyond is no size. */
#define MAX_STRUCT ((size_t)4096)

bool blobseal_take_struct(void *own, size_t own_size, const void *theirs)
{
    size_t size;

    if (theirs == NULL)
        return true;
    memcpy(&size, theirs, sizeof size);
    if (size < sizeof size || size > MAX_STRUCT)
        return false;
    for (size_t i = own_size; i < size; i++)
        if (((const uint8_t *)theirs)[i] != 0) /* a wish that this version cannot fulfil */
            return false;
    memcpy((uint8_t *)own + sizeof size, (const uint8_t *)theirs + sizeof size,
           (size < own_size ? size : own_size) - sizeof size);
    return true;
}

bool bs_give_struct(void *theirs, const void *own, size_t own_size)
{
    size_t size;

    if (theirs == NULL)
        return true;
    memcpy(&size, theirs, sizeof size);
    if (size < sizeof size)
        return false;
    memcpy((uint8_t *)theirs + sizeof size, (const uint8_t *)own + sizeof size,
           (size < own_size ? size : own_size) - sizeof size);
    return true;
}

/* ---- Memory for plaintext --------------------------------------------------------------------------------------- */

void *bs_map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, len, MADV_DONTDUMP);
    return p;
}

void bs_unmap(void *p, size_t len)
{
    if (p != NULL)
        (void)munmap(p, len);
}

/* ---- Errors ---- */

size_t blobseal_utf8_len(const uint8_t *p, size_t left)
{
    /* The second byte decides about overlong forms, surrogates and what lies beyond U+10FFFF. */
    uint8_t low = p[0] == 0xE0   ? 0xA0
                  : p[0] == 0xF0 ? 0x90
                                 : 0x80,
            high = p[0] == 0xED   ? 0x9F
                   : p[0] == 0xF4 ? 0x8F
                                  : 0xBF;
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;

    if ((p[0] >= 0x80 && p[0] < 0xC2) || p[0] > 0xF4 || left < len)
        return 0;
    if (len > 1 && (p[1] < low || p[1] > high))
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

static bool is_control(const uint8_t *p)
{
    return p[0] < ' ' || p[0] == 0x7F || (p[0] == 0xC2 && p[1] < 0xA0);
}

void blobseal_make_printable(char *text)
{
    uint8_t *p = (uint8_t *)text;
    size_t left = strlen(text);

    while (left > 0) {
        size_t len = blobseal_utf8_len(p, left);

        if (len == 0 || is_control(p)) {
            *p = '?';
            len = 1;
        }
        p += len;
        left -= len;
    }
}

enum blobseal_status blobseal_fail(struct blobseal_error *err, enum blobseal_status status, int sys_errno,
                                   const char *format, ...)
{
    char reason[96];
    va_list ap;
    size_t used;

    if (err == NULL)
        return status;
    err->status = status;
    err->sys_errno = sys_errno;
    err->hint[0] = '\0';
    va_start(ap, format);
    if (vsnprintf(err->text, sizeof err->text, format, ap) < 0)
        err->text[0] = '\0';
    va_end(ap);
    used = strlen(err->text);
    if (sys_errno != 0)
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s", strerror_r(sys_errno, reason, sizeof reason));
    blobseal_make_printable(err->text);
    return status;
}

void blobseal_hint(struct blobseal_error *err, const char *format, ...)
{
    va_list ap;

    if (err == NULL)
        return;
    va_start(ap, format);
    if (vsnprintf(err->hint, sizeof err->hint, format, ap) < 0)
        err->hint[0] = '\0';
    va_end(ap);
    blobseal_make_printable(err->hint);
}

/* ---- Secrets ---- */

/*
 * A secret allocation: [guard page][header | secret ...][guard page]. The header at the front of the first inner page
 * remembers the whole mapping.
 */
struct secret_header {
    size_t map_len;
    size_t inner_len;
    uint8_t pad[48]; /* keeps the secret aligned to 64 */
};

void *blobseal_secret_alloc(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner;
    uint8_t *map;

    if (len > SIZE_MAX / 2)
        return NULL;
    inner = (len + sizeof(struct secret_header) + page - 1) / page * page;
    map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (mprotect(map + page, inner, PROT_READ | PROT_WRITE) != 0) {
        (void)munmap(map, inner + 2 * page);
        return NULL;
    }
    /* RLIMIT_MEMLOCK can be tiny and old kernels lack an advice: neither is worth a failure. */
    (void)mlock(map + page, inner);
    (void)madvise(map + page, inner, MADV_DONTDUMP);
    (void)madvise(map + page, inner, MADV_WIPEONFORK);

    struct secret_header *h = (struct secret_header *)(void *)(map + page);

    h->map_len = inner + 2 * page;
    h->inner_len = inner;
    return h + 1;
}

void blobseal_secret_free(void *p)
{
    struct secret_header *h = p;

    if (p == NULL)
        return;
    h--;

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t map_len = h->map_len;

    if (map_len == 0) /* a forked child sees emptied pages: nothing to wipe, and no length to unmap by */
        return;
    blobseal_wipe(h, h->inner_len);
    (void)munmap((uint8_t *)h - page, map_len);
}

void blobseal_wipe(void *p, size_t len)
{
    if (len > 0)
        OPENSSL_cleanse(p, len);
}

bool blobseal_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

bool blobseal_random(void *p, size_t len, bool secret)
{
    return (secret ? RAND_priv_bytes_ex(NULL, p, len, 0) : RAND_bytes_ex(NULL, p, len, 0)) == 1;
}
