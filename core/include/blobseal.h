/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal - seal artifact blobs with keys that their owner holds.
 *
 * A blob is encrypted with a fresh data encryption key (DEK). The DEK travels with the blob in an envelope, wrapped for
 * one or more key encryption keys (KEKs). core/FORMAT.md specifies the bytes; section numbers below refer to it.
 *
 * These rules hold for every function:
 *
 * Errors. Functions that can fail return enum blobseal_status and take a struct blobseal_error as their last parameter,
 * which may be NULL. "Errors: E_ARG" below means BLOBSEAL_E_ARG; E_ARG, E_NOMEM and E_INTERNAL are always possible.
 * After a failure the error is filled in, and output parameters are defined: pointers are NULL, buffers and structs are
 * zero. After success the content of the error has no meaning.
 *
 * Pointers. An argument may be NULL only where this is said. What is passed to a function must stay valid until it
 * returns, and longer only where this is said: strings, options and lists are copied, except for names of sources and
 * sinks, which stay valid as long as those. What a function allocates is released as its description says. "Borrowed
 * from @x" means: valid until @x is released, and not released itself.
 *
 * Threads. Different objects may be used by different threads at once. One object may be used by one thread at a time,
 * unless its description says more. Callbacks run on the caller's thread and on threads that the call has started.
 * Functions that start threads say so. These threads take no signals and have ended when the call returns.
 * Only a key in a PKCS#11 token keeps the threads in which its module runs, until the key is closed. libcurl resolves
 * the name of a vault in a thread, which may outlive the call if the name service does not answer.
 *
 * Stack. A thread that calls the library needs 64 KiB of stack. Threads that a call starts have 256 KiB, most of which
 * is left for callbacks.
 *
 * Process. There is no initialisation function. The only global state is the memory for secrets and the default
 * context: wiped pages and buffers that are kept for later calls, and counters. dlclose() releases them. PKCS#11
 * modules are shared by the keys that use them, and are released with the last one. PINs that a token has refused are
 * remembered as digests, so that none is tried twice. The library installs no signal handlers, never exits, and writes
 * nothing to stdout or stderr.
 *
 * Structs. Options and results start with `size`, which the caller sets to sizeof. A newer library accepts an older
 * struct, and an older library accepts a newer one if the members that it does not know are zero. Otherwise, and if the
 * size is missing: E_ARG. Members named `reserved` must be zero, otherwise: E_ARG; a later version may give them a
 * meaning in which zero is what this version does. Structs that only the library makes have no size and may grow.
 *
 * Enumerations may grow. Treat an unknown value as follows: a status as a failure, an advice as none, and in any other
 * enumeration as something that this program does not know how to show.
 *
 * Callbacks. A callback may return a status of its own, from BLOBSEAL_STATUS_CALLBACK on, which the function that was
 * called returns unchanged. Of the library's statuses it may return only those that its description lists. Any other
 * status, and a callback that reports more bytes than it was asked for: E_INTERNAL. A callback that fails may fill in
 * its @err, for example with blobseal_fail(); if it does not, the library writes a general message.
 *
 * Fork. After fork() the child makes objects of its own, and has a default context of its own. Using a reader, writer
 * or context of the parent fails with E_ARG; releasing it is allowed but not needed. A KEK of the parent can be used if
 * its provider supports that, as the built-in ones do, and so can a set and a configuration. Data keys and all memory
 * from blobseal_secret_alloc() are zero in the child, because the kernel empties these pages. This does not apply to
 * what OpenSSL holds, RSA keys of open KEKs and key schedules, and to buffers with plaintext. If another thread is
 * inside the library during fork(), the child may only call exec(), as with any library that takes locks.
 *
 * Cryptography. OpenSSL's default library context is used, with its default properties. In FIPS mode (the properties
 * contain fips=yes) the provider that has this property does everything, AES-GCM included. A program that wants FIPS
 * mode loads the providers "fips" and "base" and calls EVP_default_properties_enable_fips(NULL, 1) before it calls this
 * library. Before its first use in a process, whatever computes AES-GCM, HKDF or SHA-256 must give known answers;
 * otherwise: E_INTERNAL. If OpenSSL's configuration activates no provider that has an algorithm: E_CONFIG.
 *
 * Units. Sizes and offsets are in bytes. Text is UTF-8 and ends in a zero byte.
 */
#ifndef BLOBSEAL_H
#define BLOBSEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BLOBSEAL_VERSION_MAJOR 0
#define BLOBSEAL_VERSION_MINOR 1
#define BLOBSEAL_VERSION_PATCH 0

#define BLOBSEAL_API      __attribute__((visibility("default")))
#define BLOBSEAL_MUST_USE __attribute__((warn_unused_result))

/* Return the version of the library that is running, such as "0.1.0". */
BLOBSEAL_API const char *blobseal_version(void);

/* ---- Status and errors ------------------------------------------------------------------------------------------- */

enum blobseal_status {
    BLOBSEAL_OK = 0,
    BLOBSEAL_E_ARG,         /* the caller broke the contract of a function                               */
    BLOBSEAL_E_CONFIG,      /* a key or setting cannot be used: not RSA, malformed, no such provider     */
    BLOBSEAL_E_NOMEM,       /* out of memory                                                             */
    BLOBSEAL_E_INTERNAL,    /* a library or the CPU failed where it should not                           */
    BLOBSEAL_E_FORMAT,      /* not a blob, or one that no correct writer makes                           */
    BLOBSEAL_E_DAMAGED,     /* corrupted or truncated: a checksum or a length does not match             */
    BLOBSEAL_E_AUTH,        /* not authentic; the cause is never reported                                */
    BLOBSEAL_E_UNSUPPORTED, /* a version, suite, algorithm or feature that this library does not know    */
    BLOBSEAL_E_NO_KEY,      /* no recipient of the envelope matches one of the keys                      */
    BLOBSEAL_E_NOT_MINE,    /* from providers only: this wrapped key is for another KEK, try the next    */
    BLOBSEAL_E_UNAVAILABLE, /* a provider cannot be reached: trying again may help                       */
    BLOBSEAL_E_DENIED,      /* a provider refuses: trying again does not help                            */
    BLOBSEAL_E_POLICY,      /* a rule forbids it: a readable private key, too many recipients            */
    BLOBSEAL_E_EXISTS,      /* the output exists already, is busy, or is the input                       */
    BLOBSEAL_E_INPUT,       /* the input is missing, unreadable, or changed while it was read            */
    BLOBSEAL_E_OUTPUT,      /* the output cannot be written                                              */
    BLOBSEAL_E_CANCELED,    /* a callback asked to stop                                                  */

    BLOBSEAL_STATUS_CALLBACK = 0x10000, /* from here on: statuses that a program defines for its callbacks */
    BLOBSEAL_STATUS_MAX = 0x7fffffff,
};

/*
 * The next step after an error, for programs that express it in their own terms: a command line names its option, a
 * form its field. The hint of the error says the same in neutral words.
 */
enum blobseal_advice {
    BLOBSEAL_ADVICE_NONE = 0,
    BLOBSEAL_ADVICE_ENVELOPE,    /* pass the detached envelope                                                  */
    BLOBSEAL_ADVICE_RESTORE,     /* restore the first `subject` bytes of the blob, or pass a saved envelope     */
    BLOBSEAL_ADVICE_REPAIR,      /* repair the blob: blobseal_change_in_place() with `repair` and a private key */
    BLOBSEAL_ADVICE_REWRITE,     /* copy the blob with larger slots: blobseal_attach()                          */
    BLOBSEAL_ADVICE_PUBLIC_KEY,  /* pass the public key of the recipient `subject`, or remove that recipient    */
    BLOBSEAL_ADVICE_REMOVE,      /* remove the recipient `subject`, whose algorithm this version does not know  */
    BLOBSEAL_ADVICE_OAEP_SHA256, /* open that key with BLOBSEAL_OAEP_SHA256                                     */
    BLOBSEAL_ADVICE_OAEP_SHA1,   /* open that key with BLOBSEAL_OAEP_SHA1                                       */
    BLOBSEAL_ADVICE_PASSPHRASE,  /* supply the passphrase of the private key                                    */
    BLOBSEAL_ADVICE_RSA_KEY,     /* make or choose an RSA key of 2048, 3072 or 4096 bits                        */
    BLOBSEAL_ADVICE_SEEKABLE,    /* pass a source with `pread`, such as a file                                  */
    BLOBSEAL_ADVICE_SELFTEST,    /* look at the findings of blobseal_diagnose()                                 */
    BLOBSEAL_ADVICE_NO_LOCK,     /* make sure that nobody else changes the blob, and set `lock` of the target to NULL */
    BLOBSEAL_ADVICE_CHUNKED_LAYER, /* the layer of the image is a blob: decrypt it with blobseal_oci_envelope()     */
    BLOBSEAL_ADVICE_REPLACE,       /* replace all recipients: `replace` of struct blobseal_oci_change                */
    BLOBSEAL_ADVICE_NO_SUCH_KEY,   /* the key does not exist and cannot be recovered: use a recovery key, if any     */
    BLOBSEAL_ADVICE_DROP, /* `drop` of struct blobseal_set_change names the recipient `subject`, if nobody needs it  */
};

