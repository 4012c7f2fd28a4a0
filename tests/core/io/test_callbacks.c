/* SPDX-License-Identifier: Apache-2.0 */
/* What callbacks of sources, sinks and targets may return, and structs whose reserved members are not zero. */
#include <stdlib.h>

#include "tests/support/content.h"
#include "tests/support/suite.h"

SUITE(io_callbacks);

#define OWN (BLOBSEAL_STATUS_CALLBACK + 7)

/* The answer of every callback below. */
struct answer {
    enum blobseal_status status;
    bool silent;  /* leave @err as it is */
    size_t extra; /* bytes that are reported beyond those asked for */
};

static enum blobseal_status answer(void *ctx, struct blobseal_error *err)
{
    const struct answer *a = ctx;

    if (a->status == BLOBSEAL_OK || a->silent)
        return a->status;
    return blobseal_fail(err, a->status, 0, "the cause");
}

static enum blobseal_status answer_read(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    memset(buf, 0, len);
    *nread = len + ((const struct answer *)ctx)->extra;
    return answer(ctx, err);
}

static enum blobseal_status answer_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                         struct blobseal_error *err)
{
    (void)off;
    return answer_read(ctx, buf, len, nread, err);
}

static enum blobseal_status answer_write(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    (void)buf;
    (void)len;
    return answer(ctx, err);
}

static enum blobseal_status answer_pwrite(void *ctx, const void *buf, size_t len, uint64_t off,
                                          struct blobseal_error *err)
{
    (void)off;
    return answer_write(ctx, buf, len, err);
}

static enum blobseal_status answer_sync(void *ctx, uint64_t off, uint64_t len, struct blobseal_error *err)
{
    (void)off;
    (void)len;
    return answer(ctx, err);
}

static enum blobseal_status answer_lock(void *ctx, bool on, struct blobseal_error *err)
{
    (void)on;
    return answer(ctx, err);
}

enum { READ, PREAD, WRITE, PWRITE, TARGET_WRITE, TARGET_SYNC, TARGET_LOCK, KINDS };

/* Call one kind of callback through the function of the library that is meant for it. */
static enum blobseal_status call(int kind, struct answer *a, struct blobseal_error *err)
{
    const struct blobseal_source source = {
        .ctx = a, .size = 100, .name = "the source", .read = answer_read, .pread = kind == PREAD ? answer_pread : NULL};
    const struct blobseal_sink sink = {
        .ctx = a, .write = answer_write, .pwrite = kind == PWRITE ? answer_pwrite : NULL};
    const struct blobseal_target target = {
        .ctx = a, .source = source, .write = answer_pwrite, .sync = answer_sync, .lock = answer_lock};
    struct bs_input in = {&source, 0};
    uint8_t buf[10] = {0};
    size_t n;

    switch (kind) {
    case READ:
    case PREAD:
        return bs_read(&in, buf, sizeof buf, &n, err);
    case WRITE:
    case PWRITE:
        return bs_write(&sink, buf, 0, 0, err);
    case TARGET_WRITE:
        return bs_target_write(&target, buf, 0, 0, err);
    case TARGET_SYNC:
        return bs_target_sync(&target, 0, 1, err);
    default:
        return bs_target_lock(&target, err);
    }
}

static bool may_return(int kind, enum blobseal_status st)
{
    switch (st) {
    case BLOBSEAL_OK:
    case BLOBSEAL_E_NOMEM:
    case BLOBSEAL_E_CANCELED:
        return true;
    case BLOBSEAL_E_INPUT:
        return kind != WRITE && kind != PWRITE;
    case BLOBSEAL_E_OUTPUT:
        return kind != READ && kind != PREAD;
    case BLOBSEAL_E_EXISTS:
        return kind == TARGET_LOCK;
    default:
        return false;
    }
}

Test(io_callbacks, only_some_statuses_of_the_library_are_passed_on)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int st = -1; st < 40; st++) {
            struct answer a = {.status = (enum blobseal_status)st};
            struct blobseal_error err = {.text = "of an earlier call"};
            enum blobseal_status want = may_return(kind, a.status) ? a.status : BLOBSEAL_E_INTERNAL;

            cr_expect_eq(call(kind, &a, &err), want, "kind %d, status %d", kind, st);
            cr_expect_eq(err.status, want);
            cr_expect(st == 0 || (strcmp(err.text, "the cause") == 0) == may_return(kind, a.status), "%s", err.text);
            cr_expect_eq(call(kind, &a, NULL), want);
        }
}

Test(io_callbacks, statuses_of_the_program_are_passed_through)
{
    static const enum blobseal_status statuses[] = {BLOBSEAL_STATUS_CALLBACK, OWN, BLOBSEAL_STATUS_MAX};

    for (int kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < COUNT(statuses); i++)
            for (int silent = 0; silent < 2; silent++) {
                struct answer a = {.status = statuses[i], .silent = silent == 1};
                struct blobseal_error err = {.status = BLOBSEAL_E_AUTH};

                cr_expect_eq(call(kind, &a, &err), statuses[i]);
                cr_expect_eq(err.status, statuses[i]);
                cr_expect_not_null(strstr(err.text, silent == 1 ? "reported no cause" : "the cause"), "%s", err.text);
            }
    cr_expect_str_eq(blobseal_status_code(OWN), "E-CALLBACK");
    cr_expect_str_eq(blobseal_status_code(BLOBSEAL_STATUS_MAX), "E-CALLBACK");
    cr_expect_str_eq(blobseal_status_code(BLOBSEAL_STATUS_CALLBACK - 1), "E-UNKNOWN");
}

