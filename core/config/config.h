/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: names of keys, identities, vaults, modules and limits, from JSON files or from calls.
 *
 *   config.c   the object: references, memory, storing and replacing   rules.c   what each member may be
 *   lookup.c   what other modules ask                                  build.c   adding by calls
 *   file.c     reading a file that others must not write               parse.c   the members of a file
 *   list.c     reporting all values, and checking names   audit.c   the record of what keys were used for
 *
 * All functions that look something up accept a configuration that is NULL: then nothing is set.
 */
#ifndef BLOBSEAL_CORE_CONFIG_H
#define BLOBSEAL_CORE_CONFIG_H

#include <stdatomic.h>

#include "blobseal_audit.h"
#include "blobseal_config.h"
#include "core/base/base.h"

/* Where a value comes from. */
struct bs_config_origin {
    const char *file; /* NULL: a call, or the default */
    size_t line;
};

/* ---- For other modules: lookup.c --------------------------------------------------------------------------------- */

/* The single values and lists. */
enum bs_config_setting {
    BS_CONFIG_IDENTITY,
    BS_CONFIG_MODULES,
    BS_CONFIG_OAEP, /* a number: enum blobseal_oaep */
    BS_CONFIG_OCI_KEYS,
    BS_CONFIG_SETS_DIR,
    BS_CONFIG_STATE_DIR,
    BS_CONFIG_AUDIT_FILE,
    BS_CONFIG_AUDIT_REQUIRED, /* a number: 0 or 1 */
    BS_CONFIG_POLL_INTERVAL,
    BS_CONFIG_REVOKE_WITHIN,
    BS_CONFIG_REQUEST_TIMEOUT,
    BS_CONFIG_DEADLINE,
    BS_CONFIG_NUM_SETTINGS,
};

/* The name of a key: from.file and from.line say who defined it. */
struct bs_config_kek {
    const char *name, *ref;
    struct bs_config_origin from;
};

#define BS_CONFIG_MAX_MEMBERS 12 /* of an identity or a vault */

struct bs_config_identity {
    struct blobseal_config_identity is;
    struct bs_config_origin from;
    size_t lines[BS_CONFIG_MAX_MEMBERS]; /* of the members that the rules list; 0: not set */
};

struct bs_config_vault {
    struct blobseal_config_vault is; /* compare the host with strcasecmp() */
    struct bs_config_origin from;
    size_t lines[BS_CONFIG_MAX_MEMBERS];
};

/* Take another reference, so that the configuration stays valid, and forbid further changes. NULL is allowed. */
const struct blobseal_config *bs_config_ref(const struct blobseal_config *config);
void bs_config_unref(const struct blobseal_config *config);

/* Forbid further changes, because the configuration is being used. NULL is allowed. */
void bs_config_use(const struct blobseal_config *config);

/* Return the value, or its default: NULL if there is none. */
const char *bs_config_text(const struct blobseal_config *config, enum bs_config_setting setting);
uint64_t bs_config_number(const struct blobseal_config *config, enum bs_config_setting setting);
bool bs_config_is_set(const struct blobseal_config *config, enum bs_config_setting setting);

/* Return true if a list contains @text. */
bool bs_config_list_has(const struct blobseal_config *config, enum bs_config_setting setting, const char *text);

/* Return the entry, or NULL. The host is a name and a port as in struct blobseal_config_vault, in any case. */
const struct bs_config_kek *bs_config_kek(const struct blobseal_config *config, const char *name);
const struct bs_config_identity *bs_config_identity(const struct blobseal_config *config, const char *name);
const struct bs_config_vault *bs_config_vault(const struct blobseal_config *config, const char *host);

/*
 * Write "FILE, line 12" for a value from a file, otherwise "the configuration", for messages. Return @buf.
 */
const char *bs_config_place(char buf[160], const struct bs_config_origin *from);

/*
 * Write the name of the file with the list of PKCS#11 modules, or if there is no list, of the file with what @from
 * says, or "the configuration". This is for `listed_in` of struct blobseal_kek_options. Return @buf.
 */
const char *bs_config_modules_file(char buf[160], const struct blobseal_config *config,
                                   const struct bs_config_origin *from);

/* ---- For other modules: audit.c ---------------------------------------------------------------------------------- */

/* Return true if events are recorded. */
bool bs_audit_is_on(const struct blobseal_config *config);

/* Record an event whose members are printable. Errors: E_OUTPUT, those of the callback; none if records are optional.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_audit(const struct blobseal_config *config,
                                                const struct blobseal_audit_event *event, struct blobseal_error *err);

/* ---- Inside this module: the object ------------------------------------------------------------------------------ */

/* A setting. The strings are in the memory of the configuration. */
struct bs_config_value {
    bool set;
    const char *text;
    uint64_t number;
    const char **items; /* of a list: room for BLOBSEAL_CONFIG_MAX_LIST */
    size_t *lines;      /* of the items */
    size_t num;
    struct bs_config_origin from;
};

struct bs_config_block {
    struct bs_config_block *next;
    max_align_t data[];
};

/* What changes while others may be using the configuration. */
struct bs_config_shared {
    _Atomic unsigned references;
    _Atomic bool in_use; /* no changes any more */
};

/* The callback for audit events; NULL: none. */
struct bs_config_audit {
    blobseal_audit_fn fn;
    void *ctx;
};