struct blobseal_error {
    enum blobseal_status status;
    enum blobseal_advice advice;
    int sys_errno;        /* errno of the system call that failed, or 0                                          */
    char text[320];       /* what was being done, to what, and what went wrong; one line, printable              */
    char hint[200];       /* the next step in neutral words, or empty; one line, printable                       */
    char subject[128];    /* what the advice is about: a key id or a number of bytes; may be truncated, or empty */
    uint64_t reserved[8]; /* the library writes zeros                                                         */
};

/*
 * Return a short name of a status for programs to match, such as "E-AUTH". Never NULL: "E-CALLBACK" for a status that
 * a callback defined, "E-UNKNOWN" for a number that is none.
 */
BLOBSEAL_API const char *blobseal_status_code(enum blobseal_status status);

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

struct blobseal_registry; /* the providers that resolve key references; see blobseal_provider.h */
struct blobseal_kek;      /* one KEK: it wraps, and with a private key it also unwraps           */
struct blobseal_config;   /* names of keys, modules, vaults and limits; see blobseal_config.h    */

/**
 * blobseal_passphrase_fn - supply the passphrase of an encrypted private key, or the PIN of a token
 * @ctx: from struct blobseal_kek_options
 * @buf: receives the passphrase; the library wipes it after use
 * @cap: size of @buf
 * @len: receives the length of the passphrase
 *
 * Called at most once for each key, and only if the key is encrypted, or its token needs a login. If several keys of a
 * file are encrypted, it is called again only for a key that the passphrase of the key before does not decrypt. May
 * return E_CONFIG, E_INPUT, E_NOMEM and E_CANCELED.
 */
typedef enum blobseal_status (*blobseal_passphrase_fn)(void *ctx, char *buf, size_t cap, size_t *len,
                                                       struct blobseal_error *err);

/* The hash of RSAES-OAEP for wrapping. Unwrapping follows the `alg` of the recipient (section 4.2). */
enum blobseal_oaep {
    BLOBSEAL_OAEP_SHA256 = 0,    /* RSA-OAEP-256, the default, unless the configuration names another for tokens */
    BLOBSEAL_OAEP_SHA1,          /* RSA-OAEP: only for tokens that lack SHA-256                                  */
    BLOBSEAL_OAEP_SHA256_ALWAYS, /* RSA-OAEP-256, whatever the configuration says                                */
};

/* What a key is opened for. */
enum blobseal_use {
    BLOBSEAL_USE_ANY = 0, /* wrapping and unwrapping: a token asks for its PIN when the key is opened */
    BLOBSEAL_USE_WRAP,    /* wrapping: no PIN is asked for unless the public half is hidden            */
    BLOBSEAL_USE_NAME,    /* finding out its id; whether a token can use it is not checked             */
};

struct blobseal_kek_options {
    size_t size;
    blobseal_passphrase_fn passphrase; /* NULL: an encrypted key is an error */
    void *passphrase_ctx;
    enum blobseal_oaep oaep;
    uint32_t timeout_ms; /* see struct blobseal_call_options; for a token also the limit of later calls without one */
    const int *cancel;
    enum blobseal_use use;
    const struct blobseal_config *config; /* NULL: nothing is configured. The library reads no files on its own. */
    /*
     * Not NULL: the user did not type @ref, so that it may load only those PKCS#11 modules that @config lists. The text
     * names the file with the list, for messages. The library sets it for the reference that key:NAME stands for.
     */
    const char *listed_in;
    /* Do not wrap for a key whose vault lets it be purged as soon as it is deleted: E_POLICY. Other keys are not
     * affected. */
    bool require_purge_protection;
    const char *identity; /* for a key in a vault: the name of an identity in @config; NULL: as @config says */
    const struct blobseal_registry *registry; /* set by blobseal_kek_open(), for keys that are made of other keys */
};

/*
 * Limits for the calls of providers, in every function that may call one. They matter for keys that are reached over a
 * network or in a token. All calls of providers in one operation together may take @timeout_ms milliseconds (after
 * that: E_UNAVAILABLE); 0: the limits of the providers apply, and those of the configuration for keys whose owner can
 * be asked, see deadline_s in blobseal-config(5). They stop (E_CANCELED) when another thread atomically sets *@cancel
 * to a value other than 0. @cancel may be NULL; it must stay valid until the operation ends. Options of larger
 * operations contain the same two members.
 */
struct blobseal_call_options {
    size_t size;
    uint32_t timeout_ms;
    const int *cancel;
};

/**
 * blobseal_kek_open - resolve a key reference
 * @kek: receives the KEK; release it with blobseal_kek_close()
 * @registry: providers to look in, or NULL for the built-in ones
 * @ref: "file:PATH" or a plain path: a PEM file with a private key (PKCS#8, also encrypted, or PKCS#1), or with a
 * public key (SPKI, PKCS#1, or in a certificate, of which nothing else is looked at); or a PKCS#11 URI (RFC 7512) that
 * matches exactly one RSA key. It may have module-path, module-name and pin-source=file:PATH; or
 * https://VAULT/keys/NAME[/VERSION], an RSA key in Azure Key Vault or Managed HSM; or "key:NAME", a name from the
 * configuration of @options
 * @options: may be NULL
 *
 * Threads: many threads may use the KEK at once. It may be closed before the readers, writers and unlocked keys that
 * were made with it, but not during a call to which it was passed.
 * Errors: E_CONFIG (not an RSA key, malformed, wrong passphrase, several keys, unknown provider), E_POLICY (others may
 * read the private key), E_INPUT (the file is missing or unreadable), E_NOMEM. For a token also E_UNAVAILABLE (it is
 * not there, or does not answer), E_DENIED (the PIN is wrong or locked), E_UNSUPPORTED (it lacks the hash of @options).
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_kek_open(struct blobseal_kek **kek, const struct blobseal_registry *registry, const char *ref,
                  const struct blobseal_kek_options *options, struct blobseal_error *err);

/**
 * blobseal_keks_open - open all keys that a reference names
 * @keks: receives the KEKs; release each with blobseal_kek_close()
 * @num: the number of KEKs that @keks has room for; receives the number that were opened
 * @registry, @ref, @options: as for blobseal_kek_open()
 *
 * A file can have several keys. Each key id appears once; a private key is preferred to its public half. If one of the
 * keys cannot be used, nothing is opened. To seal, pass them all, so that each is a recipient; to open, they are tried.
 * Errors: those of blobseal_kek_open(); E_CONFIG also if there is not enough room, E_ARG if there is none.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_keks_open(struct blobseal_kek **keks, size_t *num, const struct blobseal_registry *registry, const char *ref,
                   const struct blobseal_kek_options *options, struct blobseal_error *err);

/**
 * blobseal_keks_from_pem - open the keys in a PEM text in memory, as blobseal_keks_open() does those of a file
 * @pem: @len bytes, which the caller wipes; the library wipes its copy
 *
 * Errors: those of blobseal_keks_open(). Nobody checks who may read the text.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_keks_from_pem(struct blobseal_kek **keks, size_t *num,
                                                                           const char *pem, size_t len,
                                                                           const struct blobseal_kek_options *options,
                                                                           struct blobseal_error *err);

/* Release @kek. Its secrets are wiped when the last lease on it has been released, too. NULL is allowed. */
BLOBSEAL_API void blobseal_kek_close(struct blobseal_kek *kek);

/*
 * Return the key id (kid) of new recipients of this KEK (section 4.2). Borrowed from @kek. NULL if its provider has not
 * named the key yet: some do that only when a function must know the name, such as blobseal_diagnose_kek().
 */
BLOBSEAL_API const char *blobseal_kek_kid(const struct blobseal_kek *kek);

/*
 * Return the algorithm of new recipients of this KEK, such as "RSA-OAEP-256". Borrowed from @kek. NULL if its provider
 * has not named it yet.
 */
BLOBSEAL_API const char *blobseal_kek_alg(const struct blobseal_kek *kek);

/* What somebody should know about a key. */
#define BLOBSEAL_KEK_NOTE_UNCHECKED 1u /* not found out: whether its token can unwrap; that needs the PIN           */
#define BLOBSEAL_KEK_NOTE_REMOTE    2u /* it is used over a network, so that each use takes a request              */
#define BLOBSEAL_KEK_NOTE_PURGEABLE 4u /* it can be destroyed as soon as it is deleted: no purge protection         */

/* Return the BLOBSEAL_KEK_NOTE_ bits of @kek. */
BLOBSEAL_API uint32_t blobseal_kek_notes(const struct blobseal_kek *kek);

