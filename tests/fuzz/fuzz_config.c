/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: whatever a file contains, it is read in full, or refused with a line that it has. A byte 0xFF,
 * which JSON does not have, separates files that are merged, as those of the machine and the user are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/config.h"

#define FILE_NAME "/file"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

static size_t count_lines(const uint8_t *text, size_t len)
{
    size_t lines = 1;

    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n' ? 1 : 0;
    return lines;
}

/* Check that an error names the file and one of its lines. */
static void check_error(const struct blobseal_error *err, enum blobseal_status st, size_t lines)
{
    static const char start[] = FILE_NAME ", line ";
    char *end;
    unsigned long line;

    require(st == BLOBSEAL_E_CONFIG && err->status == st);
    require(strncmp(err->text, start, strlen(start)) == 0);
    line = strtoul(err->text + strlen(start), &end, 10);
    require(line >= 1 && line <= lines && strncmp(end, ": ", 2) == 0 && end[2] != '\0');
}

static bool check_value(void *ctx, const struct blobseal_config_value *v)
{
    const size_t *most_lines = ctx;

    require(v->member[0] != '\0' && strlen(v->text) <= BLOBSEAL_CONFIG_MAX_TEXT);
    require(v->is_default ? v->file == NULL : v->line >= 1 && v->line <= *most_lines);
    for (const char *p = v->text; *p != '\0'; p++)
        require((unsigned char)*p >= ' ' && *p != 0x7F);
    return true;
}

/* Read a file and merge it. Return false if it is refused. */
static bool load(struct blobseal_config *config, const uint8_t *data, size_t len, size_t *most_lines)
{
    size_t lines = count_lines(data, len);
    uint8_t *text = malloc(len + (len == 0 ? 1 : 0)); /* exact, so that reads beyond it are detected */
    struct blobseal_config *loaded;
    struct blobseal_error err = {0};
    enum blobseal_status st;

    require(text != NULL && blobseal_config_new(&loaded, NULL) == BLOBSEAL_OK);
    memcpy(text, data, len);
    st = bs_config_parse(loaded, FILE_NAME, text, len, &err);
    free(text);
    *most_lines = lines > *most_lines ? lines : *most_lines;
    if (st != BLOBSEAL_OK) {
        check_error(&err, st, lines);
        blobseal_config_free(loaded);
        return false;
    }
    blobseal_config_list(loaded, check_value, most_lines);
    st = bs_config_merge(config, loaded, &err);
    require(st == BLOBSEAL_OK || (st == BLOBSEAL_E_CONFIG && err.text[0] != '\0'));
    return st == BLOBSEAL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct blobseal_config *config;
    struct blobseal_error err = {0};
    size_t most_lines = 0;
    enum blobseal_status st;
    bool more = true;

    if (len > BLOBSEAL_CONFIG_MAX_FILE)
        return 0;
    require(blobseal_config_new(&config, NULL) == BLOBSEAL_OK);
    while (more) {
        const uint8_t *end = memchr(data, 0xFF, len);
        size_t one = end != NULL ? (size_t)(end - data) : len;

        more = load(config, data, one, &most_lines) && end != NULL;
        data += one + (more ? 1 : 0);
        len -= one + (more ? 1 : 0);
    }
    blobseal_config_list(config, check_value, &most_lines);
    st = blobseal_config_check(config, &err);
    require(st == BLOBSEAL_OK || (st == BLOBSEAL_E_CONFIG && err.text[0] != '\0'));
    blobseal_config_free(config);
    return 0;
}