/* Before, the next read was made after the end of the buffer. */
Test(io_callbacks, more_bytes_than_asked_for_are_an_error_of_the_callback)
{
    static const size_t extras[] = {1, 1000, SIZE_MAX - 10};

    for (int kind = READ; kind <= PREAD; kind++)
        for (size_t i = 0; i < COUNT(extras); i++) {
            struct answer a = {.extra = extras[i]};
            struct blobseal_error err;

            cr_expect_eq(call(kind, &a, &err), BLOBSEAL_E_INTERNAL);
            cr_expect_not_null(strstr(err.text, "the source"), "%s", err.text);
        }
}

/* The strings that a callback wrote by itself are made printable, and they end. */
static enum blobseal_status hostile_read(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err)
{
    (void)ctx;
    (void)buf;
    (void)len;
    *nread = 0;
    memset(err, 0x1b, sizeof *err);
    err->status = OWN;
    return OWN;
}

Test(io_callbacks, a_message_of_a_callback_is_safe_to_print)
{
    const struct blobseal_source source = {.read = hostile_read};
    struct bs_input in = {&source, 0};
    struct blobseal_error err;
    char byte;
    size_t n;

    cr_expect_eq(bs_read(&in, &byte, 1, &n, &err), OWN);
    cr_expect_eq(strlen(err.text), sizeof err.text - 1);
    cr_expect_eq(strspn(err.text, "?"), sizeof err.text - 1);
    cr_expect_eq(strspn(err.hint, "?"), sizeof err.hint - 1);
    cr_expect_eq(strspn(err.subject, "?"), sizeof err.subject - 1);
    for (size_t i = 0; i < COUNT(err.reserved); i++)
        cr_expect_eq(err.reserved[i], 0);
}

/* ---- Reserved members -------------------------------------------------------------------------------------------- */

Test(io_callbacks, reserved_members_must_be_zero)
{
    for (size_t i = 0; i < 4; i++) {
        struct blobseal_source source = {.read = answer_read};
        struct blobseal_sink sink = {.write = answer_write};
        struct blobseal_target target = {
            .source = {.pread = answer_pread}, .write = answer_pwrite, .sync = answer_sync};
        struct blobseal_target within;
        struct blobseal_error err;

        cr_expect_eq(bs_check_source(&source, "open", &err), BLOBSEAL_OK);
        cr_expect_eq(bs_check_sink(&sink, "open", &err), BLOBSEAL_OK);
        cr_expect_eq(bs_check_target(&target, "open", &err), BLOBSEAL_OK);
        within = target;
        source.reserved[i] = sink.reserved[i] = target.reserved[i] = within.source.reserved[i] = 1;
        cr_expect_eq(bs_check_source(&source, "open", &err), BLOBSEAL_E_ARG);
        cr_expect_not_null(strstr(err.text, "open: a reserved member of the source"), "%s", err.text);
        cr_expect_eq(bs_check_sink(&sink, "open", &err), BLOBSEAL_E_ARG);
        cr_expect_eq(bs_check_target(&target, "open", &err), BLOBSEAL_E_ARG);
        cr_expect_eq(bs_check_target(&within, "open", &err), BLOBSEAL_E_ARG);
    }
}

Test(io_callbacks, every_function_checks_the_structs_that_it_takes)
{
    struct blobseal_source source = {.read = answer_read, .reserved = {1}};
    struct blobseal_source whole = {.read = answer_read};
    struct blobseal_sink sink = {.write = answer_write, .reserved = {0, 0, 0, 1}}, good = {.write = answer_write};
    const struct blobseal_target target = {
        .source = {.pread = answer_pread, .reserved = {0, 1}}, .write = answer_pwrite, .sync = answer_sync};
    const struct blobseal_change change = {.size = sizeof change};
    struct blobseal_scrub_result scrubbed = {.size = sizeof scrubbed};
    struct blobseal_change_result *changed;
    struct blobseal_reader *reader;
    struct blobseal_writer *writer;
    struct blobseal_info *info;

    cr_expect_eq(blobseal_inspect(&info, &source, NULL, 0, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_seal(&good, &source, NULL, 0, NULL, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_seal(&sink, &whole, NULL, 0, NULL, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_writer_open(&writer, &sink, NULL, 0, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_reader_open(&reader, &source, NULL, 0, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_change_envelope(&changed, &source, NULL, 0, &change, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_change_in_place(&changed, &target, NULL, 0, &change, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_attach(&good, &source, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_attach(&sink, &whole, NULL, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_scrub(&source, NULL, &scrubbed, NULL), BLOBSEAL_E_ARG);
}