/* Return true if this KEK can unwrap, that is, if it holds or can reach a private key. */
BLOBSEAL_API bool blobseal_kek_can_unwrap(const struct blobseal_kek *kek);

/**
 * blobseal_kek_public_key - get the public half of a key
 * @pem: receives it as SPKI in PEM, zero-terminated; release it with blobseal_free()
 * @len: receives its length
 *
 * Errors: E_UNSUPPORTED (its provider does not reveal it, but has named the key), those of the provider.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_kek_public_key(struct blobseal_kek *kek, char **pem,
                                                                            size_t *len, struct blobseal_error *err);

/* A key in a token or a vault. NULL and 0: not known. Only the library makes it; it may grow. Valid during the call. */
struct blobseal_listed_key {
    const char *ref;                 /* that blobseal_kek_open() accepts, if keys of this type can wrap         */
    const char *kid, *type;          /* as their owner calls it: "RSA-HSM", for example                         */
    unsigned bits;                   /* of an RSA key                                                           */
    bool can_unwrap, disabled;       /* it cannot unwrap if only the public half is there, or the owner says so */
    int64_t valid_from, valid_until; /* in seconds since 1970                                                   */
};

typedef bool (*blobseal_listed_key_fn)(void *ctx, const struct blobseal_listed_key *key); /* return false to stop */

/**
 * blobseal_list_keys - find the keys of a place
 * @ref: a PKCS#11 URI, or "pkcs11:" for all tokens; https://VAULT; or https://VAULT/keys/NAME for the key's versions
 * @options: as for blobseal_kek_open(); some tokens show their keys only after a login
 * @fn: receives each key, on the caller's thread
 *
 * Errors: E_UNSUPPORTED (its provider cannot list keys), those of the provider.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_list_keys(const struct blobseal_registry *registry,
                                                                       const char *ref,
                                                                       const struct blobseal_kek_options *options,
                                                                       blobseal_listed_key_fn fn, void *fn_ctx,
                                                                       struct blobseal_error *err);

/**
 * blobseal_generate_key - generate an RSA key in a token or a vault, which it never leaves
 * @ref: names the new key: a PKCS#11 URI with its token and its label (object=). blobseal_kek_open() opens it
 * afterwards
 * @bits: 2048, 3072 or 4096
 *
 * Errors: E_UNSUPPORTED (its provider cannot do that), E_CONFIG (also if there is such a key), those of the provider.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_generate_key(const struct blobseal_registry *registry,
                                                                          const char *ref,
                                                                          const struct blobseal_kek_options *options,
                                                                          unsigned bits, struct blobseal_error *err);

#define BLOBSEAL_SECRET_LEN  32
#define BLOBSEAL_MAX_PURPOSE 64

/* A secret of 32 bytes. Keep it in memory from blobseal_secret_alloc(). */
struct blobseal_secret32 {
    uint8_t b[BLOBSEAL_SECRET_LEN];
};

/**
 * blobseal_kek_wrap - wrap a secret of the application
 * @purpose: 1 to BLOBSEAL_MAX_PURPOSE characters from '!' to '~' that say what the secret is for
 * @options: may be NULL
 * @jwe: receives the wrapped secret, zero-terminated; release it with blobseal_free()
 * @jwe_len: receives its length
 *
 * The result is not the envelope of a blob and cannot take the place of one, because its type and purpose are
 * authenticated. Cost: one wrap. Errors: E_ARG for a purpose; those of the provider. Source: section 10.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_kek_wrap(struct blobseal_kek *kek, const char *purpose, const struct blobseal_secret32 *secret,
                  const struct blobseal_call_options *options, char **jwe, size_t *jwe_len, struct blobseal_error *err);

/**
 * blobseal_kek_unwrap - unwrap a secret of the application
 * @keks: keys to try
 * @purpose: the purpose for which it was wrapped
 * @jwe: a wrapped secret, not necessarily zero-terminated; it may come from storage that is not trusted
 * @options: may be NULL
 * @secret: receives the secret
 *
 * Cost: one unwrap; none if @jwe is the envelope of a blob or has another purpose. With a key that can be revoked, the
 * application decides how long it keeps the secret.
 * Errors: E_FORMAT (malformed, the envelope of a blob, or for another purpose), E_UNSUPPORTED, E_NO_KEY, E_AUTH, those
 * of the provider. Source: section 10.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_kek_unwrap(struct blobseal_kek *const *keks, size_t num_keks, const char *purpose, const char *jwe,
                    size_t jwe_len, const struct blobseal_call_options *options, struct blobseal_secret32 *secret,
                    struct blobseal_error *err);

struct blobseal_keypair {
    size_t size;       /* set by the caller */
    char *private_pem; /* PKCS#8, in secret memory, zero-terminated */
    size_t private_len;
    char *public_pem; /* SPKI, zero-terminated */
    size_t public_len;
    char kid[96];
};

/**
 * blobseal_keygen_rsa - generate an RSA key pair for use as a KEK
 * @pair: receives the keys in PEM; release its contents with blobseal_keypair_clear()
 * @bits: 2048, 3072 or 4096
 * @passphrase: encrypts the private key (PBES2: PBKDF2-HMAC-SHA-256, AES-256-CBC); NULL: it is not encrypted
 *
 * Cost: a fraction of a second for 2048 bits, several seconds for 4096.
 * Errors: E_ARG, E_INTERNAL, E_NOMEM.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_keygen_rsa(struct blobseal_keypair *pair, unsigned bits, const char *passphrase, struct blobseal_error *err);

/* Wipe and release the contents of @pair, not the struct. Allowed if the struct is zero but for its size. */
BLOBSEAL_API void blobseal_keypair_clear(struct blobseal_keypair *pair);

/* Release memory that a function of this header returned to the caller. NULL is allowed. */
BLOBSEAL_API void blobseal_free(void *p);

/* ---- Sources and sinks ------------------------------------------------------------------------------------------- */

#define BLOBSEAL_SIZE_UNKNOWN UINT64_MAX

/*
 * Where bytes come from. Initialise the struct to zero, so that members of later versions are zero. A source with
 * `pread` is seekable: its `size` is known, and many threads may call `pread` at once. A source without it is
 * sequential: `read` is called by one thread at a time, in order. Both may return fewer bytes than requested; 0 bytes
 * mean the end. Both may return E_INPUT, E_NOMEM or E_CANCELED.
 *
 * `cancel` is optional. It is called at most once, from another thread, when the data is no longer needed. A `read`
 * that is blocked should then return soon, with any error.
 *
 * Others may change the envelope of a seekable source in place while it is read. Readers take no lock: slots that look
 * like a change in progress are read up to 5 more times, within 50 ms (section 5).
 */
struct blobseal_source {
    void *ctx;
    uint64_t size;    /* or BLOBSEAL_SIZE_UNKNOWN; without `pread` only a hint for choosing the layout */
    const char *name; /* for messages; may be NULL */
    enum blobseal_status (*read)(void *ctx, void *buf, size_t len, size_t *nread, struct blobseal_error *err);
    enum blobseal_status (*pread)(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                  struct blobseal_error *err);
    void (*cancel)(void *ctx);
    uintptr_t reserved[4];
};

/*
 * Where bytes go. A sink with `pwrite` is seekable: many threads may call it at once; each byte is written once, in any
 * order. A sink without it is sequential: `write` is called by one thread at a time, in order. Both write all @len
 * bytes or fail, and may return E_OUTPUT, E_NOMEM or E_CANCELED.
 */
struct blobseal_sink {
    void *ctx;
    const char *name; /* for messages; may be NULL */
    enum blobseal_status (*write)(void *ctx, const void *buf, size_t len, struct blobseal_error *err);
    enum blobseal_status (*pwrite)(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err);
    uintptr_t reserved[4];
};

/* State of the sources and sinks below. It belongs to the caller, must outlive their use, and must not be copied. */
struct blobseal_fd {
    uint64_t private_state[16];
};

struct blobseal_memory {
    uint8_t *data; /* read by a source; allocated by a sink: release it with blobseal_free() */
    size_t len;
    size_t private_state[4];
};

