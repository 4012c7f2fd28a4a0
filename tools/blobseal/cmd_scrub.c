/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal scrub: look for decay in many blobs, without a key, and say where it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
    "blobseal scrub [IN]...\n"
    "Look for decay in each blob IN (default: standard input), without a key: damaged bytes, cuts, sectors that "
    "cannot\n"
    "be read. An IN that is a folder stands for all files below it whose names end in .sealed.\n\n"
    "  -j, --jobs N            threads (default: one for each CPU)\n"
    "      --progress MODE     auto (default), plain, json or none\n"
    "      --fips              let nothing but OpenSSL's FIPS provider serve\n"
    "      --json              report as JSON (blobseal.scrub/1), one line a file\n"
    "  -q, --quiet             say only what is damaged, and errors\n"
    "  -h, --help              this text\n\n"
    "No decay found does not mean authentic: only verify says that, with a key.\n"
    "Exit code: 3 where the one blob is damaged, 9 where some of several are.\n\n"
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
    unsigned threads;
    struct progress progress;
};

/* One file, and what was found in it. It is told when all is known: an error on the way leaves no half of a report. */
struct subject {
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

    if (s->num == (settings.json ? MAX_ITEMS : MAX_LINES))
        return;
    if (s->num == s->cap) {
        more = realloc(s->items, (s->cap * 2 + 16) * sizeof *more);
        if (more == NULL)
            return; /* it is counted, and so said to be there */
        s->items = more;
        s->cap = s->cap * 2 + 16;
    }
    s->items[s->num] = (struct item){.kind = d->kind, .segment = d->segment, .offset = d->offset, .length = d->length};
    (void)snprintf(s->items[s->num].text, sizeof s->items[0].text, "%s", d->text);
    s->num++;
}

/* ---- Telling ---------------------------------------------------------------------------------------------------- */

static void number_or_null(const char *name, bool known, uint64_t value)
{
    json_number(name, known ? value : BLOBSEAL_SIZE_UNKNOWN);
}

static bool tell_json(const struct subject *s, struct blobseal_error *err)
{
    const struct blobseal_scrub_result *r = &s->result;
    char id[2 * BLOBSEAL_BLOB_ID_LEN + 1];

    hex_id(id, r->blob_id);
    json_start("blobseal.scrub/1");
    json_text("file", s->in.name);
    json_bool("ok", r->ok);
    json_bool("repairable", r->repairable);
    json_bool("payload_checked", r->payload_checked);
    json_text("layout", r->layout != BLOBSEAL_LAYOUT_AUTO ? blobseal_layout_name(r->layout) : NULL);
    json_text("blob_id", id);
    number_or_null("generation", r->generation != 0, r->generation);
    json_number("plain_bytes", r->plain_bytes);
    json_number("sealed_bytes", r->bytes);
    json_bool("slot_damaged", (r->notes & BLOBSEAL_NOTE_SLOT_INVALID) != 0);
    json_bool("change_unfinished", (r->notes & BLOBSEAL_NOTE_UNFINISHED) != 0);
    json_bool("length_possible", (r->notes & BLOBSEAL_NOTE_LENGTH) == 0);
    json_number("damages", r->damaged);
    json_list("damaged");
    for (size_t i = 0; i < s->num; i++) {
        json_item();
        json_text("kind", blobseal_damage_name(s->items[i].kind));
        json_number("segment", s->items[i].segment);
        json_number("offset", s->items[i].offset);
        json_number("length", s->items[i].length);
        json_text("text", s->items[i].text);
        json_item_end();
    }
    json_list_end();
    json_seconds("seconds", s->seconds);
    return json_end() || stdout_failed(err);
}

static void tell_item(const char *name, const struct item *d)
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

static void tell_text(const struct subject *s)
{
    const struct blobseal_scrub_result *r = &s->result;
    const char *name = s->in.printable;
    char bytes[32], rate[32];

    if (!settings.quiet)
        report_notes(s->in.name, r->notes & ~(BLOBSEAL_NOTE_SLOT_INVALID | BLOBSEAL_NOTE_LENGTH));
    for (size_t i = 0; i < s->num; i++)
        tell_item(name, &s->items[i]);
    if (r->damaged > s->num)
        printf("%s: and %llu more\n", name, (unsigned long long)(r->damaged - s->num));
    if (settings.quiet)
        return;
    if (r->ok && r->payload_checked)
        printf("%s: no decay found, %s checked at %s\n", name, human_bytes(bytes, r->bytes),
               human_rate(rate, r->bytes, s->seconds));
    else if (r->ok)
        printf("%s: no decay found in front of the payload, which has no checksums: only verify checks it\n", name);
    else if (!r->payload_checked)
        printf("%s: the payload could not be checked\n", name);
}

static int damaged(const struct subject *s)
{
    unsigned long long n = s->result.damaged;
    struct blobseal_error err = {0};

    (void)fail(&err, BLOBSEAL_E_DAMAGED, 0, "%s is damaged in %llu place%s", s->in.name, n, n == 1 ? "" : "s");
    if (s->result.repairable)
        blobseal_hint(&err, "a key that opens the blob cures it: blobseal recipients repair -k KEY %.120s", s->in.name);
    else
        blobseal_hint(&err, "restore the blob, or these bytes of it, from another copy");
    return report_error_text(&err);
}

/* ---- Looking ---------------------------------------------------------------------------------------------------- */

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
    progress_start(&r->progress, "scrub", s->in.printable, s->in.source.size);
    ok = blobseal_scrub(&s->in.source, &o, &s->result, err) == BLOBSEAL_OK;
    s->seconds = progress_end(&r->progress);
    /* What looks like damage can be somebody who is writing the file. */
    return ok && (s->result.ok || input_unchanged(&s->in, err));
}

static bool tell(const struct subject *s, struct blobseal_error *err)
{
    if (settings.json)
        return tell_json(s, err);
    tell_text(s);
    return fflush(stdout) == 0 || stdout_failed(err);
}

static int scrub_file(void *ctx, const char *path)
{
    struct subject s = {.in = {.fd = -1}};
    struct blobseal_error err = {0};
    int code;

    if (!input_open(&s.in, path, &err) || !look(&s, ctx, &err) || !tell(&s, &err))
        code = report_error(&err);
    else
        code = s.result.ok ? EXIT_OK : damaged(&s);
    input_close(&s.in);
    free(s.items);
    return code;
}

static int set_option(struct request *r, int option, const char *arg)
{
    unsigned long n;

    if (option == 'j' && !parse_number(arg, 1, 256, &n))
        return usage_error("-j takes a number of threads from 1 to 256, not %s", arg);
    if (option == 'j')
        r->threads = (unsigned)n;
    if (option == OPT_PROGRESS && !progress_option(&r->progress, arg))
        return usage_error("--progress is auto, plain, json or none, not %s", arg);
    return EXIT_OK;
}

static const struct option options[] = {{"jobs", required_argument, NULL, 'j'}, PROGRESS_OPTION, COMMON_OPTIONS, {0}};

static int run(int argc, char **argv)
{
    static char standard_input[] = "-";
    char *const by_default[] = {standard_input};
    struct request r = {0};
    int c, code;

    while ((c = next_option(argc, argv, ":j:qh", options)) != -1) {
        code = set_option(&r, c, optarg);
        if (code != EXIT_OK)
            return code;
    }
    if (optind == argc)
        return files_each(by_default, 1, true, scrub_file, &r);
    return files_each(argv + optind, (size_t)(argc - optind), true, scrub_file, &r);
}

const struct verb verb_scrub = {"scrub", "look for decay in blobs, without a key", usage, run, options, NULL};
