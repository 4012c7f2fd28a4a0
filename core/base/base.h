/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: what every other module stands on. Errors, structs that grow, memory, SHA-256, base64url and JSON. The parts
 * that providers need as well are declared in blobseal_provider.h.
 */
#ifndef BLOBSEAL_BASE_H
#define BLOBSEAL_BASE_H

#include "blobseal.h"
#include "blobseal_provider.h"
#include "core/base/bytes.h"

#define BS_COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- error.c ----------------------------------------------------------------------------------------------------- */

/*
 * Callbacks may fail without filling @err (NULL is allowed). Clear it before the call; afterwards bs_checked() adds a
 * generic message if the callback wrote none. It returns @st.
 */
void bs_error_clear(struct blobseal_error *err);
enum blobseal_status bs_checked(enum blobseal_status st, struct blobseal_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- struct.c ---------------------------------------------------------------------------------------------------- */

/*
 * Copy the result @own, which has all members of this version, to @theirs, as far as the caller's size reaches: the
 * reverse of blobseal_struct_import(). NULL is allowed. Return false if @theirs has no valid size.
 */
BLOBSEAL_MUST_USE bool bs_struct_export(void *theirs, const void *own, size_t own_size);

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

/*
 * Allocate zeroed memory for plaintext. From 128 KiB on it is a mapping of its own that stays out of core files and is
 * returned to the system when released; below that it comes from the heap and is wiped. NULL without memory.
 */
void *bs_map(size_t len);
void bs_unmap(void *p, size_t len);

/* ---- text.c: strings packed after the struct that points to them ------------------------------------------------- */

/* Return the length of @s with its zero byte, or 0 for NULL. */
size_t bs_packed_len(const char *s);

/* Copy @s with its zero byte to *@at, move *@at past it, and return the copy. NULL stays NULL. */
const char *bs_pack_string(char **at, const char *s);

/* The same for the strings of a recipient. */
size_t bs_packed_recipient_len(const struct blobseal_recipient *r);
struct blobseal_recipient bs_pack_recipient(char **at, const struct blobseal_recipient *r);

/* ---- sha256.c ---------------------------------------------------------------------------------------------------- */

#define BS_SHA256_LEN 32

struct bs_sha256 {
    void *ctx;
    bool ok;
};

/* Start, add, end. A failure (no memory) shows at the end only, which always releases the state. */
struct bs_sha256 bs_sha256_start(void);
void bs_sha256_add(struct bs_sha256 *h, const void *p, size_t len);
BLOBSEAL_MUST_USE bool bs_sha256_end(struct bs_sha256 *h, uint8_t out[BS_SHA256_LEN]);

/* ---- base64url.c ------------------------------------------------------------------------------------------------- */

/* Append the base64url text of @len bytes. */
void bs_put_base64url(struct bs_builder *w, const void *p, size_t len);

/* ---- json.c: strict JSON, parsed in place (FORMAT.md section 4.1) ------------------------------------------------ */

struct bs_json {
    uint8_t *p, *end;
    unsigned depth;
    bool first; /* the next entry is the first of its container */
    bool ok;
};

/* Start to parse @len bytes of @text. Strings are unescaped into the text itself. */
struct bs_json bs_json_start(uint8_t *text, size_t len);

/* Enter the object or array that comes next. */
bool bs_json_object(struct bs_json *j);
bool bs_json_array(struct bs_json *j);

/* Read the next member's name. Its value must be read before the next call. False at the end of the object, or on
 * error. */
bool bs_json_member(struct bs_json *j, struct bs_slice *name);

/* Return true if the array has another element. False at the end of the array, or on error. */
bool bs_json_element(struct bs_json *j);

/* Read a string and unescape it. It points into the text; a zero byte that is not counted follows it. */
bool bs_json_string(struct bs_json *j, struct bs_slice *out);

/*
 * Read a string that is exactly @len bytes in base64url. Return false if it is another string; an error of the JSON
 * itself is noted in @j, and shows in bs_json_end().
 */
bool bs_json_fixed(struct bs_json *j, uint8_t *out, size_t len);

/* Read a plain decimal integer up to 2^53 - 1. */
bool bs_json_uint(struct bs_json *j, uint64_t *out);

/* Return true if all of the text was read, without an error. */
BLOBSEAL_MUST_USE bool bs_json_end(struct bs_json *j);

/* Append @text, which is UTF-8, as a JSON string. Only characters that must be escaped are. */
void bs_put_json_string(struct bs_builder *w, const char *text);

#endif
