/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a configuration file. Everything that is not expected is an error with the line and the member. The
 * JSON reader changes the text, so lines are counted in a copy of it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/config.h"

struct reading {
    struct blobseal_config *config;
    struct bs_json j;
    const char *path; /* in the memory of the configuration */
    const uint8_t *text;
    uint8_t *original;
    size_t len;
    size_t counted, line; /* line at the offset `counted` */
    unsigned groups;      /* bits of the groups that were read */
    struct blobseal_error *err;
    enum blobseal_status status;
};

/* A member whose name has been read, and whose value comes next. */
struct member {
    char path[2 * BLOBSEAL_CONFIG_MAX_NAME + 32]; /* "limits.deadline_s", for messages */
    const char *name;                             /* in the text */
    size_t line;
};

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* Return the line of a place in the text. */
static size_t line_of(struct reading *r, const uint8_t *at)
{
    size_t offset = (size_t)(at - r->text);

    if (offset < r->counted) {
        r->counted = 0;
        r->line = 1;
    }
    for (; r->counted < offset && r->counted < r->len; r->counted++)
        r->line += r->original[r->counted] == '\n' ? 1 : 0;
    return r->line;
}

/* Report an error in a line, unless one was reported before. Return false. */
__attribute__((format(printf, 3, 4))) static bool fail_at(struct reading *r, size_t line, const char *format, ...)
{
    const struct bs_config_origin from = {r->path, line};
    char place[160], what[200];
    va_list ap;

    if (r->status != BLOBSEAL_OK)
        return false;
    va_start(ap, format);
    if (vsnprintf(what, sizeof what, format, ap) < 0)
        what[0] = '\0';
    va_end(ap);
    r->status = blobseal_fail(r->err, BLOBSEAL_E_CONFIG, 0, "%s: %s", bs_config_place(place, &from), what);
    return false;
}

static bool no_memory(struct reading *r)
{
    if (r->status == BLOBSEAL_OK)
        r->status = blobseal_fail(r->err, BLOBSEAL_E_NOMEM, 0, "read the configuration %.200s: no memory", r->path);
    return false;
}

/* Return the byte that comes next, after white space; 0 at the end. */
static uint8_t peek(struct reading *r)
{
    while (r->j.p < r->j.end && (*r->j.p == ' ' || *r->j.p == '\t' || *r->j.p == '\n' || *r->j.p == '\r'))
        r->j.p++;
    return r->j.p < r->j.end ? *r->j.p : 0;
}

/* Report that the text is not JSON, where the reader stopped. */
static bool malformed(struct reading *r)
{
    uint8_t c = r->j.p < r->j.end ? *r->j.p : 0;
    size_t line = line_of(r, r->j.p);

    if (r->status != BLOBSEAL_OK)
        return false;
    if (r->j.p == r->j.end)
        (void)fail_at(r, line, "the file ends in the middle of an object or a list");
    else if (c == '\n')
        (void)fail_at(r, line, "a string does not end in the line in which it starts");
    else if (c > ' ' && c < 0x7F)
        (void)fail_at(r, line, "this is not valid JSON at the character %c", c);
    else
        (void)fail_at(r, line, "this is not valid JSON");
    if (c == '/' || c == '#')
        blobseal_hint(r->err, "JSON has no comments");
    else if (c == '}' || c == ']')
        blobseal_hint(r->err, "there is no comma before %c", c);
    else if (c == '"')
        blobseal_hint(r->err, "there may be a comma missing before it");
    return false;
}

/* Count what it takes to change one word to the other: letters that are added, left out or replaced. */
static size_t distance(const char *a, const char *b)
{
    size_t row[33], len = strlen(b);

    if (len > 32 || strlen(a) > 32)
        return 33;
    for (size_t i = 0; i <= len; i++)
        row[i] = i;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t before = row[0]++;

        for (size_t n = 0; n < len; n++) {
            size_t changed = before + (a[i] != b[n] ? 1 : 0);

            before = row[n + 1];
            row[n + 1] = before < row[n] ? before + 1 : row[n] + 1;
            row[n + 1] = changed < row[n + 1] ? changed : row[n + 1];
        }
    }
    return row[len];
}

