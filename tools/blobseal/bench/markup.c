/* SPDX-License-Identifier: Apache-2.0 */
/* The elements that all parts of the page are made of: escaped text, numbers, and tables. */
#include <stdio.h>
#include <string.h>

#include "tools/blobseal/bench/bench.h"

void bench_print_escaped(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        case '\'':
            fputs("&#39;", to);
            break;
        default:
            fputc(*text, to);
        }
    }
}

/* ---- Small parts ------------------------------------------------------------------------------------------------- */

void bench_put_cell(FILE *to, const char *text)
{
    fputs("<td>", to);
    bench_print_escaped(to, text);
    fputs("</td>", to);
}

void bench_put_number(FILE *to, double v, int digits)
{
    if (v > 0)
        fprintf(to, "<td>%.*f</td>", digits, v);
    else
        fputs("<td>–</td>", to);
}

const char *bench_quantity_html(char buf[40], enum bench_unit unit, double v)
{
    char plain[32];
    size_t n;

    (void)bench_quantity(plain, unit, v);
    n = strlen(plain);
    if (v <= 0)
        (void)snprintf(buf, 40, "–");
    else if (n > 3 && strcmp(plain + n - 3, " us") == 0)
        (void)snprintf(buf, 40, "%.*s µs", (int)n - 3, plain);
    else
        (void)snprintf(buf, 40, "%s", plain);
    return buf;
}

void bench_put_time(FILE *to, double seconds)
{
    char text[40];

    bench_put_cell(to, bench_quantity_html(text, BENCH_UNIT_SECONDS, seconds));
}

void bench_start_table(FILE *to, const char *label, const char *const *columns, size_t num)
{
    fprintf(to, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table><thead><tr>", label);
    for (size_t i = 0; i < num; i++)
        fprintf(to, "<th scope=\"col\">%s</th>", columns[i]);
    fputs("</tr></thead><tbody>\n", to);
}

void bench_end_table(FILE *to)
{
    fputs("</tbody></table></div>\n", to);
}
