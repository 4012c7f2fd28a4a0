/* SPDX-License-Identifier: Apache-2.0 */
/* The audit record: which events there are, what they say, and that nothing is handed out that was not recorded. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/config/config.h"
#include "tests/support/suite.h"

#define LEN ((size_t)20000)

/* ---- A key whose uses are recorded, and a callback that keeps the events ------------------------------------------
 */

#define MAX_EVENTS 16

static struct {
    unsigned num;
    char text[MAX_EVENTS][160]; /* "operation result kid", then "blob" or "claimed", and "cached" */
    unsigned fails_at;          /* the number of the event that cannot be recorded; 0: none       */
    enum blobseal_status with;
} seen;

static struct fake_kek fake;
static struct blobseal_config *config;
static struct blobseal_kek *kek;
static struct sealed blob;
static struct blobseal_memory memory;
static struct blobseal_source source;
static uint8_t plain[LEN];

static enum blobseal_status keep_event(void *ctx, const struct blobseal_audit_event *e, struct blobseal_error *err)
{
    (void)ctx;
    cr_assert_lt(seen.num, MAX_EVENTS);
    cr_expect_eq(e->size, sizeof *e);
    (void)snprintf(seen.text[seen.num++], sizeof seen.text[0], "%s %s %s %s%s%s", e->operation,
                   e->result == BLOBSEAL_OK ? "ok" : blobseal_status_code(e->result), e->kid != NULL ? e->kid : "-",
                   e->blob_id != NULL ? (e->claimed ? "claimed" : "blob") : "-", e->cached ? " cached" : "",
                   e->subject != NULL ? e->subject : "");
    return seen.num == seen.fails_at ? blobseal_fail(err, seen.with, 0, "the recorder is full") : BLOBSEAL_OK;
}

static void open_key(void)
{
    kek = fake_kek_open(&fake);
    bs_kek_set_config(kek, config);
}

static void begin(void)
{
    fake.kid = "a-key";
    fill_random(plain, LEN, 3);
    cr_assert_eq(blobseal_config_new(&config, NULL), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_set_audit(config, keep_event, NULL, NULL), BLOBSEAL_OK);
}

static void end(void)
{
    sealed_clear(&blob);
    blobseal_kek_close(kek);
    blobseal_config_free(config);
}

SUITE_WITH(audit, begin, end);

static void seal(void)
{
    struct blobseal_error err;

    cr_assert_eq(seal_bytes(&blob, plain, LEN, &kek, 1, NULL, &err), BLOBSEAL_OK, "%s", err.text);
    blobseal_source_memory(&source, &memory, blob.data, blob.len);
}

static enum blobseal_status open_reader(uint64_t min_generation, struct blobseal_error *err)
{
    struct blobseal_reader_options o = {.size = sizeof o, .min_generation = min_generation};
    struct blobseal_reader *reader;
    enum blobseal_status st = blobseal_reader_open(&reader, &source, &kek, 1, &o, err);

    cr_expect((st == BLOBSEAL_OK) == (reader != NULL));
    blobseal_reader_close(reader);
    return st;
}

/* Expect exactly these events since the last call. */
static void expect_events(const char *const *want, unsigned num)
{
    cr_expect_eq(seen.num, num);
    for (unsigned i = 0; i < num && i < seen.num; i++)
        cr_expect_str_eq(seen.text[i], want[i]);
    seen.num = 0;
}
#define EXPECT(...) expect_events((const char *[]){__VA_ARGS__}, COUNT(((const char *[]){__VA_ARGS__})))

/* ---- Events ------------------------------------------------------------------------------------------------------ */

Test(audit, sealing_and_opening)
{
    open_key();
    seal();
    EXPECT("wrap ok a-key blob");
    cr_expect_eq(open_reader(0, NULL), BLOBSEAL_OK);
    EXPECT("unwrap ok a-key blob");
    cr_expect_eq(open_reader(9, NULL), BLOBSEAL_E_POLICY);
    EXPECT("unwrap ok a-key blob", "refuse E-POLICY - claimed");
}

Test(audit, a_blob_that_does_not_open)
{
    struct fake_kek other = {.kid = "a-key", .twist = 1};
    struct blobseal_kek *right;

    open_key();
    seal();
    seen.num = 0;
    right = kek;
    kek = fake_kek_open(&other);
    bs_kek_set_config(kek, config);
    cr_expect_eq(open_reader(0, NULL), BLOBSEAL_E_AUTH);
    EXPECT("unwrap E-AUTH a-key claimed");
    other.unwrap = (struct fault){.at_call = 1, .status = BLOBSEAL_E_DENIED};
    cr_expect_eq(open_reader(0, NULL), BLOBSEAL_E_DENIED);
    EXPECT("unwrap E-DENIED a-key claimed");
    blobseal_kek_close(kek);
    kek = right;
}