/*
 * Make a source or a sink over a file descriptor, which stays the caller's.
 *
 * Both begin at the current offset of the descriptor. A regular file or block device with bytes after it becomes a
 * seekable source of these bytes. A regular file that was not opened with O_APPEND becomes a seekable sink; if it has
 * bytes after the offset, which would remain after what is written, E_EXISTS: truncate it first. Everything else is
 * sequential. A sink whose `pwrite` the caller sets to NULL is sequential as well; it then uses and moves the file
 * offset of the descriptor, which seekable sources and sinks leave alone.
 *
 * Errors: E_INPUT or E_OUTPUT if the descriptor cannot be used; E_EXISTS.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_source_fd(struct blobseal_source *source,
                                                                       struct blobseal_fd *state, int fd,
                                                                       const char *name, struct blobseal_error *err);
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_sink_fd(struct blobseal_sink *sink,
                                                                     struct blobseal_fd *state, int fd,
                                                                     const char *name, struct blobseal_error *err);

/*
 * Make a seekable source over @len bytes at @off of a regular file or block device (BLOBSEAL_SIZE_UNKNOWN: up to its
 * end), or a seekable sink that writes from @off of a regular file on. The sink neither truncates the file nor minds
 * what is in it: bytes after those that are written remain, so they belong to the blob unless its reader knows its
 * length. Errors: E_ARG (not such a file; O_APPEND), E_INPUT (the file ends before), E_OUTPUT.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_source_fd_at(struct blobseal_source *source,
                                                                          struct blobseal_fd *state, int fd,
                                                                          const char *name, uint64_t off, uint64_t len,
                                                                          struct blobseal_error *err);
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_sink_fd_at(struct blobseal_sink *sink,
                                                                        struct blobseal_fd *state, int fd,
                                                                        const char *name, uint64_t off,
                                                                        struct blobseal_error *err);

/*
 * Make a seekable source over @len bytes of memory, which stay the caller's, or a sequential sink that allocates and
 * extends state->data. Release that with blobseal_free(), also after a failure.
 */
BLOBSEAL_API void blobseal_source_memory(struct blobseal_source *source, struct blobseal_memory *state,
                                         const void *data, size_t len);
BLOBSEAL_API void blobseal_sink_memory(struct blobseal_sink *sink, struct blobseal_memory *state);

/* ---- What a blob says about itself ------------------------------------------------------------------------------- */

#define BLOBSEAL_BLOB_ID_LEN     16
#define BLOBSEAL_SHA256_LEN      32
#define BLOBSEAL_MAX_RECIPIENTS  64
#define BLOBSEAL_MAX_ENVELOPE    65512
#define BLOBSEAL_MAX_KID         512
#define BLOBSEAL_MAX_ANNOTATIONS 64
#define BLOBSEAL_MAX_METADATA    4096

enum blobseal_layout {
    BLOBSEAL_LAYOUT_AUTO = 0, /* when sealing: compact below 4 MiB, otherwise A/B (section 5) */
    BLOBSEAL_LAYOUT_COMPACT,  /* a frame with one slot of exactly the size that is needed     */
    BLOBSEAL_LAYOUT_AB,       /* a frame with two slots, for changing recipients in place     */
    BLOBSEAL_LAYOUT_DETACHED, /* no frame: the caller keeps the envelope elsewhere            */
};

/* Return "compact", "ab", "detached" or "auto". */
BLOBSEAL_API const char *blobseal_layout_name(enum blobseal_layout layout);

/* Values of the member `content` of a core header (section 2). */
enum blobseal_content {
    BLOBSEAL_CONTENT_AS_GIVEN = 0,
    BLOBSEAL_CONTENT_ZSTD = 1, /* a seekable zstd file (section 3.1) */
};

struct blobseal_recipient {
    const char *alg;
    const char *kid;
    bool unknown; /* this version does not know `alg`: it never tries such a recipient, but keeps it */
};

/*
 * Metadata is sealed with the blob: only those who can open the blob can read it, and it is as authentic as the
 * content. As JSON it takes at most BLOBSEAL_MAX_METADATA bytes (section 4.4).
 */
struct blobseal_annotation {
    const char *name, *value;
};

struct blobseal_metadata {
    size_t size;
    const char *name; /* of the content; NULL: none. It may look like a path: never use it as one unchecked */
    const char *type; /* a media type such as application/x-tar; NULL: none                                 */
    size_t num_annotations;
    const struct blobseal_annotation *annotations;
};

/* Bits of `notes`: facts about a blob that a caller may want to report. */
#define BLOBSEAL_NOTE_SLOT_INVALID 1u  /* one of the two slots is damaged; the other one is used              */
#define BLOBSEAL_NOTE_UNFINISHED   2u  /* the valid slots differ: a change of recipients did not finish       */
#define BLOBSEAL_NOTE_TIE          4u  /* both slots have the same generation, but different bytes            */
#define BLOBSEAL_NOTE_LENGTH       8u  /* no blob has this length: it was truncated or extended               */
#define BLOBSEAL_NOTE_ENVELOPE     16u /* the envelope contains something that this version does not know     */

/* What the library knows about a blob. Only the library makes it, so it may grow. */
struct blobseal_info {
    unsigned version, suite, content, segments; /* from the core header, section 2 */
    enum blobseal_layout layout;                /* never AUTO                      */
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint64_t generation;    /* of the envelope: 1 when sealed, one more after each change                */
    uint64_t plain_bytes;   /* or BLOBSEAL_SIZE_UNKNOWN, as for zstd content without a key               */
    uint64_t sealed_bytes;  /* frame and core; or BLOBSEAL_SIZE_UNKNOWN                                  */
    uint32_t slot_capacity; /* 0 if detached                                                             */
    uint32_t notes;         /* BLOBSEAL_NOTE_                                                            */
    size_t num_recipients;
    const struct blobseal_recipient *recipients;
    const char *jwe; /* the envelope, zero-terminated */
    size_t jwe_len;
    /*
     * Only set by a reader, and only if the blob has metadata; otherwise NULL. The strings are UTF-8, and otherwise
     * whatever the sealer wrote: the type may not be a media type, control characters may appear anywhere.
     */
    const struct blobseal_metadata *metadata;
    uint64_t stored_bytes; /* what was sealed: plain_bytes, or their compressed size; or BLOBSEAL_SIZE_UNKNOWN */
    uint8_t envelope_sha256[BLOBSEAL_SHA256_LEN]; /* of `jwe`; zero without an envelope */
};

/* Release @info. NULL is allowed. */
BLOBSEAL_API void blobseal_info_free(struct blobseal_info *info);

/**
 * blobseal_inspect - read what a blob claims, without a key
 * @info: receives the claims, none of which are verified; release it with blobseal_info_free()
 * @source: the blob, seekable or not; only the beginning of a sequential one is read. NULL: describe @envelope only
 * @envelope: a detached envelope, or NULL to use the frame. Without either, the header of a detached core is shown
 *
 * If several slots are valid, the first one of the newest generation is shown.
 * Errors: E_FORMAT, E_DAMAGED, E_UNSUPPORTED, E_INPUT.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_inspect(struct blobseal_info **info,
                                                                     const struct blobseal_source *source,
                                                                     const char *envelope, size_t envelope_len,
                                                                     struct blobseal_error *err);

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

/*
 * What many calls share: the number of threads, buffers, and counters. Options take a context; NULL selects the
 * process's default context, which exists without being made.
 */
struct blobseal_context;

struct blobseal_context_options {
    size_t size;
    unsigned threads;     /* for calls whose options say 0; 0: one for each CPU that this process may use            */
    uint64_t max_scratch; /* bytes of buffers that are kept for later calls; 0: BLOBSEAL_DEFAULT_SCRATCH; 1: nothing */
};

#define BLOBSEAL_DEFAULT_SCRATCH ((uint64_t)32 << 20)

/*
 * Make a context; release it with blobseal_context_free(). @options may be NULL. Threads: many threads may use it at
 * once. Fork: a context belongs to the process that made it. Errors: E_ARG, E_NOMEM.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_context_new(struct blobseal_context **context,
                                                                         const struct blobseal_context_options *options,
                                                                         struct blobseal_error *err);

/* Release the caller's reference to @context. Readers and writers that use it keep it. NULL is allowed. */
BLOBSEAL_API void blobseal_context_free(struct blobseal_context *context);

/*
 * Return memory that no call is using to the system: buffers, cached content, and pages that are kept for secrets.
 * Later calls allocate it again. NULL: the default context.
 */
BLOBSEAL_API void blobseal_context_trim(struct blobseal_context *context);

/* Numbers since the context was made. Those about secrets are about all of the process. */
struct blobseal_counters {
    size_t size;
    uint64_t seals;            /* blobs sealed                                                                  */
    uint64_t opens;            /* blobs opened                                                                  */
    uint64_t failures;         /* seals and opens that failed, and failed reads of opened blobs                 */
    uint64_t scratch_bytes;    /* now: of buffers, in use and kept for later calls                              */
    uint64_t unlocked_secrets; /* secrets that were stored in memory that could not be locked (RLIMIT_MEMLOCK)  */
    uint64_t unlocked_bytes;   /* now: of memory for secrets that could not be locked                           */
    uint64_t locked_bytes;     /* now: of memory for secrets that is locked                                     */
};

/* Fill @counters. NULL as @context: the default context. Errors: E_ARG. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_context_counters(struct blobseal_context *context,
                                                                              struct blobseal_counters *counters,
                                                                              struct blobseal_error *err);

/* ---- Digests ----------------------------------------------------------------------------------------------------- */

