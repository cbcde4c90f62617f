/* SPDX-License-Identifier: MIT */
/* What man/dwal.3 shows in C, written by somebody who writes C++. */
#include <dwal.h>

#include <iostream>
#include <stdexcept>
#include <string>

static void check(int code, const dwal_error &error) {
    if (code != DWAL_OK)
        throw std::runtime_error(error.text);
}

static void run(const char *path) {
    dwal_error error;
    dwal_options options;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    dwal *log = nullptr;
    check(dwal_open(path, &options, &log, &error), error);
    dwal_record record = dwal_record();
    record.data = "hello";
    record.size = 5;
    uint64_t lsn = 0;
    check(dwal_commit(log, &record, &lsn, &error), error);
    std::cout << "record " << lsn << " is on the disk\n";
    check(dwal_close(log, &error), error);

    dwal_cursor *cursor = nullptr;
    check(dwal_cursor_open(path, nullptr, &cursor, &error), error);
    int code;
    while ((code = dwal_cursor_next(cursor, &record, &error)) == DWAL_OK)
        std::cout << record.lsn << ' '
                  << std::string(static_cast<const char *>(record.data),
                                 record.size)
                  << '\n';
    dwal_cursor_close(cursor);
    if (code != DWAL_END)
        check(code, error);
}

int main(int argc, char **argv) {
    try {
        run(argc > 1 ? argv[1] : "example.log");
    } catch (const std::exception &exception) {
        std::cerr << exception.what() << '\n';
        return 1;
    }
    return 0;
}
