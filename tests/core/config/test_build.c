/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations that are built by calls, loaded from files and merged; which files are refused; and what is listed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config/config.h"
#include "tests/support/suite.h"

static struct blobseal_config *c;
static struct blobseal_error err;

static void begin(void)
{
    cr_assert_eq(blobseal_config_new(&c, &err), BLOBSEAL_OK);
}

static void end(void)
{
    blobseal_config_free(c);
}

SUITE_WITH(config_build, begin, end);

static void load(const char *text)
{
    char path[VEC_PATH];

    vec_temp_key(path, text);
    cr_assert_eq(blobseal_config_load(c, path, &err), BLOBSEAL_OK, "%s", err.text);
    (void)unlink(path);
}

static bool says(const char *part)
{
    return strstr(err.text, part) != NULL;
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

Test(config_build, keks)
{
    cr_assert_eq(blobseal_config_add_kek(c, "a", "/a", &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_add_kek(c, "b", "pkcs11:token=t", &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_add_kek(c, "a", "/other", &err), BLOBSEAL_OK);
    cr_assert_str_eq(blobseal_config_kek(c, "a"), "/other", "the last one wins");
    cr_assert_str_eq(blobseal_config_kek(c, "b"), "pkcs11:token=t");
    cr_assert_eq(blobseal_config_add_kek(c, "a b", "/a", &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(blobseal_config_add_kek(c, "", "/a", &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(blobseal_config_add_kek(c, "c", "key:a", &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(blobseal_config_add_kek(c, "c", "relative", &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(blobseal_config_add_kek(c, "c", "pkcs11:?pin-value=1", &err), BLOBSEAL_E_CONFIG);
    cr_assert_null(blobseal_config_kek(c, "c"));
}

Test(config_build, lists)
{
    cr_assert_eq(blobseal_config_add_module(c, "/a.so", &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_add_module(c, "/a.so", &err), BLOBSEAL_OK, "adding it again changes nothing");
    cr_assert_eq(blobseal_config_add_module(c, "a.so", &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(blobseal_config_add_oci_key(c, "k", &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_add_oci_key(c, "-", &err), BLOBSEAL_E_CONFIG);
    cr_assert(bs_config_list_has(c, BS_CONFIG_MODULES, "/a.so") && blobseal_config_has_oci_key(c, "k"));
    cr_assert_eq(c->settings[BS_CONFIG_MODULES].num, 1);
    for (int i = 1; i < BLOBSEAL_CONFIG_MAX_LIST; i++) {
        char path[20];

        (void)snprintf(path, sizeof path, "/%d.so", i);
        cr_assert_eq(blobseal_config_add_module(c, path, &err), BLOBSEAL_OK);
    }
    cr_assert_eq(blobseal_config_add_module(c, "/b.so", &err), BLOBSEAL_E_CONFIG);
    cr_assert(says("more than 64 pkcs11.modules"), "%s", err.text);
}

Test(config_build, identities)
{
    static const char *const command[] = {"/bin/token", "x"}, *const relative[] = {"token"};
    struct blobseal_config_identity i = {
        .size = sizeof i, .name = "i", .type = BLOBSEAL_IDENTITY_COMMAND, .command = command, .num_command = 2};

    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_neq(bs_config_identity(c, "i")->is.command, command, "it is a copy");
    cr_assert_str_eq(bs_config_identity(c, "i")->is.command[1], "x");
    i.command = relative;
    i.num_command = 1;
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_CONFIG);
    i.num_command = 0;
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_CONFIG);
    i = (struct blobseal_config_identity){.size = sizeof i, .name = "s", .type = BLOBSEAL_IDENTITY_SECRET};
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_CONFIG);
    cr_assert(says("identities.s.type needs a \"client_id\""), "%s", err.text);
    i.client_id = "c";
    i.secret_file = "relative";
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_CONFIG);
    cr_assert(says("identities.s.secret_file must be an absolute path"), "%s", err.text);
    i.secret_file = "/secret";
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_OK, "%s", err.text);
    i.certificate_file = "/secret";
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_CONFIG);
    cr_assert(says("identities.s.certificate_file is not a member"), "%s", err.text);
    i = (struct blobseal_config_identity){.size = sizeof i, .name = "n"};
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_CONFIG, "no type");
    i.size = 0;
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_ARG);
}

Test(config_build, vaults)
{
    struct blobseal_config_vault v = {.size = sizeof v, .host = "a.vault.azure.net"};

    cr_assert_eq(blobseal_config_add_vault(c, &v, &err), BLOBSEAL_OK);
    v.host = "A.vault.azure.net";
    v.wrap = BLOBSEAL_VAULT_WRAP_REMOTE;
    cr_assert_eq(blobseal_config_add_vault(c, &v, &err), BLOBSEAL_OK);
    cr_assert_eq(c->num_vaults, 1, "the case of a host does not matter");
    cr_assert_eq(bs_config_vault(c, "a.VAULT.azure.net")->is.wrap, BLOBSEAL_VAULT_WRAP_REMOTE);
    v.resource = "http://x";
    cr_assert_eq(blobseal_config_add_vault(c, &v, &err), BLOBSEAL_E_CONFIG);
    v = (struct blobseal_config_vault){.size = sizeof v};
    cr_assert_eq(blobseal_config_add_vault(c, &v, &err), BLOBSEAL_E_CONFIG, "no host");
    v = (struct blobseal_config_vault){.size = sizeof v, .host = "b", .wrap = (enum blobseal_vault_wrap)7};
    cr_assert_eq(blobseal_config_add_vault(c, &v, &err), BLOBSEAL_E_CONFIG);
    v.size = 0;
    cr_assert_eq(blobseal_config_add_vault(c, &v, &err), BLOBSEAL_E_ARG);
}

Test(config_build, settings)
{
    struct blobseal_config_settings s = {.size = sizeof s,
                                         .identity = "i",
                                         .sets_dir = "/s",
                                         .audit_file = "/a",
                                         .audit = BLOBSEAL_AUDIT_OPTIONAL,
                                         .oaep = BLOBSEAL_CONFIG_OAEP_SHA1,
                                         .poll_interval_s = 60,
                                         .revoke_within_s = BLOBSEAL_CONFIG_ZERO,
                                         .request_timeout_s = 2,
                                         .deadline_s = 3};
    const struct blobseal_config_settings none = {.size = sizeof none};

    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(blobseal_config_set(c, &none, &err), BLOBSEAL_OK, "nothing changes");
    cr_assert_str_eq(bs_config_text(c, BS_CONFIG_IDENTITY), "i");
    cr_assert_str_eq(bs_config_text(c, BS_CONFIG_SETS_DIR), "/s");
    cr_assert_str_eq(bs_config_text(c, BS_CONFIG_AUDIT_FILE), "/a");
    cr_assert_eq(bs_config_number(c, BS_CONFIG_AUDIT_REQUIRED), 0);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_OAEP), BLOBSEAL_OAEP_SHA1);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_POLL_INTERVAL), 60);
    cr_assert(bs_config_is_set(c, BS_CONFIG_REVOKE_WITHIN) && bs_config_number(c, BS_CONFIG_REVOKE_WITHIN) == 0);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_REQUEST_TIMEOUT), 2);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_DEADLINE), 3);
    s.poll_interval_s = BLOBSEAL_CONFIG_ZERO;
    s.deadline_s = 4;
    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_E_CONFIG);
    cr_assert(says("limits.poll_interval_s must be a number of seconds from 60 to 3599"), "%s", err.text);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_DEADLINE), 3, "nothing was set");
    s.poll_interval_s = 0;
    s.sets_dir = "s";
    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_E_CONFIG);
    s.sets_dir = NULL;
    s.oaep = (enum blobseal_config_oaep)9;
    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_E_ARG);
    s.size = 1;
    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_E_ARG);
}