/* Bits of `digests` in options: the digests to compute along with the work. */
#define BLOBSEAL_DIGEST_CORE   1u /* of the core, which no change of recipients touches: the digest to sign          */
#define BLOBSEAL_DIGEST_OUTPUT 2u /* of the whole blob, frame and core; the same as that of the core if it has none */
#define BLOBSEAL_DIGEST_PLAIN  4u /* of the plaintext: whoever sees it can confirm a guess, so treat it as a secret  */

/* Members that were not requested are zero. After a failure, or before all data was processed, everything is zero. */
struct blobseal_digests {
    size_t size;       /* set by the library */
    uint32_t computed; /* BLOBSEAL_DIGEST_   */
    uint8_t core_sha256[BLOBSEAL_SHA256_LEN];
    uint8_t output_sha256[BLOBSEAL_SHA256_LEN];
    uint8_t plain_sha256[BLOBSEAL_SHA256_LEN];
};

/**
 * blobseal_preamble_read - read the envelope of a blob, and find its core, without a key
 * @source: the blob, seekable or not; only the beginning of a sequential one is read
 * @envelope: receives the current envelope, zero-terminated; release it with blobseal_free(). NULL if it is detached
 * @envelope_len: receives its length
 * @core_offset: receives the offset of the core, whose bytes never change; 0 if the envelope is detached
 *
 * For stores that keep the envelope and the core apart. Nothing is authentic yet.
 * Errors: E_FORMAT, E_UNSUPPORTED, E_INPUT; E_DAMAGED, also if there are two envelopes of one generation.
 * Source: sections 1 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_preamble_read(const struct blobseal_source *source,
                                                                           char **envelope, size_t *envelope_len,
                                                                           uint64_t *core_offset,
                                                                           struct blobseal_error *err);

/* ---- Sealing ----------------------------------------------------------------------------------------------------- */

/*
 * Receives the number of plaintext bytes that are done. Called on any thread of the call, by one at a time. Return
 * false to stop (E_CANCELED); workers that are already working may call it once more.
 */
typedef bool (*blobseal_progress_fn)(void *ctx, uint64_t bytes_done);

struct blobseal_seal_options {
    size_t size;
    unsigned threads; /* workers; 0: as the context says */
    enum blobseal_layout layout;
    uint32_t slot_capacity; /* A/B: a multiple of 4096 up to 65,536; 0: at least 16,384, of which 4096 are free */
    bool no_checksums;      /* segments = 0: for stores that keep a digest of the blob themselves              */
    blobseal_progress_fn progress;
    void *progress_ctx;
    /*
     * NULL: none. Strings are UTF-8; a name is not empty; the type is TYPE/SUBTYPE (RFC 6838, without parameters);
     * names of annotations are not empty and differ from each other. Otherwise: E_ARG. Too much of it: E_POLICY.
     */
    const struct blobseal_metadata *metadata;
    bool zstd;        /* compress (section 3.1). The compressed size reveals something about the data: see README.md */
    int zstd_level;   /* 0: level 3; otherwise BLOBSEAL_ZSTD_MIN_LEVEL to BLOBSEAL_ZSTD_MAX_LEVEL                    */
    uint32_t digests; /* BLOBSEAL_DIGEST_: computed by one thread at a time, which bounds the speed of the whole      */
    struct blobseal_context *context; /* NULL: the default context */
    uint32_t timeout_ms;              /* see struct blobseal_call_options; @cancel of a writer must stay valid until */
    const int *cancel;                /* it is closed, because later calls may ask a provider again             */
};

#define BLOBSEAL_ZSTD_MIN_LEVEL (-7)
#define BLOBSEAL_ZSTD_MAX_LEVEL 19

struct blobseal_seal_result {
    size_t size;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint64_t plain_bytes;  /* read from the source */
    uint64_t sealed_bytes; /* written to the sink  */
    enum blobseal_layout layout;
    uint64_t generation;
    char *envelope; /* DETACHED only: the JWE; make it durable before the core gets its name; blobseal_free() it */
    size_t envelope_len;
    uint64_t stored_bytes; /* what was sealed: plain_bytes, or their compressed size */
    struct blobseal_digests digests;
    uint8_t envelope_sha256[BLOBSEAL_SHA256_LEN]; /* of the JWE, in any layout */
};

/**
 * blobseal_seal - seal one blob
 * @sink: receives the blob from offset 0
 * @source: the plaintext
 * @keks: the recipients, 1 to 64, each key once
 * @options: may be NULL
 * @result: receives what was done; may be NULL unless the layout is detached
 *
 * Cost: one wrap for each KEK. Then threads work on 1 MiB of plaintext each; seekable sources and sinks are read and
 * written in parallel. Memory: about 2.2 MiB for each worker, and two more workers if a side is sequential; it does not
 * depend on the size of the blob. Small blobs are sealed on the caller's thread. With `zstd` the threads compress 1 MiB
 * each, which takes memory of libzstd for each worker, more at high levels; frames are sealed and written in order.
 * 16 bytes are kept for each MiB of plaintext, and a blob holds at most 1 TiB of it (E_POLICY).
 * Threads: started by this call.
 * Errors: E_ARG and E_POLICY for metadata, see the options; E_POLICY if the envelope does not fit its slot; E_CANCELED;
 * those of the source, the sink and the providers. After an error the sink holds an unusable part of a blob.
 * Source: sections 2 to 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_seal(const struct blobseal_sink *sink, const struct blobseal_source *source, struct blobseal_kek *const *keks,
              size_t num_keks, const struct blobseal_seal_options *options, struct blobseal_seal_result *result,
              struct blobseal_error *err);

struct blobseal_writer; /* seals a blob from pieces that a program writes, for one thread at a time */

/**
 * blobseal_writer_open - start a blob whose plaintext comes piece by piece
 * @writer: receives the writer; release it with blobseal_writer_close()
 * @sink: receives the blob from offset 0, in order; it must stay usable until the writer is closed
 * @keks: the recipients, as for blobseal_seal(); they may be closed after this call
 * @options: may be NULL; `threads` and `progress` are ignored
 *
 * If a key can be revoked, sealing for it may have a time limit, as reading has: see struct blobseal_unlocked.
 *
 * Any number of calls of blobseal_writer_write(), and then one of blobseal_writer_finish(), make the blob. Its size is
 * not known in advance, so LAYOUT_AUTO is A/B. All work is done on the caller's thread. Memory: about 0.5 MiB; with
 * `zstd` 2 MiB more, and what libzstd needs.
 * Errors: as for blobseal_seal().
 * Source: sections 2 to 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_writer_open(struct blobseal_writer **writer, const struct blobseal_sink *sink,
                     struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_seal_options *options,
                     struct blobseal_error *err);

/*
 * Seal @len more bytes. They are sealed and written in runs of 256 KiB; an incomplete run is copied and kept. After an
 * error every later call returns the same error, and the sink holds an unusable part of a blob. Except for
 * E_UNAVAILABLE and E_CANCELED from a provider that is asked whether its key may still be used: nothing was done, so
 * the call can be repeated. If the provider refuses: E_DENIED.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_writer_write(struct blobseal_writer *writer, const void *buf, size_t len, struct blobseal_error *err);

/*
 * Seal and write the end of the blob. Errors of providers are as for blobseal_writer_write(). @result may be NULL
 * unless the layout is detached. The blob is complete if this returns BLOBSEAL_OK; any later call fails with E_ARG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_writer_finish(struct blobseal_writer *writer, struct blobseal_seal_result *result, struct blobseal_error *err);

/* Release @writer and wipe its keys. If it was not finished, the sink holds an unusable part. NULL is allowed. */
BLOBSEAL_API void blobseal_writer_close(struct blobseal_writer *writer);

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

struct blobseal_reader;

struct blobseal_reader_options {
    size_t size;
    const char *envelope; /* a detached envelope, which replaces that of a frame; NULL: use the frame */
    size_t envelope_len;
    unsigned threads; /* for stream, stream_range and verify; as for sealing */
    blobseal_progress_fn progress;
    void *progress_ctx;
    uint64_t min_generation; /* refuse an older envelope (E_POLICY); 0: accept any (section 6)                     */
    bool raw;                /* zstd content: present the zstd file itself, unchecked, and do not decompress it     */
    uint32_t max_frames;     /* zstd content: refuse more frames (E_POLICY), each takes 16 bytes of memory; 0: 2^20 */
    uint32_t digests;        /* BLOBSEAL_DIGEST_: see blobseal_reader_digests()                                     */
    struct blobseal_context *context; /* NULL: the default context */
    /*
     * Limits for providers, see struct blobseal_call_options: of opening, and of each later call that renews a lease.
     * So *@cancel must stay valid until the reader is closed.
     */
    uint32_t timeout_ms;
    const int *cancel;
};

