/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal_provider.h - for those who write a KEK provider.
 *
 * A provider wraps a 32-byte secret under a key that its owner holds, and unwraps it again. The providers in kek/ are
 * written against this header and blobseal.h alone, exactly as an outside one is.
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

#define BLOBSEAL_PROVIDER_ABI 1
#define BLOBSEAL_SECRET_LEN   32
#define BLOBSEAL_MAX_WRAPPED  512 /* RSA-4096 */

/* The 32-byte secret that a provider wraps: the CEK of an envelope. */
struct blobseal_secret32 {
    uint8_t b[BLOBSEAL_SECRET_LEN];
};

/* How a recipient names its key (FORMAT.md 4.2). Not authentic yet: compare it, never act on it. */
struct blobseal_wrapped {
    const char *alg;    /* zero-terminated                                                          */
    const char *kid;    /* zero-terminated; NULL where the message names no key: the provider may try */
    const uint8_t *key; /* the wrapped secret                                                       */
    size_t key_len;
};

/* What core asks of a key. Filled by open(), valid until close(). */
struct blobseal_kek_info {
    const char *kid;    /* 1 to BLOBSEAL_MAX_KID characters from '!' to '~'         */
    const char *alg;    /* that wrap() uses: "RSA-OAEP-256" or "RSA-OAEP"           */
    size_t wrapped_len; /* bytes that wrap() yields, at most BLOBSEAL_MAX_WRAPPED   */
    bool can_unwrap;
};

/*
 * The table of functions of a provider. All but `close` are required.
 *
 * Threads: wrap() and unwrap() may be called by many threads at once on one state; a provider that cannot locks.
 * Both may block, within limits that the provider sets itself.
 */
struct blobseal_provider {
    uint32_t abi;       /* BLOBSEAL_PROVIDER_ABI                                          */
    const char *scheme; /* "file": the text before the first ':' of a key reference       */

    /*
     * Make the state of one key from the reference without its scheme. @options is never NULL and has every member
     * of this version. Fills @info.
     */
    enum blobseal_status (*open)(void **state, struct blobseal_kek_info *info, const char *ref,
                                 const struct blobseal_kek_options *options, struct blobseal_error *err);

    /* Wrap @secret into @out, which has room for info->wrapped_len bytes. */
    enum blobseal_status (*wrap)(void *state, uint8_t *out, const struct blobseal_secret32 *secret,
                                 struct blobseal_error *err);

    /*
     * Unwrap. NOT_MINE: the kid is not this key's, try the next KEK. AUTH: it does not decrypt, or not to 32 bytes;
     * say nothing more. UNAVAILABLE and DENIED: remembered while other KEKs are tried. Any other error ends the
     * opening. Look at the kid first, and do nothing for one that is not yours.
     */
    enum blobseal_status (*unwrap)(void *state, struct blobseal_secret32 *secret,
                                   const struct blobseal_wrapped *wrapped, struct blobseal_error *err);

    /* Release the state and wipe it. */
    void (*close)(void *state);
};

/* A registry with the library's own providers. Release with blobseal_registry_free() after its KEKs are opened. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_registry_new(struct blobseal_registry **registry,
                                                                          struct blobseal_error *err);
BLOBSEAL_API void blobseal_registry_free(struct blobseal_registry *registry);

/*
 * Add @provider, which must outlive every KEK opened through it. It takes the place of one with the same scheme.
 * ARG: wrong abi, a missing function, or a scheme that is not [a-z][a-z0-9+.-]{0,30}. Not while other threads use
 * @registry.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_registry_add(struct blobseal_registry *registry,
                                                                          const struct blobseal_provider *provider,
                                                                          struct blobseal_error *err);

/*
 * A KEK from a provider and a state that the caller made, without a reference. On success the KEK owns @state and
 * closes it; on failure the caller still does.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_kek_new(struct blobseal_kek **kek,
                                                                     const struct blobseal_provider *provider,
                                                                     void *state, const struct blobseal_kek_info *info,
                                                                     struct blobseal_error *err);

/* ---- Helpers ----------------------------------------------------------------------------------------------------- */

/*
 * Fill @err (NULL is allowed) and answer @status: `return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "read key %s:
 * ...")`.
 * @sys_errno is appended as text where not 0. What is not printable UTF-8 becomes '?'. The hint is emptied.
 */
BLOBSEAL_API enum blobseal_status blobseal_fail(struct blobseal_error *err, enum blobseal_status status, int sys_errno,
                                                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Set the hint of @err (NULL is allowed), without advice. */
BLOBSEAL_API void blobseal_hint(struct blobseal_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Set the hint of @err (NULL is allowed), and the advice and its subject (may be NULL) that say the same to a program.
 */
BLOBSEAL_API void blobseal_advise(struct blobseal_error *err, enum blobseal_advice advice, const char *subject,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Length of the well-formed UTF-8 character (RFC 3629 section 4) at @p, where @left > 0 bytes are; 0 if there is none.
 */
BLOBSEAL_API size_t blobseal_utf8_len(const uint8_t *p, size_t left);

/*
 * Replace what is not printable UTF-8 in @text by '?': names of files and blobs can be hostile, and no control
 * character of theirs shall reach a terminal.
 */
BLOBSEAL_API void blobseal_make_printable(char *text);

/*
 * Copy @theirs, a struct of a caller's that starts with the size_t that it had when the caller was compiled, over @own,
 * which has all members of this version, behind their sizes. What @theirs lacks stays as it is in @own; NULL lacks
 * everything. False: it has no size, or a member that this version lacks and that is not zero.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE bool blobseal_struct_import(void *own, size_t own_size, const void *theirs);

/*
 * Memory for secrets: whole pages, locked where the limit allows, out of core dumps, emptied in a forked child, with an
 * inaccessible page on either side. NULL without memory. Freeing wipes; a few pages are kept for the next who asks.
 */
BLOBSEAL_API void *blobseal_secret_alloc(size_t len);
BLOBSEAL_API void blobseal_secret_free(void *p);

/* Overwrite @len bytes in a way that the compiler keeps. */
BLOBSEAL_API void blobseal_wipe(void *p, size_t len);

/* Compare in constant time. */
BLOBSEAL_API bool blobseal_equal(const void *a, const void *b, size_t len);

/* Fill @p from the CSPRNG; @secret chooses the generator that is kept for secrets. False: no randomness to be had. */
BLOBSEAL_API BLOBSEAL_MUST_USE bool blobseal_random(void *p, size_t len, bool secret);

/* Length of the base64url text of @len bytes, without a zero byte. */
#define BLOBSEAL_BASE64URL_LEN(len) (((len) / 3 * 4) + ((len) % 3 ? (len) % 3 + 1 : 0))

/* RFC 4648 section 5, without padding. @out has room for BLOBSEAL_BASE64URL_LEN(len) bytes; no zero byte is added. */
BLOBSEAL_API void blobseal_base64url_encode(char *out, const uint8_t *in, size_t len);

/*
 * Decode canonical base64url into @out (room for cap bytes; may be @in itself). False: a character outside the
 * alphabet, padding, an impossible length, stray low bits, or more than cap bytes. Constant time in the characters.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE bool blobseal_base64url_decode(uint8_t *out, size_t cap, size_t *out_len, const char *in,
                                                              size_t len);

#ifdef __cplusplus
}
#endif
#endif
