/* SPDX-License-Identifier: Apache-2.0 */
/* -k KEY, and the passphrase of an encrypted key: from a file, a descriptor, or the terminal. */
#include "tools/common/arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/signals.h"

static void tell_terminal(const char *text);

/* Return true for a key in a token: what it asks for is a PIN, and a wrong one is never tried again. */
static bool in_token(const char *ref)
{
    return strncmp(config_ref(ref), "pkcs11:", strlen("pkcs11:")) == 0;
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

bool passphrase_option(const struct ui *ui, struct key_arg *key, int option, const char *arg, int *code)
{
    unsigned long fd;

    *code = EXIT_OK;
    if (option != OPT_PASSPHRASE_FILE && option != OPT_PASSPHRASE_FD)
        return false;
    if (key == NULL)
        *code = usage_error(ui, "the passphrase of a key belongs after its -k");
    else if (option == OPT_PASSPHRASE_FILE)
        key->passphrase_file = arg;
    else if (parse_number(arg, 0, 1 << 20, &fd))
        key->passphrase_fd = (int)fd;
    else
        *code = usage_error(ui, "--passphrase-fd takes the number of a descriptor, not %s", arg);
    return true;
}

bool keys_option(const struct ui *ui, struct keys *keys, int option, const char *arg, int *code)
{
    if (option != 'k')
        return passphrase_option(ui, keys->num > 0 ? &keys->args[keys->num - 1] : NULL, option, arg, code);
    *code = keys_add(ui, keys, arg);
    return true;
}

int keys_add(const struct ui *ui, struct keys *keys, const char *ref)
{
    if (in_token(ref) && strstr(ref, "pin-value") != NULL) /* and never print it */
        return usage_error(ui, "a pin-value in the URI of a key can be seen in the list of processes: save the PIN in "
                               "a file that only you can read, and use pin-source=file:PATH");
    if (keys->num == COUNT(keys->args))
        return usage_error(ui, "use the key %s: a run takes no more than %zu keys", ref, keys->num);
    keys->args[keys->num++] = (struct key_arg){.ref = ref, .passphrase_fd = -1};
    return EXIT_OK;
}

void keys_default(struct keys *keys)
{
    const char *ref = getenv("BLOBSEAL_KEK");

    if (keys->num == 0 && ref != NULL && ref[0] != '\0')
        keys->args[keys->num++] = (struct key_arg){.ref = ref, .passphrase_fd = -1};
}

/* A callback of the library may not return E_POLICY, but may have a status of its own. */
#define PASSPHRASE_REFUSED BLOBSEAL_STATUS_CALLBACK

#define ASK_TRIES 3 /* for a passphrase that is typed */

/* Open the keys of one reference. Ask again for a passphrase that was typed and does not fit. */
static bool open_arg(struct keys *keys, struct key_arg *arg, const struct blobseal_kek_options *o,
                     struct blobseal_error *err)
{
    size_t room = COUNT(keys->keks) - keys->num_keks, num;

    if (room == 0)
        return fail(err, BLOBSEAL_E_CONFIG, 0, "open the key %s: more than %zu keys", arg->ref, COUNT(keys->keks));
    for (unsigned i = 1;; i++) {
        arg->asked = false;
        num = room;
        if (blobseal_keks_open(keys->keks + keys->num_keks, &num, NULL, arg->ref, o, err) == BLOBSEAL_OK)
            break;
        if (!arg->asked || err->status != BLOBSEAL_E_CONFIG || i == ASK_TRIES || in_token(arg->ref)) {
            passphrase_failed(arg, err);
            return false;
        }
        tell_terminal("That did not work. Try again.\n");
    }
    for (size_t i = 0; i < num; i++)
        keys->from[keys->num_keks++] = arg;
    return true;
}

/* Return true if the passphrase or PIN need not be asked for. */
static bool has_passphrase(const struct key_arg *arg)
{
    return arg->passphrase_file != NULL || arg->passphrase_fd >= 0;
}

static bool purge_protection;

void keys_require_purge_protection(void)
{
    purge_protection = true;
}

/* Ask the provider of @kek for what it has not said yet. That is remembered, and needs no request later. Errors:
 * E_UNSUPPORTED, if only the public half is missing. */
static enum blobseal_status learn(struct blobseal_kek *kek, struct blobseal_error *err)
{
    char *pem;
    size_t len;
    enum blobseal_status st = blobseal_kek_public_key(kek, &pem, &len, err);

    blobseal_free(pem);
    return st;
}

static bool too_many_kids(size_t cap, struct blobseal_error *err)
{
    (void)fail(err, BLOBSEAL_E_CONFIG, 0, "remove recipients: more than %zu key ids were given", cap);
    blobseal_hint(err, "remove some of them first, and the others in another run");
    return false;
}

static bool add_id(const char *id, const char **kids, size_t cap, size_t *num, struct blobseal_error *err)
{
    if (*num == cap)
        return too_many_kids(cap, err);
    kids[(*num)++] = id;
    return true;
}

/* Move the keys in vaults from @keys to @kids. */
static bool take_vault_keys(struct keys *keys, const char **kids, size_t cap, size_t *num, struct blobseal_error *err)
{
    size_t left = 0;
    bool ok = true, all;

    for (size_t i = 0; i < keys->num && ok; i++) {
        const char *ref = config_ref(keys->args[i].ref);

        if (names_vault_key(ref, &all))
            ok = add_id(ref, kids, cap, num, err);
        else
            keys->args[left++] = keys->args[i];
    }
    keys->num = left;
    return ok;
}

bool keys_add_ids(struct keys *keys, const char **kids, size_t cap, size_t *num, struct blobseal_error *err)
{
    keys->use = BLOBSEAL_USE_NAME;
    if (!take_vault_keys(keys, kids, cap, num, err) || !keys_open(keys, BLOBSEAL_OAEP_SHA256, err))
        return false;
    for (size_t i = 0; i < keys->num_keks; i++) {
        enum blobseal_status st = BLOBSEAL_OK;

        if (blobseal_kek_kid(keys->keks[i]) == NULL)
            st = learn(keys->keks[i], err);
        if (st == BLOBSEAL_E_UNSUPPORTED) { /* a set, which has an id for each of its keys */
            (void)fail(err, BLOBSEAL_E_CONFIG, 0, "%s does not have one key id", keys->from[i]->ref);
            blobseal_hint(err, "name the ids of its recipients, which `recipients list` shows");
        }
        if (st != BLOBSEAL_OK || !add_id(blobseal_kek_kid(keys->keks[i]), kids, cap, num, err))
            return false;
    }
    return true;
}

bool names_a_key(const char *text)
{
    static const char *const prefixes[] = {"file:", "pkcs11:", "key:", "set:"};

    for (size_t i = 0; i < COUNT(prefixes); i++)
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return access(text, F_OK) == 0;
}

/* Look up the keys in vaults that are to wrap, before anything is written. They are looked up once. */
static bool look_up(const struct keys *keys, struct blobseal_error *err)
{
    for (size_t i = 0; i < keys->num_keks && keys->use == BLOBSEAL_USE_WRAP; i++) {
        enum blobseal_status st = BLOBSEAL_OK;

        if ((blobseal_kek_notes(keys->keks[i]) & BLOBSEAL_KEK_NOTE_REMOTE) != 0)
            st = learn(keys->keks[i], err);
        if (st != BLOBSEAL_OK && st != BLOBSEAL_E_UNSUPPORTED)
            return false;
    }
    return true;
}

bool keys_open(struct keys *keys, enum blobseal_oaep oaep, struct blobseal_error *err)
{
    const struct blobseal_config *config = NULL;

    if (keys->num > 0 && !config_get(&config, err))
        return false;
    for (size_t i = 0; i < keys->num; i++) {
        struct key_arg *arg = &keys->args[i];
        const struct blobseal_kek_options o = {
            .size = sizeof o,
            .passphrase = get_passphrase,
            .passphrase_ctx = arg,
            .oaep = arg->oaep != BLOBSEAL_OAEP_SHA256 ? arg->oaep : oaep,
            .use = keys->use == BLOBSEAL_USE_WRAP && has_passphrase(arg) ? BLOBSEAL_USE_ANY : keys->use,
            .config = config,
            .require_purge_protection = purge_protection,
        };

        if (!open_arg(keys, arg, &o, err))
            return false;
    }
    return look_up(keys, err);
}

void keys_warn(const struct ui *ui, const struct keys *keys)
{
    for (size_t i = 0; i < keys->num_keks; i++) {
        struct blobseal_kek *kek = keys->keks[i];

        if ((blobseal_kek_notes(kek) & BLOBSEAL_KEK_NOTE_PURGEABLE) != 0 && !purge_protection)
            warn(ui,
                 "the vault of %.200s has no purge protection: a deleted key can be destroyed at once, and all that is "
                 "sealed for it with it",
                 keys->from[i]->ref);
        if ((blobseal_kek_notes(kek) & BLOBSEAL_KEK_NOTE_UNCHECKED) != 0)
            warn(ui,
                 "whether the token of %.200s can open what is sealed for it was not checked, because that needs its "
                 "PIN: add pin-source=file:PATH, or --passphrase-file",
                 keys->from[i]->ref);
    }
}

void keys_close(struct keys *keys)
{
    for (size_t i = 0; i < keys->num_keks; i++)
        blobseal_kek_close(keys->keks[i]);
    for (size_t i = 0; i < keys->num_texts; i++)
        free(keys->texts[i]);
    keys->num = keys->num_keks = keys->num_texts = 0;
}

/* ---- Passphrases ------------------------------------------------------------------------------------------------- */

/* Read one line, byte by byte: later lines of a descriptor may be for another reader. */
static bool read_line(int fd, char *buf, size_t cap, size_t *len, const char *from, struct blobseal_error *err)
{
    char c;

    *len = 0;
    for (;;) {
        ssize_t n = read(fd, &c, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, BLOBSEAL_E_INPUT, errno, "read the passphrase from %s", from);
        if (n == 0 || c == '\n')
            break;
        if (c == '\0') /* some programs would stop there and others would not, so the passphrase would be ambiguous */
            return fail(err, BLOBSEAL_E_CONFIG, 0, "the passphrase in %s has a zero byte in it", from);
        if (*len + 1 >= cap)
            return fail(err, BLOBSEAL_E_CONFIG, 0, "the passphrase in %s is too long", from);
        buf[(*len)++] = c;
    }
    if (*len == 0)
        return fail(err, BLOBSEAL_E_CONFIG, 0, "the passphrase in %s is empty", from);
    buf[*len] = '\0';
    return true;
}

static bool from_file(const char *path, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    bool ok;

    if (fd < 0 || fstat(fd, &st) != 0)
        return fail(err, BLOBSEAL_E_INPUT, errno, "open the passphrase file %s", path);
    if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        ok = fail(err, BLOBSEAL_E_POLICY, 0, "the passphrase file %s can be read by others (mode %04o)", path,
                  (unsigned)st.st_mode & 07777);
        blobseal_hint(err, "chmod 600 %.160s", path);
    } else {
        ok = read_line(fd, buf, cap, len, path, err);
    }
    (void)close(fd);
    return ok;
}