/**
 * blobseal_reader_open - open a blob
 * @reader: receives the reader; release it with blobseal_reader_close()
 * @source: the blob; it must stay usable until the reader is closed. The struct itself is copied
 * @keks: keys to try; they may be closed after this call
 * @options: may be NULL
 *
 * Unwraps the DEK and checks the commitment. If the source is seekable, the last chunk is opened as well, which makes
 * the size authentic, and of zstd content the seek table is read. A sequential source is read up to the payload.
 * Cost: one unwrap. The reader takes at most 128 bytes of locked memory and about 1 KiB more than its envelope; it has
 * no buffers before it is read from.
 * Threads: many threads may use a reader of a seekable source at once, but blobseal_reader_read() may be called by one
 * at a time. A reader of a sequential source may be used by one thread at a time. Callbacks for progress are called by
 * each call for itself.
 * Errors: E_FORMAT, E_DAMAGED, E_UNSUPPORTED, E_NO_KEY, E_AUTH, E_UNAVAILABLE, E_DENIED, E_INPUT; E_CONFIG if a
 * detached envelope is needed; E_POLICY if the envelope is older than options->min_generation.
 * Source: section 4.6.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_open(struct blobseal_reader **reader, const struct blobseal_source *source,
                     struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_reader_options *options,
                     struct blobseal_error *err);

/*
 * An unlocked key of one blob, which an application keeps to open the blob again without its KEK: an RSA operation or a
 * request to a vault takes milliseconds, opening with an unlocked key microseconds. It holds derived keys of that blob
 * only, which the application cannot read, and at most 128 bytes of locked memory.
 *
 * A key that its owner can revoke is unlocked for a limited time, the lease. All readers that were opened with one
 * unlocked key share its lease; a reader that was opened with KEKs has a lease of its own. After its end, the next call
 * that opens or reads asks the provider. If that refuses (E_DENIED), it is final for this lease, and all other leases
 * on the same KEK ask before they are used again. If it cannot be reached (E_UNAVAILABLE), or if the caller cancels
 * (E_CANCELED), the next call asks again. These errors are possible for every function that reads. A call that has
 * begun is completed. Keys in files have no lease.
 *
 * Threads: all functions may be called by many threads at once. Fork: the child cannot use it (E_ARG).
 */
struct blobseal_unlocked;

struct blobseal_unlock_options {
    size_t size;
    const char *envelope; /* a detached envelope, which replaces that of a frame; NULL: use the frame */
    size_t envelope_len;
    uint64_t min_generation;          /* refuse an older envelope (E_POLICY); 0: accept any (section 6) */
    struct blobseal_context *context; /* NULL: the default context */
    uint32_t timeout_ms;              /* see struct blobseal_call_options */
    const int *cancel;
};

/**
 * blobseal_unlock - unlock the key of a blob
 * @unlocked: receives the unlocked key, with one reference; release it with blobseal_unlocked_release()
 * @source: the blob, of which the beginning is read. NULL: only options->envelope is available
 * @keks: keys to try; they may be closed after this call
 * @options: may be NULL
 *
 * Does what blobseal_reader_open() does up to the commitment; the payload is not read. The result is bound to all 96
 * bytes of the core header. A later change of recipients does not affect it. Errors: those of blobseal_reader_open().
 * Source: section 4.6.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_unlock(struct blobseal_unlocked **unlocked,
                                                                    const struct blobseal_source *source,
                                                                    struct blobseal_kek *const *keks, size_t num_keks,
                                                                    const struct blobseal_unlock_options *options,
                                                                    struct blobseal_error *err);

/* Take another reference, and return @unlocked. */
BLOBSEAL_API struct blobseal_unlocked *blobseal_unlocked_ref(struct blobseal_unlocked *unlocked);

/* Release one reference. After the last one, and after the last reader that uses it, the key is wiped. NULL is allowed.
 */
BLOBSEAL_API void blobseal_unlocked_release(struct blobseal_unlocked *unlocked);

struct blobseal_unlocked_info {
    size_t size;
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
    uint64_t generation;            /* of the envelope that was opened                                      */
    uint64_t valid_until;           /* end of the lease as it is now, in milliseconds since 1970; 0: there is none */
    char kid[BLOBSEAL_MAX_KID + 1]; /* of the recipient that was opened                                     */
};

/* Describe an unlocked key. Errors: E_ARG. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_unlocked_info(const struct blobseal_unlocked *unlocked,
                                                                           struct blobseal_unlocked_info *info,
                                                                           struct blobseal_error *err);

/*
 * Open a blob as blobseal_reader_open() does, with its unlocked key, to which the reader takes a reference. The slots
 * of a frame are not looked at: generation, recipients and metadata in the reader's info are those that were unlocked.
 * options->envelope must be NULL. Errors: E_NO_KEY if @unlocked belongs to another blob; E_AUTH if the core header was
 * changed; E_DENIED and E_UNAVAILABLE after the end of a lease; those of blobseal_reader_open().
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_open_with(struct blobseal_reader **reader, const struct blobseal_source *source,
                          struct blobseal_unlocked *unlocked, const struct blobseal_reader_options *options,
                          struct blobseal_error *err);

/* Release @reader and wipe its keys. NULL is allowed. */
BLOBSEAL_API void blobseal_reader_close(struct blobseal_reader *reader);

/*
 * Return the size of the plaintext (of zstd content: of the original). It is authentic for a seekable source, and
 * BLOBSEAL_SIZE_UNKNOWN for a sequential one.
 */
BLOBSEAL_API uint64_t blobseal_reader_size(const struct blobseal_reader *reader);

/* Return what the blob says about itself: now authentic, except `sealed_bytes`. Borrowed from @reader. */
BLOBSEAL_API const struct blobseal_info *blobseal_reader_info(const struct blobseal_reader *reader);

/**
 * blobseal_reader_pread - read plaintext at any offset of a seekable source
 * @dst: receives the plaintext
 * @len: bytes wanted; 0 is allowed
 * @off: offset in the plaintext
 * @nread: receives the number of bytes; less than @len only at the end of the blob
 *
 * Cost: opens the chunks of 16 KiB that the range touches, so a 1-byte read reads 16,400 bytes and opens one chunk.
 * Zstd content: decompresses the frames of 1 MiB that the range touches; the last one is kept, so that sequential reads
 * decompress each frame once. Memory: 0.5 MiB, with zstd content 2.7 MiB, for each call that runs at the same time. It
 * belongs to the context, which keeps it for later calls up to its limit, together with the key and the last frame of
 * the reader that used it. It is wiped before another reader uses it, and when the reader is closed. A reader that is
 * used often allocates nothing.
 * Threads: many calls at once; they do not wait for each other.
 * Errors: E_AUTH (a chunk that was read is not authentic), E_DAMAGED, E_INPUT, E_FORMAT (malformed zstd content), E_ARG
 * (sequential source, or @off is beyond the size; at the size it reads 0 bytes). All of @dst is then zero, and the
 * reader stays usable. Source: section 3.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_reader_pread(struct blobseal_reader *reader, void *dst,
                                                                          size_t len, uint64_t off, size_t *nread,
                                                                          struct blobseal_error *err);

/**
 * blobseal_reader_stream - open the whole blob into a sink
 * @plain_bytes: receives the number of plaintext bytes; may be NULL
 *
 * Every chunk is verified before a byte of it reaches the sink, and every checksum is compared. If an error occurs, a
 * sequential sink has received a verified prefix; a caller that writes a file must not give it its name before
 * BLOBSEAL_OK. May be called once for a sequential source (E_ARG after that, and after blobseal_reader_read()), any
 * number of times for a seekable one. Zstd content is written in whole frames; of a sequential source it is
 * decompressed by one thread at a time.
 * Threads: started by this call.
 * Errors: E_AUTH, E_DAMAGED (a checksum does not match, or the blob was truncated or extended), E_FORMAT and E_POLICY
 * (zstd content), E_INPUT, E_OUTPUT, E_CANCELED, E_ARG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_reader_stream(struct blobseal_reader *reader,
                                                                           const struct blobseal_sink *sink,
                                                                           uint64_t *plain_bytes,
                                                                           struct blobseal_error *err);

/**
 * blobseal_reader_stream_range - open a part of the blob into a sink
 * @sink: receives the part from its offset 0, or in order
 * @off: offset in the plaintext, at most blobseal_reader_size()
 * @len: bytes wanted; fewer are written if the blob ends before. BLOBSEAL_SIZE_UNKNOWN: up to the end
 * @nwritten: receives the number of plaintext bytes written; may be NULL
 *
 * For seekable sources. Every chunk is verified before a byte of it reaches the sink; checksums of segments are not
 * compared, because the tag of a chunk is enough. If @len is 0 or @off is the size, nothing is written.
 * Cost: opens the chunks of 16 KiB that the range touches, each once, on all threads. Memory: about 1.3 MiB a worker.
 * Threads: started by this call.
 * Errors: E_AUTH (a chunk that was read is not authentic), E_INPUT, E_OUTPUT, E_CANCELED; E_ARG if @off is beyond the
 * size; E_CONFIG for a sequential source.
 * Source: section 3.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_stream_range(struct blobseal_reader *reader, const struct blobseal_sink *sink, uint64_t off,
                             uint64_t len, uint64_t *nwritten, struct blobseal_error *err);

/* Open and check everything as blobseal_reader_stream() does, without an output. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_verify(struct blobseal_reader *reader, uint64_t *plain_bytes, struct blobseal_error *err);

/**
 * blobseal_reader_read - read the plaintext piece by piece, from beginning to end
 * @dst: receives the plaintext
 * @len: bytes wanted; 0 is allowed
 * @nread: receives the number of bytes, as read(2) does: fewer than @len at any time, 0 only at the authentic end
 *
 * For callers that pull bytes, while blobseal_reader_stream() pushes them. All work is done on the caller's thread, and
 * no progress is reported. A sequential source is opened in segments of 1 MiB; a segment is returned only after all its
 * tags and its checksum were verified. A seekable source is read as by blobseal_reader_pread(), 256 KiB at a time,
 * which verifies tags but no checksums; it has a position of its own. A truncated blob ends in an error, never in 0
 * bytes: what came before is a verified prefix, so a caller must not act on the whole before it has received 0.
 * Cost: about 2.2 MiB for a sequential source, 0.3 MiB for a seekable one, allocated by the first call.
 * Threads: one at a time; for a seekable source blobseal_reader_pread() may run at the same time.
 * Errors: E_AUTH, E_DAMAGED (a checksum does not match, or the blob was truncated or extended), E_INPUT, E_NOMEM; E_ARG
 * after blobseal_reader_stream() or blobseal_reader_verify() of a sequential source. All of @dst is then zero, and
 * every later call returns the same error, except for errors of a lease, after which the call can be repeated.
 * Source: section 3.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_reader_read(struct blobseal_reader *reader, void *dst, size_t len, size_t *nread, struct blobseal_error *err);

/*
 * Return the digests that options->digests requested, of the last complete run of blobseal_reader_stream(),
 * blobseal_reader_verify(), or blobseal_reader_read() up to the end. They are zero while there is none, and after a run
 * that failed or began and did not end. The digest of the whole blob covers the frame as it was when the blob was
 * opened. With `raw`, the plaintext is the zstd file.
 * Cost: digests are computed by one thread at a time. A digest of core or output makes zstd content decompress on one
 * thread at a time too, and makes blobseal_reader_read() of a seekable source work as for a sequential one.
 * Errors: E_ARG if the size of @digests is not set.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_reader_digests(const struct blobseal_reader *reader,
                                                                            struct blobseal_digests *digests,
                                                                            struct blobseal_error *err);

/* ---- Changing the recipients of a sealed blob -------------------------------------------------------------------- */