/* ---- Merging ----------------------------------------------------------------------------------------------------- */

Test(config_build, later_files_win_member_by_member)
{
    load("{\"keks\": {\"a\": \"/1\", \"b\": \"/1\"}, \"pkcs11\": {\"modules\": [\"/1\"], \"oaep\": \"sha1\"},"
         " \"identities\": {\"i\": {\"type\": \"managed\", \"client_id\": \"c\"}},"
         " \"vaults\": [{\"host\": \"h\", \"ca_file\": \"/1\"}], \"limits\": {\"deadline_s\": 1}}");
    load("{\"keks\": {\"b\": \"/2\", \"c\": \"/2\"}, \"pkcs11\": {\"modules\": [\"/2\"]},"
         " \"identities\": {\"i\": {\"type\": \"managed\"}},"
         " \"vaults\": [{\"host\": \"H\"}, {\"host\": \"g\"}], \"limits\": {\"request_timeout_s\": 2}}");
    cr_assert_str_eq(blobseal_config_kek(c, "a"), "/1");
    cr_assert_str_eq(blobseal_config_kek(c, "b"), "/2");
    cr_assert_str_eq(blobseal_config_kek(c, "c"), "/2");
    cr_assert(bs_config_list_has(c, BS_CONFIG_MODULES, "/2") && !bs_config_list_has(c, BS_CONFIG_MODULES, "/1"));
    cr_assert_eq(bs_config_number(c, BS_CONFIG_OAEP), BLOBSEAL_OAEP_SHA1);
    cr_assert_null(bs_config_identity(c, "i")->is.client_id, "an entry is replaced as a whole");
    cr_assert_null(bs_config_vault(c, "h")->is.ca_file);
    cr_assert_eq(c->num_vaults, 2);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_DEADLINE), 1);
    cr_assert_eq(bs_config_number(c, BS_CONFIG_REQUEST_TIMEOUT), 2);
    load("{\"pkcs11\": {\"modules\": []}}");
    cr_assert_not(bs_config_list_has(c, BS_CONFIG_MODULES, "/2"), "an empty list replaces one as well");
    cr_assert_eq(blobseal_config_add_module(c, "/3", &err), BLOBSEAL_OK);
    cr_assert(bs_config_list_has(c, BS_CONFIG_MODULES, "/3"));
}

