/* SPDX-License-Identifier: MIT */
/*
 * Why bytes are not what they should be: one name for each "valid if and only
 * if" of SPEC 4 to 6. The decoders return them; messages and tests use the
 * texts.
 */
#ifndef DWAL_FORMAT_FAULT_H
#define DWAL_FORMAT_FAULT_H

/* X(name, text) */
#define DWAL__FAULT_LIST(X)                                                   \
    X(DWAL__FAULT_NONE, "valid")                                              \
    X(DWAL__FAULT_SHORT, "the bytes end too early")                           \
    X(DWAL__FAULT_MAGIC, "wrong magic")                                       \
    X(DWAL__FAULT_CRC, "checksum mismatch")                                   \
    X(DWAL__FAULT_RESERVED, "reserved bytes are not zero")                    \
    X(DWAL__FAULT_PADDING, "padding is not zero")                             \
    X(DWAL__FAULT_FIELD, "a field is out of its limits")                      \
    X(DWAL__FAULT_VERSION, "a format version or feature this dwal does not "  \
                           "know")                                            \
    X(DWAL__FAULT_ZERO, "zeros: nothing was written here")                    \
    X(DWAL__FAULT_STALE, "an older use of the file")                          \
    X(DWAL__FAULT_FOREIGN, "bytes that are no batch of this segment")         \
    X(DWAL__FAULT_PLACE, "made for another place")                            \
    X(DWAL__FAULT_LINK, "does not follow the batch before it")                \
    X(DWAL__FAULT_LSN, "LSNs are not dense")                                  \
    X(DWAL__FAULT_RECORD_CRC, "record checksum mismatch")                     \
    X(DWAL__FAULT_RECORD_SALT, "a record of another use of the file")         \
    X(DWAL__FAULT_RECORD_SIZE, "a record does not fit its batch")             \
    X(DWAL__FAULT_COUNT, "the record count is wrong")                         \
    X(DWAL__FAULT_DIGEST, "the records are not those the header was made for")

enum dwal__fault {
#define DWAL__X(name, text) name,
    DWAL__FAULT_LIST(DWAL__X)
#undef DWAL__X
};

const char *dwal__fault_text(enum dwal__fault fault);

#endif
