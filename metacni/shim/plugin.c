// SPDX-License-Identifier: Apache-2.0
/* One running plugin: found, started, fed, read, killed, reaped. At most one at a time; no call here ever blocks. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 65536, MAX_RETRIES = 6 };

extern char **environ;

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The first regular executable file of that name; a name that is a path finds nothing, whatever the agent thought. */
bool plugin_find(const char *type, const char *path, char file[PATH_MAX])
{
    if (!*type || strchr(type, '/') || strcmp(type, ".") == 0 || strcmp(type, "..") == 0)
        return false;
    while (*path) {
        size_t length = strcspn(path, ":");
        struct stat seen;
        int size = snprintf(file, PATH_MAX, "%.*s/%s", (int)length, path, type);
        if (length > 0 && size < PATH_MAX && stat(file, &seen) == 0 && S_ISREG(seen.st_mode) && access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static bool same_name(const char *variable, const char *other)
{
    size_t length = strcspn(variable, "=");
    return strncmp(variable, other, length) == 0 && (other[length] == '=' || other[length] == 0);
}

/* B8: the six never survive from our own call, even where the agent leaves one out. */
static bool replaced(const char *variable, const struct fields *fields)
{
    static const char *const six[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS",
                                      "CNI_IFNAME",  "CNI_ARGS",        "CNI_PATH"};
    for (size_t i = 0; i < sizeof six / sizeof *six; i++)
        if (same_name(variable, six[i]))
            return true;
    for (size_t i = 3; i < fields->count; i++)
        if (same_name(variable, fields->at[i].text))
            return true;
    return false;
}

static char **environment(const struct fields *fields)
{
    size_t ours = 0, count = 0;
    while (environ[ours])
        ours++;
    char **made = calloc(ours + fields->count + 1, sizeof *made);
    if (!made)
        return NULL;
    for (size_t i = 0; i < ours; i++)
        if (!replaced(environ[i], fields))
            made[count++] = environ[i];
    for (size_t i = 3; i < fields->count; i++)
        made[count++] = fields->at[i].text;
    return made;
}

/* Takes the payload over. Gives the read end of the liveness pipe, or -1 with the plugin already at its end. */
int plugin_begin(struct plugin *plugin, uint32_t tag, char *payload, const struct fields *fields)
{
    int live[2] = {-1, -1};
    *plugin = (struct plugin){.active = true, .tag = tag, .payload = payload, .fields = *fields, .how = FAILED,
                              .in = -1, .out = -1, .err = -1, .report = -1, .live = -1,
                              .output.limit = MAX_STDOUT, .errors.limit = MAX_STDERR};
    plugin->environment = environment(fields);
    if (!plugin_find(fields->at[0].text, fields->at[1].text, plugin->file))
        plugin->how = ABSENT;
    else if (!plugin->environment || pipe2(live, O_CLOEXEC) < 0)
        plugin->value = plugin->environment ? (uint32_t)errno : ENOMEM;
    plugin->live = live[1];
    return live[0];
}

/* The child, until it is the plugin: a group of its own, dead with us, and nothing of ours but the liveness pipe. */
static _Noreturn void become(const struct plugin *plugin, const int ends[4], pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* we died before the kernel could promise to tell */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    bool placed = dup2(ends[0], 0) >= 0 && dup2(ends[1], 1) >= 0 && dup2(ends[2], 2) >= 0;
    if (placed && fcntl(plugin->live, F_SETFD, 0) >= 0) {
        char file[PATH_MAX];
        memcpy(file, plugin->file, sizeof file);
        execve(file, (char *[]){file, NULL}, plugin->environment);
    }
    int cause = errno;
    ssize_t told = write(ends[3], &cause, sizeof cause); /* ends[3] closes itself on success */
    _exit(told == sizeof cause ? 127 : 126);
}

static bool open_pipes(int ours[4], int theirs[4])
{
    for (int i = 0; i < 4; i++) {
        int both[2];
        if (pipe2(both, O_CLOEXEC) < 0)
            return false;
        ours[i] = both[i == 0 ? 1 : 0];
        theirs[i] = both[i == 0 ? 0 : 1];
        fcntl(ours[i], F_SETFL, O_NONBLOCK); /* our end only: a plugin may not expect it on its own */
    }
    return true;
}

/* One attempt; a failure shows as an end of the plugin. Liveness stays open on our side for the next one. */
void plugin_start(struct plugin *plugin)
{
    int ours[4] = {-1, -1, -1, -1}, theirs[4] = {-1, -1, -1, -1};
    pid_t parent = getpid(), pid = -1;
    if (open_pipes(ours, theirs))
        pid = fork();
    if (pid == 0)
        become(plugin, theirs, parent);
    plugin->value = pid < 0 ? (uint32_t)errno : 0;
    plugin->retry_at = 0;
    for (int i = 0; i < 4; i++) {
        shut(&theirs[i]);
        if (pid < 0)
            shut(&ours[i]);
    }
    if (pid > 0) {
        setpgid(pid, pid); /* here too: a KILL may come before the child is that far */
        plugin->pid = pid;
    }
    plugin->written = 0;
    plugin->in = ours[0];
    plugin->out = ours[1];
    plugin->err = ours[2];
    plugin->report = ours[3];
}

void plugin_watch(const struct plugin *plugin, struct pollfd polls[3])
{
    bool on = plugin->active;
    polls[0] = (struct pollfd){.fd = on ? plugin->in : -1, .events = POLLOUT};
    polls[1] = (struct pollfd){.fd = on ? plugin->out : -1, .events = POLLIN};
    polls[2] = (struct pollfd){.fd = on ? plugin->err : -1, .events = POLLIN};
}

static void feed(struct plugin *plugin)
{
    const struct field *input = &plugin->fields.at[2];
    if (plugin->in < 0)
        return;
    ssize_t sent = write(plugin->in, input->text + plugin->written, input->size - plugin->written);
    if (sent > 0)
        plugin->written += (size_t)sent;
    if (plugin->written == input->size || (sent < 0 && errno != EAGAIN && errno != EINTR))
        shut(&plugin->in); /* a plugin need not read its input: EPIPE is no fault */
}

/* Reads once; gives how much there was. */
static size_t take(struct plugin *plugin, bool is_output)
{
    int *fd = is_output ? &plugin->out : &plugin->err;
    struct buffer *kept = is_output ? &plugin->output : &plugin->errors;
    char chunk[CHUNK];
    if (*fd < 0)
        return 0;
    ssize_t got = read(*fd, chunk, sizeof chunk);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        shut(fd);
    if (got <= 0)
        return 0;
    size_t room = kept->limit - kept->size;
    put(kept, chunk, (size_t)got < room ? (size_t)got : room);
    if (is_output && (size_t)got > room) {
        plugin->truncated = true;
        plugin_kill(plugin);
        shut(fd);
    }
    return (size_t)got;
}

/* What is in the pipe now, and no more: a grandchild that goes on writing must not hold us. */
static void drain(struct plugin *plugin, bool is_output)
{
    int left = 0;
    if (ioctl(is_output ? plugin->out : plugin->err, FIONREAD, &left) < 0)
        return;
    for (size_t got; left > 0 && (got = take(plugin, is_output)) > 0;)
        left -= (int)got;
}

static void reaped(struct plugin *plugin, int status)
{
    int cause = 0;
    plugin->pid = 0;
    plugin->how = WIFEXITED(status) ? EXITED : SIGNALLED;
    plugin->value = (uint32_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    if (read(plugin->report, &cause, sizeof cause) == sizeof cause) {
        plugin->how = FAILED;
        plugin->value = (uint32_t)cause;
        if (cause == ETXTBSY && plugin->retries++ < MAX_RETRIES) /* B10: an installer is replacing it */
            plugin->retry_at = now() + SECOND;
    }
    drain(plugin, true);
    drain(plugin, false);
    shut(&plugin->in);
    shut(&plugin->out);
    shut(&plugin->err);
    shut(&plugin->report);
}

/* Moves what can be moved; true once the plugin is at its end. */
bool plugin_step(struct plugin *plugin)
{
    int status;
    if (plugin->pid > 0) {
        feed(plugin);
        take(plugin, true);
        take(plugin, false);
        if (waitpid(plugin->pid, &status, WNOHANG) == plugin->pid)
            reaped(plugin, status);
    } else if (plugin->retry_at && now() >= plugin->retry_at) {
        plugin_start(plugin);
    }
    return plugin->pid == 0 && plugin->retry_at == 0;
}

void plugin_kill(struct plugin *plugin)
{
    if (plugin->pid > 0) {
        kill(-plugin->pid, SIGKILL);
        kill(plugin->pid, SIGKILL); /* it may have left its own group */
    }
    plugin->retry_at = 0;
    plugin->retries = MAX_RETRIES;
}

static void release(struct plugin *plugin)
{
    shut(&plugin->in);
    shut(&plugin->out);
    shut(&plugin->err);
    shut(&plugin->report);
    shut(&plugin->live);
    free(plugin->payload);
    free(plugin->environment);
    free(plugin->output.data);
    free(plugin->errors.data);
    *plugin = (struct plugin){.active = false};
}

/* Writes the DONE of a plugin at its end. */
bool plugin_end(struct plugin *plugin, struct buffer *done)
{
    uint8_t how = (uint8_t)plugin->how, flags = plugin->truncated ? TRUNCATED : 0;
    uint8_t value[4] = {(uint8_t)plugin->value, (uint8_t)(plugin->value >> 8), (uint8_t)(plugin->value >> 16),
                        (uint8_t)(plugin->value >> 24)};
    frame_begin(done, DONE, plugin->tag);
    frame_field(done, &how, sizeof how);
    frame_field(done, value, sizeof value);
    frame_field(done, &flags, sizeof flags);
    frame_field(done, plugin->output.data, plugin->output.size);
    frame_field(done, plugin->errors.data, plugin->errors.size);
    release(plugin);
    return frame_end(done);
}

/* Ends a plugin that nobody asks for any more; a second is enough for all but one stuck in the kernel. */
void plugin_drop(struct plugin *plugin)
{
    if (!plugin->active)
        return;
    plugin_kill(plugin);
    for (int i = 0; i < 1000 && plugin->pid > 0 && waitpid(plugin->pid, NULL, WNOHANG) == 0; i++)
        nap(1);
    release(plugin);
}
