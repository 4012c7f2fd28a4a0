/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal_provider.h - for authors of KEK providers.
 *
 * A provider wraps a 32-byte secret with a key that its owner holds, and unwraps it again. The built-in providers in
 * kek/ are written against this header and blobseal.h, as an external provider is.
 *
 *   blobseal_registry_add()   blobseal_kek_open("scheme:rest")      seal            open           blobseal_kek_close()
 *            |                              |                         |              |                      |
 *         (table)  ----------------->  open(rest) ---------------> wrap() -------> unwrap() -----------> close()
 */
#ifndef BLOBSEAL_PROVIDER_H
#define BLOBSEAL_PROVIDER_H

#include <blobseal.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BLOBSEAL_PROVIDER_ABI 3
#define BLOBSEAL_MAX_ALG      64
#define BLOBSEAL_MAX_WRAPPED  4096

/*
 * The limits of one call, from the options of the operation that makes it. The library checks them before each call. A
 * provider that waits, for a network or a token, checks them while it waits: after the deadline it returns
 * E_UNAVAILABLE, and when *cancel is not 0 (read it atomically, another thread writes it) E_CANCELED.
 */
struct blobseal_call {
    size_t size;
    uint64_t deadline_ms;   /* of CLOCK_MONOTONIC; 0: none, the provider's own limits apply */
    const int *cancel;      /* never NULL                                                   */
    const uint8_t *blob_id; /* of the blob that it is for, BLOBSEAL_BLOB_ID_LEN bytes, not authentic; NULL: none */
    struct blobseal_trace *trace; /* NULL, or where a provider says how it answered, for the audit record */
};

/* How a provider answered. Zero but for its size before a call. */
struct blobseal_trace {
    size_t size;
    char request_id[64]; /* of the last request, as the owner's log has it; zero-terminated, '!' to '~' */
    bool cached;         /* no request was needed                                                       */
    bool revoked;        /* the owner has revoked the key as a whole: all leases on it must ask again    */
    bool looked_up;      /* wrap(): its owner said in this call which version of the key is the newest   */
};

/* A wrapped secret and the name of its key (FORMAT.md 4.2). Nothing of it is authentic: compare it, never act on it. */
struct blobseal_wrapped {
    const char *alg;    /* zero-terminated                                                             */
    const char *kid;    /* zero-terminated; NULL: the message does not name a key, the provider may try */
    const uint8_t *key; /* the wrapped secret                                                          */
    size_t key_len;
};

/*
 * Until when a secret that was wrapped or unwrapped may be used, for keys that their owner can revoke. The time starts
 * when the provider sends the request that succeeds. The lease ends when either clock says so. Both 0: there is no
 * limit.
 */
struct blobseal_lease {
    size_t size;
    uint64_t valid_until_boottime_ms; /* CLOCK_BOOTTIME                                                           */
    uint64_t valid_until_unix_ms;     /* CLOCK_REALTIME                                                           */
    uint64_t tag; /* the provider's own, such as the number of the key's version: renew() finds what unwrap() left */
};

/* The end of a lease by both clocks with which renew() asks the owner now, whatever it was told a while ago. */
#define BLOBSEAL_LEASE_ASK_NOW 1

/* What wrap() makes. The key id is that of the key which was really used: a key with versions has many. */
struct blobseal_wrapping {
    size_t size;
    char alg[BLOBSEAL_MAX_ALG + 1]; /* "RSA-OAEP-256", "RSA-OAEP" or "A256KW", zero-terminated */
    char kid[BLOBSEAL_MAX_KID + 1]; /* 1 or more characters from '!' to '~', likewise            */
    uint8_t key[BLOBSEAL_MAX_WRAPPED];
    size_t key_len;              /* 256, 384 or 512 for RSA, 40 for A256KW */
    struct blobseal_lease lease; /* until when a writer may go on sealing for this key */
};

