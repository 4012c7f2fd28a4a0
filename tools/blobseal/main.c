/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal: the table of verbs, and what the process does before it uses a key. */
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "tools/blobseal/verbs.h"
#include "tools/common/process.h"
#include "tools/common/signals.h"

const struct verb *const verbs[] = {
    &verb_keygen,      &verb_key,    &verb_seal,   &verb_open,       &verb_inspect, &verb_verify,
    &verb_recipients,  &verb_rewrap, &verb_scrub,  &verb_doctor,     &verb_set,     &verb_oci,
    &verb_keyprovider, &verb_bench,  &verb_config, &verb_completion, NULL};

static const struct verb *find(const char *name)
{
    for (size_t i = 0; verbs[i] != NULL; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void print_help(FILE *to)
{
    fputs("Usage: blobseal VERB [OPTION]... [FILE]...\n"
          "Seal files with keys that their owner holds: AES-256-GCM, data keys wrapped by RSA.\n\nVerbs:\n",
          to);
    for (size_t i = 0; verbs[i] != NULL; i++)
        fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    fputs("\nExample:\n"
          "  blobseal keygen -o kek.pem --pub kek.pub.pem\n"
          "  blobseal seal -k kek.pub.pem disk.img              makes disk.img.sealed\n"
          "  blobseal open -k kek.pem -o copy.img disk.img.sealed\n"
          "\nMore: blobseal help VERB, man blobseal, man blobseal-VERB\n",
          to);
}

static int unknown_verb(const struct ui *ui, const char *name)
{
    struct nearest n = {.typed = name};

    for (size_t i = 0; verbs[i] != NULL; i++)
        nearest_try(&n, verbs[i]->name);
    nearest_try(&n, "help");
    return unknown_word(ui, "no verb named", name, n.best);
}

static int help(const struct ui *ui, int argc, char **argv)
{
    const struct verb *v = argc > 2 ? find(argv[2]) : NULL;

    if (argc > 2 && v == NULL)
        return unknown_verb(ui, argv[2]);
    if (v != NULL)
        printf("Usage: %s", v->usage);
    else
        print_help(stdout);
    return stdout_finish(ui);
}

int main(int argc, char **argv)
{
    struct ui ui = {.program = "blobseal"};
    const struct verb *v;
    int code;

    process_start();
    signals_catch();
    ui.umask = umask(0);
    (void)umask(ui.umask);
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(&ui, argc, argv);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("blobseal %s (%s)\n", blobseal_version(), OpenSSL_version(OPENSSL_VERSION));
        return stdout_finish(&ui);
    }
    v = find(argv[1]);
    if (v == NULL)
        return unknown_verb(&ui, argv[1]);
    ui.verb = v->name;
    ui.usage = v->usage;
    ui.options = v->options;
    ui.any_openssl = v == &verb_doctor || v == &verb_completion || v == &verb_config; /* reports it, or needs none */
    code = v->run(&ui, argc - 1, argv + 1);
    config_free();
    return code;
}
