/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal scrub: look for corruption in many blobs, without a key, and report where it is. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal scrub [IN]...\n"
    "Look for corruption in each blob IN (default: standard input), without a key: damaged bytes, truncation, sectors\n"
    "that cannot be read. An IN that is a folder stands for all blobs below it, whatever their names, and for "
    "detached\n"
    "envelopes whose names end in .jwe.\n\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.scrub/1), one line per file\n"
    "  -q, --quiet             print only damage and errors\n"
    "  -h, --help              this text\n\n"
    "A blob without corruption need not be authentic: only verify checks that, with a key.\n"
    "Exit code: 3 if the only blob is damaged, 9 if some of several are, 7 if there is no blob.\n\n"
    "Example:\n"
    "  blobseal scrub disk.img.sealed\n";

#define MAX_LINES 100    /* of damage, for people  */
#define MAX_ITEMS 100000 /* of damage, in JSON     */

struct item {
    enum blobseal_damage_kind kind;
    uint64_t segment, offset, length;
    char text[120];
};

struct request {
    struct ui *ui;
    unsigned threads;
    struct progress progress;
    /* Results of all files. */
    size_t damaged;
    uint64_t bytes;
};

/* One file, and what was found in it. Printed at the end, so that an error does not leave half of a report. */
struct subject {
    const struct ui *ui;
    struct input in;
    struct item *items;
    size_t num, cap;
    struct blobseal_scrub_result result;
    double seconds;
};

static void keep(void *ctx, const struct blobseal_damage *d)
{
    struct subject *s = ctx;
    struct item *more;

    if (s->num == (s->ui->json ? MAX_ITEMS : MAX_LINES))
        return;
    if (s->num == s->cap) {
        more = realloc(s->items, (s->cap * 2 + 16) * sizeof *more);
        if (more == NULL)
            return; /* the library counts it, so the report says that there is more */
        s->items = more;
        s->cap = s->cap * 2 + 16;
    }
    s->items[s->num] = (struct item){.kind = d->kind, .segment = d->segment, .offset = d->offset, .length = d->length};
    (void)snprintf(s->items[s->num].text, sizeof s->items[0].text, "%s", d->text);
    s->num++;
}

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

static bool print_json(const struct subject *s, struct blobseal_error *err)
{
    const struct blobseal_scrub_result *r = &s->result;
    char id[2 * BLOBSEAL_BLOB_ID_LEN + 1];
    struct json j;

    hex_id(id, r->blob_id);
    json_start(&j, "blobseal.scrub/1");
    json_text(&j, "file", s->in.name);
    json_bool(&j, "ok", r->ok);
    json_bool(&j, "repairable", r->repairable);
    json_bool(&j, "payload_checked", r->payload_checked);
    json_text(&j, "layout", r->layout != BLOBSEAL_LAYOUT_AUTO ? blobseal_layout_name(r->layout) : NULL);
    json_text(&j, "blob_id", id);
    json_number(&j, "generation", r->generation != 0 ? r->generation : BLOBSEAL_SIZE_UNKNOWN);
    json_number(&j, "plain_bytes", r->plain_bytes);
    json_number(&j, "sealed_bytes", r->bytes);
    json_bool(&j, "slot_damaged", (r->notes & BLOBSEAL_NOTE_SLOT_INVALID) != 0);
    json_bool(&j, "change_unfinished", (r->notes & BLOBSEAL_NOTE_UNFINISHED) != 0);
    json_bool(&j, "length_possible", (r->notes & BLOBSEAL_NOTE_LENGTH) == 0);
    json_number(&j, "damages", r->damaged);
    json_list(&j, "damaged");
    for (size_t i = 0; i < s->num; i++) {
        json_item(&j);
        json_text(&j, "kind", blobseal_damage_name(s->items[i].kind));
        json_number(&j, "segment", s->items[i].segment);
        json_number(&j, "offset", s->items[i].offset);
        json_number(&j, "length", s->items[i].length);
        json_text(&j, "text", s->items[i].text);
        json_item_end(&j);
    }
    json_list_end(&j);
    json_seconds(&j, "seconds", s->seconds);
    return json_end(&j, err);
}

