/* SPDX-License-Identifier: MIT */
/*
 * Reads /proc/self/mountinfo, /sys/dev/block and statx. What is not found is
 * left out of the report, not guessed.
 */
#include "device.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The first line of a file without its newline; false: there is none. */
static bool line_read(const char *path, char *text, size_t size) {
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return false;
    bool good = fgets(text, (int)size, stream) != NULL;
    fclose(stream);
    if (good)
        text[strcspn(text, "\n")] = '\0';
    return good;
}

/* ---- the mount ---- */

struct mount {
    unsigned major, minor;
    char source[256];
};

/* One line of mountinfo: id, parent, major:minor, root, mount point, options,
 * optional fields up to a "-", type, source. */
static bool mount_parse(const char *line, uint64_t id, struct mount *mount,
                        char filesystem[32]) {
    uint64_t line_id;
    if (sscanf(line, "%" SCNu64 " %*u %u:%u", &line_id, &mount->major,
               &mount->minor) != 3 ||
        line_id != id)
        return false;
    const char *tail = strstr(line, " - ");
    return tail != NULL &&
           sscanf(tail, " - %31s %255s", filesystem, mount->source) == 2;
}

static bool mount_find(const char *path, struct mount *mount,
                       char filesystem[32]) {
    struct statx status;
    if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &status) != 0 ||
        (status.stx_mask & STATX_MNT_ID) == 0)
        return false;
    FILE *stream = fopen("/proc/self/mountinfo", "re");
    if (stream == NULL)
        return false;
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (!found && getline(&line, &size, stream) > 0)
        found = mount_parse(line, status.stx_mnt_id, mount, filesystem);
    free(line);
    fclose(stream);
    return found;
}

/* ---- the disk ---- */

/* The folder in /sys that has the queue of the block device: that of the disk,
 * if the device is a part of it. */
static bool disk_folder(const struct mount *mount, char folder[PATH_MAX]) {
    unsigned major_number = mount->major, minor_number = mount->minor;
    struct stat status;
    /* Filesystems of several devices have a number of their own. */
    if (major_number == 0) {
        if (stat(mount->source, &status) != 0 || !S_ISBLK(status.st_mode))
            return false;
        major_number = major(status.st_rdev);
        minor_number = minor(status.st_rdev);
    }
    char link[64], partition[PATH_MAX + 16];
    snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major_number,
             minor_number);
    if (realpath(link, folder) == NULL)
        return false;
    snprintf(partition, sizeof partition, "%s/partition", folder);
    char *slash = strrchr(folder, '/');
    if (access(partition, F_OK) == 0 && slash != NULL)
        *slash = '\0';
    return true;
}

static int queue_number(const char *folder, const char *name) {
    char path[PATH_MAX + 64], text[32];
    snprintf(path, sizeof path, "%s/queue/%s", folder, name);
    return line_read(path, text, sizeof text) ? atoi(text) : -1;
}

static void disk_look(struct dwal__device *device, const char *folder) {
    char path[PATH_MAX + 64];
    const char *slash = strrchr(folder, '/');
    if (slash != NULL)
        snprintf(device->disk, sizeof device->disk, "%s", slash + 1);
    snprintf(path, sizeof path, "%s/queue/write_cache", folder);
    if (!line_read(path, device->write_cache, sizeof device->write_cache))
        device->write_cache[0] = '\0';
    device->fua = queue_number(folder, "fua");
    device->rotational = queue_number(folder, "rotational");
    device->logical_block = queue_number(folder, "logical_block_size");
    device->physical_block = queue_number(folder, "physical_block_size");
}

/* ---- alignment ---- */

static void alignment_look(struct dwal__device *device, const char *folder) {
#ifdef STATX_DIOALIGN
    char path[PATH_MAX + 16];
    struct statx status;
    snprintf(path, sizeof path, "%s/probe", folder);
    int handle = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (handle < 0)
        return;
    if (statx(handle, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        (status.stx_mask & STATX_DIOALIGN) != 0) {
        device->offset_alignment = status.stx_dio_offset_align;
        device->memory_alignment = status.stx_dio_mem_align;
    }
    close(handle);
    unlink(path);
#else
    (void)device;
    (void)folder;
#endif
}

void dwal__device_look(struct dwal__device *device, const char *path) {
    memset(device, 0, sizeof *device);
    device->fua = device->rotational = -1;
    device->logical_block = device->physical_block = -1;
    struct mount mount;
    char folder[PATH_MAX];
    if (!mount_find(path, &mount, device->filesystem))
        device->filesystem[0] = '\0';
    else if (disk_folder(&mount, folder))
        disk_look(device, folder);
    alignment_look(device, path);
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(device->kernel, sizeof device->kernel, "%s", name.release);
    device->cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* ---- telling ---- */

static const char *yes_no(int value) {
    return value < 0 ? "?" : value > 0 ? "yes" : "no";
}

void dwal__device_print(const struct dwal__device *device) {
    const char *cache = device->write_cache;
    printf("device     %s on %s",
           device->filesystem[0] != '\0' ? device->filesystem : "?",
           device->disk[0] != '\0' ? device->disk : "no disk");
    if (device->offset_alignment != 0)
        printf(", direct I/O aligned to %u (memory %u)",
               device->offset_alignment, device->memory_alignment);
    if (device->disk[0] != '\0')
        printf(", write cache: %s, FUA: %s", cache[0] != '\0' ? cache : "?",
               yes_no(device->fua));
    printf("; Linux %s, %d CPUs\n", device->kernel, device->cpus);
}

static void known_json(struct dwal__json *json, const char *name, int value) {
    if (value < 0)
        dwal__json_null(json, name);
    else
        dwal__json_u64(json, name, (uint64_t)value);
}

static void text_json(struct dwal__json *json, const char *name,
                      const char *text) {
    dwal__json_string(json, name, text[0] != '\0' ? text : NULL);
}

void dwal__device_json(const struct dwal__device *device,
                       struct dwal__json *json) {
    dwal__json_object_open(json, "device");
    text_json(json, "filesystem", device->filesystem);
    text_json(json, "disk", device->disk);
    known_json(json, "dio_offset_alignment",
               device->offset_alignment != 0 ? (int)device->offset_alignment
                                             : -1);
    known_json(json, "dio_memory_alignment",
               device->offset_alignment != 0 ? (int)device->memory_alignment
                                             : -1);
    text_json(json, "write_cache", device->write_cache);
    if (device->fua < 0)
        dwal__json_null(json, "fua");
    else
        dwal__json_bool(json, "fua", device->fua > 0);
    if (device->rotational < 0)
        dwal__json_null(json, "rotational");
    else
        dwal__json_bool(json, "rotational", device->rotational > 0);
    known_json(json, "logical_block_size", device->logical_block);
    known_json(json, "physical_block_size", device->physical_block);
    text_json(json, "kernel", device->kernel);
    known_json(json, "cpus", device->cpus);
    dwal__json_object_close(json);
}
