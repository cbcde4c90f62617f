/* SPDX-License-Identifier: MIT */
/*
 * Running a tool as a function: getopt begins anew, standard output is nowhere.
 */
#include "tool.h"

#include <getopt.h>
#include <stdio.h>

#include "fsck/cli.h"
#include "guard.h"

#define WORDS_MAX 12

void tool_begin(void) {
    fuzz_check(freopen("/dev/null", "we", stdout) != NULL);
}

int tool_run(int (*tool)(int argc, char **argv), const char *const *words) {
    char *argv[WORDS_MAX + 1] = {NULL};
    int argc = 0;
    for (; words[argc] != NULL; argc++) {
        fuzz_check(argc < WORDS_MAX);
        argv[argc] = (char *)words[argc];
    }
    optind = 0; /* the GNU library's way to begin again */
    int status = tool(argc, argv);
    fuzz_check(status >= 0 && (status & ~0x3F) == 0);
    fuzz_check((status & (DWAL__EXIT_USAGE | DWAL__EXIT_CANCELLED)) == 0);
    return status;
}
