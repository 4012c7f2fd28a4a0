/* SPDX-License-Identifier: Apache-2.0 */
/* kek: the operations on a KEK that core uses. Results of providers are checked here, so that core can rely on them. */
#ifndef BLOBSEAL_KEK_H
#define BLOBSEAL_KEK_H

#include <pthread.h>

#include "blobseal_provider.h"
#include "core/base/bytes.h"

/* ---- registry.c -------------------------------------------------------------------------------------------------- */

/* The built-in providers, with NULL after the last. Defined in core/providers.c. */
extern const struct blobseal_provider *const bs_builtin_providers[];

/* Return true if @text is 1 to @max characters from '!' to '~', as key ids and algorithms are. */
bool bs_is_token(const char *text, size_t max);

/* Check the table of a provider. Errors: E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_provider_check(const struct blobseal_provider *p, struct blobseal_error *err);

/* ---- kek.c: KEK objects ------------------------------------------------------------------------------------------ */

/* The KEKs to unwrap with, or to wrap for, and the limits of the operation. All of it belongs to the caller. */
struct bs_keks {
    struct blobseal_kek *const *list;
    size_t num;
    const struct blobseal_call *call; /* NULL: no limits */
};

/* Start the time that an operation may spend in providers. @cancel may be NULL. */
struct blobseal_call bs_call_start(uint32_t timeout_ms, const int *cancel);

/* Return the limits for something that is done beside @call, which does not need it: at most half of the time that is
 * left of the call, and at most @limit_ms. */
struct blobseal_call bs_call_aside(const struct blobseal_call *call, uint32_t limit_ms);

/* Start it with the limits in @options, which may be NULL. @what is being done, for the message. Errors: E_ARG. */
BLOBSEAL_MUST_USE enum blobseal_status bs_call_import(struct blobseal_call *call,
                                                      const struct blobseal_call_options *options, const char *what,
                                                      struct blobseal_error *err);

/* Return @call (NULL: no limits) for the blob @blob_id, which audit records and providers then know. */
struct blobseal_call bs_call_for_blob(const struct blobseal_call *call, const uint8_t *blob_id);

/* Clear @err, and check before a call of a provider that it may be made. Errors: E_CANCELED, E_UNAVAILABLE. */
BLOBSEAL_MUST_USE enum blobseal_status bs_call_check(const struct blobseal_call *call, struct blobseal_error *err);

/* Take @lock within @call. Release it with pthread_mutex_unlock(). Errors: E_CANCELED, E_UNAVAILABLE. */
BLOBSEAL_MUST_USE enum blobseal_status bs_call_lock(pthread_mutex_t *lock, const struct blobseal_call *call,
                                                    struct blobseal_error *err);

/*
 * Check what a function of @provider returned for the key @key: return @st, and fill @err if the provider did not.
 * Return E_INTERNAL instead of a status that it may not return; bs_kek_unwrap() allows two more.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_provider_status(enum blobseal_status st,
                                                          const struct blobseal_provider *provider, const char *key,
                                                          struct blobseal_error *err);

/* Take another reference to a KEK. Each one is released with blobseal_kek_close(). */
struct blobseal_kek *bs_kek_ref(struct blobseal_kek *kek);

/* Let the uses of a new KEK be recorded as @config, which may be NULL, says. */
void bs_kek_set_config(struct blobseal_kek *kek, const struct blobseal_config *config);

/* Return what is known about a KEK now, which is valid until the KEK is closed. */
const struct blobseal_kek_info *bs_kek_info(const struct blobseal_kek *kek);

/* Find out the key id and the algorithm of a KEK if they are not known yet. Errors: those of the provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_describe(struct blobseal_kek *kek, const struct blobseal_call *call,
                                                       struct blobseal_error *err);

/*
 * If @call has no deadline, and the owner of the KEK can be asked, give it that of the KEK's configuration, or the
 * default. The attempts of one operation share it: *@deadline_ms is 0 before the first.
 */
void bs_kek_limit(const struct blobseal_kek *kek, struct blobseal_call *call, uint64_t *deadline_ms);

/* Return true if the KEK wrapped what a recipient with @alg and @kid holds, in any version of the key. */
bool bs_kek_owns(const struct blobseal_kek *kek, const char *alg, const char *kid);

/* Wrap @secret into @out, which is all zero after a failure. Algorithm, key id and length have been checked. Errors:
 * those of the provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_wrap(struct blobseal_kek *kek, struct blobseal_wrapping *out,
                                                   const struct blobseal_secret32 *secret,
                                                   const struct blobseal_call *call, struct blobseal_error *err);

/* As bs_kek_wrap(), with the version of the key that its owner names now, whatever it said a while ago. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_wrap_now(struct blobseal_kek *kek, struct blobseal_wrapping *out,
                                                       const struct blobseal_secret32 *secret,
                                                       const struct blobseal_call *call, struct blobseal_error *err);

/* Unwrap @wrapped into @secret, which is zero after a failure. @lease may be NULL. The caller records the result with
 * bs_kek_record(). Errors: those of the provider; E_NOT_MINE also if the KEK cannot unwrap, or does not own the key
 * id. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_unwrap(struct blobseal_kek *kek, struct blobseal_secret32 *secret,
                                                     const struct blobseal_wrapped *wrapped,
                                                     struct blobseal_lease *lease, const struct blobseal_call *call,
                                                     struct blobseal_error *err);

/* What the record of an event says about it, besides the KEK. */
struct bs_kek_event {
    const char *operation; /* see struct blobseal_audit_event */
    const char *kid;       /* NULL: not known */
    const uint8_t *blob_id;
    bool claimed;
    const struct blobseal_trace *trace; /* NULL: nothing was asked */
};