struct guess {
    const char *typed, *best;
    size_t distance;
};

static void try_name(struct guess *g, const char *name)
{
    size_t d = distance(g->typed, name);

    if (d < g->distance && d <= 3 && d < strlen(name)) {
        g->best = name;
        g->distance = d;
    }
}

/* Report a member that is not known. */
static bool unknown(struct reading *r, const struct member *m, const struct guess *g)
{
    const char *instead = bs_config_instead_of(m->name);

    if (instead != NULL)
        (void)fail_at(r, m->line, "the member \"%.80s\" would be a secret, and secrets are kept in files", m->path);
    else
        (void)fail_at(r, m->line, "there is no member \"%.80s\"", m->path);
    if (instead != NULL)
        blobseal_hint(r->err, "%s", instead);
    else if (g->best != NULL)
        blobseal_hint(r->err, "did you mean \"%s\"?", g->best);
    return false;
}

static bool twice(struct reading *r, const struct member *m)
{
    return fail_at(r, m->line, "the member \"%.80s\" appears twice", m->path);
}

static bool bad(struct reading *r, size_t line, const char *path, const struct bs_config_rule *rule)
{
    return fail_at(r, line, "%.80s %s", path, rule->expected);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* Read the name of the next member of an object that is named @prefix ("limits."). Return false after the last. */
static bool next_member(struct reading *r, const char *prefix, struct member *m)
{
    struct bs_slice name;

    if (r->status != BLOBSEAL_OK || !bs_json_member(&r->j, &name))
        return r->j.ok ? false : malformed(r);
    m->name = (const char *)name.p;
    m->line = line_of(r, name.p);
    (void)snprintf(m->path, sizeof m->path, "%s%.*s", prefix, BLOBSEAL_CONFIG_MAX_NAME, m->name);
    blobseal_make_printable(m->path);
    return strlen(m->name) == name.len || fail_at(r, m->line, "a name has a zero byte in it");
}

static bool enter_object(struct reading *r, const struct member *m)
{
    if (peek(r) != '{')
        return fail_at(r, m->line, "%.80s must be an object, { ... }", m->path);
    return bs_json_object(&r->j) || malformed(r);
}

/* Read a string that @rule allows. Its line is in *@line. */
static const char *read_text(struct reading *r, const char *path, const struct bs_config_rule *rule, size_t *line)
{
    struct bs_slice s;
    const char *copy;
    bool is_text = peek(r) == '"';

    *line = line_of(r, r->j.p);
    if (is_text && !bs_json_string(&r->j, &s)) {
        (void)malformed(r);
        return NULL;
    }
    if (!is_text || strlen((const char *)s.p) != s.len ||
        (rule->accepts != NULL && !bs_config_accepts(rule, (const char *)s.p))) {
        (void)bad(r, *line, path, rule);
        return NULL;
    }
    copy = bs_config_copy(r->config, (const char *)s.p);
    if (copy == NULL)
        (void)no_memory(r);
    return copy;
}

/* Read a list of strings. Unless it is a command, none may appear twice. */
static bool read_list(struct reading *r, const struct member *m, const struct bs_config_rule *rule,
                      struct bs_config_value *v)
{
    bool is_set = rule->offset == 0;

    if (peek(r) != '[')
        return bad(r, m->line, m->path, rule);
    v->items = bs_config_alloc(r->config, BLOBSEAL_CONFIG_MAX_LIST * sizeof *v->items);
    v->lines = bs_config_alloc(r->config, BLOBSEAL_CONFIG_MAX_LIST * sizeof *v->lines);
    if (v->items == NULL || v->lines == NULL)
        return no_memory(r);
    (void)bs_json_array(&r->j);
    while (bs_json_element(&r->j)) {
        size_t line;
        const char *item = read_text(r, m->path, rule, &line);

        if (item == NULL)
            return false;
        for (size_t i = 0; i < v->num && is_set; i++)
            if (strcmp(v->items[i], item) == 0)
                return fail_at(r, line, "%.80s has \"%.60s\" twice", m->path, item);
        if (v->num == BLOBSEAL_CONFIG_MAX_LIST)
            return fail_at(r, line, "%.80s has more than %d items", m->path, BLOBSEAL_CONFIG_MAX_LIST);
        v->lines[v->num] = line;
        v->items[v->num++] = item;
    }
    return r->j.ok || malformed(r);
}

static bool read_number(struct reading *r, const struct member *m, const struct bs_config_rule *rule, uint64_t *number)
{
    uint8_t c = peek(r);

    if (c < '0' || c > '9' || !bs_json_uint(&r->j, number))
        return bad(r, m->line, m->path, rule);
    c = peek(r);
    if (c != ',' && c != '}')
        return bad(r, m->line, m->path, rule);
    return (*number >= rule->min && *number <= rule->max) || bad(r, m->line, m->path, rule);
}

static bool read_flag(struct reading *r, const struct member *m, const struct bs_config_rule *rule, uint64_t *number)
{
    const char *word = peek(r) == 't' ? "true" : "false";
    size_t len = strlen(word);

    if ((size_t)(r->j.end - r->j.p) < len || memcmp(r->j.p, word, len) != 0)
        return bad(r, m->line, m->path, rule);
    r->j.p += len;
    *number = word[0] == 't' ? 1 : 0;
    return true;
}

static bool read_value(struct reading *r, const struct member *m, const struct bs_config_rule *rule,
                       struct bs_config_value *v)
{
    size_t line;

    *v = (struct bs_config_value){.from = {r->path, m->line}};
    switch (rule->kind) {
    case BS_CONFIG_IS_NUMBER:
        v->set = read_number(r, m, rule, &v->number);
        break;
    case BS_CONFIG_IS_FLAG:
        v->set = read_flag(r, m, rule, &v->number);
        break;
    case BS_CONFIG_IS_LIST:
        v->set = read_list(r, m, rule, v);
        break;
    default:
        v->text = read_text(r, m->path, rule, &line);
        v->set = v->text != NULL;
        if (v->set && rule->kind == BS_CONFIG_IS_CHOICE && !bs_config_choice(rule, v->text, &v->number))
            return bad(r, m->line, m->path, rule);
    }
    return v->set;
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

/* Store a value in a member of a public struct. */
static void store(void *entry, const struct bs_config_rule *rule, const struct bs_config_value *v)
{
    uint8_t *at = (uint8_t *)entry + rule->offset;
    unsigned choice = (unsigned)v->number;

    if (rule->kind == BS_CONFIG_IS_TEXT)
        memcpy(at, &v->text, sizeof v->text);
    else if (rule->kind == BS_CONFIG_IS_CHOICE)
        memcpy(at, &choice, sizeof choice);
    else if (rule->kind == BS_CONFIG_IS_LIST)
        memcpy(at, &v->items, sizeof v->items);
}

/* An identity or a vault, and where to note what was read. */
struct entry {
    const struct bs_config_rule *rules;
    size_t num_rules;
    void *at;          /* the public struct */
    size_t *lines;     /* BS_CONFIG_MAX_MEMBERS of them */
    size_t *num_items; /* of its list       */
};

/* Read the members of an entry whose object has been entered. */
static bool read_entry(struct reading *r, const char *prefix, const struct entry *e)
{
    const struct bs_config_rule *rules = e->rules;
    struct bs_config_value v;
    struct member m = {.name = ""};

    while (next_member(r, prefix, &m)) {
        struct guess g = {.typed = m.name, .distance = SIZE_MAX};
        size_t i = 0;

        for (; i < e->num_rules && strcmp(rules[i].name, m.name) != 0; i++)
            try_name(&g, rules[i].name);
        if (i == e->num_rules)
            return unknown(r, &m, &g);
        if (e->lines[i] != 0)
            return twice(r, &m);
        if (!read_value(r, &m, &rules[i], &v))
            return false;
        store(e->at, &rules[i], &v);
        e->lines[i] = m.line;
        if (rules[i].kind == BS_CONFIG_IS_LIST)
            *e->num_items = v.num;
    }
    return r->status == BLOBSEAL_OK;
}

static bool read_keks(struct reading *r, const struct member *group)
{
    struct member m = {.name = ""};

    if (!enter_object(r, group))
        return false;
    while (next_member(r, "keks.", &m)) {
        struct bs_config_kek kek = {.from = {r->path, m.line}};
        size_t line;

        if (!bs_config_accepts(&bs_config_name_rule, m.name))
            return fail_at(r, m.line, "the name \"%.80s\" %s", m.path + 5, bs_config_name_rule.expected);
        if (bs_config_kek(r->config, m.name) != NULL)
            return twice(r, &m);
        kek.name = bs_config_copy(r->config, m.name);
        kek.ref = kek.name != NULL ? read_text(r, m.path, &bs_config_ref_rule, &line) : NULL;
        if (kek.ref == NULL)
            return no_memory(r); /* or an error that has been reported */
        if (strstr(kek.ref, "pin-value") != NULL) {
            (void)fail_at(r, m.line, "%.80s has a pin-value, and secrets are kept in files", m.path);
            blobseal_hint(r->err, "write pin-source=file:PATH in the URI of the key");
            return false;
        }
        r->status = bs_config_put_kek(r->config, &kek, r->err);
    }
    return r->status == BLOBSEAL_OK;
}

static bool read_identities(struct reading *r, const struct member *group)
{
    struct member m = {.name = ""};

    if (!enter_object(r, group))
        return false;
    while (next_member(r, "identities.", &m)) {
        struct bs_config_identity i = {.is.size = sizeof i.is, .from = {r->path, m.line}};
        char prefix[sizeof m.path];
        const struct bs_config_rule *rule;
        const char *fault;

        if (!bs_config_accepts(&bs_config_name_rule, m.name))
            return fail_at(r, m.line, "the name \"%.80s\" %s", m.path + 11, bs_config_name_rule.expected);
        if (bs_config_identity(r->config, m.name) != NULL)
            return twice(r, &m);
        i.is.name = bs_config_copy(r->config, m.name);
        if (i.is.name == NULL)
            return no_memory(r);
        (void)snprintf(prefix, sizeof prefix, "identities.%s.", i.is.name);
        if (!enter_object(r, &m) || !read_entry(r, prefix,
                                                &(struct entry){bs_config_identity_rules, BS_CONFIG_NUM_IDENTITY_RULES,
                                                                &i.is, i.lines, &i.is.num_command}))
            return false;
        fault = bs_config_identity_fault(&i.is, &rule);
        if (fault != NULL && rule != NULL)
            return fail_at(r, i.lines[rule - bs_config_identity_rules], "%.80s%s %s", prefix, rule->name, fault);
        if (fault != NULL)
            return fail_at(r, m.line, "%.80s %s", m.path, fault);
        r->status = bs_config_put_identity(r->config, &i, r->err);
    }
    return r->status == BLOBSEAL_OK;
}

static bool read_vaults(struct reading *r, const struct member *group)
{
    size_t none = 0;

    if (peek(r) != '[')
        return fail_at(r, group->line, "vaults must be a list of objects, [ { ... } ]");
    (void)bs_json_array(&r->j);
    while (r->status == BLOBSEAL_OK && bs_json_element(&r->j)) {
        struct bs_config_vault v = {.is.size = sizeof v.is};
        struct member m = {.path = "a vault"};

        (void)peek(r);
        m.line = line_of(r, r->j.p);
        v.from = (struct bs_config_origin){r->path, m.line};
        if (!enter_object(r, &m) ||
            !read_entry(r, "vaults.",
                        &(struct entry){bs_config_vault_rules, BS_CONFIG_NUM_VAULT_RULES, &v.is, v.lines, &none}))
            return false;
        if (v.is.host == NULL)
            return fail_at(r, m.line, "a vault needs a \"host\"");
        if (bs_config_vault(r->config, v.is.host) != NULL)
            return fail_at(r, m.line, "the vault \"%.80s\" appears twice", v.is.host);
        r->status = bs_config_put_vault(r->config, &v, r->err);
    }
    return r->j.ok ? r->status == BLOBSEAL_OK : malformed(r);
}

/* ---- Members ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool (*read)(struct reading *r, const struct member *group); /* NULL: an object of settings */
} groups[] = {
    {"keks", read_keks}, {"identities", read_identities}, {"vaults", read_vaults}, {"pkcs11", NULL}, {"limits", NULL},
    {"oci", NULL},
};

static bool read_group(struct reading *r, const struct member *m, size_t group);

/* Return the name of a setting inside the object @prefix, or NULL if it is elsewhere. */
static const char *name_inside(const char *prefix, const char *setting)
{
    size_t len = strlen(prefix);

    return strncmp(setting, prefix, len) == 0 && strchr(setting + len, '.') == NULL ? setting + len : NULL;
}

/* Read one member of the object @prefix, which is "" or "limits.", for example. */
static bool read_member(struct reading *r, const char *prefix, const struct member *m)
{
    struct guess g = {.typed = m->name, .distance = SIZE_MAX};

    for (size_t i = 0; i < BS_CONFIG_NUM_SETTINGS; i++) {
        const char *name = name_inside(prefix, bs_config_settings[i].name);

        if (name == NULL)
            continue;
        if (strcmp(name, m->name) == 0)
            return r->config->settings[i].set ? twice(r, m)
                                              : read_value(r, m, &bs_config_settings[i], &r->config->settings[i]);
        try_name(&g, name);
    }
    for (size_t i = 0; prefix[0] == '\0' && i < BS_COUNT(groups); i++) {
        if (strcmp(groups[i].name, m->name) == 0)
            return read_group(r, m, i);
        try_name(&g, groups[i].name);
    }
    return unknown(r, m, &g);
}

static bool read_members(struct reading *r, const char *prefix)
{
    struct member m = {.name = ""};

    while (next_member(r, prefix, &m))
        if (!read_member(r, prefix, &m))
            return false;
    return r->status == BLOBSEAL_OK;
}

static bool read_group(struct reading *r, const struct member *m, size_t group)
{
    char prefix[16];

    if ((r->groups & 1u << group) != 0)
        return twice(r, m);
    r->groups |= 1u << group;
    if (groups[group].read != NULL)
        return groups[group].read(r, m);
    (void)snprintf(prefix, sizeof prefix, "%s.", groups[group].name);
    return enter_object(r, m) && read_members(r, prefix);
}

enum blobseal_status bs_config_parse(struct blobseal_config *config, const char *path, uint8_t *text, size_t len,
                                     struct blobseal_error *err)
{
    struct reading r = {.config = config, .text = text, .len = len, .line = 1, .err = err};

    r.j = bs_json_start(text, len);
    r.path = bs_config_copy(config, path);
    r.original = malloc(len + 1);
    if (r.path == NULL || r.original == NULL) {
        free(r.original);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the configuration %.200s: no memory", path);
    }
    memcpy(r.original, text, len);
    if (peek(&r) != '{')
        (void)fail_at(&r, line_of(&r, r.j.p), "a configuration is a JSON object, { ... }");
    else if (bs_json_object(&r.j) && read_members(&r, "") && !bs_json_end(&r.j))
        (void)fail_at(&r, line_of(&r, r.j.p), "there is something after the end of the object");
    free(r.original);
    return r.status;
}
