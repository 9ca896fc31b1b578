// SPDX-License-Identifier: Apache-2.0
/* Cgroups: the ones a process is in, as /proc tells them, and the way into the same ones from somewhere else. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef OWN_CGROUPS
#define OWN_CGROUPS "/proc/self/cgroup" /* tests are built with files of their own in the place of these two */
#define MOUNTS "/proc/self/mountinfo"
#endif

struct mount { /* one line of mountinfo, as far as it matters */
    char *root, *point, *type, *options;
};

/* Our cgroups, a line for each hierarchy: the size, 0 if unknown. Only whole lines: half a path is another cgroup. */
size_t cgroup_own(char text[MAX_CGROUP])
{
    int fd = open(OWN_CGROUPS, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, text, MAX_CGROUP);
    close(fd);
    const char *end = size > 0 ? memrchr(text, '\n', (size_t)size) : NULL;
    return end ? (size_t)(end - text) + 1 : 0;
}

/* Undoes the kernel's escapes in place, \040 for a space; systemd's \x2d comes as \134x2d. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        bool escaped = from[0] == '\\' && strspn(from + 1, "01234567") >= 3;
        *to = escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += escaped ? 4 : 1;
    }
    *to = 0;
}

/* Takes a line apart, "36 35 98:0 ROOT POINT rw master:1 - TYPE source OPTIONS": any number of words before the dash. */
static bool mount_read(char *line, struct mount *mount)
{
    char *head = line, *tail = strstr(line, " - ");
    if (!tail)
        return false;
    *tail = 0;
    tail += 3;
    for (int i = 0; i < 3; i++)
        strsep(&head, " ");
    mount->root = strsep(&head, " ");
    mount->point = strsep(&head, " ");
    mount->type = strsep(&tail, " ");
    strsep(&tail, " ");
    mount->options = strsep(&tail, " \n");
    if (!mount->point || !mount->options)
        return false;
    unescape(mount->root);
    unescape(mount->point);
    return true;
}

/* Whether it shows the hierarchy of these controllers (none: cgroup2). The first is enough, for it is in no other. */
static bool shows(struct mount *mount, const char *controllers)
{
    size_t length = strcspn(controllers, ",:");
    if (length == 0)
        return strcmp(mount->type, "cgroup2") == 0;
    if (strcmp(mount->type, "cgroup") != 0)
        return false;
    for (char *one; (one = strsep(&mount->options, ","));)
        if (strlen(one) == length && strncmp(one, controllers, length) == 0)
            return true;
    return false;
}

/* What of a path is below a mount whose root is so deep in its hierarchy; NULL: it does not show that path. */
static const char *below(const char *root, const char *path)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool is = strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
    return is ? path + length : NULL;
}

static const char *enter(const char *point, const char *path)
{
    char file[PATH_MAX];
    if (snprintf(file, sizeof file, "%s%s/cgroup.procs", point, path) >= (int)sizeof file)
        return strerror(ENAMETOOLONG);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    const char *problem = fd >= 0 && write_all(fd, "0", 1) ? NULL : strerror(errno);
    if (fd >= 0)
        close(fd);
    return problem;
}

/*
 * Moves us into a cgroup, "CONTROLLERS:PATH": NULL, or what is wrong. Where its hierarchy is mounted differs (hybrid
 * hosts, nodes that are containers themselves), and only the namespaces that we are in by now know it.
 */
const char *cgroup_join(const char *which)
{
    const char *problem = "its hierarchy is not mounted", *path = strchr(which, ':') + 1;
    FILE *mounts = fopen(MOUNTS, "re");
    char *line = NULL;
    size_t room = 0;
    if (!mounts)
        return strerror(errno);
    while (problem && getline(&line, &room, mounts) > 0) {
        struct mount mount;
        if (!mount_read(line, &mount) || !shows(&mount, which))
            continue;
        const char *rest = below(mount.root, path);
        if (rest)
            problem = enter(mount.point, rest);
    }
    free(line);
    fclose(mounts);
    return problem;
}