Test(config_build, a_file_with_an_error_changes_nothing)
{
    char path[VEC_PATH], name[20];

    load("{\"keks\": {\"a\": \"/1\"}}");
    vec_temp_key(path, "{\"keks\": {\"a\": \"/2\", \"b\": \"/2\"}, \"limits\": {\"deadline_s\": 0}}");
    cr_assert_eq(blobseal_config_load(c, path, &err), BLOBSEAL_E_CONFIG);
    (void)unlink(path);
    cr_assert_str_eq(blobseal_config_kek(c, "a"), "/1");
    cr_assert_null(blobseal_config_kek(c, "b"));
    for (int i = 1; i < BLOBSEAL_CONFIG_MAX_KEKS; i++) {
        (void)snprintf(name, sizeof name, "k%d", i);
        cr_assert_eq(blobseal_config_add_kek(c, name, "/k", &err), BLOBSEAL_OK);
    }
    vec_temp_key(path, "{\"keks\": {\"a\": \"/2\", \"more\": \"/2\"}}");
    cr_assert_eq(blobseal_config_load(c, path, &err), BLOBSEAL_E_CONFIG, "there is no room for all");
    (void)unlink(path);
    cr_assert_str_eq(blobseal_config_kek(c, "a"), "/1");
}

Test(config_build, names_that_refer_to_nothing)
{
    const struct blobseal_config_settings s = {.size = sizeof s, .identity = "nobody"};

    load("{\"keks\": {\"a\": \"/1\"}, \"identity\": \"i\", \"identities\": {\"i\": {\"type\": \"auto\"}},"
         " \"vaults\": [{\"host\": \"h\", \"identity\": \"i\"}], \"oci\": {\"keys\": [\"a\"]}}");
    cr_assert_eq(blobseal_config_check(c, &err), BLOBSEAL_OK, "%s", err.text);
    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_OK);
    cr_assert_eq(blobseal_config_check(c, &err), BLOBSEAL_E_CONFIG);
    cr_assert(says("the configuration: identity names \"nobody\""), "%s", err.text);
}

Test(config_build, what_is_in_use_cannot_change)
{
    const struct blobseal_config_settings s = {.size = sizeof s};
    const struct blobseal_config_identity i = {.size = sizeof i, .name = "i", .type = BLOBSEAL_IDENTITY_AUTO};
    const struct blobseal_config_vault v = {.size = sizeof v, .host = "h"};
    const struct blobseal_config *ref;

    cr_assert_eq(blobseal_config_add_kek(c, "a", "/a", &err), BLOBSEAL_OK);
    ref = bs_config_ref(c);
    cr_assert_eq(blobseal_config_add_kek(c, "a", "/b", &err), BLOBSEAL_E_ARG);
    cr_assert_eq(blobseal_config_add_module(c, "/b", &err), BLOBSEAL_E_ARG);
    cr_assert_eq(blobseal_config_add_oci_key(c, "a", &err), BLOBSEAL_E_ARG);
    cr_assert_eq(blobseal_config_add_identity(c, &i, &err), BLOBSEAL_E_ARG);
    cr_assert_eq(blobseal_config_add_vault(c, &v, &err), BLOBSEAL_E_ARG);
    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_E_ARG);
    cr_assert_eq(blobseal_config_load(c, "/nowhere", &err), BLOBSEAL_E_ARG);
    blobseal_config_free(c);
    cr_assert_str_eq(blobseal_config_kek(ref, "a"), "/a", "it lives as long as the reference");
    bs_config_unref(ref);
    begin();
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* Load a file with this mode. */
static enum blobseal_status load_mode(mode_t mode)
{
    enum blobseal_status st;
    char path[VEC_PATH];

