// SPDX-License-Identifier: Apache-2.0
/* What the agent may ask of whoever runs plugins for it, a call or the executor: FIND, EXEC, KILL, one plugin at a time. */
#include "shim.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Gives the descriptor that becomes readable when a child ends. */
int serve_children(void)
{
    sigset_t mask;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored ones are inherited, and then no end of a child is ever told */
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Sleeps until something happens; false when the time is up. */
bool serve_wait(int fd, int children, const struct plugin *plugin, int64_t deadline)
{
    struct pollfd polls[5] = {{.fd = fd, .events = POLLIN}, {.fd = children, .events = POLLIN}};
    struct signalfd_siginfo signals;
    int64_t until = plugin->active && plugin->retry_at && plugin->retry_at < deadline ? plugin->retry_at : deadline;
    plugin_watch(plugin, polls + 2);
    int64_t left = plugin->active && plugin->pid == 0 && !plugin->retry_at ? 0 : until - now();
    poll(polls, 5, left > 0 ? (int)left : 0);
    if (polls[1].revents && read(children, &signals, sizeof signals) < 0)
        nap(0); /* only that a child ended matters, and waitpid says which */
    return now() < deadline;
}

/* Takes a whole frame apart: NULL, or what is wrong with it. */
const char *serve_read(const struct plugin *plugin, struct inbox *inbox, struct fields *fields)
{
    const char *problem = fields_read(inbox->head.type, inbox->payload, inbox->head.length, fields);
    if (!problem && plugin->active && (inbox->head.type == FIND || inbox->head.type == EXEC))
        problem = "a plugin is still running";
    return problem;
}

static bool answer_find(int fd, const struct head *head, const struct fields *fields, int64_t deadline)
{
    struct buffer found = {0};
    char file[PATH_MAX];
    uint8_t present[MAX_TYPES];
    for (size_t i = 1; i < fields->count; i++)
        present[i - 1] = plugin_find(fields->at[i].text, fields->at[0].text, file);
    frame_begin(&found, FOUND, head->tag);
    frame_field(&found, present, fields->count - 1);
    bool sent = frame_end(&found) && agent_send(fd, &found, -1, deadline);
    free(found.data);
    return sent;
}

/* STARTED goes first: once a plugin runs, the agent can always tell whether it still does. */
static bool start(int fd, struct plugin *plugin, uint32_t tag, int live, int64_t deadline)
{
    struct buffer started = {0};
    if (live < 0)
        return true;
    frame_begin(&started, STARTED, tag);
    bool sent = frame_end(&started) && agent_send(fd, &started, live, deadline);
    free(started.data);
    close(live);
    if (sent)
        plugin_start(plugin);
    return sent;
}

/* Does what a frame asks and makes room for the next; false if the agent is gone. */
bool serve_frame(int fd, struct plugin *plugin, struct inbox *inbox, const struct fields *fields, int64_t deadline)
{
    char *payload = inbox->payload;
    struct head head = inbox->head;
    bool there = true;
    *inbox = (struct inbox){.have = 0};
    if (head.type == EXEC) /* the plugin keeps the payload */
        return start(fd, plugin, head.tag, plugin_begin(plugin, head.tag, payload, fields), deadline);
    if (head.type == FIND)
        there = answer_find(fd, &head, fields, deadline);
    else if (head.type == KILL && plugin->active && plugin->tag == head.tag) /* one may come too late */
        plugin_kill(plugin);
    free(payload);
    return there;
}

/* Moves the plugin on, and reports it at its end; false if the agent is gone. */
bool serve_plugin(int fd, struct plugin *plugin, struct buffer *done, int64_t deadline)
{
    if (!plugin->active || !plugin_step(plugin))
        return true;
    return plugin_end(plugin, done) && agent_send(fd, done, -1, deadline);
}
