/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of this process: the files of the machine and of the user, and the one that --config or
 * BLOBSEAL_CONFIG names. It is loaded when a key is opened for the first time, so verbs that use no key need no valid
 * configuration.
 */
#include "tools/common/arguments.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OF_MACHINE "/etc/blobseal/config.json"
#define OF_USER    "blobseal/config.json" /* in the folder for configurations */

static struct {
    pthread_mutex_t lock;
    const char *named; /* with the option */
    const char *audit; /* likewise        */
    bool tried;
    struct blobseal_config *config; /* NULL: not loaded, or that has failed */
    struct blobseal_error failure;  /* if it has */
    struct config_file files[MAX_CONFIG_FILES];
    size_t num_files;
    char user[4096];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

void config_choose(const char *path)
{
    state.named = path;
}

void config_audit_to(const char *path)
{
    state.audit = path;
}

/* Let the audit file be the one of --audit, if there is one. */
static bool set_audit(struct blobseal_error *err)
{
    struct blobseal_config_settings settings = {.size = sizeof settings};
    char *folder = NULL, path[8192];

    if (state.audit == NULL)
        return true;
    if (state.audit[0] == '\0')
        return fail(err, BLOBSEAL_E_CONFIG, 0, "the name of the audit file is empty");
    if (state.audit[0] != '/') {
        folder = getcwd(NULL, 0);
        if (folder == NULL)
            return fail(err, BLOBSEAL_E_OUTPUT, errno, "find the audit file %.200s", state.audit);
    }
    (void)snprintf(path, sizeof path, "%s%s%s", folder != NULL ? folder : "", folder != NULL ? "/" : "", state.audit);
    free(folder);
    settings.audit_file = path;
    return blobseal_config_set(state.config, &settings, err) == BLOBSEAL_OK;
}

/* Return the path of the user's file, or NULL if the environment does not tell where it is. */
static const char *user_file(void)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int len = -1;

    if (xdg != NULL && xdg[0] == '/') /* a relative path is to be ignored, says its specification */
        len = snprintf(state.user, sizeof state.user, "%s/" OF_USER, xdg);
    else if (home != NULL && home[0] == '/')
        len = snprintf(state.user, sizeof state.user, "%s/.config/" OF_USER, home);
    return len > 0 && (size_t)len < sizeof state.user ? state.user : NULL;
}

/* Return true if a file that need not exist does not, or is where this user cannot look. */
static bool is_absent(const struct blobseal_error *err)
{
    return err->status == BLOBSEAL_E_INPUT &&
           (err->sys_errno == ENOENT || err->sys_errno == ENOTDIR || err->sys_errno == EACCES);
}

static bool load(const char *path, bool must_exist, struct blobseal_error *err)
{
    struct config_file *file = &state.files[state.num_files++];

    *file = (struct config_file){.path = path, .was_read = true};
    if (blobseal_config_load(state.config, path, err) == BLOBSEAL_OK)
        return true;
    if (!must_exist && is_absent(err)) {
        file->was_read = false;
        return true;
    }
    if (is_absent(err)) /* a name that leads nowhere is a fault of whoever wrote it */
        err->status = BLOBSEAL_E_CONFIG;
    if (err->hint[0] == '\0')
        blobseal_hint(err, "man 5 blobseal-config describes the file");
    return false;
}

/* Set the folder for what is seen of sets, unless a file names another one afterwards. */
static bool set_state_dir(struct blobseal_error *err)
{
    const char *systemd = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char path[4096] = "";
    struct blobseal_config_settings s = {.size = sizeof s, .state_dir = path};

    if (systemd != NULL && systemd[0] == '/')
        (void)snprintf(path, sizeof path, "%.*s", (int)strcspn(systemd, ":"), systemd);
    else if (geteuid() == 0)
        (void)snprintf(path, sizeof path, "/var/lib/blobseal");
    else if (xdg != NULL && xdg[0] == '/')
        (void)snprintf(path, sizeof path, "%s/blobseal", xdg);
    else if (home != NULL && home[0] == '/')
        (void)snprintf(path, sizeof path, "%s/.local/state/blobseal", home);
    return path[0] == '\0' || blobseal_config_set(state.config, &s, err) == BLOBSEAL_OK;
}

static bool load_all(struct blobseal_error *err)
{
    const char *named = state.named != NULL ? state.named : getenv("BLOBSEAL_CONFIG"), *user = user_file();

    if (blobseal_config_new(&state.config, err) != BLOBSEAL_OK || !set_state_dir(err))
        return false;
    return load(OF_MACHINE, false, err) && (user == NULL || load(user, false, err)) &&
           (named == NULL || named[0] == '\0' || load(named, true, err)) && set_audit(err) &&
           blobseal_config_check(state.config, err) == BLOBSEAL_OK;
}

bool config_get(const struct blobseal_config **config, struct blobseal_error *err)
{
    (void)pthread_mutex_lock(&state.lock);
    if (!state.tried && !load_all(&state.failure)) {
        blobseal_config_free(state.config);
        state.config = NULL;
    }
    state.tried = true;
    *config = state.config;
    if (state.config == NULL)
        *err = state.failure;
    (void)pthread_mutex_unlock(&state.lock);
    return *config != NULL;
}

const struct config_file *config_files(size_t *num)
{
    *num = state.num_files;
    return state.files;
}

/* Receives the values of the configuration, and copies the name of the audit file. */
static bool find_audit_file(void *found, const struct blobseal_config_value *value)
{
    const char **path = found;

    if (strcmp(value->member, "audit_file") != 0)
        return true;
    *path = value->text;
    return false;
}

const char *config_audit_file(void)
{
    const char *path = NULL;

    if (state.config != NULL)
        blobseal_config_list(state.config, find_audit_file, &path);
    return path;
}

const char *config_ref(const char *ref)
{
    static const char scheme[] = "key:";
    const char *named = NULL;

    if (strncmp(ref, scheme, strlen(scheme)) == 0 && state.config != NULL)
        named = blobseal_config_kek(state.config, ref + strlen(scheme));
    return named != NULL ? named : ref;
}

void config_free(void)
{
    blobseal_config_free(state.config);
    state.config = NULL;
}