/* What the library needs to know about a key. The strings are valid until close(). */
struct blobseal_kek_info {
    size_t size;
    const char *kid;    /* the key id that wrap() would use now; NULL: not known yet, describe() finds it out */
    const char *alg;    /* the algorithm of wrap(); NULL: not known yet                                       */
    size_t wrapped_len; /* length of what wrap() makes; 0: not known yet                                      */
    bool can_unwrap;
    uint32_t notes; /* BLOBSEAL_KEK_NOTE_ */
};

/*
 * Receives one of several keys: takes over @state, also if it fails. Fill @info as open() does. Any error ends
 * open_all(), which returns it.
 */
struct blobseal_kek_list {
    void *ctx;
    enum blobseal_status (*add)(void *ctx, void *state, const struct blobseal_kek_info *info,
                                struct blobseal_error *err);
};

/* A key that list() found: see struct blobseal_listed_key. */
struct blobseal_found_key {
    size_t size;
    const char *ref, *kid, *type;
    unsigned bits;
    bool can_unwrap, disabled;
    int64_t valid_from, valid_until;
};

/* Receives a key that list() found. Return false to stop. */
typedef bool (*blobseal_found_key_fn)(void *ctx, const struct blobseal_found_key *key);

/*
 * The functions of a provider. open, owns, wrap and unwrap are required, the others may be NULL. This version of the
 * library calls neither list nor generate; programs may.
 *
 * Threads: all functions may be called by many threads at once with one state, except close(), after which there is no
 * other call. A provider that cannot handle this takes a lock. They may block within the limits of @call, which is
 * never NULL. Arguments are valid during the call only.
 *
 * Fork: a child may use the KEKs of its parent. A provider whose state does not survive fork(), such as a connection or
 * memory from blobseal_secret_alloc(), compares process ids in each function and makes it again.
 *
 * Statuses: any function may return E_CONFIG, E_UNAVAILABLE, E_DENIED, E_POLICY, E_INPUT, E_OUTPUT, E_NOMEM,
 * E_INTERNAL, E_CANCELED and E_UNSUPPORTED; unwrap() and decrypt() also E_NOT_MINE and E_AUTH. A status of the
 * provider's own, from BLOBSEAL_STATUS_CALLBACK on, is passed through to the caller. Any other becomes E_INTERNAL.
 */
struct blobseal_provider {
    uint32_t abi;       /* BLOBSEAL_PROVIDER_ABI                                          */
    const char *scheme; /* "file": the text before the first ':' of a key reference       */

    /*
     * Make the state of one key from the reference without its scheme. @options is never NULL, has every member of
     * this version, and is valid during this call only. Fill in @info, whose size is set; leave out what would take a
     * request that may not be needed.
     */
    enum blobseal_status (*open)(void **state, struct blobseal_kek_info *info, const char *ref,
                                 const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                 struct blobseal_error *err);

    /* Open all keys that the reference names, in their order, each once, for blobseal_keks_open(). open() fails with
     * E_CONFIG if there are several. NULL: a reference names one key. */
    enum blobseal_status (*open_all)(const struct blobseal_kek_list *list, const char *ref,
                                     const struct blobseal_kek_options *options, const struct blobseal_call *call,
                                     struct blobseal_error *err);

    /* Fill in all of @info. Called only if open() left something out and somebody needs it. */
    enum blobseal_status (*describe)(void *state, struct blobseal_kek_info *info, const struct blobseal_call *call,
                                     struct blobseal_error *err);

    /* Return true if this key wrapped what a recipient with @alg and @kid holds, in any of its versions. No input or
     * output: both names come from untrusted data. */
    bool (*owns)(void *state, const char *alg, const char *kid);

    /* Wrap @secret. Fill in @out, whose sizes are set and whose other members are zero; its lease, if the key can be
     * revoked and this process may not seal for it for ever after. */
    enum blobseal_status (*wrap)(void *state, struct blobseal_wrapping *out, const struct blobseal_secret32 *secret,
                                 const struct blobseal_call *call, struct blobseal_error *err);

