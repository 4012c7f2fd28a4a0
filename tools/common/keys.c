/* SPDX-License-Identifier: Apache-2.0 */
/* -k KEY, and the passphrase of an encrypted key: from a file, a descriptor, or the terminal. */
#include "tools/common/arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/signals.h"

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
    *code = EXIT_OK;
    if (keys->num == COUNT(keys->args))
        *code = usage_error(ui, "more than %zu keys", keys->num);
    else
        keys->args[keys->num++] = (struct key_arg){.ref = arg, .passphrase_fd = -1};
    return true;
}

bool keys_open(struct keys *keys, enum blobseal_oaep oaep, struct blobseal_error *err)
{
    for (size_t i = 0; i < keys->num; i++) {
        const struct key_arg *arg = &keys->args[i];
        const struct blobseal_kek_options o = {
            .size = sizeof o,
            .passphrase = get_passphrase,
            .passphrase_ctx = &keys->args[i],
            .oaep = arg->oaep != BLOBSEAL_OAEP_SHA256 ? arg->oaep : oaep,
        };

        if (blobseal_kek_open(&keys->keks[i], NULL, arg->ref, &o, err) != BLOBSEAL_OK)
            return false;
    }
    return true;
}

void keys_close(struct keys *keys)
{
    for (size_t i = 0; i < keys->num; i++)
        blobseal_kek_close(keys->keks[i]);
    keys->num = 0;
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

static bool from_terminal(const char *ref, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    bool ok, interactive = isatty(STDERR_FILENO) || isatty(STDIN_FILENO);
    int fd = interactive ? open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY) : -1;

    if (fd < 0 || !isatty(fd)) {
        if (fd >= 0)
            (void)close(fd);
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "the key %s is encrypted, and there is no terminal to ask on", ref);
        blobseal_hint(err, "name a file with the passphrase: -k %.80s --passphrase-file FILE", ref);
        return false;
    }
    dprintf(fd, "Passphrase for %s: ", ref);
    ok = signals_echo_off(fd) || fail(err, BLOBSEAL_E_INPUT, errno, "turn off the echo of the terminal");
    ok = ok && read_line(fd, buf, cap, len, "the terminal", err);
    signals_echo_on();
    (void)close(fd);
    return ok;
}

enum blobseal_status get_passphrase(void *key_arg, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    const struct key_arg *k = key_arg;
    bool ok;

    if (k->passphrase_file != NULL)
        ok = from_file(k->passphrase_file, buf, cap, len, err);
    else if (k->passphrase_fd >= 0)
        ok = read_line(k->passphrase_fd, buf, cap, len, "the descriptor", err);
    else
        ok = from_terminal(k->ref, buf, cap, len, err);
    return ok ? BLOBSEAL_OK : err->status;
}