struct blobseal_config {
    struct bs_config_shared *shared;
    struct bs_config_audit audit;
    struct bs_config_block *blocks;
    struct bs_config_value settings[BS_CONFIG_NUM_SETTINGS];
    size_t num_keks, num_identities, num_vaults;
    struct bs_config_kek keks[BLOBSEAL_CONFIG_MAX_KEKS];
    struct bs_config_identity identities[BLOBSEAL_CONFIG_MAX_LIST];
    struct bs_config_vault vaults[BLOBSEAL_CONFIG_MAX_LIST];
};

/* Allocate zeroed memory that lives as long as the configuration, or copy a string there. NULL: no memory. */
void *bs_config_alloc(struct blobseal_config *config, size_t len);
const char *bs_config_copy(struct blobseal_config *config, const char *text);

/* Check that the configuration may be changed. Errors: E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_config_may_change(const struct blobseal_config *config,
                                                            struct blobseal_error *err);

/*
 * Store an entry whose values have been checked and whose strings are in the memory of the configuration, or replace
 * that of the same name or host. Errors: E_CONFIG (there are too many).
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_config_put_kek(struct blobseal_config *config,
                                                         const struct bs_config_kek *kek, struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status bs_config_put_identity(struct blobseal_config *config,
                                                              const struct bs_config_identity *identity,
                                                              struct blobseal_error *err);
BLOBSEAL_MUST_USE enum blobseal_status
bs_config_put_vault(struct blobseal_config *config, const struct bs_config_vault *vault, struct blobseal_error *err);

/* Add an item to a list. Errors: E_CONFIG (too many, or it is there already), E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_config_put_item(struct blobseal_config *config,
                                                          enum bs_config_setting setting, const char *item,
                                                          const struct bs_config_origin *from,
                                                          struct blobseal_error *err);

/*
 * Move everything that is set in @from to @config, where it replaces what was there, and release @from. If that fails,
 * @config is as before. Errors: E_CONFIG (too many entries).
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_config_merge(struct blobseal_config *config, struct blobseal_config *from,
                                                       struct blobseal_error *err);

/* ---- rules.c ----------------------------------------------------------------------------------------------------- */

enum bs_config_kind {
    BS_CONFIG_IS_TEXT,
    BS_CONFIG_IS_CHOICE,
    BS_CONFIG_IS_NUMBER,
    BS_CONFIG_IS_FLAG,
    BS_CONFIG_IS_LIST
};

/* What a member may be. */
struct bs_config_rule {
    const char *name; /* "limits.deadline_s", or of a member of an entry: "client_id" */
    enum bs_config_kind kind;
    unsigned types;                    /* identities: bit 1 << TYPE is set for those that may have it */
    const char *expected;              /* "must be ..."                                         */
    bool (*accepts)(const char *text); /* texts, and the items of lists                         */
    const char *const *choices;        /* the words, in the order of their numbers; NULL after the last */
    uint64_t first;                    /* the number of the first word                          */
    uint64_t min, max;                 /* numbers                                               */
    uint64_t number;                   /* the default of a number, a choice or a flag           */
    const char *text;                  /* the default of a text                                 */
    size_t offset;                     /* entries: of the member in the public struct           */
};

extern const struct bs_config_rule bs_config_settings[BS_CONFIG_NUM_SETTINGS];

#define BS_CONFIG_NUM_IDENTITY_RULES 12
#define BS_CONFIG_NUM_VAULT_RULES    6 /* the first is the host */
extern const struct bs_config_rule bs_config_identity_rules[BS_CONFIG_NUM_IDENTITY_RULES];
extern const struct bs_config_rule bs_config_vault_rules[BS_CONFIG_NUM_VAULT_RULES];
extern const struct bs_config_rule bs_config_name_rule, bs_config_ref_rule;

/* Return true if a text, or an item of a list, is allowed. */
bool bs_config_accepts(const struct bs_config_rule *rule, const char *text);

/* Find the number of a word. Return false if it is not one of the choices. */
bool bs_config_choice(const struct bs_config_rule *rule, const char *word, uint64_t *number);

/* Return which member an identity lacks, or may not have, as the end of a sentence; NULL: none. *@member is the rule
 * that it concerns, or NULL. */
const char *bs_config_identity_fault(const struct blobseal_config_identity *identity,
                                     const struct bs_config_rule **member);

/* Return the path, or whatever the text is, of a member in the public struct. */
const char *bs_config_member_text(const void *entry, const struct bs_config_rule *rule);

/* Return the member to use instead of @member, if that would hold a secret, otherwise NULL. */
const char *bs_config_instead_of(const char *member);

/* ---- file.c and parse.c ------------------------------------------------------------------------------------------ */

/*
 * Read a file of at most BLOBSEAL_CONFIG_MAX_FILE bytes. Release *@text with free(). Errors: E_CONFIG (too long, or not
 * a file), E_INPUT, E_POLICY (others can write it), E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_config_read(uint8_t **text, size_t *len, const char *path,
                                                      struct blobseal_error *err);

/* Store the members of @text in @config, which is empty. @text is changed. Errors: E_CONFIG, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_config_parse(struct blobseal_config *config, const char *path, uint8_t *text,
                                                       size_t len, struct blobseal_error *err);

#endif