/* Return true if uses of the KEK are recorded. */
bool bs_kek_is_recorded(const struct blobseal_kek *kek);

/*
 * Record that something was done with a KEK, with the result @st, before anybody receives what was made. Return @st, or
 * the reason why a success could not be recorded. Errors: those of bs_audit().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_record(const struct blobseal_kek *kek, const struct bs_kek_event *event,
                                                     enum blobseal_status st, struct blobseal_error *err);

/* Record that a rule forbids to use these KEKs for a blob, if @st is E_POLICY. Return @st. */
enum blobseal_status bs_keks_record_refusal(struct bs_keks keks, const uint8_t *blob_id, enum blobseal_status st);

/* Let the provider report what somebody should know who uses the key. Does nothing if it reports nothing. Errors: those
 * of the provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_diagnose(struct blobseal_kek *kek, blobseal_finding_fn fn, void *ctx,
                                                       const struct blobseal_call *call, struct blobseal_error *err);

/*
 * Decrypt a message that was encrypted for the KEK with RSAES-OAEP, as wrapped->alg says, into @out, which has room for
 * *@len bytes; *@len becomes the length of the message. If wrapped->kid is NULL, the KEK is tried. After a failure
 * *@len is 0 and @out is zero. The caller records the result. Errors: those of the provider; E_AUTH; E_NOT_MINE;
 * E_UNSUPPORTED if it has no decrypt().
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_decrypt(struct blobseal_kek *kek, uint8_t *out, size_t *len,
                                                      const struct blobseal_wrapped *wrapped,
                                                      const struct blobseal_call *call, struct blobseal_error *err);

/* ---- message.c: encrypting messages of other lengths than 32 bytes ----------------------------------------------- */

/* Return how many bytes can be encrypted at once for a described RSA KEK. */
size_t bs_kek_max_message(const struct blobseal_kek *kek);

/*
 * Encrypt @message, of at most bs_kek_max_message() bytes, with the public half of a described RSA KEK, by its own
 * algorithm. Errors: those of bs_kek_spki(); E_NOMEM, E_INTERNAL.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_encrypt(struct blobseal_kek *kek, struct blobseal_wrapping *out,
                                                      struct bs_slice message, const struct blobseal_call *call,
                                                      struct blobseal_error *err);

/* Return true if the provider may reveal the public half. */
bool bs_kek_has_public_key(const struct blobseal_kek *kek);

/* How often one message may make the library ask the owners of keys: what a blob claims must not flood a vault. */
#define BS_MAX_REMOTE_ATTEMPTS 2

/* Return true if each use of the KEK takes a request over a network. */
bool bs_kek_is_remote(const struct blobseal_kek *kek);

/* Return true if the key is in a file, and not in a place that is asked for each unwrap. */
bool bs_kek_is_file(const struct blobseal_kek *kek);

/* Return true if the provider can extend leases on this KEK. */
bool bs_kek_can_revoke(const struct blobseal_kek *kek);

/*
 * Return how often renewing a lease on this KEK was refused. A lease whose last request was sent before such a refusal
 * must ask again, whatever its end.
 */
uint64_t bs_kek_denials(const struct blobseal_kek *kek);

/* Extend @lease if the key may still be used. Does nothing if the key cannot be revoked. Errors: those of the provider.
 */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_renew(struct blobseal_kek *kek, struct blobseal_lease *lease,
                                                    const struct blobseal_call *call, struct blobseal_error *err);

/* ---- pem.c ------------------------------------------------------------------------------------------------------- */

/* Open the public RSA key in a SubjectPublicKeyInfo. Errors: E_CONFIG, E_NOMEM, E_INTERNAL. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_from_spki(struct blobseal_kek **kek, const uint8_t *spki, size_t len,
                                                        struct blobseal_error *err);

/* Return the SubjectPublicKeyInfo of a KEK from malloc(). Errors: E_UNSUPPORTED, those of the provider. */
BLOBSEAL_MUST_USE enum blobseal_status bs_kek_spki(struct blobseal_kek *kek, uint8_t **spki, size_t *len,
                                                   const struct blobseal_call *call, struct blobseal_error *err);

/* ---- algorithms.c ------------------------------------------------------------------------------------------------ */

#define BS_MAX_WRAPPED_LENGTHS 3

struct bs_key_algorithm {
    const char *name;                               /* value of `alg`                             */
    size_t wrapped_lengths[BS_MAX_WRAPPED_LENGTHS]; /* possible lengths of a wrapped secret, or 0 */
    bool named;                                     /* only by those who compare key ids: not in bare JWEs */
};

/* Find an algorithm by its name, which has @len bytes. Return NULL if it is not supported. */
const struct bs_key_algorithm *bs_key_algorithm(const char *name, size_t len);

/* Return true if a secret wrapped with @alg can have @wrapped_len bytes. */
bool bs_key_algorithm_wraps_to(const struct bs_key_algorithm *alg, size_t wrapped_len);

#endif
