/* SPDX-License-Identifier: Apache-2.0 */
/* The ground that the other files stand on: status text, errors, memory for plaintext, wiping, comparing, randomness. */
#define _GNU_SOURCE /* strerror_r, MADV_* */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

bool blobseal_struct_import(void *own, size_t own_size, const void *theirs)
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

bool bs_struct_export(void *theirs, const void *own, size_t own_size)
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

/* Below this a mapping costs more than what is done in it, and the heap has to do. */
#define MAP_FROM ((size_t)128 << 10)

void *bs_map(size_t len)
{
    void *p;

    if (len < MAP_FROM)
        return calloc(1, len);
    p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, len, MADV_DONTDUMP);
    return p;
}

void bs_unmap(void *p, size_t len)
{
    if (p == NULL)
        return;
    if (len < MAP_FROM) {
        blobseal_wipe(p, len);
        free(p);
    } else {
        (void)munmap(p, len);
    }
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
    err->advice = BLOBSEAL_ADVICE_NONE;
    err->subject[0] = '\0';
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

static void set_hint(struct blobseal_error *err, enum blobseal_advice advice, const char *format, va_list ap)
{
    if (err == NULL)
        return;
    if (vsnprintf(err->hint, sizeof err->hint, format, ap) < 0)
        err->hint[0] = '\0';
    blobseal_make_printable(err->hint);
    err->advice = advice;
    err->subject[0] = '\0';
}

void blobseal_hint(struct blobseal_error *err, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    set_hint(err, BLOBSEAL_ADVICE_NONE, format, ap);
    va_end(ap);
}

void blobseal_advise(struct blobseal_error *err, enum blobseal_advice advice, const char *subject, const char *format,
                     ...)
{
    va_list ap;

    va_start(ap, format);
    set_hint(err, advice, format, ap);
    if (err != NULL && subject != NULL) {
        (void)snprintf(err->subject, sizeof err->subject, "%s", subject);
        blobseal_make_printable(err->subject);
    }
    va_end(ap);
}

/* ---- Wiping, comparing, randomness ---- */

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
