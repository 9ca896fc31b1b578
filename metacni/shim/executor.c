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

/* Goes into the mount namespace of a process, where plugins and their files are: 0 or the errno. */
static int enter(const char *pid)
{
    char path[64];
    struct stat own, other;
    int cause = 0;
    snprintf(path, sizeof path, "/proc/%.20s/ns/mnt", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &other) < 0 || stat("/proc/self/ns/mnt", &own) < 0)
        cause = errno;
    else if ((own.st_dev != other.st_dev || own.st_ino != other.st_ino) && setns(fd, CLONE_NEWNS) < 0)
        cause = errno;
    if (fd >= 0)
        close(fd);
    return cause;
}

/* The runtime's cgroup, so that a plugin's memory is not the agent's; where that fails, it stays. */
static void join(const char *folder)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/cgroup.procs", folder) >= (int)sizeof path)
        return;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || !write_all(fd, "0", 1))
        dprintf(2, "cannot join the cgroup '%s': %s\n", folder, strerror(errno));
    if (fd >= 0)
        close(fd);
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

static int prepare(int argc, char **argv)
{
    const char *pid = "1";
    for (int i = 2; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--host-pid") == 0)
            pid = argv[i + 1];
        else if (strcmp(argv[i], "--cgroup") != 0)
            argc = 1;
    if (argc % 2 || strspn(pid, "0123456789") != strlen(pid) || !*pid) {
        dprintf(2, "usage: metacni --executor [--host-pid PID] [--cgroup FOLDER]...\n");
        return USAGE;
    }
    int cause = strcmp(pid, "0") == 0 ? 0 : enter(pid);
    if (cause) {
        dprintf(2, "cannot enter the mount namespace of process %s: %s\n", pid, strerror(cause));
        return CANNOT_ENTER;
    }
    for (int i = 2; i < argc; i += 2)
        if (strcmp(argv[i], "--cgroup") == 0)
            join(argv[i + 1]);
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
