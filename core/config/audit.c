/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit record: one line of JSON for each event, appended to a file with a single write. The file is opened for
 * each line, so it may be moved away and replaced at any time. A line that a full disk cut short stays alone: the next
 * record starts a new line. Nothing is synced: a record survives the end of the process, not of the machine.
 */
#define _GNU_SOURCE /* O_CLOEXEC and others */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/config/config.h"

#define MAX_LINE 2048

static bool is_word(const char *text)
{
    size_t len = text != NULL ? strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;

    return len >= 1 && len <= 32 && text[len] == '\0';
}

bool bs_audit_is_on(const struct blobseal_config *config)
{
    return config != NULL && (config->audit.fn != NULL || bs_config_text(config, BS_CONFIG_AUDIT_FILE) != NULL);
}

/* ---- A line of the file ------------------------------------------------------------------------------------------ */

/* Append `,"name":"text"`. NULL: nothing. */
static void put_text(struct bs_builder *w, const char *name, const char *text)
{
    if (text == NULL)
        return;
    bs_put_text(w, ",\"");
    bs_put_text(w, name);
    bs_put_text(w, "\":");
    bs_put_json_string(w, text);
}

/* Append `,"name":number`. */
static void put_number(struct bs_builder *w, const char *name, unsigned long long number)
{
    char text[64];

    (void)snprintf(text, sizeof text, ",\"%s\":%llu", name, number);
    bs_put_text(w, text);
}

/* Append the wall clock as RFC 3339 has it, in UTC, with milliseconds. */
static void put_time(struct bs_builder *w)
{
    struct timespec now;
    struct tm utc = {0};
    char text[40];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    bs_put_text(w, "\"time\":\"");
    bs_put_text(w, text);
    (void)snprintf(text, sizeof text, ".%03ldZ\"", now.tv_nsec / 1000000);
    bs_put_text(w, text);
}

static void put_blob_id(struct bs_builder *w, const uint8_t *id)
{
    char hex[2 * BLOBSEAL_BLOB_ID_LEN + 1];

    if (id == NULL)
        return;
    for (size_t i = 0; i < BLOBSEAL_BLOB_ID_LEN; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
    put_text(w, "blob_id", hex);
}

static void put_event(struct bs_builder *w, const struct blobseal_audit_event *e)
{
    bs_put_text(w, "{\"schema\":\"blobseal.audit/1\",");
    put_time(w);
    put_text(w, "operation", e->operation);
    put_text(w, "result", e->result == BLOBSEAL_OK ? "ok" : blobseal_status_code(e->result));
    put_text(w, "provider", e->provider);
    put_text(w, "kid", e->kid);
    put_blob_id(w, e->blob_id);
    if (e->claimed)
        bs_put_text(w, ",\"claimed\":true");
    put_text(w, "request_id", e->request_id);
    if (e->cached)
        bs_put_text(w, ",\"cached\":true");
    put_text(w, "subject", e->subject);
    put_number(w, "pid", (unsigned long long)getpid());
    put_number(w, "uid", (unsigned long long)getuid());
    bs_put_text(w, "}\n");
}

/* ---- Recording --------------------------------------------------------------------------------------------------- */

/*
 * Open the file, which is created if it does not exist. A file of records is also read, if that is permitted; a FIFO or
 * a device is only written. Not blocking: a FIFO that nobody reads is an error.
 */
static int open_file(const char *path)
{
    const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    struct stat info;
    int fd = -1;

    if (stat(path, &info) != 0 || S_ISREG(info.st_mode))
        fd = open(path, O_RDWR | flags, 0600);
    return fd >= 0 ? fd : open(path, O_WRONLY | flags, 0600);
}

/* Return true if there is a byte before this offset, and it does not end a line. False also if nobody can tell. */
static bool is_inside_line(int fd, off_t offset)
{
    char c;

    return offset > 0 && pread(fd, &c, 1, offset - 1) == 1 && c != '\n';
}

/* Return true if the last line of the file has no end, and stays so: while another thread appends a record, the file
 * can end inside it for a moment. */
static bool ends_inside_line(int fd)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    off_t end = lseek(fd, 0, SEEK_END), before = -1;

    for (unsigned i = 0; i < 10 && is_inside_line(fd, end) && end != before; i++) {
        (void)nanosleep(&moment, NULL);
        before = end;
        end = lseek(fd, 0, SEEK_END);
    }
    return is_inside_line(fd, end);
}

