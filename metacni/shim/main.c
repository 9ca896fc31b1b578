// SPDX-License-Identifier: Apache-2.0
/*
 * One CNI call: what the runtime gave us goes to the agent, the agent's plugins run here, in the runtime's place on the
 * host, and the agent's answer is printed. Decides nothing about networks; only an answer ever reaches stdout (A1).
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef METACNI_VERSION
#define METACNI_VERSION "unknown"
#endif

enum { CODE_ENVIRONMENT = 4, CODE_IO = 5, CODE_TRY_AGAIN = 11, CODE_NOT_AVAILABLE = 50, CODE_INTERNAL = 999 };
enum { DEAD_AFTER = 600, STALE_AFTER = 60 }; /* seconds of wall clock without a sign of an agent: for DEL, for STATUS */

static const char versions[] = "\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"";
static const char no_agent[] = "is the metacni agent running on this node?";
static const char usage[] =
    "metacni " METACNI_VERSION ": the CNI plugin that asks the metacni agent of its node\n"
    "It takes no arguments: a container runtime, or another plugin, calls it with CNI_COMMAND and the other CNI_\n"
    "variables set and its network configuration on stdin. --help and --version print this and the release.\n"
    "Called metacni-NAME it is the agent's plugin NAME; under any other name, the meta-plugin of a runtime.\n"
    "METACNI_SOCKET names the agent's socket, default /run/metacni/cni.sock.\n"
    "The agent itself starts it with --executor, to run plugins when no runtime calls.\n";

static const struct verb {
    const char *name;
    int wait, total; /* seconds: for an agent to listen, for everything */
    bool again;      /* may be called a second time when the agent dies on it */
    bool in_pod;     /* has a network namespace */
} verbs[] = {
    {"ADD", 45, 90, false, true}, {"DEL", 5, 50, true, true},       {"CHECK", 5, 90, true, true},
    {"GC", 5, 90, true, false},   {"STATUS", 0, 5, true, false},
};

/* The process is one call, so its state is the file's. */
static const struct verb *verb;
static struct plugin plugin;
static struct buffer input = {.limit = MAX_STDIN};
static struct buffer frame;
static char version[32], folder[PATH_MAX];
static const char *path, *id, *called = "metacni";
static bool nested; /* called as metacni-NAME: by whom is not known, so it never stands for the sandbox */
static bool recorded;
static int children = -1, netns = -1;
static int64_t deadline;

extern char **environ;

/* B8: of a variable that is there twice, the last one counts. */
static const char *variable(const char *name)
{
    const char *found = "";
    size_t length = strlen(name);
    for (char **at = environ; *at; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            found = *at + length + 1;
    return found;
}

/* The usual text of ENOENT would make containerd take a failed DEL for a success (G15). */
static const char *reason(int cause)
{
    return cause == ENOENT ? "it does not exist" : strerror(cause);
}

__attribute__((format(printf, 3, 4))) static _Noreturn void fail(int code, const char *details, const char *format, ...)
{
    struct buffer json = {.limit = 65536};
    char text[PATH_MAX + 256], number[16];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    plugin_drop(&plugin);
    snprintf(number, sizeof number, "%d", code);
    put_text(&json, "{");
    if (version[0]) {
        put_text(&json, "\"cniVersion\":");
        put_json(&json, version);
        put_text(&json, ",");
    }
    put_text(&json, "\"code\":");
    put_text(&json, number);
    put_text(&json, ",\"msg\":");
    put_json(&json, text);
    put_text(&json, ",\"details\":");
    put_json(&json, details);
    put_text(&json, "}\n");
    write_all(1, json.data, json.size);
    exit(1);
}

static void say(const char *text)
{
    write_all(2, text, strlen(text));
}

/* Reads all of stdin; a terminal counts as empty, and NULL or what went wrong comes back. */
static const char *read_input(int64_t until)
{
    char chunk[65536];
    while (!isatty(0)) {
        int64_t left = until - now();
        if (left <= 0 || poll(&(struct pollfd){.fd = 0, .events = POLLIN}, 1, (int)left) == 0)
            return "it does not end";
        ssize_t got = read(0, chunk, sizeof chunk);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return strerror(errno);
        if (got == 0)
            break;
        if (got > 0)
            put(&input, chunk, (size_t)got);
        if (input.failed)
            return "it is larger than 4 MiB";
    }
    json_version(input.data, input.size, version, sizeof version);
    return NULL;
}

static int answer_version(void)
{
    struct buffer json = {.limit = 65536};
    read_input(now() + 2 * SECOND); /* whatever is wrong with it: VERSION is answered all the same (A34) */
    put_text(&json, "{\"cniVersion\":");
    put_json(&json, version[0] ? version : "1.1.0");
    put_text(&json, ",\"supportedVersions\":[");
    put_text(&json, versions);
    put_text(&json, "]}\n");
    bool written = write_all(1, json.data, json.size);
    free(json.data);
    return written ? 0 : 1;
}

/* The runtime's name, by which the agent knows CRI-O; "" when /proc does not say. */
static void put_parent(void)
{
    char file[32], name[64];
    ssize_t size = 0;
    snprintf(file, sizeof file, "/proc/%d/comm", (int)getppid());
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        size = read(fd, name, sizeof name);
        close(fd);
    }
    if (size > 0 && name[size - 1] == '\n')
        size--;
    frame_field(&frame, name, size > 0 ? (size_t)size : 0);
}

