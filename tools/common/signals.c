/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must happen when a signal ends the program. A signal handler receives no context, so this file has the only
 * static variables of the module: the temporary files to remove, the terminal whose echo is off, and whether a line of
 * progress is on the terminal.
 */
#include "tools/common/signals.h"

#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "tools/common/common.h"

/* Temporary files: a name in a folder. An entry is in use while its name is set. */
static struct {
    volatile int folder;
    const char *volatile name;
} temps[4];

/* While a prompt is open: the terminal, and its settings from before. */
static volatile int terminal = -1;
static struct termios terminal_before;

/* Stderr is a terminal; and it shows a line without an end. */
static volatile sig_atomic_t on_terminal, line_shown;

void signals_remember(int folder, const char *name)
{
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i].name == NULL) {
            temps[i].folder = folder;
            temps[i].name = name;
            return;
        }
}

void signals_forget(const char *name)
{
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i].name == name)
            temps[i].name = NULL;
}

bool signals_echo_off(int fd)
{
    struct termios silent;

    if (tcgetattr(fd, &terminal_before) != 0)
        return false;
    silent = terminal_before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_lflag |= ECHONL;
    terminal = fd;
    (void)tcsetattr(fd, TCSAFLUSH, &silent);
    return true;
}

void signals_echo_on(void)
{
    if (terminal >= 0)
        (void)tcsetattr(terminal, TCSAFLUSH, &terminal_before);
    terminal = -1;
}

void signals_line(bool shown)
{
    line_shown = shown ? 1 : 0;
}

/* Leave the cursor at the start of an empty line: the terminal has echoed ^C, and the shell will print its prompt. */
static void clear_line(int sig)
{
    const char *text = line_shown != 0 ? "\r\033[K" : "\n";

    if (on_terminal == 0 || (line_shown == 0 && sig != SIGINT && sig != SIGQUIT))
        return;
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        line_shown = 0; /* nothing can be done */
}

static void on_signal(int sig)
{
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i].name != NULL)
            (void)unlinkat(temps[i].folder, temps[i].name, 0);
    signals_echo_on();
    clear_line(sig);
    _exit(EXIT_SIGNAL + sig);
}

void signals_catch(void)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN}, before;

    (void)sigfillset(&action.sa_mask);
    for (size_t i = 0; i < COUNT(stops); i++) {
        (void)sigaction(stops[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* nohup and the background jobs of a shell ignore some */
            (void)sigaction(stops[i], &action, NULL);
    }
    on_terminal = isatty(STDERR_FILENO);
    /* Ignored, so that a closed pipe or a file size limit makes write() fail, which is reported. */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}