/* Return a descriptor of the terminal of somebody who can be asked, or -1. */
static int open_terminal(void)
{
    bool interactive = isatty(STDERR_FILENO) || isatty(STDIN_FILENO);
    int fd = interactive ? open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY) : -1;

    if (fd >= 0 && !isatty(fd)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void tell_terminal(const char *text)
{
    int fd = open_terminal();

    if (fd < 0)
        return;
    dprintf(fd, "%s", text);
    (void)close(fd);
}

/* Read one line without echo. */
static bool ask(int fd, const char *prompt, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    bool ok;

    dprintf(fd, "%s", prompt);
    ok = signals_echo_off(fd) || fail(err, BLOBSEAL_E_INPUT, errno, "turn off the echo of the terminal");
    ok = ok && read_line(fd, buf, cap, len, "the terminal", err);
    signals_echo_on();
    return ok;
}

static bool from_terminal(const char *ref, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    int fd = open_terminal();
    char prompt[320];
    bool ok;

    if (fd < 0 && in_token(ref)) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "the token of %.200s needs its PIN, and there is no terminal to ask on",
                   ref);
        blobseal_hint(err, "add pin-source=file:PATH to the URI, or --passphrase-file FILE after the key");
        return false;
    }
    if (fd < 0) {
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "the key %s is encrypted, and there is no terminal to ask on", ref);
        blobseal_hint(err, "name a file with the passphrase: --passphrase-file FILE, after the key that needs it");
        return false;
    }
    (void)snprintf(prompt, sizeof prompt, "%s for %.250s: ", in_token(ref) ? "PIN" : "Passphrase", ref);
    blobseal_make_printable(prompt);
    ok = ask(fd, prompt, buf, cap, len, err);
    (void)close(fd);
    return ok;
}