static bool travels(const char *pair)
{
    static const char *const prefixes[] = {"CNI_", "TRACEPARENT=", "TRACESTATE=", "BAGGAGE="};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(pair, prefixes[i], strlen(prefixes[i])) == 0)
            return strchr(pair, '=');
    return false;
}

static void build_call(void)
{
    char cgroup[MAX_CGROUP];
    size_t known = cgroup_own(cgroup);
    uint8_t flags = (uint8_t)((netns >= 0 ? HAS_NETNS : 0) | (known ? HAS_CGROUP : 0));
    int pairs = 0;
    frame_begin(&frame, CALL, 0);
    frame_field(&frame, &flags, sizeof flags);
    frame_field(&frame, called, strlen(called));
    put_parent();
    if (known)
        frame_field(&frame, cgroup, known);
    frame_field(&frame, input.data, input.size);
    for (char **at = environ; *at; at++) {
        if (!travels(*at))
            continue;
        frame_field(&frame, *at, strlen(*at));
        pairs++;
    }
    if (pairs > MAX_ENV || !frame_end(&frame))
        fail(CODE_ENVIRONMENT, "", "cannot pass the call on: its CNI_ variables are too many or too large");
}

/* Before the call itself, so that a DEL survives us, the agent and, on a disk, the node. */
static void record_del(void)
{
    if (!valid_id(id))
        return; /* the agent says what is wrong with it */
    char *flags = &frame.data[HEADER_SIZE + 4], with = *flags;
    *flags &= ~HAS_NETNS; /* no descriptor travels with a record */
    int cause = record(folder, id, &frame);
    *flags = with;
    recorded = cause == 0;
    if (!recorded) {
        say("metacni: cannot record this DEL: ");
        say(reason(cause));
        say("\n");
    }
}

/* Nobody listens: what two verbs answer all the same. */
static void answer_without_agent(int cause)
{
    int64_t age = agent_age(folder, path);
    if (recorded && age > DEAD_AFTER) {
        say("metacni: no agent; this DEL is recorded for the next one\n");
        exit(0);
    }
    if (strcmp(verb->name, "STATUS") != 0)
        return;
    if (age < STALE_AFTER)
        exit(0);
    fail(CODE_NOT_AVAILABLE, no_agent, "cannot reach the agent at '%s': %s", path, reason(cause));
}

/* Gives a connection to an agent of root's, however long the verb allows it to take. */
static int reach(void)
{
    int64_t until = now() + verb->wait * SECOND, pause = SECOND / 50 + 1;
    uid_t uid = 0;
    for (;;) {
        int fd = agent_connect(path);
        if (fd >= 0 && agent_trusted(fd, &uid))
            return fd;
        if (fd >= 0)
            fail(CODE_INTERNAL, "", "cannot use the listener at '%s': it runs as UID %u", path, uid);
        if (fd == -ENAMETOOLONG)
            fail(CODE_ENVIRONMENT, "a socket's path has at most 107 bytes", "cannot use METACNI_SOCKET '%s'", path);
        answer_without_agent(-fd);
        if (now() >= until || now() >= deadline)
            fail(CODE_TRY_AGAIN, no_agent, "cannot reach the agent at '%s': %s", path, reason(-fd));
        nap(pause);
        pause = pause * 2 < SECOND / 5 ? pause * 2 : SECOND / 5 + 1;
    }
}