Test(audit, a_key_that_fits_no_recipient_is_not_used)
{
    struct fake_kek other = {.kid = "another-key"};
    struct blobseal_kek *right;

    open_key();
    seal();
    seen.num = 0;
    right = kek;
    kek = fake_kek_open(&other);
    bs_kek_set_config(kek, config);
    cr_expect_eq(open_reader(0, NULL), BLOBSEAL_E_NO_KEY);
    cr_expect_eq(seen.num, 0);
    blobseal_kek_close(kek);
    kek = right;
}

Test(audit, changing_recipients)
{
    struct fake_kek second = {.kid = "second"};
    struct blobseal_kek *to;
    struct blobseal_change change = {.size = sizeof change, .num_add = 1};
    struct blobseal_change_result *result;
    struct blobseal_error err;

    open_key();
    seal();
    seen.num = 0;
    to = fake_kek_open(&second);
    bs_kek_set_config(to, config);
    change.add = &to;
    cr_assert_eq(blobseal_change_envelope(&result, &source, &kek, 1, &change, &err), BLOBSEAL_OK, "%s", err.text);
    EXPECT("unwrap ok a-key blob", "wrap ok second blob");
    blobseal_change_result_free(result);
    blobseal_kek_close(to);
}

Test(audit, unlocked_keys_and_leases)
{
    struct blobseal_unlock_options o = {.size = sizeof o};
    struct blobseal_unlocked *unlocked;
    struct blobseal_reader *reader;

    fake.revocable = true;
    fake.lease = (struct blobseal_lease){.size = sizeof fake.lease, .valid_until_unix_ms = 1}; /* has ended */
    open_key();
    seal();
    seen.num = 0;
    cr_assert_eq(blobseal_unlock(&unlocked, &source, &kek, 1, &o, NULL), BLOBSEAL_OK);
    EXPECT("unwrap ok a-key blob");
    cr_assert_eq(blobseal_reader_open_with(&reader, &source, unlocked, NULL, NULL), BLOBSEAL_OK);
    EXPECT("renew ok a-key -", "reopen ok a-key blob");
    blobseal_reader_close(reader);
    fake.renew = (struct fault){.at_call = 1, .status = BLOBSEAL_E_DENIED};
    cr_assert_eq(blobseal_reader_open_with(&reader, &source, unlocked, NULL, NULL), BLOBSEAL_E_DENIED);
    EXPECT("renew E-DENIED a-key -");
    blobseal_unlocked_release(unlocked);
}

/* ---- What cannot be recorded does not happen --------------------------------------------------------------------- */

Test(audit, a_failing_record_stops_the_operation)
{
    struct blobseal_error err;
    struct blobseal_unlock_options o = {.size = sizeof o};
    struct blobseal_unlocked *unlocked;
    struct blobseal_reader *reader;
    struct sealed none;

    open_key();
    seal();
    cr_assert_eq(blobseal_unlock(&unlocked, &source, &kek, 1, &o, NULL), BLOBSEAL_OK);
    seen.num = 0;
    seen.fails_at = 1;
    seen.with = BLOBSEAL_E_OUTPUT;
    cr_expect_eq(seal_bytes(&none, plain, LEN, &kek, 1, NULL, &err), BLOBSEAL_E_OUTPUT);
    cr_expect_str_eq(err.text, "the recorder is full");
    cr_expect_eq(none.len, 0);
    seen.num = 0;
    cr_expect_eq(open_reader(0, &err), BLOBSEAL_E_OUTPUT);
    seen.num = 0;
    cr_expect_eq(blobseal_reader_open_with(&reader, &source, unlocked, NULL, &err), BLOBSEAL_E_OUTPUT);
    cr_expect_null(reader);
    seen.num = 0;
    seen.with = BLOBSEAL_STATUS_CALLBACK + 5;
    cr_expect_eq(open_reader(0, &err), BLOBSEAL_STATUS_CALLBACK + 5);
    seen.num = 0;
    seen.with = BLOBSEAL_E_AUTH; /* a recorder has no say about blobs */
    cr_expect_eq(open_reader(0, &err), BLOBSEAL_E_INTERNAL);
    blobseal_unlocked_release(unlocked);
    sealed_clear(&none);
}

Test(audit, optional_records)
{
    const struct blobseal_config_settings s = {.size = sizeof s, .audit = BLOBSEAL_AUDIT_OPTIONAL};

    cr_assert_eq(blobseal_config_set(config, &s, NULL), BLOBSEAL_OK);
    open_key();
    seal();
    seen.num = 0;
    seen.fails_at = 1;
    seen.with = BLOBSEAL_E_OUTPUT;
    cr_expect_eq(open_reader(0, NULL), BLOBSEAL_OK);
}

