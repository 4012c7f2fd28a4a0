/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal doctor: check whether this machine, this process and a key can be used for sealing. */
#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal doctor [-k KEY]...\n"
    "Check what blobseal depends on: CPU, OpenSSL, limits of the process; test ciphers, digests, key derivation and\n"
    "checksums with known answers; wrap and unwrap random bytes with each KEY.\n\n"
    "  -k, --kek KEY           a PEM file with an RSA key, the PKCS#11 URI of one, https://VAULT/keys/NAME, set:NAME\n"
    "                          or key:NAME, to test; a public one can only wrap; repeatable\n"
    "      --passphrase-file FILE, --passphrase-fd N\n"
    "                          passphrase of the KEY before it; by default a prompt on the terminal asks for it\n"
    "      --oaep HASH         test the KEY before it with sha1 instead of sha256\n"
    "      --config FILE       configuration, in addition to those of the machine and the user\n"
    "      --audit FILE        append a record of each use of a key to FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.doctor/1)\n"
    "  -q, --quiet             print only warnings and failures\n"
    "  -h, --help              this text\n\n"
    "Exit code: 0, also with warnings; 1 if a self-test failed; 2 if OpenSSL's configuration lacks an algorithm;\n"
    "that of the error if a key does not work.\n\n"
    "Example:\n"
    "  blobseal doctor -k kek.pem\n";

struct checkup {
    const struct ui *ui;
    struct json json;
    unsigned failures, warnings;
};

/* Print one finding. */
static void print(void *ctx, const struct blobseal_finding *f)
{
    static const char *const levels[] = {"ok", "warn", "fail"};
    struct checkup *c = ctx;

    c->failures += f->level == BLOBSEAL_LEVEL_FAILURE ? 1 : 0;
    c->warnings += f->level == BLOBSEAL_LEVEL_WARNING ? 1 : 0;
    if (c->ui->json) {
        json_item(&c->json);
        json_text(&c->json, "name", f->name);
        json_text(&c->json, "level", levels[f->level]);
        json_text(&c->json, "value", f->value);
        json_text(&c->json, "hint", f->hint);
        json_item_end(&c->json);
    } else if (!c->ui->quiet || f->level != BLOBSEAL_LEVEL_OK) {
        printf("%-5s %-16s %s\n", levels[f->level], f->name, f->value);
        if (f->hint[0] != '\0')
            printf("%-5s %-16s %s\n", "", "", f->hint);
    }
}

/* Test all keys, even if one fails. Return the first error in @first. */
static bool test_keys(struct checkup *c, const struct keys *keys, struct blobseal_error *first)
{
    bool ok = true;

    for (size_t i = 0; i < keys->num_keks; i++) {
        struct blobseal_error err = {0};

        if (blobseal_diagnose_kek(keys->keks[i], NULL, print, c, &err) == BLOBSEAL_OK)
            continue;
        if (ok)
            *first = err;
        ok = false;
    }
    return ok;
}

static int verdict(const struct checkup *c, bool keys_work, struct blobseal_error *err)
{
    if (!keys_work)
        return report_error_text(c->ui, err);
    if (c->failures == 0)
        return EXIT_OK;
    if (blobseal_selftest(err) == BLOBSEAL_E_CONFIG)
        return report_error_text(c->ui, err);
    (void)fail(err, BLOBSEAL_E_INTERNAL, 0, "%u self-test%s failed", c->failures, c->failures == 1 ? "" : "s");
    blobseal_hint(err, "do not seal on this machine until the cause is known");
    return report_error_text(c->ui, err);
}

static int diagnose(const struct ui *ui, struct keys *keys)
{
    struct checkup c = {.ui = ui};
    struct blobseal_error err = {0}, output_err = {0};
    bool keys_work, printed;

    if (!keys_open(keys, BLOBSEAL_OAEP_SHA256, &err))
        return report_error(ui, &err);
    if (ui->json) {
        json_start(&c.json, "blobseal.doctor/1");
        json_list(&c.json, "findings");
    }
    blobseal_diagnose(print, &c);
    doctor_oci(print, &c);
    keys_work = test_keys(&c, keys, &err);
    if (ui->json) {
        json_list_end(&c.json);
        json_bool(&c.json, "ok", c.failures == 0);
        json_number(&c.json, "warnings", c.warnings);
        printed = json_end(&c.json, &output_err);
    } else {
        printed = stdout_flush(&output_err);
    }
    return printed ? verdict(&c, keys_work, &err) : report_error(ui, &output_err);
}

static const struct option options[] = {KEY_OPTIONS, {"oaep", required_argument, NULL, OPT_OAEP}, COMMON_OPTIONS, {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    struct keys keys = {0};
    int c, code;

    while ((c = next_option(ui, argc, argv)) != -1) {
        code = EXIT_OK;
        if (c == OPT_OAEP && keys.num == 0)
            code = usage_error(ui, "--oaep belongs after the -k of its key");
        else if (c == OPT_OAEP)
            code = oaep_option(ui, optarg, &keys.args[keys.num - 1].oaep);
        else
            (void)keys_option(ui, &keys, c, optarg, &code);
        if (code != EXIT_OK)
            return code;
    }
    if (optind < argc)
        return usage_error(ui, "doctor takes no file: %s", argv[optind]);
    code = diagnose(ui, &keys);
    keys_close(&keys);
    return code;
}

const struct verb verb_doctor = {"doctor", "check whether this machine and keys can be used", usage, run, options,
                                 NULL};
