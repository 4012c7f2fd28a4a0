/* SPDX-License-Identifier: Apache-2.0 */
/* The library version, the names of the statuses, and the functions that fill a struct blobseal_error. */
#define _GNU_SOURCE /* strerror_r */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/base.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char *blobseal_version(void)
{
    return STRING(BLOBSEAL_VERSION_MAJOR) "." STRING(BLOBSEAL_VERSION_MINOR) "." STRING(BLOBSEAL_VERSION_PATCH);
}

static bool is_defined_by_callback(enum blobseal_status status)
{
    return (unsigned)status >= BLOBSEAL_STATUS_CALLBACK && (unsigned)status <= BLOBSEAL_STATUS_MAX;
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

    if (is_defined_by_callback(status))
        return "E-CALLBACK";
    return (unsigned)status < BS_COUNT(codes) ? codes[status] : "E-UNKNOWN";
}

__attribute__((format(printf, 4, 0))) static enum blobseal_status
set_text(struct blobseal_error *err, enum blobseal_status status, int sys_errno, const char *format, va_list ap)
{
    char reason[96];
    size_t used;

    if (err == NULL)
        return status;
    err->status = status;
    err->sys_errno = sys_errno;
    err->hint[0] = '\0';
    err->advice = BLOBSEAL_ADVICE_NONE;
    err->subject[0] = '\0';
    memset(err->reserved, 0, sizeof err->reserved);
    if (vsnprintf(err->text, sizeof err->text, format, ap) < 0)
        err->text[0] = '\0';
    used = strlen(err->text);
    if (sys_errno != 0)
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s", strerror_r(sys_errno, reason, sizeof reason));
    blobseal_make_printable(err->text);
    if (status == BLOBSEAL_E_NOMEM)
        bs_hint_memory(err);
    return status;
}

enum blobseal_status blobseal_fail(struct blobseal_error *err, enum blobseal_status status, int sys_errno,
                                   const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    status = set_text(err, status, sys_errno, format, ap);
    va_end(ap);
    return status;
}

void bs_error_clear(struct blobseal_error *err)
{
    if (err != NULL)
        *err = (struct blobseal_error){0};
}

enum blobseal_status bs_checked(enum blobseal_status st, struct blobseal_error *err, const char *format, ...)
{
    va_list ap;

    if (st == BLOBSEAL_OK || err == NULL || err->status == st)
        return st;
    va_start(ap, format);
    (void)set_text(err, st, 0, format, ap);
    va_end(ap);
    return st;
}

/* Make the strings that a callback wrote safe to show: they end, and are printable. */
static void make_safe(struct blobseal_error *err)
{
    char *const strings[] = {err->text, err->hint, err->subject};
    const size_t sizes[] = {sizeof err->text, sizeof err->hint, sizeof err->subject};

    for (size_t i = 0; i < BS_COUNT(strings); i++) {
        strings[i][sizes[i] - 1] = '\0';
        blobseal_make_printable(strings[i]);
    }
    memset(err->reserved, 0, sizeof err->reserved);
}

enum blobseal_status bs_callback_status(enum blobseal_status st, uint32_t allowed, struct blobseal_error *err,
                                        const char *format, ...)
{
    bool may = is_defined_by_callback(st) || ((unsigned)st < 32 && (allowed & BS_MAY_RETURN((unsigned)st)) != 0);
    char doing[160];
    va_list ap;

    if (st == BLOBSEAL_OK)
        return st;
    if (err == NULL)
        return may ? st : BLOBSEAL_E_INTERNAL;
    va_start(ap, format);
    if (vsnprintf(doing, sizeof doing, format, ap) < 0)
        doing[0] = '\0';
    va_end(ap);
    if (!may)
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0,
                             "%s: the callback returned a status that it may not return: %s", doing,
                             blobseal_status_code(st));
    if ((err->status != BLOBSEAL_OK && err->status != st) || err->text[0] == '\0')
        return blobseal_fail(err, st, 0, "%s: the callback reported no cause", doing);
    err->status = st;
    make_safe(err);
    return st;
}

__attribute__((format(printf, 3, 0))) static void set_hint(struct blobseal_error *err, enum blobseal_advice advice,
                                                           const char *format, va_list ap)
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