    vec_temp_key(path, "{}");
    cr_assert_eq(chmod(path, mode), 0);
    st = blobseal_config_load(c, path, &err);
    (void)unlink(path);
    return st;
}

Test(config_build, others_may_read_a_file_and_not_write_it)
{
    static const mode_t good[] = {0400, 0600, 0644, 0755}, bad[] = {0620, 0602, 0660, 0666, 0777};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect_eq(load_mode(good[i]), BLOBSEAL_OK, "%04o: %s", (unsigned)good[i], err.text);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(load_mode(bad[i]), BLOBSEAL_E_POLICY, "%04o", (unsigned)bad[i]);
        cr_expect(says("can write it"), "%s", err.text);
    }
}

Test(config_build, what_is_not_a_file)
{
    cr_assert_eq(blobseal_config_load(c, "/nowhere/at/all", &err), BLOBSEAL_E_INPUT);
    cr_assert_eq(blobseal_config_load(c, "", &err), BLOBSEAL_E_INPUT);
    cr_assert_eq(blobseal_config_load(c, "/", &err), BLOBSEAL_E_CONFIG);
    cr_assert_eq(blobseal_config_load(c, "/dev/null", &err), BLOBSEAL_E_CONFIG);
}

Test(config_build, the_largest_file)
{
    char *text = must_alloc(BLOBSEAL_CONFIG_MAX_FILE + 2), path[VEC_PATH];

    memset(text, ' ', BLOBSEAL_CONFIG_MAX_FILE + 1);
    memcpy(text, "{}", 2);
    for (int more = 0; more < 2; more++) {
        text[BLOBSEAL_CONFIG_MAX_FILE + more] = '\0';
        vec_temp_key(path, text);
        cr_assert_eq(blobseal_config_load(c, path, &err), more == 0 ? BLOBSEAL_OK : BLOBSEAL_E_CONFIG);
        (void)unlink(path);
        text[BLOBSEAL_CONFIG_MAX_FILE + more] = ' ';
    }
    free(text);
}

/* ---- Listing ----------------------------------------------------------------------------------------------------- */

struct listed {
    unsigned num;
    char all[4096];
    unsigned stop_after;
};

static bool note(void *ctx, const struct blobseal_config_value *v)
{
    struct listed *l = ctx;
    size_t len = strlen(l->all);

    (void)snprintf(l->all + len, sizeof l->all - len, "%s=%s%s%s@%zu\n", v->member, v->text, v->is_text ? "'" : "",
                   v->is_default ? "d" : "", v->line);
    cr_expect_eq(v->file == NULL, v->line == 0);
    return ++l->num != l->stop_after;
}

Test(config_build, all_values_are_listed)
{
    static const char expected[] = "keks.a=/1'@2\n"
                                   "identities.i.type=command'@3\n"
                                   "identities.i.command[0]=/c'@4\n"
                                   "identities.i.command[1]=x'@4\n"
                                   "vaults[h].host=h'@5\n"
                                   "vaults[h].identity=i'@6\n"
                                   "vaults[h].wrap=local'd@0\n"
                                   "identity=i'@0\n"
                                   "pkcs11.modules[0]=/m'@7\n"
                                   "pkcs11.modules[1]=/n'@8\n"
                                   "pkcs11.oaep=sha256'd@0\n"
                                   "sets_dir=/etc/blobseal/sets.d'd@0\n"
                                   "audit_required=false@9\n"
                                   "limits.poll_interval_s=3300d@0\n"
                                   "limits.revoke_within_s=0@9\n"
                                   "limits.request_timeout_s=20d@0\n"
                                   "limits.deadline_s=120d@0\n";
    const struct blobseal_config_settings s = {.size = sizeof s, .identity = "i"};
    struct listed l = {0};

    load("{\n\"keks\": {\"a\": \"/1\"},\n\"identities\": {\"i\": {\"type\": \"command\",\n\"command\": [\"/c\", "
         "\"x\"]}},"
         "\n\"vaults\": [{\"host\": \"h\",\n\"identity\": \"i\"}],\n\"pkcs11\": {\"modules\": [\"/m\",\n\"/n\"]},\n"
         "\"audit_required\": false, \"limits\": {\"revoke_within_s\": 0}}");
    cr_assert_eq(blobseal_config_set(c, &s, &err), BLOBSEAL_OK);
    blobseal_config_list(c, note, &l);
    cr_assert_str_eq(l.all, expected);
    l = (struct listed){.stop_after = 2};
    blobseal_config_list(c, note, &l);
    cr_assert_eq(l.num, 2);
}