static void print_item(const char *name, const struct item *d)
{
    printf("%s: ", name);
    if (d->segment != BLOBSEAL_NO_SEGMENT)
        printf("segment %llu, ", (unsigned long long)d->segment);
    if (d->length > 0)
        printf("bytes %llu to %llu: %s\n", (unsigned long long)d->offset,
               (unsigned long long)(d->offset + d->length - 1), d->text);
    else
        printf("at byte %llu: %s\n", (unsigned long long)d->offset, d->text);
}

static void print_text(const struct subject *s)
{
    const struct blobseal_scrub_result *r = &s->result;
    const char *name = s->in.printable;
    char bytes[32], rate[32];

    if (!s->ui->quiet)
        report_notes(s->ui, s->in.name, r->notes & ~(BLOBSEAL_NOTE_SLOT_INVALID | BLOBSEAL_NOTE_LENGTH));
    for (size_t i = 0; i < s->num; i++)
        print_item(name, &s->items[i]);
    if (r->damaged > s->num)
        printf("%s: and %llu more\n", name, (unsigned long long)(r->damaged - s->num));
    if (s->ui->quiet)
        return;
    if (r->ok && r->payload_checked)
        printf("%s: no corruption found, %s checked at %s\n", name, human_bytes(bytes, r->bytes),
               human_rate(rate, r->bytes, s->seconds));
    else if (r->ok)
        printf("%s: no corruption found before the payload, which has no checksums: only verify checks it\n", name);
    else if (!r->payload_checked)
        printf("%s: the payload could not be checked\n", name);
}

static int damaged(const struct subject *s)
{
    unsigned long long n = s->result.damaged;
    struct blobseal_error err = {0};

    (void)fail(&err, BLOBSEAL_E_DAMAGED, 0, "%s is damaged in %llu place%s", s->in.name, n, n == 1 ? "" : "s");
    if (s->result.repairable)
        blobseal_advise(&err, BLOBSEAL_ADVICE_REPAIR, NULL, "repair it with a private key");
    else
        blobseal_hint(&err, "restore the blob, or these bytes of it, from another copy");
    return report_error_text(s->ui, &err);
}

/* ---- Scrubbing --------------------------------------------------------------------------------------------------- */

static bool look(struct subject *s, struct request *r, struct blobseal_error *err)
{
    const struct blobseal_scrub_options o = {.size = sizeof o,
                                             .threads = r->threads,
                                             .progress = progress_step,
                                             .progress_ctx = &r->progress,
                                             .on_damage = keep,
                                             .on_damage_ctx = s};
    bool ok;

    s->result.size = sizeof s->result;
    progress_start(&r->progress, r->ui, s->in.printable, s->in.source.size);
    ok = blobseal_scrub(&s->in.source, &o, &s->result, err) == BLOBSEAL_OK;
    s->seconds = progress_end(&r->progress);
    /* What looks like damage can be a file that another program is writing. */
    return ok && (s->result.ok || input_unchanged(&s->in, err));
}

static bool report(const struct subject *s, struct blobseal_error *err)
{
    if (s->ui->json)
        return print_json(s, err);
    print_text(s);
    return stdout_flush(err);
}

static bool is_envelope(const char *path)
{
    size_t len = strlen(path);

    return len > 4 && strcmp(path + len - 4, ".jwe") == 0;
}

/* Report a file that has no checksums: a well-formed envelope, or the object of a set if @info is NULL, which only the
 * keys of the set can check. */
static bool report_unchecked(const struct ui *ui, const char *path, const struct blobseal_info *info,
                             struct blobseal_error *err)
{
    char id[2 * BLOBSEAL_BLOB_ID_LEN + 1], name[320];
    struct json j;

    if (ui->json) {
        json_start(&j, "blobseal.scrub/1");
        json_text(&j, "file", path);
        json_bool(&j, "ok", true);
        json_bool(&j, info != NULL ? "envelope" : "set", true);
        if (info != NULL) {
            hex_id(id, info->blob_id);
            json_text(&j, "blob_id", id);
            json_number(&j, "generation", info->generation);
        }
        json_number(&j, "damages", 0);
        json_list(&j, "damaged");
        json_list_end(&j);
        return json_end(&j, err);
    }
    if (!ui->quiet)
        printf("%s: %s\n", printable(name, sizeof name, path),
               info != NULL ? "a well-formed envelope, which has no checksums: only verify checks it"
                            : "the object of an encryption set, which has no checksums: only set show checks it");
    return stdout_flush(err);
}