/*
 * What to change. A recipient that is in both lists stays. Removing a recipient takes a fresh content encryption key
 * (CEK), which is wrapped for everyone who stays, so their public keys must be passed. Adding alone leaves the wrapped
 * keys of the others as they are, also those of recipients with an unknown algorithm.
 */
struct blobseal_change {
    size_t size;
    struct blobseal_kek *const *add; /* recipients to add; those that exist already are left unchanged */
    size_t num_add;
    const char *const *remove; /* kids of recipients to remove; those that do not exist are ignored */
    size_t num_remove;
    bool replace;            /* rotation: also remove the recipient that the first key opens                       */
    bool only;               /* remove every recipient that is not in @add                                         */
    bool repair;             /* change no recipient: make both slots equal, turn a tie into a new generation       */
    bool dry_run;            /* in place or in a copy: report what would be done, and write nothing                */
    uint64_t min_generation; /* refuse an older envelope (E_POLICY)                                                */
    const char *envelope;    /* the detached envelope; NULL: that of the source. Must be NULL for a change in place */
    size_t envelope_len;
    uint32_t timeout_ms; /* see struct blobseal_call_options */
    const int *cancel;
};

enum blobseal_action { BLOBSEAL_ACTION_KEEP, BLOBSEAL_ACTION_ADD, BLOBSEAL_ACTION_REMOVE };

struct blobseal_change_step {
    enum blobseal_action action;
    struct blobseal_recipient recipient;
};

/* What was done, or with dry_run would be done. Only the library makes it, so it may grow. */
struct blobseal_change_result {
    bool changed;        /* the recipients are not the same as before                                            */
    bool finished;       /* an earlier change was finished, or a damaged slot or core header was repaired        */
    bool fresh_key;      /* the CEK is a new one                                                                 */
    bool verified;       /* false: nothing had to be done, and no key was passed that opens the envelope         */
    uint64_t generation; /* from now on                                                                          */
    size_t num_steps;
    const struct blobseal_change_step *steps;
    const char *envelope; /* from now on, zero-terminated */
    size_t envelope_len;
    uint8_t envelope_sha256[BLOBSEAL_SHA256_LEN]; /* of `envelope` */
};

/* Release @result. NULL is allowed. */
BLOBSEAL_API void blobseal_change_result_free(struct blobseal_change_result *result);

/**
 * blobseal_change_envelope - make the envelope that a change leads to; the caller stores it
 * @result: receives the plan and the new envelope; release it with blobseal_change_result_free()
 * @source: the blob; NULL if only its detached envelope is available, which is then in @change
 * @keks: keys that open the envelope, and public keys of recipients who stay. With `replace` the first one counts
 *
 * For detached envelopes, and for compact blobs, which blobseal_attach() then copies. The envelope is opened and
 * checked against the core header (or the copy of it in the envelope) first. Cost: one unwrap, and a wrap for each
 * recipient whose wrapped key is new. Errors: those of blobseal_reader_open(); E_POLICY if no recipient or more than 64
 * would be left, if a public key is needed that was not passed, if a recipient with an unknown algorithm would need a
 * newly wrapped key, or if the generation is too old or exhausted; E_CONFIG if a key was opened for another algorithm
 * than its recipient has. Source: sections 4 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_change_envelope(struct blobseal_change_result **result, const struct blobseal_source *source,
                         struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_change *change,
                         struct blobseal_error *err);

/*
 * A blob that can be changed in place. Initialise the struct to zero. All functions are called on the caller's thread.
 * `write` writes all @len bytes at @off or fails. `sync` makes what was written to
 * that range durable and, as far as possible, lets later reads return what is stored rather than what is cached. `lock`
 * takes (@on) or releases a lock that excludes other changes, and returns E_EXISTS if somebody else holds it; NULL: the
 * caller excludes them. All three may return E_INPUT, E_OUTPUT, E_NOMEM or E_CANCELED.
 */
struct blobseal_target {
    void *ctx;
    struct blobseal_source source; /* seekable */
    enum blobseal_status (*write)(void *ctx, const void *buf, size_t len, uint64_t off, struct blobseal_error *err);
    enum blobseal_status (*sync)(void *ctx, uint64_t off, uint64_t len, struct blobseal_error *err);
    enum blobseal_status (*lock)(void *ctx, bool on, struct blobseal_error *err);
    uintptr_t reserved[4];
};

/*
 * Make a target over a descriptor of a regular file that is open for reading and writing. It stays the caller's. Its
 * lock is an exclusive lock of the open file description (F_OFD_SETLK) on the byte at offset 2^62. It waits up to two
 * seconds for another change. A shared lock, which readers can take as well, does not hinder it. On a file system
 * without locks it returns E_OUTPUT with BLOBSEAL_ADVICE_NO_LOCK.
 * Errors: E_OUTPUT, E_INPUT, E_ARG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_target_fd(struct blobseal_target *target,
                                                                       struct blobseal_fd *state, int fd,
                                                                       const char *name, struct blobseal_error *err);

/**
 * blobseal_change_in_place - change the recipients of a blob with two slots, in place
 * @result: receives what was done; release it with blobseal_change_result_free()
 * @target: the blob
 * @keks: as for blobseal_change_envelope()
 *
 * Opens the newest envelope and checks it against the core header. Then writes the new one over the other slot, syncs
 * and reads back; writes it over the first slot, syncs and reads back. If this is interrupted at any moment, the old or
 * the new envelope is there; after it has succeeded, the old wrapped key is nowhere in the blob. An earlier change that
 * did not finish is finished, even if nothing else has to be done. The payload is not touched and can be read
 * meanwhile. Cost: as for blobseal_change_envelope(), and two writes of a slot; it does not depend on the size of the
 * blob. Errors: those of blobseal_change_envelope() and of @target; E_EXISTS while another change holds the lock;
 * E_POLICY if the envelope does not fit its slot; E_CONFIG if the blob has one slot or none. Source: section 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_change_in_place(struct blobseal_change_result **result, const struct blobseal_target *target,
                         struct blobseal_kek *const *keks, size_t num_keks, const struct blobseal_change *change,
                         struct blobseal_error *err);

struct blobseal_attach_options {
    size_t size;
    const char *envelope; /* for this blob; NULL keeps that of the source, whose newest valid slot counts */
    size_t envelope_len;
    enum blobseal_layout layout; /* AUTO keeps the layout of the source; DETACHED writes the core alone   */
    uint32_t slot_capacity;      /* as for sealing; 0 keeps that of the source if it is large enough      */
};