    /*
     * Unwrap. Called if owns() returned true, or without a kid. Return E_NOT_MINE to let the next key try. Return
     * E_AUTH if the secret does not decrypt, or not to 32 bytes, without any detail, and only then: a failure of memory
     * or of a library is another error. E_UNAVAILABLE, E_DENIED and E_UNSUPPORTED are remembered while other keys are
     * tried. Any other error ends the opening. Fill in @lease, which is all zero except for its size, if the key can be
     * revoked.
     */
    enum blobseal_status (*unwrap)(void *state, struct blobseal_secret32 *secret,
                                   const struct blobseal_wrapped *wrapped, struct blobseal_lease *lease,
                                   const struct blobseal_call *call, struct blobseal_error *err);

    /*
     * Decrypt a message of any length that RSAES-OAEP allows, for formats that encrypt more than a key of 32 bytes for
     * a recipient. Called, with the same limits and errors, like unwrap(). @out has room for *@len bytes; set *@len to
     * the length of the message. Return E_AUTH also if the message is longer. NULL: this key unwraps secrets only.
     */
    enum blobseal_status (*decrypt)(void *state, uint8_t *out, size_t *len, const struct blobseal_wrapped *wrapped,
                                    const struct blobseal_call *call, struct blobseal_error *err);

    /*
     * Ask the owner of the key whether it may still be used, and extend @lease, which is as wrap(), unwrap() or the
     * last renew() left it. Called before the first use after the end of a lease, by one thread at a time for each
     * lease. E_DENIED is final for this lease, and makes the other leases on the same KEK ask as well; after any other
     * error the next use asks again. NULL: leases of this provider are never extended.
     */
    enum blobseal_status (*renew)(void *state, struct blobseal_lease *lease, const struct blobseal_call *call,
                                  struct blobseal_error *err);

    /* Make the public half: the DER of a SubjectPublicKeyInfo (RFC 5280), from malloc(). NULL: it cannot be had. */
    enum blobseal_status (*public_key)(void *state, uint8_t **spki, size_t *len, const struct blobseal_call *call,
                                       struct blobseal_error *err);

    /* Report what somebody should know who wants to use the key, on the caller's thread. */
    enum blobseal_status (*diagnose)(void *state, blobseal_finding_fn fn, void *fn_ctx,
                                     const struct blobseal_call *call, struct blobseal_error *err);

    /* Report the keys in the place that @ref names, such as a token or a vault. */
    enum blobseal_status (*list)(const char *ref, const struct blobseal_kek_options *options, blobseal_found_key_fn fn,
                                 void *fn_ctx, const struct blobseal_call *call, struct blobseal_error *err);

    /* Generate an RSA key of @bits, which open() then opens by the same reference. Never replace a key: E_CONFIG. */
    enum blobseal_status (*generate)(const char *ref, const struct blobseal_kek_options *options, unsigned bits,
                                     const struct blobseal_call *call, struct blobseal_error *err);

    /* Wipe and release the state. */
    void (*close)(void *state);
};

/* Make a registry with the built-in providers. Release it with blobseal_registry_free() after its KEKs are opened. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_registry_new(struct blobseal_registry **registry,
                                                                          struct blobseal_error *err);
BLOBSEAL_API void blobseal_registry_free(struct blobseal_registry *registry);

/*
 * Add @provider, which must outlive every KEK that is opened through it, and also the readers, writers and unlocked
 * keys that have a lease on such a KEK. It replaces a provider with the same scheme. Not while other threads use
 * @registry. Errors: E_ARG for a wrong abi, a missing function, or a scheme that is not [a-z][a-z0-9+.-]{0,30}.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_registry_add(struct blobseal_registry *registry,
                                                                          const struct blobseal_provider *provider,
                                                                          struct blobseal_error *err);

/*
 * Make a KEK from a provider and a state that the caller made, without a reference. If this succeeds, the KEK owns
 * @state and closes it; otherwise the caller still owns it. @provider must stay valid as for blobseal_registry_add().
 * @info must name the key unless the provider has describe(). Errors: E_ARG.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_kek_new(struct blobseal_kek **kek,
                                                                     const struct blobseal_provider *provider,
                                                                     void *state, const struct blobseal_kek_info *info,
                                                                     struct blobseal_error *err);

/* ---- Helpers ----------------------------------------------------------------------------------------------------- */

