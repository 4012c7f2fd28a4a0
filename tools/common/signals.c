/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must happen when a signal ends the program. A signal handler receives no context, so this file has the only
 * static variables of the module: the temporary files to remove, the terminal whose echo is off, and whether a line of
 * progress is on the terminal.
 */
#include "tools/common/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/common.h"

/* Temporary files: a name in a folder. A thread that wants an entry takes it first, and sets the name last. */
static struct {
    atomic_bool taken;
    volatile int folder, fd;
    const char *_Atomic name;
} temps[1024];

/* The number of threads in signals_hold(), and whether a signal has come. */
static atomic_uint holding;
static atomic_bool stopping;

/* While a prompt is open: the terminal, and its settings from before. */
static volatile int terminal = -1;
static struct termios terminal_before;

/* Stderr is a terminal; and it shows a line without an end. */
static atomic_int on_terminal, line_shown; /* lock-free, so signal handlers may read them */

void signals_remember(int folder, int fd, const char *name)
{
    for (size_t i = 0; i < COUNT(temps); i++) {
        bool taken = false;

        if (!atomic_compare_exchange_strong(&temps[i].taken, &taken, true))
            continue;
        temps[i].folder = folder;
        temps[i].fd = fd;
        temps[i].name = name;
        return;
    }
}

void signals_forget(const char *name)
{
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i].name == name) {
            temps[i].name = NULL;
            temps[i].taken = false;
            return;
        }
}

void signals_hold(void)
{
    holding++;
    if (!stopping)
        return;
    holding--;
    for (;;)
        (void)pause();
}

void signals_release(void)
{
    holding--;
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

void signals_clear_line(void)
{
    if (line_shown != 0)
        fputs("\r\033[K", stderr);
    line_shown = 0;
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
    const struct timespec moment = {.tv_nsec = 1000000};

    stopping = true;
    for (unsigned i = 0; i < 2000 && holding > 0; i++) /* at most about two seconds, if such a thread waits itself */
        (void)nanosleep(&moment, NULL);
    for (size_t i = 0; i < COUNT(temps); i++)
        if (temps[i].name != NULL) {
            if (temps[i].fd >= 0)
                (void)close(temps[i].fd); /* first, because some remote file systems make the file when it is closed */
            (void)unlinkat(temps[i].folder, temps[i].name, 0);
        }
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