/**
 * blobseal_attach - copy a blob with another envelope or layout
 * @sink: receives the blob from offset 0
 * @source: a blob in any layout; all of its core is copied unchanged
 * @options: may be NULL
 *
 * Nothing is opened, so nothing is verified that needs a key. After an error the sink holds an unusable part of a blob.
 * Errors: E_FORMAT, E_UNSUPPORTED; E_POLICY if the envelope does not fit; E_DAMAGED, also if no blob has this length,
 * or if @source has two envelopes of one generation and none is passed; those of @source and @sink.
 * Source: sections 1 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_attach(const struct blobseal_sink *sink,
                                                                    const struct blobseal_source *source,
                                                                    const struct blobseal_attach_options *options,
                                                                    struct blobseal_error *err);

/**
 * blobseal_change_rewrite - change the recipients in a copy of the blob, for stores that cannot write in place
 * @result: receives what was done; release it with blobseal_change_result_free()
 * @sink: receives the new blob from offset 0; NULL is allowed where nothing is written
 * @source: the blob, seekable
 * @keks, @num_keks, @change: as for blobseal_change_envelope()
 * @options: as for blobseal_attach(), without an envelope; may be NULL
 *
 * Does what blobseal_change_envelope() and blobseal_attach() do together. The blob is written even if its recipients
 * stay the same. Nothing is written with `dry_run`, nor if the envelope was and stays detached: the core does not
 * change then, and the caller stores result->envelope. Errors: those of both functions; E_ARG for a sequential source,
 * or an envelope in @options. Source: sections 4 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status
blobseal_change_rewrite(struct blobseal_change_result **result, const struct blobseal_sink *sink,
                        const struct blobseal_source *source, struct blobseal_kek *const *keks, size_t num_keks,
                        const struct blobseal_change *change, const struct blobseal_attach_options *options,
                        struct blobseal_error *err);

/* ---- Looking for corruption, without a key ----------------------------------------------------------------------- */

enum blobseal_damage_kind {
    BLOBSEAL_DAMAGE_FRAME = 1,   /* the frame header, or the zeros after it                               */
    BLOBSEAL_DAMAGE_SLOT,        /* a slot of the frame; of two slots the other one may still be valid    */
    BLOBSEAL_DAMAGE_ENVELOPE,    /* a slot that is intact, but does not hold an envelope of this blob     */
    BLOBSEAL_DAMAGE_CORE_HEADER, /* the envelope has a copy of it                                         */
    BLOBSEAL_DAMAGE_SEGMENT,     /* up to 1 MiB of plaintext                                              */
    BLOBSEAL_DAMAGE_END,         /* the blob was truncated or extended                                    */
};

/* Return "frame", "slot", "envelope", "core-header", "segment", "end" or "unknown". */
BLOBSEAL_API const char *blobseal_damage_name(enum blobseal_damage_kind kind);

#define BLOBSEAL_NO_SEGMENT UINT64_MAX

/* Only the library makes it, so it may grow. */
struct blobseal_damage {
    enum blobseal_damage_kind kind;
    uint64_t segment;        /* its number from 0, or BLOBSEAL_NO_SEGMENT                                 */
    uint64_t offset, length; /* what is damaged, in bytes of the blob; the length may be 0 at its end     */
    const char *text;        /* what is wrong with it: one line, printable, valid during the call only    */
};

struct blobseal_scrub_options {
    size_t size;
    unsigned threads;              /* as for sealing */
    blobseal_progress_fn progress; /* counts bytes of the payload as they are stored */
    void *progress_ctx;
    /* Called for each damage, from any thread, one at a time: first what precedes the payload, then segments in order.
     */
    void (*on_damage)(void *ctx, const struct blobseal_damage *damage);
    void *on_damage_ctx;
    struct blobseal_context *context; /* NULL: the default context */
};

struct blobseal_scrub_result {
    size_t size;
    bool ok;         /* no corruption was found. This does not mean authentic: blobseal_reader_verify() checks that */
    bool repairable; /* blobseal_change_in_place() with `repair` and a private key repairs all that was found     */
    bool payload_checked; /* all of the payload was compared with checksums. False: there are none, or they are unusable
                           */
    uint64_t damaged; /* number of calls of on_damage                                                              */
    uint64_t num_segments; /* that were read */
    uint64_t bytes;       /* that were read                                                                           */
    uint64_t plain_bytes; /* from the length of the blob; BLOBSEAL_SIZE_UNKNOWN if compressed, or no blob is so long  */
    uint64_t generation;  /* of the envelope that counts; 0 without one                                               */
    uint32_t notes;       /* BLOBSEAL_NOTE_                                                                           */
    enum blobseal_layout layout; /* AUTO if unknown */
    uint8_t blob_id[BLOBSEAL_BLOB_ID_LEN];
};

/**
 * blobseal_scrub - look for corruption in a blob
 * @source: the blob, attached or a detached core
 * @options: may be NULL
 * @result: receives what was found
 *
 * Checks the frame header, the slots, what can be seen of the envelope, the core header, the checksum of every segment,
 * and the length. It proves nothing about attackers, because checksums have no key. Damage is reported in @result and
 * never ends the search: neither a damaged header, as long as the rest can be found without it, nor sectors that cannot
 * be read (EIO from a seekable source).
 * Cost: reads all of the blob once, seekable sources in parallel; about 0.3 MiB a worker, 1.1 MiB for a sequential one.
 * Threads: started by this call.
 * Errors: E_FORMAT (not a blob at all), E_UNSUPPORTED, E_INPUT, E_CANCELED. BLOBSEAL_OK means that the search was
 * completed, not that nothing was found.
 * Source: sections 2, 3 and 5.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_scrub(const struct blobseal_source *source,
                                                                   const struct blobseal_scrub_options *options,
                                                                   struct blobseal_scrub_result *result,
                                                                   struct blobseal_error *err);

/* ---- Is everything as it should be? ------------------------------------------------------------------------------ */

enum blobseal_level {
    BLOBSEAL_LEVEL_OK = 0,
    BLOBSEAL_LEVEL_WARNING, /* it works, but slower or less protected than it could    */
    BLOBSEAL_LEVEL_FAILURE, /* a self-test failed: do not seal anything in this state  */
};

/* Only the library makes it, so it may grow. All text is one line, printable, and valid during the call only. */
struct blobseal_finding {
    const char *name;  /* "cpu", "aes-256-gcm", ...  */
    const char *value; /* what was found             */
    enum blobseal_level level;
    const char *hint; /* the next step, or empty */
};

typedef void (*blobseal_finding_fn)(void *ctx, const struct blobseal_finding *finding);

/**
 * blobseal_selftest - check that OpenSSL has the algorithms that this library needs, and computes them correctly
 *
 * Sealing, opening and changing a blob do that when they need it. A program that calls this function when it starts
 * finds out before it has any work. The result is remembered if it is good.
 * Cost: some hundred microseconds, and nothing after the first time. Errors: E_CONFIG if OpenSSL's configuration
 * activates no provider that has an algorithm; E_INTERNAL if a result is wrong; E_NOMEM.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_selftest(struct blobseal_error *err);

/**
 * blobseal_diagnose - examine this machine, this process and the libraries
 * @fn: receives each finding, on the caller's thread
 *
 * Reports CPU features and which of them OpenSSL uses, the number of CPUs, whether OpenSSL has all algorithms, FIPS
 * mode and the provider that serves it, locked memory, mappings and core files. Runs self-tests of the random
 * generator, of the AES-GCM implementations of payload and envelope (known answers, and forgeries that must be
 * refused), XXH3, SHA-256 and key derivation.
 * Cost: a few milliseconds.
 */
BLOBSEAL_API void blobseal_diagnose(blobseal_finding_fn fn, void *ctx);

/**
 * blobseal_diagnose_kek - try a key
 * @options: may be NULL
 * @fn: receives each finding, on the caller's thread
 *
 * Reports which key it is, wraps random bytes with it and, if it can, unwraps them. A key that wraps or unwraps wrongly
 * is a finding of BLOBSEAL_LEVEL_FAILURE. Errors: those of the provider.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_diagnose_kek(struct blobseal_kek *kek,
                                                                          const struct blobseal_call_options *options,
                                                                          blobseal_finding_fn fn, void *ctx,
                                                                          struct blobseal_error *err);

#ifdef __cplusplus
}
#endif
#endif