static _Noreturn void finish(const struct fields *fields)
{
    plugin_drop(&plugin);
    write_all(2, fields->at[2].text, fields->at[2].size); /* B9; for people only: nobody may be reading it */
    bool written = write_all(1, fields->at[1].text, fields->at[1].size);
    exit(written ? (unsigned char)fields->at[0].text[0] : 1);
}

/* Does what one frame asks; false if the agent is gone. */
static bool obey(int fd, struct inbox *inbox)
{
    static struct fields fields;
    const char *problem = serve_read(&plugin, inbox, &fields);
    if (problem)
        fail(CODE_INTERNAL, "", "cannot take a frame from the agent: %s", problem);
    if (inbox->head.type == RESULT)
        finish(&fields);
    return serve_frame(fd, &plugin, inbox, &fields, deadline);
}

/* Serves one connection; returns when the agent is gone. */
static void converse(int fd)
{
    struct inbox inbox = {.have = 0};
    struct buffer done = {0};
    const char *problem = NULL;
    bool there = agent_send(fd, &frame, netns, deadline);
    while (there) {
        if (!serve_wait(fd, children, &plugin, deadline))
            fail(CODE_TRY_AGAIN, "", "cannot finish %s: the agent did not answer within %d s", verb->name, verb->total);
        int got = agent_receive(fd, &inbox, &problem);
        if (problem)
            fail(CODE_TRY_AGAIN, "", "cannot take a frame from the agent: %s", problem);
        there = got >= 0 && (got == 0 || obey(fd, &inbox));
        there = there && serve_plugin(fd, &plugin, &done, deadline);
    }
    free(inbox.payload);
    free(done.data);
    plugin_drop(&plugin);
}

static void prepare(void)
{
    children = serve_children();
    id = variable("CNI_CONTAINERID");
    path = variable("METACNI_SOCKET");
    path = *path ? path : "/run/metacni/cni.sock";
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash && slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    if (verb->in_pod) /* not a descriptor of a namespace? The agent says so. O_NONBLOCK: not every path is a file */
        netns = open(variable("CNI_NETNS"), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    build_call();
    if (strcmp(verb->name, "DEL") == 0 && !nested) /* or recovery would take it for the sandbox's, and a pod down */
        record_del();
}

/* Goes by the name that the caller used, whatever folder the file is in. */
static void set_name(const char *program)
{
    const char *slash = strrchr(program, '/');
    called = slash ? slash + 1 : program;
    nested = strncmp(called, "metacni-", 8) == 0;
}

/* A8: people do this by hand. */
static int introduce(void)
{
    say(nested ? called : "metacni");
    say(" " METACNI_VERSION);
    say(nested ? ": a CNI plugin of the metacni agent's" : ": a CNI meta-plugin");
    say("\nCNI protocol versions supported: ");
    say(versions);
    say("\n");
    return 0;
}

int main(int argc, char **argv)
{
    const char *command = variable("CNI_COMMAND");
    int64_t began = now();
    for (int fd = 0; fd <= 2; fd++) /* or a pipe of ours would get a number that means something else */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return 1;
    if (argc > 1 && strcmp(argv[1], "--executor") == 0)
        return executor(argc, argv);
    if (argc > 1) {
        bool help = strcmp(argv[1], "--help") == 0, release = strcmp(argv[1], "--version") == 0;
        const char *text = release ? "metacni " METACNI_VERSION "\n" : usage;
        return write_all(help || release ? 1 : 2, text, strlen(text)) && (help || release) ? 0 : 2;
    }
    if (argc > 0)
        set_name(argv[0]);
    if (!*command)
        return introduce();
    if (strcmp(command, "VERSION") == 0)
        return answer_version();
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(command, verbs[i].name) == 0)
            verb = &verbs[i];
    deadline = began + (verb ? verb->total : 2) * SECOND;
    const char *problem = read_input(deadline);
    if (!verb)
        fail(CODE_ENVIRONMENT, "", "unknown CNI_COMMAND: '%.32s'", command);
    if (problem)
        fail(CODE_IO, "", "cannot read the network configuration from stdin: %s", problem);
    prepare();
    for (;;) {
        int fd = reach();
        converse(fd);
        close(fd);
        if (!verb->again)
            fail(CODE_TRY_AGAIN, no_agent, "the agent went away while it served %s", verb->name);
        nap(SECOND / 50 + 1); /* one that dies on each call must not make us spin */
    }
}
