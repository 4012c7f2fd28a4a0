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

#define BLOBSEAL_PROVIDER_ABI 1
#define BLOBSEAL_SECRET_LEN   32
#define BLOBSEAL_MAX_WRAPPED  512 /* RSA-4096 */

/* The 32-byte secret that a provider wraps: the content encryption key (CEK) of an envelope. */
struct blobseal_secret32 {
    uint8_t b[BLOBSEAL_SECRET_LEN];
};

/* A wrapped secret and the name of its key (FORMAT.md 4.2). Nothing of it is authentic: compare it, never act on it. */
struct blobseal_wrapped {
    const char *alg;    /* zero-terminated                                                             */
    const char *kid;    /* zero-terminated; NULL: the message does not name a key, the provider may try */
    const uint8_t *key; /* the wrapped secret                                                          */
    size_t key_len;
};

/* What the library needs to know about a key. Filled in by open(), valid until close(). */
struct blobseal_kek_info {
    const char *kid;    /* 1 to BLOBSEAL_MAX_KID characters from '!' to '~'          */
    const char *alg;    /* the algorithm of wrap(): "RSA-OAEP-256" or "RSA-OAEP"     */
    size_t wrapped_len; /* length of what wrap() writes, at most BLOBSEAL_MAX_WRAPPED */
    bool can_unwrap;
};

/*
 * The functions of a provider. All but `close` are required.
 *
 * Threads: wrap() and unwrap() may be called by many threads at once with one state; a provider that cannot handle this
 * takes a lock. Both may block, within limits that the provider enforces.
 */
struct blobseal_provider {
    uint32_t abi;       /* BLOBSEAL_PROVIDER_ABI                                          */
    const char *scheme; /* "file": the text before the first ':' of a key reference       */

    /*
     * Make the state of one key from the reference without its scheme. @options is never NULL, has every member of
     * this version, and is valid during this call only. Fill in @info.
     */
    enum blobseal_status (*open)(void **state, struct blobseal_kek_info *info, const char *ref,
                                 const struct blobseal_kek_options *options, struct blobseal_error *err);

    /* Wrap @secret into @out, which has room for info->wrapped_len bytes. */
    enum blobseal_status (*wrap)(void *state, uint8_t *out, const struct blobseal_secret32 *secret,
                                 struct blobseal_error *err);

    /*
     * Unwrap. Compare the kid first, and do nothing if it is not this key's: return E_NOT_MINE, and the next KEK is
     * tried. Return E_AUTH if the secret does not decrypt, or not to 32 bytes, without any detail. E_UNAVAILABLE and
     * E_DENIED are remembered while other KEKs are tried. Any other error ends the opening.
     */
    enum blobseal_status (*unwrap)(void *state, struct blobseal_secret32 *secret,
                                   const struct blobseal_wrapped *wrapped, struct blobseal_error *err);

    /* Wipe and release the state. */
    void (*close)(void *state);
};

/* Make a registry with the built-in providers. Release it with blobseal_registry_free() after its KEKs are opened. */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_registry_new(struct blobseal_registry **registry,
                                                                          struct blobseal_error *err);
BLOBSEAL_API void blobseal_registry_free(struct blobseal_registry *registry);

/*
 * Add @provider, which must outlive every KEK that is opened through it. It replaces a provider with the same scheme.
 * Not while other threads use @registry.
 * Errors: E_ARG for a wrong abi, a missing function, or a scheme that is not [a-z][a-z0-9+.-]{0,30}.
 */
BLOBSEAL_API BLOBSEAL_MUST_USE enum blobseal_status blobseal_registry_add(struct blobseal_registry *registry,
                                                                          const struct blobseal_provider *provider,
                                                                          struct blobseal_error *err);

/*
 * Make a KEK from a provider and a state that the caller made, without a reference. If this succeeds, the KEK owns
 * @state and closes it; otherwise the caller still owns it.
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
