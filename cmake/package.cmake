# SPDX-License-Identifier: MIT
#
# What `cpack` makes: libdwal0, libdwal-dev and dwal-tools for Debian, and a
# tarball of the tools and the library. `cmake --workflow --preset package` does
# it all. Names and dependencies are here; changelogs, licence and compression
# are added to the staged files by cmake/debian/stage.cmake.
set(CPACK_PACKAGE_NAME dwal)
set(CPACK_PACKAGE_VENDOR "the dwal authors")
set(CPACK_PACKAGE_CONTACT "the dwal authors <dwal@dwal.invalid>")
# Empty, since the first line of each package's description is its own.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL runtime dev tools)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PRE_BUILD_SCRIPTS "${PROJECT_SOURCE_DIR}/cmake/debian/stage.cmake")
set(CPACK_POST_BUILD_SCRIPTS "${PROJECT_SOURCE_DIR}/cmake/debian/repack.cmake")
# For stage.cmake.
set(CPACK_DWAL_SOURCE_DIR "${PROJECT_SOURCE_DIR}")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# The library; its shlibs file tells other packages what to depend on.
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libdwal0)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
configure_file("${PROJECT_SOURCE_DIR}/cmake/debian/shlibs.in"
  "${PROJECT_BINARY_DIR}/debian/shlibs" @ONLY)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
  "${PROJECT_BINARY_DIR}/debian/shlibs;${PROJECT_SOURCE_DIR}/cmake/debian/triggers")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
"write-ahead log - shared library
Many threads append records; one write and one sync carry them, and each
gets its own number and its own truthful answer. What was acknowledged is
there after any crash, in order, or the log says exactly what is missing.
.
This package has the shared library.")

set(dev_crc_isal libisal-dev)
set(dev_crc_libdeflate libdeflate-dev)
set(dev_crc_zlib zlib1g-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libdwal-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
  "libdwal0 (= ${PROJECT_VERSION}-1), libaio-dev, ${dev_crc_${DWAL_CRC_NAME}}")
set(CPACK_COMPONENT_DEV_DESCRIPTION
"write-ahead log - development files
Many threads append records; one write and one sync carry them, and each
gets its own number and its own truthful answer. What was acknowledged is
there after any crash, in order, or the log says exactly what is missing.
.
This package has the headers, the static library, the manual of all
functions, and what pkg-config and CMake need to find the library.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME dwal-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SUGGESTS "fio")
set(CPACK_COMPONENT_TOOLS_DESCRIPTION
"write-ahead log - tools to write, check, repair and show logs
walput appends lines or blobs to a log and prints the number of each once
it is on the disk; waldump shows the records of a log, also while it is
written; walfsck checks a log, repairs it, and saves what is whole;
walbench measures what a disk gives such a log.
.
Many threads append records; one write and one sync carry them, and each
gets its own number and its own truthful answer. What was acknowledged is
there after any crash, in order, or the log says exactly what is missing.")

include(CPack)
