/* SPDX-License-Identifier: MIT */
/*
 * A tool, run inside of this process on the disk of the guard.
 */
#ifndef DWAL_TESTS_FUZZ_TOOL_H
#define DWAL_TESTS_FUZZ_TOOL_H

/* No directory of the real disk has this name. */
#define TOOL_LOG "/nonexistent/dwal-fuzz"

/* Standard output goes nowhere from now on. */
void tool_begin(void);

/* The exit status of @tool with these words, the last of them NULL. It must be
 * one that the tools have. */
int tool_run(int (*tool)(int argc, char **argv), const char *const *words);

#endif