Test(audit, events_of_programs)
{
    struct blobseal_audit_event e = {.size = sizeof e, .operation = "keyprovider", .subject = "team"};

    cr_expect_eq(blobseal_audit(config, &e, NULL), BLOBSEAL_OK);
    EXPECT("keyprovider ok - -team");
    cr_expect_eq(blobseal_audit(NULL, &e, NULL), BLOBSEAL_OK);
    e.operation = "Two Words";
    cr_expect_eq(blobseal_audit(config, &e, NULL), BLOBSEAL_E_ARG);
    e.operation = NULL;
    cr_expect_eq(blobseal_audit(config, &e, NULL), BLOBSEAL_E_ARG);
    e.size = 0;
    cr_expect_eq(blobseal_audit(config, &e, NULL), BLOBSEAL_E_ARG);
    cr_expect_eq(blobseal_config_set_audit(config, keep_event, NULL, NULL), BLOBSEAL_E_ARG, "it is in use");
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static void use_file(const char *path)
{
    const struct blobseal_config_settings s = {.size = sizeof s, .audit_file = path};

    cr_assert_eq(blobseal_config_set(config, &s, NULL), BLOBSEAL_OK);
    open_key();
}

Test(audit, lines_of_a_file)
{
    char path[] = "/tmp/blobseal-audit-XXXXXX", line[512], blob_id[64], want[160], *at = blob_id;
    int fd = mkstemp(path);
    struct stat before;
    FILE *f;

    cr_assert_geq(fd, 0);
    cr_assert_eq(unlink(path), 0);
    (void)close(fd);
    use_file(path);
    seal();
    cr_expect_eq(open_reader(0, NULL), BLOBSEAL_OK);
    cr_assert_eq(stat(path, &before), 0);
    cr_expect_eq(before.st_mode & 0777, 0600);
    for (size_t i = 0; i < BLOBSEAL_BLOB_ID_LEN; i++)
        at += sprintf(at, "%02x", blob.result.blob_id[i]);
    f = fopen(path, "r");
    cr_assert_not_null(f);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_not_null(fgets(line, sizeof line, f));
        (void)snprintf(
            want, sizeof want,
            "\"operation\":\"%s\",\"result\":\"ok\",\"provider\":\"fake\",\"kid\":\"a-key\",\"blob_id\":\"%s\"",
            i == 0 ? "wrap" : "unwrap", blob_id);
        cr_expect_not_null(strstr(line, want), "%s", line);
        cr_expect_eq(strncmp(line, "{\"schema\":\"blobseal.audit/1\",\"time\":\"20", 38), 0, "%s", line);
        cr_expect_eq(strcmp(line + strlen(line) - 2, "}\n"), 0);
    }
    cr_expect_null(fgets(line, sizeof line, f), "%s", line);
    (void)fclose(f);
    (void)unlink(path);
}

Test(audit, files_that_cannot_be_written)
{
    static const char *const paths[] = {"/dev/full", "/proc/blobseal/audit", "/dev"};
    struct blobseal_error err;
    struct sealed none;

    for (size_t i = 0; i < COUNT(paths); i++) {
        use_file(paths[i]);
        cr_expect_eq(seal_bytes(&none, plain, LEN, &kek, 1, NULL, &err), BLOBSEAL_E_OUTPUT, "%s", paths[i]);
        cr_expect_not_null(strstr(err.text, paths[i]), "%s", err.text);
        sealed_clear(&none);
        blobseal_kek_close(kek);
        kek = NULL;
        blobseal_config_free(config);
        begin();
    }
}

/* ---- Lines that were cut short ----------------------------------------------------------------------------------- */

/* Make an empty file for records, and set no callback: a child process may not check anything. */
static void use_new_file(char path[32])
{
    int fd;

    (void)snprintf(path, 32, "/tmp/blobseal-audit-XXXXXX");
    fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    cr_assert_eq(blobseal_config_set_audit(config, NULL, NULL, NULL), BLOBSEAL_OK);
    use_file(path);
}

static enum blobseal_status record(const char *subject)
{
    struct blobseal_audit_event e = {.size = sizeof e, .operation = "test", .subject = subject};

    return blobseal_audit(config, &e, NULL);
}

static void append_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

/* Count the lines that are whole records, as a reader finds them that leaves out all others. Empty lines do not count:
 * a process writes one if another is interrupted inside a record for so long that it seems to have been cut short. */
static unsigned count_records(const char *path, unsigned *others)
{
    FILE *f = fopen(path, "r");
    unsigned num = 0;
    char *line = NULL;
    size_t room = 0;

    cr_assert_not_null(f);
    *others = 0;
    while (getline(&line, &room, f) > 0) {
        const char *again = strstr(line + 1, "{\"schema\"");

        if (strncmp(line, "{\"schema\"", 9) == 0 && strcmp(line + strlen(line) - 2, "}\n") == 0 && again == NULL)
            num++;
        else if (strcmp(line, "\n") != 0)
            (*others)++;
    }
    free(line);
    (void)fclose(f);
    return num;
}

