/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and logins. Every thread that uses a key has a session of its own, because an operation belongs to its
 * session. The login belongs to the process and the token: all sessions of the process have it.
 */
#include <string.h>

#include "kek/pkcs11/pkcs11.h"

/* ---- Sessions ---------------------------------------------------------------------------------------------------- */

/* Take an idle session, or the right to open one. Returns false for the right. */
static bool take_idle(struct bs_p11_key *k, struct bs_p11_session *session)
{
    bool got;

    (void)pthread_mutex_lock(&k->lock);
    while (k->num_idle == 0 && k->num_used >= k->max_used)
        (void)pthread_cond_wait(&k->returned, &k->lock);
    got = k->num_idle > 0;
    if (got)
        session->s = k->idle[--k->num_idle];
    k->num_used++;
    session->f = k->where.slot.f;
    session->slot = k->where.slot.id;
    session->private_key = k->where.private_key;
    session->public_key = k->where.public_key;
    session->with_unwrap = k->with_unwrap;
    session->always_auth = k->always_auth;
    session->generation = k->generation;
    (void)pthread_mutex_unlock(&k->lock);
    return got;
}

/* Note that a session could not be opened. Return true if another one will come back that can be waited for. */
static bool fewer_sessions(struct bs_p11_key *k, CK_RV rv)
{
    bool wait;

    (void)pthread_mutex_lock(&k->lock);
    k->num_used--;
    wait = rv == CKR_SESSION_COUNT && k->num_used + k->num_idle > 0;
    if (wait)
        k->max_used = k->num_used + k->num_idle;
    (void)pthread_cond_signal(&k->returned);
    (void)pthread_mutex_unlock(&k->lock);
    return wait;
}

CK_RV bs_p11_session_take(struct bs_p11_key *k, struct bs_p11_session *session)
{
    CK_RV rv;

    do {
        if (take_idle(k, session))
            return CKR_OK;
        rv = session->f->C_OpenSession(session->slot, CKF_SERIAL_SESSION, NULL, NULL, &session->s);
    } while (rv != CKR_OK && fewer_sessions(k, rv));
    return rv;
}

void bs_p11_session_return(struct bs_p11_key *k, struct bs_p11_session *session, bool clean)
{
    bool keep;

    (void)pthread_mutex_lock(&k->lock);
    keep = clean && session->generation == k->generation && k->num_idle < BS_P11_MAX_SESSIONS;
    if (keep)
        k->idle[k->num_idle++] = session->s;
    k->num_used--;
    (void)pthread_cond_signal(&k->returned);
    (void)pthread_mutex_unlock(&k->lock);
    if (!keep)
        (void)session->f->C_CloseSession(session->s);
}

/*
 * If the session that always stays open has gone, all others have gone with it. Their numbers must not be closed then:
 * they may already belong to new sessions.
 */
static bool sessions_are_valid(struct bs_p11_key *k)
{
    CK_SESSION_HANDLE keeper;
    CK_SESSION_INFO info;
    CK_FUNCTION_LIST *f;
    bool known;

    (void)pthread_mutex_lock(&k->lock);
    known = k->has_keeper && k->epoch == atomic_load(&k->module->epoch);
    keeper = k->keeper;
    f = k->where.slot.f;
    (void)pthread_mutex_unlock(&k->lock);
    return known && f->C_GetSessionInfo(keeper, &info) == CKR_OK;
}

void bs_p11_forget(struct bs_p11_key *k)
{
    CK_SESSION_HANDLE idle[BS_P11_MAX_SESSIONS];
    bool valid = sessions_are_valid(k);
    CK_FUNCTION_LIST *f;
    unsigned num;

    (void)pthread_mutex_lock(&k->lock);
    num = k->num_idle;
    f = k->where.slot.f;
    memcpy(idle, k->idle, num * sizeof idle[0]);
    k->num_idle = 0;
    k->max_used = BS_P11_MAX_SESSIONS;
    k->generation++;
    k->located = false;
    k->has_keeper = k->has_keeper && valid;
    (void)pthread_mutex_unlock(&k->lock);
    for (unsigned i = 0; valid && i < num; i++)
        (void)f->C_CloseSession(idle[i]);
}

void bs_p11_close_sessions(struct bs_p11_key *k)
{
    bs_p11_forget(k);
    if (k->has_keeper)
        (void)k->where.slot.f->C_CloseSession(k->keeper);
    k->has_keeper = false;
}

/* ---- Logging in -------------------------------------------------------------------------------------------------- */

bool bs_p11_must_login(const struct bs_p11_slot *slot, CK_SESSION_HANDLE s)
{
    CK_SESSION_INFO info;

    if ((slot->token.flags & CKF_LOGIN_REQUIRED) == 0)
        return false;
    return slot->f->C_GetSessionInfo(s, &info) != CKR_OK ||
           (info.state != CKS_RO_USER_FUNCTIONS && info.state != CKS_RW_USER_FUNCTIONS);
}

