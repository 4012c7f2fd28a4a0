/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal-ctd-decoder: a stream processor of containerd for encrypted layers. It reads a layer from standard input and
 * a payload from descriptor 3, as containerd's own decoder does, and writes the plaintext to standard output.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/process.h"
#include "tools/common/signals.h"
#include "tools/decoder/decoder.h"

#define DEFAULT_LIMIT ((uint64_t)32 << 30)

enum { OPT_KEYS_PATH = OPT_OWN, OPT_SPOOL_DIR, OPT_SPOOL_LIMIT, OPT_STREAM_ABOVE };

static const char usage[] =
    "blobseal-ctd-decoder [OPTION]... <LAYER 3<PAYLOAD >PLAIN\n"
    "Decrypt a layer of a container image for containerd, which runs this program as a stream processor.\n"
    "Nothing is written before all of the layer has been verified.\n\n"
    "      --decryption-keys-path DIR\n"
    "                          use the private keys in DIR and the folders in it\n"
    "      --config FILE       read this configuration as well; the keys that its member oci names are used\n"
    "      --audit FILE        record each use of a key in FILE\n"
    "      --spool-dir DIR     keep the ciphertext in DIR until it is verified, in a file without a name\n"
    "                          (default: the folder in TMPDIR, or /var/tmp)\n"
    "      --spool-limit SIZE  refuse larger layers (default: 32G)\n"
    "      --stream-unverified-above SIZE\n"
    "                          write larger layers before they have been verified, instead of refusing them\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "  -h, --help              this text\n\n"
    "Exit code: 0; 3 not authentic or malformed; 4 no key fits; 10 the layer is too large; 12 it needs something that\n"
    "is not supported; others as in blobseal(1).\n\n"
    "Example, in the configuration of containerd:\n"
    "  [stream_processors.\"io.containerd.ocicrypt.decoder.v1.tar.gzip\"]\n"
    "    accepts = [\"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\"]\n"
    "    returns = \"application/vnd.oci.image.layer.v1.tar+gzip\"\n"
    "    path = \"/usr/bin/blobseal-ctd-decoder\"\n"
    "    args = [\"--decryption-keys-path\", \"/etc/containerd/ocicrypt/keys\"]\n";

static const struct option options[] = {
    {"decryption-keys-path", required_argument, NULL, OPT_KEYS_PATH},
    CONFIG_OPTIONS,
    {"spool-dir", required_argument, NULL, OPT_SPOOL_DIR},
    {"spool-limit", required_argument, NULL, OPT_SPOOL_LIMIT},
    {"stream-unverified-above", required_argument, NULL, OPT_STREAM_ABOVE},
    {"fips", no_argument, NULL, OPT_FIPS},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static const char *default_spool(void)
{
    const char *folder = getenv("TMPDIR");

    return folder != NULL && folder[0] == '/' ? folder : "/var/tmp";
}

static int size_option(const struct ui *ui, const char *name, const char *arg, uint64_t *out)
{
    return parse_bytes(&arg, out) && *arg == '\0' ? EXIT_OK
                                                  : usage_error(ui, "%s needs a number of bytes, such as 4G", name);
}

static int take_option(struct decoder *d, int option, const char *arg)
{
    switch (option) {
    case OPT_KEYS_PATH:
        d->folder = arg;
        return EXIT_OK;
    case OPT_SPOOL_DIR:
        d->spool = arg;
        return EXIT_OK;
    case OPT_SPOOL_LIMIT:
        return d->stream ? EXIT_OK : size_option(d->ui, "--spool-limit", arg, &d->limit);
    case OPT_STREAM_ABOVE:
        d->stream = true;
        return size_option(d->ui, "--stream-unverified-above", arg, &d->limit);
    default:
        return EXIT_OK;
    }
}

/*
 * Keep standard output open for a moment after a failure. containerd looks for the exit status and the message when
 * standard output ends, and would often find neither yet; it would then report a wrong digest instead.
 */
static void outlive(void)
{
    if (fork() != 0)
        return;
    (void)close(STDIN_FILENO);
    (void)close(STDERR_FILENO);
    (void)poll(NULL, 0, 500);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct ui ui = {.program = "blobseal-ctd-decoder", .usage = usage, .options = options};
    struct decoder d = {.ui = &ui, .spool = default_spool(), .limit = DEFAULT_LIMIT};
    struct blobseal_error err = {0};
    int option, code = EXIT_OK;

    process_start();
    signals_catch();
    ui.umask = umask(077);
    while (code == EXIT_OK && (option = next_option(&ui, argc, argv)) != -1)
        code = take_option(&d, option, optarg);
    if (code == EXIT_OK && optind < argc)
        code = usage_error(&ui, "the layer is read from standard input, not from %s", argv[optind]);
    if (code == EXIT_OK && !decode(&d, &err))
        code = report_error_text(&ui, &err);
    oci_keys_close(&d.keys);
    config_free();
    if (code != EXIT_OK)
        outlive();
    return code;
}