bool ask_new_passphrase(char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    char *again = blobseal_secret_alloc(cap);
    int fd = open_terminal();
    bool ok = true, same = false;
    size_t again_len;

    if (fd < 0) {
        ok = fail(err, BLOBSEAL_E_CONFIG, 0, "there is no terminal to ask for the passphrase on");
        blobseal_hint(err, "name a file with the passphrase: --passphrase-file FILE");
    } else if (again == NULL) {
        ok = fail(err, BLOBSEAL_E_NOMEM, 0, "ask for the passphrase: no memory");
    }
    for (unsigned i = 0; ok && !same && i < ASK_TRIES; i++) {
        if (i > 0)
            dprintf(fd, "They are not the same. Try again.\n");
        ok = ask(fd, "Passphrase for the new key: ", buf, cap, len, err) &&
             ask(fd, "The same passphrase again: ", again, cap, &again_len, err);
        same = ok && *len == again_len && blobseal_equal(buf, again, *len);
    }
    if (ok && !same)
        ok = fail(err, BLOBSEAL_E_CONFIG, 0, "the passphrase was not typed twice in the same way");
    blobseal_secret_free(again);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Return what is in @passphrase that an editor has added and nobody means, or NULL. */
static const char *find_odd(const char *passphrase, size_t len)
{
    static const char bom[] = "\xEF\xBB\xBF";

    if (len >= 2 && (memcmp(passphrase, "\xFF\xFE", 2) == 0 || memcmp(passphrase, "\xFE\xFF", 2) == 0))
        return "is in UTF-16";
    if (len >= 3 && memcmp(passphrase, bom, 3) == 0)
        return passphrase[len - 1] == '\r' ? "starts with a byte order mark and ends in a carriage return"
                                           : "starts with a byte order mark";
    return len >= 1 && passphrase[len - 1] == '\r' ? "ends in a carriage return" : NULL;
}

void explain_passphrase(const struct key_arg *key, struct blobseal_error *err)
{
    if (key->odd == NULL)
        return;
    blobseal_hint(err,
                  "the first line of %.100s %s, which is a part of the passphrase: if that is not meant, save the file "
                  "as UTF-8 without byte order mark, with Unix line ends",
                  key->passphrase_file != NULL ? key->passphrase_file : "the descriptor", key->odd);
}

void passphrase_failed(const struct key_arg *key, struct blobseal_error *err)
{
    if (err->status == PASSPHRASE_REFUSED)
        err->status = BLOBSEAL_E_POLICY;
    else if (err->status == BLOBSEAL_E_CONFIG)
        explain_passphrase(key, err);
}

enum blobseal_status get_passphrase(void *key_arg, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    struct key_arg *k = key_arg;
    bool typed = k->passphrase_file == NULL && k->passphrase_fd < 0, ok;

    k->odd = NULL;
    if (k->passphrase_file != NULL)
        ok = from_file(k->passphrase_file, buf, cap, len, err);
    else if (k->passphrase_fd >= 0)
        ok = read_line(k->passphrase_fd, buf, cap, len, "the descriptor", err);
    else
        ok = from_terminal(k->ref, buf, cap, len, err);
    k->asked = ok && typed; /* whoever types nothing wants to stop */
    if (ok && !typed)
        k->odd = find_odd(buf, *len);
    if (!ok && err->status == BLOBSEAL_E_POLICY)
        err->status = PASSPHRASE_REFUSED;
    return ok ? BLOBSEAL_OK : err->status;
}
