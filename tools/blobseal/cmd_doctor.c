/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal doctor: is this machine, this process and this key fit for sealing? */
#include <stdio.h>

#include "cli.h"

static const char usage[] =
    "blobseal doctor [-k KEY]...\n"
    "Look at what blobseal stands on: CPU, OpenSSL, limits of the process; test ciphers and checksums with known\n"
    "answers; wrap and unwrap random bytes with each KEY.\n\n"
    "  -k, --kek KEY           a PEM file with an RSA key to try; a public one can only wrap; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; without, it is asked for on the terminal\n"
    "      --fips              let nothing but OpenSSL's FIPS provider serve\n"
    "      --json              report as JSON (blobseal.doctor/1)\n"
    "  -q, --quiet             only what is not as it should be\n"
    "  -h, --help              this text\n\n"
    "Exit code: 0, also with warnings; 1 where a self-test failed; that of the error where a key does not work.\n\n"
    "Example:\n"
    "  blobseal doctor -k kek.pem\n";

struct report_card {
    unsigned failures, warnings;
};

static void tell(void *ctx, const struct blobseal_finding *f)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    struct report_card *r = ctx;

    r->failures += f->level == BLOBSEAL_LEVEL_FAILURE ? 1 : 0;
    r->warnings += f->level == BLOBSEAL_LEVEL_WARNING ? 1 : 0;
    if (settings.json) {
        json_item();
        json_text("name", f->name);
        json_text("level", words[f->level]);
        json_text("value", f->value);
        json_text("hint", f->hint);
        json_item_end();
    } else if (!settings.quiet || f->level != BLOBSEAL_LEVEL_OK) {
        printf("%-5s %-16s %s\n", words[f->level], f->name, f->value);
        if (f->hint[0] != '\0')
            printf("%-5s %-16s %s\n", "", "", f->hint);
    }
}

/* All keys are tried, whatever becomes of the first: the first error counts. */
static bool try_keys(const struct keys *keys, struct report_card *r, struct blobseal_error *first)
{
    bool ok = true;

    for (size_t i = 0; i < keys->num; i++) {
        struct blobseal_error err = {0};

        if (blobseal_diagnose_kek(keys->keks[i], tell, r, &err) == BLOBSEAL_OK)
            continue;
        if (ok)
            *first = err;
        ok = false;
    }
    return ok;
}

static int verdict(const struct report_card *r, bool keys_work, struct blobseal_error *err)
{
    if (!keys_work)
        return report_error_text(err);
    if (r->failures == 0)
        return EXIT_OK;
    (void)fail(err, BLOBSEAL_E_INTERNAL, 0, "%u self-test%s failed", r->failures, r->failures == 1 ? "" : "s");
    blobseal_hint(err, "do not seal on this machine until it is known why");
    return report_error_text(err);
}

static int diagnose(struct keys *keys)
{
    struct report_card r = {0};
    struct blobseal_error err = {0};
    bool keys_work, told;

    if (!keys_open(keys, BLOBSEAL_OAEP_SHA256, &err))
        return report_error(&err);
    if (settings.json) {
        json_start("blobseal.doctor/1");
        json_list("findings");
    }
    blobseal_diagnose(tell, &r);
    keys_work = try_keys(keys, &r, &err);
    if (settings.json) {
        json_list_end();
        json_bool("ok", r.failures == 0);
        json_number("warnings", r.warnings);
        told = json_end();
    } else {
        told = fflush(stdout) == 0 && !ferror(stdout);
    }
    if (!told) {
        (void)stdout_failed(&err);
        return report_error(&err);
    }
    return verdict(&r, keys_work, &err);
}

static const struct option options[] = {KEY_OPTIONS, COMMON_OPTIONS, {0}};

static int run(int argc, char **argv)
{
    struct keys keys = {0};
    int c, code;

    while ((c = next_option(argc, argv, ":k:qh", options)) != -1)
        if (!keys_option(&keys, c, optarg, &code) && code != EXIT_OK)
            return code;
    if (optind < argc)
        return usage_error("doctor looks at no file: %s", argv[optind]);
    code = diagnose(&keys);
    keys_close(&keys);
    return code;
}

const struct verb verb_doctor = {"doctor", "see whether machine and keys are fit for sealing", usage, run, options,
                                 NULL};