/* Return true if the text, a JWE, says that it is the object of an encryption set. */
static bool is_set_object(const char *text, size_t len)
{
    json_t *jwe = json_loadb(text, len, 0, NULL), *header = NULL;
    const char *encoded = json_string_value(json_object_get(jwe, "protected")), *typ;
    uint8_t decoded[1024];
    size_t decoded_len;
    bool is_set;

    if (encoded != NULL && blobseal_base64url_decode(decoded, sizeof decoded, &decoded_len, encoded, strlen(encoded)))
        header = json_loadb((const char *)decoded, decoded_len, 0, NULL);
    typ = json_string_value(json_object_get(header, "typ"));
    is_set = typ != NULL && strcmp(typ, "blobseal-set") == 0;
    json_decref(header);
    json_decref(jwe);
    return is_set;
}

/* Check what can be checked of a detached envelope without a key: that it is well-formed. */
static int check_envelope(struct request *r, const char *path)
{
    struct blobseal_info *info = NULL;
    struct blobseal_error err = {0};
    char *text = NULL;
    size_t len;
    bool ok = read_envelope(path, &text, &len, &err);

    if (ok && is_set_object(text, len))
        ok = report_unchecked(r->ui, path, NULL, &err);
    else
        ok = ok && blobseal_inspect(&info, NULL, text, len, &err) == BLOBSEAL_OK &&
             report_unchecked(r->ui, path, info, &err);
    r->bytes += len;
    r->damaged += !ok && (err.status == BLOBSEAL_E_FORMAT || err.status == BLOBSEAL_E_DAMAGED) ? 1 : 0;
    blobseal_info_free(info);
    free(text);
    return ok ? EXIT_OK : report_error(r->ui, &err);
}

static int scrub_file(void *ctx, const char *path)
{
    struct request *r = ctx;
    struct subject s = {.ui = r->ui, .in = INPUT_NONE};
    struct blobseal_error err = {0};
    int code;

    if (is_envelope(path))
        return check_envelope(r, path);
    if (!input_open(&s.in, path, &err) || !look(&s, r, &err) || !report(&s, &err))
        code = report_error(r->ui, &err);
    else
        code = s.result.ok ? EXIT_OK : damaged(&s);
    r->bytes += s.result.bytes;
    r->damaged += s.result.damaged > 0 ? 1 : 0;
    input_close(&s.in);
    free(s.items);
    return code;
}

/* Print the total, for several files or a folder. */
static int finish(const struct request *r, const struct files_total *total, bool wanted, int code)
{
    char bytes[32];
    int flushed;

    if (!wanted || total->num == 0 || r->ui->quiet || r->ui->json || ferror(stdout) != 0)
        return code;
    printf("%zu file%s checked, %s: %zu damaged, %zu with another error\n", total->num, total->num == 1 ? "" : "s",
           human_bytes(bytes, r->bytes), r->damaged, total->failed - r->damaged);
    flushed = stdout_finish(r->ui);
    return flushed != EXIT_OK ? flushed : code;
}

static bool is_folder(const char *path)
{
    struct stat st;

    return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int set_option(struct request *r, int option, const char *arg)
{
    if (option == 'j')
        return jobs_option(r->ui, arg, &r->threads);
    return option == OPT_PROGRESS ? progress_option(r->ui, &r->progress, arg) : EXIT_OK;
}

static const struct option options[] = {{"jobs", required_argument, NULL, 'j'}, PROGRESS_OPTION, COMMON_OPTIONS, {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    static char standard_input[] = "-";
    char *const by_default[] = {standard_input};
    struct request r = {.ui = ui};
    struct files_total total;
    bool several;
    int c, code;

    while ((c = next_option(ui, argc, argv)) != -1) {
        code = set_option(&r, c, optarg);
        if (code != EXIT_OK)
            return code;
    }
    if (optind == argc)
        return files_each(ui, by_default, 1, &total, scrub_file, &r);
    several = argc - optind > 1 || is_folder(argv[optind]);
    code = files_each(ui, argv + optind, (size_t)(argc - optind), &total, scrub_file, &r);
    return finish(&r, &total, several, code);
}

const struct verb verb_scrub = {"scrub", "look for corruption in blobs, without a key", usage, run, options, NULL};
