/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: what every other module builds on: errors, versioned structs, memory, text, SHA-256, base64url and JSON. The
 * parts that providers need as well are declared in blobseal_provider.h.
 */
#ifndef BLOBSEAL_BASE_H
#define BLOBSEAL_BASE_H

#include "blobseal.h"
#include "blobseal_provider.h"
#include "core/base/bytes.h"

#define BS_COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- error.c ----------------------------------------------------------------------------------------------------- */

/*
 * Clear @err (NULL is allowed) before calling a callback, because callbacks may fail without filling it. After the
 * call, pass the status that the callback returned to bs_checked(), which fills @err from @format if the status is a
 * failure that @err does not already report. Returns @st.
 */
void bs_error_clear(struct blobseal_error *err);
enum blobseal_status bs_checked(enum blobseal_status st, struct blobseal_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Statuses of the library that a callback may return, as bits. It may also return OK and statuses of its own. */
#define BS_MAY_RETURN(status) (UINT32_C(1) << (status))

/*
 * Check the status @st that a callback returned. Clear @err before the call. A status that the callback may return is
 * returned unchanged, and @err gets a general message if the callback left none. Any other status becomes E_INTERNAL.
 * @format says what was being done. Do not use this for callbacks inside the library.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_callback_status(enum blobseal_status st, uint32_t allowed,
                                                          struct blobseal_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- struct.c ---------------------------------------------------------------------------------------------------- */

/*
 * Copy @own, a result of @own_size bytes with all members of this version, to the caller's struct @theirs (NULL is
 * allowed). Members beyond the size given in @theirs are left out. This is the reverse of blobseal_struct_import().
 * Return false if @theirs has no valid size.
 */
BLOBSEAL_MUST_USE bool bs_struct_export(void *theirs, const void *own, size_t own_size);

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

/*
 * Allocate @len zeroed bytes for plaintext. From 128 KiB on, the memory is a separate mapping that is excluded from
 * core dumps and returned to the system by bs_unmap(). Smaller blocks come from the heap, and bs_unmap() wipes them.
 * Return NULL if there is no memory.
 */
void *bs_map(size_t len);
void bs_unmap(void *p, size_t len);

/* Name the limit that the process has reached in the hint of @err, if it is a limit for mappings or for the address
 * space. blobseal_fail() calls this for E_NOMEM. */
void bs_hint_memory(struct blobseal_error *err);

/* Fill @p with random bytes, as blobseal_random() does. Errors: E_NOMEM, E_CONFIG, E_INTERNAL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_random(void *p, size_t len, bool secret, struct blobseal_error *err);

/* Return false if OpenSSL has released its global state, as it does when the process exits. */
bool bs_openssl_is_usable(void);

/* ---- secret.c: what blobseal_secret_alloc() has, for struct blobseal_counters ------------------------------------ */

struct bs_secret_counters {
    uint64_t unlocked_secrets;             /* secrets that were stored in memory that could not be locked */
    uint64_t locked_bytes, unlocked_bytes; /* now, in whole pages                                          */
};

struct bs_secret_counters bs_secret_counters(void);

/* Return all memory for secrets that contains none to the system. */
void bs_secret_trim(void);

/* ---- process.c --------------------------------------------------------------------------------------------------- */

/* Return a number that differs from the number of the parent and of all other ancestors. Costs a few nanoseconds. */
uint64_t bs_process_id(void);

/* Check that an object that was made by process @id does not belong to a parent. @what names the object. Errors:
 * E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_check_process(uint64_t id, const char *what, struct blobseal_error *err);

/* ---- text.c: strings packed after the struct that points to them ------------------------------------------------- */

/* Return the length of @s including its terminating zero byte, or 0 if @s is NULL. */
size_t bs_packed_len(const char *s);

/* Copy @s and its terminating zero byte to *@at, advance *@at past the copy, and return the copy. If @s is NULL, copy
 * nothing and return NULL. */
const char *bs_pack_string(char **at, const char *s);

/* Like the two functions above, but for all strings of a recipient. */
size_t bs_packed_recipient_len(const struct blobseal_recipient *r);
struct blobseal_recipient bs_pack_recipient(char **at, const struct blobseal_recipient *r);

/* ---- sha256.c ---------------------------------------------------------------------------------------------------- */

#define BS_SHA256_LEN 32

struct bs_sha256 {
    void *ctx;
    bool ok;
};

/* Compute SHA-256 over data that is added in pieces. bs_sha256_end() or bs_sha256_clear() must always be called:
 * they release the state. bs_sha256_end() is the only function that reports a failure (no memory). */
struct bs_sha256 bs_sha256_start(void);
void bs_sha256_add(struct bs_sha256 *h, const void *p, size_t len);
BLOBSEAL_MUST_USE bool bs_sha256_end(struct bs_sha256 *h, uint8_t out[BS_SHA256_LEN]);

/* Return a copy of the state, to which other data can be added. Release it like any other. */
struct bs_sha256 bs_sha256_copy(const struct bs_sha256 *h);

/* Release the state without computing a digest. A state that is all zero is allowed. */
void bs_sha256_clear(struct bs_sha256 *h);

/* Compute the SHA-256 of @len bytes at @p. Return false if there is no memory. */
BLOBSEAL_MUST_USE bool bs_sha256(uint8_t out[BS_SHA256_LEN], const void *p, size_t len);

/* ---- algorithms.c: what OpenSSL's configuration provides --------------------------------------------------------- */

/* Return true if OpenSSL's default properties contain fips=yes. A program can change that at any time. */
bool bs_fips_mode(void);

/*
 * The algorithms that this library needs. `provider` returns the provider from which OpenSSL takes the algorithm under
 * the default properties, which is how this library fetches all algorithms; NULL if there is none, or no memory.
 */
#define BS_NUM_ALGORITHMS 6
struct bs_algorithm {
    const char *name;
    const struct ossl_provider_st *(*provider)(void);
    int operation; /* of OpenSSL, to which it belongs */
    const char *openssl_name;
};
extern const struct bs_algorithm bs_algorithms[BS_NUM_ALGORITHMS];

/*
 * Initialise OpenSSL. Functions that may be the first to use it call this. If memory is short meanwhile, OpenSSL stays
 * unusable in this process, and some of its functions would crash. Cheap after the first time. Errors: E_NOMEM.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_openssl_start(struct blobseal_error *err);

/* Check that OpenSSL finds each algorithm. Errors: E_CONFIG, E_NOMEM. */
BLOBSEAL_MUST_USE enum blobseal_status bs_algorithms_check(struct blobseal_error *err);

/*
 * Report why OpenSSL does not find @algorithm, which is a name from bs_algorithms, "AES-256-CTR" or "HMAC". Return
 * E_CONFIG if no active provider has it. Otherwise there is no memory, or there was none when OpenSSL started, which
 * can leave it in this state: E_NOMEM.
 */
enum blobseal_status bs_no_provider(const char *algorithm, struct blobseal_error *err);

/* Return true if memory is so short that it explains a failure inside OpenSSL, which does not report its causes. */
bool bs_memory_is_exhausted(void);

/*
 * Report why OpenSSL failed twice at what only the machine can make fail, and not the data. @format names what was
 * tried. OpenSSL's error queue is cleared. Return E_NOMEM, E_CONFIG if a provider is missing, otherwise E_INTERNAL.
 */
enum blobseal_status bs_openssl_failed(struct blobseal_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- methods.c: algorithms of OpenSSL, found once ---------------------------------------------------------------- */

/*
 * Do what EVP_MD_fetch() and EVP_CIPHER_fetch() do under the default properties, without a search each time. Release
 * the result with EVP_MD_free() or EVP_CIPHER_free(). Return NULL if no active provider has it, or if there is no
 * memory.
 */
struct evp_md_st *bs_fetch_sha256(void);
struct evp_cipher_st *bs_fetch_aes_256_gcm(void);

/* Return a new context for HMAC with SHA-512, to be initialised with a key. Release it with EVP_MAC_CTX_free(). Return
 * NULL in the same cases. */
struct evp_mac_ctx_st *bs_hmac_sha512(void);

/* ---- base64url.c ------------------------------------------------------------------------------------------------- */

/* Append @len bytes at @p in base64url. */
void bs_put_base64url(struct bs_builder *w, const void *p, size_t len);

/* ---- base64.c: the other alphabet, with padding ------------------------------------------------------------------ */

/* Length of the base64 text of @len bytes, without a zero byte. */
#define BS_BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Decode *@len characters at @p in place, and set *@len to the number of bytes. Return false if they are not base64. */
BLOBSEAL_MUST_USE bool bs_base64_decode(uint8_t *p, size_t *len);

/* Append @len bytes at @p in base64. */
void bs_put_base64(struct bs_builder *w, const void *p, size_t len);

/* ---- json.c: strict JSON, parsed in place (FORMAT.md section 4.1) ------------------------------------------------ */

struct bs_json {
    uint8_t *p, *end;
    unsigned depth;
    bool first;   /* the next element or member is the first of its container                           */
    bool lenient; /* values that are skipped may be any JSON; otherwise strings, integers and containers */
    bool ok;
};

/* Start parsing @len bytes of @text. Strings are unescaped in place. After the first error every call returns false. */
struct bs_json bs_json_start(uint8_t *text, size_t len);

/* Enter the object or array that comes next. Return false if something else comes next. */
bool bs_json_object(struct bs_json *j);
bool bs_json_array(struct bs_json *j);

/* Read the name of the next member. Its value must be read before the next call. Return false at the end of the object,
 * or after an error. */
bool bs_json_member(struct bs_json *j, struct bs_slice *name);

/* Return true if the array has another element, false at its end or after an error. */
bool bs_json_element(struct bs_json *j);

/* Read a string and unescape it. @out points into the text; a zero byte, not included in its length, follows it. */
bool bs_json_string(struct bs_json *j, struct bs_slice *out);

/*
 * Read a string that must contain exactly @len bytes in base64url. Return false if the string contains anything else.
 * If the JSON itself is malformed, return true; bs_json_end() reports that error.
 */
bool bs_json_fixed(struct bs_json *j, uint8_t *out, size_t len);

/* Read a decimal integer from 0 to 2^53 - 1, without sign, fraction, exponent or leading zeros. */
bool bs_json_uint(struct bs_json *j, uint64_t *out);

/* Return true and consume it if `null` comes next. Otherwise consume nothing. */
bool bs_json_null(struct bs_json *j);

/* Skip the next value, whatever it is. */
bool bs_json_skip(struct bs_json *j);

/* Return true if the whole text was parsed without an error. */
BLOBSEAL_MUST_USE bool bs_json_end(struct bs_json *j);

/* Append @text, which is UTF-8, as a JSON string. Only the characters that JSON requires to be escaped are escaped. */
void bs_put_json_string(struct bs_builder *w, const char *text);

#endif
