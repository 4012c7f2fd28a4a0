/* SPDX-License-Identifier: Apache-2.0 */
/* Key ids: https://HOST/keys/NAME[/VERSION], and nothing that another program could read differently. */
#include <stdio.h>
#include <strings.h>

#include "kek/keyvault/keyvault.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

/* Copy @len bytes to @out, which has room for them and a zero byte, in lower case if wanted. */
static void copy(char *out, const char *from, size_t len, bool lower)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(lower && from[i] >= 'A' && from[i] <= 'Z' ? from[i] + ('a' - 'A') : from[i]);
    out[len] = '\0';
}

/* Read "NAME[:PORT]" of @len bytes. */
static const char *parse_host(char out[BS_KV_MAX_HOST + 1], const char *text, size_t len)
{
    size_t n = strspn(text, LETTERS DIGITS ".-"), digits;
    unsigned long port = 0;

    if (n == 0 || n > 253 || text[0] == '.' || text[0] == '-')
        return "it has no valid name of a host";
    copy(out, text, n, true);
    if (n == len)
        return NULL;
    if (text[n] != ':')
        return "it has no valid name of a host";
    digits = strspn(text + n + 1, DIGITS);
    for (size_t i = 0; i < digits && port <= 65535; i++)
        port = port * 10 + (unsigned long)(text[n + 1 + i] - '0');
    if (digits == 0 || n + 1 + digits != len || port == 0 || port > 65535)
        return "its port is not valid";
    if (port != 443)
        (void)snprintf(out + n, BS_KV_MAX_HOST + 1 - n, ":%lu", port);
    return NULL;
}

/* Return the length of the path segment at @text, and advance past it and the slash after it. */
static size_t segment(const char **text)
{
    size_t len = strcspn(*text, "/");

    *text += len;
    if (**text == '/')
        (*text)++;
    return len;
}

const char *bs_kv_id_parse(struct bs_kv_id *id, const char *text)
{
    const char *start, *wrong;
    size_t len;

    memset(id, 0, sizeof *id);
    if (strncmp(text, "https://", 8) != 0)
        return "it does not start with https://";
    text += 8;
    if (strpbrk(text, "?#%@\\") != NULL)
        return "it has one of the characters ? # % @ \\";
    start = text;
    len = segment(&text);
    wrong = parse_host(id->host, start, len);
    if (wrong != NULL)
        return wrong;
    start = text;
    if (segment(&text) != 4 || strncasecmp(start, "keys", 4) != 0)
        return "its path is not /keys/NAME or /keys/NAME/VERSION";
    start = text;
    len = segment(&text);
    if (len == 0 || len > BS_KV_MAX_NAME || strspn(start, LETTERS DIGITS "-") != len)
        return "the name of the key is not 1 to 127 letters, digits and hyphens";
    copy(id->name, start, len, false);
    if (*text == '\0')
        return NULL;
    start = text;
    len = segment(&text);
    if (len != BS_KV_VERSION || strspn(start, DIGITS "abcdef") != len)
        return "the version of the key is not 32 hexadecimal digits";
    copy(id->version, start, len, false);
    return *text == '\0' ? NULL : "its path is not /keys/NAME or /keys/NAME/VERSION";
}

bool bs_kv_id_same_key(const struct bs_kv_id *a, const struct bs_kv_id *b)
{
    return strcmp(a->host, b->host) == 0 && strcasecmp(a->name, b->name) == 0;
}

void bs_kv_id_format(char out[BS_KV_MAX_KID + 1], const struct bs_kv_id *id)
{
    (void)snprintf(out, BS_KV_MAX_KID + 1, "https://%s/keys/%s%s%s", id->host, id->name,
                   id->version[0] != '\0' ? "/" : "", id->version);
}