static enum blobseal_status fail_flags(const struct bs_p11_key *k, CK_FLAGS flags, struct blobseal_error *err)
{
    if ((flags & CKF_USER_PIN_LOCKED) != 0)
        return bs_p11_fail(err, CKR_PIN_LOCKED, "log in to", k->uri.name);
    (void)blobseal_fail(err, BLOBSEAL_E_DENIED, 0,
                        "log in to %.150s: only one try is left before the token locks the PIN, and it is not used up",
                        k->uri.name);
    blobseal_hint(err, "log in once with a tool of the token, which resets the count, and try again");
    return BLOBSEAL_E_DENIED;
}

static enum blobseal_status fail_no_pin(const struct bs_p11_key *k, struct blobseal_error *err)
{
    (void)blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "log in to %.150s: there is no PIN", k->uri.name);
    blobseal_advise(err, BLOBSEAL_ADVICE_PASSPHRASE, NULL, "supply the PIN, for example with pin-source=file:PATH");
    return BLOBSEAL_E_CONFIG;
}

/* Report that a login has failed. @tag: of the PIN, or NULL. */
static enum blobseal_status fail_login(const struct bs_p11_key *k, const struct bs_p11_slot *slot, CK_RV rv,
                                       const struct bs_p11_tag *tag, struct blobseal_error *err)
{
    CK_TOKEN_INFO now;

    (void)bs_p11_fail(err, rv, "log in to", k->uri.name);
    if (rv != CKR_PIN_INCORRECT)
        return bs_p11_code(rv)->status;
    if (tag != NULL)
        bs_p11_pin_refused(tag);
    if (slot->f->C_GetTokenInfo(slot->id, &now) == CKR_OK && (now.flags & CKF_USER_PIN_FINAL_TRY) != 0)
        blobseal_hint(err, "check the PIN: one more wrong one locks it, so it is not tried again");
    return BLOBSEAL_E_DENIED;
}

/* Log in. The lock of the module is held, so that two threads do not try at the same time. */
static enum blobseal_status login(struct bs_p11_key *k, struct bs_p11_slot *slot, CK_SESSION_HANDLE s,
                                  struct blobseal_error *err)
{
    bool keypad = (slot->token.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
    CK_RV rv = slot->f->C_GetTokenInfo(slot->id, &slot->token);
    enum blobseal_status st = BLOBSEAL_OK;
    struct bs_p11_tag tag;

    if (rv != CKR_OK)
        return bs_p11_fail(err, rv, "log in to", k->uri.name);
    if ((slot->token.flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY)) != 0)
        return fail_flags(k, slot->token.flags, err);
    if (!keypad && !bs_p11_pin_is_set(k->pin))
        return fail_no_pin(k, err);
    if (!keypad)
        st = bs_p11_pin_tag(&tag, k->pin, &slot->token, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (!keypad && bs_p11_pin_was_refused(&tag)) {
        (void)bs_p11_fail(err, CKR_PIN_INCORRECT, "log in to", k->uri.name);
        blobseal_hint(err, "the token has refused this PIN before, so it was not tried again: check the PIN");
        return BLOBSEAL_E_DENIED;
    }
    rv = keypad ? slot->f->C_Login(s, CKU_USER, NULL, 0)
                : slot->f->C_Login(s, CKU_USER, (CK_UTF8CHAR *)k->pin->text, k->pin->len);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return BLOBSEAL_OK;
    if (rv == CKR_USER_PIN_NOT_INITIALIZED && (slot->token.flags & CKF_USER_PIN_INITIALIZED) != 0 &&
        bs_p11_loses_tokens(slot->f))
        rv = CKR_GENERAL_ERROR; /* it has lost the PIN, and not the flag: see bs_p11_loses_tokens() */
    return fail_login(k, slot, rv, keypad ? NULL : &tag, err);
}

enum blobseal_status bs_p11_login(struct bs_p11_key *k, struct bs_p11_slot *slot, CK_SESSION_HANDLE s,
                                  struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    (void)pthread_mutex_lock(&k->module->lock);
    if (bs_p11_must_login(slot, s))
        st = login(k, slot, s, err);
    (void)pthread_mutex_unlock(&k->module->lock);
    return st;
}

CK_RV bs_p11_login_again(struct bs_p11_key *k, const struct bs_p11_session *session)
{
    struct bs_p11_tag tag;
    CK_TOKEN_INFO token;
    CK_RV rv;

    if (!session->always_auth)
        return CKR_OK;
    rv = session->f->C_GetTokenInfo(session->slot, &token);
    if (rv != CKR_OK)
        return rv;
    if ((token.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0)
        return session->f->C_Login(session->s, CKU_CONTEXT_SPECIFIC, NULL, 0);
    if (!bs_p11_pin_is_set(k->pin))
        return CKR_USER_NOT_LOGGED_IN;
    if ((token.flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY)) != 0)
        return CKR_PIN_LOCKED;
    if (bs_p11_pin_tag(&tag, k->pin, &token, NULL) != BLOBSEAL_OK)
        return CKR_HOST_MEMORY;
    if (bs_p11_pin_was_refused(&tag))
        return CKR_PIN_INCORRECT;
    rv = session->f->C_Login(session->s, CKU_CONTEXT_SPECIFIC, (CK_UTF8CHAR *)k->pin->text, k->pin->len);
    if (rv == CKR_PIN_INCORRECT)
        bs_p11_pin_refused(&tag);
    return rv;
}
