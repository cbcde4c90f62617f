/* SPDX-License-Identifier: MIT */
/*
 * A main for a target without a fuzzer: runs each file that is named, with any
 * compiler. What fails names the file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "target.h"

#define INPUT_MAX ((size_t)4 << 20)

static size_t input_read(const char *path, uint8_t *bytes) {
    FILE *stream = fopen(path, "rbe");
    if (stream == NULL) {
        perror(path);
        exit(1);
    }
    size_t size = fread(bytes, 1, INPUT_MAX, stream);
    fclose(stream);
    return size;
}

int main(int argc, char **argv) {
    int count = argc - 1;
    uint8_t *bytes = malloc(INPUT_MAX);
    if (bytes == NULL)
        return 1;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        fprintf(stderr, "input %s\n", argv[i]);
        /* A copy of just its size: a read behind it is found. */
        size_t size = input_read(argv[i], bytes);
        uint8_t *copy = malloc(size > 0 ? size : 1);
        if (copy == NULL)
            return 1;
        for (size_t at = 0; at < size; at++)
            copy[at] = bytes[at];
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
    }
    free(bytes);
    fprintf(stderr, "%d inputs passed\n", count);
    return 0;
}