/*
 * Fill @err (NULL is allowed) and return @status: `return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read key %s:
 * ...")`. If @sys_errno is not 0, its text is appended. Bytes that are not printable UTF-8 become '?'. Hint and advice
 * are cleared.
 */
BLOBSEAL_API enum blobseal_status blobseal_fail(struct blobseal_error *err, enum blobseal_status status, int sys_errno,
                                                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Set the hint of @err (NULL is allowed), without advice. */
BLOBSEAL_API void blobseal_hint(struct blobseal_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Set the hint of @err (NULL is allowed), and the advice and its subject (may be NULL), which mean the same. */
BLOBSEAL_API void blobseal_advise(struct blobseal_error *err, enum blobseal_advice advice, const char *subject,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Return the length of the well-formed UTF-8 character (RFC 3629 section 4) at @p, which has @left > 0 bytes, or 0. */
BLOBSEAL_API size_t blobseal_utf8_len(const uint8_t *p, size_t left);

/*
 * Replace everything in @text that is not printable UTF-8 with '?'. Names of files and blobs may be hostile, and none
 * of their control characters may reach a terminal.
 */
BLOBSEAL_API void blobseal_make_printable(char *text);

/*
 * Copy @theirs, a caller's struct that starts with its size at compile time, to @own, which has all members of this
 * version. The size itself is not copied. Members that @theirs lacks keep their value in @own; NULL lacks all of them.
 * Return false if the size is invalid, or if a member that this version does not know is not zero.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE bool blobseal_struct_import(void *own, size_t own_size, const void *theirs);

/*
 * Allocate memory for secrets: it is locked if the limit allows it, left out of core dumps, and emptied in a forked
 * child. More than 128 bytes have pages of their own, with an inaccessible page on either side; less is a slot of 64 or
 * 128 bytes between other small secrets. Return NULL if there is no memory. Freeing wipes it; a few pages are kept for
 * later allocations.
 */
BLOBSEAL_API void *blobseal_secret_alloc(size_t len);
BLOBSEAL_API void blobseal_secret_free(void *p);

/* Overwrite @len bytes in a way that the compiler does not remove. */
BLOBSEAL_API void blobseal_wipe(void *p, size_t len);

/* Return true if @len bytes are equal. Takes the same time for all contents. */
BLOBSEAL_API bool blobseal_equal(const void *a, const void *b, size_t len);

/* Fill @p with random bytes; @secret selects the generator for secrets. Return false if there is no randomness. */
BLOBSEAL_API BLOBSEAL_MUST_USE bool blobseal_random(void *p, size_t len, bool secret);

/* Length of the base64url text of @len bytes, without a zero byte. */
#define BLOBSEAL_BASE64URL_LEN(len) (((len) / 3 * 4) + ((len) % 3 ? (len) % 3 + 1 : 0))

/*
 * Encode as base64url (RFC 4648 section 5) without padding. @out has room for BLOBSEAL_BASE64URL_LEN(len) bytes; no
 * zero byte is added.
 */
BLOBSEAL_API void blobseal_base64url_encode(char *out, const uint8_t *in, size_t len);

/*
 * Decode canonical base64url into @out, which has room for @cap bytes and may be @in itself. Return false for a
 * character outside the alphabet, padding, an impossible length, unused bits that are not zero, or more than @cap
 * bytes. The time does not depend on the characters.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE bool blobseal_base64url_decode(uint8_t *out, size_t cap, size_t *out_len, const char *in,
                                                              size_t len);

#ifdef __cplusplus
}
#endif
#endif
