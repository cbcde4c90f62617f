/* SPDX-License-Identifier: MIT */
/* The mains of the tools, under other names: this is included before them. */
#ifndef DWAL_TESTS_FUZZ_MAINS_H
#define DWAL_TESTS_FUZZ_MAINS_H

int walfsck_main(int argc, char **argv);
int waldump_main(int argc, char **argv);

#endif
