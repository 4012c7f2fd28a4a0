/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal_config.h - names of keys, identities, vaults, PKCS#11 modules and limits.
 *
 * The library reads no file and no environment variable on its own. A program makes a configuration, from files or with
 * calls, and passes it to blobseal_kek_open() in struct blobseal_kek_options. blobseal-config(5) describes the files.
 *
 *   blobseal_config_new() --> blobseal_config_load(), blobseal_config_add_...() --> blobseal_config_check()
 *     --> blobseal_kek_open("key:NAME") ... --> blobseal_config_free()
 *
 * What is loaded or set later replaces what was there, member by member; keys and identities of the same name, and
 * vaults of the same host, are replaced as a whole. A configuration contains no secrets, only paths of files with them.
 *
 * Threads: one thread at a time, until the configuration is passed to a function that opens something. From then on it
 * cannot be changed (E_ARG), and any number of threads may use it. It may be released before what was opened with it.
 */
#ifndef BLOBSEAL_CONFIG_H
#define BLOBSEAL_CONFIG_H

#include <blobseal.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BLOBSEAL_CONFIG_MAX_FILE 262144 /* bytes of a configuration file       */
#define BLOBSEAL_CONFIG_MAX_TEXT 4096   /* bytes of a string                   */
#define BLOBSEAL_CONFIG_MAX_NAME 64     /* bytes of a name                     */
#define BLOBSEAL_CONFIG_MAX_KEKS 256    /* named keys                          */
#define BLOBSEAL_CONFIG_MAX_LIST 64     /* identities, vaults, items of a list */

/* Make a configuration in which nothing is set. Release it with blobseal_config_free(). */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_config_new(struct blobseal_config **config,
                                                                        struct blobseal_error *err);
BLOBSEAL_API void blobseal_config_free(struct blobseal_config *config);

/**
 * blobseal_config_load - add what a file says
 * @path: a JSON file as blobseal-config(5) describes it, of at most BLOBSEAL_CONFIG_MAX_FILE bytes
 *
 * After a failure the configuration is as before.
 * Errors: E_CONFIG, with the file, the line, the member and what was expected; E_INPUT (the file is missing or
 * unreadable); E_POLICY (others than root and the user of this process can write the file); E_ARG (already in use).
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_config_load(struct blobseal_config *config,
                                                                         const char *path, struct blobseal_error *err);

/**
 * blobseal_config_add_kek - give a key reference a name
 * @name: 1 to BLOBSEAL_CONFIG_MAX_NAME letters, digits, '.', '-' and '_', the first a letter or digit; the key can then
 * be opened as "key:NAME"
 * @ref: the reference, which is not itself of the form key:NAME; a file needs an absolute path
 *
 * Errors: E_CONFIG (a value that is not allowed, or too many), E_ARG (already in use). The same holds for the functions
 * that follow.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_config_add_kek(struct blobseal_config *config, const char *name, const char *ref, struct blobseal_error *err);

/* Return the reference that has the name @name, borrowed from @config, or NULL. */
BLOBSEAL_API const char *blobseal_config_kek(const struct blobseal_config *config, const char *name);

/* Allow the references of the configuration to load the PKCS#11 module @path, which is absolute. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_config_add_module(struct blobseal_config *config, const char *path, struct blobseal_error *err);

/* Allow programs that unwrap the keys of container images to use the key @name. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_config_add_oci_key(struct blobseal_config *config, const char *name, struct blobseal_error *err);

/* Return true if programs that unwrap the keys of container images may use the key @name. */
BLOBSEAL_API bool blobseal_config_has_oci_key(const struct blobseal_config *config, const char *name);

/* How a program proves to a vault who it is. */
enum blobseal_identity_type {
    BLOBSEAL_IDENTITY_MANAGED = 1, /* the managed identity of an Azure machine or service                         */
    BLOBSEAL_IDENTITY_WORKLOAD,    /* a federated token in a file, as in Kubernetes                               */
    BLOBSEAL_IDENTITY_SECRET,      /* a client secret in a file                                                   */
    BLOBSEAL_IDENTITY_CERTIFICATE, /* a client certificate and its private key in a file                          */
    BLOBSEAL_IDENTITY_AZURE_CLI,   /* the user who is logged in with az                                           */
    BLOBSEAL_IDENTITY_COMMAND,     /* a command that prints a token                                               */
    BLOBSEAL_IDENTITY_AUTO,        /* the first of environment, workload, managed and az that the machine offers  */
};

