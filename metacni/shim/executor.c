// SPDX-License-Identifier: Apache-2.0
/*
 * The second executor: work that no call of the runtime waits for (an undo, a recovery) runs its plugins here. Started by
 * the agent, whose socket is stdin; goes where the shim would be, serves the same frames, ends when the agent hangs up.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { USAGE = 2, CANNOT_ENTER = 3 };

extern char **environ;

/* Goes into a namespace of a process: 0 or the errno. One that is ours already takes no privilege. */
static int enter(const char *pid, const char *kind, int type)
{
    char path[64], ours[64];
    struct stat own, other;
    int cause = 0;
    snprintf(path, sizeof path, "/proc/%.20s/ns/%s", pid, kind);
    snprintf(ours, sizeof ours, "/proc/self/ns/%s", kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &other) < 0 || stat(ours, &own) < 0)
        cause = errno;
    else if ((own.st_dev != other.st_dev || own.st_ino != other.st_ino) && setns(fd, type) < 0)
        cause = errno;
    if (fd >= 0)
        close(fd);
    return cause;
}

/* A call inherits the runtime's environment; what we inherit is the agent's, and of no use to a plugin. */
static void forget_environment(void)
{
    static char usual[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *kept[2];
    kept[0] = usual;
    for (char **at = environ; *at; at++)
        if (strncmp(*at, "PATH=", 5) == 0)
            kept[0] = *at;
    environ = kept;
}

/* The host's PID and the number of cgroups to join, or false for options that make no sense. */
static bool options(int argc, char **argv, const char **pid, int *cgroups)
{
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1], *colon = strchr(value, ':');
        if (strcmp(argv[i], "--host-pid") == 0)
            *pid = value;
        else if (strcmp(argv[i], "--cgroup") == 0 && colon && colon[1] == '/')
            ++*cgroups;
        else
            return false;
    }
    return argc % 2 == 0 && **pid && strspn(*pid, "0123456789") == strlen(*pid);
}

/* Goes to where the shim would be: the host's mounts, the runtime's cgroups. */
static int prepare(int argc, char **argv)
{
    const char *pid = "1";
    int cgroups = 0;
    if (!options(argc, argv, &pid, &cgroups)) {
        dprintf(2, "usage: metacni --executor [--host-pid PID] [--cgroup CONTROLLERS:PATH]...\n");
        return USAGE;
    }
    bool stays = strcmp(pid, "0") == 0;
    /* Both while /proc is ours. The paths are true in that cgroup namespace, and nsdelegate lets only its own in. */
    int closed = stays || !cgroups ? 0 : enter(pid, "cgroup", CLONE_NEWCGROUP);
    int cause = stays ? 0 : enter(pid, "mnt", CLONE_NEWNS);
    if (cause) {
        dprintf(2, "cannot enter the mount namespace of process %s: %s\n", pid, strerror(cause));
        return CANNOT_ENTER;
    }
    if (closed)
        dprintf(2, "cannot enter the cgroup namespace of process %s: %s\n", pid, strerror(closed));
    for (int i = 2; i < argc && !closed; i += 2) {
        const char *problem = strcmp(argv[i], "--cgroup") == 0 ? cgroup_join(argv[i + 1]) : NULL;
        if (problem) /* it stays: a plugin's memory counts as the agent's then, but the work is done */
            dprintf(2, "cannot join the cgroup '%s': %s\n", argv[i + 1], problem);
    }
    forget_environment();
    return 0;
}

/* Serves until the agent hangs up: no call, so no end to it but that. NULL, or what was wrong with a frame. */
static const char *serve(int fd, int children)
{
    static struct plugin plugin;
    static struct inbox inbox;
    static struct fields fields;
    static struct buffer done;
    const char *problem = NULL;
    for (bool there = true; there && !problem;) {
        int64_t deadline = now() + 60 * SECOND;
        serve_wait(fd, children, &plugin, deadline);
        int got = agent_receive(fd, &inbox, &problem);
        there = got >= 0;
        if (got > 0 && !(problem = serve_read(&plugin, &inbox, &fields)) && inbox.head.type == RESULT)
            problem = "there is no call to answer";
        if (got > 0 && !problem)
            there = serve_frame(fd, &plugin, &inbox, &fields, deadline);
        if (there && !problem)
            there = serve_plugin(fd, &plugin, &done, deadline);
    }
    plugin_drop(&plugin);
    return problem;
}

int executor(int argc, char **argv)
{
    int status = prepare(argc, argv);
    if (status)
        return status;
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 3), children = serve_children(), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || null < 0 || dup2(null, 0) < 0) {
        dprintf(2, "cannot take the agent's socket from stdin: %s\n", strerror(errno));
        return 1;
    }
    close(null);
    const char *problem = serve(fd, children);
    if (problem)
        dprintf(2, "cannot take a frame from the agent: %s\n", problem);
    return problem ? 1 : 0;
}
