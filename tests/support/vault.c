/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/vault.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 60000

static void die(const char *what)
{
    fprintf(stderr, "the fake vault: %s\n", what);
    exit(1);
}

static bool runs(const char *const argv[])
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void)dup2(nowhere, 1);
        (void)dup2(nowhere, 2);
        (void)execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool read_ports(struct test_vault *v)
{
    char path[96];
    FILE *f;
    bool ok;

    (void)snprintf(path, sizeof path, "%s/ports", v->folder);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    ok = fscanf(f, "https=%u http=%u control=%u", &v->https, &v->http, &v->control) == 3;
    (void)fclose(f);
    return ok;
}

static void spawn(struct test_vault *v)
{
    int ends[2];

    if (pipe(ends) != 0)
        die("no pipe");
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    v->pid = fork();
    if (v->pid == 0) {
        (void)dup2(ends[0], 0);
        (void)close(ends[0]);
        (void)execlp("python3", "python3", FAKE_VAULT, v->folder, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    v->input = ends[1];
}

bool test_vault_start(struct test_vault *v)
{
    const char *const probe[] = {"python3", "-c", "import cryptography", NULL};
    const struct timespec pause = {.tv_nsec = 10000000};
    const char *ci = getenv("CI");

    memset(v, 0, sizeof *v);
    if (!runs(probe)) {
        fprintf(stderr, "skipped: needs python3-cryptography\n");
        if (ci != NULL && strcmp(ci, "true") == 0)
            die("needs python3-cryptography");
        return false;
    }
    (void)snprintf(v->folder, sizeof v->folder, "/tmp/blobseal-vault.XXXXXX");
    if (mkdtemp(v->folder) == NULL)
        die("no temporary folder");
    spawn(v);
    for (unsigned i = 0; i < START_MS / 10 && !read_ports(v); i++)
        (void)nanosleep(&pause, NULL);
    if (!read_ports(v))
        die("it does not start");
    (void)snprintf(v->host, sizeof v->host, "localhost:%u", v->https);
    (void)snprintf(v->ca, sizeof v->ca, "%s/ca.pem", v->folder);
    (void)snprintf(v->app, sizeof v->app, "%s/app.pem", v->folder);
    return true;
}

void test_vault_stop(struct test_vault *v)
{
    const char *const rm[] = {"rm", "-rf", v->folder, NULL};

    if (v->pid <= 0)
        return;
    (void)close(v->input);
    (void)waitpid(v->pid, NULL, 0);
    (void)runs(rm);
    v->pid = 0;
}

/* Send all of @text to the control port, and return all that comes back. */
static char *exchange(const struct test_vault *v, const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)v->control)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    size_t len = 0, cap = 1 << 20;
    char *answer = malloc(cap);
    ssize_t n;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (answer == NULL || s < 0 || connect(s, (struct sockaddr *)&a, sizeof a) != 0 ||
        write(s, text, strlen(text)) != (ssize_t)strlen(text))
        die("cannot be controlled");
    while ((n = read(s, answer + len, cap - len - 1)) > 0)
        len += (size_t)n;
    answer[len] = '\0';
    (void)close(s);
    return answer;
}

struct blobseal_config *test_vault_config(const struct test_vault *v, const struct blobseal_config_settings *settings)
{
    char endpoint[64], authority[64];
    const struct blobseal_config_identity identity = {
        .size = sizeof identity, .name = "id", .type = BLOBSEAL_IDENTITY_MANAGED, .endpoint = endpoint};
    const struct blobseal_config_vault vault = {.size = sizeof vault,
                                                .host = v->host,
                                                .ca_file = v->ca,
                                                .resource = "https://vault.azure.net",
                                                .authority = authority,
                                                .identity = "id"};
    struct blobseal_config *config;

    (void)snprintf(endpoint, sizeof endpoint, "http://localhost:%u", v->http);
    (void)snprintf(authority, sizeof authority, "https://%s", v->host);
    if (blobseal_config_new(&config, NULL) != BLOBSEAL_OK ||
        blobseal_config_add_identity(config, &identity, NULL) != BLOBSEAL_OK ||
        blobseal_config_add_vault(config, &vault, NULL) != BLOBSEAL_OK ||
        (settings != NULL && blobseal_config_set(config, settings, NULL) != BLOBSEAL_OK))
        die("no configuration");
    return config;
}

struct blobseal_set *test_vault_set(const struct test_vault *v, const struct blobseal_config *config,
                                    struct blobseal_kek *keks[2])
{
    char ref[64];
    const struct blobseal_set_new how = {.size = sizeof how, .kek = ref};
    const struct blobseal_set_options of_set = {.size = sizeof of_set, .config = config};
    const struct blobseal_kek_options of_key = {.size = sizeof of_key, .config = config};
    struct blobseal_error err = {0};
    struct blobseal_set *set;

    (void)snprintf(ref, sizeof ref, "https://%s/keys/kek", v->host);
    if (blobseal_set_create(&set, "s", &how, &of_set, &err) != BLOBSEAL_OK ||
        blobseal_set_kek(set, &keks[0], &err) != BLOBSEAL_OK ||
        blobseal_kek_open(&keks[1], NULL, ref, &of_key, &err) != BLOBSEAL_OK)
        die(err.text);
    return set;
}

char *test_vault_ask(const struct test_vault *v, const char *command, const char *format, ...)
{
    char body[4096], text[5000], *answer, *start;
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(body, sizeof body, format, ap);
    va_end(ap);
    (void)snprintf(text, sizeof text, "POST /%s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n%s", command, strlen(body),
                   body);
    answer = exchange(v, text);
    start = strstr(answer, "\r\n\r\n");
    if (strstr(answer, " 200 ") == NULL || start == NULL)
        die(answer);
    memmove(answer, start + 4, strlen(start + 4) + 1);
    return answer;
}

unsigned test_vault_count(const struct test_vault *v, const char *json)
{
    char *answer = test_vault_ask(v, "count", "%s", json);
    unsigned n = 0;

    if (sscanf(answer, "{\"count\": %u", &n) != 1)
        die(answer);
    free(answer);
    return n;
}