/* Write all of @line at the end of the file, at once. If that fails, errno says why. */
static bool write_once(int fd, struct bs_slice line)
{
    ssize_t n;

    do
        n = write(fd, line.p, line.len);
    while (n < 0 && errno == EINTR);
    if (n >= 0 && (size_t)n != line.len)
        errno = ENOSPC;
    return n >= 0 && (size_t)n == line.len;
}

/*
 * Write a line, which follows a line feed in memory, with that line feed if the file ends with the beginning of a
 * record: there was no room for the rest. Nothing is truncated, because others may have appended to the file meanwhile.
 * If another process left such a beginning after the look at the end of the file, what was written has become a part of
 * its line, and is written again.
 */
static bool write_whole(int fd, struct bs_slice line)
{
    struct bs_slice apart = {line.p - 1, line.len + 1};
    off_t end;

    if (ends_inside_line(fd))
        return write_once(fd, apart);
    if (!write_once(fd, line))
        return false;
    end = lseek(fd, 0, SEEK_CUR);
    return end < (off_t)line.len || !is_inside_line(fd, end - (off_t)line.len) || write_once(fd, apart);
}

/* Append a line, which follows a line feed in memory, to the file. */
static enum blobseal_status append(const char *path, struct bs_slice line, struct blobseal_error *err)
{
    int fd = open_file(path), error = errno;
    bool ok = fd >= 0 && write_whole(fd, line);

    if (fd >= 0) {
        error = errno;
        (void)close(fd);
    }
    if (ok)
        return BLOBSEAL_OK;
    (void)blobseal_fail(err, BLOBSEAL_E_OUTPUT, error, "write the audit record to %.200s", path);
    blobseal_hint(err, "nothing is done that cannot be recorded; make the file writable, with room for records");
    return BLOBSEAL_E_OUTPUT;
}

static enum blobseal_status write_line(const char *path, const struct blobseal_audit_event *e,
                                       struct blobseal_error *err)
{
    uint8_t text[1 + MAX_LINE] = {'\n'};
    struct bs_builder w = bs_builder_start(text + 1, MAX_LINE);

    put_event(&w, e);
    if (!w.ok)
        return blobseal_fail(err, BLOBSEAL_E_INTERNAL, 0, "write an audit record: it is too long");
    return append(path, (struct bs_slice){text + 1, w.len}, err);
}

static enum blobseal_status call_back(const struct bs_config_audit *a, const struct blobseal_audit_event *e,
                                      struct blobseal_error *err)
{
    static const uint32_t allowed =
        BS_MAY_RETURN(BLOBSEAL_E_OUTPUT) | BS_MAY_RETURN(BLOBSEAL_E_NOMEM) | BS_MAY_RETURN(BLOBSEAL_E_CANCELED);

    bs_error_clear(err);
    return bs_callback_status(a->fn(a->ctx, e, err), allowed, err, "record the operation %s", e->operation);
}

enum blobseal_status bs_audit(const struct blobseal_config *config, const struct blobseal_audit_event *event,
                              struct blobseal_error *err)
{
    const char *path = config != NULL ? bs_config_text(config, BS_CONFIG_AUDIT_FILE) : NULL;
    enum blobseal_status st = BLOBSEAL_OK;
    struct blobseal_error e = {0};

    if (path != NULL)
        st = write_line(path, event, &e);
    if (st == BLOBSEAL_OK && config != NULL && config->audit.fn != NULL)
        st = call_back(&config->audit, event, &e);
    if (st == BLOBSEAL_OK || bs_config_number(config, BS_CONFIG_AUDIT_REQUIRED) == 0)
        return BLOBSEAL_OK;
    if (err != NULL)
        *err = e;
    return st;
}

enum blobseal_status blobseal_audit(const struct blobseal_config *config, const struct blobseal_audit_event *event,
                                    struct blobseal_error *err)
{
    struct blobseal_audit_event own = {.size = sizeof own};

    if (!blobseal_struct_import(&own, sizeof own, event) || !is_word(own.operation))
        return blobseal_fail(err, BLOBSEAL_E_ARG, 0,
                             "record an event: its operation is not a word, its size is not set, or it is newer than "
                             "the library");
    bs_config_use(config);
    return bs_audit(config, &own, err);
}

enum blobseal_status blobseal_config_set_audit(struct blobseal_config *config, blobseal_audit_fn fn, void *ctx,
                                               struct blobseal_error *err)
{
    enum blobseal_status st = bs_config_may_change(config, err);

    if (st == BLOBSEAL_OK)
        config->audit = (struct bs_config_audit){fn, ctx};
    return st;
}