/* An identity. Members that do not fit its type must be NULL, and others may be NULL unless it is said. */
struct blobseal_config_identity {
    size_t size;
    const char *name; /* as for blobseal_config_add_kek()                                                        */
    enum blobseal_identity_type type;
    const char *tenant_id;        /* not for MANAGED and COMMAND                                                  */
    const char *client_id;        /* SECRET and CERTIFICATE need it; not for AZURE_CLI and COMMAND                 */
    const char *object_id;        /* MANAGED, AUTO: instead of client_id                                          */
    const char *resource_id;      /* MANAGED, AUTO: instead of client_id                                          */
    const char *endpoint;         /* MANAGED, AUTO: instead of http://169.254.169.254                             */
    const char *authority;        /* WORKLOAD, SECRET, CERTIFICATE, AUTO: instead of that of the vault's cloud     */
    const char *ca_file;          /* the same: trust these certificates for the authority; an absolute path       */
    const char *token_file;       /* WORKLOAD, AUTO: instead of that of the environment; an absolute path         */
    const char *secret_file;      /* SECRET needs it: an absolute path                                            */
    const char *certificate_file; /* CERTIFICATE needs it: the certificate and its key in PEM; an absolute path    */
    const char *const *command;   /* COMMAND needs it: an absolute path and arguments                             */
    size_t num_command;
};

BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_config_add_identity(struct blobseal_config *config, const struct blobseal_config_identity *identity,
                             struct blobseal_error *err);

/* Who wraps for a key in a vault. */
enum blobseal_vault_wrap {
    BLOBSEAL_VAULT_WRAP_LOCAL = 0, /* this library, with the public key: no request for each blob */
    BLOBSEAL_VAULT_WRAP_REMOTE,    /* the vault, which keeps a record of it                       */
};

/* A vault that may be contacted. All but the host may be NULL. */
struct blobseal_config_vault {
    size_t size;
    const char *host;      /* a name or an address, with ":PORT" if that is not 443        */
    const char *ca_file;   /* trust only these certificates for it; an absolute path        */
    const char *resource;  /* for which tokens are requested: https://, no slash at the end */
    const char *authority; /* that issues the tokens: https://, no slash at the end         */
    const char *identity;  /* the name of the identity for it                               */
    enum blobseal_vault_wrap wrap;
};

BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_config_add_vault(struct blobseal_config *config,
                                                                              const struct blobseal_config_vault *vault,
                                                                              struct blobseal_error *err);

/* Whether an operation that cannot be recorded in the audit file fails. */
enum blobseal_audit_policy {
    BLOBSEAL_AUDIT_UNCHANGED = 0,
    BLOBSEAL_AUDIT_REQUIRED, /* it fails; the default if there is an audit file */
    BLOBSEAL_AUDIT_OPTIONAL, /* it does not                                     */
};

/* The hash of RSAES-OAEP for keys in tokens whose options do not name one. */
enum blobseal_config_oaep {
    BLOBSEAL_CONFIG_OAEP_UNCHANGED = 0,
    BLOBSEAL_CONFIG_OAEP_SHA256, /* the default */
    BLOBSEAL_CONFIG_OAEP_SHA1,
};

#define BLOBSEAL_CONFIG_ZERO UINT32_MAX /* for revoke_within_s: 0 seconds */

/* Single values. NULL and 0 leave a value as it is. */
struct blobseal_config_settings {
    size_t size;
    const char *identity;   /* the name of the identity for vaults that name none       */
    const char *sets_dir;   /* the folder with the definitions of sets; an absolute path */
    const char *audit_file; /* an absolute path                                          */
    enum blobseal_audit_policy audit;
    enum blobseal_config_oaep oaep;
    uint32_t poll_interval_s;   /* how often a key without a version is looked up: 60 to 3599 seconds; 3300      */
    uint32_t revoke_within_s;   /* how long a key may be used without asking its owner: 0 to 86,400 seconds; 3600 */
    uint32_t request_timeout_s; /* of one request to a vault (20), or one call of a token (30): 1 to 600 seconds */
    uint32_t deadline_s;        /* of an operation with a vault, with all repetitions: 1 to 3600 seconds; 120    */
    const char *state_dir;      /* the folder in which a process keeps what it has seen of sets; an absolute path */
};

BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_config_set(struct blobseal_config *config,
                                                                        const struct blobseal_config_settings *settings,
                                                                        struct blobseal_error *err);

/*
 * Check that each key, identity and module that something in the configuration refers to is in it. Call it when
 * everything has been loaded. Errors: E_CONFIG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_config_check(const struct blobseal_config *config,
                                                                          struct blobseal_error *err);

/* One value of a configuration. Only the library makes it, so it may grow. It is valid during the call only. */
struct blobseal_config_value {
    const char *member; /* "limits.deadline_s", "keks.team", "vaults[HOST].wrap", "pkcs11.modules[0]" */
    const char *text;   /* the value; numbers in decimal                                               */
    bool is_text;       /* false: the value is a number, true or false                                 */
    const char *file;   /* that it comes from; NULL: it was set by a call, or is a default             */
    size_t line;        /* in that file, from 1                                                        */
    bool is_default;
};

/* Receives a value. Return false to stop. */
typedef bool (*blobseal_config_value_fn)(void *ctx, const struct blobseal_config_value *value);

/* Report each value that is set or has a default, in a fixed order, on the caller's thread. */
BLOBSEAL_API void blobseal_config_list(const struct blobseal_config *config, blobseal_config_value_fn fn, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
