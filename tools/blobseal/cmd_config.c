/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal config: show the configuration, and where each value comes from. */
#include <string.h>

#include "tools/blobseal/verbs.h"

static const char usage[] =
    "blobseal config show\n"
    "Show the configuration: the files that it was read from, each value, and the file and line that it comes from.\n\n"
    "      --config FILE       read this file, too; it wins over those of the machine and the user\n"
    "      --audit FILE        let FILE be the audit file\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report as JSON (blobseal.config/1)\n"
    "  -q, --quiet             leave out the files, and values that are defaults\n"
    "  -h, --help              this text\n\n"
    "The files, of which later ones win: /etc/blobseal/config.json, blobseal/config.json in $XDG_CONFIG_HOME or in\n"
    "~/.config, and the file that --config or the environment variable BLOBSEAL_CONFIG names.\n\n"
    "Example:\n"
    "  blobseal config show --config new.json\n";

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static bool print_value(void *ctx, const struct blobseal_config_value *v)
{
    const struct ui *ui = ctx;
    char member[512], text[1024], file[512];

    bool is_default = v->is_default || v->file == NULL; /* the program has defaults of its own */

    if (ui->quiet && is_default)
        return true;
    printf("%s = %s%s%s", printable(member, sizeof member, v->member), v->is_text ? "\"" : "",
           printable(text, sizeof text, v->text), v->is_text ? "\"" : "");
    if (is_default)
        puts("  (default)");
    else
        printf("  (%s:%zu)\n", printable(file, sizeof file, v->file), v->line);
    return true;
}

static void print_files(void)
{
    size_t num;
    const struct config_file *files = config_files(&num);
    char name[512];

    for (size_t i = 0; i < num; i++)
        printf("# %s%s\n", printable(name, sizeof name, files[i].path), files[i].was_read ? "" : ": not there");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static bool put_value(void *ctx, const struct blobseal_config_value *v)
{
    struct json *j = ctx;
    unsigned long number;

    json_item(j);
    json_text(j, "member", v->member);
    if (v->is_text)
        json_text(j, "value", v->text);
    else if (parse_number(v->text, 0, UINT32_MAX, &number))
        json_number(j, "value", number);
    else
        json_bool(j, "value", strcmp(v->text, "true") == 0);
    json_text(j, "file", v->file);
    json_number(j, "line", v->file != NULL ? v->line : BLOBSEAL_SIZE_UNKNOWN);
    json_bool(j, "default", v->is_default || v->file == NULL);
    json_item_end(j);
    return true;
}

static bool print_json(const struct blobseal_config *config, struct blobseal_error *err)
{
    size_t num;
    const struct config_file *files = config_files(&num);
    struct json j;

    json_start(&j, "blobseal.config/1");
    json_list(&j, "files");
    for (size_t i = 0; i < num; i++) {
        json_item(&j);
        json_text(&j, "file", files[i].path);
        json_bool(&j, "read", files[i].was_read);
        json_item_end(&j);
    }
    json_list_end(&j);
    json_list(&j, "values");
    blobseal_config_list(config, put_value, &j);
    json_list_end(&j);
    return json_end(&j, err);
}

/* ---- The verb ---------------------------------------------------------------------------------------------------- */

static int show(struct ui *ui)
{
    const struct blobseal_config *config;
    struct blobseal_error err = {0};

    if (!config_get(&config, &err))
        return report_error(ui, &err);
    if (ui->json)
        return print_json(config, &err) ? EXIT_OK : report_error(ui, &err);
    if (!ui->quiet)
        print_files();
    blobseal_config_list(config, print_value, ui);
    return stdout_finish(ui);
}

static const struct option options[] = {CONFIG_OPTIONS, COMMON_OPTIONS, {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    while (next_option(ui, argc, argv) != -1)
        continue;
    if (optind == argc)
        return usage_error(ui, "config is followed by show");
    if (strcmp(argv[optind], "show") != 0)
        return unknown_word(ui, "config is followed by show, not", argv[optind], NULL);
    if (optind + 1 < argc)
        return usage_error(ui, "config show takes no file: %s", argv[optind + 1]);
    return show(ui);
}

const struct verb verb_config = {"config", "show the configuration", usage, run, options, "show"};