Test(audit, a_record_after_one_that_a_full_disk_cut_short)
{
    struct rlimit old, small;
    unsigned others;
    char path[32];
    struct stat info;

    use_new_file(path);
    cr_expect_eq(record("first"), BLOBSEAL_OK);
    cr_assert_eq(stat(path, &info), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    for (rlim_t room = 0; room <= 40; room += 20) {
        cr_assert_eq(stat(path, &info), 0);
        small.rlim_cur = (rlim_t)info.st_size + room;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        cr_expect_eq(record("cut short"), BLOBSEAL_E_OUTPUT);
        cr_expect_eq(record("no room"), BLOBSEAL_E_OUTPUT);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
        cr_expect_eq(record("next"), BLOBSEAL_OK);
        cr_expect_eq(record("another"), BLOBSEAL_OK);
    }
    cr_expect_eq(count_records(path, &others), 7);
    cr_expect_eq(others, 2);
    (void)unlink(path);
}

Test(audit, only_a_line_feed_had_room)
{
    struct rlimit old, small;
    unsigned others;
    char path[32];

    use_new_file(path);
    append_text(path, "{\"sche");
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){7, old.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    cr_expect_eq(record("no room"), BLOBSEAL_E_OUTPUT);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    cr_expect_eq(record("next"), BLOBSEAL_OK);
    cr_expect_eq(count_records(path, &others), 1);
    cr_expect_eq(others, 1);
    (void)unlink(path);
}

/* Start processes that record, and return how many do. */
static unsigned start_writers(unsigned records)
{
    const unsigned writers = 3;

    for (unsigned i = 0; i < writers; i++) {
        pid_t child = fork();

        cr_assert_geq(child, 0);
        if (child == 0) {
            bool ok = true;

            for (unsigned n = 0; n < records; n++)
                ok = ok && record("beside others") == BLOBSEAL_OK;
            _exit(ok ? 0 : 1);
        }
    }
    return writers;
}

/* No process takes a record that another one is writing for a beginning that was left there. */
Test(audit, records_of_many_processes)
{
    unsigned writers, others;
    char path[32];
    int status;

    use_new_file(path);
    writers = start_writers(3000);
    for (unsigned i = 0; i < writers; i++)
        cr_expect(wait(&status) > 0 && status == 0);
    cr_expect_eq(count_records(path, &others), writers * 3000);
    cr_expect_eq(others, 0, "%u", others);
    (void)unlink(path);
}

/* While some processes record, others leave beginnings of records: each record is whole somewhere, exactly once. */
Test(audit, records_of_many_processes_beside_lines_that_were_cut_short)
{
    unsigned writers, others;
    char path[32];
    int status;

    use_new_file(path);
    writers = start_writers(2000);
    for (unsigned ended = 0; ended < writers;) {
        append_text(path, "{\"cut\":\"");
        if (waitpid(-1, &status, WNOHANG) > 0) {
            cr_expect_eq(status, 0);
            ended++;
        }
    }
    cr_expect_eq(count_records(path, &others), writers * 2000);
    cr_expect_geq(others, 1);
    (void)unlink(path);
}

Test(audit, a_file_that_may_only_be_written)
{
    unsigned others;
    char path[32];

    use_new_file(path);
    cr_assert_eq(chmod(path, 0200), 0);
    if (geteuid() == 0)
        cr_assert_eq(chown(path, 65534, 65534), 0);
    if (geteuid() == 0 && fork() == 0) /* root may read everything */
        _exit(setegid(65534) == 0 && seteuid(65534) == 0 && record("first") == BLOBSEAL_OK ? 0 : 1);
    else if (geteuid() == 0)
        (void)wait(NULL);
    else
        cr_expect_eq(record("first"), BLOBSEAL_OK);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_expect_eq(count_records(path, &others), 1);
    cr_expect_eq(others, 0);
    (void)unlink(path);
}

Test(audit, a_fifo)
{
    char path[32], line[512];
    ssize_t n;
    int fd;

    use_new_file(path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_eq(record("nobody reads"), BLOBSEAL_E_OUTPUT);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_expect_eq(record("somebody reads"), BLOBSEAL_OK);
    n = read(fd, line, sizeof line - 1);
    cr_assert_gt(n, 0);
    line[n] = '\0';
    cr_expect_eq(strncmp(line, "{\"schema\"", 9), 0, "%s", line);
    cr_expect_eq(strcmp(line + n - 2, "}\n"), 0, "%s", line);
    (void)close(fd);
    (void)unlink(path);
}
